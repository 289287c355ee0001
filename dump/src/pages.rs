//! Guest memory in batches of pages.

use crate::{PAGE_SIZE, PhysicalMemory, Range};

/// Bytes in a batch: large enough to be worth handing to a thread, small enough for its cache.
pub(crate) const BATCH: u64 = 256 << 10;

/// Memory that was never written and is told of at once, at most.
const QUIET: u64 = 16 << 20;

/// Whether all bytes are zero, at the speed of memory.
pub fn is_zero(bytes: &[u8]) -> bool {
    let mut chunks = bytes.chunks_exact(256);
    chunks.by_ref().all(|chunk| chunk.iter().fold(0, |any, byte| any | byte) == 0)
        && chunks.remainder().iter().all(|byte| *byte == 0)
}

/// The memory's ranges in ascending order, whole pages only, joined where they touch or overlap.
pub(crate) fn ranges(memory: &dyn PhysicalMemory) -> Vec<Range> {
    let whole = |range: Range| {
        let start = range.start.checked_next_multiple_of(PAGE_SIZE)?;
        let end = range.end() & !(PAGE_SIZE - 1);
        (start < end).then(|| Range { start, len: end - start })
    };
    joined(memory.ranges().into_iter().filter_map(whole).collect())
}

/// What of joined ranges lies below `end`, in whole pages.
pub(crate) fn below(ranges: &[Range], end: u64) -> Vec<Range> {
    let end = end & !(PAGE_SIZE - 1);
    let low = ranges.iter().filter(|range| range.start < end);
    low.map(|range| Range { start: range.start, len: range.len.min(end - range.start) }).collect()
}

/// Ranges in ascending order, joined where they touch or overlap.
pub(crate) fn joined(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut joined: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end() => last.len = last.end().max(range.end()) - last.start,
            _ => joined.push(range),
        }
    }
    joined
}

/// Pieces of some ranges, numbered from 0 in order, none of which crosses from one range to another.
#[derive(Clone, Debug)]
pub(crate) struct Batches {
    ranges: Vec<Pieces>,
    count: u64,
}

/// A range in pieces.
#[derive(Clone, Copy, Debug)]
struct Pieces {
    /// The number of the first one.
    first: u64,
    range: Range,
    /// How large they are, but for the last one.
    size: u64,
}

impl Batches {
    pub(crate) fn of(ranges: &[Range]) -> Self {
        Self::sized(ranges, BATCH)
    }

    /// Pieces of another size than usual.
    pub(crate) fn sized(ranges: &[Range], size: u64) -> Self {
        let mut batches = Self { ranges: Vec::with_capacity(ranges.len()), count: 0 };
        ranges.iter().for_each(|range| batches.push(*range, size));
        batches
    }

    /// Pieces of the usual size, and larger ones where memory was never written: those take no time.
    pub(crate) fn busy(memory: &dyn PhysicalMemory, ranges: &[Range]) -> Self {
        let mut batches = Self { ranges: Vec::new(), count: 0 };
        for range in ranges {
            let quiet = |at: u64| memory.untouched(at, BATCH.min(range.end() - at));
            let mut start = range.start;
            while start < range.end() {
                let is_quiet = quiet(start);
                let mut next = (start..range.end()).step_by(BATCH as usize).skip(1);
                let end = next.find(|at| quiet(*at) != is_quiet).unwrap_or(range.end());
                batches.push(Range { start, len: end - start }, if is_quiet { QUIET } else { BATCH });
                start = end;
            }
        }
        batches
    }

    fn push(&mut self, range: Range, size: u64) {
        self.ranges.push(Pieces { first: self.count, range, size });
        self.count += range.len.div_ceil(size);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The piece of a number below [`Batches::count`].
    pub(crate) fn get(&self, number: u64) -> Range {
        let after = self.ranges.partition_point(|pieces| pieces.first <= number);
        let Some(Pieces { first, range, size }) = after.checked_sub(1).and_then(|at| self.ranges.get(at)) else {
            return Range::default();
        };
        let offset = (number - first) * size;
        Range { start: range.start + offset, len: (*size).min(range.len.saturating_sub(offset)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Lent, Sparse};

    fn range(start: u64, len: u64) -> Range {
        Range { start, len }
    }

    #[test]
    fn a_single_bit_anywhere_makes_a_page_more_than_zero() {
        let mut page = [0; PAGE_SIZE as usize];
        assert!(is_zero(&page));
        for at in 0..page.len() {
            page[at] = 0x80;
            assert!(!is_zero(&page), "{at}");
            page[at] = 0;
        }
        assert!(!is_zero(&[0, 0, 1]));
    }

    #[test]
    fn ranges_are_sorted_joined_and_cut_to_whole_pages() {
        let memory = Sparse::new(&[(0x5000, 0x1000), (0x800, 0x2000), (0x4000, 0x1000), (0x9000, 0xfff)]);
        assert_eq!(ranges(&memory), [range(0x1000, 0x1000), range(0x4000, 0x2000)]);
        let endless = Sparse::new(&[(u64::MAX - 0x1fff, 0x2000)]);
        assert_eq!(ranges(&endless), [range(u64::MAX - 0x1fff, 0x1000)], "the last page has no end to name");
    }

    #[test]
    fn what_lies_beyond_an_address_is_cut_off() {
        let all = [range(0, 0x3000), range(0x8000, 0x4000), range(0x2_0000, 0x1000)];
        assert_eq!(below(&all, u64::MAX), all);
        assert_eq!(below(&all, 0xa800), [range(0, 0x3000), range(0x8000, 0x2000)]);
        assert_eq!(below(&all, 0x8000), [range(0, 0x3000)]);
        assert_eq!(below(&all, 0), []);
    }

    #[test]
    fn batches_cover_every_range_and_cross_none() {
        let all = [range(0, BATCH * 2 + 0x1000), range(BATCH * 4, 0x1000), range(BATCH * 5, BATCH)];
        let batches = Batches::of(&all);
        let pieces: Vec<_> = (0..batches.count()).map(|n| batches.get(n)).collect();
        assert_eq!(pieces, [range(0, BATCH), range(BATCH, BATCH), range(BATCH * 2, 0x1000), all[1], all[2]]);
        assert_eq!(Batches::of(&[]).count(), 0);
    }

    #[test]
    fn what_was_never_written_is_in_large_pieces() {
        let mut memory = Sparse::new(&[(0, QUIET * 2), (QUIET * 3, BATCH * 3 + 0x1000)]);
        memory.put(BATCH * 2 + 5, &[1]);
        memory.put(QUIET * 3 + BATCH * 3, &[1]);
        let lent = Lent::of(&memory);
        let batches = Batches::busy(&lent, &ranges(&lent));
        let pieces: Vec<_> = (0..batches.count()).map(|n| batches.get(n)).collect();
        let rest = QUIET * 2 - BATCH * 3;
        let expected = [
            range(0, BATCH * 2),
            range(BATCH * 2, BATCH),
            range(BATCH * 3, QUIET),
            range(BATCH * 3 + QUIET, rest - QUIET),
            range(QUIET * 3, BATCH * 3),
            range(QUIET * 3 + BATCH * 3, 0x1000),
        ];
        assert_eq!(pieces, expected);
        let usual = Batches::busy(&memory, &ranges(&memory));
        assert_eq!(usual.count(), Batches::of(&ranges(&memory)).count());
    }
}
