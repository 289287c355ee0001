//! F2XM1, FYL2X and FYL2XP1.
//!
//! The values are series in 128-bit fixed point, so that the result is the correctly rounded one but for rare near-ties.

use super::fixed::{Big, ONE, mul_high, reciprocal, shr};
use super::format::{Num, TOP};
use super::round::round_pack_to;
use super::{Class, Env, F80, Flags, Format};

const EXP_TERMS: usize = 25;

/// `1/(k + 2)` in Q128.
const EXP_FACTORS: [u128; EXP_TERMS] = {
    let mut table = [0; EXP_TERMS];
    let mut k = 0;
    while k < EXP_TERMS {
        table[k] = reciprocal(k as u128 + 2);
        k += 1;
    }
    table
};

/// F2XM1: `2^a - 1`. Outside `[-1, 1]`, where the manual leaves the result open, the operand comes back unchanged.
pub fn f2xm1(a: F80, env: &mut Env) -> F80 {
    let x = env.unpack(a);
    if x.is_nan() {
        return env.nan1(&x);
    }
    const MINUS_ONE: F80 = F80::ONE.negated();
    const MINUS_HALF: F80 = F80::new(0xbffe, TOP);
    match x.class {
        Class::Zero => return a,
        Class::Inf => return if x.sign { MINUS_ONE } else { a },
        _ => {}
    }
    if env.denormals(x.class == Class::Denormal) {
        return a;
    }
    if x.exp >= 0 {
        return if a == MINUS_ONE { MINUS_HALF } else { a };
    }
    // e^t - 1 = t (1 + t/2 (1 + t/3 (1 + ...)))
    let t = Big::from_sig(x.sign, x.exp, x.sig).mul(Big::LN2);
    let fixed = t.to_fixed(128);
    let sum = EXP_FACTORS.iter().rev().fold(ONE, |sum, f| {
        let term = mul_high(mul_high(fixed, *f), sum);
        if t.sign { ONE - term } else { ONE + term }
    });
    t.mul_q127(sum).round(env)
}

const LOG_TERMS: usize = 18;

/// `1/(2k + 1)` in Q127.
const LOG_FACTORS: [u128; LOG_TERMS] = {
    let mut table = [0; LOG_TERMS];
    let mut k = 0;
    while k < LOG_TERMS {
        table[k] = reciprocal(2 * k as u128 + 1) >> 1;
        k += 1;
    }
    table
};

/// `2 atanh(s) / ln 2`, which is log2((1 + s)/(1 - s)), for `|s| < 0.18`.
fn log2_of_ratio(s: Big) -> Big {
    let fixed = s.to_fixed(128);
    let square = mul_high(fixed, fixed);
    let sum = LOG_FACTORS.iter().rev().fold(0, |sum, f| f + mul_high(square, sum));
    let log = s.mul_q127(sum).mul(Big::LOG2_E);
    Big { exp: log.exp + 1, ..log }
}

/// log2 of a positive value; the flag says that it is an integer, exactly.
fn log2(value: Big) -> (Big, bool) {
    const SQRT_2: u128 = 0xb504_f333_f9de_6484_597d_89b3_754a_be9f;
    let halve = value.sig > SQRT_2;
    let (m, n) = if halve { (value.sig >> 1, value.exp + 1) } else { (value.sig, value.exp) };
    let whole = Big::from_fixed(n < 0, u128::from(n.unsigned_abs()), 0);
    if m == ONE {
        return (whole, true);
    }
    let numerator = Big::from_fixed(m < ONE, m.abs_diff(ONE), 127);
    let denominator = Big::from_fixed(false, (m >> 1) + (ONE >> 1), 126);
    (whole.add(log2_of_ratio(numerator.div(denominator))), false)
}

fn any_denormal(x: &Num, y: &Num) -> bool {
    x.class == Class::Denormal || y.class == Class::Denormal
}

