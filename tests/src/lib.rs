//! What crosses crates: differential, determinism, real guests.

pub mod guest;
pub mod program;
