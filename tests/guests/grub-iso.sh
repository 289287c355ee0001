#!/usr/bin/env bash
# Makes an ISO image that boots by GRUB to a menu, and from there Debian's kernel with the tests' initial RAM disk. Menu and
# kernel speak on the first serial port and on the screen.
# usage: grub-iso.sh GUESTS
# Takes vmlinuz and initrd.gz of the directory GUESTS and leaves grub.iso there. Fetches GRUB and xorriso if they
# are not installed; no root. What is newer than its sources is not made again.
set -euo pipefail

[ $# -eq 1 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
guests=$(cd "$1" && pwd)
iso=$guests/grub.iso

fresh() { [ -s "$iso" ] && [ ! "$0" -nt "$iso" ] && [ ! "$guests/vmlinuz" -nt "$iso" ] && [ ! "$guests/initrd.gz" -nt "$iso" ]; }
fresh && exit 0

modules=/usr/lib/grub/i386-pc
complete() { [ -s "$modules/boot.img" ] && command -v grub-mkrescue >/dev/null && command -v xorriso >/dev/null; }
if ! complete; then
    tools=$guests/grub-tools
    [ -d "$tools" ] || "$(dirname "$0")/unpack.sh" "$tools" grub-common grub-pc-bin xorriso libdevmapper1.02.1 libefiboot1 \
        libefivar1 libisoburn1 libisofs6 libburn4 libjte2 libreadline8
    export PATH=$tools/usr/bin:$PATH LD_LIBRARY_PATH=$tools/usr/lib/x86_64-linux-gnu:$tools/lib/x86_64-linux-gnu
    modules=$tools/usr/lib/grub/i386-pc
    complete || { echo "grub-iso.sh: $tools lacks something: remove it, or apt-get install grub-pc-bin xorriso" >&2; exit 1; }
fi

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
grub-mkrescue -d "$modules" --fonts= --locales= --themes= -o "$iso.part" "$tree" -- -volid LOCKSTEP >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
mv "$iso.part" "$iso"
