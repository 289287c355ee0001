//! DPPS and DPPD: products of the lanes that the immediate's high half names, summed pairwise, into those its low half names.

use super::real::Real;
use crate::fault::Fault;
use crate::float::{Env, arith};
use crate::op::{Op, Slot};
use crate::ops::sse::lanes::{Xmm, build, count, get};
use crate::state::Vcpu;
use crate::table::{Row, Unit};
use iced_x86::Code;
use lockstep_fabric::Bus;

type Done = Result<(), Fault>;

/// Each stage's exceptions are settled before the next stage computes.
fn dot<R: Real>(cpu: &mut Vcpu, slot: Slot, b: Xmm, imm: u64) -> Done {
    let a = cpu.xmm(slot);
    let lanes = count::<R, 2>();
    let products = stage(cpu, |env| {
        build::<R, 2>(|i| if imm >> (4 + i) & 1 != 0 { arith::mul(get(a, i), get(b, i), env) } else { R::zero(false) })
    })?;
    // Neighbours, then pairs. Among several NaNs an addition's first operand wins, so the order shows: as Intel's CPUs do,
    // DPPS takes a lane's neighbour first and then its own pair, DPPD the lane first.
    let swapped = usize::from(lanes == 4);
    let mut sums = stage(cpu, |env| {
        build::<R, 2>(|i| arith::add(get(products, i ^ swapped), get(products, i ^ swapped ^ 1), env))
    })?;
    if lanes == 4 {
        sums = stage(cpu, |env| build::<R, 2>(|i| arith::add(get(sums, i), get(sums, i ^ 2), env)))?;
    }
    cpu.set_xmm(slot, build::<R, 2>(|i| if imm >> i & 1 != 0 { get(sums, i) } else { R::zero(false) }));
    Ok(())
}

fn stage(cpu: &mut Vcpu, compute: impl FnOnce(&mut Env) -> Xmm) -> Result<Xmm, Fault> {
    let mut env = cpu.sse_env();
    let result = compute(&mut env);
    cpu.settle(&env)?;
    Ok(result)
}

fn dot_reg<R: Real>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    let b = cpu.xmm(op.src);
    dot::<R>(cpu, op.dst, b, op.imm)
}

fn dot_mem<R: Real>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    let b = cpu.load_xmm(bus, op)?;
    dot::<R>(cpu, op.dst, b, op.imm)
}

/// The family's rows.
pub(super) fn rows() -> Vec<Row> {
    [
        Row::new(Code::Dpps_xmm_xmmm128_imm8, dot_reg::<u32>, dot_mem::<u32>),
        Row::new(Code::Dppd_xmm_xmmm128_imm8, dot_reg::<u64>, dot_mem::<u64>),
    ]
    .map(|row| row.unit(Unit::Sse))
    .to_vec()
}
