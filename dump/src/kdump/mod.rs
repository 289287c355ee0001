//! makedumpfile's compressed format, header version 6 (makedumpfile's IMPLEMENTATION file; crash's diskdump.h).
//!
//! A file is blocks of 4096 bytes: the header, the sub-header with the notes, two bitmaps of the pages that exist and of those
//! that are there (the same here, since none is left out), a descriptor for each page, and the pages.

mod buffer;
mod flattened;
pub(crate) mod header;
mod places;

use crate::codec::{Codec, Compressor};
use crate::pages::{Batches, is_zero};
use crate::pipeline;
use crate::record::Record;
use crate::write::Job;
use crate::{DumpError, PAGE_SIZE, Range, Target};
use buffer::{Buffers, Piece, Pieces};
use header::{BLOCK, DESCRIPTOR_LEN, Geometry};
use places::{Places, Run};
use std::borrow::Cow;

pub(crate) use flattened::{END, HEADER_LEN, SEGMENT_LEN, SIGNATURE, TYPE, VERSION};

/// Pages' data that is collected before it is written. Readers of the flattened layout sort its segments, some of them
/// slowly: there should be few.
const DATA_RUN: usize = 8 << 20;
/// Descriptors that are collected before they are written.
const DESCRIPTOR_RUN: usize = 4 << 20;

/// What comes of a batch of pages.
struct Packed<'a> {
    /// Of each page: 0 if it is zero, the page's size if it is stored as it is, else its compressed size.
    sizes: Vec<u16>,
    pieces: Pieces<'a>,
}

/// Writes a dump.
pub(crate) fn write(job: &Job<'_>, codec: Codec, raw: bool, target: &mut Target) -> Result<(), DumpError> {
    let geometry = Geometry::of(job);
    let mut places = if raw { Places::raw(target, job.progress) } else { Places::flattened(target, job.progress)? };

    let mut head = Run::at(0, DATA_RUN);
    head.put(header::blocks(job, codec, &geometry).into(), &mut places)?;
    for _ in 0..2 {
        bitmap(job.ranges, &geometry, |piece| head.put(piece.into(), &mut places).map(drop))?;
    }
    head.flush(&mut places)?;

    let mut descriptors = Run::at(geometry.descriptors, DESCRIPTOR_RUN);
    let mut data = Run::at(geometry.data, DATA_RUN);
    // The page that all zero pages share.
    data.put(vec![0; BLOCK].into(), &mut places)?;
    let batches = Batches::busy(job.memory, job.ranges);
    let mut workers =
        (0..pipeline::workers()).map(|_| Compressor::new(codec)).collect::<Result<Vec<_>, DumpError>>()?;
    let buffers = Buffers::default();
    let work = |compressor: &mut Compressor, number| pack(job, compressor, batches.get(number), &buffers);
    pipeline::in_order(batches.count(), &mut workers, work, |packed| {
        let packed = packed?;
        let mut record = Record::with_room(packed.sizes.len() * DESCRIPTOR_LEN);
        let mut offset = data.end();
        for size in &packed.sizes {
            match usize::from(*size) {
                0 => descriptor(&mut record, geometry.data, BLOCK, 0),
                BLOCK => descriptor(&mut record, offset, BLOCK, 0),
                size => descriptor(&mut record, offset, size, codec.flag()),
            }
            offset += u64::from(*size);
        }
        descriptors.put(record.finish().into(), &mut places)?;
        buffers.give_back(data.put(packed.pieces, &mut places)?);
        job.progress.advance(packed.sizes.len() as u64 * PAGE_SIZE);
        Ok(())
    })?;
    descriptors.flush(&mut places)?;
    data.flush(&mut places)?;
    places.finish()
}

