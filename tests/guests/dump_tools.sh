#!/usr/bin/env bash
# Fetches makedumpfile, which reads dumps independently of Lockstep, from Debian's packages:
#   dump-tools/makedumpfile and the libraries in dump-tools/lib that not every system has.
# usage: dump_tools.sh DIRECTORY
# What is there already is not fetched again. Root is not needed.
set -euo pipefail

[ $# -eq 1 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
mkdir -p "$1"
tools=$(cd "$1" && pwd)/dump-tools
[ -x "$tools/makedumpfile" ] && exit 0

work=$tools.part
rm -rf "$work"
mkdir -p "$work/lib"
"$(dirname "$0")/unpack.sh" "$work/root" makedumpfile liblzo2-2 libdw1 libelf1
cp -L "$work/root/usr/bin/makedumpfile" "$work/"
find "$work/root" \( -name 'liblzo2.so*' -o -name 'libdw*.so*' -o -name 'libelf*.so*' \) -exec cp -L {} "$work/lib" \;
rm -rf "$work/root" "$tools"
mv "$work" "$tools"
