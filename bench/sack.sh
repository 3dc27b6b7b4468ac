#!/bin/sh
# SACK mode against a real Linux TCP stack over a line of exactly 20 ms: how far each of the fifty probes' round trip times is
# from that of ICMP on the same line; and what the plain hole, as others use it, reads there, on a fresh connection and after
# 2 MB of data.
. "$(dirname "$0")/common"
ip netns add $near
ip netns add $far
$beside "$bench/delay_line" $near ocb0 $far ocb1 10000 >"$work/line" 2>"$work/carried" &
line=$!
children=$line
until [ -s "$work/line" ]; do sleep 0.05; kill -0 $line; done
ip -n $near addr add 198.19.0.1 peer 198.19.0.2 dev ocb0
ip -n $far addr add 198.19.0.2 peer 198.19.0.1 dev ocb1
for end in "$near ocb0" "$far ocb1"; do
    set -- $end
    ip netns exec "$1" sysctl -qw net.ipv6.conf.all.disable_ipv6=1
    ip -n "$1" link set lo up
    ip -n "$1" link set "$2" up
done
ip netns exec $far taskset -c 0 "$bench/hole_bench" sink 7000 &
children="$children $!"

on_core() { ip netns exec $near taskset -c 0 "$@"; }
middle() { awk '$2 != "-" { print $2 }' "$1" | sort -g | awk '{ v[NR] = $1 } END { printf "%.1f", v[int((NR + 1) / 2)] }'; }
# How far each is from ICMP's p50: n, the middle, and the worst in either direction.
judge() { # NAME FILE
    eval "$(awk -v icmp="$icmp" '$2 != "-" { e = $2 - icmp; d[++n] = e; a = e < 0 ? -e : e; if (a > worst) worst = a; if ($1 > 2 && a > late) late = a }
        END { for (i = 1; i < n; i++) for (j = i; j > 0 && d[j] > d[j + 1]; j--) { t = d[j]; d[j] = d[j + 1]; d[j + 1] = t }
              printf "n=%d p50=%.1f worst=%.1f", n, d[int((n + 1) / 2)], worst }' "$2")"
    printf '%-58s n %2d   p50 %+8.1f   worst %8.1f us\n' "$1" "$n" "$p50" "$worst"
}
least_of() { # NAME VARIABLE COMMAND...: of five runs that in which the line was the least late
    name=$1 variable=$2 best=
    shift 2
    for round in 1 2 3 4 5; do
        on_core "$@" >"$work/said" || true
        judge "$name" "$work/said"
        least best "$worst"
    done
    eval "$variable=$best"
}
echo "== how far from ICMP's round trip time on the same line of 20 ms, 50 probes"
on_core "$bench/engine_bench" ping 198.19.0.2 1 50 0 --list >"$work/icmp"
icmp=$(middle "$work/icmp")
echo "ICMP p50 $icmp us"
judge "oculi, ICMP" "$work/icmp"
least_of "oculi, SACK" oculi "$bench/engine_bench" ping 198.19.0.2 1 50 0 --protocol tcp --port 7000 --mode sack --list
least_of "the plain hole, fresh connection" plain "$bench/hole_bench" 198.19.0.2 7000 50 30000 0 0
least_of "the plain hole, after 2 MB" plain_after "$bench/hole_bench" 198.19.0.2 7000 50 30000 2000000 0
least_of "a hole nudged as the engine does it, after 2 MB" nudged "$bench/hole_bench" 198.19.0.2 7000 50 30000 2000000 7
record "SACK: the worst of 50 probes against ICMP, fresh connection" us 50 "$oculi" - "plain hole=$plain"
record "SACK: the same after 2 MB (nudged in the same way)" us 50 "$nudged" - "plain hole=$plain_after"
kill $line
wait $line || true
cat "$work/carried"
