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

command -v apt-get >/dev/null && command -v dpkg >/dev/null || {
    echo "dump_tools.sh: apt-get or dpkg is missing: put makedumpfile into $tools by hand" >&2
    exit 1
}
work=$tools.part
rm -rf "$work"
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/root" "$work/lib"
apt_options=()
# The host's package lists, or, where there are none, private ones.
if ! apt-cache show makedumpfile >/dev/null 2>&1; then
    apt_options=(-o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache")
    apt-get "${apt_options[@]}" update -qq
fi
(cd "$work" && apt-get "${apt_options[@]}" -o APT::Sandbox::User=root -qq download makedumpfile liblzo2-2 libdw1 libelf1)
for package in "$work"/*.deb; do
    dpkg -x "$package" "$work/root"
done
cp -L "$work/root/usr/bin/makedumpfile" "$work/"
find "$work/root" \( -name 'liblzo2.so*' -o -name 'libdw*.so*' -o -name 'libelf*.so*' \) -exec cp -L {} "$work/lib" \;
rm -rf "$work/root" "$work/lists" "$work/cache" "$work"/*.deb
rm -rf "$tools"
mv "$work" "$tools"
