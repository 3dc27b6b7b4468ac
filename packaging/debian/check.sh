#!/bin/sh
# Installs, upgrades, removes and purges the packages in a Debian of their own, and looks at what each step leaves. As root:
#   [OCULI_DEBIAN=DIR] packaging/debian/check.sh NEW [OLD]
# NEW: the folder ./dev deb made (build/deb); OLD: that of an older version to upgrade from. OCULI_DEBIAN: what
# debootstrap --variant=minbase bookworm made, to be copied; without it that runs here.
set -eu
[ "$(id -u)" = 0 ] || { echo "this needs root (chroot)" >&2; exit 2; }
new=$(cd "$1" && pwd) old=${2:+$(cd "$2" && pwd)}
root=$(mktemp -d /var/tmp/oculi-deb-XXXXXX)
cleanup() {
    umount "$root/proc" 2>/dev/null || :
    rm -rf "$root"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

step() { printf '==> %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*"; exit 1; }
in_it() { chroot "$root" env DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"; }
apt() { in_it apt-get -q -y --no-install-recommends "$@" >"$root/apt.log" 2>&1 || { tail -n 20 "$root/apt.log"; fail "apt-get $*"; }; }
is() { # is WHAT TEST...
    what=$1
    shift
    "$@" || fail "$what"
    printf 'ok - %s\n' "$what"
}
mode() { in_it stat -c '%A %U:%G' "$1"; }
has_unit_link() { in_it test -L "/etc/systemd/system/multi-user.target.wants/$1"; }
none() { ! in_it sh -c "$1" >/dev/null 2>&1; }

step "a minimal Debian"
if [ -n "${OCULI_DEBIAN:-}" ]; then
    cp -a "$OCULI_DEBIAN/." "$root/"
else
    debootstrap --variant=minbase bookworm "$root" >"$root.log" 2>&1 || { tail -n 5 "$root.log"; fail debootstrap; }
    rm -f "$root.log"
fi
chmod 0755 "$root"
cp /etc/apt/sources.list "$root/etc/apt/" 2>/dev/null || :
for file in /etc/apt/apt.conf.d/*proxy* /etc/apt/apt.conf.d/*registry*; do [ ! -f "$file" ] || cp "$file" "$root/etc/apt/apt.conf.d/"; done
cp /etc/resolv.conf "$root/etc/"
mount -t proc proc "$root/proc"
mkdir "$root/new" "$root/old"
cp "$new"/*.deb "$root/new/"
[ -z "$old" ] || cp "$old"/*.deb "$root/old/"
apt update
packages() { (cd "$root" && ls "$1"/oculi_*.deb "$1"/oculi-agent_*.deb "$1"/oculi-server_*.deb "$1"/oculi-lab_*.deb | sed 's|^|/|'); }

if [ -n "$old" ]; then
    step "the older version"
    # shellcheck disable=SC2046
    apt install $(packages old)
    in_it su -s /bin/sh oculi -c 'cd /var/lib/oculi && { timeout -s TERM 5 oculid --data /var/lib/oculi --listen 127.0.0.1:18080 >/dev/null 2>&1 || :; }'
    is "it ran and left data" in_it test -s /var/lib/oculi/oculi.db
fi

step "installation${old:+ over it}"
# shellcheck disable=SC2046
apt install $(packages new)
is "user oculi" in_it getent passwd oculi
is "user oculi-agent" in_it getent passwd oculi-agent
is "/var/lib/oculi belongs to it" test "$(mode /var/lib/oculi)" = "drwxr-x--- oculi:oculi"
is "/var/lib/oculi-agent belongs to it" test "$(mode /var/lib/oculi-agent)" = "drwx------ oculi-agent:oculi-agent"
is "oculid.conf" test "$(mode /etc/oculi/oculid.conf)" = "-rw-r--r-- root:root"
is "agent.conf, which may hold a token" test "$(mode /etc/oculi/agent.conf)" = "-rw-r----- root:oculi-agent"
is "the server is enabled" has_unit_link oculid.service
is "the agent waits for its configuration" none "test -L /etc/systemd/system/multi-user.target.wants/oculi-agent.service"
is "the server serves with its configuration" in_it su -s /bin/sh oculi -c \
    'timeout -s TERM 5 oculid --config /etc/oculi/oculid.conf --listen 127.0.0.1:18080 2>&1 | grep -q "listens at"'
is "the agent reads its configuration and says what it lacks" in_it su -s /bin/sh oculi-agent -c \
    'oculi-agent --config /etc/oculi/agent.conf 2>&1 | grep -q -e --server'
is "an unknown user of a data directory is none" none "find /var/lib/oculi -nouser | grep ."

step "the same version again, with an edited configuration and a service that was disabled"
echo "retention-days = 30" >>"$root/etc/oculi/oculid.conf"
in_it deb-systemd-helper disable oculid.service >/dev/null 2>&1 || in_it rm -f /etc/systemd/system/multi-user.target.wants/oculid.service
# shellcheck disable=SC2046
apt install --reinstall $(packages new)
is "the edit stays" in_it grep -q '^retention-days = 30' /etc/oculi/oculid.conf
is "what was disabled stays so" none "test -L /etc/systemd/system/multi-user.target.wants/oculid.service"

step "removal"
apt remove oculi oculi-agent oculi-server oculi-lab
is "programs are gone" none "ls /usr/bin/oculi*"
is "data stays" in_it test -s /var/lib/oculi/oculi.db
is "configuration stays" in_it test -f /etc/oculi/oculid.conf

step "purge, where the question about data is answered with no"
# shellcheck disable=SC2046
apt install $(packages new)
printf 'oculi-server oculi-server/remove-data boolean false\n' >"$root/selections"
in_it debconf-set-selections /selections
apt purge oculi-server
is "data stays" in_it test -s /var/lib/oculi/oculi.db
is "so does its owner" in_it getent passwd oculi

step "purge"
# shellcheck disable=SC2046
apt install $(packages new)
apt purge oculi oculi-agent oculi-server oculi-lab
is "nothing is left but what Debian keeps" none "find / -xdev -name '*oculi*' -not -path '/new*' -not -path '/old*' -not -path '/proc*' -not -path '/var/cache/*' -not -path '/var/log/*' | grep ."
is "users are gone" none "getent passwd oculi oculi-agent"
step "all as it should be"
