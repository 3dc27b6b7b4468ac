#!/bin/sh
# All load-balanced paths through twelve hops of four routers each, 20 ms: how many of the 48 interfaces are found, with
# how many packets and how soon, beside scamper's tracelb. Once with four lanes side by side, once with every hop meshed
# with the next, where each router chooses anew.
. "$(dirname "$0")/common"
target=198.18.10.10
diamonds() { # lanes | mesh
    awk -v kind="$1" 'BEGIN {
        print "vantage v address 198.18.0.2/24\nrouter a\nrouter z\nhost app address 198.18.10.10 tcp 80 open"
        for (h = 1; h <= 12; h++) for (i = 1; i <= 4; i++) print "router h" h "-" i " address 203.0.113." h * 16 + i
        print "link v a delay 666us\nlink z app delay 676us"
        for (i = 1; i <= 4; i++) print "link a h1-" i " delay 666us\nlink h12-" i " z delay 666us"
        for (h = 1; h < 12; h++) for (i = 1; i <= 4; i++) for (k = 1; k <= 4; k++)
            if (kind == "mesh" || i == k) print "link h" h "-" i " h" h + 1 "-" k " delay 666us"
    }'
}
found() { grep -o '203\.0\.113\.[0-9]*' "$work/said" | sort -u | wc -l; }
member() { sed 's/"hops":.*//' "$work/said" | sed -n "s/.*\"$1\":\([0-9.]*\).*/\1/p"; }
middle() { sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }
search() { # NAME OPTIONS...: the middle of five searches
    name=$1
    shift
    : >"$work/runs"
    for i in 1 2 3 4 5; do
        in_lab taskset -c 0 "$build/oculi" paths -n -j -k 0 "$@" $target >"$work/said"
        echo "$(found) $(member sent) $(member duration)" >>"$work/runs"
    done
    least_found=$(cut -d' ' -f1 "$work/runs" | sort -n | head -n 1)
    missing=$(awk '$1 < 48' "$work/runs" | wc -l)
    packets=$(cut -d' ' -f2 "$work/runs" | middle)
    most=$(cut -d' ' -f2 "$work/runs" | sort -n | tail -n 1)
    found_ms=$(calc "$(cut -d' ' -f3 "$work/runs" | middle)" 1)
    in_lab taskset -c 0 "$build/oculi" paths -n -j -k 10 "$@" $target >"$work/said"
    printf '%-22s all 48 in %d of 5 runs, %4d packets (%d at most), %6.1f ms; loss and RTT of paths: %d more\n' \
        "$name" $((5 - missing)) "$packets" "$most" "$found_ms" "$(member pathSent)"
}
peer() { # NAME METHOD
    in_lab "$bench/spend_bench" --cpu 0 --interface lab0 --repeat 1 --output "$work/spent" -- \
        scamper -p 10000 -O json -o "$work/said" -c "tracelb -P $2 -q 1" -i $target >"$work/figures"
    eval "$(cat "$work/figures")"
    printf '%-26s %2d of 48, %4d packets, %6.1f ms\n' "$1" "$(found)" "$tx" "$(calc "$wall_s * 1000" 1)"
    scamper_missed=$((48 - $(found))) scamper_packets=$tx scamper_ms=$(calc "$wall_s * 1000" 1)
}
for kind in lanes mesh; do
    echo "== four wide, twelve hops, $kind"
    diamonds $kind >"$work/lab"
    scamper_missed=- scamper_packets=- scamper_ms=-
    [ $kind != lanes ] || peer "scamper tracelb, UDP" udp-dport # a minute
    search "oculi, TCP" -T
    search "oculi, UDP" -U
    search "oculi, ICMP"
    record "all paths, 12 x 4 $kind: interfaces missed" "" 0 $((48 - least_found)) 0 "scamper=$scamper_missed"
    record "all paths, 12 x 4 $kind: packets" "" 430 "$packets" - "scamper=$scamper_packets"
    record "all paths, 12 x 4 $kind: time" ms 250 "$found_ms" 20 "scamper=$scamper_ms"
done
