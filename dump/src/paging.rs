//! The guest's own page tables (SDM volume 3, chapter 4): what they map, and single addresses.
//!
//! Tables are the guest's to make, so nothing is believed of them: what they point to may be no memory, tables of theirs,
//! or each other, and what comes of them has a bound.

use crate::record::{u32_at, u64_at};
use crate::{PAGE_SIZE, PhysicalMemory, Range, Registers};
use std::collections::BTreeSet;

/// Virtual addresses with what they map to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mapping {
    /// First virtual address.
    pub virtual_address: u64,
    /// What it maps to.
    pub physical_address: u64,
    /// Length in bytes.
    pub len: u64,
}

/// Mappings that are kept: 6 MiB of them, which become 14 MiB of program headers.
const MOST_MAPPINGS: usize = 1 << 18;
/// Tables that are read in all. So many last tables map 2 TiB in single pages.
const MOST_TABLES: u32 = 1 << 20;

const PRESENT: u64 = 1;
const LARGE: u64 = 1 << 7;
/// Bits 51 to 12.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const CR4_PSE: u64 = 1 << 4;
const CR4_PAE: u64 = 1 << 5;
const CR4_LA57: u64 = 1 << 12;

/// A level of tables.
#[derive(Clone, Copy, Debug)]
struct Level {
    /// The lowest address bit of its index.
    shift: u32,
    /// Bits in its index.
    bits: u32,
    /// Whether its entries may map pages though it is not the last.
    large: bool,
}

const fn level(shift: u32, bits: u32, large: bool) -> Level {
    Level { shift, bits, large }
}

const LEGACY: [Level; 2] = [level(22, 10, false), level(12, 10, false)];
const LEGACY_PSE: [Level; 2] = [level(22, 10, true), level(12, 10, false)];
const PAE: [Level; 3] = [level(30, 2, false), level(21, 9, true), level(12, 9, false)];
const LONG: [Level; 5] =
    [level(48, 9, false), level(39, 9, false), level(30, 9, true), level(21, 9, true), level(12, 9, false)];

/// How a processor translates.
#[derive(Clone, Copy, Debug)]
struct Scheme {
    levels: &'static [Level],
    root: u64,
    /// Bytes in an entry.
    entry: usize,
    /// Bits in a virtual address.
    width: u32,
}

impl Scheme {
    fn of(registers: &Registers) -> Option<Self> {
        if !registers.pages() {
            return None;
        }
        let (cr3, cr4) = (registers.cr[3], registers.cr[4]);
        Some(if registers.long_mode() {
            let levels = if cr4 & CR4_LA57 != 0 { &LONG[..] } else { &LONG[1..] };
            let width = if cr4 & CR4_LA57 != 0 { 57 } else { 48 };
            Self { levels, root: cr3 & ADDRESS, entry: 8, width }
        } else if cr4 & CR4_PAE != 0 {
            Self { levels: &PAE, root: cr3 & 0xffff_ffe0, entry: 8, width: 32 }
        } else {
            let levels = if cr4 & CR4_PSE != 0 { &LEGACY_PSE } else { &LEGACY };
            Self { levels, root: cr3 & 0xffff_f000, entry: 4, width: 32 }
        })
    }

    fn canonical(&self, address: u64) -> u64 {
        let spare = 64 - self.width;
        if self.entry == 8 && self.width > 32 { ((address << spare) as i64 >> spare) as u64 } else { address }
    }

    /// What an entry maps or where its table is.
    fn target(&self, entry: u64, level: Level, page: bool) -> u64 {
        if self.entry == 4 && page && level.shift == 22 {
            // PSE-36: bits 20 to 13 are address bits 39 to 32.
            return entry & 0xffc0_0000 | (entry >> 13 & 0xff) << 32;
        }
        let address = if self.entry == 4 { entry & 0xffff_f000 } else { entry & ADDRESS };
        if page { address & !((1 << level.shift) - 1) } else { address }
    }
}

