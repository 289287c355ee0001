//! The blocks before the bitmaps: `struct disk_dump_header` and `struct kdump_sub_header` as the dumped kernel lays them out.

use crate::codec::Codec;
use crate::record::Record;
use crate::write::Job;
use crate::{PAGE_SIZE, Range};

/// Bytes in a block, and in a page.
pub(crate) const BLOCK: usize = PAGE_SIZE as usize;
/// The header's signature.
pub(crate) const SIGNATURE: &[u8; 8] = b"KDUMP   ";
/// The version that has 64-bit page frame numbers.
pub(crate) const VERSION: u32 = 6;
/// Length of `struct page_desc`.
pub(crate) const DESCRIPTOR_LEN: usize = 24;
/// Nothing is left out but zero pages, which share one.
const DUMP_LEVEL: u32 = 1;
/// Where `status` lies: after the signature, the version, 390 bytes of utsname and, aligned, a zero time.
pub(crate) const STATUS_AT: [usize; 2] = [412, 424];
/// Lengths of the sub-header.
pub(crate) const SUB_HEADER_LEN: [usize; 2] = [80, 104];

/// Where the parts of a dump lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Whether the header's fields are those of a 64-bit kernel.
    pub(crate) wide: bool,
    /// Blocks of the sub-header with the notes.
    pub(crate) sub_header_blocks: u64,
    /// Blocks of both bitmaps.
    pub(crate) bitmap_blocks: u64,
    /// Offset of the first page descriptor.
    pub(crate) descriptors: u64,
    /// Offset of the first page.
    pub(crate) data: u64,
    /// One more than the last page frame's number.
    pub(crate) max_mapnr: u64,
    /// Pages that exist.
    pub(crate) pages: u64,
}

impl Geometry {
    pub(crate) fn of(job: &Job<'_>) -> Self {
        let max_mapnr = job.ranges.last().map_or(0, |range| range.end() / PAGE_SIZE);
        let pages = job.ranges.iter().map(|range: &Range| range.len / PAGE_SIZE).sum();
        Self::new(job.architecture.wide(), job.notes.bytes.len(), max_mapnr, pages)
    }

    pub(crate) fn new(wide: bool, notes: usize, max_mapnr: u64, pages: u64) -> Self {
        let block = BLOCK as u64;
        let sub_header_blocks = ((SUB_HEADER_LEN[usize::from(wide)] + notes) as u64).div_ceil(block);
        let bitmap_blocks = max_mapnr.div_ceil(8 * block) * 2;
        let descriptors = (1 + sub_header_blocks + bitmap_blocks) * block;
        let data = descriptors + pages * DESCRIPTOR_LEN as u64;
        Self { wide, sub_header_blocks, bitmap_blocks, descriptors, data, max_mapnr, pages }
    }
}

/// The header's block and those of the sub-header with the notes.
pub(super) fn blocks(job: &Job<'_>, codec: Codec, geometry: &Geometry) -> Vec<u8> {
    let wide = geometry.wide;
    let mut record = Record::default();
    record.bytes(SIGNATURE).u32(VERSION);
    record.bytes(&job.linux.utsname(job.architecture));
    record.zeroes(STATUS_AT[usize::from(wide)] - record.len());
    record.u32(codec.flag()).u32(PAGE_SIZE as u32);
    record.u32(geometry.sub_header_blocks as u32).u32(geometry.bitmap_blocks as u32);
    // max_mapnr, which max_mapnr_64 replaces; then blocks of other dump formats.
    record.u32(u32::try_from(geometry.max_mapnr).unwrap_or(u32::MAX)).zeroes(3 * 4);
    // The processor that wrote it, and how many there are.
    record.u32(0).u32(job.processors.len().max(1) as u32);
    record.align(BLOCK);
    sub_header(&mut record, job, geometry);
    record.align(BLOCK);
    record.finish()
}

fn sub_header(record: &mut Record, job: &Job<'_>, geometry: &Geometry) {
    let wide = geometry.wide;
    let notes_at = (BLOCK + SUB_HEADER_LEN[usize::from(wide)]) as u64;
    let (vmcoreinfo, vmcoreinfo_len) =
        job.notes.vmcoreinfo.map_or((0, 0), |(at, len)| (notes_at + at as u64, len as u64));
    record.word(wide, job.linux.phys_base as u64).u32(DUMP_LEVEL);
    // Not split; start_pfn and end_pfn, which the 64-bit ones replace.
    record.u32(0).word(wide, 0).word(wide, 0);
    record.u64(vmcoreinfo).word(wide, vmcoreinfo_len);
    record.u64(notes_at).word(wide, job.notes.bytes.len() as u64);
    // Nothing is erased.
    record.u64(0).word(wide, 0);
    // start_pfn_64 and end_pfn_64, of split dumps; max_mapnr_64.
    record.u64(0).u64(0).u64(geometry.max_mapnr);
    record.bytes(&job.notes.bytes);
}
