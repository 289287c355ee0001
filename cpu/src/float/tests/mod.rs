//! The software unit against the host's own, and against recorded vectors where the host is another processor.

pub(crate) mod operands;
mod vectors;

#[cfg(target_arch = "x86_64")]
pub(crate) mod host;
#[cfg(target_arch = "x86_64")]
mod host_sse;
#[cfg(target_arch = "x86_64")]
mod host_transcendental;
#[cfg(target_arch = "x86_64")]
mod host_x87;
