//! Register-stack instructions against the host's x87: a random state goes in by FRSTOR and comes out by FNSAVE.
#![allow(unsafe_code)]

use core::arch::asm;

use super::image::Layout;
use super::unit::{CONDITIONS, extract};
use crate::float::compare::Signal;
use crate::float::tests::operands::Operands;
use crate::float::{integral, remainder, scale, x87};
use crate::state::Fpu;

const CASES: u64 = 4_000;
const LAYOUT: Layout = Layout { wide: true, protected: true };
const IMAGE: usize = 108;
/// The image, then the instruction's memory operand.
const BUFFER: usize = 128;
const C0_C2_C3: u16 = 0x4500;

macro_rules! host {
    ($insn:literal) => {{
        fn run(image: &mut [u8; BUFFER]) {
            // SAFETY: FRSTOR loads a state without a pending exception, FNSAVE takes it back without waiting and leaves
            // the unit as FNINIT does; `image` has FNSAVE's 108 bytes and twenty more for the operand.
            unsafe {
                asm!(
                    "frstor [{i}]", $insn, "fnsave [{i}]", i = in(reg) image,
                    out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                    out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                );
            }
        }
        run
    }};
}

/// A random state: mostly full stacks, mostly masked exceptions, none pending.
fn state(g: &mut Operands) -> Fpu {
    let mut fpu = Fpu::default();
    for i in 0..8 {
        fpu.put(i, if g.below(3) == 0 { g.moderate(40) } else { g.f80() });
    }
    fpu.valid = match g.below(4) {
        0 => g.word() as u8,
        1 => 0xff,
        _ => (g.word() | g.word()) as u8 & !(1 << 7),
    };
    fpu.top = g.below(8) as u8;
    let masks = if g.below(3) != 0 { 0x3f } else { g.below(64) as u16 };
    fpu.control = 0x0340 | masks | (g.below(4) as u16) << 10;
    fpu.status = (g.below(64) as u16 & masks) | (g.word() as u16 & CONDITIONS);
    fpu
}

fn image(fpu: &Fpu) -> [u8; BUFFER] {
    let mut image = [0; BUFFER];
    fpu.save_environment(LAYOUT, &mut image[..28]);
    fpu.save_registers(&mut image[28..IMAGE]);
    // Pointers and the opcode are not compared.
    image[12..28].fill(0);
    image
}

/// `undefined`: the condition codes that the manual leaves open.
fn check(name: &str, undefined: u16, host: fn(&mut [u8; BUFFER]), soft: impl Fn(&mut Fpu)) {
    check_from(name, undefined, |_| {}, host, soft);
}

fn check_from(name: &str, undefined: u16, prepare: fn(&mut Fpu), host: fn(&mut [u8; BUFFER]), soft: impl Fn(&mut Fpu)) {
    check_all(name, undefined, prepare, |_| 0, host, |fpu, _| soft(fpu));
}

/// As [`check`], with eight bytes of memory operand.
fn check_memory(
    name: &str,
    undefined: u16,
    operand: fn(&mut Operands) -> u64,
    host: fn(&mut [u8; BUFFER]),
    soft: impl Fn(&mut Fpu, u64),
) {
    check_all(name, undefined, |_| {}, operand, host, soft);
}

