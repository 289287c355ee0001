//! FPREM and FPREM1: exact remainders, in steps when the exponents are far apart.

use super::format::Num;
use super::round::round_pack_to;
use super::{Class, Env, F80, Format};

/// What a remainder instruction leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remainder {
    /// The new ST(0).
    pub value: F80,
    /// Low three bits of the quotient: C0 is bit 2, C3 bit 1, C1 bit 0. Zero after a partial step.
    pub quotient: u8,
    /// C2: the reduction is not finished.
    pub partial: bool,
}

/// FPREM: the quotient is truncated.
pub fn fprem(a: F80, b: F80, env: &mut Env) -> Remainder {
    remainder(a, b, false, env)
}

/// FPREM1: the quotient is rounded to nearest, as IEEE 754 has it.
pub fn fprem1(a: F80, b: F80, env: &mut Env) -> Remainder {
    remainder(a, b, true, env)
}

fn complete(value: F80) -> Remainder {
    Remainder { value, quotient: 0, partial: false }
}

fn remainder(a: F80, b: F80, nearest: bool, env: &mut Env) -> Remainder {
    let (x, y) = (env.unpack(a), env.unpack(b));
    if x.is_nan() || y.is_nan() {
        return complete(env.nan2(&x, &y));
    }
    if x.class == Class::Inf || y.class == Class::Zero {
        return complete(env.invalid());
    }
    if env.denormals(x.class == Class::Denormal || y.class == Class::Denormal) {
        return complete(a);
    }
    if x.class == Class::Zero {
        return complete(a);
    }
    if y.class == Class::Inf {
        return complete(exact(x.sign, u128::from(x.sig), x.exp - 63, env));
    }
    reduce(&x, &y, nearest, env)
}

fn reduce(x: &Num, y: &Num, nearest: bool, env: &mut Env) -> Remainder {
    let distance = x.exp - y.exp;
    if distance >= 64 {
        // The hardware takes off between 32 and 63 bits so that the next step starts on a multiple of 32.
        let step = distance & 31 | 32;
        let rest = (u128::from(x.sig) << step) % u128::from(y.sig);
        return Remainder { value: exact(x.sign, rest, y.exp + distance - step - 63, env), quotient: 0, partial: true };
    }
    // Both in units of the smaller exponent's last place.
    let (dividend, divisor, unit) = match distance {
        0.. => (u128::from(x.sig) << distance, u128::from(y.sig), y.exp),
        -1 => (u128::from(x.sig), u128::from(y.sig) << 1, x.exp),
        _ => (u128::from(x.sig), u128::MAX >> 1, x.exp),
    };
    let (mut quotient, mut rest, mut sign) = (dividend / divisor, dividend % divisor, x.sign);
    if nearest && (rest * 2 > divisor || rest * 2 == divisor && quotient & 1 != 0) {
        rest = divisor - rest;
        quotient += 1;
        sign = !sign;
    }
    if rest == 0 {
        sign = x.sign;
    }
    Remainder { value: exact(sign, rest, unit - 63, env), quotient: quotient as u8 & 7, partial: false }
}

/// Packs `magnitude * 2^exp`, which fits exactly unless it underflows.
fn exact(sign: bool, magnitude: u128, exp: i32, env: &mut Env) -> F80 {
    if magnitude == 0 {
        return F80::zero(sign);
    }
    let shift = magnitude.leading_zeros();
    let aligned = magnitude << shift;
    round_pack_to(64, sign, exp + 127 - shift as i32, (aligned >> 64) as u64, aligned as u64, env)
}
