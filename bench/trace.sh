#!/bin/sh
# Path traces over fifteen hops in the simulated internet: how long they take, how many packets, how much CPU time; three
# and ten at once of one path, then thousands, then ten thousand with TCP.
. "$(dirname "$0")/common"
target=198.18.64.1
spend() { # COMMAND...: the cheapest of some runs; sets wall_s, cpu_s, tx
    eval "$(in_lab "$bench/spend_bench" --cpu 0 --interface lab0 --repeat ${runs:-2} --output "$work/said" -- "$@")"
    note_others
}
member() { sed -n "s/.*\"$1\":\([0-9.]*\).*/\1/p" "$work/said"; }
ms() { calc "$1 * 1000" "${2:-0}"; }
oculi() { # VARIABLE FLOWS OPTIONS...: the clock stops when the last answer is judged, as for the peers at their end
    variable=$1 flows=$2
    shift 2
    spend "$bench/engine_bench" trace $target 1 "$flows" "$@"
    wall=$(ms "$(member wallS)" 1)
    printf '%-34s %8s ms  %4d packets  %6s ms CPU\n' "oculi $*" "$wall" "$tx" "$(ms "$cpu_s" 1)"
    eval "$variable=$wall ${variable}_packets=$tx"
}
peer() { # NAME COMMAND...
    name=$1
    shift
    spend "$@"
    printf '%-34s %8s ms  %4d packets  %6s ms CPU\n' "$name" "$(ms "$wall_s" 1)" "$tx" "$(ms "$cpu_s" 1)"
    eval "${name%%_*}=$(ms "$wall_s" 1) ${name%%_*}_packets=$tx"
}
many() { # HOW_MANY COMMAND with @ for the number
    seq 1 "$1" | sed "s|.*|$2|; s|$| >/dev/null 2>\&1 \&|" | awk -v c="$2" '{ gsub("@", NR); print } END { print "wait" }'
}
all() { # FLOWS RTT_MS GOAL_KNOWN GOAL_UNKNOWN
    echo "== $1 traces at once, 15 hops, $2 ms; with 'distance' the engine knows it from the round before"
    path 15 "$2" >"$work/lab"
    for protocol in icmp udp tcp; do
        oculi "known_$protocol" "$1" --protocol $protocol --distance 15
        oculi "unknown_$protocol" "$1" --protocol $protocol
    done
    many "$1" "traceroute -n -I -q1 $target" >"$work/run"
    peer traceroute_icmp sh "$work/run"
    many "$1" "traceroute -n -q1 $target" >"$work/run"
    peer traceroute_udp sh "$work/run"
    for i in $(seq 1 "$1"); do echo "trace -P udp-paris -q 1 -d $((33434 + i * 101)) $target"; done >"$work/commands"
    peer scamper_paris scamper -p 10000 -w 1000 -O warts -o "$work/warts" -O cmdfile -f "$work/commands"
    many "$1" "mtr -n -c1 -r $target" >"$work/run"
    runs=1
    peer mtr_icmp sh "$work/run"
    runs=2
    peers="traceroute=$traceroute scamper=$scamper mtr=$mtr"
    record "$1 traces of 15 hops at $2 ms, distance known" ms "$3" "$known_icmp" "$2" $peers
    record "$1 traces of 15 hops at $2 ms, distance not known" ms "$4" "$unknown_icmp" "$2" $peers
    record "$1 traces of 15 hops at $2 ms, TCP, not known" ms "$4" "$unknown_tcp" "$2" $peers
    [ "$1" != 3 ] || record "packets of 3 traces of 15 hops at $2 ms" "" 54 "$unknown_icmp_packets" 48 \
        "traceroute=$traceroute_packets" "scamper=$scamper_packets" "mtr=$mtr_packets"
}
all 3 20 40 40
all 10 20 45 45
all 3 100 160 220

echo "== 1500 traces of 15 hops, 20 ms: CPU time"
path 15 20 >"$work/lab"
lab_options=--no-stamps # they would be taken at the expense of who sends
spend "$bench/engine_bench" trace $target 500 3
ours=$(calc "$cpu_s * 1e6 / 1500" 1)
echo "oculi: $ours us a trace, $(calc "$tx / 1500" 1) packets of each, $(member wallS) s"
spend "$bench/engine_bench" trace $target 500 3 --distance 15
known=$(calc "$cpu_s * 1e6 / 1500" 1)
echo "oculi, distance known: $known us a trace, $(calc "$tx / 1500" 1) packets of each, $(member wallS) s"
runs=1
addresses 1500 64 | sed 's/^/trace -P icmp-paris -q 1 /' >"$work/commands"
spend scamper -p 10000 -w 2000 -O warts -o "$work/warts" -O cmdfile -f "$work/commands"
scamper=$(calc "$cpu_s * 1e6 / 1500" 1)
echo "scamper: $scamper us a trace, $(calc "$tx / 1500" 1) packets of each, $wall_s s"
many 100 "traceroute -n -I -q1 $target" >"$work/run"
spend sh "$work/run"
traceroute=$(calc "$cpu_s * 1e6 / 100" 1)
echo "traceroute (100 processes): $traceroute us a trace, $wall_s s"
record "CPU a trace of 15 hops" us 100 "$ours" - "scamper=$scamper" "traceroute=$traceroute"
record "CPU a trace of 15 hops, distance known" us 100 "$known" - "scamper=$scamper" "traceroute=$traceroute"

echo "== 10,000 concurrent TCP traces"
lab_options=
addresses 10000 64 | sed 's/^/trace -P tcp -q 1 -d 80 /' >"$work/commands"
in_lab taskset -c 0 "$bench/engine_bench" trace $target 10000 1 --protocol tcp >"$work/said" 2>&1 || true
ours=$((10000 - $(member reached)))
echo "oculi: $(member reached) of 10000 reached the target, $(member wallS) s, $(member usPerProbe) us a packet"
status=0
in_lab taskset -c 0 timeout 60 scamper -p 10000 -w 10000 -O json -o "$work/said" -O cmdfile -f "$work/commands" >"$work/err" 2>&1 || status=$?
reached=$(grep -c '"stop_reason":"COMPLETED"' "$work/said" || true)
missed=$((10000 - reached))
[ "$status" -lt 128 ] || missed="crashed (status $status)"
echo "scamper: $reached of 10000 completed, status $status"
record "10000 concurrent TCP traces: did not reach the target" "" 0 "$ours" 0 "scamper=$missed"
say_others
