//! Watchdogs: unless the guest comes back in time, the machine does what its operator chose.

pub mod i6300esb;
pub mod ib700;
