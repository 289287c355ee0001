//! Writing at places of a dump, as it lies in a file or flattened into a stream.

use super::flattened;
use crate::{DumpError, Progress, Target};

/// The dump's file as its readers see it.
pub(super) struct Places<'a> {
    target: &'a mut Target,
    progress: &'a Progress,
    flattened: bool,
}

impl<'a> Places<'a> {
    pub(super) fn raw(target: &'a mut Target, progress: &'a Progress) -> Self {
        Self { target, progress, flattened: false }
    }

    pub(super) fn flattened(target: &'a mut Target, progress: &'a Progress) -> Result<Self, DumpError> {
        target.append(&flattened::header(), progress)?;
        Ok(Self { target, progress, flattened: true })
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DumpError> {
        if !self.flattened {
            return self.target.write_at(offset, bytes, self.progress);
        }
        self.target.append(&flattened::segment(offset, bytes.len() as u64), self.progress)?;
        self.target.append(bytes, self.progress)
    }

    pub(super) fn finish(self) -> Result<(), DumpError> {
        if self.flattened { self.target.append(&flattened::end(), self.progress) } else { Ok(()) }
    }
}

/// Bytes that follow one another, collected until they are worth a write.
pub(super) struct Run {
    offset: u64,
    held: Vec<u8>,
    enough: usize,
}

impl Run {
    /// Bytes from `offset` on, written when there are `enough`.
    pub(super) fn at(offset: u64, enough: usize) -> Self {
        Self { offset, held: Vec::new(), enough }
    }

    /// The offset of what is put next.
    pub(super) fn end(&self) -> u64 {
        self.offset + self.held.len() as u64
    }

    pub(super) fn put(&mut self, mut bytes: &[u8], places: &mut Places<'_>) -> Result<(), DumpError> {
        while self.held.len() + bytes.len() >= self.enough {
            let (now, later) = bytes.split_at(self.enough - self.held.len());
            self.held.extend_from_slice(now);
            self.flush(places)?;
            bytes = later;
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn flush(&mut self, places: &mut Places<'_>) -> Result<(), DumpError> {
        if !self.held.is_empty() {
            places.write(self.offset, &self.held)?;
            self.offset = self.end();
            self.held.clear();
        }
        Ok(())
    }
}
