#!/usr/bin/env bash
# Unpacks packages of Debian below a folder: programs for the tests, on a host that does not have them.
# usage: unpack.sh FOLDER PACKAGE...
# Nothing is installed, and root is not needed. The folder is there only when it is whole.
set -euo pipefail

[ $# -ge 2 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
mkdir -p "$(dirname "$1")"
folder=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
shift

for tool in apt-get apt-cache dpkg; do
    command -v "$tool" >/dev/null || { echo "unpack.sh: $tool is missing: $folder is to hold $*" >&2; exit 1; }
done
work=$folder.part
rm -rf "$work"
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/root"
apt_options=()
# The host's package lists, or, where there are none, private ones.
if ! apt-cache show "$@" >/dev/null 2>&1; then
    apt_options=(-o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache")
    apt-get "${apt_options[@]}" update -qq
fi
# As root, apt would rather download as another user, who may not write here.
(cd "$work" && apt-get "${apt_options[@]}" -o APT::Sandbox::User=root -qq download "$@")
for package in "$work"/*.deb; do
    dpkg -x "$package" "$work/root"
done
rm -rf "$folder"
mv "$work/root" "$folder"
rm -rf "$work"