/// Everything that the page tables of `processors` map to memory in `ranges`, by virtual address, or as much of it as the
/// bound lets in; the upper half of each address space, where kernels live, comes first.
pub fn mappings(memory: &dyn PhysicalMemory, ranges: &[Range], processors: &[Registers]) -> Vec<Mapping> {
    let mut walk = Walk { memory, ranges, tables: 0, seen: BTreeSet::new(), found: Vec::new() };
    for scheme in processors.iter().filter_map(Scheme::of) {
        walk.table(&scheme, scheme.levels, scheme.root, 0);
    }
    walk.found.sort_unstable();
    walk.found.dedup();
    walk.found
}

struct Walk<'a> {
    memory: &'a dyn PhysicalMemory,
    ranges: &'a [Range],
    tables: u32,
    /// Entries of first tables that were followed, with their addresses: processors share most of them.
    seen: BTreeSet<(u64, u64)>,
    found: Vec<Mapping>,
}

impl Walk<'_> {
    /// Follows a table whose first entry maps `base`. Levels bound the depth.
    fn table(&mut self, scheme: &Scheme, levels: &[Level], at: u64, base: u64) {
        let Some((level, below)) = levels.split_first() else { return };
        let count = 1usize << level.bits;
        let len = count * scheme.entry;
        if self.tables == MOST_TABLES || !holds(self.ranges, at, len as u64) {
            return;
        }
        self.tables += 1;
        let top = levels.len() == scheme.levels.len();
        let table = self.memory.read(at, len).into_owned();
        // The upper half first where it means something; the order of what is found does not matter.
        let first = if top { count / 2 } else { 0 };
        for index in (first..count).chain(0..first) {
            let entry = match scheme.entry {
                4 => u32_at(&table, index * 4).map(u64::from),
                _ => u64_at(&table, index * 8),
            };
            let Some(entry) = entry.filter(|entry| entry & PRESENT != 0) else { continue };
            let address = base | (index as u64) << level.shift;
            if top && !self.seen.insert((scheme.canonical(address), entry)) {
                continue;
            }
            let page = below.is_empty() || level.large && entry & LARGE != 0;
            let target = scheme.target(entry, *level, page);
            if page {
                self.found(scheme.canonical(address), target, 1 << level.shift);
            } else {
                self.table(scheme, below, target, address);
            }
            if self.found.len() >= MOST_MAPPINGS || self.tables == MOST_TABLES {
                return;
            }
        }
    }

    /// Adds what a page maps, as far as it is memory.
    fn found(&mut self, virtual_address: u64, physical_address: u64, len: u64) {
        let end = physical_address.saturating_add(len);
        let first = self.ranges.partition_point(|range| range.end() <= physical_address);
        for range in self.ranges[first..].iter().take_while(|range| range.start < end) {
            let start = range.start.max(physical_address);
            let len = range.end().min(end) - start;
            let virtual_address = virtual_address.wrapping_add(start - physical_address);
            match self.found.last_mut() {
                Some(last)
                    if last.virtual_address.wrapping_add(last.len) == virtual_address
                        && last.physical_address + last.len == start =>
                {
                    last.len += len;
                }
                _ => self.found.push(Mapping { virtual_address, physical_address: start, len }),
            }
        }
    }
}

fn holds(ranges: &[Range], at: u64, len: u64) -> bool {
    let index = ranges.partition_point(|range| range.end() <= at);
    ranges.get(index).is_some_and(|range| range.start <= at && range.end() - at >= len)
}

