//! Memory that translated code is written to and runs from: one file in memory, mapped twice, so that no page is ever both
//! writable and executable at one address.

use memmap2::{Mmap, MmapMut, MmapOptions};
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::io;

/// The room for code. Pages are the host's only once they are written to.
const CAPACITY: usize = 64 << 20;

/// Translated code. What is written is there to run at once: x86 keeps instruction fetches coherent with stores to the same
/// physical page, through whatever address.
pub(super) struct CodeBuffer {
    writable: MmapMut,
    executable: Mmap,
    used: usize,
}

impl CodeBuffer {
    /// An empty buffer, or why the host gives none.
    pub(super) fn new() -> io::Result<Self> {
        let file = File::from(memfd_create("lockstep-jit", MemfdFlags::CLOEXEC)?);
        file.set_len(CAPACITY as u64)?;
        // SAFETY: the file has no name and its only descriptor is closed on return, so nobody can truncate it or write to it
        // but through `writable`; `executable` is never read as Rust data, only run.
        let (writable, executable) = unsafe {
            (MmapOptions::new().len(CAPACITY).map_mut(&file)?, MmapOptions::new().len(CAPACITY).map_exec(&file)?)
        };
        Ok(Self { writable, executable, used: 0 })
    }

    /// Where the next code will run.
    pub(super) fn next(&self) -> u64 {
        self.executable.as_ptr() as u64 + self.used as u64
    }

    /// Bytes in use.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Appends code; its address, or `None` if there is no room.
    pub(super) fn append(&mut self, code: &[u8]) -> Option<u64> {
        let at = self.next();
        self.writable.get_mut(self.used..self.used + code.len())?.copy_from_slice(code);
        self.used = (self.used + code.len()).next_multiple_of(16);
        Some(at)
    }

    /// Forgets what comes after the first `used` bytes.
    pub(super) fn truncate(&mut self, used: usize) {
        self.used = used.min(self.used);
    }

    /// Replaces four bytes of code at an address within the buffer.
    pub(super) fn patch(&mut self, at: u64, value: i32) {
        let offset = at.wrapping_sub(self.executable.as_ptr() as u64) as usize;
        if let Some(place) = self.writable.get_mut(offset..offset.saturating_add(4)) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }
}
