//! A Debian kernel in trouble: what it tells of its panic by pvpanic, and what a watchdog does that nobody comes back to.

use lockstep::machine::Ending;
use lockstep_fabric::{Notice, PanicAction, WatchdogAction};
use lockstep_tests::guest::{Guest, debian, guest_file};
use lockstep_tests::program::scratch;

const MINUTE: u64 = 60_000_000_000;

/// The guest at its prompt, with these drivers of the kernel's package loaded.
fn debian_with(name: &str, drivers: &[&str], more: &[&str]) -> Guest {
    let parts = ["initrd.gz", "trouble.gz"].map(|part| std::fs::read(guest_file(part)).expect("a guest's file"));
    let initrd = scratch(&format!("{name}.gz"), &parts.concat());
    let path = initrd.display().to_string();
    let more: Vec<_> = ["-cpu", "max", "-initrd", &path].into_iter().chain(more.iter().copied()).collect();
    let mut guest = Guest::start(&debian(""), &more);
    std::fs::remove_file(initrd).expect("a scratch file");
    guest.expect("# ", MINUTE);
    for driver in drivers {
        guest.type_in(&format!("insmod /modules/{driver}.ko && echo loaded-$?\n"));
        guest.expect("loaded-0", MINUTE);
    }
    guest
}

fn notices(guest: &mut Guest) -> Vec<Notice> {
    guest.board.machine.take_notices().into_iter().map(|(_, notice)| notice).collect()
}

#[test]
fn a_panic_by_the_port_stops_the_machine() {
    let more = ["-device", "pvpanic", "-action", "panic=pause"];
    let mut guest = debian_with("pvpanic", &["pvpanic", "pvpanic-mmio"], &more);
    assert_eq!(notices(&mut guest), []);
    guest.type_in("echo c > /proc/sysrq-trigger\n");
    guest.expect("Kernel panic - not syncing: sysrq triggered crash", MINUTE);
    let end = guest.board.machine.now() + MINUTE / 60;
    assert_eq!(guest.run_to(end), None);
    assert_eq!(notices(&mut guest), [Notice::GuestPanicked(PanicAction::Pause)]);
    assert!(guest.board.machine.take_pause());
}

#[test]
fn a_panic_by_the_function_ends_the_run() {
    let mut guest = debian_with("pvpanic-pci", &["pvpanic", "pvpanic-pci"], &["-device", "pvpanic-pci"]);
    guest.type_in("echo c > /proc/sysrq-trigger\n");
    assert_eq!(guest.run_to_end(MINUTE), Ending::PowerOff);
    assert_eq!(notices(&mut guest), [Notice::GuestPanicked(PanicAction::Shutdown)]);
}

/// Programs the watchdog at the address of its registers, for a second, and starts it.
fn start_watchdog(guest: &mut Guest) {
    // Registers are unlocked by two writes each; 504 counts of 993 microseconds are half a second.
    guest.type_in("cd /sys/bus/pci/devices/0000:00:07.0; echo 1 > enable; a=$(cut -d' ' -f1 resource | head -n 1)\n");
    guest.type_in("set32() { devmem $((a+12)) 16 0x80; devmem $((a+12)) 16 0x86; devmem $((a+$1)) $2 $3; }\n");
    guest.type_in("cat vendor device; set32 0 32 504; set32 4 32 504\n");
    guest.expect("0x8086\r\n0x25ab", MINUTE);
    guest.type_in("printf '\\002' | dd of=config bs=1 seek=104 conv=notrunc; echo runs-$?\n");
    guest.expect("runs-0", MINUTE);
}

#[test]
fn a_6300esb_that_nobody_comes_back_to_resets_the_machine() {
    let mut guest = debian_with("i6300esb", &[], &["-device", "i6300esb,addr=7"]);
    start_watchdog(&mut guest);
    let started = guest.board.machine.now();
    // Once it is put off.
    guest.type_in("set32 12 16 0x100; echo later-$?\n");
    guest.expect("later-0", MINUTE);
    assert_eq!(guest.run_to_end(MINUTE), Ending::Reset);
    let waited = guest.board.machine.now() - started;
    assert!((1_000_000_000..3_000_000_000).contains(&waited), "{waited}");
    assert_eq!(notices(&mut guest), [Notice::Watchdog(WatchdogAction::Reset)]);
}

#[test]
fn a_watchdogs_nmi_reaches_the_kernel() {
    let more = ["-device", "i6300esb,addr=7", "-watchdog-action", "inject-nmi"];
    let mut guest = debian_with("nmi", &[], &more);
    start_watchdog(&mut guest);
    let end = guest.board.machine.now() + 2_000_000_000;
    assert_eq!(guest.run_to(end), None);
    assert_eq!(notices(&mut guest), [Notice::Watchdog(WatchdogAction::InjectNmi)]);
    guest.type_in("grep NMI /proc/interrupts\n");
    guest.expect("NMI:          1   Non-maskable interrupts", MINUTE);
    guest.type_in("poweroff -f\n");
    assert_eq!(guest.run_to_end(MINUTE), Ending::PowerOff);
}

#[test]
fn the_kernel_says_where_it_describes_itself() {
    let mut guest = debian_with("vmcoreinfo", &[], &["-device", "vmcoreinfo,id=info"]);
    let note =
        |guest: &Guest| guest.board.machine.bus.save().expect("a state")["devices"]["info"]["state"]["note"].clone();
    assert!(note(&guest).is_null());
    guest.type_in("insmod /modules/qemu_fw_cfg.ko && echo loaded-$?\n");
    guest.expect("loaded-0", MINUTE);
    let note = note(&guest);
    assert_eq!(note["format"], 1);
    // An ELF note: the length of its name, and the name.
    let mut held = [0; 32];
    guest.board.machine.bus.memory.read_bytes(note["address"].as_u64().expect("an address"), &mut held);
    assert_eq!((held[0], &held[12..23]), (11, &b"VMCOREINFO\0"[..]));
    guest.type_in("poweroff -f\n");
    assert_eq!(guest.run_to_end(MINUTE), Ending::PowerOff);
}
