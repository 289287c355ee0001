//! Packed integer arithmetic, comparison and logic, lane by lane: for XMM here, for MMX in [`crate::ops::mmx`].

use super::lanes::{build, count, get, map, zip};
use super::operand::{Lanewise, lanewise, vectorwise, xmm_m128, xmm_rows, xmm_xmm};
use crate::table::{Row, Unit};
use iced_x86::Code;

/// All ones for true.
macro_rules! mask {
    ($t:ty, $condition:expr) => {
        if $condition { !0 as $t } else { 0 }
    };
}

lanewise! {
    Paddb: u8, |a, b| a.wrapping_add(b);
    Paddw: u16, |a, b| a.wrapping_add(b);
    Paddd: u32, |a, b| a.wrapping_add(b);
    Paddq: u64, |a, b| a.wrapping_add(b);
    Psubb: u8, |a, b| a.wrapping_sub(b);
    Psubw: u16, |a, b| a.wrapping_sub(b);
    Psubd: u32, |a, b| a.wrapping_sub(b);
    Psubq: u64, |a, b| a.wrapping_sub(b);
    Paddsb: i8, |a, b| a.saturating_add(b);
    Paddsw: i16, |a, b| a.saturating_add(b);
    Paddusb: u8, |a, b| a.saturating_add(b);
    Paddusw: u16, |a, b| a.saturating_add(b);
    Psubsb: i8, |a, b| a.saturating_sub(b);
    Psubsw: i16, |a, b| a.saturating_sub(b);
    Psubusb: u8, |a, b| a.saturating_sub(b);
    Psubusw: u16, |a, b| a.saturating_sub(b);
    Pcmpeqb: u8, |a, b| mask!(u8, a == b);
    Pcmpeqw: u16, |a, b| mask!(u16, a == b);
    Pcmpeqd: u32, |a, b| mask!(u32, a == b);
    Pcmpeqq: u64, |a, b| mask!(u64, a == b);
    Pcmpgtb: i8, |a, b| mask!(i8, a > b);
    Pcmpgtw: i16, |a, b| mask!(i16, a > b);
    Pcmpgtd: i32, |a, b| mask!(i32, a > b);
    Pcmpgtq: i64, |a, b| mask!(i64, a > b);
    Pminsb: i8, |a, b| a.min(b);
    Pminsw: i16, |a, b| a.min(b);
    Pminsd: i32, |a, b| a.min(b);
    Pminub: u8, |a, b| a.min(b);
    Pminuw: u16, |a, b| a.min(b);
    Pminud: u32, |a, b| a.min(b);
    Pmaxsb: i8, |a, b| a.max(b);
    Pmaxsw: i16, |a, b| a.max(b);
    Pmaxsd: i32, |a, b| a.max(b);
    Pmaxub: u8, |a, b| a.max(b);
    Pmaxuw: u16, |a, b| a.max(b);
    Pmaxud: u32, |a, b| a.max(b);
    Pavgb: u8, |a, b| ((u16::from(a) + u16::from(b) + 1) >> 1) as u8;
    Pavgw: u16, |a, b| ((u32::from(a) + u32::from(b) + 1) >> 1) as u16;
    Pmullw: u16, |a, b| a.wrapping_mul(b);
    Pmulld: u32, |a, b| a.wrapping_mul(b);
    Pmulhw: i16, |a, b| ((i32::from(a) * i32::from(b)) >> 16) as i16;
    Pmulhuw: u16, |a, b| ((u32::from(a) * u32::from(b)) >> 16) as u16;
    Pmulhrsw: i16, |a, b| ((((i32::from(a) * i32::from(b)) >> 14) + 1) >> 1) as i16;
    Pmuludq: u64, |a, b| (a & 0xffff_ffff) * (b & 0xffff_ffff);
    Pmuldq: i64, |a, b| i64::from(a as i32) * i64::from(b as i32);
    Psignb: i8, |a, b| if b < 0 { a.wrapping_neg() } else if b == 0 { 0 } else { a };
    Psignw: i16, |a, b| if b < 0 { a.wrapping_neg() } else if b == 0 { 0 } else { a };
    Psignd: i32, |a, b| if b < 0 { a.wrapping_neg() } else if b == 0 { 0 } else { a };
    Pand: u64, |a, b| a & b;
    Pandn: u64, |a, b| !a & b;
    Por: u64, |a, b| a | b;
    Pxor: u64, |a, b| a ^ b;
}

