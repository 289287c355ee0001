//! Writing a dump.

use crate::codec::Codec;
use crate::linux::Linux;
use crate::notes::Notes;
use crate::{DumpError, PhysicalMemory, Processors, Progress, Range, Registers, Target, elf, kdump, pages, paging};

/// What is dumped.
#[derive(Clone, Copy)]
pub struct Guest<'a> {
    /// Its memory.
    pub memory: &'a dyn PhysicalMemory,
    /// Its processors.
    pub processors: &'a dyn Processors,
    /// The VMCOREINFO note that it registered with a device, if it did: a whole ELF note.
    pub vmcoreinfo: Option<&'a [u8]>,
}

/// A dump's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An ELF core file.
    Elf,
    /// makedumpfile's compressed format.
    Kdump {
        /// How its pages are compressed.
        codec: Codec,
        /// As it lies in a file, rather than flattened into a stream.
        raw: bool,
    },
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 9] = [
        Self::Elf,
        Self::Kdump { codec: Codec::Zlib, raw: false },
        Self::Kdump { codec: Codec::Zlib, raw: true },
        Self::Kdump { codec: Codec::Lzo, raw: false },
        Self::Kdump { codec: Codec::Lzo, raw: true },
        Self::Kdump { codec: Codec::Snappy, raw: false },
        Self::Kdump { codec: Codec::Snappy, raw: true },
        Self::Kdump { codec: Codec::Zstd, raw: false },
        Self::Kdump { codec: Codec::Zstd, raw: true },
    ];

    /// Its name, as QEMU's `DumpGuestMemoryFormat` has it; zstd's are in the same manner.
    pub fn name(self) -> &'static str {
        match self {
            Self::Elf => "elf",
            Self::Kdump { codec: Codec::Zlib, raw: false } => "kdump-zlib",
            Self::Kdump { codec: Codec::Zlib, raw: true } => "kdump-raw-zlib",
            Self::Kdump { codec: Codec::Lzo, raw: false } => "kdump-lzo",
            Self::Kdump { codec: Codec::Lzo, raw: true } => "kdump-raw-lzo",
            Self::Kdump { codec: Codec::Snappy, raw: false } => "kdump-snappy",
            Self::Kdump { codec: Codec::Snappy, raw: true } => "kdump-raw-snappy",
            Self::Kdump { codec: Codec::Zstd, raw: false } => "kdump-zstd",
            Self::Kdump { codec: Codec::Zstd, raw: true } => "kdump-raw-zstd",
        }
    }

    /// The format of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// How a dump is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// In what format.
    pub format: Format,
    /// With the virtual addresses of the guest's page tables (ELF only).
    pub paging: bool,
    /// Only these physical addresses (ELF only).
    pub only: Option<Range>,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Bytes of guest memory.
    pub memory: u64,
    /// Length of the dump.
    pub file: u64,
}

/// What kind of processor a dump is of, and how wide its fields are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// No long mode, and all memory below 4 GiB.
    I386,
    /// No long mode, and memory above 4 GiB: 32-bit registers in a 64-bit file.
    I386Wide,
    /// Long mode.
    X86_64,
}

impl Architecture {
    /// The architecture of a guest with these processors and this memory.
    pub(crate) fn of(processors: &[Registers], ranges: &[Range]) -> Self {
        if processors.iter().any(Registers::long_mode) {
            Self::X86_64
        } else if ranges.last().is_some_and(|last| last.end() > 1 << 32) {
            Self::I386Wide
        } else {
            Self::I386
        }
    }

    /// Whether registers are those of x86-64.
    pub fn long_mode(self) -> bool {
        self == Self::X86_64
    }

    /// Whether the file's fields are of 64 bits.
    pub fn wide(self) -> bool {
        self != Self::I386
    }
}

/// What all formats write.
pub(crate) struct Job<'a> {
    pub(crate) memory: &'a dyn PhysicalMemory,
    /// The memory that is written.
    pub(crate) ranges: &'a [Range],
    pub(crate) processors: &'a [Registers],
    pub(crate) architecture: Architecture,
    pub(crate) notes: &'a Notes,
    pub(crate) linux: &'a Linux,
    pub(crate) progress: &'a Progress,
}

