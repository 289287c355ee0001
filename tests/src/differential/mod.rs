//! Lockstep's CPU against the host's: the same instruction from the same state, and every bit that user mode can see
//! afterwards compared.
//!
//! - [`state`]: what a case is, and what comes out of it.
//! - [`generate`], [`contents`], [`random`]: random cases of a table row.
//! - `host`: one instruction on the host's CPU (x86-64 Linux).
//! - [`guest`]: one instruction on Lockstep's.
//! - [`compare`], [`latitude`]: what must be equal, and what the manuals leave open.
//! - [`campaign`]: many cases of every row.
//! - [`vectors`]: recorded cases, for hosts that have no such CPU.

pub mod campaign;
pub mod compare;
pub mod contents;
pub mod generate;
pub mod guest;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod host;
pub mod latitude;
pub mod random;
pub mod state;
pub mod vectors;
