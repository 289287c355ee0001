//! Whole runs, recorded with an operator at work and replayed.

use super::*;
use crate::bare_guest::BareGuest;
use crate::chardev::{ChardevId, HostEvent};
use crate::machine::Stop;
use crate::record::Entry;
use lockstep_fabric::{Notice, Outside, PanicAction, WatchdogAction, Width};
use std::thread;
use std::time::Duration;

const MONITOR: &str = "-chardev null,id=m -monitor chardev:m";

/// Types `lines` at the monitor, with pauses, and runs until the run ends.
fn record(guest: &BareGuest, more: &str, lines: &'static [&'static str]) -> Log {
    let log = guest.folder.join("log").display().to_string();
    let config = guest.config(&format!("{MONITOR} -icount shift=0,rr=record,rrfile={log} {more}"));
    let board = guest.board(&config);
    let recorder = Recorder::create(log.as_ref(), &header(&config, board.files.clone())).expect("a log");
    let (reporter, events) = Reporter::new();
    let chardevs = Chardevs::open(&config, &reporter).expect("no host");
    let qmp = Qmp::start(&config, &reporter).expect("no server");
    let mut session = Session::new(Control::new(&config, board, Some(recorder)), chardevs, events, qmp);
    let typist = thread::spawn(move || {
        for line in lines {
            thread::sleep(Duration::from_millis(7));
            reporter.report(said(line));
        }
    });
    let ended = session.live();
    session.finish(ended).expect("the run ends well");
    typist.join().expect("the typist is done");
    Log::read(log.as_ref()).expect("a log")
}

/// What comes in: a packet of a debugger's, or a line at the monitor.
fn said(line: &str) -> HostEvent {
    match line.strip_prefix('$') {
        Some(packet) => {
            let sum = packet.bytes().fold(0u8, u8::wrapping_add);
            HostEvent::Bytes { chardev: ChardevId(1), data: format!("${packet}#{sum:02x}").into_bytes() }
        }
        None => HostEvent::MonitorBytes { chardev: ChardevId(0), data: format!("{line}\r").into_bytes() },
    }
}

/// Follows the log; the error if it cannot be followed.
fn replay(guest: &BareGuest, log: &Log) -> Result<(), RunError> {
    let config = guest.config("");
    let board = guest.board(&log.header.config);
    let (reporter, events) = Reporter::new();
    let chardevs = Chardevs::open(&config, &reporter).expect("no host");
    let qmp = Qmp::start(&config, &reporter).expect("no server");
    let mut session = Session::new(Control::new(&config, board, None), chardevs, events, qmp);
    let ended = session.replay(log);
    session.finish(ended).map(drop)
}

fn arrivals(log: &Log) -> usize {
    log.entries.iter().filter(|entry| matches!(entry, Entry::Arrival(_))).count()
}

#[test]
fn every_steering_command_replays_to_the_same_digest() {
    let guest = BareGuest::new("steering");
    let lines = &[
        "o/b 0x80 0x55",
        "system_powerdown",
        "i/b 0x60",
        "stop",
        "o/w 0xcf8 0x80000b40",
        "i/w 0xcfc",
        "system_reset",
        "info registers",
        "cont",
        "sendkey ctrl-alt-delete",
        "mouse_move 3 -4 1",
        "mouse_button 5",
        "nmi",
        "watchdog_action none",
        "o/b 0x443 0xf",
        "o/b 0x505 2",
        "o/h 0xe2 0x1234",
        "o/b 0x2005 1",
        "system_reset",
        "stop",
        "o/b 0x80 0x66",
        "quit",
    ];
    let devices = "-device ib700 -device i6300esb -device pvpanic -device pvpanic-pci -device pc-testdev -device pci-testdev \
                   -device edu -device vmgenid -device vmcoreinfo";
    let log = record(&guest, devices, lines);
    assert_eq!(arrivals(&log), 17, "looking leaves no trace");
    assert!(!log.cut_short);
    replay(&guest, &log).expect("the same digests");
}