/// FYL2X: `y * log2(x)`; `y` is ST(1), `x` ST(0).
pub fn fyl2x(y: F80, x: F80, env: &mut Env) -> F80 {
    let (b, a) = (env.unpack(y), env.unpack(x));
    if a.is_nan() || b.is_nan() {
        return env.nan2(&a, &b);
    }
    let one = x == F80::ONE;
    match (a.class, b.class) {
        (Class::Zero | Class::Inf, Class::Zero) => return env.invalid(),
        (Class::Zero, Class::Inf) => return F80::infinity(!b.sign),
        (Class::Zero, _) => {
            env.raise(Flags::ZE);
            return F80::infinity(!b.sign);
        }
        _ if a.sign => return env.invalid(),
        (_, Class::Inf) if one => return env.invalid(),
        _ => {}
    }
    if env.denormals(any_denormal(&a, &b)) {
        return y;
    }
    let negative = a.class != Class::Inf && a.exp < 0;
    match (a.class, b.class) {
        (_, Class::Inf) | (Class::Inf, _) => return F80::infinity(b.sign != negative),
        (_, Class::Zero) => return F80::zero(b.sign != negative),
        _ if one => return F80::zero(b.sign),
        _ => {}
    }
    let (log, exact) = log2(Big::from_sig(false, a.exp, a.sig));
    product(&b, log, exact, env)
}

/// `b` times a logarithm, rounded.
fn product(b: &Num, log: Big, exact: bool, env: &mut Env) -> F80 {
    let r = Big::from_sig(b.sign, b.exp, b.sig).mul(log);
    if exact {
        let value = round_pack_to(64, r.sign, r.exp, (r.sig >> 64) as u64, r.sig as u64, env);
        // The hardware calls a logarithm inexact even where it is not.
        env.raise(if F80::biased(value) == 0 { Flags::PE | Flags::UE } else { Flags::PE });
        return value;
    }
    r.round(env)
}

/// FYL2XP1: `y * log2(x + 1)`; `y` is ST(1), `x` ST(0).
///
/// Beyond the range the manual defines the formula still holds; from -1 downwards the result is the indefinite.
pub fn fyl2xp1(y: F80, x: F80, env: &mut Env) -> F80 {
    let (b, a) = (env.unpack(y), env.unpack(x));
    if a.is_nan() || b.is_nan() {
        return env.nan2(&a, &b);
    }
    let below = a.sign && (a.class == Class::Inf || a.class == Class::Normal && a.exp >= 0);
    match (a.class, b.class) {
        _ if below => return env.invalid(),
        (Class::Zero, Class::Inf) | (Class::Inf, Class::Zero) => return env.invalid(),
        _ => {}
    }
    if env.denormals(any_denormal(&a, &b)) {
        return y;
    }
    match (a.class, b.class) {
        (Class::Inf, _) | (_, Class::Inf) => return F80::infinity(a.sign != b.sign),
        (Class::Zero, _) | (_, Class::Zero) => return F80::zero(a.sign != b.sign),
        _ => {}
    }
    let (log, exact) = log2_plus_one(&a);
    product(&b, log, exact, env)
}

/// log2(1 + x) for a nonzero x above -1.
fn log2_plus_one(x: &Num) -> (Big, bool) {
    let whole = Big::from_sig(x.sign, x.exp, x.sig);
    if x.exp < -2 {
        // s = x / (2 + x) keeps the relative accuracy of a small x.
        let fixed = shr(whole.sig, 1 - x.exp);
        let denominator = if x.sign { ONE - fixed } else { ONE + fixed };
        return (log2_of_ratio(whole.div(Big::from_fixed(false, denominator, 126))), false);
    }
    if x.exp > 60 {
        return (log2(whole).0, false);
    }
    const ONE_IN_UNITS: u128 = 1 << 65;
    let units = u128::from(x.sig) << (x.exp + 2);
    log2(Big::from_fixed(false, if x.sign { ONE_IN_UNITS - units } else { ONE_IN_UNITS + units }, 65))
}
