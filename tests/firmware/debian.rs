//! Debian 12 as it is installed, from its disk: firmware, GRUB, its own kernel and initial RAM disk, systemd, a login on the serial
//! port and a root shell, and down again in order. Each takes minutes.

use lockstep::machine::Ending;
use lockstep_tests::guest::{Guest, guest_file};
use lockstep_tests::program::scratch_path;
use std::process::Command;

/// GRUB to login takes about ten seconds of guest time.
const MINUTE: u64 = 60_000_000_000;

#[derive(Clone, Copy)]
enum Image {
    /// Raw, and what is written goes with the process.
    Raw,
    /// A qcow2 image of its own over the one that all share.
    Qcow2,
}

fn qemu_img(arguments: &[&str]) {
    let output = Command::new("qemu-img").args(arguments).output().expect("qemu-img, of Debian's package qemu-utils");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "qemu-img {arguments:?}: {said}");
}

/// Boots to the login prompt, logs in as root, looks around, and powers off.
fn boots_to_a_root_shell(name: &str, image: Image, interface: &str, root: &str, firmware: &[&str]) {
    let own = scratch_path(&format!("debian-{name}.qcow2")).display().to_string();
    let drive = match image {
        Image::Raw => format!("file={},format=raw,snapshot=on,if={interface}", guest_file("debian.raw")),
        Image::Qcow2 => {
            qemu_img(&["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", &guest_file("debian.qcow2"), &own]);
            format!("file={own},if={interface}")
        }
    };
    let fixed = ["-drive", &drive, "-m", "512", "-cpu", "max", "-vga", "std", "-seed", "1", "-no-reboot"];
    let mut arguments: Vec<String> = fixed.iter().map(|a| (*a).to_owned()).collect();
    arguments
        .extend(["-rtc", "base=2026-01-01T00:00:00", "-nographic", "-nodefaults", "-serial", "null"].map(Into::into));
    let mut guest = Guest::start(&arguments, firmware);

    guest.expect("Welcome to \x1b[1mDebian GNU/Linux 12 (bookworm)", MINUTE);
    guest.expect("lockstep login: ", 2 * MINUTE);
    guest.type_in("root\n");
    guest.expect("Password: ", MINUTE);
    guest.type_in("lockstep\n");
    guest.expect("root@lockstep:~# ", MINUTE);
    guest.type_in("findmnt -no SOURCE,FSTYPE /; systemctl is-system-running --wait\n");
    guest.expect(&format!("{root} ext4"), MINUTE);
    guest.expect("\nrunning", MINUTE);
    guest
        .type_in("dd if=/dev/urandom of=/root/noise bs=1M count=16 conv=fsync && sha256sum /root/noise > /root/sums\n");
    guest.type_in("sync; echo 3 > /proc/sys/vm/drop_caches; sha256sum -c /root/sums\n");
    guest.expect("/root/noise: OK", MINUTE);
    guest.type_in("poweroff\n");
    assert_eq!(guest.run_to_end(2 * MINUTE), Ending::PowerOff);
    for complaint in ["I/O error", "EXT4-fs error", "exception Emask", "BUG:", "Oops", "soft lockup"] {
        let line = guest.console.lines().find(|line| line.contains(complaint));
        assert_eq!(line, None, "the kernel complains");
    }
    drop(guest);
    if let Image::Qcow2 = image {
        qemu_img(&["check", "-q", &own]);
        std::fs::remove_file(own).expect("a scratch file");
    }
}

/// Each way to the disk, under both firmwares.
macro_rules! ways {
    ($($name:ident: $image:expr, $interface:literal, $root:literal, $seabios:literal;)*) => { $(
        #[test]
        #[ignore = "takes minutes: tests/run --long"]
        fn $name() {
            let bios = guest_file("bios-256k.bin");
            let firmware: &[&str] = if $seabios { &["-bios", &bios] } else { &[] };
            boots_to_a_root_shell(stringify!($name), $image, $interface, $root, firmware);
        }
    )* };
}

ways! {
    seabios_ide_raw: Image::Raw, "ide", "/dev/sda1", true;
    seabios_ide_qcow2: Image::Qcow2, "ide", "/dev/sda1", true;
    seabios_virtio_raw: Image::Raw, "virtio", "/dev/vda1", true;
    seabios_virtio_qcow2: Image::Qcow2, "virtio", "/dev/vda1", true;
    built_in_ide_raw: Image::Raw, "ide", "/dev/sda1", false;
    built_in_ide_qcow2: Image::Qcow2, "ide", "/dev/sda1", false;
    built_in_virtio_raw: Image::Raw, "virtio", "/dev/vda1", false;
    built_in_virtio_qcow2: Image::Qcow2, "virtio", "/dev/vda1", false;
}
