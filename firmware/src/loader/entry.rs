//! The registers a processor starts a kernel with, and the tables in RAM they point to.

use serde::{Deserialize, Serialize};

/// In which mode the kernel's first instruction runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryMode {
    /// 64-bit mode, paging on.
    Long64,
    /// 32-bit protected mode, paging off.
    Protected32,
    /// Real mode.
    Real16,
}

/// A segment register with its hidden part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRegister {
    /// The visible part.
    pub selector: u16,
    /// Linear base address.
    pub base: u64,
    /// Limit in bytes, inclusive.
    pub limit: u32,
    /// Bits 40 to 55 of the descriptor, the limit's bits 48 to 51 cleared: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15.
    pub attributes: u16,
}

/// GDTR or IDTR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRegister {
    /// Linear base address.
    pub base: u64,
    /// Limit in bytes, inclusive.
    pub limit: u16,
}

/// The state of a processor about to run a kernel's first instruction. What is not named here is as after reset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryState {
    /// The mode, which also follows from the registers below.
    pub mode: EntryMode,
    /// First instruction (an offset into CS).
    pub rip: u64,
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15.
    pub gprs: [u64; 16],
    /// Flags; interrupts are off.
    pub rflags: u64,
    /// CR0.
    pub cr0: u64,
    /// CR3: the page tables' root, 0 with paging off.
    pub cr3: u64,
    /// CR4.
    pub cr4: u64,
    /// The EFER model specific register.
    pub efer: u64,
    /// GDTR; its table is one of the plan's segments.
    pub gdtr: TableRegister,
    /// IDTR; empty.
    pub idtr: TableRegister,
    /// Code segment.
    pub cs: SegmentRegister,
    /// DS, ES, FS, GS and SS alike.
    pub data: SegmentRegister,
    /// Task register.
    pub tr: SegmentRegister,
    /// LDTR: not present.
    pub ldtr: SegmentRegister,
}

/// Indices into [`EntryState::gprs`].
pub(super) const RAX: usize = 0;
pub(super) const RBX: usize = 3;
pub(super) const RSI: usize = 6;

/// CR0: protection, extension type, paging.
const CR0_PE: u64 = 1 << 0;
const CR0_ET: u64 = 1 << 4;
const CR0_PG: u64 = 1 << 31;
/// CR4: physical address extension.
const CR4_PAE: u64 = 1 << 5;
/// EFER: long mode enabled, and active.
const EFER_LME: u64 = 1 << 8;
const EFER_LMA: u64 = 1 << 10;
/// The bit of RFLAGS that is always set.
const RFLAGS_FIXED: u64 = 1 << 1;

/// Descriptor attributes: present, ring 0, already accessed; code executable and readable, data writable, 4 KiB granular.
const CODE32: u16 = 0xc09b;
const CODE64: u16 = 0xa09b;
const DATA32: u16 = 0xc093;
/// A busy 32-bit TSS.
const TSS32: u16 = 0x008b;

/// `__BOOT_CS`, `__BOOT_DS` of the Linux boot protocol, and a TSS behind them.
const CODE_SELECTOR: u16 = 0x10;
const DATA_SELECTOR: u16 = 0x18;
const TSS_SELECTOR: u16 = 0x20;
/// The smallest limit of a 32-bit TSS.
const TSS_LIMIT: u32 = 0x67;

/// Bytes of the GDT: five descriptors.
pub(super) const GDT_SIZE: u64 = 5 * 8;

/// Bytes of the identity page tables: one PML4, one PDPT, four page directories for the low 4 GiB.
pub(super) const PAGE_TABLES_SIZE: u64 = 6 * 0x1000;

/// A page table entry's present and writable bits, and the page size bit of a 2 MiB page.
const PTE_PRESENT: u64 = 1 << 0;
const PTE_WRITABLE: u64 = 1 << 1;
const PDE_PAGE_SIZE: u64 = 1 << 7;

fn flat(selector: u16, attributes: u16) -> SegmentRegister {
    SegmentRegister { selector, base: 0, limit: u32::MAX, attributes }
}

fn descriptor(segment: SegmentRegister) -> u64 {
    let granular = segment.attributes & 0x8000 != 0;
    let limit = u64::from(if granular { segment.limit >> 12 } else { segment.limit });
    let base = segment.base;
    (limit & 0xffff)
        | (base & 0xff_ffff) << 16
        | u64::from(segment.attributes) << 40
        | (limit >> 16 & 0xf) << 48
        | (base >> 24 & 0xff) << 56
}

