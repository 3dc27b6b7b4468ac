#!/bin/sh
# Holds the tree against the rules of the house; prints TAP.
#
# usage: tidy.sh ROOT BUILD
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/rules.sh"

BUILD=$(cd "$2" && pwd)
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT
cd "$1"

# shellcheck disable=SC2086
set -- $RULES
echo "1..$#"
number=0 failed=0
for rule in "$@"; do
    number=$((number + 1))
    "rule_$rule" >"$SCRATCH/found" 2>&1
    if [ -s "$SCRATCH/found" ]; then
        failed=$((failed + 1))
        echo "not ok $number - $rule"
        sed 's/^/# /' "$SCRATCH/found" | head -n 40
    else
        echo "ok $number - $rule"
    fi
done
[ "$failed" = 0 ]
