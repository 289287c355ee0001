//! FSCALE and FXTRACT: the exponent on its own.

use super::convert::from_i64;
use super::format::TOP;
use super::integral::to_integer;
use super::round::round_pack_to;
use super::{Class, Env, F80, Flags, Format, Rounding};

/// FSCALE: `a * 2^trunc(b)`.
pub fn fscale(a: F80, b: F80, env: &mut Env) -> F80 {
    let (x, y) = (env.unpack(a), env.unpack(b));
    if x.is_nan() || y.is_nan() {
        return env.nan2(&x, &y);
    }
    if y.class == Class::Inf && x.class == (if y.sign { Class::Inf } else { Class::Zero }) {
        return env.invalid();
    }
    if env.denormals(x.class == Class::Denormal || y.class == Class::Denormal) {
        return a;
    }
    match (x.class, y.class) {
        (Class::Zero | Class::Inf, _) => return a,
        (_, Class::Inf) if y.sign => return F80::zero(x.sign),
        (_, Class::Inf) => return F80::infinity(x.sign),
        _ => {}
    }
    // Anything beyond this is out of range from either end, even after the unmasked bias.
    const FAR: u64 = 0x1_0000;
    let steps = to_integer(&y, Rounding::Zero).map_or(FAR, |int| int.magnitude.min(FAR)) as i32;
    round_pack_to(64, x.sign, x.exp + if y.sign { -steps } else { steps }, x.sig, 0, env)
}

/// FXTRACT's two results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extracted {
    /// Replaces ST(0).
    pub exponent: F80,
    /// Pushed on top.
    pub significand: F80,
}

/// FXTRACT: splits a value into its exponent and a significand in `[1, 2)`.
pub fn fxtract(a: F80, env: &mut Env) -> Extracted {
    let x = env.unpack(a);
    if x.is_nan() {
        let nan = env.nan1(&x);
        return Extracted { exponent: nan, significand: nan };
    }
    match x.class {
        Class::Zero => {
            env.raise(Flags::ZE);
            return Extracted { exponent: F80::infinity(true), significand: a };
        }
        Class::Inf => return Extracted { exponent: F80::infinity(false), significand: a },
        _ => {}
    }
    env.denormals(x.class == Class::Denormal);
    debug_assert!(x.sig & TOP != 0);
    Extracted {
        exponent: from_i64(i64::from(x.exp), &mut Env::from_fcw(0x37f)),
        significand: F80::pack(x.sign, F80::BIAS as u32, x.sig),
    }
}