/// Compresses a batch of pages. What does not compress is written from guest memory, if that stands still.
fn pack<'a>(
    job: &Job<'a>,
    compressor: &mut Compressor,
    batch: Range,
    buffers: &Buffers,
) -> Result<Packed<'a>, DumpError> {
    if job.memory.untouched(batch.start, batch.len) {
        let sizes = vec![0; (batch.len / PAGE_SIZE) as usize];
        return Ok(Packed { sizes, pieces: Pieces::default() });
    }
    let bytes = job.memory.read(batch.start, batch.len as usize);
    if bytes.len() as u64 != batch.len {
        return Err(DumpError::Memory(batch.start));
    }
    let still = match bytes {
        Cow::Borrowed(still) => still,
        Cow::Owned(_) => &[],
    };
    let mut packed = Packed { sizes: Vec::with_capacity(bytes.len() / BLOCK), pieces: Pieces::of(still) };
    // Of the pages before in this batch, so that the file is the same whoever worked on what.
    let mut doubtful = false;
    for (page, at) in bytes.chunks_exact(BLOCK).zip((0..).step_by(BLOCK)) {
        if is_zero(page) {
            packed.sizes.push(0);
            continue;
        }
        let Pieces { made, .. } = &mut packed.pieces;
        if made.capacity() == 0 {
            *made = buffers.take();
        }
        let from = made.len();
        let size = made.fill(|room| compressor.pack(page, doubtful, room));
        doubtful = size.is_none();
        packed.sizes.push(size.unwrap_or(BLOCK) as u16);
        let piece = match size {
            Some(size) => Piece::Made(from, from + size),
            None if !still.is_empty() => Piece::Memory(at, at + BLOCK),
            None => {
                made.append(page);
                Piece::Made(from, from + BLOCK)
            }
        };
        packed.pieces.push(piece);
    }
    Ok(packed)
}

/// A page's descriptor (`struct page_desc`).
fn descriptor(record: &mut Record, offset: u64, size: usize, flags: u32) {
    record.u64(offset).u32(size as u32).u32(flags).u64(0);
    debug_assert_eq!(record.len() % DESCRIPTOR_LEN, 0);
}

/// One bitmap, a bit for each page frame from 0 on, lowest bit first, in pieces.
fn bitmap(
    ranges: &[Range],
    geometry: &Geometry,
    mut put: impl FnMut(Vec<u8>) -> Result<(), DumpError>,
) -> Result<(), DumpError> {
    const PIECE: u64 = 256 << 10;
    let len = geometry.bitmap_blocks / 2 * BLOCK as u64;
    let mut at = 0;
    while at < len {
        let mut piece = vec![0; PIECE.min(len - at) as usize];
        let (first, after) = (at * 8, (at + piece.len() as u64) * 8);
        let begin = ranges.partition_point(|range| range.end() / PAGE_SIZE <= first);
        for range in &ranges[begin..] {
            let (from, to) = (range.start / PAGE_SIZE, range.end() / PAGE_SIZE);
            if from >= after {
                break;
            }
            set_bits(&mut piece, from.max(first) - first, to.min(after) - first);
        }
        at += piece.len() as u64;
        put(piece)?;
    }
    Ok(())
}

/// Sets bits `from..to`.
fn set_bits(bytes: &mut [u8], from: u64, to: u64) {
    let mut bit = from;
    while bit < to {
        let at = (bit / 8) as usize;
        if bit.is_multiple_of(8) && to - bit >= 8 {
            let whole = (to / 8) as usize;
            bytes[at..whole].fill(0xff);
            bit = whole as u64 * 8;
        } else {
            bytes[at] |= 1 << (bit % 8);
            bit += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bitmap_has_a_bit_for_each_page_lowest_first() {
        let ranges = [Range { start: 0x3000, len: 0x1_2000 }, Range { start: 0x80_0000_0000, len: 0x1000 }];
        let max_mapnr = 0x800_0001u64;
        let geometry = Geometry::new(true, 0, max_mapnr, 0x13);
        let mut bytes = Vec::new();
        bitmap(&ranges, &geometry, |piece| {
            bytes.extend(piece);
            Ok(())
        })
        .unwrap();
        assert_eq!(bytes.len() as u64, max_mapnr.div_ceil(8 * 4096) * 4096);
        assert_eq!(bytes[..4], [0xf8, 0xff, 0x1f, 0]);
        assert_eq!(bytes[0x100_0000], 1);
        assert_eq!(bytes.iter().map(|b| b.count_ones()).sum::<u32>(), 0x13);
    }
}
