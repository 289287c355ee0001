//! kdump-compressed files.

use super::notes::{self, Note};
use super::source::{Source, exactly};
use super::{ReadError, Verdict, codec_of, place};
use crate::codec::Decompressor;
use crate::kdump::header::{DESCRIPTOR_LEN, SIGNATURE, STATUS_AT, SUB_HEADER_LEN};
use crate::record::{u32_at, u64_at, word_at};
use crate::{DumpError, Progress, Range, pipeline};
use std::io;

/// The header (`struct disk_dump_header`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether its fields are those of a 64-bit kernel.
    pub wide: bool,
    /// `header_version`.
    pub version: u32,
    /// The six names of utsname.
    pub utsname: [String; 6],
    /// The codec's bit.
    pub status: u32,
    /// Bytes in a block, and in a page.
    pub block_size: u32,
    /// Blocks of the sub-header with the notes.
    pub sub_header_blocks: u32,
    /// Blocks of both bitmaps.
    pub bitmap_blocks: u32,
    /// `nr_cpus`.
    pub processors: u32,
    /// One more than the last page frame's number.
    pub max_mapnr: u64,
    /// What follows it.
    pub sub: SubHeader,
}

/// The sub-header (`struct kdump_sub_header`), as far as it is of use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubHeader {
    /// How far the kernel's image lies from where it was linked to.
    pub phys_base: i64,
    /// What was left out.
    pub dump_level: u32,
    /// Offset and length of the text of VMCOREINFO.
    pub vmcoreinfo: (u64, u64),
    /// Offset and length of the notes.
    pub notes: (u64, u64),
}

/// Bytes of notes and of VMCOREINFO that are read.
const MOST_NOTE_BYTES: u64 = 64 << 20;
/// Bytes of a bitmap that are read: 128 TiB of memory.
const MOST_BITMAP: u64 = 4 << 30;
/// Ranges that a bitmap may have.
const MOST_RANGES: usize = 1 << 21;
/// Where a header has its utsname.
const UTSNAME_AT: usize = 12;
const NAME_LEN: usize = 65;
/// Descriptors that a thread looks at in one go.
const DESCRIPTORS: u64 = 1024;

/// The pages that are there, in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pages {
    /// Page frame numbers `first..first + count`, and how many pages come before.
    runs: Vec<(u64, u64, u64)>,
    block: u64,
}

impl Pages {
    fn count(&self) -> u64 {
        self.runs.last().map_or(0, |(_, count, before)| before + count)
    }

    /// How many pages come before this one, if it is there.
    fn rank(&self, frame: u64) -> Option<u64> {
        let after = self.runs.partition_point(|(first, ..)| *first <= frame);
        let (first, count, before) = *self.runs.get(after.checked_sub(1)?)?;
        (frame - first < count).then_some(before + (frame - first))
    }

    /// The frame of the page before which so many come.
    fn frame(&self, rank: u64) -> u64 {
        let after = self.runs.partition_point(|(_, _, before)| *before <= rank);
        let run = after.checked_sub(1).and_then(|at| self.runs.get(at));
        run.map_or(0, |(first, _, before)| first + (rank - before))
    }

    pub(super) fn ranges(&self) -> Vec<Range> {
        let range = |(first, count, _): &(u64, u64, u64)| Range { start: first * self.block, len: count * self.block };
        self.runs.iter().map(range).collect()
    }
}

/// A page's descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Descriptor {
    offset: u64,
    size: u32,
    flags: u32,
}

impl Descriptor {
    fn of(bytes: &[u8]) -> Option<Self> {
        Some(Self { offset: u64_at(bytes, 0)?, size: u32_at(bytes, 8)?, flags: u32_at(bytes, 12)? })
    }
}

/// What finding pages takes.
pub(super) struct Finder {
    decompressor: Decompressor,
    stored: Vec<u8>,
}

impl Finder {
    pub(super) fn new() -> Self {
        Self { decompressor: Decompressor::new(), stored: Vec::new() }
    }
}

pub(super) struct Kdump {
    pub(super) header: Header,
    pub(super) notes: Vec<Note>,
    pub(super) vmcoreinfo: Option<String>,
    pub(super) pages: Pages,
    descriptors: u64,
    /// What was wrong with the parts before the pages.
    faults: Vec<&'static str>,
}

