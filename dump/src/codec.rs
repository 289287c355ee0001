//! The codecs of kdump files, each page by itself.

use crate::{DumpError, snappy};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// A way to compress a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Codec {
    /// RFC 1950.
    Zlib,
    /// LZO1X.
    Lzo,
    /// Snappy's raw format.
    Snappy,
    /// RFC 8878, a frame a page.
    Zstd,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Zlib, Self::Lzo, Self::Snappy, Self::Zstd];

    /// Its bit in a kdump header's status and in a page descriptor's flags.
    pub fn flag(self) -> u32 {
        match self {
            Self::Zlib => 1,
            Self::Lzo => 2,
            Self::Snappy => 4,
            Self::Zstd => 0x20,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zlib => "zlib",
            Self::Lzo => "lzo",
            Self::Snappy => "snappy",
            Self::Zstd => "zstd",
        }
    }
}

/// Zlib's fastest level, which is all that a dump is worth waiting for.
const ZLIB_LEVEL: u32 = 1;
/// LZO1X-1 with a table that fits a page.
const LZO_LEVEL: lzo1x::CompressLevel = lzo1x::CompressLevel::new(2);
const ZSTD_LEVEL: i32 = 1;

/// Compresses pages, one after the other.
pub(crate) struct Compressor {
    engine: Engine,
}

enum Engine {
    Zlib(Box<Compress>),
    Lzo,
    Snappy(snappy::Encoder),
    Zstd(Box<zstd::bulk::Compressor<'static>>),
}

/// Room that every codec is content with for what comes of a page.
pub(crate) const ROOM: usize = snappy::ROOM;
/// A page whose neighbour did not compress is looked at first: noise (what is compressed or encrypted already) comes in long runs,
/// and costs as much time as anything else. Of so many of its bytes, so far apart, in step with nothing, ...
const SAMPLES: usize = 256;
const APART: usize = 15;
/// ... some 162 are different in noise (hardly ever below 145), and half as many in code or text.
const NOISY: usize = 144;

impl Compressor {
    pub(crate) fn new(codec: Codec) -> Result<Self, DumpError> {
        let engine = match codec {
            Codec::Zlib => Engine::Zlib(Box::new(Compress::new(Compression::new(ZLIB_LEVEL), true))),
            Codec::Lzo => Engine::Lzo,
            Codec::Snappy => Engine::Snappy(snappy::Encoder::new()),
            Codec::Zstd => {
                let compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL);
                Engine::Zstd(Box::new(compressor.map_err(|why| DumpError::Codec { codec: codec.name(), why })?))
            }
        };
        Ok(Self { engine })
    }

    /// Compresses a page to the beginning of `room`, which has [`ROOM`], and gives its size there; `None` if it is to be stored
    /// as it is, since it would be no smaller, or hardly. `doubtful` is one that follows such a page.
    pub(crate) fn pack(&mut self, page: &[u8], doubtful: bool, room: &mut [u8]) -> Option<usize> {
        if doubtful && is_noisy(page) { None } else { self.compress(page, room) }
    }

    /// Puts the compressed bytes, a page at most, at the beginning of `room` and gives their size; `None` if that would be no
    /// smaller.
    fn compress(&mut self, bytes: &[u8], room: &mut [u8]) -> Option<usize> {
        // What does not fit is given up half-way, which is the cheapest end of it.
        let fit = bytes.len().checked_sub(1)?;
        let len = match &mut self.engine {
            Engine::Zlib(zlib) => {
                zlib.reset();
                let status = zlib.compress(bytes, room.get_mut(..fit)?, FlushCompress::Finish);
                matches!(status, Ok(Status::StreamEnd)).then(|| zlib.total_out() as usize)
            }
            Engine::Lzo => {
                let compressed = lzo1x::compress(bytes, LZO_LEVEL);
                if compressed.len() <= fit {
                    room.get_mut(..compressed.len())?.copy_from_slice(&compressed);
                }
                Some(compressed.len())
            }
            Engine::Snappy(snappy) => Some(snappy.compress(bytes.try_into().ok()?, room.first_chunk_mut()?)),
            Engine::Zstd(zstd) => zstd.compress_to_buffer(bytes, room.get_mut(..fit)?).ok(),
        };
        len.filter(|len| *len <= fit)
    }
}

/// Whether a page looks like noise.
fn is_noisy(page: &[u8]) -> bool {
    let mut seen = [0u8; 256];
    page.iter().step_by(APART).take(SAMPLES).for_each(|byte| seen[usize::from(*byte)] = 1);
    seen.iter().map(|seen| usize::from(*seen)).sum::<usize>() >= NOISY
}

