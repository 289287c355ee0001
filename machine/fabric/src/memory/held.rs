//! Memory as it was at one moment, while the guest goes on storing to it.
//!
//! [`Memory::hold`] takes note of the pages that someone wants to read later; none of them is copied yet. A store to such a
//! page copies it first, and reading it in the end lets it go. So nothing is copied that was read in time, and the right
//! to store without asking, which the fast path has, is what tells: a page that waits is never free to write.

use super::{Memory, PAGE_SIZE};
use std::collections::BTreeMap;

const PAGE: usize = PAGE_SIZE as usize;

/// The pages of a hold.
#[derive(Debug)]
pub(super) struct Held {
    /// A bit for each arena page whose bytes in the arena are still those of the moment.
    waiting: Vec<u64>,
    /// Arena pages that are to be read more than once, in ascending order: they stay until the hold ends.
    shared: Vec<u64>,
    /// What pages were that have been stored to since.
    kept: BTreeMap<u64, Box<[u8; PAGE]>>,
}

impl Held {
    fn of(spans: &[(u64, u64)], arena: u64) -> Self {
        let mut held = Self {
            waiting: vec![0; arena.div_ceil(PAGE_SIZE * 64) as usize],
            shared: Vec::new(),
            kept: BTreeMap::new(),
        };
        for page in spans.iter().flat_map(|(offset, len)| touched(*offset, *len)) {
            if held.waits(page) {
                held.shared.push(page);
            } else if let Some(word) = held.waiting.get_mut((page / 64) as usize) {
                *word |= 1 << (page % 64);
            }
        }
        held.shared.sort_unstable();
        held
    }

    fn waits(&self, page: u64) -> bool {
        self.waiting.get((page / 64) as usize).is_some_and(|word| word >> (page % 64) & 1 != 0)
    }

    fn waits_no_more(&mut self, page: u64) {
        if let Some(word) = self.waiting.get_mut((page / 64) as usize) {
            *word &= !(1 << (page % 64));
        }
    }

    fn let_go(&mut self, page: u64) {
        if self.shared.binary_search(&page).is_err() {
            self.waits_no_more(page);
            self.kept.remove(&page);
        }
    }
}

/// The pages that a range has bytes of.
fn touched(offset: u64, len: u64) -> std::ops::Range<u64> {
    offset / PAGE_SIZE..offset.saturating_add(len).div_ceil(PAGE_SIZE)
}

impl Memory {
    /// From now on, [`Memory::take_held`] gives the bytes of these spans (arena offset and length) as they are now, whatever
    /// is stored. A hold that there was before ends. What lies in several spans may be taken several times.
    pub fn hold(&mut self, spans: &[(u64, u64)]) {
        self.held = Some(Held::of(spans, self.arena.len() as u64));
        self.write_epoch += 1;
    }

