//! Control instructions: the control and status words, the environment, and how errors reach the guest.

use super::image::Layout;
use super::unit::{BUSY, ES, SF};
use super::{begin, index, note};
use crate::fault::Fault;
use crate::mmu::{Access, Int};
use crate::op::{Op, Slot};
use crate::state::{Cr0, Fpu, Pending, Vcpu};
use crate::table::{Row, Unit};
use iced_x86::Code;
use lockstep_fabric::Bus;

/// Delivers an x87 exception that is pending (SDM volume 1, 8.7).
///
/// With CR0.NE it is #MF. Without, FERR# is asserted and the engine returns, so that the board can raise IRQ 13 before
/// the instruction runs; the instruction then runs when it comes round again. (The hardware would wait there for the
/// interrupt for ever; but one that is masked would never let time go on.) With IGNNE# nothing happens.
#[cold]
pub(crate) fn deliver_pending(cpu: &mut Vcpu) -> Result<(), Fault> {
    if cpu.cr0.contains(Cr0::NE) {
        return Err(Fault::MF);
    }
    if cpu.fpu.ignne || cpu.fpu.ferr {
        return Ok(());
    }
    cpu.fpu.ferr = true;
    cpu.pending |= Pending::ACCESS;
    Err(Fault::SUSPEND)
}

/// WAIT is an x87 instruction only by what it waits for: CR0.EM does not concern it, and TS only with MP.
fn wait(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    if cpu.cr0.contains(Cr0::MP | Cr0::TS) {
        return Err(Fault::NM);
    }
    begin(cpu)
}

fn fnop(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    begin(cpu)?;
    note(cpu, op);
    Ok(())
}

/// FENI, FDISI, FSETPM: instructions of the 8087 and 80287 that later ones ignore.
fn nothing(_: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    Ok(())
}

fn ffree<const POP: bool>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    begin(cpu)?;
    note(cpu, op);
    cpu.fpu.record(0);
    cpu.fpu.free(index(op.dst));
    if POP {
        cpu.fpu.pop();
    }
    Ok(())
}

fn fnclex(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    cpu.fpu.status &= !(0x3f | SF | ES | BUSY);
    cpu.fpu.summarize();
    Ok(())
}

fn fninit(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    cpu.fpu.initialize();
    Ok(())
}

fn fldcw(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    begin(cpu)?;
    let word = cpu.load_operand(bus, op)?;
    cpu.fpu.set_control_word(word);
    Ok(())
}

fn fnstcw(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.store_operand(bus, op, cpu.fpu.control)
}

fn fnstsw(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.store_operand(bus, op, cpu.fpu.status_word())
}

fn fnstsw_ax(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    let rax = &mut cpu.gpr[Slot::RAX.number()];
    *rax = *rax & !0xffff | u64::from(cpu.fpu.status_word());
    Ok(())
}

fn layout(cpu: &Vcpu, wide: bool) -> Layout {
    Layout { wide, protected: cpu.protected() }
}

fn fnstenv<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let layout = layout(cpu, T::BITS == 32);
    let mut bytes = [0; 28];
    cpu.fpu.save_environment(layout, &mut bytes);
    let linear = cpu.linear(op, layout.size() as u64, Access::Write)?;
    cpu.store_block::<T>(bus, linear, &bytes[..layout.size()])?;
    // All exceptions are masked afterwards, so that a handler is not interrupted by what it examines.
    cpu.fpu.set_control_word(cpu.fpu.control | 0x3f);
    Ok(())
}

fn fldenv<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    begin(cpu)?;
    let layout = layout(cpu, T::BITS == 32);
    let mut bytes = [0; 28];
    let linear = cpu.linear(op, layout.size() as u64, Access::Read)?;
    cpu.load_block::<T>(bus, linear, &mut bytes[..layout.size()])?;
    cpu.fpu.load_environment(layout, &bytes);
    Ok(())
}

fn fnsave<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let layout = layout(cpu, T::BITS == 32);
    let mut bytes = [0; 28 + Fpu::REGISTERS];
    let size = layout.size() + Fpu::REGISTERS;
    cpu.fpu.save_environment(layout, &mut bytes);
    cpu.fpu.save_registers(&mut bytes[layout.size()..size]);
    let linear = cpu.linear(op, size as u64, Access::Write)?;
    cpu.store_block::<T>(bus, linear, &bytes[..size])?;
    cpu.fpu.initialize();
    Ok(())
}

fn frstor<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    begin(cpu)?;
    let layout = layout(cpu, T::BITS == 32);
    let mut bytes = [0; 28 + Fpu::REGISTERS];
    let size = layout.size() + Fpu::REGISTERS;
    let linear = cpu.linear(op, size as u64, Access::Read)?;
    cpu.load_block::<T>(bus, linear, &mut bytes[..size])?;
    cpu.fpu.load_environment(layout, &bytes);
    cpu.fpu.load_registers(&bytes[layout.size()..size]);
    Ok(())
}

impl Fpu {
    /// FNINIT: the words, the tags and the pointers; the registers keep their contents.
    pub(super) fn initialize(&mut self) {
        *self = Self { significand: self.significand, sign_exponent: self.sign_exponent, ..Self::default() };
    }
}

/// The rows.
pub(super) fn rows() -> Vec<Row> {
    let x87 = [
        Row::single(Code::Fnop, fnop),
        Row::single(Code::Fneni, nothing),
        Row::single(Code::Fndisi, nothing),
        Row::single(Code::Fnsetpm, nothing),
        Row::single(Code::Ffree_sti, ffree::<false>),
        Row::single(Code::Ffreep_sti, ffree::<true>),
        Row::single(Code::Fnclex, fnclex),
        Row::single(Code::Fninit, fninit),
        Row::single(Code::Fldcw_m2byte, fldcw),
        Row::single(Code::Fnstcw_m2byte, fnstcw),
        Row::single(Code::Fnstsw_m2byte, fnstsw),
        Row::single(Code::Fnstsw_AX, fnstsw_ax),
        Row::single(Code::Fnstenv_m14byte, fnstenv::<u16>).system(),
        Row::single(Code::Fnstenv_m28byte, fnstenv::<u32>).system(),
        Row::single(Code::Fldenv_m14byte, fldenv::<u16>),
        Row::single(Code::Fldenv_m28byte, fldenv::<u32>),
        Row::single(Code::Fnsave_m94byte, fnsave::<u16>).system(),
        Row::single(Code::Fnsave_m108byte, fnsave::<u32>).system(),
        Row::single(Code::Frstor_m94byte, frstor::<u16>),
        Row::single(Code::Frstor_m108byte, frstor::<u32>),
    ]
    .map(|row| row.unit(Unit::X87));
    let mut rows = x87.to_vec();
    rows.push(Row::single(Code::Wait, wait));
    rows
}
