//! Bit patterns of singles and doubles with the host's arithmetic, and the tests that tell when it can be trusted.
//!
//! For one value they are branches. For vectors they work on whole 64-bit words of one or two lanes and answer in each lane's
//! top bit: a magnitude plus a constant carries into that bit exactly if it reaches a threshold, and never beyond it.

use crate::float::Format;
use crate::mmu::Int;
use crate::op::Slot;
use crate::ops::sse::lanes::{Lane, Xmm};
use crate::state::Vcpu;

/// A single (`u32`) or double (`u64`).
pub(crate) trait Real: Lane + Int + Format {
    /// The lanes' top bits in a word.
    const TOPS: u64;
    /// Added to a magnitude, carry into the top bit from this value on: the least that is not zero...
    const FROM_LEAST: u64;
    /// ...the smallest normal...
    const FROM_NORMAL: u64;
    /// ...the one after it...
    const FROM_SETTLED: u64;
    /// ...infinity...
    const FROM_INFINITY: u64;
    /// ...NaNs.
    const FROM_NAN: u64;

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    fn sqrt(self) -> Self;
    fn less(self, other: Self) -> bool;
    fn equal(self, other: Self) -> bool;
    fn negated(self) -> Self;
    /// Exact; a NaN's payload is not kept.
    fn to_f64(self) -> f64;

    /// Rounded to nearest.
    fn from_int(value: i64) -> Self;

    /// Neither NaN, infinity, zero, denormal, nor the smallest normal, which may have been rounded up from a tiny value.
    fn settled(self) -> bool;
    /// Zero.
    fn is_zero(self) -> bool;
    /// Denormal.
    fn is_denormal(self) -> bool;
    /// Neither NaN nor denormal.
    fn is_regular(self) -> bool;

    /// The low lane of a vector.
    fn low(v: Xmm) -> Self;
    /// Replaces the low lane of a register.
    fn set_low(self, cpu: &mut Vcpu, slot: Slot);
}

macro_rules! reals {
    ($($bits:ty, $float:ty, $every:literal, |$cpu:ident, $slot:ident, $value:ident| $set:expr;)*) => {$(
        impl Real for $bits {
            const TOPS: u64 = $every << (<$bits>::BITS - 1);
            const FROM_LEAST: u64 = Self::TOPS - $every;
            const FROM_NORMAL: u64 = Self::TOPS - $every * <$float>::MIN_POSITIVE.to_bits() as u64;
            const FROM_SETTLED: u64 = Self::FROM_NORMAL - $every;
            const FROM_INFINITY: u64 = Self::TOPS - $every * <$float>::INFINITY.to_bits() as u64;
            const FROM_NAN: u64 = Self::FROM_INFINITY - $every;

            #[inline(always)]
            fn add(self, other: Self) -> Self { (<$float>::from_bits(self) + <$float>::from_bits(other)).to_bits() }
            #[inline(always)]
            fn sub(self, other: Self) -> Self { (<$float>::from_bits(self) - <$float>::from_bits(other)).to_bits() }
            #[inline(always)]
            fn mul(self, other: Self) -> Self { (<$float>::from_bits(self) * <$float>::from_bits(other)).to_bits() }
            #[inline(always)]
            fn div(self, other: Self) -> Self { (<$float>::from_bits(self) / <$float>::from_bits(other)).to_bits() }
            #[inline(always)]
            fn sqrt(self) -> Self { <$float>::from_bits(self).sqrt().to_bits() }
            #[inline(always)]
            fn less(self, other: Self) -> bool { <$float>::from_bits(self) < <$float>::from_bits(other) }
            #[inline(always)]
            fn equal(self, other: Self) -> bool { <$float>::from_bits(self) == <$float>::from_bits(other) }
            #[inline(always)]
            fn negated(self) -> Self { self ^ (1 << (<$bits>::BITS - 1)) }
            #[inline(always)]
            fn to_f64(self) -> f64 { f64::from(<$float>::from_bits(self)) }
            #[inline(always)]
            fn from_int(value: i64) -> Self { (value as $float).to_bits() }

            #[inline(always)]
            fn settled(self) -> bool {
                const LEAST: $bits = 2 * (<$float>::MIN_POSITIVE.to_bits() + 1);
                (self << 1).wrapping_sub(LEAST) < 2 * <$float>::INFINITY.to_bits() - LEAST
            }
            #[inline(always)]
            fn is_zero(self) -> bool { self << 1 == 0 }
            #[inline(always)]
            fn is_denormal(self) -> bool {
                (self << 1).wrapping_sub(1) < 2 * <$float>::MIN_POSITIVE.to_bits() - 1
            }
            #[inline(always)]
            fn is_regular(self) -> bool {
                const NORMAL: $bits = 2 * <$float>::MIN_POSITIVE.to_bits();
                (self << 1).wrapping_sub(NORMAL) <= 2 * <$float>::INFINITY.to_bits() - NORMAL || self.is_zero()
            }

            #[inline(always)]
            fn low(v: Xmm) -> Self { v[0] as $bits }
            #[inline(always)]
            fn set_low(self, $cpu: &mut Vcpu, $slot: Slot) { let $value = self; $set; }
        }
    )*};
}
reals! {
    u32, f32, 0x1_0000_0001, |cpu, slot, value| cpu.set_low(slot, value);
    u64, f64, 1, |cpu, slot, value| cpu.vec[slot.number()].0[0] = value;
}

/// Whether a test of whole words holds for any lane.
#[inline(always)]
pub(super) fn any<R: Real>(doubt: impl Fn(u64, u64, u64) -> u64, a: Xmm, b: Xmm, r: Xmm) -> bool {
    let m = !R::TOPS;
    (doubt(a[0] & m, b[0] & m, r[0] & m) | doubt(a[1] & m, b[1] & m, r[1] & m)) & R::TOPS != 0
}

/// Denormal lanes of magnitudes.
#[inline(always)]
pub(super) fn denormals<R: Real>(x: u64) -> u64 {
    (x + R::FROM_LEAST) & !(x + R::FROM_NORMAL)
}

/// Denormal and NaN lanes of magnitudes.
#[inline(always)]
pub(super) fn irregulars<R: Real>(x: u64) -> u64 {
    denormals::<R>(x) | (x + R::FROM_NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_of_values_and_of_words_hold_for_what_their_names_say() {
        for (x, settled, denormal, regular) in [
            (0u32, false, false, true),
            (0x8000_0000, false, false, true),
            (1, false, true, false),
            (0x807f_ffff, false, true, false),
            (0x0080_0000, false, false, true),
            (0x0080_0001, true, false, true),
            (0xff7f_ffff, true, false, true),
            (0x7f80_0000, false, false, true),
            (0xff80_0001, false, false, false),
        ] {
            assert_eq!([x.settled(), x.is_denormal(), x.is_regular()], [settled, denormal, regular], "{x:#x}");
            for shift in [0, 32] {
                let word = u64::from(x & !(1 << 31)) << shift;
                let top = 1 << (31 + shift);
                assert_eq!(denormals::<u32>(word) & u32::TOPS, if denormal { top } else { 0 });
                assert_eq!(irregulars::<u32>(word) & u32::TOPS, if regular { 0 } else { top });
                assert_eq!((word + u32::FROM_INFINITY) & u32::TOPS, if x << 1 >= 0xff00_0000 { top } else { 0 });
            }
        }
    }
}
