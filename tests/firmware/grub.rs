//! A CD made by grub-mkrescue: the firmware boots GRUB by El Torito, GRUB reads the kernel by INT 13h and shows its menu on the
//! screen and on the serial port, and Debian comes up to a shell.

use lockstep::machine::Ending;
use lockstep_tests::guest::{Guest, guest_file};

const MINUTE: u64 = 60_000_000_000;

fn boots_to_a_shell(firmware: &[&str]) {
    let iso = guest_file("grub.iso");
    let fixed = ["-cdrom", &iso, "-m", "512", "-cpu", "max", "-vga", "std", "-seed", "1", "-no-reboot"];
    let mut arguments: Vec<String> = fixed.iter().map(|a| (*a).to_owned()).collect();
    arguments
        .extend(["-rtc", "base=2026-01-01T00:00:00", "-nographic", "-nodefaults", "-serial", "null"].map(String::from));
    let mut guest = Guest::start(&arguments, firmware);

    guest.expect("GNU GRUB  version", MINUTE);
    guest.expect("executed automatically", MINUTE);
    let menu = guest.shows("Debian that powers off at once", MINUTE).text.unwrap_or_default();
    assert!(menu.contains("*Debian from the CD"), "the first entry is not the chosen one:\n{menu}");

    guest.type_in("\r");
    guest.expect("INIT-REACHED", MINUTE);
    guest.shows("Run /init as init process", MINUTE);
    guest.expect("# ", MINUTE);
    guest.type_in("echo $((6 * 7)) on $(uname -s); poweroff -f\n");
    guest.expect("42 on Linux", MINUTE);
    assert_eq!(guest.run_to_end(MINUTE), Ending::PowerOff);
}

#[test]
fn seabios_boots_grub_boots_debian() {
    boots_to_a_shell(&["-bios", &guest_file("bios-256k.bin")]);
}

#[test]
fn the_built_in_bios_boots_grub_boots_debian() {
    boots_to_a_shell(&[]);
}
