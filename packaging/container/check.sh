#!/bin/sh
# Runs the steps of the Containerfile after the build stage in a chroot, as far as they need no engine: RUN and COPY of the two
# images, then their command. As root:
#   [OCULI_DEBIAN=DIR] packaging/container/check.sh OUT
# OUT: what PREFIX=/usr DESTDIR=OUT ./dev install made. OCULI_DEBIAN: what debootstrap --variant=minbase bookworm made.
set -eu
[ "$(id -u)" = 0 ] || { echo "this needs root (chroot)" >&2; exit 2; }
out=$(cd "$1" && pwd)
file=$(cd "$(dirname "$0")" && pwd)/Containerfile
root=$(mktemp -d /var/tmp/oculi-container-XXXXXX)
trap 'rm -rf "$root"' EXIT
trap 'exit 1' INT TERM
if [ -n "${OCULI_DEBIAN:-}" ]; then
    cp -a "$OCULI_DEBIAN/." "$root/"
else
    debootstrap --variant=minbase bookworm "$root" >/dev/null
fi
chmod 0755 "$root"
cp /etc/resolv.conf "$root/etc/"
cp /etc/apt/sources.list "$root/etc/apt/" 2>/dev/null || :
for conf in /etc/apt/apt.conf.d/*proxy* /etc/apt/apt.conf.d/*registry*; do [ ! -f "$conf" ] || cp "$conf" "$root/etc/apt/apt.conf.d/"; done

# The lines of one image, continued ones joined.
lines() { sed -e ':join' -e '/\\$/{N;s/\\\n *//;b join' -e '}' "$file" | awk -v image="$1" '$1 == "FROM" {is_it = $4 == image; next} is_it'; }
play() {
    lines "$1" >"$root/steps"
    while read -r word rest; do
        case $word in
        RUN) chroot "$root" env DEBIAN_FRONTEND=noninteractive sh -ec "$rest" >"$root/log" 2>&1 ||
            { tail -n 5 "$root/log"; echo "FAILED: $word $rest"; exit 1; } ;;
        COPY)
            # shellcheck disable=SC2086
            set -- $rest
            shift
            while [ $# -gt 1 ]; do
                from=$out${1#/out} last=$1
                shift
                for to do :; done
                if [ -d "$from" ]; then cp -a "$from/." "$root$to/"; else cp "$from" "$root$to"; fi || { echo "FAILED: COPY $last"; exit 1; }
            done ;;
        esac
    done <"$root/steps"
}
play base
play agent
chroot "$root" setpriv --reuid oculi-agent --regid oculi-agent --clear-groups oculi-agent --version
play server
chroot "$root" setpriv --reuid oculi --regid oculi --clear-groups oculid --version
chroot "$root" setpriv --reuid oculi --regid oculi --clear-groups \
    timeout -s TERM 5 oculid --listen 127.0.0.1:0 --data /var/lib/oculi --web /usr/share/oculi/web 2>&1 | grep -m 1 "listens at"
echo "the steps of both images work"
