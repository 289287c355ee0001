//! Memory of a device's own that the guest may see too (video memory): a piece of the arena, saved with RAM.

use super::{Memory, Word};
use serde::{Deserialize, Serialize};

/// A piece of the arena that the board gave to a device; it is reached through [`crate::Cx`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Arena offset of the first byte, on a page boundary.
    pub at: u64,
    /// Length in bytes.
    pub len: u64,
}

impl Block {
    fn holds(self, offset: u64, len: u64) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= self.len)
    }
}

impl Memory {
    /// Loads from a block; what lies beyond reads as zeroes.
    #[inline]
    pub fn block_load<T: Word + Default>(&self, block: Block, offset: u64) -> T {
        if block.holds(offset, size_of::<T>() as u64) { self.load(block.at + offset) } else { T::default() }
    }

    /// Stores to a block, keeping the marks; what lies beyond is dropped.
    #[inline]
    pub fn block_store<T: Word>(&mut self, block: Block, offset: u64, value: T) {
        if block.holds(offset, size_of::<T>() as u64) {
            self.store_marked(block.at + offset, value);
        }
    }

    /// The bytes of a block.
    pub fn block_bytes(&self, block: Block) -> &[u8] {
        self.arena().bytes(block.at, block.len as usize).unwrap_or_default()
    }

    /// Zeroes bytes of a block that are not zero already, so that untouched pages stay untouched.
    pub fn block_clear(&mut self, block: Block, offset: u64, len: u64) {
        let end = offset.saturating_add(len).min(block.len);
        let mut at = offset;
        while at < end {
            let piece = (super::PAGE_SIZE - at % super::PAGE_SIZE).min(end - at);
            let held = self.arena().bytes(block.at + at, piece as usize);
            if held.is_some_and(|held| held.iter().any(|b| *b != 0)) {
                self.fill(block.at + at, &[0; super::PAGE_SIZE as usize][..piece as usize]);
            }
            at += piece;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_reached_no_further_than_it_goes() {
        let mut memory = Memory::new(0x3000).unwrap();
        memory.allocate(0x1000).unwrap();
        let block = memory.allocate_block(0x1000).unwrap();
        memory.block_store(block, 0xffe, 0x1234u16);
        memory.block_store(block, 0xfff, 0x5678u16);
        assert_eq!(memory.block_load::<u16>(block, 0xffe), 0x1234);
        assert_eq!(memory.block_load::<u16>(block, 0xfff), 0);
        assert_eq!(memory.block_load::<u8>(block, u64::MAX), 0);
        assert_eq!(memory.take_dirty(), [1]);
        memory.block_clear(block, 0, u64::MAX);
        assert_eq!(memory.take_dirty(), [1]);
        memory.block_clear(block, 0, u64::MAX);
        assert_eq!(memory.take_dirty(), [0u64; 0], "what is zero is left alone");
    }
}
