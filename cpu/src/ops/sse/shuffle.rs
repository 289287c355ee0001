//! Lanes moved around: unpack, pack, shuffle, blend, widen.

use super::integer::saturate_i16;
use super::lanes::{Lane, Xmm, build, count, get};
use super::operand::{Lanewise, vectorwise, xmm_m128, xmm_rows, xmm_xmm};
use crate::fault::Fault;
use crate::mmu::Int;
use crate::op::Op;
use crate::state::Vcpu;
use crate::table::{Row, Unit};
use iced_x86::Code;
use lockstep_fabric::Bus;

/// Interleaves lanes of the operands' lower (`HIGH` false) or upper halves.
#[inline(always)]
fn unpack<T: Lane, const N: usize>(a: [u64; N], b: [u64; N], high: bool) -> [u64; N] {
    let start = if high { count::<T, N>() / 2 } else { 0 };
    build::<T, N>(|i| get(if i % 2 == 0 { a } else { b }, start + i / 2))
}

/// Narrows the lanes of `a`, then those of `b`.
#[inline(always)]
fn pack<From: Lane, To: Lane, const N: usize>(a: [u64; N], b: [u64; N], f: impl Fn(From) -> To) -> [u64; N] {
    let half = count::<From, N>();
    build::<To, N>(|i| f(if i < half { get(a, i) } else { get(b, i - half) }))
}

/// The index that an immediate gives for lane `i` of four.
#[inline(always)]
fn select4(imm: u8, i: usize) -> usize {
    usize::from(imm >> (2 * (i & 3)) & 3)
}

vectorwise! {
    Punpcklbw: |N, a, b, imm| unpack::<u8, N>(a, b, false);
    Punpcklwd: |N, a, b, imm| unpack::<u16, N>(a, b, false);
    Punpckldq: |N, a, b, imm| unpack::<u32, N>(a, b, false);
    Punpckhbw: |N, a, b, imm| unpack::<u8, N>(a, b, true);
    Punpckhwd: |N, a, b, imm| unpack::<u16, N>(a, b, true);
    Punpckhdq: |N, a, b, imm| unpack::<u32, N>(a, b, true);
    Punpcklqdq: |N, a, b, imm| unpack::<u64, N>(a, b, false);
    Punpckhqdq: |N, a, b, imm| unpack::<u64, N>(a, b, true);
    Packsswb: |N, a, b, imm| pack::<i16, i8, N>(a, b, |x| x.clamp(-128, 127) as i8);
    Packuswb: |N, a, b, imm| pack::<i16, u8, N>(a, b, |x| x.clamp(0, 255) as u8);
    Packssdw: |N, a, b, imm| pack::<i32, i16, N>(a, b, saturate_i16);
    Packusdw: |N, a, b, imm| pack::<i32, u16, N>(a, b, |x| x.clamp(0, 65535) as u16);
    /// Each byte from where the second operand's byte says; zero where its top bit is set.
    Pshufb: |N, a, b, imm| build::<u8, N>(|i| {
        let from = get::<u8, N>(b, i);
        if from & 0x80 != 0 { 0 } else { get(a, usize::from(from)) }
    });
    Pshufw: |N, a, b, imm| build::<u16, N>(|i| get(b, select4(imm, i)));
    Pshufd: |N, a, b, imm| build::<u32, N>(|i| get(b, select4(imm, i)));
    Pshuflw: |N, a, b, imm| build::<u16, N>(|i| get(b, if i < 4 { select4(imm, i) } else { i }));
    Pshufhw: |N, a, b, imm| build::<u16, N>(|i| get(b, if i < 4 { i } else { 4 + select4(imm, i) }));
    Shufps: |N, a, b, imm| build::<u32, N>(|i| get(if i < 2 { a } else { b }, select4(imm, i)));
    Shufpd: |N, a, b, imm| build::<u64, N>(|i| get(if i == 0 { a } else { b }, usize::from(imm >> i & 1)));
    Blendps: |N, a, b, imm| build::<u32, N>(|i| get(if imm >> i & 1 != 0 { b } else { a }, i));
    Blendpd: |N, a, b, imm| build::<u64, N>(|i| get(if imm >> i & 1 != 0 { b } else { a }, i));
    Pblendw: |N, a, b, imm| build::<u16, N>(|i| get(if imm >> i & 1 != 0 { b } else { a }, i));
    Movsldup: |N, a, b, imm| build::<u32, N>(|i| get(b, i & !1));
    Movshdup: |N, a, b, imm| build::<u32, N>(|i| get(b, i | 1));
}

