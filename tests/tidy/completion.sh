#!/bin/sh
# Every option that a program's --help lists is completed by what its `completion bash` prints, and nothing else is.
# usage: completion.sh DIRECTORY-OF-THE-PROGRAMS
set -u
command -v bash >/dev/null || { echo "1..0 # SKIP bash is not installed"; exit 0; }
programs=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
number=0
failed=0

tell() { # whether it is right (0 = yes), what
    number=$((number + 1))
    [ "$1" = 0 ] && { echo "ok $number - $2"; return; }
    failed=1
    echo "not ok $number - $2"
}

options_of() { # the help of a command on standard input
    sed -n -E 's/^  (-., )?(--[a-z0-9-]+).*/\2/p' | grep -v -x -e --help -e --version | sort -u
}

# What is offered when these words have been typed, the last one not to its end.
offered() {
    # shellcheck disable=SC2016 # it is for bash
    bash -c '. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); "_${1//-/_}"; printf "%s\n" "${COMPREPLY[@]}"' \
        "$work/$1.bash" "$@"
}

check() { # program and command
    if [ "$1" = oculi ]; then
        shift
        "$programs/oculi" help "$@" | options_of >"$work/listed"
        set -- oculi "$@"
    elif [ $# -gt 1 ]; then
        "$programs/$1" "$2" --help | options_of >"$work/listed"
    else
        "$programs/$1" --help | options_of >"$work/listed"
    fi
    offered "$@" -- | options_of_words >"$work/offered"
    cmp -s "$work/listed" "$work/offered" && [ -s "$work/listed" ]
    tell $? "options of $*"
    diff "$work/listed" "$work/offered" | sed -n 's/^[<>]/# &/p'
}

options_of_words() {
    sed 's/^/  /' | options_of
}

is_offered() { # expected answer, then what has been typed
    wanted=$1
    shift
    [ "$(offered "$@" | tr '\n' ' ')" = "$wanted " ]
    tell $? "$*"
}

for program in oculi oculid oculi-agent; do
    "$programs/$program" completion bash >"$work/$program.bash" && bash -n "$work/$program.bash"
    tell $? "$program: bash reads it"
done
check oculi ping
check oculi trace
check oculi mtr
check oculi paths
check oculi measure agent-to-server
check oculid
check oculid admin
check oculi-agent
offered oculid admin -- | options_of_words >"$work/listed"
offered oculi admin -- | options_of_words | cmp -s "$work/listed" -
tell $? "options of oculi admin"
is_offered "trace" oculi tr
is_offered "auto sack syn" oculi ping --mode ""
is_offered "sack syn" oculi ping --mode = s
is_offered "agent-to-server" oculi measure agent-to
is_offered "--geo-dir" oculi mtr --geo
is_offered "bash" oculi completion b
is_offered "local" oculi-agent --resolve-names lo
for program in oculi oculid oculi-agent; do # the same for fish
    "$programs/$program" completion fish >"$work/$program.fish"
    sed -n -E 's/.* -l ([a-z0-9-]+)( .*|$)/--\1/p' "$work/$program.fish" | options_of_words >"$work/fish"
    grep -o -e "--[a-z0-9-]*[a-z0-9]" "$work/$program.bash" | options_of_words | cmp -s "$work/fish" -
    tell $? "$program: fish has the same options"
done
echo "1..$number"
exit $failed