fn check_all(
    name: &str,
    undefined: u16,
    prepare: fn(&mut Fpu),
    operand: fn(&mut Operands) -> u64,
    host: fn(&mut [u8; BUFFER]),
    soft: impl Fn(&mut Fpu, u64),
) {
    let mut g = Operands::new(name.len() as u64 + 77);
    let (mut failures, mut report) = (0, String::new());
    for _ in 0..CASES {
        let mut before = state(&mut g);
        prepare(&mut before);
        let memory = operand(&mut g);
        let mut want = image(&before);
        want[IMAGE..IMAGE + 8].copy_from_slice(&memory.to_le_bytes());
        host(&mut want);
        want[IMAGE..].fill(0);
        want[12..28].fill(0);
        let mut after = before;
        soft(&mut after, memory);
        let mut got = image(&after);
        for image in [&mut got, &mut want] {
            image[4] &= !(undefined as u8);
            image[5] &= !((undefined >> 8) as u8);
            // Whether FINIT's pattern fills the upper halves is of no interest.
            image[2..4].fill(0);
            image[6..8].fill(0);
            image[10..12].fill(0);
        }
        if got != want {
            failures += 1;
            if failures < 6 {
                report += &format!(
                    "\n{before:x?}\n got  {:x?} {:x?}\n host {:x?} {:x?}",
                    &got[..12],
                    &got[28..68],
                    &want[..12],
                    &want[28..68]
                );
            }
        }
    }
    assert!(failures == 0, "{name}: {failures} of {CASES} differ{report}");
}

#[test]
fn arithmetic_between_registers() {
    check("fadd", C0_C2_C3, host!("fadd st(0), st(3)"), |f| f.binary(0, 0, 3, false, x87::add));
    check("faddp", C0_C2_C3, host!("faddp st(2), st(0)"), |f| f.binary(2, 2, 0, true, x87::add));
    check("fdivp", C0_C2_C3, host!(".byte 0xde, 0xf9"), |f| f.binary(1, 1, 0, true, x87::div));
    check("fdivrp", C0_C2_C3, host!(".byte 0xde, 0xf1"), |f| f.binary(1, 0, 1, true, x87::div));
    check("fsqrt", C0_C2_C3, host!("fsqrt"), |f| f.unary(x87::sqrt));
    check("frndint", C0_C2_C3, host!("frndint"), |f| {
        f.unary(|a, env| integral::round_to_integral(a, env.rounding(), env));
    });
    check("fscale", C0_C2_C3, host!("fscale"), |f| f.binary(0, 0, 1, false, scale::fscale));
    check("fchs", C0_C2_C3, host!("fchs"), |f| f.unary(|a, _| a.negated()));
    check("fabs", C0_C2_C3, host!("fabs"), |f| f.unary(|a, _| a.abs()));
}

#[test]
fn moves() {
    check("fxch", C0_C2_C3, host!("fxch st(2)"), |f| f.exchange(2));
    check("fld", C0_C2_C3, host!("fld st(2)"), |f| f.duplicate(2));
    check("fst", C0_C2_C3, host!("fst st(3)"), |f| f.copy_to(3, false));
    check("fstp", C0_C2_C3, host!("fstp st(1)"), |f| f.copy_to(1, true));
    check("fstp 0", C0_C2_C3, host!("fstp st(0)"), |f| f.copy_to(0, true));
    check("fld1", C0_C2_C3, host!("fld1"), |f| f.push(crate::float::F80::ONE, &f.env()));
    check("ffree", C0_C2_C3, host!("ffree st(4)"), |f| {
        f.record(0);
        f.free(4);
    });
    check("fcmovbe", C0_C2_C3, host!("cmp {i}, 0\nfcmovne st(0), st(1)"), |f| f.move_if(1, true));
    check("fcmovb", C0_C2_C3, host!("cmp {i}, 0\nfcmove st(0), st(1)"), |f| f.move_if(1, false));
}

#[test]
fn comparisons() {
    check("fcom", 0, host!("fcom st(1)"), |f| {
        f.compare_st(1, Signal::Any);
    });
    check("fucompp", 0, host!("fucompp"), |f| {
        if f.compare_st(1, Signal::Signalling) {
            f.pop();
            f.pop();
        }
    });
    check("ftst", 0, host!("ftst"), Fpu::test_zero);
    check("fxam", 0, host!("fxam"), Fpu::examine);
    check("fcomi", C0_C2_C3, host!("fcomi st(0), st(1)"), |f| {
        f.compare_eflags(1, Signal::Any);
    });
}

