//! Where in RAM things go: every claim is checked against the map and against all earlier claims.

use crate::memory_map::{FOUR_GIB, MemoryMap};

use super::error::LoadError;

/// Page zero stays free: it holds the real-mode interrupt vectors, and null pointers.
const LOWEST: u64 = 0x1000;

/// A span of addresses, its end exclusive.
type Span = (u64, u64);

/// Free RAM below 4 GiB.
#[derive(Debug)]
pub(super) struct Arena {
    free: Vec<Span>,
}

impl Arena {
    /// All RAM below 4 GiB that the map knows, without page zero. Lines of the map that touch are one span.
    pub(super) fn new(memory: &MemoryMap) -> Self {
        let mut free: Vec<Span> = Vec::new();
        for range in memory.ram() {
            let (start, end) = (range.start.max(LOWEST), range.end().min(FOUR_GIB));
            match free.last_mut() {
                _ if start >= end => {}
                Some(last) if last.1 == start => last.1 = end,
                _ => free.push((start, end)),
            }
        }
        Self { free }
    }

    /// Claims exactly `start..end`.
    pub(super) fn claim(&mut self, start: u64, end: u64, what: &'static str) -> Result<u64, LoadError> {
        let at = self.free.iter().position(|span| span.0 <= start && start <= end && end <= span.1);
        let at = at.ok_or(LoadError::DoesNotFit { what, start, end })?;
        let span = self.free.remove(at);
        let rest = [(span.0, start), (end, span.1)];
        self.free.splice(at..at, rest.into_iter().filter(|(start, end)| start < end));
        Ok(start)
    }

    /// Claims `size` bytes as low as possible, not below `from`.
    pub(super) fn lowest(&mut self, from: u64, size: u64, align: u64, what: &'static str) -> Result<u64, LoadError> {
        let fits = |span: &Span| {
            let start = span.0.max(from).checked_next_multiple_of(align)?;
            let end = start.checked_add(size)?;
            (end <= span.1).then_some((start, end))
        };
        let found = self.free.iter().find_map(fits);
        let (start, end) = found.ok_or(LoadError::NoRoom { what, size, from, to: FOUR_GIB })?;
        self.claim(start, end, what)
    }

    /// Claims `size` bytes as high as possible, ending at or below `to` and not below `from`.
    pub(super) fn highest(
        &mut self,
        window: Span,
        size: u64,
        align: u64,
        what: &'static str,
    ) -> Result<u64, LoadError> {
        let (from, to) = window;
        let fits = |span: &Span| {
            let last = span.1.min(to).checked_sub(size)?;
            let start = last - last % align;
            (start >= span.0.max(from)).then_some(start)
        };
        let found = self.free.iter().rev().find_map(fits);
        let start = found.ok_or(LoadError::NoRoom { what, size, from, to })?;
        self.claim(start, start + size, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_map::{MemoryMap, RamLayout};

    fn arena() -> Arena {
        Arena::new(&MemoryMap::for_direct_boot(&RamLayout::for_size(16 << 20), 0))
    }

    #[test]
    fn a_claim_must_be_free_ram() {
        let mut arena = arena();
        assert_eq!(arena.claim(0x10_0000, 0x20_0000, "kernel"), Ok(0x10_0000));
        assert!(arena.claim(0x1f_f000, 0x20_1000, "overlap").is_err());
        assert!(arena.claim(0x9_0000, 0xa_0000, "the EBDA").is_err());
        assert!(arena.claim(0xff_0000, 0x101_0000, "the end of RAM").is_err());
        assert!(arena.claim(0x30_0000, 0x20_0000, "backwards").is_err());
    }

    #[test]
    fn low_and_high_claims_never_overlap() {
        let mut arena = arena();
        assert_eq!(arena.lowest(0, 0x1000, 0x1000, "a"), Ok(0x1000));
        assert_eq!(arena.lowest(0, 10, 16, "b"), Ok(0x2000));
        assert_eq!(arena.lowest(0, 10, 16, "c"), Ok(0x2010));
        assert_eq!(arena.highest((0, FOUR_GIB), 0x1001, 0x1000, "d"), Ok(0xff_e000));
        assert_eq!(arena.highest((0, 0x20_0000), 0x1000, 0x1000, "e"), Ok(0x1f_f000));
        assert!(arena.highest((0x10_0000, 0x20_0000), 0x10_0000, 0x1000, "f").is_err());
        assert!(arena.lowest(0, u64::MAX, 1, "g").is_err());
    }
}
