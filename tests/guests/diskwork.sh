#!/usr/bin/env bash
# Makes the initial RAM disk of the tests that let a guest work on a disk: the usual one, diskwork.c as a static program, and
# drivers of virtio and IDE.
# usage: diskwork.sh GUESTS
# Takes busybox, virtio.gz and ide.gz of the directory GUESTS and leaves diskwork.gz there. Needs gcc and a static C library.
set -euo pipefail

[ $# -eq 1 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
guests=$(cd "$1" && pwd)
image=$guests/diskwork.gz

fresh=1
for source in "$0" "$here/diskwork.c" "$here/init" "$here/initramfs.sh" "$guests/virtio.gz" "$guests/ide.gz"; do
    [ "$image" -nt "$source" ] || fresh=
done
[ -n "$fresh" ] && exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
gcc -O2 -Wall -Wextra -static -o "$work/diskwork" "$here/diskwork.c"
"$here/initramfs.sh" "$guests/busybox" "$work/initrd.gz" "$work/diskwork"
cat "$work/initrd.gz" "$guests/virtio.gz" "$guests/ide.gz" > "$image.part"
mv "$image.part" "$image"