/// What is asked for, and of what memory: all that may be refused, and quickly known.
#[derive(Debug)]
pub struct Outline {
    options: Options,
    /// All memory that the format may have.
    all: Vec<Range>,
    /// What of it is in the file.
    chosen: Vec<Range>,
}

impl Outline {
    /// What `options` ask for of `memory`, whose ranges are looked at; so is `target`. From then on `progress` has a total.
    pub fn of(
        memory: &dyn PhysicalMemory,
        options: &Options,
        target: &Target,
        progress: &Progress,
    ) -> Result<Self, DumpError> {
        let mut all = pages::ranges(memory);
        let chosen = match options.format {
            Format::Elf => elf::selected(&all, options.only)?,
            Format::Kdump { .. } if options.paging || options.only.is_some() => return Err(DumpError::WholeMemoryOnly),
            Format::Kdump { raw: true, .. } if !target.seekable() => return Err(DumpError::NotSeekable),
            Format::Kdump { .. } => {
                if let Some(end) = memory.ram_end() {
                    all = pages::below(&all, end);
                }
                all.clone()
            }
        };
        progress.begin(chosen.iter().map(|range| range.len).sum());
        Ok(Self { options: *options, all, chosen })
    }

    /// Looks through `guest` for what the dump begins with; its memory may be read several times, in any order.
    pub fn prepare(self, guest: &Guest<'_>, progress: &Progress) -> Result<Prepared, DumpError> {
        let Self { options, all, chosen } = self;
        let processors = guest.processors.registers();
        let architecture = Architecture::of(&processors, &all);
        let linux = Linux::find(guest.memory, &all, &processors, guest.vmcoreinfo, progress)?;
        let vmcoreinfo = linux.vmcoreinfo.as_ref().map(|found| found.text().as_bytes());
        let notes = Notes::of(architecture, &processors, vmcoreinfo);
        let segments = match options.format {
            Format::Elf if options.paging => elf::segments(&chosen, &paging::mappings(guest.memory, &all, &processors)),
            Format::Elf => elf::segments(&chosen, &[]),
            Format::Kdump { .. } => Vec::new(),
        };
        Ok(Prepared { options, ranges: chosen, processors, architecture, notes, linux, segments })
    }
}

/// All of a dump but memory's bytes: what has to be known of a guest before its first page is written. From then on its memory
/// is read in order, and each page once.
#[derive(Debug)]
pub struct Prepared {
    options: Options,
    ranges: Vec<Range>,
    processors: Vec<Registers>,
    architecture: Architecture,
    notes: Notes,
    linux: Linux,
    /// How an ELF file shows the memory.
    segments: Vec<elf::Segment>,
}

impl Prepared {
    /// The memory that is going to be read, in ascending order.
    pub fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    /// Writes the dump to `target`, which gets its name if all goes well. `memory` is as it was when this was made.
    pub fn write(
        &self,
        memory: &dyn PhysicalMemory,
        mut target: Target,
        progress: &Progress,
    ) -> Result<Summary, DumpError> {
        let Self { options, ranges, processors, architecture, notes, linux, segments } = self;
        let job = Job { memory, ranges, processors, architecture: *architecture, notes, linux, progress };
        match options.format {
            Format::Elf => elf::write(&job, segments, &mut target)?,
            Format::Kdump { codec, raw } => kdump::write(&job, codec, raw, &mut target)?,
        }
        progress.check()?;
        let summary = Summary { memory: progress.completed(), file: target.written() };
        target.commit()?;
        Ok(summary)
    }
}

/// Writes a dump of `guest`, which stands still, to `target`, which gets its name if all goes well.
pub fn write(guest: &Guest<'_>, options: &Options, target: Target, progress: &Progress) -> Result<Summary, DumpError> {
    let outline = Outline::of(guest.memory, options, &target, progress)?;
    outline.prepare(guest, progress)?.write(guest.memory, target, progress)
}