impl Kdump {
    pub(super) fn of(source: &dyn Source) -> Result<Self, ReadError> {
        let header = header(source)?;
        let block = u64::from(header.block_size);
        let mut faults = Vec::new();
        let mut piece = |(offset, len): (u64, u64), what| -> io::Result<Vec<u8>> {
            let bytes = if len <= MOST_NOTE_BYTES { exactly(source, offset, len as usize)? } else { None };
            if bytes.is_none() {
                faults.push(what);
            }
            Ok(bytes.unwrap_or_default())
        };
        let notes = notes::parse(&piece(header.sub.notes, "the notes are beyond the file's end")?);
        let vmcoreinfo = piece(header.sub.vmcoreinfo, "VMCOREINFO is beyond the file's end")?;
        let vmcoreinfo = (!vmcoreinfo.is_empty()).then(|| String::from_utf8_lossy(&vmcoreinfo).into_owned());
        let bitmaps = (1 + u64::from(header.sub_header_blocks)) * block;
        let len = u64::from(header.bitmap_blocks) / 2 * block;
        let pages = bitmap(source, bitmaps + len, len, &header)?;
        if bitmap(source, bitmaps, len, &header)? != pages {
            faults.push("the two bitmaps differ");
        }
        let descriptors = bitmaps + u64::from(header.bitmap_blocks) * block;
        let there = source.end()?.saturating_sub(descriptors);
        if pages.count().checked_mul(DESCRIPTOR_LEN as u64).is_none_or(|len| len > there) {
            return Err(ReadError::Malformed("page descriptors are beyond the file's end"));
        }
        Ok(Self { header, notes, vmcoreinfo, pages, descriptors, faults })
    }

    pub(super) fn read(&self, source: &dyn Source, finder: &mut Finder, address: u64, into: &mut [u8]) -> bool {
        let block = u64::from(self.header.block_size);
        let mut page = vec![0; block as usize];
        let mut done = 0;
        while done < into.len() {
            let Some(at) = address.checked_add(done as u64) else { return false };
            if !self.page(source, finder, at / block, &mut page) {
                return false;
            }
            let from = &page[(at % block) as usize..];
            let len = from.len().min(into.len() - done);
            into[done..done + len].copy_from_slice(&from[..len]);
            done += len;
        }
        true
    }

    fn page(&self, source: &dyn Source, finder: &mut Finder, frame: u64, page: &mut [u8]) -> bool {
        let Some(rank) = self.pages.rank(frame) else { return false };
        let mut bytes = [0; DESCRIPTOR_LEN];
        let at = self.descriptors + rank * DESCRIPTOR_LEN as u64;
        source.read_at(at, &mut bytes).is_ok_and(|len| len == bytes.len())
            && Descriptor::of(&bytes).is_some_and(|descriptor| fetch(source, finder, descriptor, page).is_ok())
    }

    /// Looks at every descriptor and, if it is to be `thorough`, at its page.
    pub(super) fn verify(
        &self,
        source: &dyn Source,
        thorough: bool,
        progress: &Progress,
    ) -> Result<Verdict, DumpError> {
        let mut verdict = Verdict::default();
        for fault in &self.faults {
            verdict.fault(|| (*fault).to_owned());
        }
        let count = self.pages.count();
        let block = u64::from(self.header.block_size);
        progress.begin(count.saturating_mul(block));
        let first = self.descriptor(source, 0);
        let check = Check { kdump: self, source, thorough, shared: first.map_or(0, |_| self.data()) };
        let mut finders: Vec<_> = (0..pipeline::workers()).map(|_| Finder::new()).collect();
        let work = |finder: &mut Finder, piece: u64| {
            let from = piece * DESCRIPTORS;
            check.descriptors(finder, from, DESCRIPTORS.min(count - from))
        };
        pipeline::in_order(count.div_ceil(DESCRIPTORS), &mut finders, work, |seen| {
            progress.check()?;
            progress.advance(seen.pages * block);
            verdict.add(seen);
            Ok(())
        })?;
        Ok(verdict)
    }

    fn descriptor(&self, source: &dyn Source, rank: u64) -> Option<Descriptor> {
        let mut bytes = [0; DESCRIPTOR_LEN];
        let len = source.read_at(self.descriptors + rank * DESCRIPTOR_LEN as u64, &mut bytes).ok()?;
        Descriptor::of(bytes.get(..len)?)
    }

