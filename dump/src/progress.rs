//! How far a dump is, for those who watch it, and their way to end it.

use crate::DumpError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counters that may be read from any thread while a dump is written.
#[derive(Debug, Default)]
pub struct Progress {
    total: AtomicU64,
    completed: AtomicU64,
    cancelled: AtomicBool,
    /// Somebody else's reason to end.
    over: Arc<AtomicBool>,
}

impl Progress {
    /// For a dump that is cancelled as soon as `over` is true, too.
    pub fn unless(over: Arc<AtomicBool>) -> Self {
        Self { over, ..Self::default() }
    }

    /// Bytes of guest memory to be written; zero until it is known.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Bytes of guest memory written. A dump that succeeds ends with [`Progress::total`].
    pub fn completed(&self) -> u64 {
        self.completed.load(Ordering::Relaxed)
    }

    /// Asks the dump to end soon with [`DumpError::Cancelled`].
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether [`Progress::cancel`] was called, or there is another reason to end.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.over.load(Ordering::Relaxed)
    }

    pub(crate) fn begin(&self, total: u64) {
        self.completed.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    pub(crate) fn advance(&self, bytes: u64) {
        self.completed.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn check(&self) -> Result<(), DumpError> {
        if self.is_cancelled() { Err(DumpError::Cancelled) } else { Ok(()) }
    }
}
