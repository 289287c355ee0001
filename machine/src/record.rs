//! The log of a run: one JSON object a line, so that it describes itself and a log cut short is good up to the cut.

use crate::commandline::Config;
use crate::digest::Digest;
use crate::machine::Ending;
use lockstep_fabric::{Arrival, Tick};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

/// The log format that this version writes and reads.
pub const FORMAT: u32 = 1;

/// How many ticks lie between two digests.
pub const DIGEST_EVERY: Tick = 1 << 29;

/// The first line: all that the run started from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// Format of the log.
    pub lockstep_log: u32,
    /// Version of Lockstep that wrote it.
    pub version: String,
    /// The command line, read: seed and date filled in by what the host gave.
    pub config: Config,
    /// What was booted: option, path, and hash of the content.
    pub files: Vec<BootedFile>,
}

/// A file that the machine was started from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootedFile {
    /// The option that named it.
    pub option: String,
    /// Its path, as given.
    pub path: String,
    /// XXH3-128 of its content.
    pub hash: String,
}

/// Every line after the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// Something passed the gate.
    Arrival(Arrival),
    /// The state's hash at a tick.
    Digest {
        /// When.
        tick: Tick,
        /// In hexadecimal.
        hash: String,
    },
    /// The run ended.
    End {
        /// When.
        tick: Tick,
        /// How; `None` if it was ended from outside.
        ending: Option<Ending>,
        /// The state's hash then.
        hash: String,
    },
}

/// Why a log could not be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be read or written.
    #[error("rrfile={path}: {why}")]
    Io {
        /// The log.
        path: String,
        /// The host's word.
        why: io::Error,
    },
    /// The file is no log, or none that this version reads.
    #[error("rrfile={path}: {why}")]
    NotALog {
        /// The log.
        path: String,
        /// What is wrong.
        why: String,
    },
}

fn on(path: &Path) -> impl Fn(io::Error) -> LogError + '_ {
    move |why| LogError::Io { path: path.display().to_string(), why }
}

/// Writes a log; every line reaches the host's file system before the machine goes on past the next pause.
pub struct Recorder {
    file: BufWriter<File>,
}

impl Recorder {
    /// Starts a log.
    pub fn create(path: &Path, header: &Header) -> Result<Self, LogError> {
        let file = File::create(path).map_err(on(path))?;
        let mut recorder = Self { file: BufWriter::new(file) };
        recorder.line(header).map_err(on(path))?;
        recorder.flush().map_err(on(path))?;
        Ok(recorder)
    }

    /// Adds a line.
    pub fn write(&mut self, entry: &Entry) -> io::Result<()> {
        self.line(entry)
    }

    /// Hands what was written to the host.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    fn line(&mut self, what: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.file, what)?;
        self.file.write_all(b"\n")
    }
}

/// A log that was read.
#[derive(Debug)]
pub struct Log {
    /// What the run started from.
    pub header: Header,
    /// What came after, in order.
    pub entries: Vec<Entry>,
    /// The log ends without saying how the run ended, or within a line.
    pub cut_short: bool,
}

impl Log {
    /// Reads a log as far as it is whole.
    pub fn read(path: &Path) -> Result<Self, LogError> {
        let not_a_log = |why: String| LogError::NotALog { path: path.display().to_string(), why };
        let mut lines = BufReader::new(File::open(path).map_err(on(path))?).split(b'\n');
        let first = lines.next().transpose().map_err(on(path))?.unwrap_or_default();
        let header: Header =
            serde_json::from_slice(&first).map_err(|e| not_a_log(format!("this is not a log of Lockstep's: {e}")))?;
        if header.lockstep_log != FORMAT {
            return Err(not_a_log(format!("format {} is not known, only {FORMAT}", header.lockstep_log)));
        }
        let mut entries = Vec::new();
        for line in lines {
            let Ok(entry) = serde_json::from_slice(&line.map_err(on(path))?) else { break };
            entries.push(entry);
        }
        let cut_short = !matches!(entries.last(), Some(Entry::End { .. }));
        Ok(Self { header, entries, cut_short })
    }
}

impl Entry {
    /// The line of a digest.
    pub fn digest(digest: Digest) -> Self {
        Self::Digest { tick: digest.tick, hash: format!("{:032x}", digest.hash) }
    }

    /// The tick that the line is about.
    pub fn tick(&self) -> Tick {
        match self {
            Self::Arrival(arrival) => arrival.tick,
            Self::Digest { tick, .. } | Self::End { tick, .. } => *tick,
        }
    }
}
