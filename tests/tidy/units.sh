#!/bin/sh
# The systemd units: what systemd itself thinks of them. Exposure is what systemd-analyze security computes, from 0 (least)
# to 10; the ceilings are what the units reach, and a change that makes one worse has to say so here.
set -eu
cd "$1"
echo "TAP version 13"
echo "1..4"
if ! command -v systemd-analyze >/dev/null 2>&1; then
    for n in 1 2 3 4; do echo "ok $n - units # SKIP there is no systemd-analyze here"; done
    exit 0
fi
number=0
check() { # NAME COMMAND...
    number=$((number + 1))
    name=$1
    shift
    if "$@"; then echo "ok $number - $name"; else echo "not ok $number - $name"; fi
}
exposure() { # UNIT CEILING
    figure=$(systemd-analyze security --offline=yes "packaging/systemd/$1" 2>/dev/null | sed -n 's/.*Overall exposure level for [^:]*: \([0-9.]*\).*/\1/p')
    echo "# $1: exposure $figure of at most $2"
    awk -v is="${figure:-99}" -v most="$2" 'BEGIN {exit !(is <= most)}'
}
# The programs are not installed where they are built; everything else systemd says is a fault.
is_understood() {
    said=$(systemd-analyze verify --man=no "packaging/systemd/$1" 2>&1 | grep "$1" | grep -v 'is not executable: No such file') || :
    [ -z "$said" ] || { echo "$said" | sed 's/^/# /'; return 1; }
}
check "oculid.service exposes little" exposure oculid.service 1.2
check "oculi-agent.service exposes what raw sockets need" exposure oculi-agent.service 2.2
check "oculid.service is understood" is_understood oculid.service
check "oculi-agent.service is understood" is_understood oculi-agent.service
