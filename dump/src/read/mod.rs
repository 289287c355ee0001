//! Reading dumps: any file gets an answer.

mod elf;
mod flattened;
mod kdump;
mod notes;
mod report;
mod source;

pub use kdump::{Header, SubHeader};
pub use notes::Note;
pub use report::report;
pub use source::{Bytes, Source};

use crate::codec::Codec;
use crate::{DumpError, PAGE_SIZE, PhysicalMemory, Progress, Range, Registers, is_zero, pipeline};
use elf::ElfFile;
use flattened::Flattened;
use kdump::{Finder, Kdump};
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::path::Path;

/// Why a file cannot be read as a dump.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The host would not read it.
    #[error("cannot read the file: {0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("this is neither an ELF core file nor a kdump-compressed file")]
    NotADump,
    /// It begins like a dump and does not go on like one.
    #[error("{0}")]
    Malformed(&'static str),
}

/// A file's layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// ELF, 64-bit or not.
    Elf {
        /// Whether it is ELF64.
        wide: bool,
    },
    /// kdump-compressed, as it lies in a file.
    Kdump,
    /// kdump-compressed and flattened, in so many segments.
    Flattened {
        /// How many.
        segments: usize,
        /// Whether the mark of its end is there.
        complete: bool,
    },
}

/// An open dump.
pub struct Dump {
    source: Box<dyn Source>,
    layout: Layout,
    contents: Contents,
}

enum Contents {
    Elf(ElfFile),
    Kdump(Box<Kdump>),
}

/// How pages are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Pages that hold nothing but zeroes, found in ELF files or sharing one page in kdump files.
    pub zero: u64,
    /// Pages as they are.
    pub plain: u64,
    /// By codec, in the order of [`Codec::ALL`]: pages, and the bytes that they take.
    pub compressed: [(u64, u64); 4],
}

/// What came of looking at every page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Pages looked at.
    pub pages: u64,
    /// How they are stored.
    pub stored: Stored,
    /// What is wrong, the first of each kind.
    pub faults: Vec<String>,
    /// How much is wrong.
    pub fault_count: u64,
}

/// Faults that are told one by one.
const MOST_FAULTS: usize = 20;

impl Verdict {
    fn fault(&mut self, what: impl FnOnce() -> String) {
        self.fault_count += 1;
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(what());
        }
    }

    fn add(&mut self, other: Self) {
        self.pages += other.pages;
        self.stored.zero += other.stored.zero;
        self.stored.plain += other.stored.plain;
        for (mine, theirs) in self.stored.compressed.iter_mut().zip(other.stored.compressed) {
            mine.0 += theirs.0;
            mine.1 += theirs.1;
        }
        self.fault_count += other.fault_count;
        let room = MOST_FAULTS - self.faults.len();
        self.faults.extend(other.faults.into_iter().take(room));
    }
}

