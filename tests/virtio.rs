//! Virtio functions on the board, as Debian finds them.

use lockstep::machine::Ending;
use lockstep_tests::guest::{Guest, debian, guest_file};
use lockstep_tests::program::scratch;

const MINUTE: u64 = 60_000_000_000;

#[test]
fn debian_finds_functions_in_their_slots() {
    let path = scratch("virtio-slots.raw", &vec![0; 1 << 20]);
    let drive = format!("file={},format=raw,if=none,id=d0", path.display());
    let direct_drive = format!("file={},format=raw,if=virtio,locking=off,readonly=on", path.display());
    let more = ["-cpu", "max", "-device", "virtio-rng-pci", "-drive", &drive, "-drive", &direct_drive];
    let disk = ["-device", "virtio-blk-pci,drive=d0,addr=0x10,bus=pci.0,id=disk,werror=report"];
    let others = ["-device", "virtio-balloon-pci", "-device", "virtio-serial-pci"];
    let mut guest = Guest::start(&debian(""), &[&more[..], &disk, &others].concat());
    guest.expect("# ", MINUTE);
    guest.type_in(
        "cd /sys/bus/pci/devices; for d in *; do echo $d $(cat $d/vendor $d/device) $(head -1 $d/resource); done\n",
    );
    guest.type_in("poweroff -f\n");
    assert_eq!(guest.run_to_end(MINUTE), Ending::PowerOff);
    for (slot, ids) in [
        ("02", "0x1af4 0x1005"),
        ("03", "0x1af4 0x1002"),
        ("04", "0x1af4 0x1003"),
        ("05", "0x1af4 0x1001"),
        ("10", "0x1af4 0x1001"),
    ] {
        let function = format!("0000:00:{slot}.0 {ids} ");
        let line = guest.console.lines().find(|line| line.starts_with(&function));
        let line = line.unwrap_or_else(|| panic!("no {function} in the console:\n{}", guest.console));
        assert!(!line.contains(" 0x0000000000000000 "), "no ports: {line}");
    }
    std::fs::remove_file(path).expect("a scratch file");
}

/// The test's initial RAM disk with the drivers of the kernel's package in /modules.
fn with_drivers(name: &str) -> String {
    let parts = ["initrd.gz", "virtio.gz"].map(|part| std::fs::read(guest_file(part)).expect("a guest's file"));
    scratch(name, &parts.concat()).display().to_string()
}

/// Loads drivers, those of the bus first.
fn load(guest: &mut Guest, drivers: &[&str]) {
    let bus = ["virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci"];
    for driver in bus.iter().chain(drivers) {
        guest.type_in(&format!("insmod /modules/{driver}.ko && echo loaded-$?\n"));
        guest.expect("loaded-0", MINUTE);
    }
}

/// Debian reads from a disk what the image holds, and the image holds what Debian writes.
fn disk_works(name: &str, more: &str) {
    const LEN: usize = 8 << 20;
    const SAID: &[u8] = b"read from the image\n";
    let mut bytes = vec![0; LEN];
    bytes[4096..4096 + SAID.len()].copy_from_slice(SAID);
    let (image, initrd) = (scratch(&format!("{name}.raw"), &bytes), with_drivers(&format!("{name}.gz")));
    let drive = format!("file={},format=raw,if=none,id=d0,serial=lockstep-1", image.display());
    let device = format!("virtio-blk-pci,drive=d0{more}");
    let more = ["-initrd", &initrd, "-cpu", "max", "-drive", &drive, "-device", &device];
    let mut guest = Guest::start(&debian(""), &more);
    guest.expect("# ", MINUTE);
    load(&mut guest, &["virtio_blk"]);
    guest.type_in("cat /sys/block/vda/serial /sys/block/vda/size; dd if=/dev/vda bs=512 skip=8 count=1 | head -n 1\n");
    guest.expect("lockstep-1", MINUTE);
    guest.expect("16384\r\n", MINUTE);
    guest.expect("read from the image", MINUTE);
    // Requests of every size, and many at once.
    guest.type_in("busybox seq 1 50000 > /tmp/sums; dd if=/tmp/sums of=/dev/vda bs=64k seek=16; sync; echo done-$?\n");
    guest.expect("done-0", MINUTE);
    guest.type_in("echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/vda bs=64k skip=16 | head -c $(stat -c %s /tmp/sums) | cmp - /tmp/sums && echo same-$?\n");
    guest.expect("same-0", MINUTE);
    guest.type_in("poweroff -f\n");
    assert_eq!(guest.run_to_end(MINUTE), Ending::PowerOff);
    drop(guest);
    let held = std::fs::read(&image).expect("the image");
    let written: String = (1..=50_000).map(|n| format!("{n}\n")).collect();
    assert!(held[16 << 16..].starts_with(written.as_bytes()), "the image does not hold what was written");
    assert_eq!(&held[..16 << 16], &bytes[..16 << 16], "what was not written changed");
    [image, initrd.into()].iter().for_each(|file| std::fs::remove_file(file).expect("a scratch file"));
}

#[test]
fn debian_uses_a_disk() {
    disk_works("virtio-disk", "");
}

#[test]
fn debian_uses_a_disk_of_packed_rings() {
    disk_works("virtio-packed", ",packed=on,disable-legacy=on,addr=5");
}

#[test]
fn debian_uses_a_disk_of_the_old_interface() {
    disk_works("virtio-old", ",disable-modern=on,vectors=0");
}

#[test]
fn debian_takes_random_numbers() {
    let initrd = with_drivers("virtio-rng.gz");
    let more = ["-initrd", &initrd, "-cpu", "max", "-device", "virtio-rng-pci", "-device", "virtio-balloon-pci"];
    let mut guest = Guest::start(&debian(""), &more);
    guest.expect("# ", MINUTE);
    load(&mut guest, &["virtio-rng", "virtio_balloon"]);
    guest.type_in("cat /sys/class/misc/hw_random/rng_current; dd if=/dev/hwrng bs=1 count=4096 > /tmp/numbers; gzip -9 < /tmp/numbers | wc -c\n");
    guest.expect("virtio_rng.0", MINUTE);
    guest.expect("4096+0 records out\r\n", MINUTE);
    guest.expect("41", MINUTE);
    guest.type_in("poweroff -f\n");
    assert_eq!(guest.run_to_end(MINUTE), Ending::PowerOff);
    std::fs::remove_file(initrd).expect("a scratch file");
}
