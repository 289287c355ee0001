//! Writing at places of a dump, as it lies in a file or flattened into a stream.

use super::buffer::{Buffer, Piece, Pieces};
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
    fn write(&mut self, offset: u64, pieces: &[&[u8]], len: u64) -> Result<(), DumpError> {
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
pub(super) struct Run<'a> {
    offset: u64,
    held: Vec<Buffer>,
    order: Vec<Held<'a>>,
    len: usize,
    enough: usize,
}

/// A piece of a run.
enum Held<'a> {
    /// Bytes of a buffer, from and to.
    Made(usize, usize, usize),
    Memory(&'a [u8]),
}

impl<'a> Run<'a> {
    /// Bytes from `offset` on, written when there are `enough`.
    pub(super) fn at(offset: u64, enough: usize) -> Self {
        Self { offset, held: Vec::new(), order: Vec::new(), len: 0, enough }
    }

    /// The offset of what is put next.
    pub(super) fn end(&self) -> u64 {
        self.offset + self.len as u64
    }

    /// Puts bytes at the end; gives back buffers that are of no more use here.
    pub(super) fn put(&mut self, pieces: Pieces<'a>, places: &mut Places<'_>) -> Result<Vec<Buffer>, DumpError> {
        let Pieces { made, memory, order } = pieces;
        let mut free = Vec::new();
        let moved_by = self.keep(made, &mut free);
        let buffer = self.held.len().saturating_sub(1);
        for piece in order {
            match piece {
                Piece::Made(from, to) => {
                    self.len += to - from;
                    let (from, to) = (from + moved_by, to + moved_by);
                    match self.order.last_mut() {
                        Some(Held::Made(of, _, end)) if (*of, *end) == (buffer, from) => *end = to,
                        _ => self.order.push(Held::Made(buffer, from, to)),
                    }
                }
                Piece::Memory(from, to) => {
                    let bytes = memory.get(from..to).unwrap_or_default();
                    self.len += bytes.len();
                    self.order.push(Held::Memory(bytes));
                }
            }
        }
        if self.len >= self.enough {
            free.extend(self.flush(places)?);
        }
        Ok(free)
    }

    /// Keeps bytes as the last buffer, or at the end of it: then they begin this far into it.
    fn keep(&mut self, bytes: Buffer, free: &mut Vec<Buffer>) -> usize {
        match self.held.last_mut() {
            _ if bytes.len() == 0 => free.push(bytes),
            Some(last) if bytes.len() < FULL_ENOUGH && last.capacity() - last.len() >= bytes.len() => {
                let at = last.len();
                last.append(bytes.as_ref());
                free.push(bytes);
                return at;
            }
            _ if bytes.len() < BUFFER / 2 && bytes.capacity() < BUFFER => {
                let mut buffer = Buffer::with_capacity(BUFFER);
                buffer.append(bytes.as_ref());
                self.held.push(buffer);
            }
            _ => self.held.push(bytes),
        }
        0
    }

    /// Writes what there is, and gives the buffers back.
    pub(super) fn flush(&mut self, places: &mut Places<'_>) -> Result<Vec<Buffer>, DumpError> {
        if self.len > 0 {
            let slice = |held: &Held<'a>| match *held {
                Held::Made(buffer, from, to) => self.held.get(buffer).and_then(|buffer| buffer.as_ref().get(from..to)),
                Held::Memory(bytes) => Some(bytes),
            };
            let slices: Vec<&[u8]> = self.order.iter().filter_map(slice).collect();
            places.write(self.offset, &slices, self.len as u64)?;
            self.offset = self.end();
            self.len = 0;
        }
        self.order.clear();
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
        let memory: Vec<u8> = (0..100_000u32).map(|at| (at * 7) as u8).collect();
        for (number, len) in [1, 0, 70_000, 300_000, 3, BUFFER, 1 << 20, 17].into_iter().cycle().take(64).enumerate() {
            let mut piece = Buffer::with_capacity(if number % 3 == 0 { BUFFER.max(len) } else { len });
            piece.append(&vec![number as u8; len]);
            let mut pieces = Pieces { made: piece, ..Pieces::of(&memory) };
            // Memory lies before, between and after what was made.
            let (half, some) = (len / 2, number * 1000);
            for piece in
                [Piece::Memory(0, 0), Piece::Made(0, half), Piece::Memory(some, some + 500), Piece::Made(half, len)]
            {
                pieces.push(piece);
            }
            expected.extend_from_slice(&pieces.made.as_ref()[..half]);
            expected.extend_from_slice(&memory[some..some + 500]);
            expected.extend_from_slice(&pieces.made.as_ref()[half..]);
            run.put(pieces, &mut places).unwrap();
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
