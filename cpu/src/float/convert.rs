//! Conversions between the formats and to and from integers.

use super::integral::to_integer;
use super::round::round_pack_to;
use super::{Class, Env, Flags, Format, Rounding};

/// From one format to another: CVTSS2SD, CVTSD2SS, FLD m32/m64, FST m32/m64.
///
/// Storing from the x87 does not report denormal operands; everything else does.
pub fn convert<A: Format, B: Format>(a: A, env: &mut Env) -> B {
    let x = env.unpack(a);
    if x.is_nan() {
        return env.nan1(&x);
    }
    match x.class {
        Class::Zero => return B::zero(x.sign),
        Class::Inf => return B::infinity(x.sign),
        // An x87 load goes on even when DE is unmasked.
        Class::Denormal if A::PRECISION != 64 && env.denormals(true) && !env.is_x87() => return B::zero(x.sign),
        _ => {}
    }
    round_pack_to(B::PRECISION, x.sign, x.exp, x.sig, 0, env)
}

/// From a signed integer.
pub fn from_i64<F: Format>(value: i64, env: &mut Env) -> F {
    if value == 0 {
        return F::zero(false);
    }
    let magnitude = value.unsigned_abs();
    let shift = magnitude.leading_zeros();
    round_pack_to(F::PRECISION, value < 0, 63 - shift as i32, magnitude << shift, 0, env)
}

/// To a signed integer of `bits` (16, 32 or 64) bits; what does not fit raises IE and gives the integer indefinite.
pub fn to_int<F: Format>(a: F, bits: u32, rounding: Rounding, env: &mut Env) -> i64 {
    let indefinite = i64::MIN >> (64 - bits);
    let x = env.unpack(a);
    let int = if x.is_finite() { to_integer(&x, rounding) } else { None };
    let limit = 1u64 << (bits - 1);
    match int {
        Some(int) if int.magnitude < limit || x.sign && int.magnitude == limit => {
            if int.inexact {
                env.raise(Flags::PE);
            }
            if int.up {
                env.raise(Flags::C1);
            }
            let magnitude = int.magnitude as i64;
            if x.sign { magnitude.wrapping_neg() } else { magnitude }
        }
        _ => {
            env.raise(Flags::IE);
            indefinite
        }
    }
}
