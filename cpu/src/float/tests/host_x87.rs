//! x87 operations under every rounding and precision, masked and unmasked, bits and status word.

use super::host::{self, UNTOUCHED, X87Outcome};
use super::operands::Operands;
use crate::float::compare::{Relation, Signal, compare};
use crate::float::{Env, F80, Flags, Rounding, arith, bcd, convert, integral, remainder, scale, x87};

const CASES: u64 = 30_000;
const C0: u16 = 0x100;
const C1: u16 = 0x200;
const C2: u16 = 0x400;
const C3: u16 = 0x4000;
const EXCEPTIONS: u16 = 0x3f;

fn control(g: &mut Operands) -> u16 {
    let pick = g.word() >> 8;
    let masks = if pick & 3 != 0 { 0x3f } else { pick >> 2 & 0x3f };
    (masks | (pick >> 8 & 3) << 10 | [0, 2, 3, 3][(pick >> 10 & 3) as usize] << 8) as u16
}

type Host = fn(F80, F80, [u8; 10], u16) -> X87Outcome;

/// What the software says: status bits (exceptions and conditions) and the new ST(0) or memory operand.
struct Soft {
    status: u16,
    top: Option<F80>,
    second: Option<F80>,
    memory: Option<Vec<u8>>,
}

impl Soft {
    fn new(env: &Env) -> Self {
        Self { status: env.raised().bits() as u16, top: None, second: None, memory: None }
    }
}

/// Runs one instruction over many operands; `status_mask` picks the status bits that are defined.
fn check(name: &str, status_mask: u16, host: Host, soft: impl Fn(F80, F80, [u8; 10], &mut Env) -> Soft) {
    let mut g = Operands::new(name.len() as u64 * 104_729 + 11);
    let (mut failures, mut report) = (0, String::new());
    for _ in 0..CASES {
        let (a, b, fcw) = (g.f80(), g.f80(), control(&mut g));
        let memory = match name {
            "fld m32" => pad(&g.f32().to_le_bytes()),
            "fld m64" => pad(&g.f64().to_le_bytes()),
            "fild m64" => pad(&(g.word() >> g.below(64)).to_le_bytes()),
            "fbld" => decimal(&mut g),
            _ => UNTOUCHED,
        };
        let want = host(a, b, memory, fcw);
        let mut env = Env::from_fcw(fcw);
        let got = soft(a, b, memory, &mut env);
        let stopped = !(env.unmasked() & Flags::BEFORE).is_empty();
        let top = if stopped { None } else { got.top };
        let second = if stopped { None } else { got.second };
        // With an unmasked exception found beforehand nothing is written.
        let same = got.status & status_mask == want.status & status_mask
            && top.is_none_or(|top| top == want.top)
            && second.is_none_or(|second| second == want.second)
            && got.memory.as_ref().is_none_or(|m| m[..] == want.memory[..m.len()]);
        if !same {
            failures += 1;
            if failures < 12 {
                report += &format!(
                    "\n{a:x?} {b:x?} m {memory:x?} fcw {fcw:#x}: {:#x} {:x?} {:x?} {:x?}\n  host {:#x} {:x?} {:x?} {:x?}",
                    got.status & status_mask,
                    got.top,
                    got.second,
                    got.memory,
                    want.status & status_mask,
                    want.top,
                    want.second,
                    want.memory
                );
            }
        }
    }
    assert!(failures == 0, "{name}: {failures} differ{report}");
}

fn pad(bytes: &[u8]) -> [u8; 10] {
    let mut memory = UNTOUCHED;
    memory[..bytes.len()].copy_from_slice(bytes);
    memory
}

fn decimal(g: &mut Operands) -> [u8; 10] {
    let mut memory = [0; 10];
    for byte in &mut memory {
        *byte = (g.below(10) << 4 | g.below(10)) as u8;
    }
    memory[9] = (g.below(2) << 7) as u8;
    memory
}