#[test]
fn what_a_debugger_writes_is_written_in_the_replay_and_what_it_reads_leaves_no_trace() {
    let guest = BareGuest::new("debugger-writes");
    let lines = [
        "$M500,4:01020304",
        "$P0=2a00000000000000",
        "$g",
        "$Z0,f0005,1",
        "$c",
        "$z0,f0005,1",
        // `inc eax` becomes `dec eax`.
        "$Mf0003,2:6648",
        "$vCont;s:1;c",
        "$c",
        "stop",
        "$P3=0700000000000000",
        "$D",
        "quit",
    ];
    let log = record(&guest, "-chardev null,id=g -gdb chardev:g", Vec::leak(lines.to_vec()));
    assert_eq!(arrivals(&log), 4);
    replay(&guest, &log).expect("the same digests");
}

/// Files of 2048-byte blocks that hold `letter`.
fn disc(guest: &BareGuest, name: &str, letter: u8) -> String {
    let path = guest.folder.join(name);
    std::fs::write(&path, [letter; 16 << 10]).expect("an image");
    path.display().to_string()
}

#[test]
fn media_that_were_changed_are_changed_in_the_replay() {
    let guest = BareGuest::new("media");
    let (first, second) = (disc(&guest, "first.iso", b'1'), disc(&guest, "second.img", b'2'));
    let drives = format!(
        "-drive if=ide,index=2,media=cdrom,format=raw,file={first} -drive if=floppy,index=0,format=raw,snapshot=on,file={second}"
    );
    let change: &'static str = format!("change ide1-cd0 {second} raw").leak();
    let back: &'static str = format!("change floppy0 {first} raw").leak();
    let missing: &'static str = format!("change floppy0 {first}.gone raw").leak();
    let lines = ["eject ide1-cd0", "info block", change, "eject -f floppy0", missing, back, "o/b 0x80 1", "quit"];
    let log = record(&guest, &drives, Vec::leak(lines.to_vec()));
    assert_eq!(arrivals(&log), 5, "what was refused left no trace");
    replay(&guest, &log).expect("the same digests");
    std::fs::write(&second, [b'3'; 16 << 10]).expect("an image");
    let why = replay(&guest, &log).expect_err("another disc").to_string();
    assert!(why.contains("is not as recorded"), "{why}");
}

#[test]
fn a_machine_switched_off_kept_and_reset_replays() {
    let guest = BareGuest::new("kept");
    let lines = &[
        "o/w 0xcf8 0x80000b40",
        "o/w 0xcfc 0x601",
        "o/w 0xcf8 0x80000b80",
        "o/w 0xcfc 1",
        "o/h 0x604 0x2000",
        "info status",
        "system_reset",
        "cont",
        "o/b 0x80 1",
        "quit",
    ];
    let log = record(&guest, "-no-shutdown", lines);
    assert_eq!(arrivals(&log), 7);
    replay(&guest, &log).expect("the same digests");
}

#[test]
fn a_machine_switched_off_at_last_replays_to_its_end() {
    let guest = BareGuest::new("off");
    let lines = &["o/w 0xcf8 0x80000b40", "o/w 0xcfc 0x601", "o/w 0xcf8 0x80000b80", "o/w 0xcfc 1", "o/h 0x604 0x2000"];
    let log = record(&guest, "", lines);
    assert!(matches!(log.entries.last(), Some(Entry::End { ending: Some(Ending::PowerOff), .. })));
    replay(&guest, &log).expect("the same digests");
}

#[test]
fn a_reset_that_ends_the_run_ends_the_replay() {
    let guest = BareGuest::new("no-reboot");
    let log = record(&guest, "-no-reboot", &["stop", "system_reset"]);
    assert!(matches!(log.entries.last(), Some(Entry::End { ending: Some(Ending::Reset), .. })));
    replay(&guest, &log).expect("the same digests");
}

