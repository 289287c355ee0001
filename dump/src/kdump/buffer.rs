//! Buffers that pages are compressed into and written from, without a copy in between.

use crate::codec::ROOM;
use crate::pages::BATCH;
use std::sync::{Mutex, PoisonError};

/// How large a buffer of a batch is: all of its pages as they are, and room for the last one to be tried.
const LEN: usize = BATCH as usize + ROOM;

/// Bytes, of which the first are of use. The others have been used before, or are zero: filling a buffer again costs nothing.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    len: usize,
}

impl Buffer {
    /// One with room for so much.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity], len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Appends what `put` puts at the beginning of the room that is left, and says how much that is.
    pub(super) fn fill(&mut self, put: impl FnOnce(&mut [u8]) -> usize) -> usize {
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        let len = put(room).min(room.len());
        self.len += len;
        len
    }

    /// Appends bytes for which there is room.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.fill(|room| {
            room[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        });
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { len: bytes.len(), bytes }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Buffers of batches that are written and free again: memory that the host has given once is not asked for, page by page, a
/// second time.
#[derive(Default)]
pub(super) struct Buffers(Mutex<Vec<Buffer>>);

impl Buffers {
    /// An empty one, with room for a batch.
    pub(super) fn take(&self) -> Buffer {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.map_or_else(|| Buffer::with_capacity(LEN), |free| Buffer { len: 0, ..free })
    }

    pub(super) fn give_back(&self, written: Vec<Buffer>) {
        let batches = written.into_iter().filter(|buffer| buffer.capacity() == LEN);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(batches);
    }
}
