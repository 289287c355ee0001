//! Moves between vector registers, memory and general registers; masks of sign bits.

use super::lanes::{Xmm, count, get};
use super::operand::{put_m128, with_m128, with_m128_unaligned};
use crate::fault::Fault;
use crate::mmu::{Access, Int};
use crate::op::{Op, Slot, Traits};
use crate::ops::operand::{put_operand, with_operand};
use crate::state::Vcpu;
use crate::table::{Row, Unit};
use iced_x86::Code;
use lockstep_fabric::Bus;

type Done = Result<(), Fault>;

/// MOVAPS and its kin between registers.
fn move_reg(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    cpu.set_xmm(op.dst, cpu.xmm(op.src));
    Ok(())
}

fn load_aligned(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    with_m128(cpu, bus, op, |cpu, op, value| {
        cpu.set_xmm(op.dst, value);
        Ok(())
    })
}

fn load_unaligned(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    with_m128_unaligned(cpu, bus, op, |cpu, op, value| {
        cpu.set_xmm(op.dst, value);
        Ok(())
    })
}

fn store_aligned(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    put_m128::<true>(cpu, bus, op, cpu.xmm(op.dst))
}

fn store_unaligned(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    put_m128::<false>(cpu, bus, op, cpu.xmm(op.dst))
}

/// MOVSS between registers: the low lane alone.
fn movss_reg(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    let low = cpu.xmm(op.src)[0] as u32;
    cpu.set_low(op.dst, low);
    Ok(())
}

/// MOVSD between registers: the low lane alone.
fn movsd_reg(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    cpu.vec[op.dst.number()].0[0] = cpu.xmm(op.src)[0];
    Ok(())
}

/// MOVSS, MOVSD, MOVD, MOVQ from memory: the rest of the register is cleared.
fn load_scalar<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    with_operand::<T>(cpu, bus, op, |cpu, op, value| {
        cpu.set_xmm(op.dst, [value.zero_extend(), 0]);
        Ok(())
    })
}

/// MOVSS, MOVSD, MOVD, MOVQ, MOVLPS to memory.
fn store_scalar<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    put_operand(cpu, bus, op, T::truncate(cpu.xmm(op.dst)[0]))
}

/// MOVQ between XMM registers.
fn movq_reg(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    cpu.set_xmm(op.dst, [cpu.xmm(op.src)[0], 0]);
    Ok(())
}

fn load_low(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    with_operand::<u64>(cpu, bus, op, |cpu, op, value| {
        cpu.vec[op.dst.number()].0[0] = value;
        Ok(())
    })
}

fn load_high(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    with_operand::<u64>(cpu, bus, op, |cpu, op, value| {
        cpu.vec[op.dst.number()].0[1] = value;
        Ok(())
    })
}

fn store_high(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    put_operand(cpu, bus, op, cpu.xmm(op.dst)[1])
}

fn movhlps(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    cpu.vec[op.dst.number()].0[0] = cpu.xmm(op.src)[1];
    Ok(())
}

fn movlhps(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    cpu.vec[op.dst.number()].0[1] = cpu.xmm(op.src)[0];
    Ok(())
}

fn movddup_reg(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    cpu.set_xmm(op.dst, [cpu.xmm(op.src)[0]; 2]);
    Ok(())
}

fn movddup_mem(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    let value: u64 = cpu.load_operand(bus, op)?;
    cpu.set_xmm(op.dst, [value; 2]);
    Ok(())
}

/// MOVD and MOVQ from a general register.
fn from_gpr<T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    let value: T = cpu.read_gpr(op.src, 0);
    cpu.set_xmm(op.dst, [value.zero_extend(), 0]);
    Ok(())
}

/// MOVD and MOVQ to a general register.
fn to_gpr<T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    cpu.write_gpr(op.dst, 0, T::truncate(cpu.xmm(op.src)[0]));
    Ok(())
}

