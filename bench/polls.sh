#!/bin/sh
# Ten thousand agents that hold a long poll over TLS: the server's memory, and how soon all have a plan that changes.
. "$(dirname "$0")/common"
. "$(dirname "$0")/server"

start_server
before=$(resident_mb)
agents polls agents=10000 seconds=2
held=$(said polls_held) told=$(said told)
[ "$held" = 10000 ] && [ "$told" = 10000 ] || { cat "$work/said"; exit 1; }
memory=$(awk '/VmHWM/ { printf "%.0f", $2 / 1000 }' "/proc/$server/status")
change=$(calc "$(said plan_change_max) / 1000" 2)
echo "   $held held after $(said connected) s; at most $memory MB ($before MB without agents); a test given to all: the last has it" \
    "after $change s, half of them after $(said plan_change_p50) ms"
stop_server
record "10,000 long polls over TLS, memory" MB 500 "$memory" -
record "a plan change reaches the last of them" s 5 "$change" -
