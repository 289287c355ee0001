//! A buffer that the driver made available: its parts of guest memory, those to be read before those to be written
//! (Virtual I/O Device 1.2, section 2.6).

use super::RingError;
use lockstep_fabric::Cx;
use serde::{Deserialize, Serialize};

/// The most descriptors in one buffer, whether in the ring or in a table of its own.
pub const DESCRIPTORS_MAX: usize = 1024;

/// The descriptor continues at the next.
pub(super) const NEXT: u16 = 1;
/// The device writes this part.
pub(super) const WRITE: u16 = 2;
/// The part is a table of descriptors.
pub(super) const INDIRECT: u16 = 4;

pub(super) const DESCRIPTOR_LEN: u64 = 16;

/// A descriptor as it lies in memory. The last two fields mean different things in the two kinds of ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptor {
    pub(super) address: u64,
    pub(super) len: u32,
    /// Bytes 12 and 13: flags in a split ring, the buffer's ID in a packed one.
    pub(super) third: u16,
    /// Bytes 14 and 15: the next descriptor in a split ring, flags in a packed one.
    pub(super) fourth: u16,
}

impl Descriptor {
    pub(super) fn fetch(cx: &mut Cx<'_>, table: u64, index: u64) -> Self {
        let mut bytes = [0; DESCRIPTOR_LEN as usize];
        cx.dma_read(table.wrapping_add(DESCRIPTOR_LEN.wrapping_mul(index)), &mut bytes);
        let raw = u128::from_le_bytes(bytes);
        Self { address: raw as u64, len: (raw >> 64) as u32, third: (raw >> 96) as u16, fourth: (raw >> 112) as u16 }
    }

    /// The number of descriptors in the table that this one describes.
    pub(super) fn table_entries(self) -> Result<u64, RingError> {
        let (entries, rest) = (u64::from(self.len) / DESCRIPTOR_LEN, u64::from(self.len) % DESCRIPTOR_LEN);
        if rest != 0 || entries == 0 || entries > DESCRIPTORS_MAX as u64 {
            return Err(RingError::Table);
        }
        Ok(entries)
    }
}

/// A part of guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// First physical address.
    pub address: u64,
    /// Length in bytes.
    pub len: u32,
}

/// A buffer, taken from a ring and not yet given back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// What the driver calls it.
    pub(super) id: u16,
    /// How many places of the ring it takes.
    pub(super) slots: u16,
    /// What the device reads, in order.
    pub readable: Vec<Segment>,
    /// What the device writes, in order.
    pub writable: Vec<Segment>,
}

impl Chain {
    pub(super) fn add(&mut self, descriptor: Descriptor, writable: bool) -> Result<(), RingError> {
        if self.segments() >= DESCRIPTORS_MAX {
            return Err(RingError::TooLong);
        }
        let segment = Segment { address: descriptor.address, len: descriptor.len };
        if writable {
            self.writable.push(segment);
        } else if self.writable.is_empty() {
            self.readable.push(segment);
        } else {
            return Err(RingError::Order);
        }
        Ok(())
    }

    /// How many bytes the device may read.
    pub fn readable_len(&self) -> u64 {
        total(&self.readable)
    }

    /// How many bytes the device may write.
    pub fn writable_len(&self) -> u64 {
        total(&self.writable)
    }

    /// How many parts it has.
    pub fn segments(&self) -> usize {
        self.readable.len() + self.writable.len()
    }

    /// Reads what lies `skip` bytes in; how many bytes there were.
    pub fn read(&self, cx: &mut Cx<'_>, skip: u64, into: &mut [u8]) -> usize {
        let mut done = 0;
        for (address, len) in pieces(&self.readable, skip, into.len()) {
            cx.dma_read(address, &mut into[done..done + len]);
            done += len;
        }
        done
    }

    /// Reads `len` bytes that lie `skip` bytes in, or as many as there are.
    pub fn read_vec(&self, cx: &mut Cx<'_>, skip: u64, len: u64) -> Vec<u8> {
        let mut bytes = vec![0; len.min(self.readable_len().saturating_sub(skip)) as usize];
        self.read(cx, skip, &mut bytes);
        bytes
    }

    /// Writes `skip` bytes in; how many bytes there was room for.
    pub fn write(&self, cx: &mut Cx<'_>, skip: u64, from: &[u8]) -> usize {
        let mut done = 0;
        for (address, len) in pieces(&self.writable, skip, from.len()) {
            cx.dma_write(address, &from[done..done + len]);
            done += len;
        }
        done
    }

    /// The parts of guest memory that the first `len` bytes go to that the device writes.
    pub fn writable_spans(&self, len: u64) -> Vec<(u64, u64)> {
        let wanted = usize::try_from(len).unwrap_or(usize::MAX);
        pieces(&self.writable, 0, wanted).map(|(address, len)| (address, len as u64)).collect()
    }
}

fn total(segments: &[Segment]) -> u64 {
    segments.iter().map(|s| u64::from(s.len)).sum()
}

/// The runs of memory that hold `wanted` bytes from `skip` on.
fn pieces(segments: &[Segment], mut skip: u64, mut wanted: usize) -> impl Iterator<Item = (u64, usize)> {
    segments.iter().filter_map(move |segment| {
        let skipped = skip.min(segment.len.into());
        skip -= skipped;
        let len = (u64::from(segment.len) - skipped).min(wanted as u64) as usize;
        wanted -= len;
        (len > 0).then_some((segment.address.wrapping_add(skipped), len))
    })
}
