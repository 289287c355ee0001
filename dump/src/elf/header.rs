//! What comes before the memory in an ELF core file (System V gABI, chapter 4 and 5).

use crate::record::Record;
use crate::{Architecture, PAGE_SIZE};

/// `ET_CORE`.
pub(crate) const ET_CORE: u16 = 4;
/// `EM_386`.
pub(crate) const EM_386: u16 = 3;
/// `EM_X86_64`.
pub(crate) const EM_X86_64: u16 = 62;
/// `PT_LOAD`.
pub(crate) const PT_LOAD: u32 = 1;
/// `PT_NOTE`.
pub(crate) const PT_NOTE: u32 = 4;
/// `PN_XNUM`: the number of program headers is in section header 0.
pub(crate) const PN_XNUM: u16 = 0xffff;
/// Lengths of the file's, a program's and a section's header, in 32-bit and in 64-bit files.
pub(crate) const HEADER_LEN: [usize; 2] = [52, 64];
pub(crate) const PROGRAM_LEN: [usize; 2] = [32, 56];
pub(crate) const SECTION_LEN: [usize; 2] = [40, 64];

/// Memory in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(super) virtual_address: u64,
    pub(super) physical_address: u64,
    pub(super) len: u64,
    /// Where it lies, counted from where memory begins in the file.
    pub(super) offset: u64,
}

/// Everything before the memory, whose `total` bytes follow at once.
pub(super) fn head(architecture: Architecture, notes: &[u8], segments: &[Segment], total: u64) -> Vec<u8> {
    let narrow = lay_out(false, notes.len(), segments.len());
    // With nearly 4 GiB of memory, the file may be too large for 32-bit offsets.
    let wide = architecture.wide() || narrow.memory + total > u64::from(u32::MAX);
    let layout = if wide { lay_out(true, notes.len(), segments.len()) } else { narrow };
    let mut record = Record::default();
    file_header(&mut record, architecture, &layout);
    program_header(&mut record, wide, PT_NOTE, layout.notes, notes.len() as u64, (0, 0));
    for segment in segments {
        let addresses = (segment.virtual_address, segment.physical_address);
        program_header(&mut record, wide, PT_LOAD, layout.memory + segment.offset, segment.len, addresses);
    }
    if layout.sections != 0 {
        section_zero(&mut record, &layout);
    }
    record.bytes(notes).align(PAGE_SIZE as usize);
    record.finish()
}

struct Layout {
    wide: bool,
    programs: usize,
    /// Offset of the section header, or 0 without one.
    sections: u64,
    notes: u64,
    memory: u64,
}

fn lay_out(wide: bool, notes: usize, segments: usize) -> Layout {
    let class = usize::from(wide);
    let programs = segments + 1;
    let end = HEADER_LEN[class] + programs * PROGRAM_LEN[class];
    let (sections, notes_at) =
        if programs < usize::from(PN_XNUM) { (0, end) } else { (end as u64, end + SECTION_LEN[class]) };
    let memory = (notes_at + notes).next_multiple_of(PAGE_SIZE as usize) as u64;
    Layout { wide, programs, sections, notes: notes_at as u64, memory }
}

fn file_header(record: &mut Record, architecture: Architecture, layout: &Layout) {
    let wide = layout.wide;
    let class = usize::from(wide);
    let machine = if architecture.long_mode() { EM_X86_64 } else { EM_386 };
    // Class, little-endian, version 1.
    record.bytes(b"\x7fELF").bytes(&[class as u8 + 1, 1, 1]).zeroes(9);
    record.u16(ET_CORE).u16(machine).u32(1);
    // No entry; program headers follow; section header 0 only if it must hold their number.
    record.word(wide, 0).word(wide, HEADER_LEN[class] as u64).word(wide, layout.sections).u32(0);
    record.u16(HEADER_LEN[class] as u16).u16(PROGRAM_LEN[class] as u16);
    let extended = layout.sections != 0;
    record.u16(if extended { PN_XNUM } else { layout.programs as u16 });
    record.u16(if extended { SECTION_LEN[class] as u16 } else { 0 }).u16(extended.into()).u16(0);
}

fn program_header(record: &mut Record, wide: bool, kind: u32, offset: u64, len: u64, addresses: (u64, u64)) {
    let (virtual_address, physical_address) = addresses;
    record.u32(kind);
    if wide {
        // Flags.
        record.u32(0);
    }
    record.word(wide, offset).word(wide, virtual_address).word(wide, physical_address);
    record.word(wide, len).word(wide, len);
    if !wide {
        record.u32(0);
    }
    // No alignment.
    record.word(wide, 0);
}

/// Section header 0, whose `sh_info` is the number of program headers.
fn section_zero(record: &mut Record, layout: &Layout) {
    let wide = layout.wide;
    record.u32(0).u32(0);
    for _ in 0..4 {
        record.word(wide, 0);
    }
    record.u32(0).u32(layout.programs as u32).word(wide, 0).word(wide, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{u16_at, u32_at, u64_at};

    fn pages(count: u64) -> Vec<Segment> {
        let page = |n| Segment { virtual_address: n << 12, physical_address: n << 12, len: 0x1000, offset: n << 12 };
        (0..count).map(page).collect()
    }

    #[test]
    fn headers_are_as_long_as_they_say() {
        let narrow = head(Architecture::I386, &[7; 100], &pages(2), 0x2000);
        assert_eq!((narrow[4], u16_at(&narrow, 18), u16_at(&narrow, 44)), (1, Some(EM_386), Some(3)));
        assert_eq!((u32_at(&narrow, 52), u32_at(&narrow, 56)), (Some(PT_NOTE), Some(52 + 3 * 32)));
        assert_eq!(narrow[52 + 3 * 32..][..100], [7; 100]);
        assert_eq!(u32_at(&narrow, 52 + 32 + 4), Some(4096), "memory begins on a page");
        assert_eq!(narrow.len(), 4096);

        let wide = head(Architecture::X86_64, &[7; 100], &pages(2), 0x2000);
        assert_eq!((wide[4], u16_at(&wide, 18), u16_at(&wide, 56)), (2, Some(EM_X86_64), Some(3)));
        assert_eq!(u64_at(&wide, 64 + 2 * 56 + 8), Some(0x2000));
        assert_eq!(u64_at(&wide, 64 + 2 * 56 + 24), Some(0x1000));
    }

    #[test]
    fn a_file_of_nearly_4_gib_has_64_bit_fields() {
        let all = [Segment { virtual_address: 0, physical_address: 0, len: 0xffff_f000, offset: 0 }];
        let head = head(Architecture::I386, &[], &all, 0xffff_f000);
        assert_eq!((head[4], u16_at(&head, 18)), (2, Some(EM_386)));
    }

    #[test]
    fn more_segments_than_a_field_can_count_are_counted_in_section_zero() {
        let head = head(Architecture::X86_64, &[], &pages(70_000), 70_000 << 12);
        assert_eq!(u16_at(&head, 56), Some(PN_XNUM));
        let sections = u64_at(&head, 40).unwrap() as usize;
        assert_eq!(u16_at(&head, 60), Some(1));
        assert_eq!(u32_at(&head, sections + 44), Some(70_001));
        assert_eq!(u64_at(&head, 64 + 8), Some(sections as u64 + 64), "notes follow the section header");
    }
}
