//! The screen, as a person in front of it would see it.

use lockstep::screen::{Format, dump};
use lockstep_tests::guest::{Guest, guest_file};

const SECOND: u64 = 1_000_000_000;

fn seabios(more: &[&str]) -> Guest {
    let bios = guest_file("bios-256k.bin");
    let arguments = ["-bios", &bios, "-seed", "1", "-rtc", "base=2026-01-01T00:00:00", "-nographic", "-nodefaults"];
    let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
    let console = ["-chardev", "null,id=log", "-device", "isa-debugcon,iobase=0x402,chardev=log"];
    Guest::start(&arguments, &[&console, more].concat())
}

#[test]
fn seabios_shows_itself_through_the_built_in_option_rom() {
    let mut guest = seabios(&["-vga", "std"]);
    let screen = guest.shows("No bootable device", 60 * SECOND);
    let text = screen.text.expect("text mode");
    assert!(text.starts_with("SeaBIOS (version"), "{text}");
    assert_eq!((screen.frame.width, screen.frame.height), (720, 400));
    if let Some(folder) = std::env::var_os("LOCKSTEP_PICTURES") {
        let file = std::path::Path::new(&folder).join("seabios.png");
        dump(&screen.frame, Format::Png, &file).expect("a picture");
    }
}
