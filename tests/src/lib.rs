//! What crosses crates: differential, determinism, real guests.