    /// Where pages begin, and where writers put the page that all zero pages share.
    fn data(&self) -> u64 {
        self.descriptors + self.pages.count() * DESCRIPTOR_LEN as u64
    }
}

struct Check<'a> {
    kdump: &'a Kdump,
    source: &'a dyn Source,
    thorough: bool,
    /// Offset of the zero page that others share.
    shared: u64,
}

impl Check<'_> {
    fn descriptors(&self, finder: &mut Finder, from: u64, count: u64) -> Verdict {
        let mut seen = Verdict::default();
        let mut bytes = vec![0; count as usize * DESCRIPTOR_LEN];
        let at = self.kdump.descriptors + from * DESCRIPTOR_LEN as u64;
        let len = self.source.read_at(at, &mut bytes).unwrap_or(0);
        let mut page = vec![0; self.kdump.header.block_size as usize];
        let mut zero_seen = None;
        for (rank, bytes) in (from..from + count).zip(bytes.chunks_exact(DESCRIPTOR_LEN)) {
            seen.pages += 1;
            let index = (rank - from) as usize;
            let Some(descriptor) = Descriptor::of(bytes).filter(|_| (index + 1) * DESCRIPTOR_LEN <= len) else {
                seen.fault(|| format!("the descriptor of page {rank} cannot be read"));
                continue;
            };
            let zero = descriptor.flags == 0 && descriptor.offset == self.shared;
            if let Err(what) = self.one(finder, descriptor, &mut page, zero && zero_seen == Some(true)) {
                let frame = self.kdump.pages.frame(rank);
                seen.fault(|| format!("page frame {frame:#x}: {what}"));
                continue;
            }
            if zero && self.thorough && zero_seen.is_none() {
                zero_seen = Some(crate::is_zero(&page));
            }
            match codec_of(descriptor.flags) {
                Ok(Some(codec)) => {
                    let (pages, bytes) = &mut seen.stored.compressed[place(codec)];
                    *pages += 1;
                    *bytes += u64::from(descriptor.size);
                }
                _ if zero && zero_seen != Some(false) => seen.stored.zero += 1,
                _ => seen.stored.plain += 1,
            }
        }
        seen
    }

    fn one(
        &self,
        finder: &mut Finder,
        descriptor: Descriptor,
        page: &mut [u8],
        known: bool,
    ) -> Result<(), &'static str> {
        if self.thorough && !known {
            return fetch(self.source, finder, descriptor, page);
        }
        sound(descriptor, page.len())?;
        let end = descriptor.offset.checked_add(descriptor.size.into());
        let there = self.source.end().unwrap_or(0);
        if end.is_some_and(|end| end <= there) { Ok(()) } else { Err(BEYOND) }
    }
}

const BEYOND: &str = "its data are beyond the file's end";

/// Whether a descriptor makes sense.
fn sound(descriptor: Descriptor, block: usize) -> Result<(), &'static str> {
    let codec = codec_of(descriptor.flags).map_err(|()| "its flags name no codec")?;
    match codec {
        None if descriptor.size as usize != block => Err("it is stored as it is, but in another size"),
        Some(_) if descriptor.size as usize > block || descriptor.size == 0 => Err("its size is out of range"),
        _ => Ok(()),
    }
}

/// Reads a page.
fn fetch(
    source: &dyn Source,
    finder: &mut Finder,
    descriptor: Descriptor,
    page: &mut [u8],
) -> Result<(), &'static str> {
    sound(descriptor, page.len())?;
    let len = descriptor.size as usize;
    let codec = codec_of(descriptor.flags).unwrap_or(None);
    let Some(codec) = codec else {
        return match source.read_at(descriptor.offset, page) {
            Ok(read) if read == page.len() => Ok(()),
            _ => Err(BEYOND),
        };
    };
    finder.stored.resize(len, 0);
    if source.read_at(descriptor.offset, &mut finder.stored).ok() != Some(len) {
        return Err(BEYOND);
    }
    let whole = finder.decompressor.decompress(codec, &finder.stored, page);
    if whole { Ok(()) } else { Err("it does not decompress to a page") }
}