vectorwise! {
    Pabsb: |N, a, b, imm| map::<i8, N>(b, i8::wrapping_abs);
    Pabsw: |N, a, b, imm| map::<i16, N>(b, i16::wrapping_abs);
    Pabsd: |N, a, b, imm| map::<i32, N>(b, i32::wrapping_abs);
    /// Sums of products of neighbours; only four times -32768 wraps.
    Pmaddwd: |N, a, b, imm| build::<i32, N>(|i| {
        let product = |i| i32::from(get::<i16, N>(a, i)) * i32::from(get::<i16, N>(b, i));
        product(2 * i).wrapping_add(product(2 * i + 1))
    });
    /// Sums of products of neighbours, the first operand's bytes unsigned, the second's signed; saturates.
    Pmaddubsw: |N, a, b, imm| build::<i16, N>(|i| {
        let product = |i| i32::from(get::<u8, N>(a, i)) * i32::from(get::<i8, N>(b, i));
        saturate_i16(product(2 * i) + product(2 * i + 1))
    });
    /// The sum of the eight absolute differences in each 64 bits.
    Psadbw: |N, a, b, imm| build::<u64, N>(|word| {
        (0..8).map(|i| u64::from(get::<u8, N>(a, 8 * word + i).abs_diff(get::<u8, N>(b, 8 * word + i)))).sum()
    });
    Phaddw: |N, a, b, imm| horizontal::<u16, N>(a, b, u16::wrapping_add);
    Phaddd: |N, a, b, imm| horizontal::<u32, N>(a, b, u32::wrapping_add);
    Phaddsw: |N, a, b, imm| horizontal::<i16, N>(a, b, i16::saturating_add);
    Phsubw: |N, a, b, imm| horizontal::<u16, N>(a, b, u16::wrapping_sub);
    Phsubd: |N, a, b, imm| horizontal::<u32, N>(a, b, u32::wrapping_sub);
    Phsubsw: |N, a, b, imm| horizontal::<i16, N>(a, b, i16::saturating_sub);
}

