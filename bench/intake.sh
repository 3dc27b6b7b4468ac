#!/bin/sh
# What simulated agents upload, through HTTPS and onto the disk, with one core for the server: batches of 500 rounds as after
# an outage and of 20 as all day, and what people who ask the API 500 times a second notice of it.
. "$(dirname "$0")/common"
. "$(dirname "$0")/server"

upload() { # VARIABLE NAME=VALUE...: keeps the least time a round, in us
    variable=$1
    shift
    for run in 1 2 3; do
        start_server
        agents intake seconds=8 "$@"
        [ "$(said duplicates)$(said refused)$(said failed)" = 000 ] || { cat "$work/said"; exit 1; }
        least "$variable" "$(calc "1e6 / $(said intake)")"
        echo "   $(said intake) rounds/s, $(said packed) bytes a round on the wire; loop: $(metric loop_slow_steps_total) turns of more than 10 ms," \
            "the longest $(metric loop_longest_step_seconds) s; longest flush $(metric store_flush_longest_seconds) s; $(resident_mb) MB"
        stop_server
    done
}

echo "-- rounds of metrics only, batches of 500"
upload metrics agents=16
echo "-- the same in batches of 20"
upload small agents=64 batch=20
echo "-- with the times of 50 probes"
upload samples agents=16 samples=50
echo "-- with the times of 50 probes and 3 path traces of 15 hops"
upload paths agents=16 samples=50 traces=3
# Debian's VictoriaMetrics keeps numbers too. It takes the five metrics of a round as five values, over plain HTTP, and answers
# before they are on the disk: what it is spared is TLS, the flush, the check that the agent may report, and the round's body.
# Its package is unpacked, not installed, because it would start a service.
peer=
metrics_server=$(command -v victoria-metrics || true)
if [ -z "$metrics_server" ] && (cd "$disk" && apt-get download victoria-metrics && dpkg-deb -x victoria-metrics_*.deb vm) >/dev/null 2>&1; then
    metrics_server=$disk/vm/usr/bin/victoria-metrics
fi
if [ -n "$metrics_server" ]; then
    echo "-- VictoriaMetrics, five values a round, plain HTTP, not durable"
    now=$(date +%s)
    awk -v now="$now" 'BEGIN { srand(1); for (slot = 0; slot < 1000; slot++) for (series = 0; series < 200; series++) {
        at = (now - 86400 + slot * 60) "000"; of = "{test=\"" series % 10 "\",agent=\"" int(series / 10) "\"} "
        printf "loss%s0 %s\navg%s%.3f %s\nmin%s%.3f %s\nmax%s%.3f %s\njitter%s%.3f %s\n", of, at, of, 20 + rand() * 3, at,
            of, 20 + rand(), at, of, 22 + rand(), at, of, rand(), at } }' >"$disk/rows"
    first taskset -c 0 "$metrics_server" -storageDataPath "$disk/peer" -httpListenAddr 127.0.0.1:18428 -loggerLevel ERROR &
    other=$!
    until curl -s -o "$work/said" http://127.0.0.1:18428/health; do sleep 0.2; done
    split -n l/40 "$disk/rows" "$disk/rows."
    for run in 1 2 3; do
        began=$(date +%s.%N)
        first taskset -c 1 sh -c 'for f; do curl -s --data-binary @"$f" http://127.0.0.1:18428/api/v1/import/prometheus; done' sh "$disk"/rows.??
        least peer "$(calc "($(date +%s.%N) - $began) * 1e6 / 200000")"
    done
    echo "   $(calc "1e6 / $peer" 0) rounds/s"
    kill "$other"
    wait "$other" 2>/dev/null || true
    peer="victoria-metrics=$peer"
fi
record "a round of metrics taken in (one core, HTTPS, durable)" us 20 "$metrics" - $peer
record "the same in batches of 20" us 20 "$small" -
record "a round with 50 times" us - "$samples" -
record "a round with 50 times and 3 traces of 15 hops" us 100 "$paths" -

echo "-- the API, 500 requests a second: alone, beside intake of metrics, beside intake of paths"
for run in 1 2 3; do
    start_server
    agents api api=500 seconds=6
    least alone "$(said api_p99)"
    stop_server
    start_server
    agents intake agents=16 seconds=10 api=500
    least busy "$(said api_p99)"
    echo "   p50 $(said api_p50) ms, p99 $(said api_p99) ms, longest $(said api_max) ms beside $(said intake) rounds/s"
    stop_server
    start_server
    agents intake agents=16 seconds=10 api=500 samples=50 traces=3
    least busy_paths "$(said api_p99)"
    echo "   p50 $(said api_p50) ms, p99 $(said api_p99) ms, longest $(said api_max) ms beside $(said intake) rounds/s with paths"
    stop_server
done
record "API p99 at 500/s beside full intake (floor: nothing beside)" ms 25 "$busy" "$alone"
record "API p99 at 500/s beside full intake with paths" ms 25 "$busy_paths" "$alone"
