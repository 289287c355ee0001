//! The 80-bit double extended format.

use serde::{Deserialize, Serialize};

/// A double extended value as it lies in a register: sign and biased exponent, then the significand with its explicit
/// integer bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct F80 {
    /// Bit 15: sign. Bits 14..0: exponent, biased by 16383.
    pub sign_exp: u16,
    /// Significand, integer bit at bit 63.
    pub sig: u64,
}

impl F80 {
    /// +0.
    pub const ZERO: Self = Self::new(0, 0);
    /// 1 (FLD1).
    pub const ONE: Self = Self::new(0x3fff, 1 << 63);
    /// The real indefinite, which is the default NaN.
    pub const INDEFINITE: Self = Self::new(0xffff, 3 << 62);
    /// +infinity.
    pub const INFINITY: Self = Self::new(0x7fff, 1 << 63);

    /// From the two fields.
    #[inline]
    pub const fn new(sign_exp: u16, sig: u64) -> Self {
        Self { sign_exp, sig }
    }

    /// From the ten bytes in memory.
    #[inline]
    pub const fn from_le_bytes(b: [u8; 10]) -> Self {
        Self {
            sign_exp: u16::from_le_bytes([b[8], b[9]]),
            sig: u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]),
        }
    }

    /// The ten bytes in memory.
    #[inline]
    pub const fn to_le_bytes(self) -> [u8; 10] {
        let (s, e) = (self.sig.to_le_bytes(), self.sign_exp.to_le_bytes());
        [s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], e[0], e[1]]
    }

    /// The sign bit (FXAM's C1).
    #[inline]
    pub const fn sign(self) -> bool {
        self.sign_exp >> 15 != 0
    }

    /// The biased exponent.
    #[inline]
    pub const fn biased(self) -> u16 {
        self.sign_exp & 0x7fff
    }

    /// With the sign flipped (FCHS).
    #[inline]
    #[must_use]
    pub const fn negated(self) -> Self {
        Self { sign_exp: self.sign_exp ^ 0x8000, ..self }
    }

    /// With the sign cleared (FABS).
    #[inline]
    #[must_use]
    pub const fn abs(self) -> Self {
        Self { sign_exp: self.sign_exp & 0x7fff, ..self }
    }

    /// A normal number: in the exponent range of normals and with the integer bit set.
    #[inline(always)]
    pub const fn is_normal(self) -> bool {
        self.biased().wrapping_sub(1) < 0x7ffe && self.sig >> 63 != 0
    }
}
