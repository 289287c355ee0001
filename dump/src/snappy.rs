//! Compresses a page into Snappy's raw format (format_description.txt of Snappy 1.1), faster than a compressor for blocks of any
//! size: places fit 16 bits and the input's length is known. Only what five bytes long comes again is looked for: shorter copies
//! save next to nothing, and there are many.

use crate::PAGE_SIZE;

const PAGE: usize = PAGE_SIZE as usize;
/// Room for what comes of a page at worst, and for whole words written at the end of it.
pub(crate) const ROOM: usize = 2 * PAGE;

/// A page's length as a varint: what every stream begins with.
const LENGTH: [u8; 2] = [PAGE as u8 | 0x80, (PAGE >> 7) as u8];

/// Places that are remembered, by a hash of the bytes there.
const PLACES: usize = 1 << PLACES_BITS;
const PLACES_BITS: u32 = 12;
/// How many bytes the hash is of.
const HASHED: u32 = 5;
/// The golden ratio in 64 bits, which spreads them.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
/// No copy begins in so many bytes at the end, so that words can be read anywhere before.
const MARGIN: usize = 15;
/// Bytes that both ends of a copy are known to share when it is found.
const FOUND: usize = 4;
/// Steps grow by one after so many that found nothing.
const STEP_GROWS_AFTER: usize = 32;

/// Tags of elements, in the lowest bits of their first byte.
const TAG_BITS: u32 = 2;
const LITERAL: u8 = 0;
const COPY_1_BYTE_OFFSET: usize = 1;
const COPY_2_BYTE_OFFSET: usize = 2;
/// A literal of fewer bytes has its length in the tag; others have it in the next byte, or two.
const LONG_LITERAL: usize = 60;
/// The most bytes of one copy.
const COPY_MAX: usize = 64;
/// The least.
const COPY_MIN: usize = 4;
/// The most bytes, and the first offset too far, of the shorter kind of copy.
const SHORT_COPY_MAX: usize = 11;
const SHORT_COPY_OFFSETS: usize = 2048;
/// Short literals are copied as so many bytes, whatever their length.
const LITERAL_AT_ONCE: usize = 32;

/// Compresses pages, one after the other.
pub(crate) struct Encoder {
    places: Box<[u16; PLACES]>,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Self { places: Box::new([0; PLACES]) }
    }

    /// Compresses a page to the beginning of `room`; how many bytes that makes.
    pub(crate) fn compress(&mut self, page: &[u8; PAGE], room: &mut [u8; ROOM]) -> usize {
        self.places.fill(0);
        let places = &mut *self.places;
        room[..LENGTH.len()].copy_from_slice(&LENGTH);
        let mut out = Output { room, len: LENGTH.len() };
        let (mut at, mut told) = (1, 0);
        while let Some(mut from) = find(page, places, &mut at) {
            out.literal(page, told, at);
            loop {
                let len = FOUND + alike(page, from + FOUND, at + FOUND);
                out.copy(at - from, len);
                at += len;
                told = at;
                if at >= PAGE - MARGIN {
                    break;
                }
                remember(page, places, at - 1);
                from = remember(page, places, at);
                if low(page, from) != low(page, at) {
                    at += 1;
                    break;
                }
            }
        }
        out.literal(page, told, PAGE);
        out.len
    }
}

/// Goes on from `at` to where bytes begin that were seen before, and gives the place where; `None` if there are none.
#[inline(always)]
fn find(page: &[u8; PAGE], places: &mut [u16; PLACES], at: &mut usize) -> Option<usize> {
    let mut steps = STEP_GROWS_AFTER;
    while *at < PAGE - MARGIN {
        let from = remember(page, places, *at);
        if low(page, from) == low(page, *at) {
            return Some(from);
        }
        let step = steps / STEP_GROWS_AFTER;
        *at += step;
        steps += step;
    }
    None
}

/// Remembers a place, and gives the one before it whose bytes have the same hash: the page's first, if there is none.
#[inline(always)]
fn remember(page: &[u8; PAGE], places: &mut [u16; PLACES], at: usize) -> usize {
    let hash = (word(page, at) << (u64::BITS - 8 * HASHED)).wrapping_mul(SPREAD) >> (u64::BITS - PLACES_BITS);
    usize::from(std::mem::replace(&mut places[hash as usize], at as u16))
}

