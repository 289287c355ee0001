#!/usr/bin/env bash
# Makes a disk with Debian 12 as it is installed: one ext4 partition, GRUB in the gap before it, Debian's own kernel and initial
# RAM disk, systemd, and a login on the first serial port (root, password lockstep).
# usage: debian-disk.sh GUESTS
# Leaves debian.raw and debian.qcow2 in the directory GUESTS: 2 GB of which a third is used. Needs of Debian's packages
# mmdebstrap, grub-common, grub-pc-bin, fdisk, e2fsprogs and qemu-utils, and a mirror of Debian. Nothing is mounted on the host
# beyond what mmdebstrap does in a mount namespace of its own. As root it runs anywhere that allows chroot; without root it needs
# user namespaces with subordinate ids (uidmap) for mmdebstrap, and fakeroot. What is newer than this script is not made again.
set -euo pipefail

[ $# -eq 1 ] || { sed -n '2,9s/^# //p' "$0" >&2; exit 2; }
guests=$(cd "$1" && pwd)
raw=$guests/debian.raw
qcow2=$guests/debian.qcow2

[ -s "$raw" ] && [ -s "$qcow2" ] && [ ! "$0" -nt "$qcow2" ] && exit 0

PATH=$PATH:/usr/sbin:/sbin
missing=()
for tool in mmdebstrap:mmdebstrap grub-mkimage:grub-common sfdisk:fdisk mke2fs:e2fsprogs qemu-img:qemu-utils; do
    command -v "${tool%:*}" >/dev/null || missing+=("${tool#*:}")
done
modules=/usr/lib/grub/i386-pc
[ -s "$modules/boot.img" ] || missing+=(grub-pc-bin)
as_owner=()
if [ "$(id -u)" -ne 0 ]; then
    as_owner=(fakeroot)
    command -v fakeroot >/dev/null || missing+=(fakeroot)
fi
[ ${#missing[@]} -eq 0 ] || { echo "debian-disk.sh: apt-get install ${missing[*]}" >&2; exit 1; }

SECTOR=512
IMAGE_MIB=2048
PARTITION_MIB=1
UUID=1057e900-0000-4000-8000-000000000001

work=$(mktemp -d "$guests/debian.XXXXXX")
trap 'rm -rf "$work"' EXIT

mmdebstrap --variant=minbase --format=tar --include=systemd-sysv,linux-image-amd64,e2fsprogs,udev,kmod \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='echo root:lockstep | chroot "$1" chpasswd' \
    --customize-hook='echo lockstep > "$1/etc/hostname"' \
    --customize-hook="echo 'UUID=$UUID / ext4 errors=remount-ro 0 1' > \"\$1/etc/fstab\"" \
    bookworm "$work/debian.tar" > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }

# What grub-install would put there.
grub=$work/grub/boot/grub
mkdir -p "$grub/i386-pc"
cp "$modules"/*.mod "$modules"/*.lst "$grub/i386-pc/"
cat > "$grub/grub.cfg" <<CFG
serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
set timeout=0
menuentry "Debian GNU/Linux" {
    insmod part_msdos
    insmod ext2
    search --no-floppy --fs-uuid --set=root $UUID
    linux /vmlinuz root=UUID=$UUID ro console=tty0 console=ttyS0
    initrd /initrd.img
}
CFG

truncate -s ${IMAGE_MIB}M "$work/disk"
sfdisk -q "$work/disk" <<PARTITIONS
label: dos
label-id: 0x10c57e90
start=${PARTITION_MIB}MiB, type=83, bootable
PARTITIONS

# The files keep their owners: root unpacks them, or who is taken for root.
"${as_owner[@]}" bash -euo pipefail -c '
    mkdir "$1/tree"
    tar -xf "$1/debian.tar" -C "$1/tree" --numeric-owner
    rm "$1/debian.tar"
    cp -r --no-preserve=ownership "$1/grub/." "$1/tree/"
    mke2fs -q -F -t ext4 -O ^metadata_csum_seed,^orphan_file -L root -U "$2" -d "$1/tree" \
        -E offset=$(($3 << 20)),hash_seed="$2",root_owner=0:0 "$1/disk" $((($4 - $3) << 10))
' - "$work" "$UUID" "$PARTITION_MIB" "$IMAGE_MIB"

# GRUB: its first sector loads the next ones, which hold the rest of the core image. That is what both parts expect unless told
# otherwise, so nothing in them has to be changed.
grub-mkimage -O i386-pc -d "$modules" -p '(,msdos1)/boot/grub' -o "$work/core.img" biosdisk part_msdos ext2
[ "$(stat -c %s "$work/core.img")" -le $(((PARTITION_MIB << 20) - SECTOR)) ]
dd if="$modules/boot.img" of="$work/disk" bs=1 count=440 conv=notrunc status=none
dd if="$work/core.img" of="$work/disk" bs=$SECTOR seek=1 conv=notrunc status=none

qemu-img convert -f raw -O qcow2 "$work/disk" "$work/disk.qcow2"
mv "$work/disk" "$raw"
mv "$work/disk.qcow2" "$qcow2"
