//! SSE scalar operations, under every rounding mode with and without DAZ and FTZ, bits and flags.

use super::host;
use super::operands::Operands;
use crate::float::compare::{self, Relation, Signal};
use crate::float::{Env, Flags, Rounding, arith, convert, integral, sse};

const CASES: u64 = 20_000;

/// All masked, over rounding, DAZ, FTZ and the inexact flag already set.
fn mxcsr(g: &mut Operands) -> u32 {
    let pick = g.word() as u32 >> 8;
    0x1f80 | (pick & 3) << 13 | (pick >> 2 & 1) << 6 | (pick >> 3 & 1) << 15 | (pick >> 4 & 1) << 5
}

fn check<T: Copy + Eq + core::fmt::LowerHex>(
    name: &str,
    mut operand: impl FnMut(&mut Operands) -> T,
    host: fn(T, T, u32) -> (T, u32),
    soft: impl Fn(T, T, &mut Env) -> T,
) {
    let mut g = Operands::new(name.len() as u64 * 7919 + 3);
    for _ in 0..CASES {
        let (a, b, control) = (operand(&mut g), operand(&mut g), mxcsr(&mut g));
        let (want, want_flags) = host(a, b, control);
        let mut env = Env::from_mxcsr(control);
        let got = soft(a, b, &mut env);
        let flags = (env.raised() & Flags::EXCEPTIONS).bits() | control & 0x3f;
        assert!(
            got == want && flags == want_flags,
            "{name} {a:#x}, {b:#x} mxcsr {control:#x}: {got:#x} flags {flags:#x}, the host {want:#x} flags {want_flags:#x}"
        );
    }
}

fn check64(name: &str, host: fn(u64, u64, u32) -> (u64, u32), soft: impl Fn(u64, u64, &mut Env) -> u64) {
    check(name, Operands::f64, host, soft);
}

fn check32(name: &str, host: fn(u32, u32, u32) -> (u32, u32), soft: impl Fn(u32, u32, &mut Env) -> u32) {
    check(name, Operands::f32, host, soft);
}

#[test]
fn double_arithmetic() {
    check64("addsd", host::addsd, arith::add);
    check64("subsd", host::subsd, arith::sub);
    check64("mulsd", host::mulsd, arith::mul);
    check64("divsd", host::divsd, arith::div);
    check64("sqrtsd", host::sqrtsd, |a, _, env| arith::sqrt(a, env));
}

#[test]
fn double_short_paths() {
    check64("addsd short", host::addsd, sse::add_f64);
    check64("subsd short", host::subsd, sse::sub_f64);
    check64("mulsd short", host::mulsd, sse::mul_f64);
    check64("divsd short", host::divsd, sse::div_f64);
    check64("sqrtsd short", host::sqrtsd, |a, _, env| sse::sqrt_f64(a, env));
}

#[test]
fn single_arithmetic() {
    check32("addss", host::addss, arith::add);
    check32("subss", host::subss, arith::sub);
    check32("mulss", host::mulss, arith::mul);
    check32("divss", host::divss, arith::div);
    check32("sqrtss", host::sqrtss, |a, _, env| arith::sqrt(a, env));
}

#[test]
fn single_short_paths() {
    check32("addss short", host::addss, sse::add_f32);
    check32("subss short", host::subss, sse::sub_f32);
    check32("mulss short", host::mulss, sse::mul_f32);
    check32("divss short", host::divss, sse::div_f32);
    check32("sqrtss short", host::sqrtss, |a, _, env| sse::sqrt_f32(a, env));
}

#[test]
fn minimum_and_maximum() {
    check64("minsd", host::minsd, compare::min);
    check64("maxsd", host::maxsd, compare::max);
    check32("minss", host::minss, compare::min);
    check32("maxss", host::maxss, compare::max);
}

#[test]
fn between_formats() {
    check64("cvtsd2ss", host::cvtsd2ss, |a, _, env| a >> 32 << 32 | u64::from(convert::convert::<u64, u32>(a, env)));
    check64("cvtsd2ss short", host::cvtsd2ss, |a, _, env| a >> 32 << 32 | u64::from(sse::f64_to_f32(a, env)));
    let single = |g: &mut Operands| u64::from(g.f32());
    check("cvtss2sd", single, host::cvtss2sd, |a, _, env| convert::convert::<u32, u64>(a as u32, env));
    check("cvtss2sd short", single, host::cvtss2sd, |a, _, env| sse::f32_to_f64(a as u32, env));
}

#[test]
fn to_and_from_integers() {
    check64("cvtsd2si", host::cvtsd2si, |a, _, env| convert::to_int(a, 64, env.rounding(), env) as u64);
    check64("cvttsd2si", host::cvttsd2si, |a, _, env| convert::to_int(a, 64, Rounding::Zero, env) as u64);
    check64("cvtsd2si32", host::cvtsd2si32, |a, _, env| convert::to_int(a, 32, env.rounding(), env) as u32 as u64);
    check32("cvtss2si32", host::cvtss2si32, |a, _, env| convert::to_int(a, 32, env.rounding(), env) as u32);
    check("cvtsi2sd", Operands::word, host::cvtsi2sd, |a, _, env| convert::from_i64(a as i64, env));
    check("cvtsi2ss", Operands::word, host::cvtsi2ss, |a, _, env| {
        a >> 32 << 32 | u64::from(convert::from_i64::<u32>(a as i64, env))
    });
}

#[test]
fn to_integral_values() {
    check64("roundsd", host::roundsd_rc, |a, _, env| integral::round_to_integral(a, env.rounding(), env));
    check32("roundss", host::roundss_up, |a, _, env| integral::round_to_integral(a, Rounding::Up, env));
}

/// ZF, PF and CF of COMISS.
fn eflags(relation: Relation) -> u32 {
    match relation {
        Relation::Less => 0x01,
        Relation::Equal => 0x40,
        Relation::Greater => 0x00,
        Relation::Unordered => 0x45,
    }
}

#[test]
fn comparisons() {
    const MASK: u32 = 0x45;
    let comisd: fn(u64, u64, u32) -> (u64, u32) = |a, b, c| {
        let (f, s) = host::comisd(a, b, c);
        (f & u64::from(MASK), s)
    };
    let ucomiss: fn(u32, u32, u32) -> (u32, u32) = |a, b, c| {
        let (f, s) = host::ucomiss(a, b, c);
        (f & MASK, s)
    };
    check64("comisd", comisd, |a, b, env| u64::from(eflags(compare::compare(a, b, Signal::Any, env))));
    check32("ucomiss", ucomiss, |a, b, env| eflags(compare::compare(a, b, Signal::Signalling, env)));
}

#[test]
fn comparison_predicates() {
    type Host = fn(u64, u64, u32) -> (u64, u32);
    let predicates: [Host; 8] = [
        host::cmpeqsd,
        host::cmpltsd,
        host::cmplesd,
        host::cmpunordsd,
        host::cmpneqsd,
        host::cmpnltsd,
        host::cmpnlesd,
        host::cmpordsd,
    ];
    for (n, host) in (0u8..).zip(predicates) {
        check64("cmpsd", host, |a, b, env| if compare::predicate(a, b, n, env) { !0 } else { 0 });
    }
}
