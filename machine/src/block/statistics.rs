//! What was asked of a drive so far, for whoever watches. The guest sees nothing of it, and it begins anew with each run.

use lockstep_fabric::{BlockError, BlockOperation, Tick};

/// Operations of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many were done.
    pub done: u64,
    /// How many bytes they moved.
    pub bytes: u64,
    /// How long they took, all together.
    pub ticks: Tick,
    /// How many the host could not do.
    pub failed: u64,
    /// How many made no sense.
    pub invalid: u64,
}

/// What was asked of a drive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Reads.
    pub reads: Count,
    /// Writes.
    pub writes: Count,
    /// Flushes.
    pub flushes: Count,
    /// Ranges that were given up.
    pub unmaps: Count,
    /// One past the highest byte that was written.
    pub highest_write: u64,
    /// When a request was last done.
    pub last: Option<Tick>,
}

impl Statistics {
    /// Counts a request that is over: at `now`, and so long after it was made.
    pub(super) fn count(&mut self, operation: &BlockOperation, result: Result<(), &BlockError>, took: Tick, now: Tick) {
        let (count, bytes, end) = match operation {
            BlockOperation::Read { len, .. } => (&mut self.reads, *len, 0),
            BlockOperation::Write { offset, data } => {
                (&mut self.writes, data.len() as u64, offset.saturating_add(data.len() as u64))
            }
            BlockOperation::WriteZeroes { offset, len, .. } => (&mut self.writes, *len, offset.saturating_add(*len)),
            BlockOperation::Discard { len, .. } => (&mut self.unmaps, *len, 0),
            BlockOperation::Flush => (&mut self.flushes, 0, 0),
        };
        self.last = Some(now);
        match result {
            Ok(()) => {
                count.done += 1;
                count.bytes = count.bytes.saturating_add(bytes);
                count.ticks = count.ticks.saturating_add(took);
                self.highest_write = self.highest_write.max(end);
            }
            Err(BlockError::Io | BlockError::NoSpace) => count.failed += 1,
            Err(_) => count.invalid += 1,
        }
    }
}
