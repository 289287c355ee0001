//! Add, subtract, multiply, divide and square root, once for all formats.

use core::cmp::Ordering;

use super::format::Num;
use super::round::{HALF, round_pack, shift_right_jam};
use super::{Class, Env, Flags, Format, Rounding};

/// `a + b`.
pub fn add<F: Format>(a: F, b: F, env: &mut Env) -> F {
    add_signed(a, b, false, env)
}

/// `a - b`.
pub fn sub<F: Format>(a: F, b: F, env: &mut Env) -> F {
    add_signed(a, b, true, env)
}

fn any_denormal(x: &Num, y: &Num) -> bool {
    x.class == Class::Denormal || y.class == Class::Denormal
}

fn add_signed<F: Format>(a: F, b: F, negate: bool, env: &mut Env) -> F {
    let (x, mut y) = (env.unpack(a), env.unpack(b));
    if x.is_nan() || y.is_nan() {
        return env.nan2(&x, &y);
    }
    y.sign ^= negate;
    if x.class == Class::Inf && y.class == Class::Inf && x.sign != y.sign {
        return env.invalid();
    }
    if env.denormals(any_denormal(&x, &y)) {
        return F::zero(false);
    }
    match (x.class, y.class) {
        (Class::Inf, _) => F::infinity(x.sign),
        (_, Class::Inf) => F::infinity(y.sign),
        (Class::Zero, Class::Zero) if x.sign == y.sign => F::zero(x.sign),
        (Class::Zero, Class::Zero) => F::zero(env.rounding() == Rounding::Down),
        (Class::Zero, _) => round_pack(y.sign, y.exp, y.sig, 0, env),
        (_, Class::Zero) => round_pack(x.sign, x.exp, x.sig, 0, env),
        _ => add_finite(x, y, env),
    }
}

fn add_finite<F: Format>(x: Num, y: Num, env: &mut Env) -> F {
    let (big, small) = if (x.exp, x.sig) >= (y.exp, y.sig) { (x, y) } else { (y, x) };
    // One bit of headroom above, 63 bits of room below.
    let a = u128::from(big.sig) << 63;
    let b = shift_right_jam(u128::from(small.sig) << 63, (big.exp - small.exp) as u32);
    let sum = if big.sign == small.sign { a + b } else { a - b };
    if sum == 0 {
        return F::zero(env.rounding() == Rounding::Down);
    }
    let shift = sum.leading_zeros();
    let sum = sum << shift;
    round_pack(big.sign, big.exp + 1 - shift as i32, (sum >> 64) as u64, sum as u64, env)
}

/// `a * b`.
pub fn mul<F: Format>(a: F, b: F, env: &mut Env) -> F {
    let (x, y) = (env.unpack(a), env.unpack(b));
    if x.is_nan() || y.is_nan() {
        return env.nan2(&x, &y);
    }
    let sign = x.sign != y.sign;
    let zero = x.class == Class::Zero || y.class == Class::Zero;
    let infinite = x.class == Class::Inf || y.class == Class::Inf;
    if zero && infinite {
        return env.invalid();
    }
    if env.denormals(any_denormal(&x, &y)) || zero {
        return F::zero(sign);
    }
    if infinite {
        return F::infinity(sign);
    }
    let product = u128::from(x.sig) * u128::from(y.sig);
    let shift = product.leading_zeros();
    let product = product << shift;
    round_pack(sign, x.exp + y.exp + 1 - shift as i32, (product >> 64) as u64, product as u64, env)
}

/// `a / b`.
pub fn div<F: Format>(a: F, b: F, env: &mut Env) -> F {
    let (x, y) = (env.unpack(a), env.unpack(b));
    if x.is_nan() || y.is_nan() {
        return env.nan2(&x, &y);
    }
    let sign = x.sign != y.sign;
    match (x.class, y.class) {
        (Class::Inf, Class::Inf) | (Class::Zero, Class::Zero) => return env.invalid(),
        (Class::Normal | Class::Denormal, Class::Zero) => {
            env.raise(Flags::ZE);
            return F::infinity(sign);
        }
        _ => {}
    }
    if env.denormals(any_denormal(&x, &y)) || x.class == Class::Zero || y.class == Class::Inf {
        return F::zero(sign);
    }
    if x.class == Class::Inf {
        return F::infinity(sign);
    }
    let (exp, q, lo) = divide(x.exp - y.exp, x.sig, y.sig);
    round_pack(sign, exp, q, lo, env)
}

/// Quotient of two aligned significands: exponent, 64 bits with the top one set, and the sticky rest.
#[inline]
pub(super) fn divide(exp: i32, a: u64, b: u64) -> (i32, u64, u64) {
    let smaller = a < b;
    let n = u128::from(a) << (63 + u32::from(smaller));
    let q = (n / u128::from(b)) as u64;
    let rem = (n as u64).wrapping_sub(q.wrapping_mul(b));
    (exp - i32::from(smaller), q, tail(rem, b))
}

/// The sticky tail that a remainder stands for: below, at or above one half of the divisor.
#[inline]
fn tail(rem: u64, divisor: u64) -> u64 {
    if rem == 0 {
        return 0;
    }
    match rem.cmp(&(divisor - rem)) {
        Ordering::Less => 1,
        Ordering::Equal => HALF,
        Ordering::Greater => HALF | 1,
    }
}

/// Square root.
pub fn sqrt<F: Format>(a: F, env: &mut Env) -> F {
    let x = env.unpack(a);
    if x.is_nan() {
        return env.nan1(&x);
    }
    if x.class == Class::Zero {
        return F::zero(x.sign);
    }
    if x.sign {
        return env.invalid();
    }
    if x.class == Class::Inf {
        return F::infinity(false);
    }
    if env.denormals(x.class == Class::Denormal) {
        return F::zero(false);
    }
    let (exp, root, lo) = square_root(x.exp, x.sig);
    round_pack(false, exp, root, lo, env)
}

/// Root of an aligned significand: exponent, 64 bits with the top one set, and the sticky rest.
#[inline]
pub(super) fn square_root(exp: i32, sig: u64) -> (i32, u64, u64) {
    let odd = exp & 1;
    let n = u128::from(sig) << (63 + odd);
    let root = isqrt(n);
    let rem = n - u128::from(root) * u128::from(root);
    // (root + 1/2)^2 = root^2 + root + 1/4 is never an integer, so there is no tie.
    let lo = match rem {
        0 => 0,
        r if r <= u128::from(root) => 1,
        _ => HALF | 1,
    };
    ((exp - odd) / 2, root, lo)
}

/// Integer square root of a value of at least 2^126, from the host's double root and two corrections.
#[inline]
fn isqrt(n: u128) -> u64 {
    // The double root is good to 2^-52; one Newton step makes that 2^-103, so the last loop moves by one at most.
    let guess = ((n >> 64) as u64 as f64).sqrt() * 4_294_967_296.0;
    let guess = (guess as u64).max(1 << 63);
    let mut root = midpoint(guess, n);
    while u128::from(root) * u128::from(root) > n {
        root -= 1;
    }
    while let Some(next) = root.checked_add(1)
        && u128::from(next) * u128::from(next) <= n
    {
        root = next;
    }
    root
}

/// Newton's step, kept within 64 bits.
#[inline]
fn midpoint(guess: u64, n: u128) -> u64 {
    let other = n / u128::from(guess);
    u64::try_from((u128::from(guess) + other) >> 1).unwrap_or(u64::MAX)
}
