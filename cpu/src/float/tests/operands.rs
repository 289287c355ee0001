//! Deterministic operands, most of them on or beside the edges of the formats.

use crate::float::F80;

/// xorshift64*.
pub(crate) struct Operands(u64);

impl Operands {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        (self.word() >> 8) % n
    }

    /// A significand below `2^bits`: random, sparse, or close to all ones or zeros.
    fn pattern(&mut self, bits: u32) -> u64 {
        let mask = u64::MAX >> (64 - bits);
        let (random, shift) = (self.word(), self.below(u64::from(bits)) as u32);
        mask & match self.below(8) {
            0 => 0,
            1 => mask,
            2 => 1 << shift,
            3 => mask << shift,
            4 => mask >> shift,
            5 => (1 << (bits - 1)) | self.below(4),
            6 => random << shift,
            _ => random,
        }
    }

    /// A biased exponent: zero, the special one, near either end, near the bias, or any.
    fn exponent(&mut self, bits: u32) -> u64 {
        let special = (1 << bits) - 1;
        let bias = special >> 1;
        match self.below(10) {
            0 => 0,
            1 => special,
            2 => 1 + self.below(4),
            3 => special - 1 - self.below(4),
            4 | 5 => bias - 4 + self.below(8),
            6 => bias - 80 % bias + self.below(160 % bias),
            7 => bias / 2 + self.below(4),
            8 => bias + bias / 2 - self.below(4),
            _ => self.below(special + 1),
        }
    }

    pub(crate) fn f64(&mut self) -> u64 {
        self.below(2) << 63 | self.exponent(11) << 52 | self.pattern(52)
    }

    pub(crate) fn f32(&mut self) -> u32 {
        (self.below(2) << 31 | self.exponent(8) << 23 | self.pattern(23)) as u32
    }

    pub(crate) fn f80(&mut self) -> F80 {
        let (exp, mut sig) = (self.exponent(15), self.pattern(63));
        // Half of the zero exponents are pseudo-denormals, one in sixteen of the others unnormal.
        let integer = if exp == 0 { self.below(2) } else { u64::from(self.below(16) != 0) };
        sig |= integer << 63;
        F80::new((self.below(2) << 15 | exp) as u16, sig)
    }

    /// A normal value of moderate size: its exponent within `range` of that of 1.
    pub(crate) fn moderate(&mut self, range: u64) -> F80 {
        let exp = 0x3fff - range + self.below(2 * range + 1);
        F80::new((self.below(2) << 15 | exp) as u16, 1 << 63 | self.pattern(63))
    }
}
