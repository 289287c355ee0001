//! Disks and floppies under SeaBIOS: a boot sector of our own that reads the next sector by INT 13h and prints it.

use lockstep_tests::boot_sector::{Voice, image};
use lockstep_tests::guest::{Guest, guest_file};
use lockstep_tests::program::scratch;

const MINUTE: u64 = 60_000_000_000;
fn boots(name: &str, len: usize, options: impl Fn(&str) -> Vec<String>) {
    let path = scratch(name, &image("the second sector speaks\r\n", len, Voice::Screen));
    let bios = guest_file("bios-256k.bin");
    let fixed = ["-bios", &bios, "-seed", "1", "-rtc", "base=2026-01-01T00:00:00", "-nographic", "-nodefaults"];
    let mut arguments: Vec<String> = fixed.iter().map(|a| (*a).to_owned()).collect();
    arguments.extend(["-serial", "null"].map(str::to_owned));
    arguments.extend(options(&path.display().to_string()));
    let mut guest = Guest::start(&arguments, &[]);
    guest.expect("the second sector speaks", MINUTE);
    std::fs::remove_file(path).expect("a scratch file");
}

#[test]
fn a_hard_disk_boots() {
    boots("disk.raw", 8 << 20, |path| vec!["-drive".into(), format!("file={path},format=raw,if=ide")]);
}

#[test]
fn a_floppy_boots() {
    boots("floppy.raw", 1_474_560, |path| vec!["-drive".into(), format!("file={path},format=raw,if=floppy")]);
}

#[test]
fn a_virtio_disk_boots() {
    boots("virtio.raw", 8 << 20, |path| vec!["-drive".into(), format!("file={path},format=raw,if=virtio")]);
}