#[test]
fn a_machine_started_stopped_runs_once_it_is_let() {
    let guest = BareGuest::new("stopped");
    let log = record(&guest, "-S", &["o/b 0x80 1", "cont", "o/b 0x80 2", "quit"]);
    let ticks: Vec<_> = log.entries.iter().map(Entry::tick).collect();
    assert_eq!(ticks[0], 0);
    assert!(ticks[1] > 0);
    replay(&guest, &log).expect("the same digests");
}

#[test]
fn an_arrival_that_is_not_in_the_log_any_more_is_noticed() {
    let guest = BareGuest::new("forged");
    let mut log = record(&guest, "", &["o/b 0x80 0x55", "stop", "system_powerdown", "quit"]);
    log.entries.remove(1);
    assert!(matches!(replay(&guest, &log), Err(RunError::Diverged { .. })));
}

/// What a machine does some ticks after a byte was written to a port: how it ended, whether it wants to be stopped, and the
/// news.
fn after_writing(guest: &BareGuest, more: &str, port: u16, value: u64) -> (Option<Ending>, bool, Vec<Notice>) {
    let mut machine = guest.board(&guest.config(more)).machine;
    machine.run_through(10_000);
    machine.enter(Outside::PortWrite { port, width: Width::Byte, value }).expect("an open gate");
    let mut waits = 0;
    while machine.run_through(20_000) == Stop::Output {
        waits += 1;
    }
    let pause = machine.take_pause();
    assert_eq!(waits > 0, pause, "it says so once and goes on");
    let notices = machine.take_notices().into_iter().map(|(_, notice)| notice).collect();
    (machine.ended(), pause, notices)
}

#[test]
fn a_watchdog_that_bites_does_what_was_chosen() {
    let guest = BareGuest::new("watchdog");
    for (chosen, action, ended, pause) in [
        ("reset", WatchdogAction::Reset, None, false),
        ("reset -no-reboot", WatchdogAction::Reset, Some(Ending::Reset), false),
        ("poweroff", WatchdogAction::Poweroff, Some(Ending::PowerOff), false),
        ("pause", WatchdogAction::Pause, None, true),
        ("none", WatchdogAction::None, None, false),
        ("shutdown", WatchdogAction::Shutdown, None, false),
    ] {
        let more = format!("-device ib700 -watchdog-action {chosen}");
        let seen = after_writing(&guest, &more, 0x443, 0xf);
        assert_eq!(seen, (ended, pause, vec![Notice::Watchdog(action)]), "{chosen}");
    }
}

#[test]
fn what_an_operator_has_a_stopped_machines_devices_tell_is_told_at_once() {
    let guest = BareGuest::new("told-at-once");
    let config = guest.config(&format!("{MONITOR} -S -device pvpanic -action panic=none"));
    let (reporter, events) = Reporter::new();
    let chardevs = Chardevs::open(&config, &reporter).expect("no host");
    let qmp = Qmp::start(&config, &reporter).expect("no server");
    let mut session = Session::new(Control::new(&config, guest.board(&config), None), chardevs, events, qmp);
    let data = b"o/b 0x505 1\r".to_vec();
    session.handle(HostEvent::MonitorBytes { chardev: ChardevId(0), data }).expect("no log");
    assert_eq!(session.control.board.machine.take_notices(), [], "nothing is left for an event that may never come");
}

#[test]
fn a_panic_does_what_was_chosen() {
    let guest = BareGuest::new("panic");
    for (chosen, action, ended, pause) in [
        ("shutdown", PanicAction::Shutdown, Some(Ending::PowerOff), false),
        ("exit-failure", PanicAction::ExitFailure, Some(Ending::Exit(1)), false),
        ("pause", PanicAction::Pause, None, true),
        ("none", PanicAction::None, None, false),
    ] {
        let more = format!("-device pvpanic -action panic={chosen}");
        let seen = after_writing(&guest, &more, 0x505, 1);
        assert_eq!(seen, (ended, pause, vec![Notice::GuestPanicked(action)]), "{chosen}");
    }
    let seen = after_writing(&guest, "-device pvpanic", 0x505, 2);
    assert_eq!(seen, (None, false, vec![Notice::GuestCrashLoaded]));
}

