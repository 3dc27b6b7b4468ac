#!/bin/sh
# Phantom loss: what a prober tells as lost on a path that loses nothing, when it asks 5000 targets at once from a core that
# two busy loops share with it.
. "$(dirname "$0")/common"
path 3 20 >"$work/lab"
addresses 5000 64 >"$work/five"
probes=5
member() { sed -n "s/.*\"$2\":\([0-9.]*\).*/\1/p" "$1"; }
oculi() {
    in_lab taskset -c 0 "$bench/engine_bench" ping 198.18.64.1 5000 $probes 0 --all-at-once "$@" >"$work/said"
    sent=$(member "$work/said" sent) received=$(member "$work/said" received)
    left_out=$(member "$work/said" overloaded) dropped=$(member "$work/said" dropped)
    loss=$(calc "$sent ? 100 * ($sent - $received) / $sent : 0" 1)
}
fping_() {
    in_lab taskset -c 0 fping -q -c $probes -i 0 -p 200 -f "$work/five" >"$work/said" 2>&1 || true
    loss=$(awk 'sub(/.*loss = /, "") { split($0, a, "/"); x += a[1]; r += a[2] }
                END { printf "%.1f", x ? 100 * (x - r) / x : 0 }' "$work/said")
}
scamper_() {
    in_lab taskset -c 0 scamper -p 10000 -w 5000 -O json -o "$work/said" -c "ping -c $probes -i 0.2" -f "$work/five" >/dev/null 2>&1 || true
    loss=$(sed -n 's/.*"ping_sent":\([0-9]*\),.*"statistics":{"replies":\([0-9]*\),.*/\1 \2/p' "$work/said" |
        awk '{ x += $1; r += $2 } END { printf "%.1f", x ? 100 * (x - r) / x : 0 }')
}
most() { eval "[ \"\$(calc \"\$loss > \${$1:-0}\" 0)\" = 0 ] || $1=\$loss"; }
echo "== 5000 targets at once, $probes probes each, 20 ms, nothing truly lost, two busy loops on the core: % told as lost"
oculi_loss=0 fping_loss=0 scamper_loss=0
fping_
echo "fping on a quiet core: loss $loss %"
scamper_
echo "scamper on a quiet core: loss $loss %"
busy_on
for round in 1 2 3; do
    oculi
    echo "oculi: loss $loss % of $sent, left out as overloaded $left_out, dropped by this host $dropped," \
        "round trip p50/p99.9 $(member "$work/said" p50)/$(member "$work/said" p999) us"
    most oculi_loss
    fping_
    echo "fping: loss $loss %"
    most fping_loss
    scamper_
    echo "scamper (10000/s): loss $loss %"
    most scamper_loss
done
record "loss told on a lossless path, 5000 targets at once, busy core" % 0 "$oculi_loss" 0 "fping=$fping_loss" \
    "scamper=$scamper_loss"
busy_off
oculi --rcvbuf 30000
echo "oculi with a receive buffer of 60 kB: loss $loss %, left out as overloaded $left_out, dropped by this host $dropped"
record "the same of what a receive buffer of 60 kB let through" % 0 "$loss" 0
