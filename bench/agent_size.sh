#!/bin/sh
# What an agent takes of a small machine: its program and the libraries that a minimal Debian does not have anyway, on disk;
# and memory and processor with 100 tests each minute over paths of 15 hops, all reported over TLS.
. "$(dirname "$0")/common"
tests=${OCULI_BENCH_TESTS:-100}

# What every Debian has: the packages that are essential or required, apt, and whatever those depend on.
dpkg-query -W -f '${Package}\t${Essential}\t${Priority}\t${Pre-Depends}, ${Depends}\n' | awk -F '\t' '
    { depends[$1] = $4; if ($2 == "yes" || $3 == "required" || $1 == "apt") queue[++count] = $1 }
    END {
        for (i = 1; i <= count; i++) {
            if (have[queue[i]]++) continue
            print queue[i]
            n = split(depends[queue[i]], words, /[ ]*[,|][ ]*/)
            for (j = 1; j <= n; j++) { sub(/[ (:].*/, "", words[j]); if (words[j] in depends) queue[++count] = words[j] }
        }
    }' | sort -u >"$work/minimal"

strip -o "$work/agent" "$build/oculi-agent"
total=$(stat -c %s "$work/agent")
echo "== the agent on disk"
printf '%9d  oculi-agent, stripped\n' "$total"
ldd "$build/oculi-agent" | awk '$3 ~ "^/" { print $3 }' | while read -r library; do
    file=$(readlink -f "$library")
    package=$(dpkg -S "$file" 2>/dev/null || dpkg -S "${file#/usr}" 2>/dev/null || echo "?:")
    echo "${package%%:*} $(stat -L -c %s "$file") $file"
done | sort -u >"$work/libraries"
while read -r package size file; do
    if ! grep -qx "$package" "$work/minimal"; then
        printf '%9d  %s (%s)\n' "$size" "$(basename "$file")" "$package"
        total=$((total + size))
    fi
done <"$work/libraries"
printf '%9d  together\n' "$total"
record "agent and libraries beyond a minimal Debian" MB 10 "$(calc "$total / 1e6")" "-"

path 15 20 >"$work/lab"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench \
    -addext subjectAltName=IP:127.0.0.1 -keyout "$work/server.key" -out "$work/server.pem" 2>/dev/null
echo "== $tests tests each minute, 15 hops, TCP"
in_lab "$bench/agent_size_bench" "$build/oculi-agent" "$tests" "$work/server.pem" "$work/server.key" "$work" >"$work/said"
cat "$work/said"
member() { sed -n "s/.*\"$1\":\([0-9.]*\).*/\1/p" "$work/said"; }
record "memory of the worker at $tests tests (resident)" MB 20 "$(calc "$(member workerMostKib) * 1.024e-3")" "-"
record "memory of all its processes (shared pages divided)" MB 20 "$(calc "$(member allPssKib) * 1.024e-3")" "-"
record "processor at $tests tests" "% core" "-" "$(calc "100 * $(member cpuSeconds) / $(member seconds)")" "-"
