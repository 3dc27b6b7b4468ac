#!/bin/sh
# What keeping results for long takes: size, speed of folding, long timelines. Usage: years.sh [BUILD [DAYS]]. 90 days take some
# minutes and 1 GB of disk.
set -eu
dir=$(mktemp -d "${TMPDIR:-/var/tmp}/oculi-bench.XXXXXX")
trap 'rm -rf "$dir"' EXIT INT TERM
"${1:-${OCULI_BUILD:-build}}/bench/years_bench" "$dir" "${2:-90}"
