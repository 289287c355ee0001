//! Temporary overlays: what was written over a base that stays as it is.

use super::Image;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes that are copied from the base together.
pub const CLUSTER: u64 = 64 << 10;

/// The unit that a disk's length is counted in.
const SECTOR: u64 = 512;

/// A cluster of zeroes, to write part of.
static NOTHING: [u8; CLUSTER as usize] = [0; CLUSTER as usize];

/// A written cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cluster {
    /// It reads as zeroes.
    Zeroes,
    /// It lies at this place of the file, counted in clusters.
    At(u64),
}

/// What an overlay holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The clusters that were written: numbers and data, `None` for zeroes.
    pub clusters: Vec<(u64, Option<Box<[u8]>>)>,
    /// The disk's length in bytes.
    pub len: u64,
    /// How many bytes of the base are seen.
    pub seen: u64,
}

/// A base and what was written over it, in a file that has no name and goes with the process.
pub struct Overlay {
    base: Box<dyn Image>,
    clusters: BTreeMap<u64, Cluster>,
    file: Option<File>,
    /// Places of the file that were used and are free again.
    free: Vec<u64>,
    /// Places of the file in use or free.
    places: u64,
    /// The disk's length.
    len: u64,
    /// How many bytes of the base are seen: its length, or that to which the disk was once cut.
    seen: u64,
}

impl Overlay {
    /// An overlay over `base` with nothing in it.
    pub fn new(base: Box<dyn Image>) -> Self {
        let len = base.len();
        Self { base, clusters: BTreeMap::new(), file: None, free: Vec::new(), places: 0, len, seen: len }
    }

    /// All that was written.
    pub fn contents(&mut self) -> io::Result<Contents> {
        let mut all = Vec::with_capacity(self.clusters.len());
        for (number, cluster) in &self.clusters {
            let data = match (cluster, &self.file) {
                (Cluster::At(place), Some(file)) => {
                    let mut data = vec![0; CLUSTER as usize].into_boxed_slice();
                    file.read_exact_at(&mut data, place * CLUSTER)?;
                    Some(data)
                }
                _ => None,
            };
            all.push((*number, data));
        }
        Ok(Contents { clusters: all, len: self.len, seen: self.seen })
    }

    /// Forgets what was written and takes this in its place.
    pub fn replace(&mut self, contents: &Contents) -> io::Result<()> {
        self.clusters.clear();
        self.free.clear();
        self.places = 0;
        (self.len, self.seen) = (contents.len, contents.seen.min(self.base.len()));
        for (number, data) in &contents.clusters {
            match data {
                Some(data) if data.len() as u64 == CLUSTER => self.store(*number, data)?,
                Some(_) => return Err(io::ErrorKind::InvalidData.into()),
                None => {
                    self.clusters.insert(*number, Cluster::Zeroes);
                }
            }
        }
        Ok(())
    }

