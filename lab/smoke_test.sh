#!/bin/sh
# oculi-lab with the tools everybody has, in real namespaces: TAP. Skips aloud without root, /dev/net/tun or the tools.
# usage: smoke_test.sh OCULI-LAB SCENARIOS
set -u
lab=$1 scenarios=$2 prefix=oc-smoke$$
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
number=0

say() { # say STATUS DESCRIPTION: 0 is good
    number=$((number + 1))
    if [ "$1" = 0 ]; then echo "ok $number - $2"; else echo "not ok $number - $2"; sed 's/^/# /' "$work/out"; fi
}
skip_all() { echo "1..0 # SKIP $1"; exit 0; }
value() { # value NAME: of the first echo stream in the truth
    grep -o '"kind":"echo".*' "$work/truth" | head -n 1 | grep -o "\"$1\":[0-9]*" | head -n 1 | cut -d : -f 2
}
run() { # run SCENARIO COMMAND...
    scenario=$1
    shift
    "$lab" run "$scenarios/$scenario.lab" --prefix "$prefix" --truth "$work/truth" -- "$@" >"$work/out" 2>&1
}

[ "$(id -u)" = 0 ] || skip_all "network namespaces need root"
[ -c /dev/net/tun ] || skip_all "there is no /dev/net/tun"
for tool in ping fping ip; do command -v "$tool" >/dev/null || skip_all "there is no $tool"; done

run clean ping -n -q -c 10 -i 0.02 app.example.net
[ $? = 0 ] && grep -q "10 received" "$work/out"
say $? "ping by name through a quiet network"
run clean ping -n -q -6 -c 5 -i 0.02 2001:db8:a::10
[ $? = 0 ] && grep -q "5 received" "$work/out"
say $? "ping over IPv6"

run loss-both fping -q -c 200 -p 25 198.18.10.10
sent=$(value sent) received=$(value received)
grep -q "xmt/rcv/%loss = $sent/$received/" "$work/out"
say $? "fping counts $sent sent and $received received, as the truth does"

run clean sh -c 'exit 7'
[ $? = 7 ]
say $? "the command's exit status is the lab's"
run clean sh -c 'kill -TERM $$'
[ $? = 143 ]
say $? "a command that dies of a signal is told as 128 and its number"
[ ! -e "/run/netns/$prefix-ams" ]
say $? "namespaces are gone afterwards"

"$lab" run "$scenarios/clean.lab" --prefix "$prefix" --truth "$work/truth" >"$work/ready" 2>"$work/out" &
pid=$!
until [ -s "$work/ready" ] || ! kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
"$lab" exec "$prefix-ams" ping -n -q -c 3 -i 0.02 app.example.net >"$work/out" 2>&1
say $? "a command in a running lab"
"$lab" run "$scenarios/clean.lab" --prefix "$prefix" >"$work/out" 2>&1
[ $? = 1 ] && grep -q "a lab of this prefix is running" "$work/out"
say $? "a second lab of the same prefix is refused"
rm -f "$work/truth"
kill -USR1 "$pid"
tries=0
until [ -s "$work/truth" ] || [ "$tries" = 100 ]; do sleep 0.05; tries=$((tries + 1)); done
[ "$(value received)" = 3 ]
say $? "the truth on SIGUSR1"
kill -KILL "$pid"
wait "$pid" 2>/dev/null
run clean ping -n -q -c 1 198.18.10.10
say $? "a lab takes the place of one that was killed"
[ ! -e "/run/netns/$prefix-ams" ] && [ ! -e "/run/oculi-lab/$prefix.pid" ]
say $? "and leaves nothing behind"

"$lab" run "$scenarios/nothing.lab" --prefix "$prefix" >"$work/out" 2>&1
[ $? = 1 ] && grep -q "nothing.lab" "$work/out"
say $? "a missing scenario is named"
"$lab" run --frobnicate x >"$work/out" 2>&1
[ $? = 2 ] && grep -q -e "--frobnicate" "$work/out"
say $? "an unknown option is named"
if command -v setpriv >/dev/null; then
    chmod 755 "$work" && cp "$lab" "$work/oculi-lab" && cp "$scenarios"/clean.lab "$scenarios"/chain.inc "$work"
    setpriv --reuid 65534 --clear-groups "$work/oculi-lab" run "$work/clean.lab" >"$work/out" 2>&1
    [ $? = 1 ] && grep -q "needs root" "$work/out"
    say $? "without root it says so"
fi
echo "1..$number"
