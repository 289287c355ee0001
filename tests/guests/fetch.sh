#!/usr/bin/env bash
# Fetches the guests that the tests boot from Debian's packages and unpacks what is needed of them:
#   bios-256k.bin (seabios), busybox (busybox-static), vmlinuz (what linux-image-cloud-amd64 stands for today), and
#   virtio.gz: that kernel's virtio drivers in /modules, to follow the initial RAM disk; trouble.gz: those of pvpanic and
#   fw_cfg, alike.
# usage: fetch.sh DIRECTORY
# What is there already is not fetched again; with everything there no network is needed. Root is not needed either.
set -euo pipefail

[ $# -eq 1 ] || { sed -n '2,7s/^# //p' "$0" >&2; exit 2; }
mkdir -p "$1"
guests=$(cd "$1" && pwd)

complete() { [ -s "$guests/bios-256k.bin" ] && [ -x "$guests/busybox" ] && [ -s "$guests/vmlinuz" ] &&
    [ -s "$guests/virtio.gz" ] && [ -s "$guests/trouble.gz" ]; }
complete && exit 0

for tool in apt-get apt-cache dpkg; do
    command -v "$tool" >/dev/null || {
        echo "fetch.sh: $tool is missing: put bios-256k.bin, busybox (static), vmlinuz, virtio.gz and trouble.gz into $guests by hand" >&2
        exit 1
    }
done

packages=$guests/packages
mkdir -p "$packages"
apt_options=()

# The host's package lists, or, where there are none, private ones: those need no root and leave the host as it is.
if ! apt-cache show linux-image-cloud-amd64 seabios busybox-static >/dev/null 2>&1; then
    mkdir -p "$packages/lists/partial" "$packages/cache/archives/partial"
    apt_options=(-o "Dir::State::Lists=$packages/lists" -o "Dir::Cache=$packages/cache")
    apt-get "${apt_options[@]}" update -qq
fi

# Downloads PACKAGE and unpacks it to packages/NAME.
unpack() {
    local package=$1 name=$2
    rm -rf "${packages:?}/$name"
    mkdir -p "$packages/$name"
    # As root, apt would rather download as another user, who may not write here; that is only worth a warning.
    (cd "$packages/$name" && apt-get "${apt_options[@]}" -o APT::Sandbox::User=root -qq download "$package")
    dpkg -x "$packages/$name"/*.deb "$packages/$name/root"
    rm "$packages/$name"/*.deb
}

# Takes FILE of what was unpacked to NAME; a file appears under its own name only when it is whole.
keep() {
    local name=$1 file=$2 as=$3
    cp -L "$packages/$name/root"/$file "$guests/$as.part"
    mv "$guests/$as.part" "$guests/$as"
    rm -rf "${packages:?}/$name"
}

if [ ! -s "$guests/bios-256k.bin" ]; then
    unpack seabios seabios
    keep seabios usr/share/seabios/bios-256k.bin bios-256k.bin
fi
if [ ! -x "$guests/busybox" ]; then
    unpack busybox-static busybox
    keep busybox bin/busybox busybox
fi
# Packs drivers of what was unpacked to NAME into FILE: those whose names match one of the PATTERNs.
pack_drivers() {
    local name=$1 file=$2 pattern
    local tree=$packages/drivers
    rm -rf "$tree"
    mkdir -p "$tree/modules"
    shift 2
    for pattern; do
        find "$packages/$name/root/lib/modules" -name "$pattern" -exec cp {} "$tree/modules" \;
    done
    find "$tree" -exec touch -h -d @0 {} +
    (cd "$tree" && find modules | LC_ALL=C sort |
        "$guests/busybox" cpio -o -H newc -R 0:0 --renumber-inodes --ignore-devno 2>/dev/null) |
        gzip -n -9 > "$guests/$file.part"
    mv "$guests/$file.part" "$guests/$file"
}

# Kernel and drivers have to be of one package.
if [ ! -s "$guests/vmlinuz" ] || [ ! -s "$guests/virtio.gz" ] || [ ! -s "$guests/trouble.gz" ]; then
    kernel=$(apt-cache "${apt_options[@]}" depends linux-image-cloud-amd64 |
        sed -n 's/^ *Depends: \(linux-image-[0-9].*-cloud-amd64\)$/\1/p' | head -n 1)
    [ -n "$kernel" ] || { echo "fetch.sh: linux-image-cloud-amd64 names no kernel" >&2; exit 1; }
    unpack "$kernel" kernel
    pack_drivers kernel virtio.gz 'virtio*.ko'
    pack_drivers kernel trouble.gz 'pvpanic*.ko' qemu_fw_cfg.ko
    keep kernel 'boot/vmlinuz-*' vmlinuz
    echo "$kernel" > "$guests/vmlinuz.package"
fi
rm -rf "$packages"
complete || { echo "fetch.sh: the packages did not hold what they should" >&2; exit 1; }
