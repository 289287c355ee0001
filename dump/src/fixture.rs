//! Guests for tests: some ranges of memory, some pages of which hold something.

use crate::pages::BATCH;
use crate::{PAGE_SIZE, PhysicalMemory, Processors, Range, Registers};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Memory that is zero but for some pages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sparse {
    ranges: Vec<Range>,
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl Sparse {
    pub(crate) fn new(ranges: &[(u64, u64)]) -> Self {
        let ranges = ranges.iter().map(|(start, len)| Range { start: *start, len: *len }).collect();
        Self { ranges, pages: BTreeMap::new() }
    }

    /// Puts bytes at a physical address.
    pub(crate) fn put(&mut self, address: u64, bytes: &[u8]) {
        for (i, byte) in (0..).zip(bytes) {
            let at = address + i;
            let page = self.pages.entry(at / PAGE_SIZE).or_insert_with(|| vec![0; PAGE_SIZE as usize].into());
            page[(at % PAGE_SIZE) as usize] = *byte;
        }
    }

    pub(crate) fn put_u64(&mut self, address: u64, value: u64) {
        self.put(address, &value.to_le_bytes());
    }

    /// The bytes of a page.
    pub(crate) fn page(&self, number: u64) -> Vec<u8> {
        self.pages.get(&number).map_or_else(|| vec![0; PAGE_SIZE as usize], |page| page.to_vec())
    }
}

impl PhysicalMemory for Sparse {
    fn ranges(&self) -> Vec<Range> {
        self.ranges.clone()
    }

    fn read(&self, address: u64, len: usize) -> Cow<'_, [u8]> {
        let mut bytes = vec![0; len];
        let end = address + len as u64;
        for (number, page) in self.pages.range(address / PAGE_SIZE..end.div_ceil(PAGE_SIZE)) {
            let start = number * PAGE_SIZE;
            let (from, to) = (start.max(address), (start + PAGE_SIZE).min(end));
            let held = &page[(from - start) as usize..(to - start) as usize];
            bytes[(from - address) as usize..(to - address) as usize].copy_from_slice(held);
        }
        bytes.into()
    }
}

/// The same memory, lent as it stands, with what was never written known.
pub(crate) struct Lent(Vec<(Range, Vec<u8>)>);

impl Lent {
    pub(crate) fn of(memory: &Sparse) -> Self {
        Self(
            memory
                .ranges()
                .into_iter()
                .map(|range| (range, memory.read(range.start, range.len as usize).into()))
                .collect(),
        )
    }

    fn bytes(&self, address: u64, len: usize) -> &[u8] {
        let found = self.0.iter().find(|(range, _)| range.holds(address));
        found.and_then(|(range, bytes)| bytes.get((address - range.start) as usize..)?.get(..len)).unwrap_or_default()
    }
}

impl PhysicalMemory for Lent {
    fn ranges(&self) -> Vec<Range> {
        self.0.iter().map(|(range, _)| *range).collect()
    }

    fn read(&self, address: u64, len: usize) -> Cow<'_, [u8]> {
        let batch = len as u64 >= BATCH;
        assert!(!batch || !self.untouched(address, len as u64), "what was never written is not read");
        self.bytes(address, len).into()
    }

    fn untouched(&self, address: u64, len: u64) -> bool {
        self.bytes(address, len as usize).iter().all(|byte| *byte == 0)
    }

    fn read_heads(&self, address: u64, pages: usize, len: usize) -> Vec<u8> {
        (0..pages as u64).flat_map(|page| self.bytes(address + page * PAGE_SIZE, len)).copied().collect()
    }
}

/// Processors with given registers.
pub(crate) struct Fixed(pub(crate) Vec<Registers>);

impl Processors for Fixed {
    fn registers(&self) -> Vec<Registers> {
        self.0.clone()
    }
}

/// Bytes that do not compress, always the same.
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}
