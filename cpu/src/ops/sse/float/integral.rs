//! ROUNDPS, ROUNDPD, ROUNDSS, ROUNDSD.

use super::real::Real;
use crate::fault::Fault;
use crate::float::integral::round_to_integral;
use crate::float::{Env, Flags, Rounding};
use crate::op::{Op, Slot};
use crate::ops::sse::lanes::{Xmm, build, get};
use crate::state::Vcpu;
use crate::table::{Row, Unit};
use iced_x86::Code;
use lockstep_fabric::Bus;

type Done = Result<(), Fault>;

/// Bit 2 of the immediate: MXCSR gives the rounding mode.
const BY_MXCSR: u64 = 1 << 2;
/// Bit 3: an inexact result is not reported.
const QUIET: u64 = 1 << 3;

fn round<R: Real>(a: R, imm: u64, env: &mut Env) -> R {
    let rounding = if imm & BY_MXCSR != 0 { env.rounding() } else { Rounding::from_bits(imm as u32) };
    round_to_integral(a, rounding, env)
}

/// Settles what was raised, less inexactness if the immediate says so.
fn settle(cpu: &mut Vcpu, imm: u64, mut env: Env) -> Done {
    if imm & QUIET != 0 {
        let raised = env.take_raised();
        env.raise(raised & !Flags::PE);
    }
    cpu.settle(&env)
}

fn packed<R: Real>(cpu: &mut Vcpu, slot: Slot, b: Xmm, imm: u64) -> Done {
    let mut env = cpu.sse_env();
    let result = build::<R, 2>(|i| round(get(b, i), imm, &mut env));
    settle(cpu, imm, env)?;
    cpu.set_xmm(slot, result);
    Ok(())
}

fn scalar<R: Real>(cpu: &mut Vcpu, slot: Slot, b: R, imm: u64) -> Done {
    let mut env = cpu.sse_env();
    let result = round(b, imm, &mut env);
    settle(cpu, imm, env)?;
    result.set_low(cpu, slot);
    Ok(())
}

fn packed_reg<R: Real>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    let b = cpu.xmm(op.src);
    packed::<R>(cpu, op.dst, b, op.imm)
}

fn packed_mem<R: Real>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    let b = cpu.load_xmm(bus, op)?;
    packed::<R>(cpu, op.dst, b, op.imm)
}

fn scalar_reg<R: Real>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    let b = R::low(cpu.xmm(op.src));
    scalar::<R>(cpu, op.dst, b, op.imm)
}

fn scalar_mem<R: Real>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    let b: R = cpu.load_operand(bus, op)?;
    scalar::<R>(cpu, op.dst, b, op.imm)
}

/// The family's rows.
pub(super) fn rows() -> Vec<Row> {
    [
        Row::new(Code::Roundps_xmm_xmmm128_imm8, packed_reg::<u32>, packed_mem::<u32>),
        Row::new(Code::Roundpd_xmm_xmmm128_imm8, packed_reg::<u64>, packed_mem::<u64>),
        Row::new(Code::Roundss_xmm_xmmm32_imm8, scalar_reg::<u32>, scalar_mem::<u32>),
        Row::new(Code::Roundsd_xmm_xmmm64_imm8, scalar_reg::<u64>, scalar_mem::<u64>),
    ]
    .map(|row| row.unit(Unit::Sse))
    .to_vec()
}
