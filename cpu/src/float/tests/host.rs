//! The host's own instructions.
#![allow(unsafe_code)]

use core::arch::asm;

use crate::float::F80;

macro_rules! sse {
    ($($name:ident: $ty:ty, $mov:literal, $reg:literal, $insn:literal;)*) => {$(
        /// Runs the instruction under `mxcsr`; returns the result and the flags raised.
        pub(super) fn $name(a: $ty, b: $ty, mxcsr: u32) -> ($ty, u32) {
            let (mut result, mut status, normal) = (a, 0u32, 0x1f80u32);
            // SAFETY: MXCSR has all exceptions masked on the way in and its usual value on the way out; the memory
            // operands are locals.
            unsafe {
                asm!(
                    concat!($mov, " xmm0, {a", $reg, "}"), concat!($mov, " xmm1, {b", $reg, "}"),
                    "ldmxcsr [{control}]", $insn, "stmxcsr [{status}]", "ldmxcsr [{normal}]",
                    concat!($mov, " {a", $reg, "}, xmm0"),
                    a = inout(reg) result, b = in(reg) b, control = in(reg) &mxcsr, status = in(reg) &mut status,
                    normal = in(reg) &normal, out("rax") _, out("xmm0") _, out("xmm1") _,
                );
            }
            (result, status & 0x3f)
        }
    )*};
}

sse! {
    addsd: u64, "movq", "", "addsd xmm0, xmm1";
    subsd: u64, "movq", "", "subsd xmm0, xmm1";
    mulsd: u64, "movq", "", "mulsd xmm0, xmm1";
    divsd: u64, "movq", "", "divsd xmm0, xmm1";
    sqrtsd: u64, "movq", "", "sqrtsd xmm0, xmm0";
    minsd: u64, "movq", "", "minsd xmm0, xmm1";
    maxsd: u64, "movq", "", "maxsd xmm0, xmm1";
    addss: u32, "movd", ":e", "addss xmm0, xmm1";
    subss: u32, "movd", ":e", "subss xmm0, xmm1";
    mulss: u32, "movd", ":e", "mulss xmm0, xmm1";
    divss: u32, "movd", ":e", "divss xmm0, xmm1";
    sqrtss: u32, "movd", ":e", "sqrtss xmm0, xmm0";
    minss: u32, "movd", ":e", "minss xmm0, xmm1";
    maxss: u32, "movd", ":e", "maxss xmm0, xmm1";
    cvtsd2ss: u64, "movq", "", "cvtsd2ss xmm0, xmm0";
    cvtss2sd: u64, "movq", "", "cvtss2sd xmm0, xmm0";
    cvtsd2si: u64, "movq", "", "cvtsd2si rax, xmm0\nmovq xmm0, rax";
    cvttsd2si: u64, "movq", "", "cvttsd2si rax, xmm0\nmovq xmm0, rax";
    cvtsd2si32: u64, "movq", "", "cvtsd2si eax, xmm0\nmovq xmm0, rax";
    cvtss2si32: u32, "movd", ":e", "cvtss2si eax, xmm0\nmovq xmm0, rax";
    cvtsi2sd: u64, "movq", "", "movq rax, xmm0\ncvtsi2sd xmm0, rax";
    cvtsi2ss: u64, "movq", "", "movq rax, xmm0\ncvtsi2ss xmm0, rax";
    roundsd_rc: u64, "movq", "", "roundsd xmm0, xmm0, 4";
    roundss_up: u32, "movd", ":e", "roundss xmm0, xmm0, 2";
    comisd: u64, "movq", "", "comisd xmm0, xmm1\npushfq\npop rax\nmovq xmm0, rax";
    ucomiss: u32, "movd", ":e", "ucomiss xmm0, xmm1\npushfq\npop rax\nmovd xmm0, eax";
    cmpeqsd: u64, "movq", "", "cmpsd xmm0, xmm1, 0";
    cmpltsd: u64, "movq", "", "cmpsd xmm0, xmm1, 1";
    cmplesd: u64, "movq", "", "cmpsd xmm0, xmm1, 2";
    cmpunordsd: u64, "movq", "", "cmpsd xmm0, xmm1, 3";
    cmpneqsd: u64, "movq", "", "cmpsd xmm0, xmm1, 4";
    cmpnltsd: u64, "movq", "", "cmpsd xmm0, xmm1, 5";
    cmpnlesd: u64, "movq", "", "cmpsd xmm0, xmm1, 6";
    cmpordsd: u64, "movq", "", "cmpsd xmm0, xmm1, 7";
}

