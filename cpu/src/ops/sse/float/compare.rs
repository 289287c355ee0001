//! CMPccPS and its kin, COMISS, UCOMISS.

use super::real::{Real, any, irregulars};
use crate::fault::Fault;
use crate::float::compare::{Relation, Signal, compare, predicate};
use crate::op::{Op, Slot};
use crate::ops::operand::with_operand;
use crate::ops::sse::lanes::{Xmm, build, get, zip};
use crate::state::{Rflags, Vcpu};
use crate::table::{Row, Unit};
use iced_x86::Code;
use lockstep_fabric::Bus;

type Done = Result<(), Fault>;

/// All ones for true.
#[inline(always)]
fn mask<R: Real>(holds: bool) -> R {
    R::truncate(if holds { u64::MAX } else { 0 })
}

/// Legacy encodings have eight predicates: four relations and their negations.
#[inline(always)]
fn host<R: Real>(a: Xmm, b: Xmm, imm: u64) -> Xmm {
    let r = match imm & 3 {
        0 => zip::<R, 2>(a, b, |x, y| mask(x.equal(y))),
        1 => zip::<R, 2>(a, b, |x, y| mask(x.less(y))),
        2 => zip::<R, 2>(a, b, |x, y| mask(!y.less(x))),
        _ => [0; 2],
    };
    if imm & 4 != 0 { r.map(|word| !word) } else { r }
}

#[inline(always)]
fn packed<R: Real>(cpu: &mut Vcpu, slot: Slot, b: Xmm, imm: u64) -> Done {
    let a = cpu.xmm(slot);
    let r = host::<R>(a, b, imm);
    if !any::<R>(|x, y, _| irregulars::<R>(x) | irregulars::<R>(y), a, b, r) {
        cpu.set_xmm(slot, r);
        return Ok(());
    }
    soft_packed::<R>(cpu, slot, b, imm)
}

#[cold]
#[inline(never)]
fn soft_packed<R: Real>(cpu: &mut Vcpu, slot: Slot, b: Xmm, imm: u64) -> Done {
    let (a, mut env) = (cpu.xmm(slot), cpu.sse_env());
    let r = build::<R, 2>(|i| mask(predicate::<R>(get(a, i), get(b, i), imm as u8 & 7, &mut env)));
    cpu.settle(&env)?;
    cpu.set_xmm(slot, r);
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

#[inline(always)]
fn scalar<R: Real>(cpu: &mut Vcpu, slot: Slot, b: R, imm: u64) -> Done {
    let a = R::low(cpu.xmm(slot));
    if !(a.is_regular() && b.is_regular()) {
        return soft_scalar(cpu, slot, b, imm);
    }
    let holds = match imm & 3 {
        0 => a.equal(b),
        1 => a.less(b),
        2 => !b.less(a),
        _ => false,
    };
    mask::<R>(holds != (imm & 4 != 0)).set_low(cpu, slot);
    Ok(())
}

#[cold]
#[inline(never)]
fn soft_scalar<R: Real>(cpu: &mut Vcpu, slot: Slot, b: R, imm: u64) -> Done {
    let mut env = cpu.sse_env();
    let holds = predicate(R::low(cpu.xmm(slot)), b, imm as u8 & 7, &mut env);
    cpu.settle(&env)?;
    mask::<R>(holds).set_low(cpu, slot);
    Ok(())
}

fn scalar_reg<R: Real>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    let b = R::low(cpu.xmm(op.src));
    scalar::<R>(cpu, op.dst, b, op.imm)
}

fn scalar_mem<R: Real>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    let b: R = cpu.load_operand(bus, op)?;
    scalar::<R>(cpu, op.dst, b, op.imm)
}

/// COMISS (any NaN is invalid) and UCOMISS (signalling ones are).
#[inline(always)]
fn to_flags<R: Real, const ANY: bool>(cpu: &mut Vcpu, slot: Slot, b: R) -> Done {
    let a = R::low(cpu.xmm(slot));
    if !(a.is_regular() && b.is_regular()) {
        return soft_flags::<R, ANY>(cpu, a, b);
    }
    set_flags(cpu, a.equal(b), false, a.less(b));
    Ok(())
}

#[cold]
#[inline(never)]
fn soft_flags<R: Real, const ANY: bool>(cpu: &mut Vcpu, a: R, b: R) -> Done {
    let mut env = cpu.sse_env();
    let signal = if ANY { Signal::Any } else { Signal::Signalling };
    let relation = compare(a, b, signal, &mut env);
    cpu.settle(&env)?;
    let unordered = relation == Relation::Unordered;
    set_flags(cpu, unordered || relation == Relation::Equal, unordered, unordered || relation == Relation::Less);
    Ok(())
}

/// ZF, PF, CF; the other status flags are cleared.
#[inline(always)]
fn set_flags(cpu: &mut Vcpu, zero: bool, parity: bool, carry: bool) {
    let flag = |on: bool, flag: Rflags| if on { flag.bits() } else { 0 };
    let bits = flag(zero, Rflags::ZF) | flag(parity, Rflags::PF) | flag(carry, Rflags::CF);
    cpu.flags.put_status(Rflags::from_bits_retain(bits));
}

fn flags_reg<R: Real, const ANY: bool>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    let b = R::low(cpu.xmm(op.src));
    to_flags::<R, ANY>(cpu, op.dst, b)
}

fn flags_mem<R: Real, const ANY: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    with_operand(cpu, bus, op, |cpu, op, b| to_flags::<R, ANY>(cpu, op.dst, b))
}

/// The family's rows.
pub(super) fn rows() -> Vec<Row> {
    [
        Row::new(Code::Cmpps_xmm_xmmm128_imm8, packed_reg::<u32>, packed_mem::<u32>),
        Row::new(Code::Cmppd_xmm_xmmm128_imm8, packed_reg::<u64>, packed_mem::<u64>),
        Row::new(Code::Cmpss_xmm_xmmm32_imm8, scalar_reg::<u32>, scalar_mem::<u32>),
        Row::new(Code::Cmpsd_xmm_xmmm64_imm8, scalar_reg::<u64>, scalar_mem::<u64>),
        Row::new(Code::Comiss_xmm_xmmm32, flags_reg::<u32, true>, flags_mem::<u32, true>),
        Row::new(Code::Comisd_xmm_xmmm64, flags_reg::<u64, true>, flags_mem::<u64, true>),
        Row::new(Code::Ucomiss_xmm_xmmm32, flags_reg::<u32, false>, flags_mem::<u32, false>),
        Row::new(Code::Ucomisd_xmm_xmmm64, flags_reg::<u64, false>, flags_mem::<u64, false>),
    ]
    .map(|row| row.unit(Unit::Sse))
    .to_vec()
}
