#!/usr/bin/env bash
# Fetches the debug symbols of the kernel that fetch.sh has fetched, from Debian's packages: vmlinux.debug. They are 280 MB to
# fetch and twice as much on the disk.
# usage: debug_kernel.sh DIRECTORY
# What is there already is not fetched again. Root is not needed.
set -euo pipefail

[ $# -eq 1 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
guests=$(cd "$1" && pwd)
package=$(cat "$guests/vmlinuz.package")-dbg
[ -s "$guests/vmlinux.debug" ] && [ "$(cat "$guests/vmlinux.debug.package" 2>/dev/null)" = "$package" ] && exit 0

folder=$guests/debug-kernel
"$(dirname "$0")/unpack.sh" "$folder" "$package"
mv "$folder/usr/lib/debug/boot/vmlinux-${package:12:-4}" "$guests/vmlinux.debug"
echo "$package" > "$guests/vmlinux.debug.package"
rm -rf "$folder"
