//! Firmware that no one here wrote, by `-bios`: SeaBIOS, Bochs's BIOS, qboot, U-Boot, and a VGA BIOS as the card's ROM.

use lockstep::machine::Ending;
use lockstep_tests::boot_sector::{Voice, image};
use lockstep_tests::guest::{Guest, firmware, guest_file};
use lockstep_tests::program::scratch;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
/// What SeaBIOS and Bochs's BIOS write their messages to.
const DEBUG_CONSOLE: [&str; 4] = ["-chardev", "null,id=log", "-device", "isa-debugcon,iobase=0x402,chardev=log"];

fn start(bios: &str, more: &[&str]) -> Guest {
    Guest::start(&firmware(bios), more)
}

#[test]
fn seabios_of_128_kib_finds_nothing_to_boot() {
    let mut guest = start("bios.bin", &[&DEBUG_CONSOLE[..], &["-vga", "std"]].concat());
    let text = guest.shows("No bootable device", MINUTE).text.unwrap_or_default();
    assert!(text.starts_with("SeaBIOS (version"), "{text}");
}

#[test]
fn a_foreign_vga_bios_shows_the_screen_under_seabios() {
    let card = format!("VGA,romfile={}", guest_file("vgabios.bin"));
    let mut guest = start("bios-256k.bin", &[&DEBUG_CONSOLE[..], &["-device", &card]].concat());
    let text = guest.shows("No bootable device", MINUTE).text.unwrap_or_default();
    assert!(text.starts_with("SeaBIOS (version"), "{text}");
    let vector = guest.memory(0x10 * 4, 4);
    assert_eq!(vector[2..], [0x00, 0xc0], "INT 10h is not the ROM's");
    let rom = guest.memory(0xc_0000, 0x9600);
    assert!(String::from_utf8_lossy(&rom).contains("Bochs VGABios (PCI)"), "another ROM runs");
}

#[test]
fn bochs_bios_finds_nothing_to_boot() {
    let mut guest = start("rombios.bin", &DEBUG_CONSOLE);
    guest.expect("Starting rombios32", MINUTE);
    guest.expect("ram_size=0x08000000", MINUTE);
    guest.expect("ACPI tables: RSDP", MINUTE);
    guest.expect("No bootable device.", MINUTE);
}

#[test]
fn bochs_bios_starts_every_processor() {
    let mut guest = start("rombios.bin", &[&DEBUG_CONSOLE[..], &["-smp", "4"]].concat());
    guest.expect("Found 4 cpu(s)", MINUTE);
    guest.expect("No bootable device.", MINUTE);
}

fn bochs_bios_boots(name: &str, len: usize, option: &str) {
    let path = scratch(name, &image("read by INT 13h\n", len, Voice::DebugPort));
    let drive = format!("file={},format=raw,{option}", path.display());
    let mut guest = start("rombios.bin", &[&DEBUG_CONSOLE[..], &["-drive", &drive, "-boot", "order=ca"]].concat());
    guest.expect("read by INT 13h", MINUTE);
    std::fs::remove_file(path).expect("a scratch file");
}

#[test]
fn bochs_bios_boots_a_hard_disk() {
    bochs_bios_boots("rombios-disk.raw", 8 << 20, "if=ide");
}

#[test]
fn bochs_bios_boots_a_floppy() {
    bochs_bios_boots("rombios-floppy.raw", 1_474_560, "if=floppy");
}

/// To the prompt, where it does as it is told, and once more after a reset of its own. It counts time while it waits for a
/// key: longer ticks save instructions.
fn u_boot_takes_commands(bios: &str, word: &str) {
    let mut guest = start(bios, &["-serial", "null", "-vga", "std", "-icount", "shift=4"]);
    guest.expect(word, MINUTE);
    for _ in 0..2 {
        guest.expect("U-Boot 2023", MINUTE);
        guest.expect("DRAM:  128 MiB", MINUTE);
        guest.expect("Hit any key to stop autoboot", MINUTE);
        guest.type_in(" ");
        guest.expect("=> ", MINUTE);
        guest.type_in("mw.l 1000000 600d600d 4; md.l 100000c 1\r");
        guest.expect("0100000c: 600d600d", MINUTE);
        guest.expect("=> ", MINUTE);
        guest.type_in("reset\r");
    }
}

#[test]
fn u_boot_of_32_bits_takes_commands() {
    u_boot_takes_commands("u-boot-x86.rom", "");
}

#[test]
fn u_boot_of_64_bits_takes_commands() {
    u_boot_takes_commands("u-boot-x86_64.rom", "Jumping to 64-bit U-Boot");
}

#[test]
fn qboot_boots_debian() {
    let (kernel, initrd) = (guest_file("vmlinuz"), guest_file("initrd.gz"));
    let linux = ["-kernel", &kernel, "-initrd", &initrd, "-append", "console=ttyS0"];
    let mut guest = start("qboot.rom", &[&["-serial", "null", "-m", "256", "-no-reboot"], &linux[..]].concat());
    guest.expect("INIT-REACHED", MINUTE);
    guest.expect("# ", MINUTE);
    guest.type_in("poweroff -f\n");
    assert_eq!(guest.run_to_end(MINUTE), Ending::PowerOff);
}
