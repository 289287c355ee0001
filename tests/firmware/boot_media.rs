//! Media that no one here wrote: memtest86+, iPXE's disc, Debian's installer.

use lockstep_tests::guest::{Guest, firmware, guest_file};

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// What waits by counting time waits for fewer instructions with longer ticks.
const LONG_TICKS: [&str; 2] = ["-icount", "shift=4"];

/// A kernel by `-kernel` in front of a screen.
fn kernel(name: &str, more: &[&str]) -> Guest {
    let file = guest_file(name);
    let fixed = ["-kernel", &file, "-seed", "1", "-rtc", "base=2026-01-01T00:00:00", "-nographic", "-nodefaults"];
    let fixed: Vec<String> = fixed.iter().map(|a| (*a).to_owned()).collect();
    Guest::start(&fixed, &[&["-vga", "std", "-serial", "null"], more].concat())
}

fn memtest(binary: &str) -> Guest {
    kernel(binary, &[&LONG_TICKS[..], &["-m", "64", "-smp", "2"]].concat())
}

fn memtest_begins(binary: &str) {
    let mut guest = memtest(binary);
    let screen = guest.shows("Status: Testing", 10 * MINUTE).text.unwrap_or_default();
    for seen in ["Memtest86+ v6", "CPU: 2 Cores 2 Threads", "Errors: 0"] {
        assert!(screen.contains(seen), "{seen:?} is not on the screen:\n{screen}");
    }
}

#[test]
fn memtest_of_64_bits_begins() {
    memtest_begins("memtest64.bin");
}

#[test]
fn memtest_of_32_bits_begins() {
    memtest_begins("memtest32.bin");
}

/// A whole pass over 64 MiB on two processors.
fn memtest_passes(binary: &str) {
    let mut guest = memtest(binary);
    let screen = guest.shows("Pass:  1 ", 2 * HOUR).text.unwrap_or_default();
    assert!(screen.contains("Errors: 0 ") || screen.contains("Errors: 0\n"), "{screen}");
}

#[test]
#[ignore = "takes many minutes: tests/run --long"]
fn memtest_of_64_bits_passes() {
    memtest_passes("memtest64.bin");
}

#[test]
#[ignore = "takes many minutes: tests/run --long"]
fn memtest_of_32_bits_passes() {
    memtest_passes("memtest32.bin");
}

/// A disc in front of a screen, under the firmware that these arguments name.
fn disc_under(firmware: &[String], name: &str, more: &[&str]) -> Guest {
    let disc = guest_file(name);
    let fixed = ["-cdrom", &disc, "-vga", "std", "-serial", "null"];
    Guest::start(firmware, &[&LONG_TICKS[..], &fixed, more].concat())
}

fn disc(name: &str, more: &[&str]) -> Guest {
    disc_under(&firmware("bios-256k.bin"), name, more)
}

#[test]
fn memtest_begins_from_its_disc() {
    disc("memtest64.iso", &["-m", "64", "-smp", "2"]).shows("Status: Testing", 10 * MINUTE);
}

const IPXE: &str = "Open Source Network Boot Firmware";

#[test]
fn ipxe_shows_its_banner_under_seabios() {
    disc("ipxe.iso", &[]).shows(IPXE, 10 * MINUTE);
}

#[test]
fn ipxe_shows_its_banner_under_the_built_in_bios() {
    let fixed = ["-seed", "1", "-rtc", "base=2026-01-01T00:00:00", "-nographic", "-nodefaults"];
    disc_under(&fixed.map(str::to_owned), "ipxe.iso", &[]).shows(IPXE, 10 * MINUTE);
}

/// Debian's installer, with a kernel command line and more for the emulator.
fn installer(initrd: &str, append: &str, more: &[&str]) -> Guest {
    let initrd = guest_file(initrd);
    kernel("installer.linux", &[&["-m", "1024", "-initrd", &initrd, "-append", append], more].concat())
}

/// Its scan code in set 1.
const ENTER: u16 = 0x1c;

#[test]
#[ignore = "takes minutes: tests/run --long"]
fn the_debian_installer_asks_for_a_language() {
    // Without a mode of the kernel's own, the console stays in text mode.
    let mut guest = installer("installer.initrd", "nomodeset", &[]);
    let screen = guest.shows("Select a language", 5 * MINUTE).text.unwrap_or_default();
    for seen in ["Choose the language to be used for the installation process", "English", "<Go Back>"] {
        assert!(screen.contains(seen), "{seen:?} is not on the screen:\n{screen}");
    }
    guest.strike(ENTER);
    guest.shows("Select your location", 5 * MINUTE);
}

/// The installer's first question in its graphical form, as looked at once: under Debian's banner a table of languages, each in
/// its own script, English chosen, and a mouse pointer. Another release of the installer may draw another.
const LANGUAGES: u128 = 0xb46e_05b0_054e_1e3e_7dc2_73a0_a87f_abdd;

#[test]
#[ignore = "takes minutes: tests/run --long"]
fn the_graphical_debian_installer_asks_for_a_language() {
    // The mode that the kernel is started in, by the VESA BIOS: 800x600 in 16 bits.
    let seabios = guest_file("bios-256k.bin");
    let mut guest = installer("installer-gtk.initrd", "vga=788 nomodeset", &["-bios", &seabios]);
    guest.shows_picture(LANGUAGES, 5 * MINUTE);
}