fn binary(name: &str, host: Host, soft: fn(F80, F80, &mut Env) -> F80) {
    check(name, EXCEPTIONS | C1, host, |a, b, _, env| {
        let top = soft(a, b, env);
        Soft { top: Some(top), ..Soft::new(env) }
    });
}

#[test]
fn arithmetic() {
    binary("fadd", host::fadd, arith::add);
    binary("fsub", host::fsub, arith::sub);
    binary("fmul", host::fmul, arith::mul);
    binary("fdiv", host::fdiv, arith::div);
    binary("fsqrt", host::fsqrt, |a, _, env| arith::sqrt(a, env));
}

#[test]
fn short_paths() {
    binary("fadd short", host::fadd, x87::add);
    binary("fsub short", host::fsub, x87::sub);
    binary("fmul short", host::fmul, x87::mul);
    binary("fdiv short", host::fdiv, x87::div);
    binary("fsqrt short", host::fsqrt, |a, _, env| x87::sqrt(a, env));
}

#[test]
fn comparisons() {
    let conditions = |relation| match relation {
        Relation::Less => C0,
        Relation::Equal => C3,
        Relation::Greater => 0,
        Relation::Unordered => C0 | C2 | C3,
    };
    for (name, host, signal) in
        [("fcom", host::fcom as Host, Signal::Any), ("fucom", host::fucom as Host, Signal::Signalling)]
    {
        check(name, EXCEPTIONS, host, |a, b, _, env| {
            compare(a, b, signal, env);
            Soft::new(env)
        });
        let mut g = Operands::new(5);
        for _ in 0..CASES {
            let (a, b) = (g.f80(), g.f80());
            let want = host(a, b, UNTOUCHED, 0x37f).status & (C0 | C2 | C3);
            assert_eq!(conditions(compare(a, b, signal, &mut Env::from_fcw(0x37f))), want, "{name} {a:x?} {b:x?}");
        }
    }
}

#[test]
fn remainders() {
    for (name, host, nearest) in [("fprem", host::fprem as Host, false), ("fprem1", host::fprem1 as Host, true)] {
        let run = |a, b, env: &mut Env| {
            let r = if nearest { remainder::fprem1(a, b, env) } else { remainder::fprem(a, b, env) };
            let (c0, c3, c1) = (r.quotient >> 2 & 1, r.quotient >> 1 & 1, r.quotient & 1);
            let bits = u16::from(c0) << 8 | u16::from(c3) << 14 | u16::from(c1) << 9 | u16::from(r.partial) << 10;
            Soft { status: env.raised().bits() as u16 & EXCEPTIONS | bits, top: Some(r.value), ..Soft::new(env) }
        };
        check(name, EXCEPTIONS | C2, host, |a, b, _, env| run(a, b, env));
        let mut g = Operands::new(17);
        for _ in 0..CASES {
            let (a, b) = (g.moderate(70), g.moderate(70));
            let want = host(a, b, UNTOUCHED, 0x37f);
            let got = run(a, b, &mut Env::from_fcw(0x37f));
            let mask = if want.status & C2 == 0 { C0 | C1 | C2 | C3 | EXCEPTIONS } else { C2 | EXCEPTIONS };
            assert_eq!((got.top, got.status & mask), (Some(want.top), want.status & mask), "{name} {a:x?} {b:x?}");
        }
    }
}

#[test]
fn exponents() {
    binary("fscale", host::fscale, scale::fscale);
    check(
        "fscale by small steps",
        EXCEPTIONS | C1,
        |a, b, m, c| host::fscale(a, small(b), m, c),
        |a, b, _, env| {
            let top = scale::fscale(a, small(b), env);
            Soft { top: Some(top), ..Soft::new(env) }
        },
    );
    check("fxtract", EXCEPTIONS, host::fxtract, |a, _, _, env| {
        let r = scale::fxtract(a, env);
        Soft { top: Some(r.significand), second: Some(r.exponent), ..Soft::new(env) }
    });
}