/// What a processor's page tables map an address to; `None` if nothing, or no memory in `ranges`. Without paging an address
/// is what it is.
pub fn translate(memory: &dyn PhysicalMemory, ranges: &[Range], registers: &Registers, address: u64) -> Option<u64> {
    let Some(scheme) = Scheme::of(registers) else {
        return holds(ranges, address, 1).then_some(address);
    };
    let mut at = scheme.root;
    for (depth, level) in (1..).zip(scheme.levels) {
        let index = address >> level.shift & ((1 << level.bits) - 1);
        let entry = read_entry(memory, ranges, at + index * scheme.entry as u64, scheme.entry)?;
        if entry & PRESENT == 0 {
            return None;
        }
        let page = depth == scheme.levels.len() || level.large && entry & LARGE != 0;
        at = scheme.target(entry, *level, page);
        if page {
            let found = at | address & ((1 << level.shift) - 1);
            return holds(ranges, found, 1).then_some(found);
        }
    }
    None
}

fn read_entry(memory: &dyn PhysicalMemory, ranges: &[Range], at: u64, len: usize) -> Option<u64> {
    if !holds(ranges, at, len as u64) {
        return None;
    }
    let bytes = memory.read(at, len);
    if len == 4 { u32_at(&bytes, 0).map(u64::from) } else { u64_at(&bytes, 0) }
}

