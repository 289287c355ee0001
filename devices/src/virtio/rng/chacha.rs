//! The ChaCha20 block function (RFC 8439, section 2.3) as a generator: the same bytes for the same seed.

use serde::{Deserialize, Serialize};

const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];
const BLOCK: usize = 64;
const DOUBLE_ROUNDS: u32 = 10;

/// A stream of bytes, and how far it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ChaCha {
    key: [u32; 8],
    /// Bytes given so far.
    position: u64,
}

impl ChaCha {
    /// The stream of a seed.
    pub(super) fn new(seed: u64) -> Self {
        let [low, high] = [seed as u32, (seed >> 32) as u32];
        Self { key: [low, high, 0, 0, 0, 0, 0, 0], position: 0 }
    }

    pub(super) fn fill(&mut self, into: &mut [u8]) {
        let mut done = 0;
        while done < into.len() {
            let skip = (self.position % BLOCK as u64) as usize;
            let block = block(&self.key, self.position / BLOCK as u64, 0);
            let len = (BLOCK - skip).min(into.len() - done);
            into[done..done + len].copy_from_slice(&block[skip..skip + len]);
            done += len;
            self.position = self.position.wrapping_add(len as u64);
        }
    }
}

/// One block; the counter's upper half and the nonce's lower take the place of RFC 8439's 96-bit nonce.
fn block(key: &[u32; 8], counter: u64, nonce: u64) -> [u8; BLOCK] {
    let mut start = [0; 16];
    start[..4].copy_from_slice(&CONSTANTS);
    start[4..12].copy_from_slice(key);
    start[12..].copy_from_slice(&[counter as u32, (counter >> 32) as u32, nonce as u32, (nonce >> 32) as u32]);
    let mut s = start;
    for _ in 0..DOUBLE_ROUNDS {
        for [a, b, c, d] in [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15]] {
            quarter(&mut s, a, b, c, d);
        }
        for [a, b, c, d] in [[0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]] {
            quarter(&mut s, a, b, c, d);
        }
    }
    let mut bytes = [0; BLOCK];
    for ((to, a), b) in bytes.chunks_mut(4).zip(s).zip(start) {
        to.copy_from_slice(&a.wrapping_add(b).to_le_bytes());
    }
    bytes
}

fn quarter(s: &mut [u32; 16], a: usize, b: usize, c: usize, d: usize) {
    for (left, right) in [(16, 12), (8, 7)] {
        s[a] = s[a].wrapping_add(s[b]);
        s[d] = (s[d] ^ s[a]).rotate_left(left);
        s[c] = s[c].wrapping_add(s[d]);
        s[b] = (s[b] ^ s[c]).rotate_left(right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_of_rfc_8439_section_2_3_2() {
        let key: [u32; 8] = std::array::from_fn(|i| {
            let first = 4 * i as u8;
            u32::from_le_bytes([first, first + 1, first + 2, first + 3])
        });
        let block = block(&key, 1 | 0x0900_0000 << 32, 0x4a00_0000);
        assert_eq!(
            block[..16],
            [0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b, 0x59, 0x15, 0x50, 0x0f, 0xdd, 0x1f, 0xa3, 0x20, 0x71, 0xc4]
        );
        assert_eq!(block[60..], [0xa2, 0x50, 0x3c, 0x4e]);
    }

    #[test]
    fn pieces_of_any_length_are_the_same_stream() {
        let (mut whole, mut pieces) = (vec![0; 300], vec![0; 300]);
        ChaCha::new(7).fill(&mut whole);
        let mut stream = ChaCha::new(7);
        pieces.chunks_mut(7).for_each(|piece| stream.fill(piece));
        assert_eq!(whole, pieces);
    }
}
