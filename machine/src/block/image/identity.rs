//! What a recording writes down of the images that its run started from.

use super::raw::read_to_end_of_file;
use crate::host_file;
use rustix::fs::OFlags;
use std::io::{self, Seek, SeekFrom};
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

/// Bytes that are read at once.
const PIECE: u64 = 1 << 20;
/// How many pieces are read at most: a file of up to 256 MiB is read whole, a longer one at this many places.
const MOST_PIECES: u64 = 256;

/// A hash of a file's length and content.
///
/// Longer files are sampled at 256 evenly spread places of 1 MiB, the first and last one among them: a run must not start
/// with reading a disk of terabytes, and images that differ by what a guest did to them differ in many places.
pub fn of(path: &Path) -> io::Result<u128> {
    // Of a set there may be only the descriptor that is written to as well.
    let opened = host_file::open(path, OFlags::RDONLY);
    let mut file = opened.or_else(|_| host_file::open(path, OFlags::RDWR))?;
    let len = file.seek(SeekFrom::End(0))?;
    let pieces = len.div_ceil(PIECE);
    let read = pieces.min(MOST_PIECES);
    let mut hash = Xxh3::new();
    hash.update(&len.to_le_bytes());
    let mut bytes = vec![0; PIECE as usize];
    for index in 0..read {
        let number = if read > 1 { u128::from(index) * u128::from(pieces - 1) / u128::from(read - 1) } else { 0 };
        read_to_end_of_file(&file, number as u64 * PIECE, &mut bytes)?;
        hash.update(&bytes);
    }
    Ok(hash.digest128())
}
