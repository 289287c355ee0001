//! Transcendental instructions: special cases as the host has them, values within one unit of its last place.

use super::host::{self, UNTOUCHED, X87Outcome};
use super::operands::Operands;
use crate::float::{Env, F80, transcendental, trigonometric};

const CASES: u64 = 10_000;
const C2: u16 = 0x400;
const FCW: u16 = 0x37f;

/// Position on the number line, so that neighbours differ by one.
fn position(x: F80) -> i128 {
    let magnitude = i128::from(x.biased()) << 64 | i128::from(x.sig);
    if x.sign() { -magnitude } else { magnitude }
}

fn close(got: F80, want: F80, ulps: i128) -> bool {
    // Between exponents the explicit integer bit leaves a gap of 2^63 positions.
    let distance = (position(got) - position(want)).abs();
    got == want
        || got.biased() != 0x7fff
            && want.biased() != 0x7fff
            && (distance <= ulps || distance - (1 << 63) <= ulps && distance >= (1 << 63))
}

type Host = fn(F80, F80, [u8; 10], u16) -> X87Outcome;

fn check(
    name: &str,
    ulps: i128,
    mut operands: impl FnMut(&mut Operands) -> (F80, F80),
    host: Host,
    soft: impl Fn(F80, F80, &mut Env) -> Option<F80>,
) {
    let mut g = Operands::new(name.len() as u64 * 31 + 7);
    let (mut failures, mut report) = (0, String::new());
    for _ in 0..CASES {
        let (a, b) = operands(&mut g);
        let want = host(a, b, UNTOUCHED, FCW);
        let mut env = Env::from_fcw(FCW);
        let got = soft(a, b, &mut env);
        let flags = env.raised().bits() as u16 & 0x3f;
        let same = match got {
            Some(got) => want.status & C2 == 0 && close(got, want.top, ulps) && flags == want.status & 0x3f,
            None => want.status & C2 != 0 && want.top == a && flags == want.status & 0x3f,
        };
        if !same {
            failures += 1;
            if failures < 12 {
                report += &format!(
                    "\n{a:x?} {b:x?}: {got:x?} flags {flags:#x}\n   host {:x?} status {:#x}",
                    want.top, want.status
                );
            }
        }
    }
    assert!(failures == 0, "{name}: {failures} differ{report}");
}

fn any(g: &mut Operands) -> (F80, F80) {
    (g.f80(), g.f80())
}

fn moderate(g: &mut Operands) -> (F80, F80) {
    (g.moderate(66), g.moderate(66))
}

/// Below one in magnitude, or exactly one, or not a normal number.
fn fraction(g: &mut Operands) -> (F80, F80) {
    let (a, b) = (g.f80(), g.f80());
    if a.is_normal() && a.biased() >= 0x3fff {
        return (F80::new(a.sign_exp & 0x8000 | (0x3ffe - g.below(64) as u16), a.sig), b);
    }
    (a, b)
}

/// In the range FYL2XP1 defines.
fn narrow(g: &mut Operands) -> (F80, F80) {
    let (a, b) = fraction(g);
    if a.biased() == 0x3ffe && a.is_normal() { (F80::new(a.sign_exp - 1, a.sig), b) } else { (a, b) }
}

#[test]
fn sine_and_cosine() {
    check("fsin", 1, any, host::fsin, |a, _, env| trigonometric::fsin(a, env));
    check("fsin", 1, moderate, host::fsin, |a, _, env| trigonometric::fsin(a, env));
    check("fcos", 1, any, host::fcos, |a, _, env| trigonometric::fcos(a, env));
    check("fcos", 1, moderate, host::fcos, |a, _, env| trigonometric::fcos(a, env));
    check("fsincos", 1, any, host::fsincos, |a, _, env| trigonometric::fsincos(a, env).map(|r| r.cos));
    check("fsincos", 1, moderate, host::fsincos, |a, _, env| trigonometric::fsincos(a, env).map(|r| r.cos));
}

#[test]
fn tangent() {
    check("fptan", 0, any, host::fptan, |a, _, env| trigonometric::fptan(a, env).map(|r| r.one));
    let second: Host = |a, b, m, c| {
        let r = host::fptan(a, b, m, c);
        if r.status & C2 == 0 { X87Outcome { top: r.second, ..r } } else { r }
    };
    check("fptan", 1, any, second, |a, _, env| trigonometric::fptan(a, env).map(|r| r.tangent));
    check("fptan", 1, moderate, second, |a, _, env| trigonometric::fptan(a, env).map(|r| r.tangent));
}

#[test]
fn arctangent() {
    check("fpatan", 1, any, host::fpatan, |a, b, env| Some(trigonometric::fpatan(b, a, env)));
    check("fpatan", 1, moderate, host::fpatan, |a, b, env| Some(trigonometric::fpatan(b, a, env)));
}

#[test]
fn exponential() {
    check("f2xm1", 1, fraction, host::f2xm1, |a, _, env| Some(transcendental::f2xm1(a, env)));
}

#[test]
fn logarithms() {
    check("fyl2x", 1, any, host::fyl2x, |a, b, env| Some(transcendental::fyl2x(b, a, env)));
    check("fyl2x", 1, moderate, host::fyl2x, |a, b, env| Some(transcendental::fyl2x(b, a, env)));
    check("fyl2xp1", 1, narrow, host::fyl2xp1, |a, b, env| Some(transcendental::fyl2xp1(b, a, env)));
}