/// Runs a machine whose drive's host is full, with a recording or without; `lines` are typed meanwhile.
fn on_full_host(
    guest: &BareGuest,
    more: &str,
    failures: u32,
    lines: &'static [&'static str],
) -> (Control, Result<(), RunError>) {
    let config = guest.config(&format!("{MONITOR} {more}"));
    let board = crate::block::tests::stopping_board(guest, failures);
    let (reporter, events) = Reporter::new();
    let chardevs = Chardevs::open(&config, &reporter).expect("no host");
    let qmp = Qmp::start(&config, &reporter).expect("no server");
    let mut session = Session::new(Control::new(&config, board, None), chardevs, events, qmp);
    let typist = thread::spawn(move || {
        for line in lines {
            thread::sleep(Duration::from_millis(30));
            let data = format!("{line}\r").into_bytes();
            reporter.report(HostEvent::MonitorBytes { chardev: ChardevId(0), data });
        }
    });
    let ended = session.live().map(drop);
    typist.join().expect("the typist is done");
    (session.control, ended)
}

#[test]
fn a_machine_that_its_drive_stopped_goes_on_when_the_operator_says_so() {
    let guest = BareGuest::new("full-host");
    // The first write fails twice: once before each cont, and the third time it is done.
    let (control, ended) = on_full_host(&guest, "", 4, &["quit"]);
    assert!(ended.is_ok());
    assert_eq!(control.state(), RunState::IoError);
    let stopped = control.board.machine.now();
    let (control, ended) = on_full_host(&guest, "", 3, &["cont", "cont", "quit"]);
    assert!(ended.is_ok());
    assert!(control.board.machine.now() > stopped, "{stopped}");
}

#[test]
fn a_recording_ends_at_an_error_of_the_host() {
    let guest = BareGuest::new("full-host-recorded");
    let (_, ended) = on_full_host(&guest, "-icount shift=0,rr=record,rrfile=log", 1, &[]);
    assert_eq!(ended.err().map(|error| error.to_string()).as_deref(), Some("rr: drive disk: write: no storage space"));
}

#[test]
fn a_dump_in_the_background_ends_with_the_run_and_never_half_written() {
    for (lines, complete) in [
        (&["stop", "dump-guest-memory -d {}", "info dump", "quit"][..], None),
        (&["dump-guest-memory -d {}", "system_powerdown", "dump-guest-memory -d {}", "info dump"][..], Some(true)),
    ] {
        let guest = BareGuest::new("dump-session");
        let folder = guest.folder.join("dumps");
        std::fs::create_dir(&folder).expect("a folder");
        let config = guest.config(&format!("{MONITOR} -m 64M"));
        let board = guest.board(&config);
        let (reporter, events) = Reporter::new();
        let chardevs = Chardevs::open(&config, &reporter).expect("no host");
        let qmp = Qmp::start(&config, &reporter).expect("no server");
        let mut control = Control::new(&config, board, None);
        control.wake_by(reporter.clone());
        let mut session = Session::new(control, chardevs, events, qmp);
        let dump = folder.join("dump");
        for line in lines {
            let data = format!("{line}\r").replace("{}", &dump.display().to_string()).into_bytes();
            reporter.report(HostEvent::MonitorBytes { chardev: ChardevId(0), data });
        }
        let ended = if complete.is_some() { Ok(Ended::Guest(Ending::PowerOff)) } else { session.live() };
        if complete.is_some() {
            session.take_events().expect("nothing fails");
            assert!(session.control.dumps.in_progress());
        }
        session.finish(ended).expect("the run ends well");
        let left: Vec<_> = folder.read_dir().expect("a folder").map(|entry| entry.expect("one").file_name()).collect();
        if complete.is_some() || !left.is_empty() {
            assert_eq!(left, ["dump"], "a whole dump or nothing");
            lockstep_dump::read::Dump::open(&dump).expect("a dump");
        }
    }
}