/// What an x87 instruction left: status word, the two topmost registers, and a memory operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct X87Outcome {
    pub(super) status: u16,
    pub(super) top: F80,
    pub(super) second: F80,
    pub(super) memory: [u8; 10],
}

/// The pattern in the memory operand before a store.
pub(super) const UNTOUCHED: [u8; 10] = [0xa5; 10];

macro_rules! x87 {
    ($($name:ident: $insn:literal;)*) => {$(
        /// Runs the instruction with `a` in ST(0), `b` in ST(1) and `memory` as its memory operand.
        pub(super) fn $name(a: F80, b: F80, memory: [u8; 10], control: u16) -> X87Outcome {
            let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
            let (mut memory, mut top, mut second) = (memory, [0u8; 10], [0u8; 10]);
            let status: u16;
            // SAFETY: the x87 stack is empty on entry and FNINIT empties it again; FNCLEX drops pending exceptions
            // before the next waiting instruction could deliver them; the memory operands are locals of ten bytes.
            unsafe {
                asm!(
                    "fninit", "fld tbyte ptr [{b}]", "fld tbyte ptr [{a}]", "fldcw [{control}]",
                    $insn,
                    "fnstsw ax", "fnclex", "fstp tbyte ptr [{top}]", "fnclex", "fstp tbyte ptr [{second}]", "fninit",
                    a = in(reg) &a, b = in(reg) &b, control = in(reg) &control, m = in(reg) &mut memory,
                    top = in(reg) &mut top, second = in(reg) &mut second, out("ax") status,
                    out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                    out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                );
            }
            X87Outcome { status, top: F80::from_le_bytes(top), second: F80::from_le_bytes(second), memory }
        }
    )*};
}

x87! {
    fadd: "fadd st(0), st(1)/*{m}*/";
    fsub: "fsub st(0), st(1)/*{m}*/";
    fmul: "fmul st(0), st(1)/*{m}*/";
    fdiv: "fdiv st(0), st(1)/*{m}*/";
    fsqrt: "fsqrt/*{m}*/";
    fcom: "fcom st(1)/*{m}*/";
    fucom: "fucom st(1)/*{m}*/";
    fprem: "fprem/*{m}*/";
    fprem1: "fprem1/*{m}*/";
    fscale: "fscale/*{m}*/";
    fxtract: "fxtract/*{m}*/";
    frndint: "frndint/*{m}*/";
    fst_m32: "fst dword ptr [{m}]";
    fst_m64: "fst qword ptr [{m}]";
    fld_m32: "fld dword ptr [{m}]";
    fld_m64: "fld qword ptr [{m}]";
    fist_m16: "fist word ptr [{m}]";
    fist_m32: "fist dword ptr [{m}]";
    fistp_m64: "fistp qword ptr [{m}]";
    fisttp_m32: "fisttp dword ptr [{m}]";
    fild_m64: "fild qword ptr [{m}]";
    fbstp: "fbstp tbyte ptr [{m}]";
    fbld: "fbld tbyte ptr [{m}]";
    f2xm1: "f2xm1/*{m}*/";
    fsin: "fsin/*{m}*/";
    fcos: "fcos/*{m}*/";
    fsincos: "fsincos/*{m}*/";
    fptan: "fptan/*{m}*/";
    fpatan: "fpatan/*{m}*/";
    fyl2x: "fyl2x/*{m}*/";
    fyl2xp1: "fyl2xp1/*{m}*/";
}
