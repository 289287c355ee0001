//! ELF core files: headers, notes, and the guest's memory as it is.

mod header;

pub(crate) use header::{EM_386, EM_X86_64, ET_CORE, HEADER_LEN, PN_XNUM, PROGRAM_LEN, PT_LOAD, PT_NOTE, SECTION_LEN};

use crate::pages::{BATCH, Batches, is_zero};
use crate::paging::Mapping;
use crate::write::Job;
use crate::{DumpError, Range, Target, pages, pipeline};
use header::head;

pub(crate) use header::Segment;

/// Writes a dump.
pub(crate) fn write(job: &Job<'_>, segments: &[Segment], target: &mut Target) -> Result<(), DumpError> {
    let ranges = job.ranges;
    let total: u64 = ranges.iter().map(|range| range.len).sum();
    target.append(&head(job.architecture, &job.notes.bytes, segments, total), job.progress)?;

    let batches = Batches::busy(job.memory, ranges);
    let mut workers = vec![(); pipeline::workers()];
    let work = |(): &mut (), number| {
        let batch = batches.get(number);
        if job.memory.untouched(batch.start, batch.len) {
            return Ok(Piece::Zeroes(batch.len));
        }
        let bytes = job.memory.read(batch.start, batch.len as usize);
        if bytes.len() as u64 != batch.len {
            return Err(DumpError::Memory(batch.start));
        }
        // Whole batches only: what is in between is quicker written than looked for.
        Ok(if is_zero(&bytes) { Piece::Zeroes(batch.len) } else { Piece::Bytes(bytes) })
    };
    let mut zeroes = 0;
    pipeline::in_order(batches.count(), &mut workers, work, |piece| {
        let len = match piece? {
            Piece::Zeroes(len) => {
                zeroes += len;
                len
            }
            Piece::Bytes(bytes) => {
                target.append_zeroes(std::mem::take(&mut zeroes), job.progress)?;
                target.append(&bytes, job.progress)?;
                bytes.len() as u64
            }
        };
        job.progress.advance(len);
        if zeroes > 64 * BATCH {
            target.append_zeroes(std::mem::take(&mut zeroes), job.progress)?;
        }
        Ok(())
    })?;
    target.append_zeroes(zeroes, job.progress)
}

enum Piece<'a> {
    Zeroes(u64),
    Bytes(std::borrow::Cow<'a, [u8]>),
}

/// The parts of `ranges` that lie in `only`.
pub(crate) fn selected(ranges: &[Range], only: Option<Range>) -> Result<Vec<Range>, DumpError> {
    let Some(only) = only else { return Ok(ranges.to_vec()) };
    let selected: Vec<_> = ranges.iter().filter_map(|range| common(*range, only)).collect();
    if selected.is_empty() {
        return Err(DumpError::NothingThere { begin: only.start, end: only.end() });
    }
    Ok(selected)
}

/// What two ranges have in common.
fn common(one: Range, other: Range) -> Option<Range> {
    let start = one.start.max(other.start);
    let end = one.end().min(other.end());
    (start < end).then(|| Range { start, len: end - start })
}

/// The segments that show `ranges`, which lie one after the other in the file. With mappings each of them is one, and after
/// them comes what nothing maps, at virtual address 0 as all memory is without mappings: a reader by physical address finds
/// every page.
pub(crate) fn segments(ranges: &[Range], mappings: &[Mapping]) -> Vec<Segment> {
    let mut placed = Vec::with_capacity(ranges.len());
    let mut offset = 0;
    for range in ranges {
        placed.push((offset, *range));
        offset += range.len;
    }
    let segment = |virtual_address, part: Range| {
        let at = placed.partition_point(|(_, range)| range.start <= part.start).checked_sub(1)?;
        let (offset, range) = placed.get(at)?;
        let offset = offset + (part.start - range.start);
        Some(Segment { virtual_address, physical_address: part.start, len: part.len, offset })
    };
    let mut segments = Vec::new();
    // Readers take the first segment that they meet for the kernel's mapping of all memory. It is lowest in its half.
    let (kernel, user): (Vec<&Mapping>, Vec<&Mapping>) =
        mappings.iter().partition(|mapping| mapping.virtual_address >> 63 != 0);
    for mapping in kernel.into_iter().chain(user) {
        let mapped = Range { start: mapping.physical_address, len: mapping.len };
        let first = ranges.partition_point(|range| range.end() <= mapped.start);
        for part in ranges[first..].iter().map_while(|range| common(*range, mapped)) {
            segments.extend(segment(mapping.virtual_address.wrapping_add(part.start - mapped.start), part));
        }
    }
    let mapped =
        pages::joined(segments.iter().map(|s: &Segment| Range { start: s.physical_address, len: s.len }).collect());
    for part in without(ranges, &mapped) {
        segments.extend(segment(0, part));
    }
    segments
}

