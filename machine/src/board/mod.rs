//! Boards: machines put together from devices and wires.

mod direct;
mod firmware;
mod pc;
mod processors;

use crate::commandline::{Config, MachineKind, OptionError};
use crate::machine::Machine;
use crate::record::BootedFile;
use lockstep_fabric::DeviceId;
use std::io;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_128;

/// A machine and what the host's side must know of it.
pub struct Board {
    /// The machine, out of reset.
    pub machine: Machine,
    /// Devices with a character device behind them, and its name.
    pub ports: Vec<(DeviceId, String)>,
    /// The device that takes the power button.
    pub power_button: Option<DeviceId>,
    /// The files that the machine was started from.
    pub files: Vec<BootedFile>,
}

/// Why a board cannot be built as asked. Its `Display` names the option.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// An option's value turns out to be impossible.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// A file cannot be read.
    #[error("{option} {path}: {why}")]
    File {
        /// The option.
        option: &'static str,
        /// The file.
        path: String,
        /// The host's word.
        why: String,
    },
    /// A file is not what the option asks for.
    #[error("{option} {path}: {why}")]
    Unfit {
        /// The option.
        option: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// Guest memory cannot be mapped.
    #[error("-m: the host cannot map {bytes} bytes of guest memory: {why}")]
    Memory {
        /// How much.
        bytes: u64,
        /// The host's word.
        why: io::Error,
    },
    /// A value of an option that this board cannot serve.
    #[error("{option}: {why}")]
    Refused {
        /// The option with its value.
        option: String,
        /// Why not.
        why: String,
    },
}

/// Builds the machine that `config` describes; seed and date must be settled.
pub fn build(config: &Config) -> Result<Board, BoardError> {
    match config.machine.kind {
        MachineKind::Pc => pc::build(config),
    }
}

/// A file that an option names, whole.
struct Loaded {
    bytes: Vec<u8>,
    record: BootedFile,
}

fn load(option: &'static str, path: &Path) -> Result<Loaded, BoardError> {
    let bytes = std::fs::read(path).map_err(|why| {
        let text = why.to_string();
        let why = text.split(" (os error").next().unwrap_or_default().to_owned();
        BoardError::File { option, path: path.display().to_string(), why }
    })?;
    let record = BootedFile {
        option: option.into(),
        path: path.display().to_string(),
        hash: format!("{:032x}", xxh3_128(&bytes)),
    };
    Ok(Loaded { bytes, record })
}
