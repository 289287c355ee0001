//! Signals: a polite end, and a terminal in order when the process stops or dies.

use std::io;
use std::thread;

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use signal_hook::low_level::{emulate_default_handler, signal_name};

use crate::chardev::{HostEvent, QuitCause, Reporter};

/// Watches for signals on a thread of its own, for the rest of the process's life. SIGINT, SIGTERM and SIGHUP become
/// [`HostEvent::Quit`], and the second of them ends the process there and then. SIGQUIT and SIGTSTP do what they always
/// do, with the terminal restored before.
pub fn watch(reporter: Reporter) -> io::Result<()> {
    let ignored = ignored_signals();
    let wanted = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT];
    // Whoever started us with a signal ignored (nohup, a shell's background job) meant it.
    let mut signals = Signals::new(wanted.iter().filter(|signal| ignored >> (**signal - 1) & 1 == 0))?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut asked = false;
        for signal in signals.forever() {
            match signal {
                SIGQUIT | SIGTSTP => {
                    super::restore();
                    let _ = emulate_default_handler(signal);
                }
                SIGCONT => super::resume(),
                _ if asked => {
                    super::restore();
                    std::process::exit(128 + signal);
                }
                _ => {
                    asked = true;
                    reporter.report(HostEvent::Quit { cause: QuitCause::Signal(signal) });
                }
            }
        }
    })?;
    Ok(())
}

/// The name of a signal, for the line that says why the run ended.
pub fn name(signal: i32) -> &'static str {
    signal_name(signal).unwrap_or("a signal")
}

/// The mask of signals that the process was started with ignored, bit 0 for signal 1.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
