//! Comparison, minimum and maximum.

use super::{Class, Env, Flags, Format, Num};

/// Outcome of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// First below second.
    Less,
    /// Equal; zeros of either sign are.
    Equal,
    /// First above second.
    Greater,
    /// At least one NaN or unsupported encoding.
    Unordered,
}

/// Which NaNs raise IE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Any NaN: COMISS, FCOM.
    Any,
    /// Signalling NaNs only: UCOMISS, FUCOM.
    Signalling,
}

/// Compares `a` with `b`.
pub fn compare<F: Format>(a: F, b: F, signal: Signal, env: &mut Env) -> Relation {
    let (x, y) = (env.unpack(a), env.unpack(b));
    if x.is_nan() || y.is_nan() {
        if signal == Signal::Any || x.class.max(y.class) > Class::QNan {
            env.raise(Flags::IE);
        }
        return Relation::Unordered;
    }
    env.denormals(x.class == Class::Denormal || y.class == Class::Denormal);
    relation(&x, &y)
}

fn relation(x: &Num, y: &Num) -> Relation {
    let (a, b) = (order_key(x), order_key(y));
    match a.cmp(&b) {
        core::cmp::Ordering::Less => Relation::Less,
        core::cmp::Ordering::Equal => Relation::Equal,
        core::cmp::Ordering::Greater => Relation::Greater,
    }
}

/// An integer that orders as the values do.
fn order_key(x: &Num) -> i128 {
    let magnitude = match x.class {
        Class::Zero => 0,
        Class::Inf => 1 << 100,
        _ => i128::from(x.exp + 40_000) << 64 | i128::from(x.sig),
    };
    if x.sign { -magnitude } else { magnitude }
}

/// The predicate of CMPPS and its kin: bits 2..0 for SSE, bits 4..0 for VCMPPS.
pub fn predicate<F: Format>(a: F, b: F, predicate: u8, env: &mut Env) -> bool {
    let predicate = predicate & 0x1f;
    // The low four bits name the relation; bit 4 swaps which of them signal on quiet NaNs.
    let ordering = matches!(predicate & 0x0f, 1 | 2 | 5 | 6 | 9 | 10 | 13 | 14);
    let signal = if ordering != (predicate & 0x10 != 0) { Signal::Any } else { Signal::Signalling };
    let relation = compare(a, b, signal, env);
    let (less, equal, greater, unordered) = match predicate & 0x0f {
        0 => (false, true, false, false),
        1 => (true, false, false, false),
        2 => (true, true, false, false),
        3 => (false, false, false, true),
        4 => (true, false, true, true),
        5 => (false, true, true, true),
        6 => (false, false, true, true),
        7 => (true, true, true, false),
        8 => (false, true, false, true),
        9 => (true, false, false, true),
        10 => (true, true, false, true),
        11 => (false, false, false, false),
        12 => (true, false, true, false),
        13 => (false, true, true, false),
        14 => (false, false, true, false),
        _ => (true, true, true, true),
    };
    match relation {
        Relation::Less => less,
        Relation::Equal => equal,
        Relation::Greater => greater,
        Relation::Unordered => unordered,
    }
}

/// MINSS: `b` unless `a` is certainly below it.
pub fn min<F: Format>(a: F, b: F, env: &mut Env) -> F {
    select(a, b, Relation::Less, env)
}

/// MAXSS: `b` unless `a` is certainly above it.
pub fn max<F: Format>(a: F, b: F, env: &mut Env) -> F {
    select(a, b, Relation::Greater, env)
}

fn select<F: Format>(a: F, b: F, wanted: Relation, env: &mut Env) -> F {
    let chosen = if compare(a, b, Signal::Any, env) == wanted { a } else { b };
    let num = chosen.unpack();
    if env.daz() && num.class == Class::Denormal { F::zero(num.sign) } else { chosen }
}
