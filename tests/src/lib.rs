//! What crosses crates: differential, determinism, real guests.

pub mod differential;
pub mod guest;