    /// Whether there is a hold.
    pub fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// How many pages had to be copied, because they were stored to, and have not been taken.
    pub fn kept_pages(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.kept.len())
    }

    /// From now on, the hold is of these spans only, all of which were part of it; what else there was is let go.
    pub fn narrow_hold(&mut self, spans: &[(u64, u64)]) {
        let Some(held) = &mut self.held else { return };
        let narrow = Held::of(spans, self.arena.len() as u64);
        held.kept.retain(|page, _| narrow.waits(*page));
        held.waiting.iter_mut().zip(narrow.waiting).for_each(|(waiting, narrow)| *waiting &= narrow);
        held.shared = narrow.shared;
    }

    /// Appends bytes as they were at the moment of the hold; false, with nothing appended, if they leave the arena. Pages
    /// that lie within the range as a whole are let go: they cannot be taken again.
    pub fn take_held(&mut self, offset: u64, len: usize, into: &mut Vec<u8>) -> bool {
        let any = self.peek_held(offset, len, into);
        let end = offset.saturating_add(len as u64);
        if let Some(held) = self.held.as_mut().filter(|_| any) {
            for page in offset.div_ceil(PAGE_SIZE)..end / PAGE_SIZE {
                held.let_go(page);
            }
        }
        any
    }

    /// Appends bytes as they were at the moment of the hold; false, with nothing appended, if they leave the arena. They can be
    /// taken, or looked at again, later.
    pub fn peek_held(&self, offset: u64, len: usize, into: &mut Vec<u8>) -> bool {
        let Some(bytes) = self.arena.bytes(offset, len) else { return false };
        let begun = into.len();
        into.extend_from_slice(bytes);
        let Some(held) = &self.held else { return true };
        let end = offset + len as u64;
        // Kept pages are few beside those that are taken.
        for (page, bytes) in held.kept.range(touched(offset, len as u64)) {
            let start = page * PAGE_SIZE;
            let (from, to) = (start.max(offset), (start + PAGE_SIZE).min(end));
            let old = bytes.get((from - start) as usize..(to - start) as usize).unwrap_or_default();
            if let Some(new) = into.get_mut(begun + (from - offset) as usize..begun + (to - offset) as usize) {
                new.copy_from_slice(old);
            }
        }
        true
    }

    /// Ends the hold.
    pub fn end_hold(&mut self) {
        self.held = None;
    }

    /// Whether the page of this arena offset must be copied before it is stored to.
    #[inline]
    pub(super) fn waits(&self, offset: u64) -> bool {
        self.held.as_ref().is_some_and(|held| held.waits(offset / PAGE_SIZE))
    }

    /// To be called before bytes are stored: what waits to be read is kept.
    #[inline(always)]
    pub(super) fn before_store(&mut self, offset: u64, len: u64) {
        if self.held.is_some() {
            self.keep(offset, len);
        }
    }

    #[cold]
    #[inline(never)]
    fn keep(&mut self, offset: u64, len: u64) {
        let Some(held) = &mut self.held else { return };
        for page in touched(offset, len) {
            let bytes = self.arena.bytes(page * PAGE_SIZE, PAGE).and_then(|bytes| bytes.try_into().ok());
            if held.waits(page)
                && let Some(bytes) = bytes
            {
                held.kept.insert(page, Box::new(bytes));
                held.waits_no_more(page);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGES: u64 = 70;

    /// Pages that each hold their number.
    fn numbered() -> Memory {
        let mut memory = Memory::new(PAGES * PAGE_SIZE).unwrap();
        memory.allocate(PAGES * PAGE_SIZE).unwrap();
        for page in 0..PAGES {
            memory.fill(page * PAGE_SIZE, &[page as u8; PAGE]);
        }
        memory
    }

    fn taken(memory: &mut Memory, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0xee];
        assert!(memory.take_held(offset, len, &mut bytes));
        assert_eq!(bytes.remove(0), 0xee, "what was there stays");
        bytes
    }

    #[test]
    fn every_way_to_store_leaves_what_was() {
        let mut memory = numbered();
        let expected = memory.arena().bytes(0, 8 * PAGE).unwrap().to_vec();
        memory.hold(&[(0, 8 * PAGE_SIZE)]);
        assert_eq!(memory.kept_pages(), 0, "nothing is copied ahead");
        memory.store_marked(0x10, 0xffu8);
        memory.store_marked(2 * PAGE_SIZE - 2, 0xffff_ffffu32);
        memory.fill(3 * PAGE_SIZE + 5, &[0xff; PAGE]);
        memory.zero(6 * PAGE_SIZE, PAGE_SIZE);
        assert!(memory.free_to_write(0), "a page that was copied is as any other");
        memory.fill_free(0, PAGE_SIZE, 0xfefe);
        assert_eq!(memory.kept_pages(), 6);
        assert!(taken(&mut memory, 0, 8 * PAGE) == expected);
        assert_eq!(memory.kept_pages(), 0);
        memory.end_hold();
        assert_eq!(memory.load::<u8>(3 * PAGE_SIZE + 5), 0xff);
    }

    #[test]
    fn no_page_that_waits_may_be_stored_to_freely() {
        let mut memory = numbered();
        let epoch = memory.write_epoch();
        assert!(memory.free_to_write(0) && memory.free_to_write(65 * PAGE_SIZE));
        memory.hold(&[(0, PAGE_SIZE), (65 * PAGE_SIZE, PAGE_SIZE)]);
        assert_ne!(memory.write_epoch(), epoch, "rights that were given are void");
        assert!(!memory.free_to_write(0) && !memory.free_to_write(65 * PAGE_SIZE));
        assert!(memory.free_to_write(PAGE_SIZE), "one that nobody asked for");
        taken(&mut memory, 65 * PAGE_SIZE, PAGE);
        assert!(memory.free_to_write(65 * PAGE_SIZE));
        memory.end_hold();
        assert!(memory.free_to_write(0));
    }

    #[test]
    fn what_is_looked_at_stays_and_what_is_of_no_more_interest_is_let_go() {
        let mut memory = numbered();
        memory.hold(&[(0, PAGES * PAGE_SIZE)]);
        for page in [1, 2, 66] {
            memory.fill(page * PAGE_SIZE, &[0xff; PAGE]);
        }
        for _ in 0..2 {
            let mut bytes = Vec::new();
            assert!(memory.peek_held(PAGE_SIZE - 1, 2 * PAGE, &mut bytes));
            assert_eq!((bytes[0], bytes[1], bytes[2 * PAGE - 1]), (0, 1, 2));
        }
        assert_eq!(memory.kept_pages(), 3);
        assert!(!memory.free_to_write(0) && !memory.free_to_write(5 * PAGE_SIZE));

        memory.narrow_hold(&[(0, 4 * PAGE_SIZE), (2 * PAGE_SIZE, PAGE_SIZE)]);
        assert_eq!(memory.kept_pages(), 2);
        assert!(!memory.free_to_write(3 * PAGE_SIZE) && memory.free_to_write(5 * PAGE_SIZE));
        assert!(memory.free_to_write(PAGE_SIZE), "a copy is kept already");
        memory.fill(3 * PAGE_SIZE, &[0xff; PAGE]);
        let four = taken(&mut memory, 0, 4 * PAGE);
        assert_eq!([0, 1, 2, 3].map(|page| four[page * PAGE]), [0, 1, 2, 3]);
        assert_eq!(taken(&mut memory, 2 * PAGE_SIZE, 1), [2], "of two spans");
        assert!(!memory.peek_held(PAGES * PAGE_SIZE, 1, &mut Vec::new()));
    }

    #[test]
    fn pages_in_parts_and_pages_of_two_spans_are_not_let_go() {
        let mut memory = numbered();
        memory.hold(&[(0, 4 * PAGE_SIZE), (PAGE_SIZE, PAGE_SIZE), (4 * PAGE_SIZE + 8, 8)]);
        assert_eq!(taken(&mut memory, 0, PAGE + 8)[PAGE - 1..], [0, 1, 1, 1, 1, 1, 1, 1, 1]);
        memory.store_marked(PAGE_SIZE + 8, 0xffu8);
        assert_eq!(taken(&mut memory, PAGE_SIZE, 2 * PAGE)[..16], [1; 16]);
        assert_eq!(taken(&mut memory, PAGE_SIZE, PAGE)[..16], [1; 16], "the other span's turn");
        memory.store_marked(4 * PAGE_SIZE + 8, 0xffu8);
        assert_eq!(taken(&mut memory, 4 * PAGE_SIZE + 8, 8), [4; 8]);
        assert!(!memory.take_held(PAGES * PAGE_SIZE, 1, &mut Vec::new()));
        memory.end_hold();
        assert_eq!(taken(&mut memory, PAGE_SIZE + 8, 1), [0xff], "without a hold, the present");
    }
}
