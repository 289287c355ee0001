//! The program itself, started as a user would.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The `lockstep` beside the tests' own folder, where `cargo build` puts it.
pub fn lockstep() -> PathBuf {
    let mut path = std::env::current_exe().expect("a test has a path");
    path.pop();
    path.pop();
    path.push("lockstep");
    assert!(path.is_file(), "{} is missing: cargo build --release makes it", path.display());
    path
}

/// Runs it to its end with nothing to read.
pub fn run(arguments: &[impl AsRef<std::ffi::OsStr>]) -> Output {
    Command::new(lockstep()).args(arguments).stdin(Stdio::null()).output().expect("the program starts")
}

/// KiB of memory that a process occupies.
pub fn resident(process: u32) -> u64 {
    status(process, "VmRSS:")
}

/// The most KiB of memory that a process has occupied so far.
pub fn peak(process: u32) -> u64 {
    status(process, "VmHWM:")
}

fn status(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// A file of the caller's own with these bytes.
pub fn scratch(name: &str, bytes: &[u8]) -> PathBuf {
    let path = scratch_path(name);
    std::fs::write(&path, bytes).expect("a scratch file");
    path
}

/// Where a file may be that nobody else has: no other process, no other test of this one.
pub fn scratch_path(name: &str) -> PathBuf {
    static GIVEN: AtomicUsize = AtomicUsize::new(0);
    let number = GIVEN.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("lockstep-{}-{number}-{name}", std::process::id()))
}
