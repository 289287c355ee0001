//! What a dump is made of.

use std::borrow::Cow;

/// Bytes in a page, in every dump of an x86 guest.
pub const PAGE_SIZE: u64 = 4096;

/// A span of physical addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// First address.
    pub start: u64,
    /// Length in bytes.
    pub len: u64,
}

impl Range {
    /// The address after the last one.
    pub fn end(self) -> u64 {
        self.start.saturating_add(self.len)
    }

    /// Whether `address` lies in it.
    pub fn holds(self, address: u64) -> bool {
        address >= self.start && address - self.start < self.len
    }
}

/// The guest's physical memory. Threads read it at the same time.
pub trait PhysicalMemory: Sync {
    /// What there is of it. Order does not matter, and what is no whole page is left out.
    fn ranges(&self) -> Vec<Range>;

    /// The address after the last one of RAM, if there is memory beyond it that an operating system does not take for RAM
    /// (a firmware's ROM, a screen's memory). Kdump formats end there: makedumpfile cannot filter what goes further.
    fn ram_end(&self) -> Option<u64> {
        None
    }

    /// `len` bytes from `address` on, all within one range: the memory itself if it stands still, or else a copy.
    fn read(&self, address: u64, len: usize) -> Cow<'_, [u8]>;

    /// Whether none of `len` bytes from `address` on, all within one range, was ever written: then they are zero and are not read.
    /// Where that is not known it is `false`.
    fn untouched(&self, _address: u64, _len: u64) -> bool {
        false
    }

    /// The first `len` bytes of each of some pages, one after the other; `address` is the first page's, and all of them lie
    /// within one range.
    fn read_heads(&self, address: u64, pages: usize, len: usize) -> Vec<u8> {
        let all = self.read(address, pages * PAGE_SIZE as usize);
        let mut heads = Vec::with_capacity(pages * len);
        for page in all.chunks(PAGE_SIZE as usize) {
            heads.extend_from_slice(&page[..len.min(page.len())]);
        }
        heads
    }
}

/// The guest's processors.
pub trait Processors {
    /// The registers of each, in the order of their numbers.
    fn registers(&self) -> Vec<Registers>;
}

/// A segment register with what it has cached of its descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentRegister {
    /// The selector.
    pub selector: u16,
    /// The limit in bytes.
    pub limit: u32,
    /// The descriptor's second doubleword without the bits of base and limit (SDM volume 3, section 3.4.5).
    pub flags: u32,
    /// The base.
    pub base: u64,
}

/// GDTR or IDTR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableRegister {
    /// The limit in bytes.
    pub limit: u32,
    /// The linear base.
    pub base: u64,
}

/// The registers of a processor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15: the order of their encodings.
    pub general: [u64; 16],
    /// RIP.
    pub rip: u64,
    /// RFLAGS.
    pub rflags: u64,
    /// ES, CS, SS, DS, FS, GS: the order of their encodings.
    pub segments: [SegmentRegister; 6],
    /// LDTR.
    pub ldt: SegmentRegister,
    /// TR.
    pub tr: SegmentRegister,
    /// GDTR.
    pub gdt: TableRegister,
    /// IDTR.
    pub idt: TableRegister,
    /// CR0 to CR4; CR1 is zero.
    pub cr: [u64; 5],
    /// IA32_EFER.
    pub efer: u64,
    /// IA32_KERNEL_GS_BASE.
    pub kernel_gs_base: u64,
}

/// Numbers of general registers.
pub mod general {
    /// RAX.
    pub const RAX: usize = 0;
    /// RCX.
    pub const RCX: usize = 1;
    /// RDX.
    pub const RDX: usize = 2;
    /// RBX.
    pub const RBX: usize = 3;
    /// RSP.
    pub const RSP: usize = 4;
    /// RBP.
    pub const RBP: usize = 5;
    /// RSI.
    pub const RSI: usize = 6;
    /// RDI.
    pub const RDI: usize = 7;
}

/// Numbers of segment registers.
pub mod segment {
    /// ES.
    pub const ES: usize = 0;
    /// CS.
    pub const CS: usize = 1;
    /// SS.
    pub const SS: usize = 2;
    /// DS.
    pub const DS: usize = 3;
    /// FS.
    pub const FS: usize = 4;
    /// GS.
    pub const GS: usize = 5;
}

/// CR0.PG.
const CR0_PG: u64 = 1 << 31;
/// EFER.LMA.
const EFER_LMA: u64 = 1 << 10;

impl Registers {
    /// Whether it translates addresses.
    pub fn pages(&self) -> bool {
        self.cr[0] & CR0_PG != 0
    }

    /// Whether it is in long mode (64-bit or compatibility).
    pub fn long_mode(&self) -> bool {
        self.efer & EFER_LMA != 0
    }
}