/// MOVNTI.
fn store_gpr<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    cpu.store_operand::<T>(bus, op, cpu.read_gpr(op.dst, 0))
}

/// One bit from the top of each byte.
#[inline(always)]
pub(crate) fn byte_signs<const N: usize>(v: [u64; N]) -> u64 {
    // The product gathers bit 7 of byte i at bit 56 + i.
    let gather = |word: u64| ((word >> 7 & 0x0101_0101_0101_0101).wrapping_mul(0x0102_0408_1020_4080)) >> 56;
    v.iter().rev().fold(0, |bits, word| bits << 8 | gather(*word))
}

fn pmovmskb(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    cpu.write_gpr(op.dst, 0, byte_signs(cpu.xmm(op.src)));
    Ok(())
}

fn movmskps(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    let [low, high] = cpu.xmm(op.src);
    let pair = |word: u64| word >> 31 & 1 | word >> 62 & 2;
    cpu.write_gpr(op.dst, 0, pair(low) | pair(high) << 2);
    Ok(())
}

fn movmskpd(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    let [low, high] = cpu.xmm(op.src);
    cpu.write_gpr(op.dst, 0, low >> 63 | high >> 62 & 2);
    Ok(())
}

fn maskmovdqu(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    let (value, mask) = (cpu.xmm(op.dst), cpu.xmm(op.src));
    store_masked(cpu, bus, op, value, mask)
}

/// Stores to RDI the bytes whose mask byte has its top bit set; only those can fault.
pub(crate) fn store_masked<const N: usize>(
    cpu: &mut Vcpu,
    bus: &mut Bus,
    op: &Op,
    value: [u64; N],
    mask: [u64; N],
) -> Done {
    let width = if op.is(Traits::ADDRESS32) {
        0xffff_ffff
    } else if op.is(Traits::ADDRESS16) {
        0xffff
    } else {
        u64::MAX
    };
    let signs = byte_signs(mask);
    let start = cpu.gpr[Slot::RDI.number()];
    let mut at = [0; 16];
    for (i, at) in at.iter_mut().enumerate().take(count::<u8, N>()).filter(|(i, _)| signs >> i & 1 != 0) {
        let offset = start.wrapping_add(i as u64) & width;
        *at = cpu.segmented(usize::from(op.seg), offset, 1, Access::Write)?;
        cpu.probe_write(bus, *at, 1)?;
    }
    for (i, at) in at.iter().enumerate().take(count::<u8, N>()).filter(|(i, _)| signs >> i & 1 != 0) {
        cpu.store(bus, *at, get::<u8, N>(value, i))?;
    }
    Ok(())
}

impl Vcpu {
    /// Replaces the lowest 32 bits of an XMM register.
    #[inline(always)]
    pub(crate) fn set_low(&mut self, slot: Slot, value: u32) {
        let word = &mut self.vec[slot.number()].0[0];
        *word = *word & !0xffff_ffff | u64::from(value);
    }

    /// Replaces both words of an XMM register through a change of its value.
    #[inline(always)]
    pub(crate) fn change_xmm(&mut self, slot: Slot, change: impl FnOnce(Xmm) -> Xmm) {
        self.set_xmm(slot, change(self.xmm(slot)));
    }
}