/// A choice by the top bits of XMM0's lanes.
trait Blend {
    fn blend(a: Xmm, b: Xmm, mask: Xmm) -> Xmm;
}

macro_rules! blends {
    ($($name:ident: $t:ty;)*) => {$(
        struct $name;
        impl Blend for $name {
            #[inline(always)]
            fn blend(a: Xmm, b: Xmm, mask: Xmm) -> Xmm {
                build::<$t, 2>(|i| get(if get::<$t, 2>(mask, i) < 0 { b } else { a }, i))
            }
        }
    )*};
}
blends! { Pblendvb: i8; Blendvps: i32; Blendvpd: i64; }

fn blend_reg<B: Blend>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let result = B::blend(cpu.xmm(op.dst), cpu.xmm(op.src), cpu.xmm(crate::op::Slot::R0));
    cpu.set_xmm(op.dst, result);
    Ok(())
}

fn blend_mem<B: Blend>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let b = cpu.load_xmm(bus, op)?;
    let result = B::blend(cpu.xmm(op.dst), b, cpu.xmm(crate::op::Slot::R0));
    cpu.set_xmm(op.dst, result);
    Ok(())
}

/// A widening of the low lanes to fill the register.
trait Widen {
    /// What the memory form reads.
    type Source: Int;
    fn widen(b: u64) -> Xmm;
}

macro_rules! widens {
    ($($name:ident: $source:ty, $from:ty => $to:ty;)*) => {$(
        struct $name;
        impl Widen for $name {
            type Source = $source;
            #[inline(always)]
            fn widen(b: u64) -> Xmm { build::<$to, 2>(|i| <$to>::from(get::<$from, 1>([b], i))) }
        }
    )*};
}
widens! {
    Pmovsxbw: u64, i8 => i16;
    Pmovsxbd: u32, i8 => i32;
    Pmovsxbq: u16, i8 => i64;
    Pmovsxwd: u64, i16 => i32;
    Pmovsxwq: u32, i16 => i64;
    Pmovsxdq: u64, i32 => i64;
    Pmovzxbw: u64, u8 => u16;
    Pmovzxbd: u32, u8 => u32;
    Pmovzxbq: u16, u8 => u64;
    Pmovzxwd: u64, u16 => u32;
    Pmovzxwq: u32, u16 => u64;
    Pmovzxdq: u64, u32 => u64;
}

fn widen_reg<W: Widen>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let result = W::widen(cpu.xmm(op.src)[0]);
    cpu.set_xmm(op.dst, result);
    Ok(())
}

fn widen_mem<W: Widen>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let b: W::Source = cpu.load_operand(bus, op)?;
    cpu.set_xmm(op.dst, W::widen(b.zero_extend()));
    Ok(())
}