/// The GDT that all 32- and 64-bit entries share; `mode` decides what the code descriptor is.
pub(super) fn gdt(mode: EntryMode) -> Vec<u8> {
    let code = if mode == EntryMode::Long64 { CODE64 } else { CODE32 };
    let tss = SegmentRegister { selector: TSS_SELECTOR, base: 0, limit: TSS_LIMIT, attributes: TSS32 };
    let rows = [0, 0, descriptor(flat(CODE_SELECTOR, code)), descriptor(flat(DATA_SELECTOR, DATA32)), descriptor(tss)];
    rows.into_iter().flat_map(u64::to_le_bytes).collect()
}

/// Page tables at `base` that map the low 4 GiB to themselves in 2 MiB pages.
pub(super) fn identity_page_tables(base: u64) -> Vec<u8> {
    const ENTRIES: u64 = 512;
    const DIRECTORIES: u64 = 4;
    let table = |index: u64| (base + index * 0x1000) | PTE_PRESENT | PTE_WRITABLE;
    let pml4 = (0..ENTRIES).map(|entry| if entry == 0 { table(1) } else { 0 });
    let pdpt = (0..ENTRIES).map(|entry| if entry < DIRECTORIES { table(2 + entry) } else { 0 });
    let pages = (0..ENTRIES * DIRECTORIES).map(|page| page << 21 | PTE_PRESENT | PTE_WRITABLE | PDE_PAGE_SIZE);
    pml4.chain(pdpt).chain(pages).flat_map(u64::to_le_bytes).collect()
}

impl EntryState {
    /// Flat 32-bit protected mode without paging, as the 32-bit Linux, PVH and Multiboot entries want it.
    pub(super) fn protected(rip: u64, gdt: u64) -> Self {
        Self {
            mode: EntryMode::Protected32,
            rip,
            gprs: [0; 16],
            rflags: RFLAGS_FIXED,
            cr0: CR0_PE | CR0_ET,
            cr3: 0,
            cr4: 0,
            efer: 0,
            gdtr: TableRegister { base: gdt, limit: (GDT_SIZE - 1) as u16 },
            idtr: TableRegister::default(),
            cs: flat(CODE_SELECTOR, CODE32),
            data: flat(DATA_SELECTOR, DATA32),
            tr: SegmentRegister { selector: TSS_SELECTOR, base: 0, limit: TSS_LIMIT, attributes: TSS32 },
            ldtr: SegmentRegister::default(),
        }
    }

    /// 64-bit mode on the page tables at `cr3`, as the 64-bit Linux entry wants it.
    pub(super) fn long(rip: u64, gdt: u64, cr3: u64) -> Self {
        let start = Self::protected(rip, gdt);
        Self {
            mode: EntryMode::Long64,
            cr0: start.cr0 | CR0_PG,
            cr3,
            cr4: CR4_PAE,
            efer: EFER_LME | EFER_LMA,
            cs: flat(CODE_SELECTOR, CODE64),
            ..start
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptors_are_the_classic_flat_ones() {
        let row = |mode, index: usize| u64::from_le_bytes(gdt(mode)[index * 8..][..8].try_into().unwrap());
        assert_eq!(row(EntryMode::Long64, 2), 0x00af_9b00_0000_ffff);
        assert_eq!(row(EntryMode::Protected32, 2), 0x00cf_9b00_0000_ffff);
        assert_eq!(row(EntryMode::Protected32, 3), 0x00cf_9300_0000_ffff);
        assert_eq!(gdt(EntryMode::Long64).len() as u64, GDT_SIZE);
    }

    #[test]
    fn the_page_tables_map_every_address_below_4_gib_to_itself() {
        let base = 0x9000;
        let tables = identity_page_tables(base);
        assert_eq!(tables.len() as u64, PAGE_TABLES_SIZE);
        let entry = |table: u64, index: u64| {
            let at = (table - base + index * 8) as usize;
            u64::from_le_bytes(tables[at..at + 8].try_into().unwrap())
        };
        for address in [0_u64, 0x10_0000, 0x1234_5678, 0xc000_0000, 0xffff_fff0] {
            let pdpt = entry(base, address >> 39) & !0xfff;
            let directory = entry(pdpt, address >> 30 & 511) & !0xfff;
            let page = entry(directory, address >> 21 & 511);
            assert_eq!(page & 0xfff, PTE_PRESENT | PTE_WRITABLE | PDE_PAGE_SIZE);
            assert_eq!((page & !0xfff) + (address & 0x1f_ffff), address);
        }
        assert_eq!(entry(base, 1), 0);
    }
}
