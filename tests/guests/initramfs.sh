#!/usr/bin/env bash
# Packs an initial RAM disk: busybox, the init beside this script, and PROGRAMs (static executables) in /bin.
# usage: initramfs.sh BUSYBOX OUTPUT [PROGRAM...]
# The same input makes the same file, to the byte.
set -euo pipefail

[ $# -ge 2 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
busybox=$(readlink -f "$1")
output=$2
shift 2

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir "$tree"/{bin,dev,proc,root,sys,tmp}
install -m 755 "$busybox" "$tree/bin/busybox"
install -m 755 "$here/init" "$tree/init"
for program in "$@"; do
    install -m 755 "$program" "$tree/bin/$(basename "$program")"
done
find "$tree" -exec touch -h -d @0 {} +

mkdir -p "$(dirname "$output")"
(cd "$tree" && find . -mindepth 1 | LC_ALL=C sort | sed 's|^\./||' |
    "$busybox" cpio -o -H newc -R 0:0 --renumber-inodes --ignore-devno 2>/dev/null) |
    gzip -n -9 > "$output.part"
mv "$output.part" "$output"
