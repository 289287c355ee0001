//! All that a vCPU's page tables map, looked at from outside: no accessed bits, no faults, no effect.

use crate::state::{Cr0, Cr4, Efer, Vcpu};
use bitflags::bitflags;
use lockstep_fabric::Bus;

/// Tables that are looked into at most: what a guest makes of them may have no end.
const MOST_TABLES: usize = 1 << 16;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

bitflags! {
    /// Bits of a page-table entry (SDM volume 3, section 4.5).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PageBits: u64 {
        /// P.
        const PRESENT = 1 << 0;
        /// R/W.
        const WRITABLE = 1 << 1;
        /// U/S.
        const USER = 1 << 2;
        /// PWT.
        const WRITE_THROUGH = 1 << 3;
        /// PCD.
        const CACHE_DISABLED = 1 << 4;
        /// A.
        const ACCESSED = 1 << 5;
        /// D.
        const DIRTY = 1 << 6;
        /// PS: of an entry that could point to a table.
        const LARGE = 1 << 7;
        /// G.
        const GLOBAL = 1 << 8;
        /// XD.
        const NO_EXECUTE = 1 << 63;
    }
}

/// A page that is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First linear address.
    pub linear: u64,
    /// First physical address.
    pub physical: u64,
    /// Length in bytes.
    pub len: u64,
    /// The entry's bits, but for the rights: those are what the tables on the way leave of them.
    pub bits: PageBits,
}

/// The shape of the tables in use.
#[derive(Clone, Copy)]
struct Shape {
    entry_bytes: u64,
    index_bits: u32,
    levels: u32,
    long: bool,
}

struct Walk<'a> {
    bus: &'a Bus,
    shape: Shape,
    tables_left: usize,
    found: Vec<Mapping>,
    most: usize,
}

impl Vcpu {
    /// Every page that is mapped, in the order of addresses as the tables have it, up to `most`. Nothing without paging.
    pub fn mappings(&self, bus: &Bus, most: usize) -> Vec<Mapping> {
        if !self.cr0.contains(Cr0::PG) {
            return Vec::new();
        }
        let pae = self.cr4.contains(Cr4::PAE);
        let long = self.efer.contains(Efer::LMA);
        let levels = match (pae, long) {
            (false, _) => 2,
            (true, false) => 3,
            (true, true) if self.cr4.contains(Cr4::LA57) => 5,
            (true, true) => 4,
        };
        let (entry_bytes, index_bits) = if pae { (8, 9) } else { (4, 10) };
        let shape = Shape { entry_bytes, index_bits, levels, long };
        let mut walk = Walk { bus, shape, tables_left: MOST_TABLES, found: Vec::new(), most };
        let root = if pae && !long { self.cr3 & 0xffff_ffe0 } else { self.cr3 & ADDRESS };
        walk.table(root, levels - 1, 0, PageBits::WRITABLE | PageBits::USER);
        walk.found
    }
}

impl Walk<'_> {
    /// Entries of the table at `physical`, which covers linear addresses from `linear` on.
    fn table(&mut self, physical: u64, level: u32, linear: u64, rights: PageBits) {
        if self.tables_left == 0 || self.found.len() >= self.most {
            return;
        }
        self.tables_left -= 1;
        let Shape { entry_bytes, index_bits, levels, long } = self.shape;
        let pointers = levels == 3 && level == 2;
        let entries = if pointers { 4 } else { 1 << index_bits };
        let mut bytes = vec![0; (entries * entry_bytes) as usize];
        self.bus.memory.read_bytes(physical, &mut bytes);
        let shift = 12 + index_bits * level;
        for (index, entry) in (0..).zip(bytes.chunks_exact(entry_bytes as usize)) {
            let entry = entry.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
            let bits = PageBits::from_bits_retain(entry);
            if !bits.contains(PageBits::PRESENT) || self.found.len() >= self.most {
                continue;
            }
            let linear = linear | index << shift;
            // The directory pointers of PAE paging have no rights.
            let allowed = if pointers { rights } else { narrowed(rights, bits) };
            let leaf = level == 0 || level < 3 && bits.contains(PageBits::LARGE) && !pointers;
            if !leaf {
                self.table(entry & ADDRESS, level - 1, linear, allowed);
                continue;
            }
            let len = 1u64 << shift;
            // PSE-36: bits 39 to 32 of a 4-MiB page's address are bits 20 to 13 of its entry.
            let high = if entry_bytes == 4 && level == 1 { (entry >> 13 & 0xff) << 32 } else { 0 };
            let width = if entry_bytes == 4 { 0xffff_f000 } else { ADDRESS };
            let sign = if long { 64 - (12 + index_bits * levels) } else { 0 };
            self.found.push(Mapping {
                linear: ((linear << sign) as i64 >> sign) as u64,
                physical: entry & width & !(len - 1) | high,
                len,
                bits: bits & !RIGHTS | allowed & RIGHTS,
            });
        }
    }
}

const RIGHTS: PageBits = PageBits::WRITABLE.union(PageBits::USER).union(PageBits::NO_EXECUTE);

/// The rights that are left of `rights` below an entry: writing and user access ask for every entry's leave, execution for none's
/// veto.
fn narrowed(rights: PageBits, entry: PageBits) -> PageBits {
    rights & entry & (PageBits::WRITABLE | PageBits::USER) | (rights | entry) & PageBits::NO_EXECUTE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Machine, Mode, TABLES};

    #[test]
    fn every_page_is_listed_with_the_rights_that_all_levels_leave() {
        let m = Machine::new(Mode::Long);
        let pages = m.cpu.mappings(&m.bus, usize::MAX);
        let first = pages.first().expect("low memory is mapped");
        assert_eq!((first.linear, first.physical, first.len), (0, 0, 2 << 20));
        assert!(first.bits.contains(PageBits::WRITABLE | PageBits::USER) && !first.bits.contains(PageBits::NO_EXECUTE));
        for page in &pages {
            assert_eq!(m.cpu.peek_address(&m.bus, page.linear), Some(page.physical), "{page:x?}");
        }
    }

    #[test]
    fn a_right_that_an_outer_table_takes_away_is_gone() {
        let mut m = Machine::new(Mode::Long);
        let outermost = m.read64(TABLES);
        m.write64(TABLES, outermost & !PageBits::WRITABLE.bits() | PageBits::NO_EXECUTE.bits());
        let pages = m.cpu.mappings(&m.bus, usize::MAX);
        let within = |page: &&Mapping| page.linear < 1 << 39;
        assert!(pages.iter().filter(within).all(|page| !page.bits.contains(PageBits::WRITABLE)));
        assert!(pages.iter().filter(within).all(|page| page.bits.contains(PageBits::NO_EXECUTE)));
    }

    #[test]
    fn tables_that_point_to_themselves_come_to_an_end() {
        let mut m = Machine::new(Mode::Long);
        for index in 0..512 {
            m.write64(TABLES + 8 * index, TABLES | 7);
        }
        assert_eq!(m.cpu.mappings(&m.bus, 1000).len(), 1000);
        assert!(!m.cpu.mappings(&m.bus, 1 << 16).is_empty());
    }
}
