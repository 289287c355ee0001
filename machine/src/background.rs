//! `-daemonize`: the run goes on in the background. The program starts itself once more, waits until the other one says that
//! everything is open, and leaves.

use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};

/// Says to a process that it is the one in the background.
const MARK: &str = "LOCKSTEP_IN_BACKGROUND";

/// Which of the two processes this is.
pub enum Side {
    /// The one that the user started: the other one is ready, or has failed. With this status it ends.
    Parent(u8),
    /// The one that goes on. It calls this once everything is open.
    Child(Box<dyn FnOnce()>),
}

/// Starts the other process, or finds that this is it.
pub fn part() -> io::Result<Side> {
    if std::env::var_os(MARK).is_some() {
        // A leader of a session of its own hears nothing of the user's terminal.
        rustix::process::setsid()?;
        return Ok(Side::Child(Box::new(ready)));
    }
    let mut child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(MARK, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = Vec::new();
    if let Some(mut pipe) = child.stdout.take() {
        // Until it lets go of the pipe, whatever becomes of it.
        pipe.read_to_end(&mut said)?;
    }
    if said.ends_with(READY) {
        return Ok(Side::Parent(0));
    }
    // What was wrong it has said itself.
    let status = child.wait()?;
    Ok(Side::Parent(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// What goes through the pipe.
const READY: &[u8] = b"ready\n";

/// Tells the parent, and lets go of all that was the user's.
fn ready() {
    let mut stdout = io::stdout();
    let told = stdout.write_all(READY).and_then(|()| stdout.flush());
    if let (Ok(()), Ok(null)) = (told, OpenOptions::new().read(true).write(true).open("/dev/null")) {
        let _ = dup2_stdin(&null);
        let _ = dup2_stderr(&null);
        let _ = dup2_stdout(&null);
    }
    let _ = std::env::set_current_dir("/");
}
