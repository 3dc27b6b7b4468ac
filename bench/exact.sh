#!/bin/sh
# How far a prober's round trip times are, either way, from those between the kernel's stamps on the device, probe by probe,
# over a path of 20 ms: first on a core of its own, then on one with two busy loops. (fping and ping print three digits, hping3
# as many tenths of a millisecond.)
. "$(dirname "$0")/common"
path 2 20 >"$work/lab"
lab_options=--no-stamps # a second capture before the driver would come between the stamps that are compared
target=198.18.64.1

# Number and microseconds of each answered probe, from what each program prints.
read_oculi() { cat "$1"; }
read_fping() { sed -n 's/.*\[\([0-9]*\)\], .* bytes, \([0-9.]*\) ms.*/\1 \2/p' "$1" | awk '{ print $1, $2 * 1000 }'; }
read_ping() { sed -n 's/.*icmp_seq=\([0-9]*\) .*time=\([0-9.]*\) ms.*/\1 \2/p' "$1" | awk '{ print $1 - 1, $2 * 1000 }'; }
read_hping3() { sed -n 's/.*icmp_seq=\([0-9]*\) rtt=\([0-9.]*\) ms.*/\1 \2/p' "$1" | awk '{ print $1, $2 * 1000 }'; }
read_mtr() { awk '$1 == "x" { n[$3] = i++ } $1 == "p" { print n[$4], $3 }' "$1"; }
read_scamper() {
    sed 's/{"from"/\n&/g' "$1" | sed -n 's/^{"from".*"seq":\([0-9]*\),.*"rtt":\([0-9.]*\),.*/\1 \2/p' | awk '{ print $1, $2 * 1000 }'
}
try() { # NAME COMMAND...: sets p50, p99, p999, max and n of the error in us
    name=$1
    shift
    in_lab "$bench/tapped_bench" lab0 0 "$work/said" "$@" >"$work/truth"
    "read_$name" "$work/said" | awk 'NR == FNR { truth[$1] = $2; next } truth[$1] + 0 > 0 { e = $2 - truth[$1]; print e < 0 ? -e : e }' \
        "$work/truth" - | sort -g >"$work/errors"
    eval "$(awk '{ e[NR] = $1 } END {
        if (NR == 0) { print "n=0 p50=- p99=- p999=- max=-"; exit }
        printf "n=%d p50=%.1f p99=%.1f p999=%.1f max=%.1f", NR, e[int(NR * 0.5) + 1], e[int(NR * 0.99) + (NR * 0.99 < NR)],
               e[int(NR * 0.999) + (NR * 0.999 < NR)], e[NR] }' "$work/errors")"
    printf '%-10s %-8s n %5d   p50 %9s   p99 %9s   p99.9 %9s   max %9s us\n' "$name" "$how" "$n" "$p50" "$p99" "$p999" "$max"
    eval "${name}_p99=$p99 ${name}_p999=$p999"
}
all() { # GOAL_P99 GOAL_P999
    try oculi "$bench/engine_bench" ping $target 1 1000 200 --list
    try scamper scamper -p 1000 -O json -I "ping -c 60 -i 0.1 $target"
    try fping fping -c 500 -p 10 -t 500 $target
    try ping ping -n -c 300 -i 0.01 $target
    try mtr mtr --raw -n -f 2 -m 2 -i 0.01 -c 300 $target
    try hping3 hping3 -1 -n -c 200 -i u10000 $target
    record "error of the round trip time, p99, $how core" us 5 "$oculi_p99" - "scamper=$scamper_p99" "fping=$fping_p99" \
        "ping=$ping_p99" "mtr=$mtr_p99" "hping3=$hping3_p99"
    record "error of the round trip time, p99.9, $how core" us 20 "$oculi_p999" - "fping=$fping_p999" "ping=$ping_p999" \
        "mtr=$mtr_p999" "hping3=$hping3_p999"
}
echo "== error of the round trip time against the kernel's stamps on the device, 20 ms"
how=quiet
all
how=busy
busy_on
all
