//! Bit patterns of singles and doubles with the host's arithmetic, and the tests that tell when it can be trusted.
//!
//! Tests answer in the value's top bit and use nothing but integer addition and logic, so that they vectorize.

use crate::float::Format;
use crate::mmu::Int;
use crate::op::Slot;
use crate::ops::sse::lanes::{Lane, Xmm};
use crate::state::Vcpu;
use std::ops::{BitAnd, BitOr};

/// A single (`u32`) or double (`u64`).
pub(crate) trait Real: Lane + Int + Format + BitAnd<Output = Self> + BitOr<Output = Self> {
    /// The lanes' top bits in a word.
    const TOPS: u64;

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

    /// Zero, denormal, or the smallest normal, which may have been rounded up from a tiny value.
    fn small(self) -> Self;
    /// Not a zero.
    fn nonzero(self) -> Self;
    /// Denormal.
    fn denormal(self) -> Self;
    /// Infinity or NaN.
    fn special(self) -> Self;
    /// NaN.
    fn nan(self) -> Self;
    /// The top bit: a test's answer, a number's sign.
    fn top(self) -> bool;

    /// The low lane of a vector.
    fn low(v: Xmm) -> Self;
    /// Replaces the low lane of a register.
    fn set_low(self, cpu: &mut Vcpu, slot: Slot);
}

macro_rules! reals {
    ($($bits:ty, $float:ty, $tops:literal, |$cpu:ident, $slot:ident, $value:ident| $set:expr;)*) => {$(
        impl Real for $bits {
            const TOPS: u64 = $tops;

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
            fn small(self) -> Self { (self & <$bits>::MAX >> 1).wrapping_sub(<$float>::MIN_POSITIVE.to_bits() + 1) }
            #[inline(always)]
            fn nonzero(self) -> Self { (self & <$bits>::MAX >> 1).wrapping_neg() }
            #[inline(always)]
            fn denormal(self) -> Self {
                (self & <$bits>::MAX >> 1).wrapping_sub(<$float>::MIN_POSITIVE.to_bits()) & self.nonzero()
            }
            #[inline(always)]
            fn special(self) -> Self {
                (<$float>::INFINITY.to_bits() - 1).wrapping_sub(self & <$bits>::MAX >> 1)
            }
            #[inline(always)]
            fn nan(self) -> Self { <$float>::INFINITY.to_bits().wrapping_sub(self & <$bits>::MAX >> 1) }
            #[inline(always)]
            fn top(self) -> bool { self >> (<$bits>::BITS - 1) != 0 }

            #[inline(always)]
            fn low(v: Xmm) -> Self { v[0] as $bits }
            #[inline(always)]
            fn set_low(self, $cpu: &mut Vcpu, $slot: Slot) { let $value = self; $set; }
        }
    )*};
}
reals! {
    u32, f32, 0x8000_0000_8000_0000, |cpu, slot, value| cpu.set_low(slot, value);
    u64, f64, 0x8000_0000_0000_0000, |cpu, slot, value| cpu.vec[slot.number()].0[0] = value;
}

/// Whether a test holds for any lane.
#[inline(always)]
pub(super) fn any<R: Real>(v: Xmm) -> bool {
    (v[0] | v[1]) & R::TOPS != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_hold_for_what_their_names_say() {
        for (x, small, nonzero, denormal, special, nan) in [
            (0u32, true, false, false, false, false),
            (0x8000_0000, true, false, false, false, false),
            (1, true, true, true, false, false),
            (0x807f_ffff, true, true, true, false, false),
            (0x0080_0000, true, true, false, false, false),
            (0x0080_0001, false, true, false, false, false),
            (0xff7f_ffff, false, true, false, false, false),
            (0x7f80_0000, false, true, false, true, false),
            (0xff80_0001, false, true, false, true, true),
        ] {
            let got = [x.small(), x.nonzero(), x.denormal(), x.special(), x.nan()].map(u32::top);
            assert_eq!(got, [small, nonzero, denormal, special, nan], "{x:#x}");
        }
    }
}