/// Clamps to a signed word.
#[inline(always)]
pub(crate) fn saturate_i16(value: i32) -> i16 {
    value.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

/// Combines neighbours: those of `a` give the lower half, those of `b` the upper.
#[inline(always)]
fn horizontal<T: super::lanes::Lane, const N: usize>(a: [u64; N], b: [u64; N], f: impl Fn(T, T) -> T) -> [u64; N] {
    let half = count::<T, N>() / 2;
    build::<T, N>(|i| {
        let (from, i) = if i < half { (a, i) } else { (b, i - half) };
        f(get(from, 2 * i), get(from, 2 * i + 1))
    })
}

/// The family's rows for XMM.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    xmm_rows!(rows:
        Paddb => Paddb_xmm_xmmm128, Paddw => Paddw_xmm_xmmm128, Paddd => Paddd_xmm_xmmm128, Paddq => Paddq_xmm_xmmm128,
        Psubb => Psubb_xmm_xmmm128, Psubw => Psubw_xmm_xmmm128, Psubd => Psubd_xmm_xmmm128, Psubq => Psubq_xmm_xmmm128,
        Paddsb => Paddsb_xmm_xmmm128, Paddsw => Paddsw_xmm_xmmm128,
        Paddusb => Paddusb_xmm_xmmm128, Paddusw => Paddusw_xmm_xmmm128,
        Psubsb => Psubsb_xmm_xmmm128, Psubsw => Psubsw_xmm_xmmm128,
        Psubusb => Psubusb_xmm_xmmm128, Psubusw => Psubusw_xmm_xmmm128,
        Pcmpeqb => Pcmpeqb_xmm_xmmm128, Pcmpeqw => Pcmpeqw_xmm_xmmm128,
        Pcmpeqd => Pcmpeqd_xmm_xmmm128, Pcmpeqq => Pcmpeqq_xmm_xmmm128,
        Pcmpgtb => Pcmpgtb_xmm_xmmm128, Pcmpgtw => Pcmpgtw_xmm_xmmm128,
        Pcmpgtd => Pcmpgtd_xmm_xmmm128, Pcmpgtq => Pcmpgtq_xmm_xmmm128,
        Pminsb => Pminsb_xmm_xmmm128, Pminsw => Pminsw_xmm_xmmm128, Pminsd => Pminsd_xmm_xmmm128,
        Pminub => Pminub_xmm_xmmm128, Pminuw => Pminuw_xmm_xmmm128, Pminud => Pminud_xmm_xmmm128,
        Pmaxsb => Pmaxsb_xmm_xmmm128, Pmaxsw => Pmaxsw_xmm_xmmm128, Pmaxsd => Pmaxsd_xmm_xmmm128,
        Pmaxub => Pmaxub_xmm_xmmm128, Pmaxuw => Pmaxuw_xmm_xmmm128, Pmaxud => Pmaxud_xmm_xmmm128,
        Pavgb => Pavgb_xmm_xmmm128, Pavgw => Pavgw_xmm_xmmm128,
        Pmullw => Pmullw_xmm_xmmm128, Pmulld => Pmulld_xmm_xmmm128, Pmulhw => Pmulhw_xmm_xmmm128,
        Pmulhuw => Pmulhuw_xmm_xmmm128, Pmulhrsw => Pmulhrsw_xmm_xmmm128,
        Pmuludq => Pmuludq_xmm_xmmm128, Pmuldq => Pmuldq_xmm_xmmm128,
        Psignb => Psignb_xmm_xmmm128, Psignw => Psignw_xmm_xmmm128, Psignd => Psignd_xmm_xmmm128,
        Pand => Pand_xmm_xmmm128, Pandn => Pandn_xmm_xmmm128, Por => Por_xmm_xmmm128, Pxor => Pxor_xmm_xmmm128,
        Pand => Andps_xmm_xmmm128, Pandn => Andnps_xmm_xmmm128, Por => Orps_xmm_xmmm128, Pxor => Xorps_xmm_xmmm128,
        Pand => Andpd_xmm_xmmm128, Pandn => Andnpd_xmm_xmmm128, Por => Orpd_xmm_xmmm128, Pxor => Xorpd_xmm_xmmm128,
        Pabsb => Pabsb_xmm_xmmm128, Pabsw => Pabsw_xmm_xmmm128, Pabsd => Pabsd_xmm_xmmm128,
        Pmaddwd => Pmaddwd_xmm_xmmm128, Pmaddubsw => Pmaddubsw_xmm_xmmm128, Psadbw => Psadbw_xmm_xmmm128,
        Phaddw => Phaddw_xmm_xmmm128, Phaddd => Phaddd_xmm_xmmm128, Phaddsw => Phaddsw_xmm_xmmm128,
        Phsubw => Phsubw_xmm_xmmm128, Phsubd => Phsubd_xmm_xmmm128, Phsubsw => Phsubsw_xmm_xmmm128,
    );
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pmaddubsw_saturates_both_ways_and_takes_the_first_operand_unsigned() {
        let a = [0x00ff_ffff_ffff_ffff; 1];
        let b = [0x0001_7f7f_8080_ff02; 1];
        // 255*2 - 255, 2 * 255 * -128, 2 * 255 * 127, 255 * 1
        assert_eq!(Pmaddubsw::apply(a, b, 0), [0x00ff_7fff_8000_00ff]);
    }

    #[test]
    fn pmaddwd_wraps_only_for_four_times_the_smallest() {
        assert_eq!(Pmaddwd::apply([0x8000_8000u64], [0x8000_8000], 0), [0x8000_0000]);
    }

    #[test]
    fn pmulhrsw_rounds_and_the_smallest_squared_stays_negative() {
        assert_eq!(Pmulhrsw::apply([0x8000_4000u64], [0x8000_0001], 0), [0x8000_0001]);
    }
}
