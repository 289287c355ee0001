//! PUSH, POP, PUSHA, POPA, ENTER, LEAVE. Segment registers are pushed and popped in `segment`.

use crate::fault::Fault;
use crate::mmu::{Access, Int};
use crate::op::{Op, Slot};
use crate::state::Vcpu;
use crate::table::Row;
use iced_x86::Code;
use lockstep_fabric::Bus;

/// Makes the fault of a stack reference from that of a plain one.
#[cold]
#[inline(never)]
fn on_stack(fault: Fault) -> Fault {
    if fault == Fault::NOT_CANONICAL { Fault::SS0 } else { fault }
}

impl Vcpu {
    /// Pushes in 64-bit code, where the stack has no segment.
    #[inline(always)]
    pub(crate) fn push64(&mut self, bus: &mut Bus, value: u64) -> Result<(), Fault> {
        let top = self.gpr[Slot::RSP.number()].wrapping_sub(8);
        self.store(bus, top, value).map_err(on_stack)?;
        self.gpr[Slot::RSP.number()] = top;
        Ok(())
    }

    /// The top of the stack in 64-bit code.
    #[inline(always)]
    pub(crate) fn peek64(&mut self, bus: &mut Bus) -> Result<u64, Fault> {
        self.load(bus, self.gpr[Slot::RSP.number()]).map_err(on_stack)
    }

    /// Pushes an operand: 64-bit operands exist in 64-bit code only.
    #[inline(always)]
    fn push_operand<T: Int>(&mut self, bus: &mut Bus, value: T) -> Result<(), Fault> {
        if T::BITS == 64 { self.push64(bus, value.zero_extend()) } else { self.push(bus, value) }
    }
}

fn push_reg<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.push_operand(bus, T::truncate(cpu.gpr[op.dst.number()]))
}

fn push_mem<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let value: T = cpu.load_operand(bus, op)?;
    cpu.push_operand(bus, value)
}

fn push_imm<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.push_operand(bus, T::truncate(op.imm))
}

/// The stack pointer moves before the register is written: POP RSP keeps what was popped.
fn pop_reg<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    if T::BITS == 64 {
        let value = cpu.peek64(bus)?;
        let rsp = &mut cpu.gpr[Slot::RSP.number()];
        *rsp = rsp.wrapping_add(8);
        cpu.gpr[op.dst.number()] = value;
        return Ok(());
    }
    let value: T = cpu.pop(bus)?;
    cpu.write_gpr(op.dst, 0, value);
    Ok(())
}

/// The operand's address is computed with the stack pointer already moved.
fn pop_mem<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let before = cpu.gpr[Slot::RSP.number()];
    let value: T = cpu.pop(bus)?;
    let stored = cpu.store_operand(bus, op, value);
    if stored.is_err() {
        cpu.gpr[Slot::RSP.number()] = before;
    }
    stored
}

/// Linear address of the slot `depth` bytes below the top of the stack, known to be writable.
fn slot_below<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, depth: u64) -> Result<u64, Fault> {
    let at = cpu.stack_pointer().wrapping_sub(depth);
    let linear = cpu.stack_linear(at, T::BYTES, Access::Write)?;
    cpu.probe_write(bus, linear, T::BYTES).map_err(on_stack)?;
    Ok(linear)
}

/// Pushes all of `values`, or nothing.
fn push_all<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, values: &[T]) -> Result<(), Fault> {
    let depth = |i: usize| T::BYTES * (i as u64 + 1);
    for i in 0..values.len() {
        slot_below::<T>(cpu, bus, depth(i))?;
    }
    for (i, value) in values.iter().enumerate() {
        let linear = slot_below::<T>(cpu, bus, depth(i))?;
        cpu.store(bus, linear, *value).map_err(on_stack)?;
    }
    Ok(())
}

fn pusha<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, _: &Op) -> Result<(), Fault> {
    let values: [T; 8] = std::array::from_fn(|i| T::truncate(cpu.gpr[i]));
    push_all(cpu, bus, &values)?;
    cpu.set_stack_pointer(cpu.stack_pointer().wrapping_sub(8 * T::BYTES));
    Ok(())
}

fn popa<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, _: &Op) -> Result<(), Fault> {
    let mut values = [T::default(); 8];
    for (i, value) in values.iter_mut().enumerate() {
        *value = cpu.peek(bus, i as u64 * T::BYTES)?;
    }
    cpu.set_stack_pointer(cpu.stack_pointer().wrapping_add(8 * T::BYTES));
    for (i, value) in values.iter().rev().enumerate() {
        // The stack pointer's slot is skipped.
        if i != Slot::RSP.number() {
            cpu.write_gpr(Slot::of(i), 0, *value);
        }
    }
    Ok(())
}

