#!/bin/sh
# How exact and how fast the simulated internet is on this machine: error of the delay as kernel stamps see it, with
# the lab sleeping, watching the clock, and beside a busy core; then echoes a second. Needs root.
# usage: bench/lab.sh [BUILD]
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
build=${1:-$top/build}
scenario=$(mktemp --suffix=.lab)
trap 'rm -f "$scenario"' EXIT
cat >"$scenario" <<'LAB'
vantage v address 198.18.1.2/24
router r1
router r2
router r3
router r4
router r5
block 198.18.32.0/20 behind r5 delay 1ms
link v r1 delay 1ms
link r1 r2 delay 2ms
link r2 r3 delay 2ms
link r3 r4 delay 2ms
link r4 r5 delay 2ms
LAB
lab() { # OPTIONS... -- what to measure
    "$build/oculi-lab" run "$scenario" --prefix "${OCULI_BENCH_PREFIX:-oc-bench}" "$@"
}
echo "20 ms, 1000 echoes/s:"
lab -- "$build/bench/lab_bench" exact 198.18.32.1 20000 5000 1000
echo "20 ms, 50 echoes/s:"
lab -- "$build/bench/lab_bench" exact 198.18.32.1 20000 250 20000
echo "20 ms, 1000 echoes/s, --busy:"
lab --busy -- "$build/bench/lab_bench" exact 198.18.32.1 20000 5000 1000
echo "six hops, 4096 hosts, as fast as it goes:"
lab -- "$build/bench/lab_bench" flood 198.18.32.0 4096 1000000 4000