    fn file(&mut self) -> io::Result<&File> {
        if self.file.is_none() {
            // As large as a disk: where the host keeps large temporary files, unless it was told otherwise.
            let here = std::env::var_os("TMPDIR").unwrap_or_else(|| "/var/tmp".into());
            self.file = Some(tempfile::tempfile_in(here).or_else(|_| tempfile::tempfile())?);
        }
        self.file.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The whole cluster as it reads now.
    fn load(&mut self, number: u64) -> io::Result<Vec<u8>> {
        let start = number * CLUSTER;
        let mut data = vec![0; CLUSTER as usize];
        match self.clusters.get(&number) {
            Some(Cluster::Zeroes) => {}
            Some(Cluster::At(place)) => {
                let at = place * CLUSTER;
                self.file()?.read_exact_at(&mut data, at)?;
            }
            None => {
                self.read_base(start, &mut data)?;
            }
        }
        Ok(data)
    }

    /// What is seen of the base, and zeroes behind.
    fn read_base(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let there = self.seen.saturating_sub(offset).min(into.len() as u64) as usize;
        let (seen, behind) = into.split_at_mut(there);
        behind.fill(0);
        if seen.is_empty() { Ok(()) } else { self.base.read(offset, seen) }
    }

    /// Writes a whole cluster, to where it is or to a new place.
    fn store(&mut self, number: u64, data: &[u8]) -> io::Result<()> {
        let place = match self.clusters.get(&number) {
            Some(Cluster::At(place)) => *place,
            _ => self.free.last().copied().unwrap_or(self.places),
        };
        self.file()?.write_all_at(data, place * CLUSTER)?;
        // Only what was written whole is there.
        if self.clusters.insert(number, Cluster::At(place)) != Some(Cluster::At(place)) && self.free.pop().is_none() {
            self.places += 1;
        }
        Ok(())
    }

    fn store_zeroes(&mut self, number: u64) {
        if let Some(Cluster::At(place)) = self.clusters.insert(number, Cluster::Zeroes) {
            self.free.push(place);
        }
    }
}

/// The parts of a range by cluster: number, first byte within, how many.
fn parts(offset: u64, len: u64) -> impl Iterator<Item = (u64, usize, usize)> {
    let end = offset.saturating_add(len);
    let mut at = offset;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let (number, within) = (at / CLUSTER, at % CLUSTER);
        let len = (CLUSTER - within).min(end - at);
        at += len;
        Some((number, within as usize, len as usize))
    })
}

impl Image for Overlay {
    fn len(&self) -> u64 {
        self.len
    }

    fn resize(&mut self, bytes: u64) -> io::Result<()> {
        let bytes = bytes.next_multiple_of(SECTOR);
        if bytes < self.len {
            // What is cut off is gone, and reads as zeroes should the disk grow again.
            let gone: Vec<_> = self.clusters.range(bytes.div_ceil(CLUSTER)..).map(|(number, _)| *number).collect();
            for number in gone {
                if let Some(Cluster::At(place)) = self.clusters.remove(&number) {
                    self.free.push(place);
                }
            }
            let (last, within) = (bytes / CLUSTER, bytes % CLUSTER);
            if within > 0 && self.clusters.contains_key(&last) {
                self.write(bytes, &NOTHING[within as usize..])?;
            }
            self.seen = self.seen.min(bytes);
        }
        self.len = bytes;
        Ok(())
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let mut rest = into;
        for (number, within, len) in parts(offset, rest.len() as u64) {
            let (part, after) = rest.split_at_mut(len);
            rest = after;
            match self.clusters.get(&number).copied() {
                Some(Cluster::Zeroes) => part.fill(0),
                Some(Cluster::At(place)) => self.file()?.read_exact_at(part, place * CLUSTER + within as u64)?,
                None => self.read_base(number * CLUSTER + within as u64, part)?,
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, from: &[u8]) -> io::Result<()> {
        let mut rest = from;
        for (number, within, len) in parts(offset, from.len() as u64) {
            let (part, after) = rest.split_at(len);
            rest = after;
            match self.clusters.get(&number).copied() {
                Some(Cluster::At(place)) => self.file()?.write_all_at(part, place * CLUSTER + within as u64)?,
                _ if len as u64 == CLUSTER => self.store(number, part)?,
                _ => {
                    let mut whole = self.load(number)?;
                    whole[within..within + len].copy_from_slice(part);
                    self.store(number, &whole)?;
                }
            }
        }
        Ok(())
    }

    fn write_zeroes(&mut self, offset: u64, len: u64, _unmap: bool) -> io::Result<()> {
        let last = self.len();
        for (number, within, len) in parts(offset, len) {
            // A cluster that ends with the disk is whole too.
            let end = number * CLUSTER + (within + len) as u64;
            if within == 0 && (len as u64 == CLUSTER || end == last) {
                self.store_zeroes(number);
            } else {
                self.write(number * CLUSTER + within as u64, &NOTHING[..len])?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        // What goes with the process need not outlive the host.
        Ok(())
    }

    fn overlay(&mut self) -> Option<&mut Overlay> {
        Some(self)
    }
}
