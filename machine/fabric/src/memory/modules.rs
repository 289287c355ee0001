//! Memory that comes and goes while the machine runs: the last part of the arena, taken and given back in pieces.

use super::{Memory, PAGE_SIZE};
use std::ops::Range;

impl Memory {
    /// Takes these bytes of the arena, which [`Memory::allocate`] must not have handed out and nobody may have taken before;
    /// false otherwise. They are zeroes.
    pub fn take_module(&mut self, at: u64, len: u64) -> bool {
        let Some(end) = at.checked_add(len).filter(|end| *end <= self.arena.len() as u64) else { return false };
        let aligned = [at, len].iter().all(|number| number % PAGE_SIZE == 0);
        let free = self.modules.iter().all(|(start, len)| end <= *start || start + len <= at);
        let fits = aligned && free && len > 0 && at >= self.allocated;
        if fits {
            self.modules.insert(at, len);
        }
        fits
    }

    /// Gives back what [`Memory::take_module`] took: what was in it is forgotten.
    pub fn give_back_module(&mut self, at: u64) {
        if let Some(len) = self.modules.remove(&at) {
            self.zero(at, len);
        }
    }

    /// Whether an arena offset lies in memory that comes and goes.
    pub fn is_module(&self, offset: u64) -> bool {
        self.modules.range(..=offset).next_back().is_some_and(|(at, len)| offset - at < *len)
    }

    /// The numbers of the arena's pages that are in use, in ascending order.
    pub fn pages(&self) -> impl Iterator<Item = u64> + use<> {
        let pages = |bytes: Range<u64>| bytes.start / PAGE_SIZE..bytes.end / PAGE_SIZE;
        let modules: Vec<_> = self.modules.iter().map(|(at, len)| pages(*at..at + len)).collect();
        std::iter::once(pages(0..self.allocated)).chain(modules).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_do_not_overlap_and_are_empty_when_they_come_again() {
        let mut memory = Memory::new(0x8000).unwrap();
        memory.allocate(0x2000).unwrap();
        assert!(memory.take_module(0x4000, 0x2000));
        let misfits =
            [(0x1000, 0x1000), (0x5000, 0x1000), (0x3000, 0x2000), (0x7000, 0x2000), (0x6800, 0x800), (0x7000, 0)];
        for (at, len) in misfits.into_iter().chain([(!0xfff, 0x2000)]) {
            assert!(!memory.take_module(at, len), "{at:#x} {len:#x}");
        }
        assert_eq!(memory.pages().collect::<Vec<_>>(), [0, 1, 4, 5]);
        assert_eq!([0x3fff, 0x4000, 0x5fff, 0x6000].map(|at| memory.is_module(at)), [false, true, true, false]);
        memory.store_marked(0x5008, 7u64);
        memory.take_dirty();
        memory.give_back_module(0x4000);
        assert_eq!((memory.take_dirty(), memory.load::<u64>(0x5008)), (vec![5], 0));
        assert!(memory.take_module(0x5000, 0x3000));
    }
}
