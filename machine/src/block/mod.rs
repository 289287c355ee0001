//! The block layer: everything between a device's [`BlockRequest`](lockstep_fabric::BlockRequest) and the host's files.
//!
//! - [`queue`]: requests in flight, as part of the machine's state; each completes at a tick fixed when it was made.
//! - [`latency`]: how long that takes, by operation and length alone.
//! - [`drive`]: a drive as devices see it, and which image is in it.
//! - [`drives`]: all drives and nodes of a command line, opened.
//! - [`medium`]: what is put into a drive while the machine exists.
//! - [`image`]: raw, qcow2, overlays, locks.
//! - [`statistics`]: what was asked of a drive so far.
//! - `page_cache`: reads that the host can answer at once.
//! - [`limits`] and [`throttle`]: how fast groups of drives may be, and when a request may start then.
//! - [`worker`]: a drive's thread on the host.

pub mod drive;
pub mod drives;
pub mod image;
pub mod latency;
pub mod limits;
pub mod medium;
mod page_cache;
pub mod queue;
pub mod statistics;
pub mod throttle;
mod worker;

#[cfg(test)]
pub(crate) mod tests;

pub use drive::{Drive, DriveInfo, IoStatus, Policy};
pub use drives::{DriveError, Drives};
pub use medium::{Insertion, Loaded};
pub use queue::{Fault, Queue};
pub use statistics::{Count, Statistics};
