//! How fast drives may be: QEMU's throttling, as numbers.

use serde::{Deserialize, Serialize};

/// One limit, in units (bytes or requests) a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// In the long run; 0: no limit.
    pub average: u64,
    /// In a burst; 0: a tenth of a second's worth of `average` may come at once.
    pub max: u64,
    /// For how many seconds a burst may last; at least 1.
    pub max_length: u64,
}

impl Default for Rate {
    fn default() -> Self {
        Self { average: 0, max: 0, max_length: 1 }
    }
}

/// What a group of drives may do together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThrottleLimits {
    /// Bytes, read or written.
    pub bps_total: Rate,
    /// Bytes read.
    pub bps_read: Rate,
    /// Bytes written.
    pub bps_write: Rate,
    /// Requests to read or write.
    pub iops_total: Rate,
    /// Requests to read.
    pub iops_read: Rate,
    /// Requests to write.
    pub iops_write: Rate,
    /// A request of more bytes counts as several; 0: each counts as one.
    pub iops_size: u64,
}

impl ThrottleLimits {
    /// Whether anything is limited.
    pub fn limit(&self) -> bool {
        let rates = [self.bps_total, self.bps_read, self.bps_write, self.iops_total, self.iops_read, self.iops_write];
        rates.iter().any(|rate| rate.average > 0)
    }
}