/// ENTER (SDM volume 2): the old frame pointer, copies of the enclosing frames' pointers, the new one, and room.
fn enter<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let size = op.imm & 0xffff;
    let level = (op.imm >> 16 & 31) as usize;
    let top = cpu.stack_pointer();
    let frame = T::truncate(top.wrapping_sub(T::BYTES));
    let base = cpu.gpr[Slot::RBP.number()];
    let mut values = [T::default(); 33];
    let mut count = 1;
    values[0] = T::truncate(base);
    if level > 0 {
        for i in 1..level {
            let at = base.wrapping_sub(i as u64 * T::BYTES) & cpu.stack_mask();
            let linear = cpu.stack_linear(at, T::BYTES, Access::Read)?;
            let below: T = cpu.load(bus, linear).map_err(on_stack)?;
            values[i] = behind_pushes(below, at, top, &values[..i], cpu.stack_mask());
        }
        values[level] = frame;
        count = level + 1;
    }
    let depth = (count as u64 * T::BYTES).wrapping_add(size);
    // The new top is touched as if written, so that ENTER faults rather than the function that it begins.
    slot_below::<T>(cpu, bus, depth)?;
    push_all(cpu, bus, &values[..count])?;
    cpu.set_stack_pointer(top.wrapping_sub(depth));
    cpu.write_gpr(Slot::RBP, 0, frame);
    Ok(())
}

/// What a load at `at` finds once `pushed` lie below `top`, where memory itself holds `below`: ENTER's copies see its own
/// pushes, though these are only done when nothing can fault any more.
fn behind_pushes<T: Int>(below: T, at: u64, top: u64, pushed: &[T], mask: u64) -> T {
    let mut bytes = below.zero_extend().to_le_bytes();
    for (i, byte) in bytes.iter_mut().enumerate().take(T::BYTES as usize) {
        let depth = top.wrapping_sub(at).wrapping_sub(i as u64 + 1) & mask;
        if let Some(value) = pushed.get((depth / T::BYTES) as usize) {
            *byte = value.zero_extend().to_le_bytes()[(T::BYTES - 1 - depth % T::BYTES) as usize];
        }
    }
    T::truncate(u64::from_le_bytes(bytes))
}

fn leave<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, _: &Op) -> Result<(), Fault> {
    let base = cpu.gpr[Slot::RBP.number()] & cpu.stack_mask();
    let linear = cpu.stack_linear(base, T::BYTES, Access::Read)?;
    let value: T = cpu.load(bus, linear).map_err(on_stack)?;
    cpu.set_stack_pointer(base.wrapping_add(T::BYTES));
    cpu.write_gpr(Slot::RBP, 0, value);
    Ok(())
}

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::single(Code::Push_r16, push_reg::<u16>),
        Row::single(Code::Push_r32, push_reg::<u32>),
        Row::single(Code::Push_r64, push_reg::<u64>),
        Row::new(Code::Push_rm16, push_reg::<u16>, push_mem::<u16>),
        Row::new(Code::Push_rm32, push_reg::<u32>, push_mem::<u32>),
        Row::new(Code::Push_rm64, push_reg::<u64>, push_mem::<u64>),
        Row::single(Code::Push_imm16, push_imm::<u16>),
        Row::single(Code::Pushd_imm32, push_imm::<u32>),
        Row::single(Code::Pushq_imm32, push_imm::<u64>),
        Row::single(Code::Pushw_imm8, push_imm::<u16>),
        Row::single(Code::Pushd_imm8, push_imm::<u32>),
        Row::single(Code::Pushq_imm8, push_imm::<u64>),
        Row::single(Code::Pop_r16, pop_reg::<u16>),
        Row::single(Code::Pop_r32, pop_reg::<u32>),
        Row::single(Code::Pop_r64, pop_reg::<u64>),
        Row::new(Code::Pop_rm16, pop_reg::<u16>, pop_mem::<u16>),
        Row::new(Code::Pop_rm32, pop_reg::<u32>, pop_mem::<u32>),
        Row::new(Code::Pop_rm64, pop_reg::<u64>, pop_mem::<u64>),
        Row::single(Code::Pushaw, pusha::<u16>),
        Row::single(Code::Pushad, pusha::<u32>),
        Row::single(Code::Popaw, popa::<u16>),
        Row::single(Code::Popad, popa::<u32>),
        Row::single(Code::Enterw_imm16_imm8, enter::<u16>),
        Row::single(Code::Enterd_imm16_imm8, enter::<u32>),
        Row::single(Code::Enterq_imm16_imm8, enter::<u64>),
        Row::single(Code::Leavew, leave::<u16>),
        Row::single(Code::Leaved, leave::<u32>),
        Row::single(Code::Leaveq, leave::<u64>),
    ]
}
