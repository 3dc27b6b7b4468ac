#!/bin/sh
# CPU time of a probe with the kernel's stamps in both directions, at three rates, to many targets over a pair of
# interfaces. The floor is a bare loop of batches with the same stamps (floor.c). What a program spends before its first
# packet is taken off; the work of the far end, which the kernel does in the sender's time, is in every figure alike.
. "$(dirname "$0")/common"
veth

addresses 1 0 >"$work/one"
spend() { # VARIABLE PROBES COMMAND...: keeps the least CPU in us a probe
    variable=$1
    probes=$2
    shift 2
    eval "$(on_near "$bench/spend_bench" --cpu 0 --interface ocb0 --timeout 60 -- "$@")"
    note_others
    [ "$status" = 0 ] && [ "$tx" -ge "$probes" ] || { echo "   $1 sent $tx of $probes (status $status)"; return 0; }
    least "$variable" "$(calc "($cpu_s - ${start_s:-0}) * 1e6 / $probes")"
}
start() { # VARIABLE COMMAND...: CPU seconds of a run with next to nothing to do
    variable=$1
    shift
    for i in 1 2 3; do
        eval "$(on_near "$bench/spend_bench" --cpu 0 -- "$@")"
        least "$variable" "$cpu_s"
    done
}
start ours_start "$bench/engine_bench" ping 198.18.0.1 1 1 0
start scamper_start scamper -p 10000 -O warts -o "$work/warts" -c "ping -c 1" -f "$work/one"
start fping_start fping -q -c 1 -f "$work/one"

measure() { # RATE TARGETS PROBES_OF_EACH TICK_US GOAL; fping knows a gap between packets, scamper a ceiling of 10000 packets/s
    rate=$1 targets=$2 each=$3 tick=$4 goal=$5
    count=$((each * targets))
    ours= scamper= fping= floor= cmsg= bare= deaf=
    scamper_rate=$rate
    [ "$rate" -le 10000 ] || scamper_rate=10000
    gap_ms=$(calc "1000 / $rate" 2)
    period_ms=$(calc "$targets * 1000 / $rate" 0)
    addresses "$targets" 0 >"$work/targets"
    for round in 1 2 3; do
        start_s=$ours_start
        spend ours $count "$bench/engine_bench" ping 198.18.0.1 "$targets" "$each" "$rate"
        start_s=$fping_start
        spend fping $count fping -q -c "$each" -i "$gap_ms" -p "$period_ms" -f "$work/targets"
        start_s=$scamper_start
        spend scamper $count scamper -p $scamper_rate -w 1000 -O warts -o "$work/warts" \
            -c "ping -c $each -i $(calc "$targets / $scamper_rate" 2)" -f "$work/targets"
        start_s=0
        spend floor $count "$bench/floor_bench" 198.18.0.1 "$targets" $count --pps "$rate" --tick "$tick"
        spend cmsg $count "$bench/floor_bench" 198.18.0.1 "$targets" $count --pps "$rate" --tick "$tick" --send cmsg
        spend bare $count "$bench/floor_bench" 198.18.0.1 "$targets" $count --pps "$rate" --tick "$tick" --no-stamps
        spend deaf $count "$bench/floor_bench" 198.18.0.1 "$targets" $count --pps "$rate" --tick "$tick" --deaf
    done
    echo "$rate/s: oculi $ours, floor $floor (with control messages $cmsg, without transmit stamps $bare, sending alone $deaf)," \
        "scamper ${scamper:-?} (at $scamper_rate/s, one stamp), fping ${fping:-?} (one stamp) us a probe"
    record "CPU a probe at $rate/s, both stamps" us "$goal" "$ours" "$floor" "scamper=${scamper:--}" "fping=${fping:--}"
}
echo "== CPU time of a probe: least of three runs"
measure 100000 1000 50 1000 4.5
measure 8300 1000 20 4000 8
measure 833 100 30 5000 15
say_others