/// The family's rows for XMM.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    xmm_rows!(rows:
        Punpcklbw => Punpcklbw_xmm_xmmm128, Punpcklwd => Punpcklwd_xmm_xmmm128, Punpckldq => Punpckldq_xmm_xmmm128,
        Punpckhbw => Punpckhbw_xmm_xmmm128, Punpckhwd => Punpckhwd_xmm_xmmm128, Punpckhdq => Punpckhdq_xmm_xmmm128,
        Punpcklqdq => Punpcklqdq_xmm_xmmm128, Punpckhqdq => Punpckhqdq_xmm_xmmm128,
        Punpckldq => Unpcklps_xmm_xmmm128, Punpckhdq => Unpckhps_xmm_xmmm128,
        Punpcklqdq => Unpcklpd_xmm_xmmm128, Punpckhqdq => Unpckhpd_xmm_xmmm128,
        Packsswb => Packsswb_xmm_xmmm128, Packuswb => Packuswb_xmm_xmmm128,
        Packssdw => Packssdw_xmm_xmmm128, Packusdw => Packusdw_xmm_xmmm128,
        Pshufb => Pshufb_xmm_xmmm128, Pshufd => Pshufd_xmm_xmmm128_imm8,
        Pshuflw => Pshuflw_xmm_xmmm128_imm8, Pshufhw => Pshufhw_xmm_xmmm128_imm8,
        Shufps => Shufps_xmm_xmmm128_imm8, Shufpd => Shufpd_xmm_xmmm128_imm8,
        Blendps => Blendps_xmm_xmmm128_imm8, Blendpd => Blendpd_xmm_xmmm128_imm8, Pblendw => Pblendw_xmm_xmmm128_imm8,
        Movsldup => Movsldup_xmm_xmmm128, Movshdup => Movshdup_xmm_xmmm128,
    );
    let blend = |code, reg, mem| Row::new(code, reg, mem).unit(Unit::Sse);
    rows.extend([
        blend(Code::Pblendvb_xmm_xmmm128, blend_reg::<Pblendvb>, blend_mem::<Pblendvb>),
        blend(Code::Blendvps_xmm_xmmm128, blend_reg::<Blendvps>, blend_mem::<Blendvps>),
        blend(Code::Blendvpd_xmm_xmmm128, blend_reg::<Blendvpd>, blend_mem::<Blendvpd>),
    ]);
    macro_rules! widen_rows {
        ($($widen:ty => $code:ident),* $(,)?) => {
            rows.extend([$(Row::new(Code::$code, widen_reg::<$widen>, widen_mem::<$widen>).unit(Unit::Sse)),*])
        };
    }
    widen_rows!(
        Pmovsxbw => Pmovsxbw_xmm_xmmm64, Pmovsxbd => Pmovsxbd_xmm_xmmm32, Pmovsxbq => Pmovsxbq_xmm_xmmm16,
        Pmovsxwd => Pmovsxwd_xmm_xmmm64, Pmovsxwq => Pmovsxwq_xmm_xmmm32, Pmovsxdq => Pmovsxdq_xmm_xmmm64,
        Pmovzxbw => Pmovzxbw_xmm_xmmm64, Pmovzxbd => Pmovzxbd_xmm_xmmm32, Pmovzxbq => Pmovzxbq_xmm_xmmm16,
        Pmovzxwd => Pmovzxwd_xmm_xmmm64, Pmovzxwq => Pmovzxwq_xmm_xmmm32, Pmovzxdq => Pmovzxdq_xmm_xmmm64,
    );
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pshufb_picks_modulo_the_width_or_clears() {
        let a = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        assert_eq!(Pshufb::apply(a, [0x80ff_1f0f_0001_0203, 0], 0), [0x0000_0f0f_0001_0203, 0]);
        assert_eq!(Pshufb::apply([a[0]], [0x8008_0f07_0001_0203], 0), [0x0000_0707_0001_0203]);
    }

    #[test]
    fn packing_saturates_signed_sources() {
        assert_eq!(Packuswb::apply([0x8000_00ff_0100_007f], [0], 0), [0x00ff_ff7f]);
        assert_eq!(Packsswb::apply([0x8000_ff80_0080_007f], [0], 0), [0x8080_7f7f]);
        assert_eq!(Packusdw::apply([0x0001_0000_ffff_ffff, 0], [0; 2], 0), [0xffff_0000, 0]);
    }
}
