//! qcow2 images, by imago; what a header must say before imago sees it is checked here, to say what is wrong with it.

use super::{Header, Image};
use imago::FormatAccess;
use imago::file::File as Storage;
use imago::format::PreallocateMode;
use std::fs::File;
use std::io;

/// A qcow2 image, or a chain of backing images as imago reads them.
pub(super) type Access = FormatAccess<Storage>;

/// Length of a version 2 header.
const HEADER_V2: u64 = 72;
/// Length of a version 3 header without extra fields.
const HEADER_V3: u64 = 104;
const MAGIC: u32 = u32::from_be_bytes(*b"QFI\xfb");
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;
/// The largest L1 table that QEMU takes.
const MOST_L1_BYTES: u64 = 32 << 20;
const LONGEST_NAME: u32 = 1023;
const MOST_REFCOUNT_ORDER: u32 = 6;
/// Version 2 does not say it.
const REFCOUNT_ORDER_V2: u32 = 4;
/// Offsets in the header.
const COMPATIBLE_FEATURES: usize = 80;
const AUTOCLEAR_FEATURES: usize = 88;

/// Zeroes that are written as data.
static NOTHING: [u8; 64 << 10] = [0; 64 << 10];

/// Incompatible features that end an opening, by bit.
const INCOMPATIBLE: [(u64, &str); 4] = [
    (1 << 0, "it was not closed properly and its refcounts may be wrong ('qemu-img check -r all' repairs them)"),
    (1 << 1, "it is marked as corrupt ('qemu-img check -r all' may repair it)"),
    (1 << 3, "its compression is not built in this version of Lockstep"),
    (1 << 4, "its extended L2 entries are not built in this version of Lockstep"),
];

/// Reads and checks a header; the error says what is wrong.
pub(super) fn read_header(file: &File, file_len: u64) -> io::Result<Result<Header, String>> {
    let mut bytes = [0; HEADER_V3 as usize];
    super::raw::read_to_end_of_file(file, 0, &mut bytes)?;
    Ok(check(&bytes, file_len))
}

fn check(bytes: &[u8; HEADER_V3 as usize], file_len: u64) -> Result<Header, String> {
    let half = |at: usize| bytes[at..at + 4].iter().fold(0u32, |all, byte| all << 8 | u32::from(*byte));
    let whole = |at: usize| u64::from(half(at)) << 32 | u64::from(half(at + 4));
    let cut_short = |what: &str, end: u64| {
        if end > file_len {
            Err(format!("the file is cut short: {what} ends at {end}, the file at {file_len}"))
        } else {
            Ok(())
        }
    };
    cut_short("its header", HEADER_V2)?;
    let version = half(4);
    if half(0) != MAGIC {
        return Err("it does not begin as one".into());
    }
    if !(2..=3).contains(&version) {
        return Err(format!("version {version} is not known, only 2 and 3"));
    }
    let bits = half(20);
    if !CLUSTER_BITS.contains(&bits) {
        return Err(format!("its header is corrupt: clusters of 2^{bits} bytes"));
    }
    let cluster = 1u64 << bits;
    if half(32) != 0 {
        return Err("encryption is not built in this version of Lockstep".into());
    }
    let (name_at, name_len) = (whole(8), half(16));
    if name_at != 0 && (name_len > LONGEST_NAME || name_at.saturating_add(name_len.into()) > cluster) {
        return Err("its header is corrupt: the backing file's name does not fit the first cluster".into());
    }
    let (size, l1_at, l1_bytes) = (whole(24), whole(40), u64::from(half(36)) * 8);
    let needed = size.div_ceil(cluster * (cluster / 8)).saturating_mul(8);
    if l1_bytes < needed || l1_bytes > MOST_L1_BYTES || l1_at % cluster != 0 {
        return Err("its header is corrupt: the L1 table cannot hold the disk".into());
    }
    let refcounts = whole(48);
    if refcounts == 0 || refcounts % cluster != 0 || half(56) == 0 {
        return Err("its header is corrupt: there is no refcount table".into());
    }
    if version == 3 {
        cut_short("its header", HEADER_V3)?;
        let features = whole(72);
        if let Some((_, why)) = INCOMPATIBLE.iter().find(|(bit, _)| features & bit != 0) {
            return Err((*why).into());
        }
        if half(96) > MOST_REFCOUNT_ORDER || !(HEADER_V3..=cluster).contains(&half(100).into()) {
            return Err("its header is corrupt".into());
        }
    }
    cut_short("its L1 table", l1_at.saturating_add(l1_bytes))?;
    cut_short("its refcount table", refcounts.saturating_add(8))?;
    let feature = |at: usize, bit: u32| version == 3 && whole(at) >> bit & 1 != 0;
    Ok(Header {
        version,
        cluster,
        refcount_bits: 1 << if version == 3 { half(96) } else { REFCOUNT_ORDER_V2 },
        lazy_refcounts: feature(COMPATIBLE_FEATURES, 0),
        raw_data_file: feature(AUTOCLEAR_FEATURES, 1),
    })
}

/// A disk in a qcow2 image.
pub(super) struct Qcow2 {
    access: Access,
    /// There is an image behind it.
    backed: bool,
}

impl Qcow2 {
    pub(super) fn new(access: Access, backed: bool) -> Self {
        Self { access, backed }
    }
}

impl Image for Qcow2 {
    fn len(&self) -> u64 {
        self.access.size() & !511
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.access.read(into, offset)
    }

    fn write(&mut self, offset: u64, from: &[u8]) -> io::Result<()> {
        self.access.write(from, offset)
    }

    fn write_zeroes(&mut self, offset: u64, len: u64, unmap: bool) -> io::Result<()> {
        let unsupported =
            |done: &io::Result<()>| done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Unsupported);
        let done = if unmap { self.access.discard_to_zero(offset, len) } else { self.access.write_zeroes(offset, len) };
        if !unsupported(&done) {
            return done;
        }
        // Version 2 has no clusters of zeroes.
        let end = offset + len;
        let mut at = offset;
        while at < end {
            let piece = (end - at).min(NOTHING.len() as u64);
            self.access.write(&NOTHING[..piece as usize], at)?;
            at += piece;
        }
        Ok(())
    }

    fn resize(&mut self, bytes: u64) -> io::Result<()> {
        if !bytes.is_multiple_of(512) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "The new size must be a multiple of 512"));
        }
        // What the image behind has there must not show through.
        let zeroes = if self.backed { PreallocateMode::Zero } else { PreallocateMode::None };
        self.access.resize(bytes, zeroes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.access.flush()?;
        self.access.sync()
    }
}