/// `ranges` less `taken`; both are in ascending order and joined.
fn without(ranges: &[Range], taken: &[Range]) -> Vec<Range> {
    let mut left = Vec::new();
    for range in ranges {
        let mut start = range.start;
        let first = taken.partition_point(|t| t.end() <= start);
        for taken in taken[first..].iter().take_while(|t| t.start < range.end()) {
            if taken.start > start {
                left.push(Range { start, len: taken.start - start });
            }
            start = taken.end();
        }
        if start < range.end() {
            left.push(Range { start, len: range.end() - start });
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, len: u64) -> Range {
        Range { start, len }
    }

    fn shown(segments: &[Segment]) -> Vec<(u64, u64, u64, u64)> {
        segments.iter().map(|s| (s.virtual_address, s.physical_address, s.len, s.offset)).collect()
    }

    #[test]
    fn without_mappings_segments_are_the_ranges() {
        let segments = segments(&[range(0, 0x3000), range(0x8000, 0x1000)], &[]);
        assert_eq!(shown(&segments), [(0, 0, 0x3000, 0), (0, 0x8000, 0x1000, 0x3000)]);
    }

    #[test]
    fn mappings_are_cut_to_the_memory_there_is_and_the_rest_is_shown_after_them() {
        let ranges = [range(0, 0x3000), range(0x8000, 0x2000)];
        let mapping = |virtual_address, physical_address, len| Mapping { virtual_address, physical_address, len };
        let segments = segments(&ranges, &[mapping(0xf000, 0x2000, 0x7000), mapping(0x7f_0000, 0x2000, 0x1000)]);
        assert_eq!(
            shown(&segments),
            [
                (0xf000, 0x2000, 0x1000, 0x2000),
                (0x1_5000, 0x8000, 0x1000, 0x3000),
                (0x7f_0000, 0x2000, 0x1000, 0x2000),
                (0, 0, 0x2000, 0),
                (0, 0x9000, 0x1000, 0x4000),
            ]
        );
    }

    #[test]
    fn the_kernels_half_comes_first() {
        let mapping = |virtual_address, physical_address| Mapping { virtual_address, physical_address, len: 0x1000 };
        let mappings = [mapping(0x40_0000, 0x1000), mapping(0xffff_8880_0000_0000, 0), mapping(u64::MAX << 31, 0x2000)];
        let segments = segments(&[range(0, 0x3000)], &mappings);
        assert_eq!(
            shown(&segments),
            [
                (0xffff_8880_0000_0000, 0, 0x1000, 0),
                (0xffff_ffff_8000_0000, 0x2000, 0x1000, 0x2000),
                (0x40_0000, 0x1000, 0x1000, 0x1000),
            ]
        );
    }

    #[test]
    fn a_range_is_cut_out_to_the_byte() {
        let ranges = [range(0, 0x3000), range(0x8000, 0x1000)];
        let cut = selected(&ranges, Some(range(0x123, 0x8000))).unwrap();
        assert_eq!(cut, [range(0x123, 0x2edd), range(0x8000, 0x123)]);
        assert!(matches!(selected(&ranges, Some(range(0x4000, 8))), Err(DumpError::NothingThere { .. })));
        assert!(selected(&ranges, Some(range(u64::MAX, u64::MAX))).is_err());
    }
}
