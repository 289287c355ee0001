//! The terminal is left as it was found, whichever way Lockstep ends.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, tcgetattr};

/// Lockstep on a terminal of its own.
struct Session {
    screen: std::fs::File,
    terminal: OwnedFd,
    before: Termios,
    child: Child,
}

impl Session {
    fn start(arguments: &[&str]) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&controller).and_then(|()| unlockpt(&controller)).expect("its other end");
        let name = ptsname(&controller, Vec::new()).expect("its name").into_string().expect("it is text");
        let terminal: OwnedFd = std::fs::File::options().read(true).write(true).open(name).expect("it opens").into();
        let before = tcgetattr(&terminal).expect("its settings");
        let end = || Stdio::from(terminal.try_clone().expect("a copy"));
        let mut command = Command::new(lockstep());
        command.args(arguments).stdin(end()).stdout(end()).stderr(end());
        let child = command.spawn().expect("lockstep starts");
        Session { screen: controller.into(), terminal, before, child }
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.terminal).expect("its settings").local_modes.contains(LocalModes::ICANON)
    }

    fn wait_until_raw(&self) {
        let begun = Instant::now();
        while !self.is_raw() {
            assert!(begun.elapsed() < Duration::from_secs(10), "the terminal never became raw");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn type_keys(&mut self, keys: &[u8]) {
        self.screen.write_all(keys).expect("the terminal takes keys");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process is there");
    }

    /// Waits for the end, checks that the terminal is as it was, and returns what was on the screen.
    fn end(mut self) -> (ExitStatus, String) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                break status;
            }
            if begun.elapsed() > Duration::from_secs(10) {
                let _ = self.child.kill();
                panic!("it does not end");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let after = tcgetattr(&self.terminal).expect("its settings");
        assert_eq!(
            (after.input_modes, after.output_modes, after.local_modes, after.control_modes),
            (self.before.input_modes, self.before.output_modes, self.before.local_modes, self.before.control_modes)
        );
        let mut buffer = [0; 65536];
        let mut text = Vec::new();
        let ready = |screen: &std::fs::File| {
            let fd = screen.as_fd();
            let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
            let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
            rustix::event::poll(&mut fds, Some(&now)).is_ok_and(|count| count > 0)
        };
        while ready(&self.screen) {
            match self.screen.read(&mut buffer) {
                Ok(count @ 1..) => text.extend_from_slice(&buffer[..count]),
                _ => break,
            }
        }
        (status, String::from_utf8_lossy(&text).into_owned())
    }
}

/// The program, which cargo builds beside the tests' own directory.
fn lockstep() -> std::path::PathBuf {
    let test = std::env::current_exe().expect("this program has a path");
    let path = test.ancestors().nth(2).expect("it lies in deps").join("lockstep");
    assert!(path.exists(), "{} is not built: cargo build comes first", path.display());
    path
}

#[test]
fn escape_x_ends_the_run() {
    let mut session = Session::start(&[]);
    session.wait_until_raw();
    session.type_keys(b"\x01x");
    let (status, _) = session.end();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn escape_h_lists_the_keys() {
    let mut session = Session::start(&[]);
    session.wait_until_raw();
    session.type_keys(b"\x01h\x01x");
    let (_, screen) = session.end();
    assert!(screen.contains("C-a x    exit"), "{screen}");
}

#[test]
fn ctrl_c_is_a_byte_when_the_monitor_shares_the_terminal() {
    let mut session = Session::start(&["-nographic"]);
    session.wait_until_raw();
    assert!(!tcgetattr(&session.terminal).expect("its settings").local_modes.contains(LocalModes::ISIG));
    session.type_keys(b"\x03\x01x");
    assert_eq!(session.end().0.code(), Some(0));
}

#[test]
fn signals_end_the_run_in_order() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let session = Session::start(&[]);
        session.wait_until_raw();
        session.signal(signal);
        let (status, screen) = session.end();
        assert_eq!(status.code(), Some(0), "{signal:?}");
        assert!(screen.contains("ended by SIG"), "{screen}");
    }
}

#[test]
fn sigquit_kills_and_still_restores() {
    let session = Session::start(&[]);
    session.wait_until_raw();
    session.signal(Signal::QUIT);
    assert_eq!(session.end().0.signal(), Some(Signal::QUIT.as_raw()));
}

#[test]
fn bad_command_line_leaves_the_terminal_alone() {
    for (arguments, want) in [
        (&["-smp", "300"][..], "lockstep: -smp 300: invalid SMP CPUs 300: the machine pc supports 1 to 8"),
        (&["-m", "0"], "lockstep: -m 0: the machine pc needs at least 1 MiB of memory"),
        (&["-foo"], "lockstep: -foo: unknown option (-help lists them)"),
        (
            &["-serial", "unix:/nonexistent/s,server=on"],
            "lockstep: -serial unix:/nonexistent/s,server=on: No such file",
        ),
    ] {
        let (status, screen) = Session::start(arguments).end();
        assert_eq!(status.code(), Some(1), "{arguments:?}");
        assert!(screen.starts_with(want) && screen.lines().count() == 1, "{screen}");
    }
}
