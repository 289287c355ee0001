//! Writing at places of a dump, as it lies in a file or flattened into a stream.

use super::buffer::Buffer;
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

    /// Writes pieces, one after the other, from `offset` on. `len` is what they are together.
    fn write(&mut self, offset: u64, pieces: &[Buffer], len: u64) -> Result<(), DumpError> {
        if !self.flattened {
            return self.target.write_at(offset, pieces, self.progress);
        }
        self.target.append(&flattened::segment(offset, len), self.progress)?;
        self.target.append_all(pieces, self.progress)
    }

    pub(super) fn finish(self) -> Result<(), DumpError> {
        if self.flattened { self.target.append(&flattened::end(), self.progress) } else { Ok(()) }
    }
}

/// How large a buffer is worth having of its own.
const BUFFER: usize = 256 << 10;
/// With so much in it, a buffer is written as it is. What is less is copied to the end of the one before: large buffers with
/// little in them would be many, and memory has a bound.
const FULL_ENOUGH: usize = BUFFER / 3;

/// Bytes that follow one another, collected until they are worth a write.
pub(super) struct Run {
    offset: u64,
    held: Vec<Buffer>,
    len: usize,
    enough: usize,
}

impl Run {
    /// Bytes from `offset` on, written when there are `enough`.
    pub(super) fn at(offset: u64, enough: usize) -> Self {
        Self { offset, held: Vec::new(), len: 0, enough }
    }

    /// The offset of what is put next.
    pub(super) fn end(&self) -> u64 {
        self.offset + self.len as u64
    }

    /// Puts bytes at the end; gives back buffers that are of no more use here.
    pub(super) fn put(&mut self, bytes: Buffer, places: &mut Places<'_>) -> Result<Vec<Buffer>, DumpError> {
        self.len += bytes.len();
        let mut free = Vec::new();
        match self.held.last_mut() {
            Some(last) if bytes.len() < FULL_ENOUGH && last.capacity() - last.len() >= bytes.len() => {
                last.append(bytes.as_ref());
                free.push(bytes);
            }
            _ if bytes.len() < BUFFER / 2 && bytes.capacity() < BUFFER => {
                let mut buffer = Buffer::with_capacity(BUFFER);
                buffer.append(bytes.as_ref());
                self.held.push(buffer);
            }
            _ => self.held.push(bytes),
        }
        if self.len >= self.enough {
            free.extend(self.flush(places)?);
        }
        Ok(free)
    }

    /// Writes what there is, and gives the buffers back.
    pub(super) fn flush(&mut self, places: &mut Places<'_>) -> Result<Vec<Buffer>, DumpError> {
        if self.len > 0 {
            places.write(self.offset, &self.held, self.len as u64)?;
            self.offset = self.end();
            self.len = 0;
        }
        Ok(std::mem::take(&mut self.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn what_is_put_is_written_in_order_in_large_pieces_whatever_it_came_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let (mut target, progress) = (Target::create(&path).unwrap(), Progress::default());
        let mut expected = vec![0; 5];
        let mut places = Places::raw(&mut target, &progress);
        let mut run = Run::at(5, 1 << 20);
        let mut held = 0;
        for (number, len) in [1, 0, 70_000, 300_000, 3, BUFFER, 1 << 20, 17].into_iter().cycle().take(64).enumerate() {
            let mut piece = Buffer::with_capacity(if number % 3 == 0 { BUFFER.max(len) } else { len });
            piece.append(&vec![number as u8; len]);
            expected.extend_from_slice(piece.as_ref());
            run.put(piece, &mut places).unwrap();
            assert_eq!(run.end(), expected.len() as u64);
            assert!(run.len < 1 << 20);
            held = held.max(run.held.iter().map(Buffer::capacity).sum());
        }
        run.flush(&mut places).unwrap();
        places.finish().unwrap();
        target.commit().unwrap();
        let mut written = Vec::new();
        std::fs::File::open(path).unwrap().read_to_end(&mut written).unwrap();
        assert!(written == expected);
        assert!(held <= 3 << 20, "buffers of {held} bytes for at most 1 MiB");
    }
}