#[inline(always)]
fn word(page: &[u8; PAGE], at: usize) -> u64 {
    page.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

#[inline(always)]
fn low(page: &[u8; PAGE], at: usize) -> u32 {
    page.get(at..at + FOUND).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// How many bytes from two places on are the same; the second is the later one.
#[inline(always)]
fn alike(page: &[u8; PAGE], mut one: usize, mut other: usize) -> usize {
    let begun = other;
    while other + 8 <= PAGE {
        let different = word(page, one) ^ word(page, other);
        if different != 0 {
            return other - begun + different.trailing_zeros() as usize / 8;
        }
        one += 8;
        other += 8;
    }
    other - begun + page[other..].iter().zip(&page[one..]).take_while(|(a, b)| a == b).count()
}

struct Output<'a> {
    room: &'a mut [u8; ROOM],
    len: usize,
}

impl Output<'_> {
    /// The page's bytes from one place to another as they are.
    #[inline(always)]
    fn literal(&mut self, page: &[u8; PAGE], from: usize, to: usize) {
        let len = to - from;
        let Some(most) = len.checked_sub(1) else { return };
        if most < LONG_LITERAL {
            self.put((most as u32) << TAG_BITS | u32::from(LITERAL), 1);
        } else {
            let bytes = if most <= usize::from(u8::MAX) { 1 } else { 2 };
            let tag = (LONG_LITERAL + bytes - 1) << TAG_BITS | usize::from(LITERAL);
            self.put((most << 8 | tag) as u32, 1 + bytes);
        }
        let room = &mut self.room[self.len..];
        match (page.get(from..from + LITERAL_AT_ONCE), room.get_mut(..LITERAL_AT_ONCE)) {
            (Some(bytes), Some(room)) if len <= LITERAL_AT_ONCE => room.copy_from_slice(bytes),
            _ => room[..len].copy_from_slice(&page[from..to]),
        }
        self.len += len;
    }

    /// So many bytes as they are so far before.
    #[inline(always)]
    fn copy(&mut self, offset: usize, mut len: usize) {
        while len >= COPY_MAX + COPY_MIN {
            self.copy_2(offset, COPY_MAX);
            len -= COPY_MAX;
        }
        if len > COPY_MAX {
            // What is left is long enough for the shorter kind.
            self.copy_2(offset, COPY_MAX - COPY_MIN);
            len -= COPY_MAX - COPY_MIN;
        }
        if len <= SHORT_COPY_MAX && offset < SHORT_COPY_OFFSETS {
            let tag = offset >> 8 << 5 | (len - COPY_MIN) << TAG_BITS | COPY_1_BYTE_OFFSET;
            self.put(((offset & 0xff) << 8 | tag) as u32, 2);
        } else {
            self.copy_2(offset, len);
        }
    }

    #[inline(always)]
    fn copy_2(&mut self, offset: usize, len: usize) {
        self.put((offset << 8 | (len - 1) << TAG_BITS | COPY_2_BYTE_OFFSET) as u32, 3);
    }

    /// The lowest `bytes` bytes of a word.
    #[inline(always)]
    fn put(&mut self, word: u32, bytes: usize) {
        if let Some(room) = self.room.get_mut(self.len..self.len + 4) {
            room.copy_from_slice(&word.to_le_bytes());
        }
        self.len += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn and_back(page: &[u8; PAGE]) -> usize {
        let mut room = [0x55; ROOM];
        let len = Encoder::new().compress(page, &mut room);
        assert!(len <= snap::raw::max_compress_len(PAGE));
        let back = snap::raw::Decoder::new().decompress_vec(&room[..len]).expect("well formed");
        assert!(back == page);
        len
    }

    #[test]
    fn one_byte_all_over_takes_a_copy_for_each_64_bytes() {
        assert_eq!(and_back(&[0; PAGE]), LENGTH.len() + 2 + 3 * PAGE.div_ceil(COPY_MAX));
    }

    #[test]
    fn bytes_that_do_not_come_again_are_one_literal() {
        let mut page = [0; PAGE];
        page.chunks_exact_mut(2)
            .enumerate()
            .for_each(|(at, pair)| pair.copy_from_slice(&(at as u16 * 31).to_be_bytes()));
        assert_eq!(and_back(&page), LENGTH.len() + 3 + PAGE);
    }

    #[test]
    fn what_comes_again_is_found_at_every_distance_and_length() {
        let mut noise = crate::fixture::Noise::new(4);
        for len in [5, 11, 12, 60, 64, 65, 67, 68, 69, 1000] {
            for distance in [8, 100, 2047, 2048, 3000].map(|distance| distance.max(len + 8)) {
                let mut page = [0; PAGE];
                noise.fill(&mut page[1..=len]);
                let once = and_back(&page);
                page.copy_within(1..=len, 1 + distance);
                let twice = and_back(&page);
                assert!(twice <= once + 8 + len / 16, "{len} bytes {distance} before: {once}, then {twice}");
            }
        }
    }

    #[test]
    fn short_periods_are_copies_that_overlap_themselves() {
        for period in 1..=16 {
            let page: Vec<u8> = (0..period as u8).map(|byte| byte * 37 + 1).cycle().take(PAGE).collect();
            let len = and_back(page.as_slice().try_into().unwrap());
            assert!(len <= LENGTH.len() + 2 + 2 * period + 3 * PAGE.div_ceil(COPY_MAX), "{period}: {len}");
        }
    }

    /// Pages of the kind that memory has: words, runs, pieces of what was before.
    fn pages() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            prop::collection::vec(any::<u8>(), 1..90),
            (any::<u8>(), 1usize..200).prop_map(|(byte, len)| vec![byte; len]),
            (any::<[u8; 8]>(), 1usize..20).prop_map(|(word, times)| word.repeat(times)),
            Just(b"struct task_struct".to_vec()),
            Just(vec![0xff, 0xff, 0x88, 0x80]),
        ];
        prop::collection::vec(piece, 1..200).prop_map(|pieces| {
            let mut page: Vec<u8> = pieces.concat().into_iter().cycle().take(PAGE).collect();
            page[PAGE / 3..].rotate_left(7);
            page
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn every_page_comes_back_as_it_was(page in pages()) {
            and_back(page.as_slice().try_into().unwrap());
        }
    }
}
