//! Guest memory: the arena, its marks, and the physical address map. Every store to guest memory comes through here.

mod arena;
mod block;
mod forget;
mod held;
mod map;
mod marks;
mod modules;
mod slices;

pub use arena::{Arena, Word};
pub use block::Block;
pub use map::{AddressMap, Backing, Region, Span, Target};
pub use marks::{LINE_SIZE, line_mask};

use held::Held;
use marks::Marks;
use std::collections::BTreeMap;
use std::io;

/// Bytes in a page of the marks and of the x86's smallest page.
pub const PAGE_SIZE: u64 = 4096;

/// Physical addresses are first looked up by chunks of this size, so that page walks seldom search the map.
const CHUNK_SHIFT: u32 = 21;
const NO_CHUNK: u64 = u64::MAX;
/// Address line 20.
const A20: u64 = 1 << 20;

/// How a whole physical page can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageAccess {
    /// Arena offset of the page if reads of all of it come from one RAM or ROM.
    pub read: Option<u64>,
    /// Arena offset of the page if writes to all of it go to one RAM.
    pub write: Option<u64>,
}

/// Lines of code that a store hit: the arena offset of the page, and its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaleCode {
    /// Arena offset of the page.
    pub page: u64,
    /// The lines hit, one bit each.
    pub lines: u64,
}

/// RAM and ROM, and where they answer.
pub struct Memory {
    arena: Arena,
    marks: Marks,
    allocated: u64,
    /// Memory that comes and goes: arena offsets and lengths.
    modules: BTreeMap<u64, u64>,
    map: AddressMap,
    /// For each chunk of physical addresses that one RAM answers as a whole, its arena offset; else [`NO_CHUNK`].
    chunks: Vec<u64>,
    /// Ones where an address line is not masked (A20).
    address_mask: u64,
    stale: Vec<StaleCode>,
    /// Changes whenever the map does: translations to arena offsets made before are void.
    map_epoch: u64,
    /// Changes when a page gets its first code, loses its marks of having been written or is held: rights to write without
    /// asking are void.
    write_epoch: u64,
    /// Who wants to read memory as it was.
    held: Option<Held>,
}

