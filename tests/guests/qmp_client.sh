#!/usr/bin/env bash
# Fetches qemu.qmp, the Python library for QMP, from PyPI into an environment of its own: qmp-client/bin/python.
# usage: qmp_client.sh DIRECTORY
# What is there already is not fetched again. Root is not needed.
set -euo pipefail

[ $# -eq 1 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
mkdir -p "$1"
client=$(cd "$1" && pwd)/qmp-client
[ -x "$client/bin/qmp-shell" ] && exit 0

command -v python3 >/dev/null && python3 -c 'import venv, ensurepip' 2>/dev/null || {
    echo "qmp_client.sh: python3 with venv is missing (on Debian: apt-get install python3-venv)" >&2
    exit 1
}
rm -rf "$client"
python3 -m venv "$client"
"$client/bin/pip" install --quiet --disable-pip-version-check 'qemu.qmp==0.0.6'
