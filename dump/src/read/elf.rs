//! ELF core files.

use super::notes::{self, Note};
use super::source::{Source, exactly};
use super::{ReadError, Verdict};
use crate::Range;
use crate::elf::{EM_386, EM_X86_64, ET_CORE, HEADER_LEN, PN_XNUM, PROGRAM_LEN, PT_LOAD, PT_NOTE, SECTION_LEN};
use crate::pages::joined;
use crate::record::{u16_at, u32_at, word_at};

/// Program headers that are read.
const MOST_PROGRAMS: u64 = 1 << 20;
/// Bytes of notes that are read.
const MOST_NOTE_BYTES: u64 = 64 << 20;

/// Memory in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) virtual_address: u64,
    /// As much as is in the file.
    pub(super) physical: Range,
    offset: u64,
}

pub(super) struct ElfFile {
    pub(super) wide: bool,
    pub(super) machine: u16,
    pub(super) loads: Vec<Load>,
    /// Those by physical address, without those that lie in others.
    by_address: Vec<Load>,
    pub(super) notes: Vec<Note>,
}

impl ElfFile {
    pub(super) fn of(source: &dyn Source) -> Result<Self, ReadError> {
        let mut head = vec![0; HEADER_LEN[1]];
        let len = source.read_at(0, &mut head)?;
        head.truncate(len);
        let short = ReadError::Malformed("the ELF header is cut off");
        let wide = match head.get(4..7) {
            Some([1, 1, 1]) => false,
            Some([2, 1, 1]) => true,
            Some(_) => return Err(ReadError::Malformed("the ELF file is not little-endian, or of an unknown class")),
            None => return Err(short),
        };
        let class = usize::from(wide);
        if head.len() < HEADER_LEN[class] {
            return Err(short);
        }
        let (kind, machine) = (u16_at(&head, 16), u16_at(&head, 18).unwrap_or(0));
        if kind != Some(ET_CORE) {
            return Err(ReadError::Malformed("the ELF file is no core file"));
        }
        if ![EM_386, EM_X86_64].contains(&machine) {
            return Err(ReadError::Malformed("the core file is of another processor"));
        }
        let programs = programs(source, wide, &head)?;
        let mut file = Self { wide, machine, loads: Vec::new(), by_address: Vec::new(), notes: Vec::new() };
        let mut note_bytes = 0u64;
        for program in programs.chunks_exact(PROGRAM_LEN[class]) {
            let fields = Program::of(wide, program).ok_or(ReadError::Malformed("a program header is cut off"))?;
            match fields.kind {
                PT_NOTE => {
                    note_bytes = note_bytes.saturating_add(fields.len);
                    if note_bytes > MOST_NOTE_BYTES {
                        return Err(ReadError::Malformed("there are too many notes"));
                    }
                    let bytes = exactly(source, fields.offset, fields.len as usize)?;
                    file.notes.extend(notes::parse(&bytes.unwrap_or_default()));
                }
                PT_LOAD if fields.len > 0 => {
                    let physical = Range { start: fields.physical_address, len: fields.len };
                    if physical.start.checked_add(physical.len).is_none()
                        || fields.offset.checked_add(fields.len).is_none()
                    {
                        return Err(ReadError::Malformed("a segment reaches beyond the last address"));
                    }
                    let virtual_address = fields.virtual_address;
                    file.loads.push(Load { virtual_address, physical, offset: fields.offset });
                }
                _ => {}
            }
        }
        file.by_address = by_address(&file.loads);
        Ok(file)
    }

    /// The memory that there is.
    pub(super) fn ranges(&self) -> Vec<Range> {
        joined(self.loads.iter().map(|load| load.physical).collect())
    }

    pub(super) fn read(&self, source: &dyn Source, address: u64, into: &mut [u8]) -> bool {
        let mut done = 0;
        while done < into.len() {
            let Some(at) = address.checked_add(done as u64) else { return false };
            let after = self.by_address.partition_point(|load| load.physical.start <= at);
            let Some(load) = after.checked_sub(1).map(|i| self.by_address[i]).filter(|l| l.physical.holds(at)) else {
                return false;
            };
            let offset = load.offset + (at - load.physical.start);
            let len = (load.physical.end() - at).min((into.len() - done) as u64) as usize;
            if source.read_at(offset, &mut into[done..done + len]).ok() != Some(len) {
                return false;
            }
            done += len;
        }
        true
    }

    /// Looks at the segments.
    pub(super) fn verify(&self, source: &dyn Source) -> Verdict {
        let mut verdict = Verdict::default();
        let end = source.end().unwrap_or(0);
        for load in &self.loads {
            if load.offset + load.physical.len > end {
                verdict.fault(|| format!("memory at {:#x} is beyond the file's end", load.physical.start));
            }
        }
        verdict
    }
}

struct Program {
    kind: u32,
    offset: u64,
    virtual_address: u64,
    physical_address: u64,
    len: u64,
}

impl Program {
    fn of(wide: bool, bytes: &[u8]) -> Option<Self> {
        let (first, width) = if wide { (8, 8) } else { (4, 4) };
        let field = |index: usize| word_at(wide, bytes, first + width * index);
        Some(Self {
            kind: u32_at(bytes, 0)?,
            offset: field(0)?,
            virtual_address: field(1)?,
            physical_address: field(2)?,
            // No more than there is memory; a larger one in the file would be nobody's.
            len: field(3)?.min(field(4)?.max(if u32_at(bytes, 0)? == PT_NOTE { u64::MAX } else { 0 })),
        })
    }
}

/// The program headers.
fn programs(source: &dyn Source, wide: bool, head: &[u8]) -> Result<Vec<u8>, ReadError> {
    let class = usize::from(wide);
    let counts = if wide { 54 } else { 42 };
    let bad = || ReadError::Malformed("the program headers are not where the ELF header says");
    let first = word_at(wide, head, if wide { 32 } else { 28 }).ok_or_else(bad)?;
    let size = u16_at(head, counts).ok_or_else(bad)?;
    if usize::from(size) != PROGRAM_LEN[class] {
        return Err(ReadError::Malformed("program headers are of an unknown size"));
    }
    let mut count = u64::from(u16_at(head, counts + 2).ok_or_else(bad)?);
    if count == u64::from(PN_XNUM) {
        let sections = word_at(wide, head, if wide { 40 } else { 32 }).ok_or_else(bad)?;
        let zero = exactly(source, sections, SECTION_LEN[class])?.ok_or_else(bad)?;
        count = u32_at(&zero, if wide { 44 } else { 28 }).ok_or_else(bad)?.into();
    }
    if count > MOST_PROGRAMS {
        return Err(ReadError::Malformed("there are too many program headers"));
    }
    exactly(source, first, count as usize * PROGRAM_LEN[class])?.ok_or_else(bad)
}

/// Segments by physical address, such that the last one that begins at or below an address holds it if any does.
fn by_address(loads: &[Load]) -> Vec<Load> {
    let mut sorted = loads.to_vec();
    sorted.sort_by_key(|load| (load.physical.start, u64::MAX - load.physical.len));
    let mut kept: Vec<Load> = Vec::with_capacity(sorted.len());
    for mut load in sorted {
        let covered = kept.last().map_or(0, |last| last.physical.end());
        if load.physical.end() <= covered {
            continue;
        }
        if load.physical.start < covered {
            let cut = covered - load.physical.start;
            load.physical = Range { start: covered, len: load.physical.len - cut };
            load.offset += cut;
        }
        kept.push(load);
    }
    kept
}