/// Decompresses pages, one after the other.
pub(crate) struct Decompressor {
    zlib: Decompress,
    snappy: snap::raw::Decoder,
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

impl Decompressor {
    pub(crate) fn new() -> Self {
        Self { zlib: Decompress::new(true), snappy: snap::raw::Decoder::new(), zstd: None }
    }

    /// Fills `page` with what `from` holds; false if that is not exactly so much, or nothing that the codec made.
    pub(crate) fn decompress(&mut self, codec: Codec, from: &[u8], page: &mut [u8]) -> bool {
        match codec {
            Codec::Zlib => {
                self.zlib.reset(true);
                let status = self.zlib.decompress(from, page, FlushDecompress::Finish);
                matches!(status, Ok(Status::StreamEnd)) && self.zlib.total_out() == page.len() as u64
            }
            Codec::Lzo => lzo1x::decompress(from, page).is_ok(),
            Codec::Snappy => {
                snap::raw::decompress_len(from).is_ok_and(|len| len == page.len())
                    && self.snappy.decompress(from, page).is_ok_and(|len| len == page.len())
            }
            Codec::Zstd => {
                if self.zstd.is_none() {
                    self.zstd = zstd::bulk::Decompressor::new().ok();
                }
                let Some(zstd) = &mut self.zstd else { return false };
                zstd.decompress_to_buffer(from, page).is_ok_and(|len| len == page.len())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PAGE_SIZE;
    use crate::fixture::Noise;
    use proptest::prelude::*;

    const PAGE: usize = PAGE_SIZE as usize;

    fn pages() -> Vec<[u8; PAGE]> {
        let mut noise = Noise::new(1);
        let mut text = [0; PAGE];
        for (i, byte) in text.iter_mut().enumerate() {
            *byte = b"a page of text, "[i % 16] ^ u8::from(i % 97 == 0);
        }
        let mut half = [0; PAGE];
        noise.fill(&mut half[..2000]);
        let mut sparse = [0; PAGE];
        sparse[PAGE - 1] = 1;
        vec![text, half, sparse, [0xff; PAGE]]
    }

    #[test]
    fn every_codec_gives_back_what_it_took() {
        for codec in Codec::ALL {
            let (mut compressor, mut decompressor) = (Compressor::new(codec).unwrap(), Decompressor::new());
            for page in pages() {
                let mut stored = [7; ROOM];
                let len = compressor.compress(&page, &mut stored).expect("these compress");
                let mut back = [0x55; PAGE];
                assert!(decompressor.decompress(codec, &stored[..len], &mut back), "{codec:?}");
                assert!(back == page, "{codec:?}");
            }
        }
    }

    #[test]
    fn noise_is_stored_as_it_is() {
        for codec in Codec::ALL {
            let mut compressor = Compressor::new(codec).unwrap();
            let mut page = [0; PAGE];
            Noise::new(2).fill(&mut page);
            let mut stored = [0; ROOM];
            assert_eq!(compressor.compress(&page, &mut stored), None, "{codec:?}");
            for doubtful in [false, true] {
                assert_eq!(compressor.pack(&page, doubtful, &mut stored), None, "{codec:?}");
            }
            assert!(compressor.compress(&[3; PAGE], &mut stored).is_some(), "{codec:?} goes on after it");
        }
    }

    #[test]
    fn noise_is_told_from_what_compresses_wherever_it_begins() {
        let mut noise = Noise::new(3);
        for _ in 0..1000 {
            let mut page = [0; PAGE];
            noise.fill(&mut page);
            assert!(is_noisy(&page));
            page[PAGE / 2..].fill(0);
            assert!(!is_noisy(&page), "half of it");
        }
        assert!(pages().iter().all(|page| !is_noisy(page)));
        // A counter in each quadword: one byte in eight is different.
        let mut counters = [0; PAGE];
        counters.chunks_exact_mut(8).enumerate().for_each(|(at, word)| word[0] = at as u8);
        assert!(!is_noisy(&counters));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn damaged_pages_are_answered(which in 0usize..4, page in 0usize..4, damage in prop::collection::vec((any::<u16>(), any::<u8>()), 0..6), cut in any::<u16>()) {
            let codec = Codec::ALL[which];
            let mut stored = vec![0; ROOM];
            let len = Compressor::new(codec).unwrap().pack(&pages()[page], false, &mut stored).expect("these compress");
            stored.truncate(len);
            for (at, value) in damage {
                let at = usize::from(at) % stored.len();
                stored[at] = value;
            }
            stored.truncate(usize::from(cut).max(1) % (stored.len() + 1));
            let mut back = [0; PAGE];
            Decompressor::new().decompress(codec, &stored, &mut back);
        }

        #[test]
        fn any_bytes_are_answered(which in 0usize..4, bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            Decompressor::new().decompress(Codec::ALL[which], &bytes, &mut [0; PAGE]);
        }
    }
}
