#!/bin/sh
# The store: durable intake, timelines and rounds over a day of fifty agents. Needs about 600 MB of disk.
set -eu
dir=$(mktemp -d "${TMPDIR:-/var/tmp}/oculi-bench.XXXXXX")
trap 'rm -rf "$dir"' EXIT INT TERM
"${1:-${OCULI_BUILD:-build}}/bench/store_bench" "$dir"
