//! x87 arithmetic with a short path for normal operands, full precision and rounding to nearest.
//!
//! The short path computes with the biased exponents as they lie in the register and gives up (the general code then
//! starts over) only when the result leaves the normal range.

use super::round::HALF;
use super::{Env, F80, Flags, arith, convert};

const BIAS: i32 = 16383;
const TOP: u64 = 1 << 63;

/// Rounds `hi.lo` (top bit of `hi` set) to nearest even; `None` out of the normal range.
#[inline(always)]
fn finish(sign: u16, biased: i32, hi: u64, lo: u64, env: &mut Env) -> Option<F80> {
    let up = lo > HALF || lo == HALF && hi & 1 != 0;
    let (sig, carry) = hi.overflowing_add(u64::from(up));
    let biased = biased + i32::from(carry);
    if !(1..0x7fff).contains(&(biased - i32::from(carry))) || biased == 0x7fff {
        return None;
    }
    if lo != 0 {
        env.raise(if up { Flags::PE.union(Flags::C1) } else { Flags::PE });
    }
    Some(F80::new(sign | biased as u16, if carry { TOP } else { sig }))
}

#[inline(always)]
fn both_plain(a: F80, b: F80, env: &Env) -> bool {
    env.is_plain_x87() && a.is_normal() && b.is_normal()
}

#[inline(always)]
fn add_normal(a: F80, b: F80, env: &mut Env) -> Option<F80> {
    let (big, small) = if a.biased() >= b.biased() { (a, b) } else { (b, a) };
    let (sign, biased) = (big.sign_exp & 0x8000, i32::from(big.biased()));
    let distance = u32::from(big.biased() - small.biased());
    let (hi, lo) = match distance {
        0 => (small.sig, 0),
        1..64 => (small.sig >> distance, small.sig << (64 - distance)),
        64 => (0, small.sig),
        _ => (0, 1),
    };
    if (a.sign_exp ^ b.sign_exp) & 0x8000 == 0 {
        let (sum, carry) = big.sig.overflowing_add(hi);
        if carry {
            return finish(sign, biased + 1, sum >> 1 | TOP, lo >> 1 | lo & 1 | sum << 63, env);
        }
        return finish(sign, biased, sum, lo, env);
    }
    let difference = (u128::from(big.sig) << 64).wrapping_sub(u128::from(hi) << 64 | u128::from(lo));
    if difference == 0 {
        return Some(F80::ZERO);
    }
    // Only equal exponents can come out negative.
    let negative = distance == 0 && big.sig < small.sig;
    let (sign, difference) = if negative { (sign ^ 0x8000, difference.wrapping_neg()) } else { (sign, difference) };
    let shift = difference.leading_zeros();
    let difference = difference << shift;
    finish(sign, biased - shift as i32, (difference >> 64) as u64, difference as u64, env)
}

/// `a + b`.
#[inline]
pub fn add(a: F80, b: F80, env: &mut Env) -> F80 {
    if both_plain(a, b, env)
        && let Some(r) = add_normal(a, b, env)
    {
        return r;
    }
    add_or_sub(a, b, false, env)
}

/// `a - b`.
#[inline]
pub fn sub(a: F80, b: F80, env: &mut Env) -> F80 {
    if both_plain(a, b, env)
        && let Some(r) = add_normal(a, b.negated(), env)
    {
        return r;
    }
    add_or_sub(a, b, true, env)
}

/// `a * b`.
#[inline]
pub fn mul(a: F80, b: F80, env: &mut Env) -> F80 {
    if both_plain(a, b, env) {
        let product = u128::from(a.sig) * u128::from(b.sig);
        let shift = u32::from(product >> 127 == 0);
        let product = product << shift;
        let biased = i32::from(a.biased()) + i32::from(b.biased()) - BIAS + 1 - shift as i32;
        let sign = (a.sign_exp ^ b.sign_exp) & 0x8000;
        if let Some(r) = finish(sign, biased, (product >> 64) as u64, product as u64, env) {
            return r;
        }
    }
    mul_slow(a, b, env)
}

/// A sum with a zero is exact; what is left goes to the general code.
#[inline(never)]
fn add_or_sub(a: F80, b: F80, negate: bool, env: &mut Env) -> F80 {
    // At full precision only: a narrower one would round the other operand.
    if env.is_plain_x87() {
        if a.is_normal() && b.abs() == F80::ZERO {
            return a;
        }
        if b.is_normal() && a.abs() == F80::ZERO {
            return if negate { b.negated() } else { b };
        }
    }
    if negate { arith::sub(a, b, env) } else { arith::add(a, b, env) }
}

