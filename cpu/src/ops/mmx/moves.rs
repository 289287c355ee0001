//! Moves to and from MMX registers.

use crate::fault::Fault;
use crate::mmu::{Bank, Int};
use crate::op::{Op, Slot};
use crate::ops::sse::lanes::{get, with};
use crate::ops::sse::moves::{byte_signs, store_masked};
use crate::state::Vcpu;
use crate::table::{Row, Unit};
use iced_x86::Code;
use lockstep_fabric::Bus;

type Done = Result<(), Fault>;

fn move_reg(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    cpu.wait_for_x87()?;
    cpu.set_mm(op.dst, cpu.mm(op.src));
    Ok(())
}

fn load<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    cpu.wait_for_x87()?;
    let value: T = cpu.load_operand(bus, op)?;
    cpu.set_mm(op.dst, [value.zero_extend()]);
    Ok(())
}

fn store<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    cpu.wait_for_x87()?;
    cpu.store_operand(bus, op, T::truncate(cpu.mm(op.dst)[0]))?;
    cpu.enter_mmx();
    Ok(())
}

fn from_gpr<T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    cpu.wait_for_x87()?;
    let value: T = cpu.read_gpr(op.src, 0);
    cpu.set_mm(op.dst, [value.zero_extend()]);
    Ok(())
}

fn to_gpr<T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    cpu.wait_for_x87()?;
    cpu.enter_mmx();
    cpu.write_gpr(op.dst, 0, T::truncate(cpu.mm(op.src)[0]));
    Ok(())
}

fn pmovmskb(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    cpu.wait_for_x87()?;
    cpu.enter_mmx();
    cpu.write_gpr(op.dst, 0, byte_signs(cpu.mm(op.src)));
    Ok(())
}

fn maskmovq(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    cpu.wait_for_x87()?;
    // Unlike MASKMOVDQU it checks the alignment of the whole, whatever the mask.
    if cpu.bank == Bank::Checked && cpu.gpr[Slot::RDI.number()] & 7 != 0 {
        return Err(Fault::AC0);
    }
    let (value, mask) = (cpu.mm(op.dst), cpu.mm(op.src));
    store_masked(cpu, bus, op, value, mask)?;
    cpu.enter_mmx();
    Ok(())
}

fn pextrw(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    cpu.wait_for_x87()?;
    cpu.enter_mmx();
    let value: u16 = get(cpu.mm(op.src), op.imm as usize);
    cpu.write_gpr(op.dst, 0, u64::from(value));
    Ok(())
}

fn pinsrw_reg(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    cpu.wait_for_x87()?;
    let value: u16 = cpu.read_gpr(op.src, 0);
    cpu.set_mm(op.dst, with(cpu.mm(op.dst), op.imm as usize, value));
    Ok(())
}

fn pinsrw_mem(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    cpu.wait_for_x87()?;
    let value: u16 = cpu.load_operand(bus, op)?;
    cpu.set_mm(op.dst, with(cpu.mm(op.dst), op.imm as usize, value));
    Ok(())
}

fn movq2dq(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    cpu.wait_for_x87()?;
    cpu.enter_mmx();
    cpu.set_xmm(op.dst, [cpu.mm(op.src)[0], 0]);
    Ok(())
}

fn movdq2q(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    cpu.wait_for_x87()?;
    let [low, _] = cpu.xmm(op.src);
    cpu.set_mm(op.dst, [low]);
    Ok(())
}

/// The family's rows.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = [
        Row::new(Code::Movq_mm_mmm64, move_reg, load::<u64>),
        Row::new(Code::Movq_mmm64_mm, move_reg, store::<u64>),
        Row::single(Code::Movntq_m64_mm, store::<u64>),
        Row::new(Code::Movd_mm_rm32, from_gpr::<u32>, load::<u32>),
        Row::new(Code::Movq_mm_rm64, from_gpr::<u64>, load::<u64>),
        Row::new(Code::Movd_rm32_mm, to_gpr::<u32>, store::<u32>),
        Row::new(Code::Movq_rm64_mm, to_gpr::<u64>, store::<u64>),
        Row::single(Code::Pmovmskb_r32_mm, pmovmskb),
        Row::single(Code::Pmovmskb_r64_mm, pmovmskb),
        Row::single(Code::Maskmovq_rDI_mm_mm, maskmovq),
        Row::single(Code::Pextrw_r32_mm_imm8, pextrw),
        Row::single(Code::Pextrw_r64_mm_imm8, pextrw),
        Row::new(Code::Pinsrw_mm_r32m16_imm8, pinsrw_reg, pinsrw_mem),
        Row::new(Code::Pinsrw_mm_r64m16_imm8, pinsrw_reg, pinsrw_mem),
    ]
    .map(|row| row.unit(Unit::Mmx))
    .to_vec();
    // These touch XMM registers too, so that SSE must be enabled.
    rows.push(Row::single(Code::Movq2dq_xmm_mm, movq2dq).unit(Unit::Sse));
    rows.push(Row::single(Code::Movdq2q_mm_xmm, movdq2q).unit(Unit::Sse));
    rows
}
