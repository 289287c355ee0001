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

    /// Appends what `put` puts at the beginning of the room that is left, and says how much that is; nothing, if so.
    pub(super) fn fill(&mut self, put: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<usize> {
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        let most = room.len();
        let len = put(room).map(|len| len.min(most));
        self.len += len.unwrap_or(0);
        len
    }

    /// Appends bytes for which there is room.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.fill(|room| {
            room[..bytes.len()].copy_from_slice(bytes);
            Some(bytes.len())
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

/// What is written of a batch of pages: what was made of them, and guest memory as it is.
#[derive(Debug, Default)]
pub(super) struct Pieces<'a> {
    pub(super) made: Buffer,
    /// The guest memory that pieces are of.
    pub(super) memory: &'a [u8],
    pub(super) order: Vec<Piece>,
}

/// A piece: bytes of the buffer or of the memory, from and to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Made(usize, usize),
    Memory(usize, usize),
}

impl<'a> Pieces<'a> {
    /// Of a batch of pages.
    pub(super) fn of(memory: &'a [u8]) -> Self {
        Self { memory, ..Self::default() }
    }

    /// Appends a piece. One that goes on where the last one ends becomes part of it.
    pub(super) fn push(&mut self, piece: Piece) {
        match (self.order.last_mut(), piece) {
            (Some(Piece::Made(_, to)), Piece::Made(from, end))
            | (Some(Piece::Memory(_, to)), Piece::Memory(from, end))
                if *to == from =>
            {
                *to = end;
            }
            _ => self.order.push(piece),
        }
    }
}

impl From<Vec<u8>> for Pieces<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        let order = vec![Piece::Made(0, bytes.len())];
        Self { made: bytes.into(), memory: &[], order }
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