/// An exponent step of a size that keeps many results in or near the range.
fn small(b: F80) -> F80 {
    if b.is_normal() { F80::new(b.sign_exp & 0x800f | 0x3ff8, b.sig) } else { b }
}

#[test]
fn to_integral() {
    check("frndint", EXCEPTIONS | C1, host::frndint, |a, _, _, env| {
        let top = integral::round_to_integral(a, env.rounding(), env);
        Soft { top: Some(top), ..Soft::new(env) }
    });
}

/// What a store leaves in memory: nothing when the exception that stands in its way is unmasked.
fn stored(bytes: &[u8], env: &Env) -> Soft {
    let blocked = env.unmasked().intersects(Flags::IE | Flags::OE | Flags::UE);
    let memory = if blocked { UNTOUCHED[..bytes.len()].to_vec() } else { bytes.to_vec() };
    Soft { memory: Some(memory), ..Soft::new(env) }
}

#[test]
fn stores() {
    check("fst m32", EXCEPTIONS | C1, host::fst_m32, |a, _, _, env| {
        let r: u32 = convert::convert(a, env);
        stored(&r.to_le_bytes(), env)
    });
    check("fst m64", EXCEPTIONS | C1, host::fst_m64, |a, _, _, env| {
        let r: u64 = convert::convert(a, env);
        stored(&r.to_le_bytes(), env)
    });
    check("fst m32 short", EXCEPTIONS | C1, host::fst_m32, |a, _, _, env| {
        stored(&x87::to_f32(a, env).to_le_bytes(), env)
    });
    check("fst m64 short", EXCEPTIONS | C1, host::fst_m64, |a, _, _, env| {
        stored(&x87::to_f64(a, env).to_le_bytes(), env)
    });
    check("fist m16", EXCEPTIONS | C1, host::fist_m16, |a, _, _, env| {
        let r = convert::to_int(a, 16, env.rounding(), env);
        stored(&(r as i16).to_le_bytes(), env)
    });
    check("fist m32", EXCEPTIONS | C1, host::fist_m32, |a, _, _, env| {
        let r = convert::to_int(a, 32, env.rounding(), env);
        stored(&(r as i32).to_le_bytes(), env)
    });
    check("fistp m64", EXCEPTIONS | C1, host::fistp_m64, |a, _, _, env| {
        let r = convert::to_int(a, 64, env.rounding(), env);
        stored(&r.to_le_bytes(), env)
    });
    check("fisttp m32", EXCEPTIONS | C1, host::fisttp_m32, |a, _, _, env| {
        let r = convert::to_int(a, 32, Rounding::Zero, env);
        stored(&(r as i32).to_le_bytes(), env)
    });
    check("fbstp", EXCEPTIONS | C1, host::fbstp, |a, _, _, env| stored(&bcd::store(a, env), env));
}

#[test]
fn loads() {
    check("fld m32", EXCEPTIONS | C1, host::fld_m32, |_, _, m, env| {
        let top = x87::from_f32(u32::from_le_bytes([m[0], m[1], m[2], m[3]]), env);
        Soft { top: Some(top), ..Soft::new(env) }
    });
    check("fld m64", EXCEPTIONS | C1, host::fld_m64, |_, _, m, env| {
        let top = x87::from_f64(u64::from_le_bytes([m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7]]), env);
        Soft { top: Some(top), ..Soft::new(env) }
    });
    check("fild m64", EXCEPTIONS | C1, host::fild_m64, |_, _, m, env| {
        let top = x87::from_i64(i64::from_le_bytes([m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7]]));
        Soft { top: Some(top), ..Soft::new(env) }
    });
    check("fbld", EXCEPTIONS | C1, host::fbld, |_, _, m, env| Soft { top: Some(bcd::load(m)), ..Soft::new(env) });
}
