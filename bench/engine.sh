#!/bin/sh
# What the probe engine costs, how right it is, and what it loses, with fping beside it on the same paths. Makes its own
# network namespaces (oc-bench-*). Needs root.
# usage: bench/engine.sh [BUILD]
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
build=${1:-${OCULI_BUILD:-$top/build}}
bench=$build/bench/engine_bench
work=$(mktemp -d)
near=oc-bench-near
far=oc-bench-far
busy=
clean() {
    for p in $busy; do kill "$p" 2>/dev/null || true; done
    ip netns del $near 2>/dev/null || true
    ip netns del $far 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM

# A pair of interfaces whose far end answers for a whole /16.
ip netns add $near
ip netns add $far
ip link add ocb0 netns $near type veth peer name ocb1 netns $far
ip -n $near addr add 198.19.0.1/30 dev ocb0
ip -n $far addr add 198.19.0.2/30 dev ocb1
for end in "$near ocb0" "$far ocb1"; do
    set -- $end
    ip -n "$1" link set lo up
    ip -n "$1" link set "$2" up
    ip netns exec "$1" sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv4.icmp_msgs_per_sec=100000000 \
        net.ipv4.icmp_msgs_burst=10000000
done
ip -n $near route add 198.18.0.0/16 via 198.19.0.2
ip -n $far route add local 198.18.0.0/16 dev lo
on_near() { ip netns exec $near taskset -c 0 "$@"; }

# CPU time of a command over a number of probes.
cost() { # NAME PROBES COMMAND...
    name=$1
    probes=$2
    shift 2
    (times >"$work/t0"; on_near "$@" >/dev/null 2>&1 || true; times >"$work/t1"
     cat "$work/t0" "$work/t1" | awk -v name="$name" -v n="$probes" '
        NR % 2 == 0 { split($1, u, /[ms]/); split($2, s, /[ms]/); c[NR / 2] = u[1] * 60 + u[2] + s[1] * 60 + s[2] }
        END { printf "%s: %.2f us/probe\n", name, (c[2] - c[1]) * 1e6 / n }')
}
seq 0 999 | awk '{ printf "198.18.%d.%d\n", int(($1 + 1) / 256), ($1 + 1) % 256 }' >"$work/thousand"
echo "== cost, 1000 targets, the far end's answers included"
for load in "400 100000" "100 8333" "10 833"; do
    set -- $load
    printf '%s probes/s: ' "$2"
    on_near "$bench" ping 198.18.0.1 1000 "$1" "$2"
done
cost "fping as fast as it goes" 50000 fping -q -c 50 -i 0 -p 10 -f "$work/thousand"
cost "fping at 8333/s" 50000 fping -q -c 50 -i 0.12 -p 120 -f "$work/thousand"
cost "fping at 833/s" 10000 fping -q -c 10 -i 1.2 -p 1200 -f "$work/thousand"

echo "== error of the round trip time against a capture on the interface; then with two busy loops on the core"
on_near "$bench" ping 198.18.0.1 1 1000 100 --tap ocb0
for i in 1 2; do
    taskset -c 0 sh -c 'while :; do :; done' &
    busy="$busy $!"
done
on_near "$bench" ping 198.18.0.1 1 1000 100 --tap ocb0

# Phantom loss: a path of 20 ms on which nothing is lost, from a busy core.
cat >"$work/twenty.lab" <<'LAB'
vantage v address 198.18.0.2/24
router r1
router r2
link v r1 delay 1ms
link r1 r2 delay 4ms
block 198.18.64.0/18 behind r2 delay 5ms
LAB
seq 0 4999 | awk '{ printf "198.18.%d.%d\n", 64 + int(($1 + 1) / 256), ($1 + 1) % 256 }' >"$work/five"
lab() { "$build/oculi-lab" run "$work/twenty.lab" --prefix oc-bench -- taskset -c 0 "$@"; }
echo "== 5000 targets at once, 5 probes each, two busy loops on the core, no true loss"
lab "$bench" ping 198.18.64.1 5000 5 0 --all-at-once
lab fping -q -c 5 -i 0 -p 200 -f "$work/five" 2>&1 | awk '
    sub(/.*loss = /, "") { split($0, a, "/"); x += a[1]; r += a[2] }
    END { printf "fping: sent %d, received %d, loss %.1f %%\n", x, r, x ? 100 * (x - r) / x : 0 }'
for p in $busy; do kill "$p"; done
busy=
echo "== 5000 targets at once into a receive buffer of 60 kB: what this host drops is told as such"
lab "$bench" ping 198.18.64.1 5000 5 0 --all-at-once --rcvbuf 30000
echo "== 1500 path traces of three flows at once"
lab "$bench" trace 198.18.64.1 1500 3
