//! Real guests: Debian's kernel to a shell, SeaBIOS, and the built-in firmware.

use lockstep::machine::Ending;
use lockstep_tests::guest::{Guest, debian, guest_file};

/// Ticks that a boot may take: a minute of guest time.
const MINUTE: u64 = 60_000_000_000;

fn boots_to_a_shell(more: &[&str], check: &str, answer: &str) {
    let mut guest = Guest::start(&debian(""), &[&["-serial", "null"], more].concat());
    guest.expect("INIT-REACHED", MINUTE);
    guest.expect("# ", MINUTE);
    guest.type_in(&format!("{check}\n"));
    guest.expect(answer, MINUTE);
    guest.type_in("poweroff -f\n");
    assert_eq!(guest.run_to_end(MINUTE), Ending::PowerOff);
}

#[test]
fn debian_boots_to_a_shell_and_powers_off() {
    boots_to_a_shell(&["-cpu", "max"], "uname -s -m; expr 20 + 22", "Linux x86_64\r\n42");
}

#[test]
fn debian_sees_four_processors() {
    boots_to_a_shell(&["-cpu", "max", "-smp", "4"], "grep -c ^processor /proc/cpuinfo", "\r\n4\r\n");
}

/// Two packages of three cores: APIC ids 3 and 7 are left out, and the kernel finds the cores where they are.
fn three_cores_make_a_package(firmware: &[&str]) {
    let check = "sed -n 's/^apicid.*: //p' /proc/cpuinfo | tr '\\n' ' '; grep -c '^cpu cores.*: 3' /proc/cpuinfo; \
                 sort -u /sys/devices/system/cpu/cpu*/topology/physical_package_id | tr '\\n' ' '";
    let topology = ["-cpu", "max", "-smp", "6,sockets=2,cores=3,threads=1"];
    boots_to_a_shell(&[&topology[..], firmware].concat(), check, "\r\n0 1 2 4 5 6 6\r\n0 1 ");
}

#[test]
fn debian_finds_packages_of_three_cores() {
    three_cores_make_a_package(&[]);
}

#[test]
fn debian_finds_packages_of_three_cores_under_seabios() {
    three_cores_make_a_package(&["-bios", &guest_file("bios-256k.bin")]);
}

#[test]
fn debian_uses_memory_above_the_hole() {
    boots_to_a_shell(
        &["-cpu", "max", "-m", "4096"],
        "expr $(sed -n 's/MemTotal: *\\([0-9]*\\).*/\\1/p' /proc/meminfo) / 1000000",
        "\r\n4\r\n",
    );
}

#[test]
fn debian_runs_on_the_oldest_64_bit_model() {
    boots_to_a_shell(&["-cpu", "qemu64"], "grep -m1 -o sse4_2 /proc/cpuinfo || echo without", "\r\nwithout");
}

#[test]
fn seabios_finds_nothing_to_boot() {
    let bios = guest_file("bios-256k.bin");
    let arguments = ["-bios", &bios, "-seed", "1", "-rtc", "base=2026-01-01T00:00:00", "-nographic", "-nodefaults"];
    let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
    let mut guest =
        Guest::start(&arguments, &["-chardev", "null,id=log", "-device", "isa-debugcon,iobase=0x402,chardev=log"]);
    guest.expect("SeaBIOS (version", MINUTE);
    guest.expect("No bootable device", MINUTE);
}

/// Its processors take turns at a lock, each pausing only for a moment: whoever waits must not be kept out for ever.
#[test]
fn seabios_starts_all_processors() {
    let bios = guest_file("bios-256k.bin");
    let arguments = ["-bios", &bios, "-smp", "4", "-seed", "1", "-nographic", "-nodefaults"].map(str::to_owned);
    let log = ["-chardev", "null,id=log", "-device", "isa-debugcon,iobase=0x402,chardev=log"];
    let mut guest = Guest::start(&arguments, &log);
    guest.expect("No bootable device", MINUTE);
}

#[test]
fn the_built_in_firmware_offers_its_monitor() {
    let arguments = ["-nographic", "-nodefaults", "-serial", "null", "-seed", "1", "-rtc", "base=2026-01-01T00:00:00"];
    let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
    let mut guest = Guest::start(&arguments, &[]);
    guest.expect("Lockstep firmware", MINUTE);
    guest.expect("> ", MINUTE);
    guest.type_in("poked 100000 deadbeef\r");
    guest.expect("> ", MINUTE);
    guest.type_in("peekd 100000 1\r");
    guest.expect("deadbeef", MINUTE);
    guest.expect("> ", MINUTE);
    guest.type_in("off\r");
    assert_eq!(guest.run_to_end(MINUTE), Ending::PowerOff);
}
