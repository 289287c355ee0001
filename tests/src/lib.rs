//! What crosses crates: differential, determinism, real guests.

pub mod differential;
pub mod guest;
pub mod image;
pub mod program;
