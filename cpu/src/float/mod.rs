//! Floating point as the x87 and SSE units do it: bit-exact results and exception flags on every host.
//!
//! Values are bit patterns: `u32` is a binary32, `u64` a binary64, [`F80`] a double extended. Every operation takes an
//! [`Env`], which is one control word (MXCSR or the x87 FCW) and the flags raised so far, and returns the masked
//! response. When a raised flag is unmasked the caller decides what reaches the destination ([`Env::unmasked`]).
//!
//! [`sse`] and [`x87`] are the doors for instruction handlers: they try a short path for ordinary operands and fall
//! back to the general code, which is written once for the three formats.
//!
//! Sources: Intel SDM volume 1, chapters 4.8, 8 and 11.5, and appendix D/E.

pub mod approx;
pub mod arith;
pub mod bcd;
pub mod compare;
pub mod convert;
mod env;
mod f80;
mod fixed;
mod format;
pub mod integral;
pub mod remainder;
mod round;
pub mod scale;
pub mod sse;
pub mod transcendental;
pub mod trigonometric;
pub mod x87;

#[cfg(test)]
pub(crate) mod tests;

pub use env::{Env, Flags, Precision, Rounding};
pub use f80::F80;
pub use format::{Class, Format, Num};
