//! The host pages behind all RAM and ROM: one anonymous mapping, touched only where the guest touches it.
#![allow(unsafe_code)]

use memmap2::{MmapMut, MmapOptions, UncheckedAdvice};
use std::io;
use std::ops::Range;

/// An integer that can be loaded from and stored to guest memory, little-endian.
pub trait Word: Copy + 'static + sealed::Sealed {
    /// From the host's native integer read as little-endian, and back.
    #[must_use]
    fn le(self) -> Self;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! words {
    ($($t:ty),*) => {$(
        impl sealed::Sealed for $t {}
        impl Word for $t {
            #[inline(always)]
            fn le(self) -> Self { self.to_le() }
        }
    )*};
}
words!(u8, u16, u32, u64, u128);

/// A fixed span of zeroed memory, addressed by byte offset.
pub struct Arena {
    base: *mut u8,
    len: usize,
    /// Below this offset any word fits.
    reach: u64,
    map: MmapMut,
}

// SAFETY: `base` points into `map`, which the arena owns and never remaps; access is through &self (reads) and
// &mut self (writes) only, so moving the arena to another thread moves everything that can reach the pages.
unsafe impl Send for Arena {}

impl Arena {
    /// Maps `len` bytes of zeroes without touching or reserving them.
    pub fn new(len: usize) -> io::Result<Self> {
        let mut map = MmapOptions::new().len(len.max(1)).no_reserve_swap().map_anon()?;
        let reach = (len as u64).saturating_sub(size_of::<u128>() as u64 - 1);
        Ok(Self { base: map.as_mut_ptr(), len, reach, map })
    }

    /// Bytes in the arena.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the arena holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Loads a little-endian word at `offset`, which may be unaligned. Out of range reads as zero-extended ones is never
    /// wanted here, so it is a caller's error and yields `None`.
    #[inline(always)]
    pub fn load<T: Word>(&self, offset: u64) -> Option<T> {
        if self.holds::<T>(offset) {
            // SAFETY: offset + size_of::<T>() <= len was checked, base points to len mapped readable bytes for as long
            // as self lives, and every bit pattern is a valid integer.
            Some(unsafe { self.base.add(offset as usize).cast::<T>().read_unaligned() }.le())
        } else {
            None
        }
    }

    /// Stores a little-endian word at `offset`, which may be unaligned; false if out of range.
    #[inline(always)]
    pub fn store<T: Word>(&mut self, offset: u64, value: T) -> bool {
        let fits = self.holds::<T>(offset);
        if fits {
            // SAFETY: as in `load`, and &mut self makes this the only access.
            unsafe { self.base.add(offset as usize).cast::<T>().write_unaligned(value.le()) };
        }
        fits
    }

    #[inline(always)]
    fn holds<T: Word>(&self, offset: u64) -> bool {
        const { assert!(size_of::<T>() <= size_of::<u128>()) };
        // offset + size <= offset + 16 <= reach + 15 <= len.
        if offset < self.reach {
            return true;
        }
        near_end();
        offset <= (self.len as u64).wrapping_sub(size_of::<T>() as u64) && size_of::<T>() <= self.len
    }

    /// The bytes in a range, or `None` if it leaves the arena.
    pub fn bytes(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let end = usize::try_from(offset).ok()?.checked_add(len)?;
        if end > self.len {
            return None;
        }
        // SAFETY: the range lies within the mapping, which lives as long as the returned borrow of self.
        Some(unsafe { std::slice::from_raw_parts(self.base.add(offset as usize), len) })
    }

    /// Moves bytes from one range to another, which may overlap; false if either leaves the arena.
    pub fn move_bytes(&mut self, to: u64, from: u64, len: usize) -> bool {
        if self.bytes(to, len).is_none() || self.bytes(from, len).is_none() {
            return false;
        }
        let whole = self.len;
        if let Some(all) = self.bytes_mut(0, whole) {
            let from = from as usize;
            all.copy_within(from..from + len, to as usize);
        }
        true
    }

