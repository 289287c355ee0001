//! Rounding to an integral value in the same format: FRNDINT, ROUNDSS and ROUNDSD.

use super::format::TOP;
use super::round::rounds_up;
use super::{Class, Env, Flags, Format, Num, Rounding};

/// A magnitude rounded to an integer.
pub(super) struct Integer {
    pub magnitude: u64,
    pub inexact: bool,
    pub up: bool,
}

/// Rounds a finite value to an integer; `None` if its magnitude does not fit in 64 bits.
pub(super) fn to_integer(x: &Num, rounding: Rounding) -> Option<Integer> {
    if x.class == Class::Zero {
        return Some(Integer { magnitude: 0, inexact: false, up: false });
    }
    let (kept, tail) = match x.exp {
        63 => (x.sig, 0),
        0..63 => (x.sig >> (63 - x.exp), x.sig << (x.exp + 1)),
        -1 => (0, x.sig),
        i32::MIN..-1 => (0, 1),
        _ => return None,
    };
    let up = rounds_up(rounding, x.sign, kept & 1 != 0, tail);
    let magnitude = kept.checked_add(u64::from(up))?;
    Some(Integer { magnitude, inexact: tail != 0, up })
}

/// Rounds to an integral value by `rounding`. The caller drops PE where the instruction suppresses it.
pub fn round_to_integral<F: Format>(a: F, rounding: Rounding, env: &mut Env) -> F {
    let x = env.unpack(a);
    if x.is_nan() {
        return env.nan1(&x);
    }
    if x.class == Class::Inf {
        return a;
    }
    // The x87 reports denormal operands here, ROUNDSS does not.
    if env.is_x87() && env.denormals(x.class == Class::Denormal) {
        return a;
    }
    if x.class == Class::Zero {
        return F::zero(x.sign);
    }
    if x.exp >= F::PRECISION as i32 - 1 {
        return a;
    }
    let Some(int) = to_integer(&x, rounding) else { return a };
    if int.inexact {
        env.raise(Flags::PE);
    }
    if int.up {
        env.raise(Flags::C1);
    }
    if int.magnitude == 0 {
        return F::zero(x.sign);
    }
    let shift = int.magnitude.leading_zeros();
    debug_assert!(int.magnitude << shift & TOP != 0);
    F::pack(x.sign, (63 - shift as i32 + F::BIAS) as u32, int.magnitude << shift)
}
