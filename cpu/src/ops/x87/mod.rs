//! x87: the register stack, arithmetic, comparison, loads and stores, control and environment.
//!
//! [`unit`] knows the stack and its faults, [`image`] the environment's layouts; the other files are handlers, which
//! fetch operands, call the unit and store. A handler's first act is to deliver an exception that an earlier instruction
//! left pending; its last act that can fault is its access to memory.
//!
//! FIP, FDP and FOP are kept by every instruction but the control instructions. `Op::imm` carries the opcode's eleven bits.

#![allow(
    clippy::redundant_closure_for_method_calls,
    clippy::redundant_closure,
    reason = "a closure of its own is inlined into its handler, a method shared by several becomes a call"
)]

mod arith;
mod compare;
mod control;
mod function;
mod image;
mod memory;
mod moves;
mod unit;

#[cfg(all(test, target_arch = "x86_64"))]
mod host_tests;
#[cfg(test)]
mod tests;

pub(crate) use control::deliver_pending;

use crate::fault::Fault;
use crate::op::{Op, Slot};
use crate::state::{Vcpu, seg};
use crate::table::Row;
use lockstep_fabric::Bus;

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    [arith::rows(), compare::rows(), control::rows(), function::rows(), moves::rows()].concat()
}

/// The stack index that a register operand names.
#[inline(always)]
fn index(slot: Slot) -> u8 {
    slot as u8 & 7
}

/// Starts a waiting instruction: a pending exception comes first.
#[inline(always)]
fn begin(cpu: &mut Vcpu) -> Result<(), Fault> {
    if cpu.fpu.error_pending() { deliver_pending(cpu) } else { Ok(()) }
}

/// Notes the instruction and its opcode, as every one but the control instructions does.
#[inline(always)]
fn note(cpu: &mut Vcpu, op: &Op) {
    let ip = cpu.gpr[Slot::Ip.number()].wrapping_add(u64::from(op.next)).wrapping_sub(u64::from(op.len));
    cpu.fpu.instruction = ip;
    cpu.fpu.instruction_segment = cpu.seg[seg::CS].selector;
    cpu.fpu.opcode = op.imm as u16;
}

/// Notes the memory operand as well.
#[inline(always)]
fn note_operand(cpu: &mut Vcpu, op: &Op) {
    note(cpu, op);
    cpu.fpu.operand = cpu.effective_address(op);
    cpu.fpu.operand_segment = cpu.seg[usize::from(op.seg & 7)].selector;
}

/// An instruction on the register stack alone.
#[inline(always)]
fn on_stack(cpu: &mut Vcpu, op: &Op, act: impl FnOnce(&mut Vcpu)) -> Result<(), Fault> {
    begin(cpu)?;
    note(cpu, op);
    act(cpu);
    Ok(())
}

/// An instruction that loads its operand.
#[inline(always)]
fn with_load<T>(
    cpu: &mut Vcpu,
    bus: &mut Bus,
    op: &Op,
    load: impl FnOnce(&mut Vcpu, &mut Bus, &Op) -> Result<T, Fault>,
    act: impl FnOnce(&mut Vcpu, T),
) -> Result<(), Fault> {
    begin(cpu)?;
    let value = load(cpu, bus, op)?;
    note_operand(cpu, op);
    act(cpu, value);
    Ok(())
}