    /// Zeroes a range, and has the host take back what memory lies wholly within it; what leaves the arena is left out.
    pub fn clear(&mut self, offset: u64, len: usize) {
        let offset = (offset as usize).min(self.len);
        let end = offset.saturating_add(len).min(self.len);
        let host = rustix::param::page_size();
        let whole = offset.next_multiple_of(host)..end / host * host;
        if whole.is_empty() || !self.discard(whole.clone()) {
            self.zero(offset..end);
            return;
        }
        self.zero(offset..whole.start);
        self.zero(whole.end..end);
    }

    fn zero(&mut self, range: Range<usize>) {
        if let Some(bytes) = self.bytes_mut(range.start as u64, range.len()) {
            bytes.fill(0);
        }
    }

    /// Gives these bytes, which are whole pages of the host, back to it; false if they are still there as they were.
    fn discard(&mut self, range: Range<usize>) -> bool {
        // Only Linux says that such pages read as zeroes afterwards. It refuses for pages that are locked.
        if !cfg!(target_os = "linux") {
            return false;
        }
        // SAFETY: the range lies within the mapping, which is private and anonymous: its pages are zeroes afterwards, as
        // if they had been stored, and &mut self means that nobody borrows them.
        unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len()) }.is_ok()
    }

    /// The bytes in a range, writable, or `None` if it leaves the arena.
    pub fn bytes_mut(&mut self, offset: u64, len: usize) -> Option<&mut [u8]> {
        let end = usize::try_from(offset).ok()?.checked_add(len)?;
        if end > self.len {
            return None;
        }
        // SAFETY: as in `bytes`; &mut self makes the slice exclusive.
        Some(unsafe { std::slice::from_raw_parts_mut(self.base.add(offset as usize), len) })
    }
}

/// Says to the compiler that whoever calls it does so rarely.
#[cold]
#[inline]
fn near_end() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_little_endian_and_may_be_unaligned() {
        let mut arena = Arena::new(64).unwrap();
        assert!(arena.store(3, 0x1122_3344u32));
        assert_eq!(arena.load::<u8>(3), Some(0x44));
        assert_eq!(arena.load::<u32>(3), Some(0x1122_3344));
    }

    #[test]
    fn what_is_cleared_is_zero_and_its_neighbours_are_not() {
        let mut arena = Arena::new(0x4_0000).unwrap();
        arena.bytes_mut(0, 0x4_0000).unwrap().fill(0xff);
        for (at, len) in [(5, 3), (0x1_0ff0, 0x1_0020), (0x3_fff0, usize::MAX)] {
            arena.clear(at, len);
        }
        let zeroes = [5..8, 0x1_0ff0..0x2_1010, 0x3_fff0..0x4_0000];
        let bytes = arena.bytes(0, 0x4_0000).unwrap();
        assert!((0..).zip(bytes).all(|(at, byte)| (*byte == 0) == zeroes.iter().any(|range| range.contains(&at))));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_cleared_takes_no_memory_of_the_host() {
        const LEN: usize = 256 << 20;
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
            line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
        };
        let mut arena = Arena::new(LEN).unwrap();
        arena.bytes_mut(0, LEN).unwrap().fill(1);
        let before = resident();
        arena.clear(0, LEN);
        let after = resident();
        assert!(before > after + LEN / 2, "{before} and then {after}");
        assert_eq!((arena.load::<u64>(0), arena.load::<u8>(LEN as u64 - 1)), (Some(0), Some(0)));
    }

    #[test]
    fn nothing_outside_is_reached() {
        let mut arena = Arena::new(16).unwrap();
        assert_eq!(arena.load::<u64>(8), Some(0));
        assert_eq!(arena.load::<u64>(9), None);
        assert_eq!(arena.load::<u8>(u64::MAX), None);
        assert!(!arena.store(13, 0u32));
        assert!(arena.bytes(8, 9).is_none());
        assert!(arena.bytes_mut(u64::MAX, 2).is_none());
    }
}
