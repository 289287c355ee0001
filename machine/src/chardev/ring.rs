//! Memory that keeps what the guest wrote last, until somebody takes it out.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// A ring buffer.
#[derive(Debug)]
pub struct Ring {
    bytes: Mutex<VecDeque<u8>>,
    size: usize,
}

impl Ring {
    /// An empty one of so many bytes.
    pub fn new(size: usize) -> Self {
        Self { bytes: Mutex::default(), size }
    }

    /// Writes; what is oldest makes room.
    pub fn write(&self, data: &[u8]) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.extend(&data[data.len().saturating_sub(self.size)..]);
        let excess = bytes.len().saturating_sub(self.size);
        bytes.drain(..excess);
    }

    /// Takes out what is oldest, at most so many bytes.
    pub fn take(&self, most: usize) -> Vec<u8> {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let count = most.min(bytes.len());
        bytes.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_bytes_make_room_and_are_taken_first() {
        let ring = Ring::new(4);
        ring.write(b"abc");
        ring.write(b"def");
        assert_eq!(ring.take(1), b"c");
        ring.write(b"0123456789");
        assert_eq!(ring.take(100), b"6789");
        assert_eq!(ring.take(100), b"");
    }
}
