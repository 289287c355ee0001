//! The last step of every operation: round to the format, find overflow and underflow, pack.

use super::format::TOP;
use super::{Env, Flags, Format, Rounding};

/// By how much the x87 shifts the exponent of an unmasked overflow or underflow into range.
const UNMASKED_BIAS: i32 = 24576;
/// A discarded tail of exactly one half.
pub(super) const HALF: u64 = 1 << 63;

/// `value >> shift` with a sticky lowest bit.
#[inline]
pub(super) fn shift_right_jam(value: u128, shift: u32) -> u128 {
    match shift {
        0 => value,
        1..128 => value >> shift | u128::from(value << (128 - shift) != 0),
        _ => u128::from(value != 0),
    }
}

/// Whether the tail (half bit on top, the rest sticky) rounds the kept part up.
#[inline]
pub(super) fn rounds_up(rounding: Rounding, sign: bool, odd: bool, tail: u64) -> bool {
    match rounding {
        Rounding::Nearest => tail > HALF || tail == HALF && odd,
        Rounding::Down => sign && tail != 0,
        Rounding::Up => !sign && tail != 0,
        Rounding::Zero => false,
    }
}

struct Rounded {
    sig: u64,
    carry: bool,
    inexact: bool,
    up: bool,
}

/// Rounds `hi.lo` to `precision` bits counted from bit 63 of `hi`.
#[inline]
fn round_sig(rounding: Rounding, precision: u32, sign: bool, hi: u64, lo: u64) -> Rounded {
    let (kept, tail, unit) = if precision == 64 {
        (hi, lo, 1)
    } else {
        let drop = 64 - precision;
        (hi >> drop << drop, hi << precision | lo >> drop | u64::from(lo << precision != 0), 1 << drop)
    };
    let up = rounds_up(rounding, sign, kept & unit != 0, tail);
    let (sig, carry) = if up { kept.overflowing_add(unit) } else { (kept, false) };
    Rounded { sig: if carry { TOP } else { sig }, carry, inexact: tail != 0, up }
}

/// Rounds and packs `hi.lo * 2^(exp - 63)`, `hi` having its top bit set and `lo` being sticky.
///
/// Tininess is found after rounding, as if the exponent had no bounds.
pub(super) fn round_pack<F: Format>(sign: bool, exp: i32, hi: u64, lo: u64, env: &mut Env) -> F {
    round_pack_to(F::PRECISION.min(env.precision().bits()), sign, exp, hi, lo, env)
}

/// As [`round_pack`], with the width of the significand given: transcendentals and FSCALE ignore precision control.
pub(super) fn round_pack_to<F: Format>(width: u32, sign: bool, exp: i32, hi: u64, lo: u64, env: &mut Env) -> F {
    debug_assert!(hi & TOP != 0);
    let rounding = env.rounding();
    let wide = round_sig(rounding, width, sign, hi, lo);
    let wide_exp = exp + i32::from(wide.carry);
    let biased_response = env.is_x87() && F::PRECISION == 64;
    if wide_exp > F::BIAS {
        return overflow(sign, wide_exp, &wide, width, biased_response, env);
    }
    if exp >= F::EMIN {
        inexact(env, wide.inexact, wide.up);
        return F::pack(sign, (wide_exp + F::BIAS) as u32, wide.sig);
    }
    let tiny = wide_exp < F::EMIN;
    if tiny && !env.masked(Flags::UE) {
        env.raise(Flags::UE);
        let shifted = wide_exp + UNMASKED_BIAS;
        if biased_response && shifted < F::EMIN {
            // FSCALE can go further than the bias brings back.
            env.raise(Flags::PE);
            return F::zero(sign);
        }
        unmasked_inexact::<F>(env, &wide);
        return if biased_response { F::pack(sign, (shifted + F::BIAS) as u32, wide.sig) } else { F::zero(sign) };
    }
    if tiny && env.ftz() {
        env.raise(Flags::UE | Flags::PE);
        return F::zero(sign);
    }
    let shifted = shift_right_jam(u128::from(hi) << 64 | u128::from(lo), (F::EMIN - exp) as u32);
    let r = round_sig(rounding, width, sign, (shifted >> 64) as u64, shifted as u64);
    if tiny && r.inexact {
        env.raise(Flags::UE);
    }
    inexact(env, r.inexact, r.up);
    F::pack(sign, (r.sig >> 63) as u32, r.sig)
}

#[inline]
fn inexact(env: &mut Env, inexact: bool, up: bool) {
    if inexact {
        env.raise(Flags::PE);
    }
    if up {
        env.raise(Flags::C1);
    }
}

/// Inexactness beside an unmasked overflow or underflow: an x87 store that is not made does not report it.
fn unmasked_inexact<F: Format>(env: &mut Env, wide: &Rounded) {
    if !env.is_x87() || F::PRECISION == 64 {
        inexact(env, wide.inexact, wide.up);
    }
}

#[cold]
fn overflow<F: Format>(sign: bool, exp: i32, wide: &Rounded, width: u32, biased_response: bool, env: &mut Env) -> F {
    env.raise(Flags::OE);
    if !env.masked(Flags::OE) {
        let shifted = exp - UNMASKED_BIAS;
        if biased_response && shifted > F::BIAS {
            inexact(env, true, true);
            return F::infinity(sign);
        }
        unmasked_inexact::<F>(env, wide);
        return if biased_response { F::pack(sign, (shifted + F::BIAS) as u32, wide.sig) } else { F::infinity(sign) };
    }
    let to_infinity = match env.rounding() {
        Rounding::Nearest => true,
        Rounding::Down => sign,
        Rounding::Up => !sign,
        Rounding::Zero => false,
    };
    inexact(env, true, to_infinity);
    if to_infinity {
        return F::infinity(sign);
    }
    F::pack(sign, F::SPECIAL - 1, !0 << (64 - width))
}
