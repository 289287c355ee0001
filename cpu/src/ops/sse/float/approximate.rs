//! RCP and RSQRT: [`crate::float::approx`] says which value within the manual's bound they give. They raise nothing.

use crate::fault::Fault;
use crate::float::approx;
use crate::op::Op;
use crate::ops::sse::lanes::map;
use crate::state::Vcpu;
use crate::table::{Row, Unit};
use iced_x86::Code;
use lockstep_fabric::Bus;

type Done = Result<(), Fault>;

trait Approximate {
    fn of(a: u32) -> u32;
}

struct Rcp;
struct Rsqrt;

impl Approximate for Rcp {
    fn of(a: u32) -> u32 {
        approx::rcp(a)
    }
}

impl Approximate for Rsqrt {
    fn of(a: u32) -> u32 {
        approx::rsqrt(a)
    }
}

fn scalar_reg<A: Approximate>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    let result = A::of(cpu.xmm(op.src)[0] as u32);
    cpu.set_low(op.dst, result);
    Ok(())
}

fn scalar_mem<A: Approximate>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    let b = cpu.load_operand(bus, op)?;
    cpu.set_low(op.dst, A::of(b));
    Ok(())
}

fn packed_reg<A: Approximate>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    let result = map::<u32, 2>(cpu.xmm(op.src), A::of);
    cpu.set_xmm(op.dst, result);
    Ok(())
}

fn packed_mem<A: Approximate>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    let b = cpu.load_xmm(bus, op)?;
    cpu.set_xmm(op.dst, map::<u32, 2>(b, A::of));
    Ok(())
}

/// The family's rows. Host CPUs differ within the bound, so they cannot be tried there.
pub(super) fn rows() -> Vec<Row> {
    [
        Row::new(Code::Rcpss_xmm_xmmm32, scalar_reg::<Rcp>, scalar_mem::<Rcp>),
        Row::new(Code::Rcpps_xmm_xmmm128, packed_reg::<Rcp>, packed_mem::<Rcp>),
        Row::new(Code::Rsqrtss_xmm_xmmm32, scalar_reg::<Rsqrt>, scalar_mem::<Rsqrt>),
        Row::new(Code::Rsqrtps_xmm_xmmm128, packed_reg::<Rsqrt>, packed_mem::<Rsqrt>),
    ]
    .map(|row| row.unit(Unit::Sse).system())
    .to_vec()
}
