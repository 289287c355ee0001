//! What crosses crates: differential, determinism, real guests.

pub mod differential;
pub mod diskwork;
pub mod guest;
pub mod image;
pub mod program;
pub mod session;
