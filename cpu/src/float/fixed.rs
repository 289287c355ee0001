//! 128-bit arithmetic under the transcendental instructions.
//!
//! A "Qn" value is a `u128` standing for `value / 2^n`. [`Big`] is a float with a 128-bit significand. Everything here is
//! integer arithmetic, so the transcendentals give one value on every host.

use super::round::round_pack_to;
use super::{Env, F80};

/// 1 in Q127.
pub(super) const ONE: u128 = 1 << 127;

/// The high half of the 256-bit product.
#[inline]
pub(super) fn mul_high(a: u128, b: u128) -> u128 {
    const LOW: u128 = u64::MAX as u128;
    let (a1, a0, b1, b0) = (a >> 64, a & LOW, b >> 64, b & LOW);
    let (m1, m2) = (a1 * b0, a0 * b1);
    let carry = (m1 & LOW) + (m2 & LOW) + ((a0 * b0) >> 64);
    a1 * b1 + (m1 >> 64) + (m2 >> 64) + (carry >> 64)
}

/// `1/n` in Q128, rounded down.
pub(super) const fn reciprocal(n: u128) -> u128 {
    u128::MAX / n
}

/// `value >> shift`, zero when everything is shifted out.
#[inline]
pub(super) fn shr(value: u128, shift: i32) -> u128 {
    debug_assert!(shift >= 0);
    if shift < 128 { value >> shift } else { 0 }
}

/// `sig * 2^(exp - 127)`, the top bit of `sig` set; or zero with `sig` zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Big {
    pub sign: bool,
    pub exp: i32,
    pub sig: u128,
}

impl Big {
    pub(super) const PI: Self = Self { sign: false, exp: 1, sig: 0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1 };
    pub(super) const HALF_PI: Self = Self { exp: 0, ..Self::PI };
    pub(super) const LN2: Self = Self { sign: false, exp: -1, sig: 0xb172_17f7_d1cf_79ab_c9e3_b398_03f2_f6af };
    pub(super) const LOG2_E: Self = Self { sign: false, exp: 0, sig: 0xb8aa_3b29_5c17_f0bb_be87_fed0_691d_3e89 };

    /// From a fixed-point magnitude in Q`fraction_bits`.
    pub(super) fn from_fixed(sign: bool, magnitude: u128, fraction_bits: i32) -> Self {
        if magnitude == 0 {
            return Self { sign, exp: 0, sig: 0 };
        }
        let shift = magnitude.leading_zeros();
        Self { sign, exp: 127 - shift as i32 - fraction_bits, sig: magnitude << shift }
    }

    /// From an aligned 64-bit significand.
    pub(super) fn from_sig(sign: bool, exp: i32, sig: u64) -> Self {
        Self { sign, exp, sig: u128::from(sig) << 64 }
    }

    /// The magnitude in Q`fraction_bits`; the value must fit.
    pub(super) fn to_fixed(self, fraction_bits: i32) -> u128 {
        shr(self.sig, 127 - fraction_bits - self.exp)
    }

    pub(super) fn mul(self, other: Self) -> Self {
        let product = mul_high(self.sig, other.sig);
        let sign = self.sign != other.sign;
        if product >> 127 != 0 {
            return Self { sign, exp: self.exp + other.exp + 1, sig: product };
        }
        Self { sign, exp: self.exp + other.exp, sig: product << 1 }
    }

    /// Times a factor in Q127.
    pub(super) fn mul_q127(self, factor: u128) -> Self {
        self.mul(Self::from_fixed(false, factor, 127))
    }

    /// Quotient, good to about 2^-124. `other` is not zero.
    pub(super) fn div(self, other: Self) -> Self {
        let d = other.sig;
        // 65 bits of the reciprocal from a division, then one Newton step.
        let y = (u128::MAX / (d >> 64)) << 63;
        let product = mul_high(d, y);
        let y = if product >= ONE {
            y - mul_high(y, (product - ONE) << 1)
        } else {
            y.saturating_add(mul_high(y, (ONE - product) << 1))
        };
        let q = Self::from_fixed(self.sign != other.sign, mul_high(self.sig, y), 127);
        Self { exp: q.exp + self.exp - other.exp, ..q }
    }

    /// Sum; no more than a few leading bits may cancel for the result to keep its accuracy.
    pub(super) fn add(self, other: Self) -> Self {
        if self.sig == 0 {
            return other;
        }
        if other.sig == 0 {
            return self;
        }
        let (big, small) = if (self.exp, self.sig) >= (other.exp, other.sig) { (self, other) } else { (other, self) };
        let a = big.sig >> 1;
        let b = shr(small.sig, 1 + big.exp - small.exp);
        let sum = if big.sign == small.sign { a + b } else { a - b };
        let r = Self::from_fixed(big.sign, sum, 126);
        Self { exp: r.exp + big.exp, ..r }
    }

    pub(super) fn negate_if(self, negate: bool) -> Self {
        Self { sign: self.sign != negate, ..self }
    }

    /// Rounds to F80 as an inexact value.
    pub(super) fn round(self, env: &mut Env) -> F80 {
        if self.sig == 0 {
            return F80::new(u16::from(self.sign) << 15, 0);
        }
        round_pack_to(64, self.sign, self.exp, (self.sig >> 64) as u64, self.sig as u64 | 1, env)
    }
}
