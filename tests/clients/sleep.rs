//! A guest that suspends to memory (ACPI S3) and is woken: Debian's kernel does it by /sys/power/state.

use lockstep::snapshot::Snapshot;
use lockstep_fabric::{Input, MouseMotion, Notice, Outside};
use lockstep_tests::client::Connected;
use lockstep_tests::guest::{Guest, debian, guest_file};
use lockstep_tests::initrd::with_file;
use lockstep_tests::program::{run, scratch, scratch_path};
use serde_json::json;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
/// The space bar.
const SPACE: u16 = 0x39;

/// What wakes a guest.
#[derive(Clone, Copy, PartialEq)]
enum Alarm {
    Operator,
    Clock,
}

fn guest_on(firmware: &[&str], more: &[&str]) -> Guest {
    let mut guest = Guest::start(&debian(""), &[firmware, more].concat());
    guest.expect("# ", MINUTE);
    guest
}

fn notices(guest: &mut Guest) -> Vec<Notice> {
    guest.board.machine.take_notices().into_iter().map(|(_, notice)| notice).collect()
}

/// Has the guest go to sleep.
fn falls_asleep(guest: &mut Guest, command: &str) {
    let before = guest.board.machine.now();
    notices(guest);
    guest.type_in(command);
    while !guest.board.machine.asleep() {
        let now = guest.board.machine.now();
        assert!(now < before + MINUTE, "it does not sleep:\n{}", guest.console);
        assert_eq!(guest.run_to(now + SECOND / 100), None);
    }
    assert_eq!(notices(guest), [Notice::Suspended]);
}

/// It is back: all processors work, and memory holds what it held.
fn is_back(guest: &mut Guest, processors: u32) {
    guest.expect("back-0", MINUTE);
    let told = notices(guest);
    assert!(told.contains(&Notice::Woken), "{told:?}");
    guest.type_in("dmesg | grep -c 'Waking up from system sleep state S3'; cat /tmp/kept; echo on-$(nproc)\n");
    guest.expect("lasting", MINUTE);
    guest.expect(&format!("on-{processors}\r"), MINUTE);
}

/// Sleeps twice, the second time past a snapshot that goes on alike in another machine.
fn sleeps(firmware: &[&str], processors: u32, alarm: Alarm) {
    let smp = processors.to_string();
    let more = ["-smp", &smp, "-cpu", "max"];
    let mut guest = guest_on(firmware, &more);
    guest.type_in("echo lasting > /tmp/kept; cat /sys/power/mem_sleep\n");
    guest.expect("[deep]", MINUTE);
    let command = match alarm {
        Alarm::Operator => "echo mem > /sys/power/state; echo back-$?\n",
        Alarm::Clock => "echo +3 > /sys/class/rtc/rtc0/wakealarm; echo mem > /sys/power/state; echo back-$?\n",
    };
    falls_asleep(&mut guest, command);
    let asleep = guest.board.machine.now();
    let ticks = |guest: &Guest| guest.board.machine.cpus.iter().map(|cpu| cpu.ip).collect::<Vec<_>>();
    let before = ticks(&guest);
    if alarm == Alarm::Operator {
        assert_eq!(guest.run_to(asleep + 10 * SECOND), None);
        assert_eq!((guest.board.machine.asleep(), ticks(&guest)), (true, before), "nothing executes");
        guest.board.machine.enter(Outside::Wake).expect("an open gate");
    }
    is_back(&mut guest, processors);
    falls_asleep(&mut guest, command);
    let saved = Snapshot::of(&guest.board.machine).expect("a snapshot");
    let mut other = Guest::start(&debian(""), &[firmware, &more].concat());
    saved.restore(&mut other.board.machine).expect("it fits");
    assert_eq!(Snapshot::of(&other.board.machine).expect("a snapshot").state, saved.state);
    let end = guest.board.machine.now() + 10 * SECOND;
    for guest in [&mut guest, &mut other] {
        if alarm == Alarm::Operator {
            guest.board.machine.enter(Outside::Wake).expect("an open gate");
        }
        assert_eq!(guest.run_to(end), None);
    }
    assert_eq!(other.digest(), guest.digest(), "the copy wakes up alike");
    is_back(&mut guest, processors);
}

#[test]
fn a_kernel_started_directly_sleeps_and_is_woken() {
    sleeps(&[], 1, Alarm::Operator);
    sleeps(&[], 2, Alarm::Operator);
}

#[test]
fn a_kernel_that_seabios_started_sleeps_and_is_woken() {
    let seabios = ["-bios", &guest_file("bios-256k.bin")];
    sleeps(&seabios, 1, Alarm::Operator);
    sleeps(&seabios, 2, Alarm::Operator);
}

#[test]
fn the_alarm_of_the_real_time_clock_wakes() {
    sleeps(&[], 1, Alarm::Clock);
    sleeps(&["-bios", &guest_file("bios-256k.bin")], 2, Alarm::Clock);
}

