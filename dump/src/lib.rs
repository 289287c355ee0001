//! Memory dumps that crash, makedumpfile, drgn, libkdumpfile and gdb open as they are. Knows no machine.
//!
//! What is dumped comes through two traits, [`PhysicalMemory`] and [`Processors`]; [`write()`] puts it into a [`Target`] in one
//! of the formats of [`Format`]. [`read::Dump`] opens any of them again.
//!
//! - `guest`: what a dump is made of, as plain structs.
//! - `pages` and `pipeline`: pages in batches, worked on by all cores, taken in order, with a bound on memory.
//! - `elf` and `kdump`: the formats. `notes`: the registers in them.
//! - `paging`: the guest's own page tables. `linux`: what a Linux guest tells of itself.
//! - `target`: where a dump goes, and how it never looks complete before it is.
//! - `read`: the other direction.

pub mod codec;
pub mod elf;
mod error;
mod guest;
pub mod kdump;
pub mod linux;
pub mod notes;
mod pages;
pub mod paging;
mod pipeline;
mod progress;
pub mod read;
mod record;
mod snappy;
mod target;
mod write;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

pub use error::DumpError;
pub use guest::{
    PAGE_SIZE, PhysicalMemory, Processors, Range, Registers, SegmentRegister, TableRegister, general, segment,
};
pub use pages::is_zero;
pub use progress::Progress;
pub use target::Target;
pub use write::{Architecture, Format, Guest, Options, Outline, Prepared, Summary, write};
