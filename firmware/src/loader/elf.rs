//! ELF32 and ELF64 executables for x86: program headers and notes.

use super::error::LoadError;
use super::fields::{slice, u8_at, u16_at, u32_at, u64_at};

const MAGIC: &[u8] = b"\x7fELF";
/// `e_ident` indices and their values.
const EI_CLASS: usize = 4;
const EI_DATA: usize = 5;
const ELFCLASS32: u8 = 1;
const ELFCLASS64: u8 = 2;
const ELFDATA2LSB: u8 = 1;
/// `e_type`: executable, or position independent.
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
/// `e_machine`.
const EM_386: u16 = 3;
const EM_X86_64: u16 = 62;
/// `p_type`.
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
/// Header sizes by class.
const EHDR32: u64 = 52;
const EHDR64: u64 = 64;
const PHDR32: u64 = 32;
const PHDR64: u64 = 56;

/// A loadable segment.
#[derive(Clone, Debug)]
pub(super) struct LoadSegment<'a> {
    /// Where the linker thinks it runs.
    pub virtual_address: u64,
    /// Where it is placed.
    pub address: u64,
    /// Its bytes in the file.
    pub bytes: &'a [u8],
    /// Its length in memory; at least that of `bytes`.
    pub memory_size: u64,
    /// Whether it is nothing but the file's own headers, which some linkers put a page below the text.
    pub headers_only: bool,
}

/// What a loader needs of an ELF file.
#[derive(Clone, Debug)]
pub(super) struct ElfFile<'a> {
    /// `e_entry`, a virtual address.
    pub entry: u64,
    /// PT_LOAD segments that take memory, in file order.
    pub segments: Vec<LoadSegment<'a>>,
    /// Contents of the PT_NOTE segments with their alignment.
    notes: Vec<(&'a [u8], u64)>,
}

/// Whether `bytes` begin as an ELF file.
pub(super) fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// One program header, whatever its class.
struct ProgramHeader {
    kind: u32,
    offset: u64,
    virtual_address: u64,
    address: u64,
    file_size: u64,
    memory_size: u64,
    align: u64,
}

impl ProgramHeader {
    fn parse(header: &[u8], wide: bool) -> Self {
        let word = |at| u64::from(u32_at(header, at));
        let long = |at| u64_at(header, at);
        if wide {
            Self {
                kind: u32_at(header, 0),
                offset: long(8),
                virtual_address: long(16),
                address: long(24),
                file_size: long(32),
                memory_size: long(40),
                align: long(48),
            }
        } else {
            Self {
                kind: u32_at(header, 0),
                offset: word(4),
                virtual_address: word(8),
                address: word(12),
                file_size: word(16),
                memory_size: word(20),
                align: word(28),
            }
        }
    }
}

impl<'a> ElfFile<'a> {
    /// Parses the headers; every slice in the result lies within `file`.
    pub(super) fn parse(file: &'a [u8]) -> Result<Self, LoadError> {
        slice(file, 0, EHDR32, "the ELF header")?;
        let wide = match u8_at(file, EI_CLASS) {
            ELFCLASS32 => false,
            ELFCLASS64 => true,
            _ => return Err(LoadError::BadElf { reason: "neither ELF32 nor ELF64" }),
        };
        if u8_at(file, EI_DATA) != ELFDATA2LSB {
            return Err(LoadError::BadElf { reason: "not little-endian" });
        }
        let machine = u16_at(file, 18);
        if ![EM_386, EM_X86_64].contains(&machine) {
            return Err(LoadError::WrongMachine { machine });
        }
        if ![ET_EXEC, ET_DYN].contains(&u16_at(file, 16)) {
            return Err(LoadError::BadElf { reason: "not an executable" });
        }
        slice(file, 0, if wide { EHDR64 } else { EHDR32 }, "the ELF header")?;
        let (entry, table, size, count) = if wide {
            (u64_at(file, 24), u64_at(file, 32), u16_at(file, 54), u16_at(file, 56))
        } else {
            (u64::from(u32_at(file, 24)), u64::from(u32_at(file, 28)), u16_at(file, 42), u16_at(file, 44))
        };
        if u64::from(size) < if wide { PHDR64 } else { PHDR32 } {
            return Err(LoadError::BadElf { reason: "program headers are too short" });
        }
        let headers = slice(file, table, u64::from(size) * u64::from(count), "the ELF program header table")?;

        let headers_end = table.saturating_add(headers.len() as u64);
        let mut elf = Self { entry, segments: Vec::new(), notes: Vec::new() };
        for header in headers.chunks_exact(usize::from(size)) {
            let header = ProgramHeader::parse(header, wide);
            if ![PT_LOAD, PT_NOTE].contains(&header.kind) {
                continue;
            }
            let bytes = slice(file, header.offset, header.file_size, "an ELF segment")?;
            if header.kind == PT_NOTE {
                elf.notes.push((bytes, header.align));
            } else if header.memory_size > 0 {
                elf.segments.push(LoadSegment::new(&header, bytes, headers_end)?);
            }
        }
        if elf.segments.is_empty() {
            return Err(LoadError::BadElf { reason: "no loadable segment" });
        }
        Ok(elf)
    }

    /// The content of the first note of this name and type.
    pub(super) fn note(&self, name: &[u8], kind: u32) -> Option<&'a [u8]> {
        self.notes.iter().find_map(|(notes, align)| find_note(notes, *align, name, kind))
    }

    /// Where the entry point lies in physical memory. Some kernels put a virtual address into the header, some the physical one.
    pub(super) fn physical_entry(&self) -> u64 {
        let inside = |segment: &&LoadSegment| {
            self.entry.checked_sub(segment.virtual_address).is_some_and(|offset| offset < segment.memory_size)
        };
        let found = self.segments.iter().find(inside);
        found.map_or(self.entry, |segment| segment.address.wrapping_add(self.entry - segment.virtual_address))
    }
}

impl<'a> LoadSegment<'a> {
    fn new(header: &ProgramHeader, bytes: &'a [u8], headers_end: u64) -> Result<Self, LoadError> {
        if header.file_size > header.memory_size {
            return Err(LoadError::BadElf { reason: "a segment is longer in the file than in memory" });
        }
        Ok(Self {
            virtual_address: header.virtual_address,
            address: header.address,
            bytes,
            memory_size: header.memory_size,
            headers_only: header.offset == 0 && header.memory_size <= headers_end,
        })
    }
}

/// Walks one PT_NOTE segment. Name and content are padded to the segment's alignment, 4 unless it is 8.
fn find_note<'a>(mut notes: &'a [u8], align: u64, name: &[u8], kind: u32) -> Option<&'a [u8]> {
    const HEADER: usize = 12;
    let align = if align == 8 { 8 } else { 4 };
    while notes.len() >= HEADER {
        let name_size = usize::try_from(u32_at(notes, 0)).ok()?;
        let content_size = usize::try_from(u32_at(notes, 4)).ok()?;
        let content_at = HEADER.checked_add(name_size)?.checked_next_multiple_of(align)?;
        let content_end = content_at.checked_add(content_size)?;
        let content = notes.get(content_at..content_end)?;
        if u32_at(notes, 8) == kind && notes.get(HEADER..HEADER + name_size)? == name {
            return Some(content);
        }
        notes = notes.get(content_end.checked_next_multiple_of(align)?..)?;
    }
    None
}
