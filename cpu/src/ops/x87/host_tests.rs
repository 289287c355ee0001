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
const C0_C2_C3: u16 = 0x4500;

macro_rules! host {
    ($insn:literal) => {{
        fn run(image: &mut [u8; IMAGE]) {
            // SAFETY: FRSTOR loads a state without a pending exception, FNSAVE takes it back without waiting and leaves
            // the unit as FNINIT does; `image` has FNSAVE's 108 bytes.
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

fn image(fpu: &Fpu) -> [u8; IMAGE] {
    let mut image = [0; IMAGE];
    fpu.save_environment(LAYOUT, &mut image[..28]);
    fpu.save_registers(&mut image[28..]);
    // Pointers and the opcode are not compared.
    image[12..28].fill(0);
    image
}

/// `undefined`: the condition codes that the manual leaves open.
fn check(name: &str, undefined: u16, host: fn(&mut [u8; IMAGE]), soft: impl Fn(&mut Fpu)) {
    let mut g = Operands::new(name.len() as u64 + 77);
    let (mut failures, mut report) = (0, String::new());
    for _ in 0..CASES {
        let before = state(&mut g);
        let mut want = image(&before);
        host(&mut want);
        want[12..28].fill(0);
        let mut after = before;
        soft(&mut after);
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
