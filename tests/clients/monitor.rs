//! The human monitor from outside: the program, its standard input and what it says.

use lockstep_tests::program::scratch_path;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// The program, beside the test binaries' folder.
fn lockstep() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let path = test.ancestors().nth(2).expect("it lies in deps").join("lockstep");
    assert!(path.is_file(), "{} is missing: cargo build makes it", path.display());
    path
}

/// Runs Lockstep with the built-in firmware and types `keys` at it, with pauses.
fn operate(arguments: &[&str], keys: &[&str]) -> Output {
    let fixed = ["-seed", "1", "-rtc", "base=2026-01-01T00:00:00", "-m", "16M", "-digest"];
    let mut command = Command::new(lockstep());
    command.args(fixed).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("lockstep starts");
    let mut stdin = child.stdin.take().expect("its input");
    for key in keys {
        sleep(Duration::from_millis(30));
        stdin.write_all(key.as_bytes()).expect("it listens");
    }
    child.wait_with_output().expect("it ends")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_recorded_session_at_the_monitor_replays_to_the_same_digest() {
    let log = scratch_path("monitor.log");
    let icount = |mode: &str| format!("shift=0,rr={mode},rrfile={}", log.display());
    let quiet = ["-display", "none", "-serial", "null", "-icount"];
    let recorded = operate(
        &[&quiet[..], &[&icount("record"), "-monitor", "stdio"]].concat(),
        &[
            "info status\n",
            "o/b 0x80 1\n",
            "system_powerdown\n",
            "stop\n",
            "info status\n",
            "system_reset\n",
            "cont\n",
            "quit\n",
        ],
    );
    let said = text(&recorded.stdout);
    assert!(recorded.status.success(), "{said}{}", text(&recorded.stderr));
    assert!(said.starts_with("Lockstep ") && said.contains("VM status: running\r\n"), "{said}");
    assert!(said.contains("VM status: paused\r\n"), "{said}");

    let replayed = operate(&[&quiet[..], &[&icount("replay"), "-monitor", "none"]].concat(), &[]);
    assert!(replayed.status.success(), "{}", text(&replayed.stderr));
    assert_eq!(text(&replayed.stderr), text(&recorded.stderr), "the digests");
    let _ = std::fs::remove_file(&log);
}

#[test]
fn a_machine_started_stopped_starts_at_the_monitors_word() {
    let run = operate(&["-S", "-nographic"], &["\x01c", "info status\n", "cont\n", "info status\n", "\x01c", "\x01x"]);
    let said = text(&run.stdout);
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert!(said.contains("VM status: paused (prelaunch)\r\n"), "{said}");
    assert!(said.contains("VM status: running\r\n"), "{said}");
    assert!(said.find("Lockstep").is_some_and(|at| said[at..].starts_with("Lockstep 0.1.0 monitor")), "{said}");
}
