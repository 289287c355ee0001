//! The codecs of kdump files, each page by itself.

use crate::{DumpError, PAGE_SIZE};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

const PAGE: usize = PAGE_SIZE as usize;

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
    /// Room for what comes of a page, at worst.
    room: Vec<u8>,
}

enum Engine {
    Zlib(Box<Compress>),
    Lzo,
    Snappy(Box<snap::raw::Encoder>),
    Zstd(Box<zstd::bulk::Compressor<'static>>),
}

impl Compressor {
    pub(crate) fn new(codec: Codec) -> Result<Self, DumpError> {
        let engine = match codec {
            Codec::Zlib => Engine::Zlib(Box::new(Compress::new(Compression::new(ZLIB_LEVEL), true))),
            Codec::Lzo => Engine::Lzo,
            Codec::Snappy => Engine::Snappy(Box::new(snap::raw::Encoder::new())),
            Codec::Zstd => {
                let compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL);
                Engine::Zstd(Box::new(compressor.map_err(|why| DumpError::Codec { codec: codec.name(), why })?))
            }
        };
        Ok(Self { engine, room: vec![0; 2 * PAGE] })
    }

    /// Appends the compressed page to `into` and gives its size; `None`, with nothing appended, if that would be no smaller.
    pub(crate) fn compress(&mut self, page: &[u8], into: &mut Vec<u8>) -> Option<usize> {
        let len = match &mut self.engine {
            Engine::Zlib(zlib) => {
                zlib.reset();
                // A page that does not fit is given up half-way, which is the cheapest end of it.
                let status = zlib.compress(page, &mut self.room[..PAGE - 1], FlushCompress::Finish);
                matches!(status, Ok(Status::StreamEnd)).then(|| zlib.total_out() as usize)
            }
            Engine::Lzo => {
                let compressed = lzo1x::compress(page, LZO_LEVEL);
                if compressed.len() >= page.len() {
                    return None;
                }
                into.extend_from_slice(&compressed);
                return Some(compressed.len());
            }
            Engine::Snappy(snappy) => snappy.compress(page, &mut self.room).ok(),
            Engine::Zstd(zstd) => zstd.compress_to_buffer(page, &mut self.room[..PAGE - 1]).ok(),
        };
        let len = len.filter(|len| *len < page.len())?;
        into.extend_from_slice(self.room.get(..len)?);
        Some(len)
    }
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
    use crate::fixture::Noise;
    use proptest::prelude::*;

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
                let mut stored = vec![7];
                let len = compressor.compress(&page, &mut stored).expect("these compress");
                assert_eq!(stored.len(), 1 + len);
                let mut back = [0x55; PAGE];
                assert!(decompressor.decompress(codec, &stored[1..], &mut back), "{codec:?}");
                assert!(back == page, "{codec:?}");
            }
        }
    }

    #[test]
    fn noise_is_refused_and_leaves_no_trace() {
        for codec in Codec::ALL {
            let mut compressor = Compressor::new(codec).unwrap();
            let mut page = [0; PAGE];
            Noise::new(2).fill(&mut page);
            let mut stored = Vec::new();
            assert_eq!(compressor.compress(&page, &mut stored), None, "{codec:?}");
            assert!(stored.is_empty());
            assert!(compressor.compress(&[3; PAGE], &mut stored).is_some(), "{codec:?} goes on after it");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn damaged_pages_are_answered(which in 0usize..4, page in 0usize..4, damage in prop::collection::vec((any::<u16>(), any::<u8>()), 0..6), cut in any::<u16>()) {
            let codec = Codec::ALL[which];
            let mut stored = Vec::new();
            Compressor::new(codec).unwrap().compress(&pages()[page], &mut stored);
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