fn header(source: &dyn Source) -> Result<Header, ReadError> {
    let mut block = vec![0; 4096];
    let len = source.read_at(0, &mut block)?;
    block.truncate(len);
    if !block.starts_with(SIGNATURE) {
        return Err(ReadError::NotADump);
    }
    // The header does not say how wide its fields are; only one of the two makes sense.
    let wide = [true, false].into_iter().find(|wide| {
        let field = |index: usize| u32_at(&block, STATUS_AT[usize::from(*wide)] + 4 * index).unwrap_or(0);
        field(1).is_power_of_two() && (1 << 12..=1 << 16).contains(&field(1)) && field(2) != 0
    });
    let wide = wide.ok_or(ReadError::Malformed("the header's block size makes no sense"))?;
    let class = usize::from(wide);
    let field = |index: usize| u32_at(&block, STATUS_AT[class] + 4 * index).unwrap_or(0);
    let name = |number: usize| {
        let bytes = block.get(UTSNAME_AT + NAME_LEN * number..UTSNAME_AT + NAME_LEN * (number + 1));
        let name = bytes.unwrap_or_default().split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    };
    let version = u32_at(&block, 8).unwrap_or(0);
    let block_size = field(1);
    let mut sub = vec![0; SUB_HEADER_LEN[class]];
    if source.read_at(block_size.into(), &mut sub)? < sub.len() {
        return Err(ReadError::Malformed("the sub-header is cut off"));
    }
    let (sub, max_mapnr_64) = sub_header(wide, &sub).ok_or(ReadError::Malformed("the sub-header is cut off"))?;
    Ok(Header {
        wide,
        version,
        utsname: std::array::from_fn(name),
        status: field(0),
        block_size,
        sub_header_blocks: field(2),
        bitmap_blocks: field(3),
        processors: field(9),
        max_mapnr: if version >= 6 { max_mapnr_64 } else { field(4).into() },
        sub,
    })
}

fn sub_header(wide: bool, bytes: &[u8]) -> Option<(SubHeader, u64)> {
    let word = |at| word_at(wide, bytes, at);
    let base = word(0)?;
    // Offsets are of 64 bits in both; lengths are not.
    let at: [usize; 5] = if wide { [8, 32, 40, 48, 56] } else { [4, 20, 28, 32, 40] };
    let sub = SubHeader {
        phys_base: if wide { base as i64 } else { i64::from(base as u32 as i32) },
        dump_level: u32_at(bytes, at[0])?,
        vmcoreinfo: (u64_at(bytes, at[1])?, word(at[2])?),
        notes: (u64_at(bytes, at[3])?, word(at[4])?),
    };
    Some((sub, u64_at(bytes, if wide { 96 } else { 72 })?))
}

/// The pages in a bitmap.
fn bitmap(source: &dyn Source, at: u64, len: u64, header: &Header) -> Result<Pages, ReadError> {
    let beyond = || ReadError::Malformed("the bitmaps are beyond the file's end");
    if at.checked_add(len).is_none_or(|end| end > source.end().unwrap_or(0)) {
        return Err(beyond());
    }
    if len > MOST_BITMAP {
        return Err(ReadError::Malformed("the bitmaps are too large"));
    }
    let mut pages = Pages { runs: Vec::new(), block: header.block_size.into() };
    let mut piece = vec![0; 1 << 18];
    let mut done = 0;
    while done < len {
        let wanted = (len - done).min(piece.len() as u64) as usize;
        if source.read_at(at + done, &mut piece[..wanted])? < wanted {
            return Err(beyond());
        }
        for (index, eight) in (done / 8..).zip(piece[..wanted].chunks_exact(8)) {
            add_bits(&mut pages, index * 64, u64_at(eight, 0).unwrap_or(0));
            if pages.runs.len() > MOST_RANGES {
                return Err(ReadError::Malformed("the bitmaps have too many ranges"));
            }
        }
        done += wanted as u64;
    }
    Ok(pages)
}

/// Adds the pages of 64 bits of a bitmap.
fn add_bits(pages: &mut Pages, first: u64, bits: u64) {
    let mut left = bits;
    let mut frame = first;
    while left != 0 {
        let gap = left.trailing_zeros();
        frame += u64::from(gap);
        left >>= gap;
        let count = left.trailing_ones();
        let before = pages.count();
        match pages.runs.last_mut() {
            Some((start, held, _)) if *start + *held == frame => *held += u64::from(count),
            _ => pages.runs.push((frame, count.into(), before)),
        }
        frame += u64::from(count);
        left = left.checked_shr(count).unwrap_or(0);
    }
}
