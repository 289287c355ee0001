#!/usr/bin/env bash
# Fetches the guests that the tests boot from Debian's packages and unpacks what is needed of them:
#   the files of the table below, vmlinuz (what linux-image-cloud-amd64 stands for today), and virtio.gz: that kernel's virtio
#   drivers in /modules, to follow the initial RAM disk; trouble.gz: those of pvpanic and fw_cfg, alike; ide.gz: those of IDE, its
#   disks and CD drives. With LOCKSTEP_LONG set, also those that only long tests boot.
# usage: fetch.sh DIRECTORY
# What is there already is not fetched again; with everything there no network is needed. Root is not needed either.
set -euo pipefail

[ $# -eq 1 ] || { sed -n '2,7s/^# //p' "$0" >&2; exit 2; }
mkdir -p "$1"
guests=$(cd "$1" && pwd)

# Each line: the file's name here, its package, and where it is in the package.
installer=usr/lib/debian-installer/images/12/amd64
table="
bios-256k.bin       seabios           usr/share/seabios/bios-256k.bin
bios.bin            seabios           usr/share/seabios/bios.bin
rombios.bin         bochsbios         usr/share/bochs/BIOS-bochs-latest
vgabios.bin         vgabios           usr/share/vgabios/vgabios.bin
qboot.rom           qemu-system-data  usr/share/qemu/qboot.rom
u-boot-x86.rom      u-boot-qemu       usr/lib/u-boot/qemu-x86/u-boot.rom
u-boot-x86_64.rom   u-boot-qemu       usr/lib/u-boot/qemu-x86_64/u-boot.rom
ipxe.iso            ipxe              usr/lib/ipxe/ipxe.iso
memtest32.bin       memtest86+        boot/memtest86+ia32.bin
memtest64.bin       memtest86+        boot/memtest86+x64.bin
memtest64.iso       memtest86+        usr/lib/memtest86+/memtest86+x64.iso
busybox             busybox-static    bin/busybox
"
if [ -n "${LOCKSTEP_LONG:-}" ]; then
    table+="
installer.linux     debian-installer-12-netboot-amd64  $installer/text/debian-installer/amd64/linux
installer.initrd    debian-installer-12-netboot-amd64  $installer/text/debian-installer/amd64/initrd.gz
installer-gtk.initrd debian-installer-12-netboot-amd64 $installer/gtk/debian-installer/amd64/initrd.gz
"
fi

# The lines of the table whose files are missing.
missing() {
    local name package path
    while read -r name package path; do
        [ -z "$name" ] || [ -s "$guests/$name" ] || echo "$name $package $path"
    done <<< "$table"
}
# The kernel and its drivers, which have to be of one package.
of_one_package() {
    local name
    for name in vmlinuz virtio.gz trouble.gz ide.gz; do
        [ -s "$guests/$name" ] || return 1
    done
}
complete() { [ -z "$(missing)" ] && of_one_package; }
complete && exit 0

for tool in apt-get apt-cache dpkg; do
    command -v "$tool" >/dev/null || {
        echo "fetch.sh: $tool is missing: put these into $guests by hand (the file, its package, its path there):" >&2
        missing >&2
        echo "vmlinuz, virtio.gz, trouble.gz and ide.gz as this script makes them" >&2
        exit 1
    }
done

packages=$guests/packages
mkdir -p "$packages"
apt_options=()

# The host's package lists, or, where there are none, private ones: those need no root and leave the host as it is.
if ! apt-cache show linux-image-cloud-amd64 $(missing | cut -d ' ' -f 2 | sort -u) >/dev/null 2>&1; then
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
}

while read -r package; do
    unpack "$package" "$package"
    while read -r name from path; do
        [ "$from" != "$package" ] || keep "$package" "$path" "$name"
    done < <(missing)
    rm -rf "${packages:?}/$package"
done < <(missing | cut -d ' ' -f 2 | sort -u)

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

if ! of_one_package; then
    kernel=$(apt-cache "${apt_options[@]}" depends linux-image-cloud-amd64 |
        sed -n 's/^ *Depends: \(linux-image-[0-9].*-cloud-amd64\)$/\1/p' | head -n 1)
    [ -n "$kernel" ] || { echo "fetch.sh: linux-image-cloud-amd64 names no kernel" >&2; exit 1; }
    unpack "$kernel" kernel
    pack_drivers kernel virtio.gz 'virtio*.ko'
    pack_drivers kernel trouble.gz 'pvpanic*.ko' qemu_fw_cfg.ko
    pack_drivers kernel ide.gz scsi_common.ko scsi_mod.ko libata.ko ata_piix.ko sd_mod.ko cdrom.ko sr_mod.ko
    keep kernel 'boot/vmlinuz-*' vmlinuz
    echo "$kernel" > "$guests/vmlinuz.package"
fi
rm -rf "$packages"
complete || { echo "fetch.sh: the packages did not hold what they should" >&2; exit 1; }
