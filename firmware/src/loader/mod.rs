//! Loaders: from a kernel file to the bytes to place in RAM and the registers to start with.
//!
//! Nothing here touches a machine. [`plan`] looks at the kernel's content, decides where everything goes, and returns a
//! [`BootPlan`]; whoever owns RAM and processors carries it out. Kernel and initrd are borrowed, never copied.

mod arena;
pub mod bzimage;
mod elf;
mod entry;
mod error;
mod fields;
pub mod for_firmware;
pub mod multiboot;
pub mod pvh;

use std::borrow::Cow;

use crate::memory_map::MemoryMap;

pub use entry::{EntryMode, EntryState, SegmentRegister, TableRegister};
pub use error::LoadError;

/// The kinds of kernel file that can be started without foreign firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelKind {
    /// A Linux bzImage, by the Linux/x86 boot protocol.
    BzImage,
    /// An ELF with a Xen PVH entry note.
    Pvh,
    /// A Multiboot 1 image, ELF or raw with addresses in its header.
    Multiboot,
}

/// A file beside the kernel: the initrd, or one of several Multiboot or PVH modules.
#[derive(Clone, Copy, Debug)]
pub struct Module<'a> {
    /// The file's content.
    pub bytes: &'a [u8],
    /// The module's own command line (Multiboot puts the file's name first).
    pub command_line: &'a str,
}

/// Everything that a boot depends on.
#[derive(Clone, Copy, Debug)]
pub struct BootRequest<'a> {
    /// The kernel file's content.
    pub kernel: &'a [u8],
    /// The kernel's name as Multiboot kernels expect it in front of their command line.
    pub kernel_name: &'a str,
    /// The initrd, or the modules in order.
    pub modules: &'a [Module<'a>],
    /// The kernel's command line.
    pub command_line: &'a str,
    /// The map handed to the kernel; only its RAM is used for placing.
    pub memory: &'a MemoryMap,
    /// Guest physical address of the ACPI RSDP, 0 when there is none.
    pub rsdp: u64,
}

/// Bytes to place in guest memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Guest physical address of the first byte.
    pub address: u64,
    /// The bytes.
    pub bytes: Cow<'a, [u8]>,
    /// How many zero bytes follow them (an ELF segment's bss). RAM that is known to be zero need not be touched.
    pub zeroes: u64,
}

impl<'a> Segment<'a> {
    /// Bytes without a zeroed tail.
    #[must_use]
    pub fn new(address: u64, bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { address, bytes: bytes.into(), zeroes: 0 }
    }

    /// The first address behind the segment and its zeroes.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.address.saturating_add(self.bytes.len() as u64).saturating_add(self.zeroes)
    }
}

/// How to start a kernel: what lies where, and the first processor's registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootPlan<'a> {
    /// What the kernel was recognised as.
    pub kind: KernelKind,
    /// Disjoint pieces of RAM, in the order they were laid out.
    pub segments: Vec<Segment<'a>>,
    /// The state of the first processor. All others wait for INIT and SIPI.
    pub entry: EntryState,
}

/// Recognises a kernel by its content.
///
/// # Errors
/// [`LoadError::NotAKernel`] when it is none of the known kinds.
pub fn detect(kernel: &[u8]) -> Result<KernelKind, LoadError> {
    if bzimage::is_bzimage(kernel) {
        Ok(KernelKind::BzImage)
    } else if multiboot::find_header(kernel).is_some() {
        Ok(KernelKind::Multiboot)
    } else if elf::is_elf(kernel) {
        Ok(KernelKind::Pvh)
    } else {
        Err(LoadError::NotAKernel)
    }
}

/// Plans the boot of whatever kind of kernel `request` holds.
///
/// # Errors
/// Says what is wrong with the kernel, or what does not fit into RAM.
pub fn plan<'a>(request: &BootRequest<'a>) -> Result<BootPlan<'a>, LoadError> {
    match detect(request.kernel)? {
        KernelKind::BzImage => bzimage::plan(request),
        KernelKind::Pvh => pvh::plan(request),
        KernelKind::Multiboot => multiboot::plan(request),
    }
}

/// A protected-mode entry, for tests of those who enter.
#[cfg(test)]
pub(crate) fn entry_for_tests() -> EntryState {
    EntryState::protected(0x10_0000, 0x1_1000)
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod robustness;
