//! Why a dump was not written.

use std::io;
use std::path::{Path, PathBuf};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The host's file, pipe or socket would not.
    #[error("{what}: {why}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        why: io::Error,
    },
    /// The file that the dump is to go to cannot be opened.
    #[error("Could not open '{}': {}", path.display(), plain(why))]
    Open {
        /// Its name.
        path: PathBuf,
        /// Why not.
        why: io::Error,
    },
    /// Someone asked for it to end.
    #[error("the dump was cancelled")]
    Cancelled,
    /// The layout needs to go back in its file, and this one cannot.
    #[error("kdump-raw formats need a file that can be written in any order, not a pipe or a socket")]
    NotSeekable,
    /// Paging or a filter with a format that has neither.
    #[error("kdump formats hold all of physical memory: paging and a range are for elf only")]
    WholeMemoryOnly,
    /// The range asked for has no memory in it.
    #[error("there is no memory between {begin:#x} and {end:#x}")]
    NothingThere {
        /// Its first address.
        begin: u64,
        /// The address after its last.
        end: u64,
    },
    /// The guest's memory did not give what it said it has.
    #[error("guest memory at {0:#x} cannot be read")]
    Memory(u64),
    /// A compressor refused to start.
    #[error("{codec} cannot be used: {why}")]
    Codec {
        /// Which.
        codec: &'static str,
        /// Why.
        why: io::Error,
    },
}

impl DumpError {
    /// For `map_err`: the file of this name cannot be opened.
    pub fn opening(path: &Path) -> impl Fn(io::Error) -> Self {
        |why| Self::Open { path: path.into(), why }
    }

    /// For `map_err`: an error of the host at `what`.
    pub(crate) fn io(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |why| Self::Io { what, why }
    }
}

/// The host's words for an error: without the number that Rust adds, and without the temporary name that tempfile wraps
/// them in.
fn plain(why: &io::Error) -> String {
    let inner =
        why.get_ref().and_then(|wrapper| wrapper.source()).and_then(|source| source.downcast_ref::<io::Error>());
    let text = inner.unwrap_or(why).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
