#!/usr/bin/env bash
# Makes an ISO image that boots by GRUB to a menu, and from there Debian's kernel with the tests' initial RAM disk. Menu and
# kernel speak on the first serial port and on the screen.
# usage: grub-iso.sh GUESTS
# Takes vmlinuz and initrd.gz of the directory GUESTS and leaves grub.iso there. Needs of Debian's packages grub-common,
# grub-pc-bin, xorriso and mtools; no root. What is newer than its sources is not made again.
set -euo pipefail

[ $# -eq 1 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
guests=$(cd "$1" && pwd)
iso=$guests/grub.iso

fresh() { [ -s "$iso" ] && [ ! "$0" -nt "$iso" ] && [ ! "$guests/vmlinuz" -nt "$iso" ] && [ ! "$guests/initrd.gz" -nt "$iso" ]; }
fresh && exit 0

for tool in grub-mkrescue xorriso mformat; do
    command -v "$tool" >/dev/null || {
        echo "grub-iso.sh: $tool is missing: apt-get install grub-common grub-pc-bin xorriso mtools" >&2
        exit 1
    }
done
modules=/usr/lib/grub/i386-pc
[ -s "$modules/boot.img" ] || { echo "grub-iso.sh: $modules is missing: apt-get install grub-pc-bin" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree log=$work/log
mkdir -p "$tree/boot/grub"
cp -L "$guests/vmlinuz" "$guests/initrd.gz" "$tree/boot/"
cat > "$tree/boot/grub/grub.cfg" <<'CFG'
serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
set timeout=5
menuentry "Debian from the CD" {
    linux /boot/vmlinuz console=tty0 console=ttyS0
    initrd /boot/initrd.gz
}
menuentry "Debian that powers off at once" {
    linux /boot/vmlinuz console=tty0 console=ttyS0 GUEST_RUN=poweroff
    initrd /boot/initrd.gz
}
CFG
grub-mkrescue -d "$modules" -o "$iso.part" "$tree" -- -volid LOCKSTEP >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
mv "$iso.part" "$iso"
