#!/bin/sh
# A whole test, fifty echoes and three path traces of fifteen hops: CPU time of one when 10,000 start in a minute in one
# engine, what that takes of a core and of memory; then the memory of one test with its samples.
. "$(dirname "$0")/common"
path 15 20 >"$work/lab"
lab_options=--no-stamps # they would be taken at the expense of who sends
target=198.18.64.1
spend() { # COMMAND...: sets wall_s, cpu_s, rss_kb, tx
    eval "$(in_lab "$bench/spend_bench" --cpu 0 --interface lab0 --repeat "${runs:-1}" --output "$work/said" -- "$@")"
    note_others
}
member() { sed -n "s/.*\"$1\":\([0-9.]*\).*/\1/p" "$work/said"; }
echo "== 10,000 whole tests a minute (half a minute of it), 15 hops, 20 ms"
spend "$bench/engine_bench" test $target 5000 3 --spread 30000
ours=$(calc "$cpu_s / 5" 3)
share=$(calc "$cpu_s / 30 * 100" 1)
rss=$(calc "$rss_kb / 1000" 1)
echo "oculi: $ours ms CPU a test, $share % of a core, $rss MB, $(calc "$tx / 5000" 1) packets a test, sent $(member sent)," \
    "received $(member received), reached $(member reached) of 15000, overloaded $(member overloaded)"
spend "$bench/floor_bench" $target 10000 80000 --pps 16000 --tick 2000
floor=$(calc "$cpu_s / 80000 * 98 * 1000" 3)
echo "floor: $floor ms for 98 echoes in ticks of 2 ms at the same rate"

runs=2
addresses 200 64 >"$work/hosts"
spend scamper -p 10000 -w 1000 -O warts -o "$work/warts" -c "ping -c 50 -i 0.1" -f "$work/hosts"
scamper_ping=$cpu_s
sed 's/^/trace -P icmp-paris -q 1 /; p; p' "$work/hosts" >"$work/commands"
spend scamper -p 10000 -w 1000 -O warts -o "$work/warts" -O cmdfile -f "$work/commands"
scamper=$(calc "($cpu_s + $scamper_ping) / 0.2" 3)
echo "scamper: $scamper ms (of that $(calc "$scamper_ping / 0.2" 3) for the echoes)"
spend fping -q -c 50 -i 0.1 -p 40 -t 500 -f "$work/hosts"
fping_s=$cpu_s
for i in $(seq 1 60); do echo "traceroute -n -I -q1 $target >/dev/null 2>&1 &"; done >"$work/run"
echo wait >>"$work/run"
spend sh "$work/run"
fping=$(calc "$fping_s / 0.2 + $cpu_s / 0.02" 3)
echo "fping and three traceroutes: $fping ms (of that $(calc "$fping_s / 0.2" 3) for the echoes)"
record "a whole test: 50 echoes and 3 traces" ms 0.40 "$ours" "$floor" "scamper=$scamper" "fping+traceroute=$fping"
record "10,000 whole tests a minute: share of a core" % 8 "$share" "$(calc "$floor / 6 * 100" 1)"
record "10,000 whole tests a minute: memory" MB 80 "$rss" -

runs=1
echo "== memory of a test whose result is held"
spend "$bench/engine_bench" ping $target 1000 50 0 --hold --spread 1000
stream=$(member bytesPerTarget)
spend "$bench/engine_bench" test $target 1000 3 --hold --spread 1000
whole=$(member bytesPerTarget)
echo "oculi: $stream bytes with 50 samples, $whole with three traces of 15 hops besides"
record "memory of an ICMP test with its 50 samples" bytes 2048 "$stream" -
record "memory of a test with 50 samples and 3 traces" bytes 8192 "$whole" -
say_others