/// The family's rows.
pub(super) fn rows() -> Vec<Row> {
    let rows = [
        Row::new(Code::Movaps_xmm_xmmm128, move_reg, load_aligned),
        Row::new(Code::Movapd_xmm_xmmm128, move_reg, load_aligned),
        Row::new(Code::Movdqa_xmm_xmmm128, move_reg, load_aligned),
        Row::new(Code::Movups_xmm_xmmm128, move_reg, load_unaligned),
        Row::new(Code::Movupd_xmm_xmmm128, move_reg, load_unaligned),
        Row::new(Code::Movdqu_xmm_xmmm128, move_reg, load_unaligned),
        Row::single(Code::Lddqu_xmm_m128, load_unaligned),
        Row::single(Code::Movntdqa_xmm_m128, load_aligned),
        Row::new(Code::Movaps_xmmm128_xmm, move_reg, store_aligned),
        Row::new(Code::Movapd_xmmm128_xmm, move_reg, store_aligned),
        Row::new(Code::Movdqa_xmmm128_xmm, move_reg, store_aligned),
        Row::new(Code::Movups_xmmm128_xmm, move_reg, store_unaligned),
        Row::new(Code::Movupd_xmmm128_xmm, move_reg, store_unaligned),
        Row::new(Code::Movdqu_xmmm128_xmm, move_reg, store_unaligned),
        Row::single(Code::Movntps_m128_xmm, store_aligned),
        Row::single(Code::Movntpd_m128_xmm, store_aligned),
        Row::single(Code::Movntdq_m128_xmm, store_aligned),
        Row::new(Code::Movss_xmm_xmmm32, movss_reg, load_scalar::<u32>),
        Row::new(Code::Movsd_xmm_xmmm64, movsd_reg, load_scalar::<u64>),
        Row::new(Code::Movss_xmmm32_xmm, movss_reg, store_scalar::<u32>),
        Row::new(Code::Movsd_xmmm64_xmm, movsd_reg, store_scalar::<u64>),
        Row::new(Code::Movq_xmm_xmmm64, movq_reg, load_scalar::<u64>),
        Row::new(Code::Movq_xmmm64_xmm, movq_reg, store_scalar::<u64>),
        Row::new(Code::Movd_xmm_rm32, from_gpr::<u32>, load_scalar::<u32>),
        Row::new(Code::Movq_xmm_rm64, from_gpr::<u64>, load_scalar::<u64>),
        Row::new(Code::Movd_rm32_xmm, to_gpr::<u32>, store_scalar::<u32>),
        Row::new(Code::Movq_rm64_xmm, to_gpr::<u64>, store_scalar::<u64>),
        Row::single(Code::Movlps_xmm_m64, load_low),
        Row::single(Code::Movlpd_xmm_m64, load_low),
        Row::single(Code::Movhps_xmm_m64, load_high),
        Row::single(Code::Movhpd_xmm_m64, load_high),
        Row::single(Code::Movlps_m64_xmm, store_scalar::<u64>),
        Row::single(Code::Movlpd_m64_xmm, store_scalar::<u64>),
        Row::single(Code::Movhps_m64_xmm, store_high),
        Row::single(Code::Movhpd_m64_xmm, store_high),
        Row::single(Code::Movhlps_xmm_xmm, movhlps),
        Row::single(Code::Movlhps_xmm_xmm, movlhps),
        Row::new(Code::Movddup_xmm_xmmm64, movddup_reg, movddup_mem),
        Row::single(Code::Pmovmskb_r32_xmm, pmovmskb),
        Row::single(Code::Pmovmskb_r64_xmm, pmovmskb),
        Row::single(Code::Movmskps_r32_xmm, movmskps),
        Row::single(Code::Movmskps_r64_xmm, movmskps),
        Row::single(Code::Movmskpd_r32_xmm, movmskpd),
        Row::single(Code::Movmskpd_r64_xmm, movmskpd),
        Row::single(Code::Maskmovdqu_rDI_xmm_xmm, maskmovdqu),
    ];
    let mut rows = rows.map(|row| row.unit(Unit::Sse)).to_vec();
    // MOVNTI moves a general register and needs no SSE state.
    rows.push(Row::single(Code::Movnti_m32_r32, store_gpr::<u32>));
    rows.push(Row::single(Code::Movnti_m64_r64, store_gpr::<u64>));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_signs_come_in_order() {
        assert_eq!(byte_signs([0x8000_0000_0000_0080, 0x0080_0000_0000_ff7f]), 0b0100_0010_1000_0001);
    }
}
