//! How long a request takes in guest time. A function of the operation and its length and of nothing else: whatever the
//! host's disk does, the guest sees the same disk, about as fast as an NVMe drive of 1 GB/s.

use lockstep_fabric::{BlockOperation, Nanos};

/// Of every read, write, range of zeroes and discard, however short.
pub const ACCESS: Nanos = 100_000;
/// More for each byte moved: 1 GB/s.
pub const PER_BYTE: Nanos = 1;
/// Of a flush.
pub const FLUSH: Nanos = 200_000;

/// The time that `operation` takes. A request that is refused takes [`ACCESS`] too, so that a driver that tries again at
/// once cannot hold time still.
pub fn of(operation: &BlockOperation) -> Nanos {
    match operation {
        BlockOperation::Read { len, .. } => ACCESS.saturating_add(len.saturating_mul(PER_BYTE)),
        BlockOperation::Write { data, .. } => ACCESS.saturating_add((data.len() as u64).saturating_mul(PER_BYTE)),
        BlockOperation::WriteZeroes { .. } | BlockOperation::Discard { .. } => ACCESS,
        BlockOperation::Flush => FLUSH,
    }
}