#[test]
fn partial_results() {
    check("fprem", C0_C2_C3, host!("fprem"), |f| f.remainder(remainder::fprem));
    check("fprem1", C0_C2_C3, host!("fprem1"), |f| f.remainder(remainder::fprem1));
    check("fxtract", C0_C2_C3, host!("fxtract"), |f| f.split(extract));
}

#[test]
fn arithmetic_with_memory() {
    let single = |g: &mut Operands| u64::from(g.f32());
    let double = Operands::f64;
    check_memory("fadd m32", C0_C2_C3, single, host!("fadd dword ptr [{i} + 108]"), |f, v| {
        f.with_memory(v as u32, x87::add);
    });
    check_memory("fmul m64", C0_C2_C3, double, host!("fmul qword ptr [{i} + 108]"), |f, v| f.with_memory(v, x87::mul));
    check_memory("fdiv m32", C0_C2_C3, single, host!("fdiv dword ptr [{i} + 108]"), |f, v| {
        f.with_memory(v as u32, x87::div);
    });
    check_memory("fdivr m64", C0_C2_C3, double, host!("fdivr qword ptr [{i} + 108]"), |f, v| {
        f.with_memory(v, |a, b, env| x87::div(b, a, env));
    });
    check_memory("fiadd m16", C0_C2_C3, Operands::word, host!("fiadd word ptr [{i} + 108]"), |f, v| {
        f.with_integer((v as i16).into(), x87::add);
    });
    check_memory("fcom m32", 0, single, host!("fcom dword ptr [{i} + 108]"), |f, v| {
        f.compare_memory(v as u32);
    });
    check_memory("fcom m64", 0, double, host!("fcom qword ptr [{i} + 108]"), |f, v| {
        f.compare_memory(v);
    });
    check_memory("ficom m32", 0, Operands::word, host!("ficom dword ptr [{i} + 108]"), |f, v| {
        f.compare_integer((v as i32).into());
    });
}

#[test]
fn loads() {
    let single = |g: &mut Operands| u64::from(g.f32());
    check_memory("fld m32", C0_C2_C3, single, host!("fld dword ptr [{i} + 108]"), |f, v| {
        let mut env = f.env();
        let value = x87::from_f32(v as u32, &mut env);
        f.push(value, &env);
    });
    check_memory("fld m64", C0_C2_C3, Operands::f64, host!("fld qword ptr [{i} + 108]"), |f, v| {
        let mut env = f.env();
        let value = x87::from_f64(v, &mut env);
        f.push(value, &env);
    });
    check_memory("fild m64", C0_C2_C3, Operands::word, host!("fild qword ptr [{i} + 108]"), |f, v| {
        f.push(x87::from_i64(v as i64), &f.env());
    });
}

#[test]
fn stack_faults_of_functions() {
    use crate::float::{transcendental, trigonometric};
    // Every register holds the same value, for which any unit gives the same result.
    fn exact(fpu: &mut Fpu) {
        let valid = fpu.valid;
        for i in 0..8 {
            fpu.put(i, crate::float::F80::ZERO);
        }
        fpu.valid = valid;
    }
    macro_rules! zero {
        ($name:literal, $soft:expr) => {
            check_from($name, C0_C2_C3, exact, host!($name), $soft);
        };
    }
    zero!("fsin", |f| f.ranged(trigonometric::fsin));
    zero!("fcos", |f| f.ranged(trigonometric::fcos));
    zero!("fsincos", |f| f.split(|a, env| trigonometric::fsincos(a, env).map(|r| (r.sin, r.cos))));
    zero!("fptan", |f| f.split(|a, env| trigonometric::fptan(a, env).map(|r| (r.tangent, r.one))));
    zero!("fpatan", |f| f.binary(1, 1, 0, true, trigonometric::fpatan));
    zero!("f2xm1", |f| f.unary(transcendental::f2xm1));
    zero!("fyl2x", |f| f.binary(1, 1, 0, true, transcendental::fyl2x));
    zero!("fyl2xp1", |f| f.binary(1, 1, 0, true, transcendental::fyl2xp1));
}
