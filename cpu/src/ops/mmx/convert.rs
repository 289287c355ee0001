//! Conversions between XMM floating point and doublewords in MMX registers.

use crate::fault::Fault;
use crate::op::{Op, Slot};
use crate::ops::sse::float::convert::{Convert, Dq2pd, Dq2ps, ToDwords};
use crate::state::Vcpu;
use crate::table::{Row, Unit};
use iced_x86::Code;
use lockstep_fabric::Bus;

type Done = Result<(), Fault>;

/// CVTPI2PS: the low two lanes alone.
fn to_singles(cpu: &mut Vcpu, slot: Slot, a: u64) -> Done {
    // The upper lanes are zeros, whose conversion raises nothing.
    let low = cpu.converted::<Dq2ps>([a, 0])?[0];
    cpu.vec[slot.number()].0[0] = low;
    Ok(())
}

fn cvtpi2ps_reg(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    cpu.wait_for_x87()?;
    let [a] = cpu.mm(op.src);
    to_singles(cpu, op.dst, a)?;
    cpu.enter_mmx();
    Ok(())
}

/// Without an MMX register among the operands the x87 unit is left alone.
fn cvtpi2ps_mem(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    let a = cpu.load_operand(bus, op)?;
    to_singles(cpu, op.dst, a)
}

fn cvtpi2pd_reg(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    cpu.wait_for_x87()?;
    let [a] = cpu.mm(op.src);
    let result = cpu.converted::<Dq2pd>([a, 0])?;
    cpu.set_xmm(op.dst, result);
    cpu.enter_mmx();
    Ok(())
}

fn cvtpi2pd_mem(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    let a = cpu.load_operand(bus, op)?;
    let result = cpu.converted::<Dq2pd>([a, 0])?;
    cpu.set_xmm(op.dst, result);
    Ok(())
}

/// CVTPS2PI, CVTPD2PI and their truncating kin.
fn to_mm<C: Convert>(cpu: &mut Vcpu, slot: Slot, a: [u64; 2]) -> Done {
    let [low, _] = cpu.converted::<C>(a)?;
    cpu.set_mm(slot, [low]);
    Ok(())
}

fn singles_reg<C: Convert>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    cpu.wait_for_x87()?;
    let [low, _] = cpu.xmm(op.src);
    to_mm::<C>(cpu, op.dst, [low, 0])
}

fn singles_mem<C: Convert>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    cpu.wait_for_x87()?;
    let low = cpu.load_operand(bus, op)?;
    to_mm::<C>(cpu, op.dst, [low, 0])
}

fn doubles_reg<C: Convert>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    cpu.wait_for_x87()?;
    let a = cpu.xmm(op.src);
    to_mm::<C>(cpu, op.dst, a)
}

fn doubles_mem<C: Convert>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    cpu.wait_for_x87()?;
    let a = cpu.load_xmm(bus, op)?;
    to_mm::<C>(cpu, op.dst, a)
}

/// The family's rows.
pub(super) fn rows() -> Vec<Row> {
    [
        Row::new(Code::Cvtpi2ps_xmm_mmm64, cvtpi2ps_reg, cvtpi2ps_mem),
        Row::new(Code::Cvtpi2pd_xmm_mmm64, cvtpi2pd_reg, cvtpi2pd_mem),
        Row::new(Code::Cvtps2pi_mm_xmmm64, singles_reg::<ToDwords<u32, false>>, singles_mem::<ToDwords<u32, false>>),
        Row::new(Code::Cvttps2pi_mm_xmmm64, singles_reg::<ToDwords<u32, true>>, singles_mem::<ToDwords<u32, true>>),
        Row::new(Code::Cvtpd2pi_mm_xmmm128, doubles_reg::<ToDwords<u64, false>>, doubles_mem::<ToDwords<u64, false>>),
        Row::new(Code::Cvttpd2pi_mm_xmmm128, doubles_reg::<ToDwords<u64, true>>, doubles_mem::<ToDwords<u64, true>>),
    ]
    .map(|row| row.unit(Unit::Sse))
    .to_vec()
}
