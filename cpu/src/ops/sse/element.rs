//! Single lanes in and out: PEXTR, PINSR, EXTRACTPS, INSERTPS.

use super::lanes::{Lane, Xmm, get, with};
use crate::fault::Fault;
use crate::mmu::Int;
use crate::op::Op;
use crate::state::Vcpu;
use crate::table::{Row, Unit};
use iced_x86::Code;
use lockstep_fabric::Bus;

type Done = Result<(), Fault>;

/// To a general register, zero-extended.
fn extract_reg<T: Int + Lane>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    let value: T = get(cpu.xmm(op.src), op.imm as usize);
    cpu.write_gpr(op.dst, 0, value.zero_extend());
    Ok(())
}

fn extract_mem<T: Int + Lane>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    cpu.store_operand::<T>(bus, op, get(cpu.xmm(op.dst), op.imm as usize))
}

fn insert_reg<T: Int + Lane>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    let value: T = cpu.read_gpr(op.src, 0);
    cpu.change_xmm(op.dst, |v| with(v, op.imm as usize, value));
    Ok(())
}

fn insert_mem<T: Int + Lane>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    let value: T = cpu.load_operand(bus, op)?;
    cpu.change_xmm(op.dst, |v| with(v, op.imm as usize, value));
    Ok(())
}

/// INSERTPS: destination lane in bits 5..4, lanes to clear in bits 3..0.
fn insert_and_clear(v: Xmm, value: u32, imm: u64) -> Xmm {
    let inserted = with(v, (imm >> 4 & 3) as usize, value);
    super::lanes::build::<u32, 2>(|i| if imm >> i & 1 != 0 { 0 } else { get(inserted, i) })
}

fn insertps_reg(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    let value = get::<u32, 2>(cpu.xmm(op.src), (op.imm >> 6 & 3) as usize);
    cpu.change_xmm(op.dst, |v| insert_and_clear(v, value, op.imm));
    Ok(())
}

fn insertps_mem(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    let value = cpu.load_operand(bus, op)?;
    cpu.change_xmm(op.dst, |v| insert_and_clear(v, value, op.imm));
    Ok(())
}

/// The family's rows for XMM.
pub(super) fn rows() -> Vec<Row> {
    [
        Row::new(Code::Pextrb_r32m8_xmm_imm8, extract_reg::<u8>, extract_mem::<u8>),
        Row::new(Code::Pextrb_r64m8_xmm_imm8, extract_reg::<u8>, extract_mem::<u8>),
        Row::single(Code::Pextrw_r32_xmm_imm8, extract_reg::<u16>),
        Row::single(Code::Pextrw_r64_xmm_imm8, extract_reg::<u16>),
        Row::new(Code::Pextrw_r32m16_xmm_imm8, extract_reg::<u16>, extract_mem::<u16>),
        Row::new(Code::Pextrw_r64m16_xmm_imm8, extract_reg::<u16>, extract_mem::<u16>),
        Row::new(Code::Pextrd_rm32_xmm_imm8, extract_reg::<u32>, extract_mem::<u32>),
        Row::new(Code::Pextrq_rm64_xmm_imm8, extract_reg::<u64>, extract_mem::<u64>),
        Row::new(Code::Extractps_rm32_xmm_imm8, extract_reg::<u32>, extract_mem::<u32>),
        Row::new(Code::Extractps_r64m32_xmm_imm8, extract_reg::<u32>, extract_mem::<u32>),
        Row::new(Code::Pinsrb_xmm_r32m8_imm8, insert_reg::<u8>, insert_mem::<u8>),
        Row::new(Code::Pinsrb_xmm_r64m8_imm8, insert_reg::<u8>, insert_mem::<u8>),
        Row::new(Code::Pinsrw_xmm_r32m16_imm8, insert_reg::<u16>, insert_mem::<u16>),
        Row::new(Code::Pinsrw_xmm_r64m16_imm8, insert_reg::<u16>, insert_mem::<u16>),
        Row::new(Code::Pinsrd_xmm_rm32_imm8, insert_reg::<u32>, insert_mem::<u32>),
        Row::new(Code::Pinsrq_xmm_rm64_imm8, insert_reg::<u64>, insert_mem::<u64>),
        Row::new(Code::Insertps_xmm_xmmm32_imm8, insertps_reg, insertps_mem),
    ]
    .map(|row| row.unit(Unit::Sse))
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn insertps_clears_after_inserting() {
        let v = [0x2222_2222_1111_1111, 0x4444_4444_3333_3333];
        assert_eq!(insert_and_clear(v, 0xabcd, 0x28), [0x2222_2222_1111_1111, 0x0000_abcd]);
        assert_eq!(insert_and_clear(v, 0xabcd, 0x01), [0x2222_2222_0000_0000, v[1]]);
    }
}
