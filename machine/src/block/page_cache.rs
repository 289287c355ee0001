//! Reads that the host has in its page cache: done at once on the machine's own thread, since going to the drive's thread and
//! back takes longer than copying. Nothing is waited for: what is not in the cache goes the usual way.

use rustix::io::{ReadWriteFlags, preadv2};
use std::fs::File;
use std::io::IoSliceMut;

/// The most slices of one call (Linux's UIO_MAXIOV).
const IOV_MAX: usize = 1024;

/// Bytes of buffers that are kept for the next read.
const MOST_KEPT: usize = 4 << 20;

/// A file whose bytes are a disk's.
pub struct Cached {
    file: File,
}

impl Cached {
    /// Of an image's file, whatever else is done with it.
    pub fn of(file: &File) -> Option<Self> {
        Some(Self { file: file.try_clone().ok()? })
    }

    /// Fills `into`, one after the other, from `offset` on if all of it is in the cache.
    pub(super) fn read(&self, mut offset: u64, into: &mut [&mut [u8]]) -> bool {
        let mut slices: Vec<_> = into.iter_mut().map(|slice| IoSliceMut::new(slice)).collect();
        slices.chunks_mut(IOV_MAX).all(|slices| {
            let len: usize = slices.iter().map(|slice| slice.len()).sum();
            let read = preadv2(&self.file, slices, offset, ReadWriteFlags::NOWAIT);
            offset += len as u64;
            read == Ok(len)
        })
    }

    /// Whether the first and the last of so many bytes are in the cache.
    pub(super) fn seems_to_hold(&self, offset: u64, len: u64) -> bool {
        let holds = |at| self.read(at, &mut [&mut [0]]);
        len > 0 && holds(offset) && holds(offset + (len - 1))
    }
}

/// Buffers of requests that are done: a fresh one of a MiB costs as much to clear as to fill.
#[derive(Default)]
pub(super) struct Buffers {
    kept: Vec<Vec<u8>>,
}

impl Buffers {
    /// One of this length, holding anything.
    pub(super) fn take(&mut self, len: usize) -> Vec<u8> {
        let mut buffer = self.kept.pop().unwrap_or_default();
        buffer.resize(len, 0);
        buffer
    }

    /// Keeps one for later.
    pub(super) fn give(&mut self, buffer: Vec<u8>) {
        let kept: usize = self.kept.iter().map(Vec::capacity).sum();
        if kept + buffer.capacity() <= MOST_KEPT {
            self.kept.push(buffer);
        }
    }
}