/// A product with a zero is exact; what is left goes to the general code.
#[inline(never)]
fn mul_slow(a: F80, b: F80, env: &mut Env) -> F80 {
    let zero = |x: F80| x.abs() == F80::ZERO;
    if zero(a) && (zero(b) || b.is_normal()) || zero(b) && a.is_normal() {
        return F80::new((a.sign_exp ^ b.sign_exp) & 0x8000, 0);
    }
    arith::mul(a, b, env)
}

/// `a / b`.
#[inline]
pub fn div(a: F80, b: F80, env: &mut Env) -> F80 {
    if both_plain(a, b, env) {
        let distance = i32::from(a.biased()) - i32::from(b.biased()) + BIAS;
        let (biased, q, lo) = arith::divide(distance, a.sig, b.sig);
        let sign = (a.sign_exp ^ b.sign_exp) & 0x8000;
        if let Some(r) = finish(sign, biased, q, lo, env) {
            return r;
        }
    }
    arith::div(a, b, env)
}

/// Square root.
#[inline]
pub fn sqrt(a: F80, env: &mut Env) -> F80 {
    if env.is_plain_x87() && a.is_normal() && !a.sign() {
        let (exp, root, lo) = arith::square_root(i32::from(a.biased()) - BIAS, a.sig);
        if let Some(r) = finish(0, exp + BIAS, root, lo, env) {
            return r;
        }
    }
    arith::sqrt(a, env)
}

/// FLD m64fp.
#[inline]
pub fn from_f64(a: u64, env: &mut Env) -> F80 {
    let exp = (a >> 52) as u16 & 0x7ff;
    if exp.wrapping_sub(1) < 0x7fe {
        return F80::new((a >> 48) as u16 & 0x8000 | (exp + 16383 - 1023), TOP | a << 11);
    }
    convert::convert(a, env)
}

/// FLD m32fp.
#[inline]
pub fn from_f32(a: u32, env: &mut Env) -> F80 {
    let exp = (a >> 23) as u16 & 0xff;
    if exp.wrapping_sub(1) < 0xfe {
        return F80::new((a >> 16) as u16 & 0x8000 | (exp + 16383 - 127), TOP | u64::from(a) << 40);
    }
    convert::convert(a, env)
}

/// FST m64fp.
#[inline]
pub fn to_f64(a: F80, env: &mut Env) -> u64 {
    // Strictly inside the range of normals, so that a carry stays inside too.
    let exp = i32::from(a.biased()) - (BIAS - 1023);
    if env.is_plain_x87() && (2..0x7fe).contains(&exp) && a.sig & TOP != 0 {
        let (kept, tail) = (a.sig >> 11, a.sig << 53);
        let up = tail > HALF || tail == HALF && kept & 1 != 0;
        if tail != 0 {
            env.raise(if up { Flags::PE.union(Flags::C1) } else { Flags::PE });
        }
        // A carry out of the fraction moves the exponent up by one, as it should.
        let magnitude = ((exp as u64) << 52) + (kept & ((1 << 52) - 1)) + u64::from(up);
        if magnitude < 0x7ff << 52 {
            return u64::from(a.sign_exp >> 15) << 63 | magnitude;
        }
    }
    convert::convert(a, env)
}

/// FST m32fp.
#[inline]
pub fn to_f32(a: F80, env: &mut Env) -> u32 {
    let exp = i32::from(a.biased()) - (BIAS - 127);
    if env.is_plain_x87() && (2..0xfe).contains(&exp) && a.sig & TOP != 0 {
        let (kept, tail) = ((a.sig >> 40) as u32, a.sig << 24);
        let up = tail > HALF || tail == HALF && kept & 1 != 0;
        if tail != 0 {
            env.raise(if up { Flags::PE.union(Flags::C1) } else { Flags::PE });
        }
        let magnitude = ((exp as u32) << 23) + (kept & 0x7f_ffff) + u32::from(up);
        if magnitude < 0xff << 23 {
            return u32::from(a.sign_exp >> 15) << 31 | magnitude;
        }
    }
    convert::convert(a, env)
}

/// FILD: always exact.
#[inline]
pub fn from_i64(value: i64) -> F80 {
    if value == 0 {
        return F80::ZERO;
    }
    let magnitude = value.unsigned_abs();
    let shift = magnitude.leading_zeros();
    let sign = if value < 0 { 0x8000 } else { 0 };
    F80::new(sign | (BIAS as u16 + 63 - shift as u16), magnitude << shift)
}
