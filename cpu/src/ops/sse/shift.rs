//! Packed shifts. A count of the lane's width or more gives zeros, or copies of the sign.

use super::lanes::{map, wide, words};
use super::operand::{Lanewise, vectorwise, xmm_m128, xmm_rows, xmm_xmm};
use crate::fault::Fault;
use crate::op::Op;
use crate::state::Vcpu;
use crate::table::{Row, Unit};
use iced_x86::Code;
use lockstep_fabric::Bus;

/// A shift of every lane by one count.
pub(crate) trait Shift {
    fn shift<const N: usize>(a: [u64; N], count: u64) -> [u64; N];
}

macro_rules! shifts {
    ($($name:ident: $t:ty, $signed:ty, $direction:tt;)*) => {$(
        pub(crate) struct $name;
        impl Shift for $name {
            #[inline(always)]
            fn shift<const N: usize>(a: [u64; N], count: u64) -> [u64; N] {
                shifts!(@$direction N, a, count, $t, $signed)
            }
        }
        /// By the count in the second operand's lowest 64 bits.
        impl Lanewise for $name {
            #[inline(always)]
            fn apply<const N: usize>(a: [u64; N], b: [u64; N], _: u8) -> [u64; N] {
                Self::shift(a, b[0])
            }
        }
    )*};
    (@left $n:ident, $a:ident, $count:ident, $t:ty, $signed:ty) => {{
        if $count >= <$t>::BITS.into() {
            return [0; $n];
        }
        let count = $count as u32;
        map::<$t, $n>($a, |x| x << count)
    }};
    (@right $n:ident, $a:ident, $count:ident, $t:ty, $signed:ty) => {{
        if $count >= <$t>::BITS.into() {
            return [0; $n];
        }
        let count = $count as u32;
        map::<$t, $n>($a, |x| x >> count)
    }};
    (@signed $n:ident, $a:ident, $count:ident, $t:ty, $signed:ty) => {{
        let count = $count.min(u64::from(<$t>::BITS) - 1) as u32;
        map::<$signed, $n>($a, |x| x >> count)
    }};
}
shifts! {
    Psllw: u16, i16, left;
    Pslld: u32, i32, left;
    Psllq: u64, i64, left;
    Psrlw: u16, i16, right;
    Psrld: u32, i32, right;
    Psrlq: u64, i64, right;
    Psraw: u16, i16, signed;
    Psrad: u32, i32, signed;
}

fn by_imm<S: Shift>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let result = S::shift(cpu.xmm(op.dst), op.imm & 0xff);
    cpu.set_xmm(op.dst, result);
    Ok(())
}

fn pslldq(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let bytes = (op.imm & 0xff).min(16) as u32;
    let value = wide(cpu.xmm(op.dst)).checked_shl(8 * bytes).unwrap_or(0);
    cpu.set_xmm(op.dst, words(value));
    Ok(())
}

fn psrldq(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let bytes = (op.imm & 0xff).min(16) as u32;
    let value = wide(cpu.xmm(op.dst)).checked_shr(8 * bytes).unwrap_or(0);
    cpu.set_xmm(op.dst, words(value));
    Ok(())
}

vectorwise! {
    /// Bytes of `a:b` from the immediate on.
    Palignr: |N, a, b, imm| {
        let bits = 8 * u32::from(imm);
        let whole = 64 * N as u32;
        let mut result = [0; N];
        for (i, word) in result.iter_mut().enumerate() {
            *word = window::<N>(a, b, 64 * i as u32 + bits.min(2 * whole));
        }
        result
    };
}

/// 64 bits of `a:b` from bit `at` on; zeros beyond the end.
#[inline(always)]
fn window<const N: usize>(a: [u64; N], b: [u64; N], at: u32) -> u64 {
    let word = |i: usize| if i < N { b[i] } else { a.get(i - N).copied().unwrap_or(0) };
    let (i, shift) = ((at / 64) as usize, at % 64);
    if shift == 0 { word(i) } else { word(i) >> shift | word(i + 1) << (64 - shift) }
}

/// The family's rows for XMM.
pub(super) fn rows() -> Vec<Row> {
    let imm = |code, handler| Row::single(code, handler).unit(Unit::Sse);
    let mut rows = vec![
        imm(Code::Psllw_xmm_imm8, by_imm::<Psllw>),
        imm(Code::Pslld_xmm_imm8, by_imm::<Pslld>),
        imm(Code::Psllq_xmm_imm8, by_imm::<Psllq>),
        imm(Code::Psrlw_xmm_imm8, by_imm::<Psrlw>),
        imm(Code::Psrld_xmm_imm8, by_imm::<Psrld>),
        imm(Code::Psrlq_xmm_imm8, by_imm::<Psrlq>),
        imm(Code::Psraw_xmm_imm8, by_imm::<Psraw>),
        imm(Code::Psrad_xmm_imm8, by_imm::<Psrad>),
        imm(Code::Pslldq_xmm_imm8, pslldq),
        imm(Code::Psrldq_xmm_imm8, psrldq),
    ];
    xmm_rows!(rows:
        Psllw => Psllw_xmm_xmmm128, Pslld => Pslld_xmm_xmmm128, Psllq => Psllq_xmm_xmmm128,
        Psrlw => Psrlw_xmm_xmmm128, Psrld => Psrld_xmm_xmmm128, Psrlq => Psrlq_xmm_xmmm128,
        Psraw => Psraw_xmm_xmmm128, Psrad => Psrad_xmm_xmmm128, Palignr => Palignr_xmm_xmmm128_imm8,
    );
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_beyond_the_width_give_zeros_or_signs() {
        assert_eq!(Psllw::shift([u64::MAX], 16), [0]);
        assert_eq!(Psrlq::shift([u64::MAX], 1 << 40), [0]);
        assert_eq!(Psraw::shift([0x8000_7fff_0001_ffff], 1 << 40), [0xffff_0000_0000_ffff]);
    }

    #[test]
    fn palignr_takes_a_window_of_both_operands() {
        let (a, b) = ([0x2222u64, 0x3333], [0x0000u64, 0x1111]);
        assert_eq!(Palignr::apply(a, b, 8), [0x1111, 0x2222]);
        assert_eq!(Palignr::apply(a, b, 17), [0x33 << 56 | 0x22, 0x33]);
        assert_eq!(Palignr::apply(a, b, 32), [0, 0]);
        assert_eq!(Palignr::apply([0x1122_3344_5566_7788], [0], 9), [0x0011_2233_4455_6677]);
    }
}
