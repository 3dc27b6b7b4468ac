#!/bin/sh
# Fuzzes every target for SECONDS each, in a build directory made with clang and -Dfuzz=true, and prints TAP. What a
# fuzzer finds new goes to the build directory; what makes it fail is named, to be put into tests/fuzz/corpus/.
#
# usage: OCULI_BUILD=DIRECTORY tests/fuzz/run.sh SECONDS [TARGET...]
set -eu

seconds=${1:?usage: OCULI_BUILD=DIRECTORY run.sh SECONDS [TARGET...]}
shift
here=$(cd "$(dirname "$0")" && pwd)
build=${OCULI_BUILD:?OCULI_BUILD names the build directory of the fuzzers}
[ $# -gt 0 ] || set -- $(cat "$build/tests/fuzz/targets")

echo "1..$#"
number=0 failed=0
for target in "$@"; do
    number=$((number + 1))
    found=$build/tests/fuzz/found/$target
    log=$build/tests/fuzz/$target.log
    mkdir -p "$found" "$found-bad"
    status=0
    "$build/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
        -print_final_stats=1 -artifact_prefix="$found-bad/" "$found" "$here/corpus/$target" >"$log" 2>&1 || status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    if [ "$status" = 0 ]; then
        echo "ok $number - $target: ${runs:-0} inputs, $(ls "$found" | wc -l) found to be new"
    else
        failed=$((failed + 1))
        echo "not ok $number - $target"
        grep -E '^==|ERROR|SUMMARY|Assertion|runtime error|Test unit written' "$log" | head -n 20 | sed 's/^/# /'
        echo "# the whole report: $log"
    fi
done
[ "$failed" = 0 ]