impl Memory {
    /// Memory with `len` bytes of arena to allocate RAM and ROM from. Nothing is mapped yet.
    pub fn new(len: u64) -> io::Result<Self> {
        let len = len.next_multiple_of(PAGE_SIZE);
        let host = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Self {
            arena: Arena::new(host)?,
            marks: Marks::new(len),
            allocated: 0,
            modules: BTreeMap::new(),
            map: AddressMap::default(),
            chunks: Vec::new(),
            address_mask: u64::MAX,
            stale: Vec::new(),
            map_epoch: 0,
            write_epoch: 0,
            held: None,
        })
    }

    /// Takes `len` bytes (rounded up to pages) of the arena; `None` when it has no more.
    pub fn allocate(&mut self, len: u64) -> Option<u64> {
        let at = self.allocated;
        let end = at.checked_add(len.next_multiple_of(PAGE_SIZE))?;
        if end > self.arena.len() as u64 {
            return None;
        }
        self.allocated = end;
        Some(at)
    }

    /// Takes `len` bytes of the arena for a device's own memory; `None` when it has no more.
    pub fn allocate_block(&mut self, len: u64) -> Option<Block> {
        self.allocate(len).map(|at| Block { at, len })
    }

    /// How much of the arena is in use.
    pub fn allocated(&self) -> u64 {
        self.allocated
    }

    /// The physical address map.
    pub fn map(&self) -> &AddressMap {
        &self.map
    }

    /// Adds a region to the physical address map.
    pub fn add_region(&mut self, region: Region) {
        self.map.add(region);
        self.map_changed();
    }

    /// Moves a region of the physical address map.
    pub fn change_region(&mut self, owner: crate::DeviceId, index: u8, base: Option<u64>, reads: bool, writes: bool) {
        if self.map.change(owner, index, base, reads, writes) {
            self.map_changed();
        }
    }

    /// Has a device's regions answer only within these addresses.
    pub(crate) fn limit_regions(&mut self, owner: crate::DeviceId, within: Vec<crate::windows::Range>) {
        if self.map.limit(owner, within) {
            self.map_changed();
        }
    }

    /// Takes a device's regions off the physical address map.
    pub(crate) fn remove_regions(&mut self, owner: crate::DeviceId) {
        if self.map.remove(owner) {
            self.map_changed();
        }
    }

    /// Has a RAM-backed region show other bytes of the arena: those from `arena` on, a page boundary. Dropped if they do
    /// not lie in the arena.
    pub fn show(&mut self, owner: crate::DeviceId, index: u8, arena: u64) {
        if self.map.show(owner, index, arena & !(PAGE_SIZE - 1), self.arena.len() as u64) {
            self.map_changed();
        }
    }

    /// Puts back a saved map.
    pub fn restore_map(&mut self, regions: Vec<Region>) {
        self.map.restore(regions);
        self.map_changed();
    }

    /// Opens or masks address line 20.
    pub fn set_a20(&mut self, open: bool) {
        let mask = if open { u64::MAX } else { !A20 };
        if mask != self.address_mask {
            self.address_mask = mask;
            self.map_changed();
        }
    }

    fn map_changed(&mut self) {
        self.map_epoch += 1;
        let chunk = 1u64 << CHUNK_SHIFT;
        self.chunks.clear();
        if !self.a20() {
            return;
        }
        let rams = self.map.write_view().iter().filter(|s| matches!(s.target, Target::Ram(_)));
        let top = rams.map(|s| s.last >> CHUNK_SHIFT).max().unwrap_or(0);
        for start in (0..=top).map(|c| c << CHUNK_SHIFT) {
            let whole = |write| match self.map.find(start, write) {
                Some((Target::Ram(at), last)) if last - start >= chunk - 1 => Some(at),
                _ => None,
            };
            let base = whole(true).filter(|at| whole(false) == Some(*at));
            self.chunks.push(base.unwrap_or(NO_CHUNK));
        }
    }

    /// Whether address line 20 is open.
    pub fn a20(&self) -> bool {
        self.address_mask == u64::MAX
    }

    /// Changes whenever physical addresses may reach other things than before.
    #[inline]
    pub fn map_epoch(&self) -> u64 {
        self.map_epoch
    }

    /// Changes whenever a page that could be stored to freely may no longer be.
    #[inline]
    pub fn write_epoch(&self) -> u64 {
        self.write_epoch
    }

    /// What answers at a physical address, and the last address up to which the same answers.
    pub fn find(&self, address: u64, write: bool) -> Option<(Target, u64)> {
        self.map.find(address & self.address_mask, write)
    }

    /// How the page of physical `address` can be reached as a whole.
    pub fn page(&self, address: u64) -> PageAccess {
        if let Some(&base) = self.chunks.get((address >> CHUNK_SHIFT) as usize)
            && base != NO_CHUNK
        {
            let at = base + (address & ((1 << CHUNK_SHIFT) - 1) & !(PAGE_SIZE - 1));
            return PageAccess { read: Some(at), write: Some(at) };
        }
        let start = address & self.address_mask & !(PAGE_SIZE - 1);
        let whole = |write| self.map.find(start, write).filter(|(_, last)| *last >= start + (PAGE_SIZE - 1));
        PageAccess {
            read: match whole(false) {
                Some((Target::Ram(at) | Target::Rom(at), _)) => Some(at),
                _ => None,
            },
            write: match whole(true) {
                Some((Target::Ram(at), _)) => Some(at),
                _ => None,
            },
        }
    }

    /// Loads from an arena offset. Offsets come from [`Memory::page`]; others read as zero.
    #[inline(always)]
    pub fn load<T: Word + Default>(&self, offset: u64) -> T {
        self.arena.load(offset).unwrap_or_default()
    }

    /// Stores to an arena offset on a page that [`Memory::free_to_write`] said may be stored to without asking.
    #[inline(always)]
    pub fn store_free<T: Word>(&mut self, offset: u64, value: T) {
        self.arena.store(offset, value);
    }

    /// Copies `len` bytes as one by one upwards, so that what overlaps repeats. The destination is on one page that may be
    /// stored to without asking, as for [`Memory::store_free`].
    pub fn copy_free(&mut self, to: u64, from: u64, len: u64) {
        let distance = to.wrapping_sub(from);
        if distance == 0 || distance >= len {
            self.arena.move_bytes(to, from, len as usize);
            return;
        }
        // The first `distance` bytes repeat: each move takes along all that are there already.
        let mut done = 0;
        while done < len {
            let step = (distance + done).min(len - done);
            self.arena.move_bytes(to + done, from, step as usize);
            done += step;
        }
    }

    /// Fills `len` bytes with `pattern`'s bytes over and over. The destination is as for [`Memory::copy_free`].
    pub fn fill_free(&mut self, to: u64, len: u64, pattern: u64) {
        let Some(bytes) = self.arena.bytes_mut(to, len as usize) else { return };
        let pattern = pattern.to_le_bytes();
        if pattern == [pattern[0]; 8] {
            bytes.fill(pattern[0]);
            return;
        }
        let mut chunks = bytes.chunks_exact_mut(8);
        chunks.by_ref().for_each(|chunk| chunk.copy_from_slice(&pattern));
        let rest = chunks.into_remainder();
        rest.copy_from_slice(&pattern[..rest.len()]);
    }

    /// Whether stores to the page of this arena offset need no marks any more: it is marked written, holds no code, and
    /// nobody waits for what it was.
    pub fn free_to_write(&self, offset: u64) -> bool {
        self.marks.is_written(offset) && self.marks.code_lines(offset) == 0 && !self.waits(offset)
    }

    /// Stores to an arena offset, keeping the marks. True if the bytes held decoded code: see [`Memory::take_stale`].
    pub fn store_marked<T: Word>(&mut self, offset: u64, value: T) -> bool {
        self.before_store(offset, size_of::<T>() as u64);
        if !self.arena.store(offset, value) {
            return false;
        }
        self.written(offset, size_of::<T>() as u64)
    }

    /// Reads the arena, for hashing and snapshots.
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Copies bytes into the arena (ROM contents, loaders), keeping the marks; false if they do not fit.
    pub fn fill(&mut self, offset: u64, from: &[u8]) -> bool {
        self.before_store(offset, from.len() as u64);
        let Some(to) = self.arena.bytes_mut(offset, from.len()) else { return false };
        to.copy_from_slice(from);
        self.written(offset, from.len() as u64);
        true
    }

    /// Reads by physical address; what no RAM or ROM backs reads as ones.
    pub fn read_bytes(&self, address: u64, into: &mut [u8]) {
        let mut done = 0;
        while done < into.len() {
            let (target, len) = self.run(address.wrapping_add(done as u64), (into.len() - done) as u64, false);
            let to = &mut into[done..][..len as usize];
            let from = match target {
                Some(Target::Ram(offset) | Target::Rom(offset)) => self.arena.bytes(offset, to.len()),
                Some(Target::Device(..)) | None => None,
            };
            match from {
                Some(from) => to.copy_from_slice(from),
                None => to.fill(0xff),
            }
            done += len as usize;
        }
    }

    /// Writes by physical address; what no RAM backs is dropped.
    pub fn write_bytes(&mut self, address: u64, from: &[u8]) {
        let mut done = 0;
        while done < from.len() {
            let (target, len) = self.run(address.wrapping_add(done as u64), (from.len() - done) as u64, true);
            if let Some(Target::Ram(offset)) = target {
                self.fill(offset, &from[done..][..len as usize]);
            }
            done += len as usize;
        }
    }

    /// Zeroes by physical address; what no RAM backs is left out. The time that this takes grows with the RAM there is
    /// and not with `len`, and host pages that hold nothing yet stay untouched.
    pub fn zero_bytes(&mut self, address: u64, len: u64) {
        let mut done = 0;
        while done < len {
            let (target, run) = self.run(address.wrapping_add(done), len - done, true);
            if let Some(Target::Ram(offset)) = target {
                self.zero(offset, run);
            }
            done += run;
        }
    }

    fn zero(&mut self, offset: u64, len: u64) {
        let mut at = offset;
        let end = offset + len;
        while at < end {
            let piece = (PAGE_SIZE - at % PAGE_SIZE).min(end - at);
            if self.arena.bytes(at, piece as usize).is_some_and(|held| held.iter().any(|b| *b != 0)) {
                self.fill(at, &[0; PAGE_SIZE as usize][..piece as usize]);
            }
            at += piece;
        }
    }

    /// What answers at `at` (`None`: nothing), and for how many bytes from there it goes on so: one or more, at most
    /// `wanted`.
    fn run(&self, at: u64, wanted: u64, write: bool) -> (Option<Target>, u64) {
        let first = at & self.address_mask;
        let (target, last) = match self.map.find(first, write) {
            Some((target, last)) => (Some(target), last),
            None => (None, self.map.gap_end(first, write)),
        };
        // With line 20 masked, what comes after a mebibyte's end is not what follows it in the map.
        let last = if self.a20() { last } else { last.min(first | (A20 - 1)) };
        (target, (last - first).saturating_add(1).min(wanted))
    }

    fn written(&mut self, offset: u64, len: u64) -> bool {
        let mut hit = false;
        let mut at = offset;
        let end = offset + len;
        while at < end {
            let page_end = (at & !(PAGE_SIZE - 1)) + PAGE_SIZE;
            self.marks.set_dirty(at);
            let lines = self.marks.code_lines(at);
            if lines != 0 {
                let lines = lines & line_mask(at, page_end.min(end) - at);
                if lines != 0 {
                    self.stale.push(StaleCode { page: at & !(PAGE_SIZE - 1), lines });
                    hit = true;
                }
            }
            at = page_end;
        }
        hit
    }

    /// Marks bytes as decoded: stores to them will be told by [`Memory::take_stale`].
    pub fn mark_code(&mut self, offset: u64, len: u64) {
        if self.marks.add_code(offset, len) {
            self.write_epoch += 1;
        }
    }

    /// The lines of the page of `offset` that hold decoded code, one bit each.
    pub fn code_lines(&self, offset: u64) -> u64 {
        self.marks.code_lines(offset)
    }

    /// Takes the code mark off lines of a page whose decoded code was dropped.
    pub fn clear_code(&mut self, offset: u64, lines: u64) {
        self.marks.clear_code(offset, lines);
    }

    /// Whether stores have hit decoded code since [`Memory::take_stale`].
    #[inline]
    pub fn has_stale(&self) -> bool {
        !self.stale.is_empty()
    }

    /// Takes the list of code that stores have hit, in order.
    pub fn take_stale(&mut self) -> Vec<StaleCode> {
        std::mem::take(&mut self.stale)
    }

    /// For each arena page, whether it was written since the guest last had no use for it. Those that were not are zero,
    /// and the host has no memory for them.
    pub fn touched(&self) -> &[bool] {
        self.marks.touched()
    }

    /// Takes the list of arena pages (by page number) written since it was last taken.
    pub fn take_dirty(&mut self) -> Vec<u64> {
        self.write_epoch += 1;
        self.marks.take_dirty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceId;

    pub(super) fn two_pages_of_ram_and_a_rom() -> Memory {
        let mut memory = Memory::new(0x3000).unwrap();
        let ram = memory.allocate(0x2000).unwrap();
        let rom = memory.allocate(0x1000).unwrap();
        let region = |index, base, len, backing| Region {
            owner: DeviceId(0),
            index,
            base: Some(base),
            len,
            priority: 0,
            reads: true,
            writes: true,
            backing,
        };
        memory.add_region(region(0, 0, 0x2000, Backing::Ram(ram)));
        memory.add_region(region(1, 0xf000, 0x1000, Backing::Rom(rom)));
        memory
    }

    #[test]
    fn dma_crosses_pages_and_stops_at_what_is_not_ram() {
        let mut memory = two_pages_of_ram_and_a_rom();
        memory.write_bytes(0xffe, &[1, 2, 3, 4]);
        let mut back = [0; 4];
        memory.read_bytes(0xffe, &mut back);
        assert_eq!(back, [1, 2, 3, 4]);
        memory.write_bytes(0x1ffe, &[5, 6, 7, 8]);
        memory.read_bytes(0x1ffe, &mut back);
        assert_eq!(back, [5, 6, 0xff, 0xff]);
        memory.write_bytes(0xf000, &[9; 4]);
        memory.read_bytes(0xf000, &mut back);
        assert_eq!(back, [0; 4], "ROM drops writes");
        memory.read_bytes(u64::MAX - 1, &mut back);
        assert_eq!(back, [0xff, 0xff, 1 - 1, 0], "addresses wrap round to RAM at zero");
    }

    #[test]
    fn huge_spans_cost_no_more_than_what_backs_them() {
        let mut memory = two_pages_of_ram_and_a_rom();
        memory.write_bytes(0xff0, &[7; 0x20]);
        memory.zero_bytes(0x1000, u64::MAX);
        let mut back = [0; 0x20];
        memory.read_bytes(0xff0, &mut back);
        assert_eq!(back[..0x10], [[0; 0xf].as_slice(), &[7]].concat(), "all but the last byte of the round");
        assert_eq!(back[0x10..], [0; 0x10]);
        memory.write_bytes(0xffe, &[7; 4]);
        memory.zero_bytes(0xfff, 2);
        memory.read_bytes(0xffc, &mut back);
        assert_eq!(back[..8], [0, 0, 7, 0, 0, 7, 0, 0]);
    }

    #[test]
    fn zeroing_drops_decoded_code() {
        let mut memory = two_pages_of_ram_and_a_rom();
        memory.write_bytes(0x100, &[0x90]);
        memory.mark_code(0x100, 1);
        memory.zero_bytes(0, 0x1000);
        assert!(memory.has_stale());
    }

    #[test]
    fn copies_go_upwards_byte_by_byte() {
        for (to, from) in [(0x100u64, 0x200u64), (0x203, 0x200), (0x201, 0x200), (0x1f9, 0x200), (0x200, 0x200)] {
            let mut memory = two_pages_of_ram_and_a_rom();
            let mut expected: Vec<u8> = (0..0x1000u32).map(|i| ((i * 7) ^ (i >> 8)) as u8).collect();
            memory.fill(0, &expected);
            memory.copy_free(to, from, 0x77);
            for i in 0..0x77 {
                expected[to as usize + i] = expected[from as usize + i];
            }
            assert_eq!(memory.arena().bytes(0, 0x1000).unwrap(), expected, "{from:#x} to {to:#x}");
        }
    }

    #[test]
    fn fills_repeat_their_pattern() {
        let mut memory = two_pages_of_ram_and_a_rom();
        memory.fill_free(1, 11, 0x0807_0605_0403_0201);
        assert_eq!(memory.arena().bytes(0, 13).unwrap(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 0]);
    }

    #[test]
    fn a_store_to_decoded_code_is_told() {
        let mut memory = two_pages_of_ram_and_a_rom();
        assert!(!memory.store_marked(0x100, 1u32));
        assert!(memory.free_to_write(0x100));
        memory.mark_code(0x140, 5);
        assert!(!memory.free_to_write(0x100));
        assert!(!memory.store_marked(0x100, 1u32), "another line of the page");
        assert!(memory.store_marked(0x13e, 1u32), "reaches into the line");
        assert_eq!(memory.take_stale(), [StaleCode { page: 0, lines: 1 << 5 }]);
    }

    #[test]
    fn a20_masked_wraps_the_second_mebibyte() {
        let mut memory = two_pages_of_ram_and_a_rom();
        memory.write_bytes(0x10, &[42]);
        memory.set_a20(false);
        let mut byte = [0];
        memory.read_bytes(0x10_0010, &mut byte);
        assert_eq!(byte, [42]);
        let mut over_the_end = [1; 0x12];
        memory.read_bytes(0xf_ffff, &mut over_the_end);
        assert_eq!((over_the_end[0], over_the_end[0x11]), (0xff, 42));
        memory.set_a20(true);
        memory.read_bytes(0x10_0010, &mut byte);
        assert_eq!(byte, [0xff]);
    }
}