/// Reads at a virtual address by a processor's page tables; `None` if any of it is not mapped.
pub fn read(
    memory: &dyn PhysicalMemory,
    ranges: &[Range],
    registers: &Registers,
    address: u64,
    len: usize,
) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let at = address.wrapping_add(bytes.len() as u64);
        let piece = (PAGE_SIZE - at % PAGE_SIZE).min((len - bytes.len()) as u64);
        let found = translate(memory, ranges, registers, at)?;
        if !holds(ranges, found, piece) {
            return None;
        }
        bytes.extend_from_slice(&memory.read(found, piece as usize));
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Sparse;
    use crate::pages::ranges;

    fn long_mode(cr3: u64, cr4: u64) -> Registers {
        Registers { cr: [1 << 31 | 1, 0, 0, cr3, CR4_PAE | cr4], efer: 1 << 10, ..Registers::default() }
    }

    fn mapping(virtual_address: u64, physical_address: u64, len: u64) -> Mapping {
        Mapping { virtual_address, physical_address, len }
    }

    #[test]
    fn four_levels_map_pages_of_every_size_and_neighbours_join() {
        let mut memory = Sparse::new(&[(0, 0x4000_0000)]);
        memory.put_u64(0x1000 + 8 * 511, 0x2000 | PRESENT);
        memory.put_u64(0x2000 + 8 * 510, 0x3000 | PRESENT);
        memory.put_u64(0x3000, 0x20_0000 | LARGE | PRESENT);
        memory.put_u64(0x3008, 0x40_0000 | LARGE | PRESENT);
        memory.put_u64(0x3010, 0x4000 | PRESENT);
        memory.put_u64(0x4000, 0x60_0000 | PRESENT | 1 << 63);
        memory.put_u64(0x4010, 0x5000 | PRESENT);
        memory.put_u64(0x1000, 0x6000 | PRESENT);
        memory.put_u64(0x6000, LARGE | PRESENT);
        let processors = [long_mode(0x1000, 0), long_mode(0x1000 | 7, 0)];
        let found = mappings(&memory, &ranges(&memory), &processors);
        assert_eq!(
            found,
            [
                mapping(0, 0, 0x4000_0000),
                mapping(0xffff_ffff_8000_0000, 0x20_0000, 0x40_1000),
                mapping(0xffff_ffff_8040_2000, 0x5000, 0x1000),
            ]
        );
        for one in found {
            let last = one.virtual_address + one.len - 1;
            let translated = translate(&memory, &ranges(&memory), &processors[0], last);
            assert_eq!(translated, Some(one.physical_address + one.len - 1));
        }
        assert_eq!(translate(&memory, &ranges(&memory), &processors[0], 0xffff_ffff_8040_1000), None);
    }

    #[test]
    fn five_levels_are_walked_with_la57() {
        let mut memory = Sparse::new(&[(0, 0x10000)]);
        for (at, index) in [(0x1000u64, 256u64), (0x2000, 0), (0x3000, 0), (0x4000, 0), (0x5000, 1)] {
            memory.put_u64(at + 8 * index, (at + 0x1000) | PRESENT);
        }
        let found = mappings(&memory, &ranges(&memory), &[long_mode(0x1000, CR4_LA57)]);
        assert_eq!(found, [mapping(0xff00_0000_0000_1000, 0x6000, 0x1000)]);
    }

    #[test]
    fn pae_and_32_bit_paging_have_pages_above_4_gib() {
        let mut memory = Sparse::new(&[(0, 0x10000), (0x1_0000_0000, 0x80_0000)]);
        memory.put_u64(0x1020 + 8 * 3, 0x2000 | PRESENT);
        memory.put_u64(0x2000, 0x1_0020_0000 | LARGE | PRESENT);
        let pae = Registers { cr: [1 << 31 | 1, 0, 0, 0x1020, CR4_PAE], ..Registers::default() };
        assert_eq!(
            mappings(&memory, &ranges(&memory), std::slice::from_ref(&pae)),
            [mapping(0xc000_0000, 0x1_0020_0000, 0x20_0000)]
        );

        memory.put(0x4000 + 4 * 0x301, &(0x0040_0000u32 | 1 << 13 | 0x81).to_le_bytes());
        memory.put(0x4000, &0x5001u32.to_le_bytes());
        memory.put(0x5004, &0x9001u32.to_le_bytes());
        let legacy = Registers { cr: [1 << 31 | 1, 0, 0, 0x4000, CR4_PSE], ..Registers::default() };
        assert_eq!(
            mappings(&memory, &ranges(&memory), &[legacy]),
            [mapping(0x1000, 0x9000, 0x1000), mapping(0xc040_0000, 0x1_0040_0000, 0x40_0000)]
        );
    }

    #[test]
    fn tables_that_hold_themselves_end() {
        let mut memory = Sparse::new(&[(0, 0x10000)]);
        for index in 0..512 {
            memory.put_u64(0x1000 + 8 * index, 0x1000 | PRESENT | index << 53);
        }
        let found = mappings(&memory, &ranges(&memory), &[long_mode(0x1000, CR4_LA57)]);
        assert!(found.len() <= MOST_MAPPINGS && found.len() > 1000);
        assert!(found.iter().all(|m| m.physical_address == 0x1000));
    }

    #[test]
    fn tables_that_point_nowhere_map_nothing() {
        let mut memory = Sparse::new(&[(0, 0x10000)]);
        assert_eq!(mappings(&memory, &ranges(&memory), &[long_mode(0xffff_f000, 0)]), []);
        memory.put_u64(0x1000, ADDRESS | PRESENT);
        memory.put_u64(0x1008, 0x2000 | PRESENT);
        memory.put_u64(0x2000, ADDRESS & !0x3fff_ffff | LARGE | PRESENT);
        assert_eq!(mappings(&memory, &ranges(&memory), &[long_mode(0x1000, 0)]), []);
        assert_eq!(translate(&memory, &ranges(&memory), &long_mode(u64::MAX, CR4_LA57), u64::MAX), None);
    }

    #[test]
    fn virtual_reads_cross_pages_and_stop_where_nothing_is_mapped() {
        let mut memory = Sparse::new(&[(0, 0x10000)]);
        for (at, entry) in
            [(0x1000u64, 0x2000u64), (0x2000, 0x3000), (0x3000, 0x4000), (0x4000, 0x9000), (0x4008, 0x8000)]
        {
            memory.put_u64(at, entry | PRESENT);
        }
        memory.put(0x9ffe, &[1, 2]);
        memory.put(0x8000, &[3, 4]);
        let registers = long_mode(0x1000, 0);
        assert_eq!(read(&memory, &ranges(&memory), &registers, 0xffe, 4), Some(vec![1, 2, 3, 4]));
        assert_eq!(read(&memory, &ranges(&memory), &registers, 0x1ffe, 4), None);
    }
}
