//! The x86 core: state, decode, mmu, instructions by family, and the interpreter.
//!
//! - [`state`]: registers, flags, control and segment registers of one vCPU ([`Vcpu`]).
//! - [`table`]: one [`table::Row`] per iced `Code`; rows live beside their handlers in [`ops`], by family.
//! - [`op`]: the lowered form that runs, and the signature of handlers.
//! - `decode`: iced's instructions to lowered blocks, and the cache of blocks.
//! - [`float`]: floating-point arithmetic in software.
//! - [`mmu`]: segmentation, paging, the soft TLB; the loads and stores that handlers use.
//! - [`engine`]: [`Engine::run`], the interpreter's loop.
//! - `jit`: blocks that run often as code of the host, where that is an x86-64.
//! - [`register`], [`watch`]: what a debugger outside of the guest asks for.
//! - [`cpuid`]: CPU models.

mod decode;
mod deliver;
mod descriptor;
#[cfg(test)]
mod fixture;
mod frame;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod jit;
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
#[path = "no_jit.rs"]
mod jit;
mod msr;
mod task;

pub mod cpuid;
pub mod engine;
pub mod fault;
pub mod float;
pub mod mmu;
pub mod op;
pub mod ops;
pub mod register;
pub mod state;
pub mod table;
pub mod watch;

pub use cpuid::{CpuModel, Topology};
pub use engine::{Engine, Exit, Traced, Tracer, Why};
pub use fault::Fault;
pub use register::{REGISTERS, Register};
pub use state::Vcpu;
pub use watch::{WatchedAccess, Watchpoint};