#[test]
fn the_built_in_bios_goes_on_where_the_kernel_asked_it_to() {
    let iso = guest_file("grub.iso");
    let arguments = ["-cdrom", &iso, "-m", "512", "-cpu", "max", "-vga", "std", "-seed", "1", "-smp", "2"];
    let more = ["-rtc", "base=2026-01-01T00:00:00", "-nographic", "-nodefaults", "-serial", "null"];
    let arguments: Vec<_> = arguments.iter().chain(&more).map(|text| (*text).to_owned()).collect();
    let mut guest = Guest::start(&arguments, &[]);
    guest.expect("executed automatically", MINUTE);
    guest.type_in("\r");
    guest.expect("# ", 2 * MINUTE);
    guest.type_in("echo lasting > /tmp/kept\n");
    for _ in 0..2 {
        falls_asleep(&mut guest, "echo mem > /sys/power/state; echo back-$?\n");
        guest.board.machine.enter(Outside::Wake).expect("an open gate");
        is_back(&mut guest, 2);
    }
}

#[test]
fn a_key_wakes() {
    let mut guest = guest_on(&[], &[]);
    falls_asleep(&mut guest, "echo mem > /sys/power/state; echo back-$?\n");
    let device = guest.board.keyboard.expect("a keyboard");
    let mut happens = |input| guest.board.machine.enter(Outside::Input { device, input }).expect("an open gate");
    happens(Input::Mouse(MouseMotion { right: 9, ..MouseMotion::default() }));
    happens(Input::Key(SPACE, true));
    happens(Input::Key(SPACE, false));
    guest.expect("back-0", MINUTE);
    assert!(notices(&mut guest).contains(&Notice::Woken));
}

#[test]
fn a_reset_wakes_nobody_but_starts_anew() {
    for firmware in [&[][..], &["-bios", &guest_file("bios-256k.bin")]] {
        let mut guest = guest_on(firmware, &[]);
        falls_asleep(&mut guest, "echo mem > /sys/power/state\n");
        // The command line says -no-reboot.
        guest.board.machine.set_resets_end(false);
        guest.board.machine.enter(Outside::Reset).expect("an open gate");
        assert!(!guest.board.machine.asleep());
        guest.expect("INIT-REACHED", MINUTE);
        assert!(notices(&mut guest).is_empty());
    }
}

#[test]
fn a_suspended_guest_is_told_of_woken_by_qmp_recorded_and_replayed() {
    // An interactive shell runs the file that ENV names.
    let script = b"[ -e /tmp/ran ] || { touch /tmp/ran; echo mem > /sys/power/state; echo back-$?; }\n";
    let initrd = [std::fs::read(guest_file("initrd.gz")).expect("an initrd"), with_file("nap", script)].concat();
    let initrd = scratch("sleep.gz", &initrd).display().to_string();
    let log = scratch_path("sleep.log");
    let icount = |mode: &str| format!("shift=0,rr={mode},rrfile={}", log.display());
    let seabios = guest_file("bios-256k.bin");
    for firmware in [&["-smp", "2"][..], &["-smp", "2", "-bios", &seabios]] {
        let machine = [&["-initrd", &initrd, "-append", "console=ttyS0 ENV=/nap", "-cpu", "max"], firmware].concat();
        let record = icount("record");
        let mut client = Connected::with("sleep", &[&["-icount", &record], &machine[..]].concat());
        let awake = "Unable to wake up: guest is not in suspended state";
        assert_eq!(client.ask("system_wakeup", json!({}))["error"]["desc"], awake);
        let current = client.returns("query-current-machine", json!({}));
        assert_eq!(current, json!({ "wakeup-suspend-support": true }));
        client.until_told("SUSPEND");
        for command in ["stop", "cont"] {
            client.returns(command, json!({}));
            let status = client.returns("query-status", json!({}));
            assert_eq!((&status["status"], &status["running"]), (&json!("suspended"), &json!(false)), "{command}");
        }
        client.returns("system_wakeup", json!({}));
        client.until_guest_says("back-0");
        assert_eq!(client.returns("query-status", json!({}))["status"], "running");
        assert_eq!(client.ask("system_wakeup", json!({}))["error"]["desc"], awake);
        assert_eq!(client.take_events(), ["SUSPEND", "WAKEUP"]);
        client.quit();
        let (kernel, replay) = (guest_file("vmlinuz"), icount("replay"));
        let fixed = ["-kernel", &kernel, "-nodefaults", "-display", "none", "-serial", "null"];
        let replayed = run(&[&fixed[..], &["-seed", "1", "-m", "256", "-icount", &replay], &machine].concat());
        assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
        let text = std::fs::read_to_string(&log).expect("a log");
        assert!(text.contains("\"wake\""), "the waking is in the log");
        std::fs::remove_file(&log).expect("a log");
    }
    std::fs::remove_file(initrd).expect("a scratch file");
}
