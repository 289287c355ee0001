//! Guest memory in batches of pages.

use crate::{PAGE_SIZE, PhysicalMemory, Range};

/// Bytes in a batch: large enough to be worth handing to a thread, small enough for its cache.
pub(crate) const BATCH: u64 = 256 << 10;

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
    /// Each range with the number of its first piece.
    ranges: Vec<(u64, Range)>,
    count: u64,
    size: u64,
}

impl Batches {
    pub(crate) fn of(ranges: &[Range]) -> Self {
        Self::sized(ranges, BATCH)
    }

    /// Pieces of another size than usual.
    pub(crate) fn sized(ranges: &[Range], size: u64) -> Self {
        let mut count = 0;
        let ranges = ranges
            .iter()
            .map(|range| {
                let first = count;
                count += range.len.div_ceil(size);
                (first, *range)
            })
            .collect();
        Self { ranges, count, size }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The piece of a number below [`Batches::count`].
    pub(crate) fn get(&self, number: u64) -> Range {
        let after = self.ranges.partition_point(|(first, _)| *first <= number);
        let Some((first, range)) = after.checked_sub(1).and_then(|at| self.ranges.get(at)) else {
            return Range::default();
        };
        let offset = (number - first) * self.size;
        Range { start: range.start + offset, len: self.size.min(range.len.saturating_sub(offset)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Sparse;

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
}