impl Dump {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        Self::of(Box::new(File::open(path)?))
    }

    /// Opens what can be read.
    pub fn of(source: Box<dyn Source>) -> Result<Self, ReadError> {
        let mut start = [0; 16];
        let len = source.read_at(0, &mut start)?;
        let start = &start[..len];
        if start.starts_with(b"\x7fELF") {
            let elf = ElfFile::of(source.as_ref())?;
            let layout = Layout::Elf { wide: elf.wide };
            return Ok(Self { source, layout, contents: Contents::Elf(elf) });
        }
        let (source, layout): (Box<dyn Source>, _) = if start.starts_with(crate::kdump::SIGNATURE) {
            let flattened = Flattened::of(source)?;
            let layout = Layout::Flattened { segments: flattened.segments(), complete: flattened.complete() };
            (Box::new(flattened), layout)
        } else {
            (source, Layout::Kdump)
        };
        let kdump = Kdump::of(source.as_ref())?;
        Ok(Self { source, layout, contents: Contents::Kdump(Box::new(kdump)) })
    }

    /// How the file is laid out.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The header of a kdump file.
    pub fn header(&self) -> Option<&Header> {
        match &self.contents {
            Contents::Elf(_) => None,
            Contents::Kdump(kdump) => Some(&kdump.header),
        }
    }

    /// The ELF machine number of an ELF file.
    pub fn machine(&self) -> Option<u16> {
        match &self.contents {
            Contents::Elf(elf) => Some(elf.machine),
            Contents::Kdump(_) => None,
        }
    }

    /// The notes.
    pub fn notes(&self) -> &[Note] {
        match &self.contents {
            Contents::Elf(elf) => &elf.notes,
            Contents::Kdump(kdump) => &kdump.notes,
        }
    }

    /// The text of VMCOREINFO.
    pub fn vmcoreinfo(&self) -> Option<&str> {
        match &self.contents {
            Contents::Elf(elf) => elf.notes.iter().find_map(Note::vmcoreinfo),
            Contents::Kdump(kdump) => kdump.vmcoreinfo.as_deref(),
        }
    }

    /// The registers of each processor, from QEMU's notes, or as far as `NT_PRSTATUS` tells them.
    pub fn registers(&self) -> Vec<Registers> {
        let all: Vec<_> = self.notes().iter().filter_map(Note::qemu_state).collect();
        if all.is_empty() { self.notes().iter().filter_map(Note::status).collect() } else { all }
    }

    /// Virtual addresses of an ELF file's segments, with the physical ranges that they show.
    pub fn segments(&self) -> Vec<(u64, Range)> {
        match &self.contents {
            Contents::Elf(elf) => elf.loads.iter().map(|load| (load.virtual_address, load.physical)).collect(),
            Contents::Kdump(_) => Vec::new(),
        }
    }

    /// The pages that are there.
    pub fn pages(&self) -> Vec<Range> {
        match &self.contents {
            Contents::Elf(elf) => elf.ranges(),
            Contents::Kdump(kdump) => kdump.pages.ranges(),
        }
    }

    /// Reads physical memory; false if some of it is not there or cannot be read.
    pub fn read_physical(&self, address: u64, into: &mut [u8]) -> bool {
        match &self.contents {
            Contents::Elf(elf) => elf.read(self.source.as_ref(), address, into),
            Contents::Kdump(kdump) => kdump.read(self.source.as_ref(), &mut Finder::new(), address, into),
        }
    }

    /// Looks at every page's descriptor and, if it is to be `thorough`, at what it holds.
    pub fn verify(&self, thorough: bool, progress: &Progress) -> Result<Verdict, DumpError> {
        let mut verdict = match &self.contents {
            Contents::Elf(elf) => self.verify_elf(elf, thorough, progress)?,
            Contents::Kdump(kdump) => kdump.verify(self.source.as_ref(), thorough, progress)?,
        };
        if let Layout::Flattened { complete: false, .. } = self.layout {
            verdict.fault(|| "the flattened file ends before its end".into());
        }
        Ok(verdict)
    }

    fn verify_elf(&self, elf: &ElfFile, thorough: bool, progress: &Progress) -> Result<Verdict, DumpError> {
        let mut verdict = elf.verify(self.source.as_ref());
        let ranges = elf.ranges();
        let batches = crate::pages::Batches::of(&ranges);
        let total = ranges.iter().fold(0u64, |total, range| total.saturating_add(range.len));
        if total > self.source.end().unwrap_or(0) {
            // Many segments of the same bytes: a small file that would take hours.
            verdict.fault(|| "there is more memory than the file has bytes".into());
        }
        if !thorough || verdict.fault_count != 0 {
            verdict.pages = total.div_ceil(PAGE_SIZE);
            return Ok(verdict);
        }
        progress.begin(total);
        let look = |(): &mut (), number| {
            let batch = batches.get(number);
            let mut seen = Verdict::default();
            let mut bytes = vec![0; batch.len as usize];
            if !elf.read(self.source.as_ref(), batch.start, &mut bytes) {
                seen.fault(|| format!("memory at {:#x} cannot be read", batch.start));
            }
            for page in bytes.chunks(PAGE_SIZE as usize) {
                seen.pages += 1;
                *(if is_zero(page) { &mut seen.stored.zero } else { &mut seen.stored.plain }) += 1;
            }
            (batch.len, seen)
        };
        pipeline::in_order(batches.count(), &mut vec![(); pipeline::workers()], look, |(len, seen)| {
            progress.check()?;
            progress.advance(len);
            verdict.add(seen);
            Ok(())
        })?;
        Ok(verdict)
    }
}

impl PhysicalMemory for Dump {
    fn ranges(&self) -> Vec<Range> {
        self.pages()
    }

    fn read(&self, address: u64, len: usize) -> Cow<'_, [u8]> {
        let mut bytes = vec![0; len];
        // What cannot be read is missing from the end, and that is noticed.
        if self.read_physical(address, &mut bytes) { bytes.into() } else { Vec::new().into() }
    }
}

impl crate::Processors for Dump {
    fn registers(&self) -> Vec<Registers> {
        Dump::registers(self)
    }
}

/// The codec of a page descriptor's flags; `None` for none.
fn codec_of(flags: u32) -> Result<Option<Codec>, ()> {
    if flags == 0 {
        return Ok(None);
    }
    Codec::ALL.into_iter().find(|codec| codec.flag() == flags).map(Some).ok_or(())
}

/// The place of a codec in [`Codec::ALL`].
fn place(codec: Codec) -> usize {
    Codec::ALL.iter().position(|one| *one == codec).unwrap_or(0)
}
