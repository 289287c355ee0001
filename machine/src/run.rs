//! From a configuration to a finished run.

use std::io;

use crate::chardev::{ChardevError, Chardevs, HostEvent, Patience, Reporter};
use crate::commandline::{Config, OptionError};
use crate::terminal::signals;

/// How a run ended: the process's exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitStatus(pub u8);

/// Why a machine could not be run. Its `Display` is the line after `lockstep: `.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An option asks for something that turns out to be impossible.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// A character device cannot be opened.
    #[error(transparent)]
    Chardev(#[from] ChardevError),
    /// The host refuses something that every run needs.
    #[error("{0}")]
    Host(#[from] io::Error),
}

/// Runs the machine that `config` describes until it ends or is ended.
pub fn run(config: &Config) -> Result<ExitStatus, RunError> {
    let _bios = config.boot.bios_file()?;
    let (reporter, events) = Reporter::new();
    signals::watch(reporter.clone())?;
    let chardevs = Chardevs::open(config, &reporter)?;
    let ended_by = events.iter().find_map(|event| match event {
        HostEvent::Quit { cause } => Some(cause),
        HostEvent::Bytes { chardev, data } => {
            chardevs.write(chardev, &data);
            None
        }
        _ => None,
    });
    chardevs.flush_and_close(Patience::Forever);
    if let Some(crate::chardev::QuitCause::Signal(signal)) = ended_by {
        eprintln!("lockstep: ended by {}", signals::name(signal));
    }
    Ok(ExitStatus(0))
}
