//! Raw images: the file's bytes are the disk's.

use super::super::page_cache::Cached;
use super::Image;
use super::probe::{self, HEAD_BYTES};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// The unit that a disk's length is counted in.
const SECTOR: u64 = 512;
/// How many zeroes are written at once where the host cannot make a range zero by itself.
const ZEROES: usize = 64 << 10;

/// A file or block device. What the last sector has beyond the file's end reads as zeroes.
pub struct Raw {
    file: File,
    len: u64,
    /// The format was guessed: a guest must not be able to make the next start guess another one.
    guessed: bool,
}

impl Raw {
    /// The image in `file`; `guessed` if nobody said that it is raw.
    pub fn new(mut file: File, guessed: bool) -> io::Result<Self> {
        // Of a block device only seeking tells the length.
        let len = file.seek(SeekFrom::End(0))?.next_multiple_of(SECTOR);
        Ok(Self { file, len, guessed })
    }

    fn write_data_zeroes(&self, mut offset: u64, mut len: u64) -> io::Result<()> {
        let zeroes = vec![0; ZEROES.min(len as usize)];
        while len > 0 {
            let piece = len.min(zeroes.len() as u64);
            self.file.write_all_at(&zeroes[..piece as usize], offset)?;
            offset += piece;
            len -= piece;
        }
        Ok(())
    }

    fn would_change_format(&self, offset: u64, from: &[u8]) -> io::Result<bool> {
        let at = offset as usize;
        if !self.guessed || at >= HEAD_BYTES {
            return Ok(false);
        }
        let mut head = vec![0; HEAD_BYTES];
        read_to_end_of_file(&self.file, 0, &mut head)?;
        let changed = from.len().min(HEAD_BYTES - at);
        head[at..at + changed].copy_from_slice(&from[..changed]);
        Ok(probe::format(&head) != probe::Format::Raw)
    }
}

/// Reads what there is and leaves zeroes for the rest.
pub(super) fn read_to_end_of_file(file: &File, mut offset: u64, mut into: &mut [u8]) -> io::Result<()> {
    while !into.is_empty() {
        match file.read_at(into, offset) {
            Ok(0) => {
                into.fill(0);
                return Ok(());
            }
            Ok(read) => {
                offset += read as u64;
                into = &mut into[read..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes a range zero by the host's own means, within the file; `false` where it has none.
pub(super) fn zero_range(file: &File, offset: u64, len: u64, unmap: bool) -> io::Result<bool> {
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let ways = if unmap { [hole, FallocateFlags::ZERO_RANGE] } else { [FallocateFlags::ZERO_RANGE; 2] };
    for way in ways {
        match rustix::fs::fallocate(file, way, offset, len) {
            Ok(()) => return Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::NODEV) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

impl Image for Raw {
    fn len(&self) -> u64 {
        self.len
    }

    fn cached(&self) -> Option<Cached> {
        Cached::of(&self.file)
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        read_to_end_of_file(&self.file, offset, into)
    }

    fn write(&mut self, offset: u64, from: &[u8]) -> io::Result<()> {
        if self.would_change_format(offset, from)? {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the write would make the image look like one of another format; say format=raw to allow it",
            ));
        }
        self.file.write_all_at(from, offset)
    }

    fn write_zeroes(&mut self, offset: u64, len: u64, unmap: bool) -> io::Result<()> {
        if len == 0 || zero_range(&self.file, offset, len, unmap)? {
            return Ok(());
        }
        self.write_data_zeroes(offset, len)
    }

    fn resize(&mut self, bytes: u64) -> io::Result<()> {
        if !self.file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "Resizing a device is not supported"));
        }
        self.file.set_len(bytes)?;
        self.len = bytes.next_multiple_of(SECTOR);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}
