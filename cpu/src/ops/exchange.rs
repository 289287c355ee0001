//! XCHG, XADD, CMPXCHG, CMPXCHG8B, CMPXCHG16B.

use super::arith::flags;
use crate::fault::Fault;
use crate::mmu::{Access, Int};
use crate::op::{Op, Slot};
use crate::state::Vcpu;
use crate::table::Row;
use iced_x86::Code;
use lockstep_fabric::Bus;

fn xchg_reg<T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let (a, b): (T, T) = (cpu.read_dst(op), cpu.read_src(op));
    cpu.write_dst(op, b);
    cpu.write_src(op, a);
    Ok(())
}

fn xchg_mem<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.update_operand::<T>(bus, op, |cpu, a| {
        let b = cpu.read_dst(op);
        cpu.write_dst(op, a);
        b
    })
}

#[inline(always)]
fn sum<T: Int>(cpu: &mut Vcpu, a: T, b: T) -> T {
    let (a, b) = (a.zero_extend(), b.zero_extend());
    let result = T::truncate(a.wrapping_add(b));
    flags!(cpu, T, after_add(a, b, result.zero_extend()));
    result
}

/// The destination is written last: XADD of a register with itself doubles it.
fn xadd_reg<T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let (a, b): (T, T) = (cpu.read_dst(op), cpu.read_src(op));
    let result = sum(cpu, a, b);
    cpu.write_src(op, a);
    cpu.write_dst(op, result);
    Ok(())
}

fn xadd_mem<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.update_operand::<T>(bus, op, |cpu, a| {
        let b = cpu.read_dst(op);
        let result = sum(cpu, a, b);
        cpu.write_dst(op, a);
        result
    })
}

/// Compares the accumulator with `a`; loads it from `a` if they differ. True if they are the same.
#[inline(always)]
fn compare<T: Int>(cpu: &mut Vcpu, a: T) -> bool {
    let accumulator: T = cpu.read_gpr(Slot::RAX, 0);
    let (wide, b) = (accumulator.zero_extend(), a.zero_extend());
    let difference = T::truncate(wide.wrapping_sub(b)).zero_extend();
    flags!(cpu, T, after_sub(wide, b, difference));
    if difference != 0 {
        cpu.write_gpr(Slot::RAX, 0, a);
    }
    difference == 0
}

/// Where the comparison fails the destination is not touched at all, its upper half neither.
fn cmpxchg_reg<T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let (a, b): (T, T) = (cpu.read_dst(op), cpu.read_src(op));
    if compare(cpu, a) {
        cpu.write_dst(op, b);
    }
    Ok(())
}

fn cmpxchg_mem<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.update_operand::<T>(bus, op, |cpu, a| {
        let b = cpu.read_dst(op);
        if compare(cpu, a) { b } else { a }
    })
}

fn cmpxchg8b(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.update_operand::<u64>(bus, op, |cpu, memory| {
        let half = |cpu: &Vcpu, slot| u64::from(cpu.read_gpr::<u32>(slot, 0));
        let expected = half(cpu, Slot::RDX) << 32 | half(cpu, Slot::RAX);
        cpu.flags.set_zero(memory == expected);
        if memory == expected {
            return half(cpu, Slot::RCX) << 32 | half(cpu, Slot::RBX);
        }
        cpu.write_gpr(Slot::RAX, 0, memory as u32);
        cpu.write_gpr(Slot::RDX, 0, (memory >> 32) as u32);
        memory
    })
}

/// Its operand must be aligned. It is written back even where it is left as it was.
fn cmpxchg16b(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let linear = cpu.linear(op, 16, Access::Write)?;
    if linear & 15 != 0 {
        return Err(Fault::GP0);
    }
    cpu.probe_write(bus, linear, 16)?;
    let memory = cpu.load128(bus, linear)?;
    let pair = |cpu: &Vcpu, high: Slot, low: Slot| {
        u128::from(cpu.gpr[high.number()]) << 64 | u128::from(cpu.gpr[low.number()])
    };
    let same = memory == pair(cpu, Slot::RDX, Slot::RAX);
    let value = if same { pair(cpu, Slot::RCX, Slot::RBX) } else { memory };
    cpu.store128(bus, linear, value)?;
    cpu.flags.set_zero(same);
    if !same {
        cpu.gpr[Slot::RAX.number()] = memory as u64;
        cpu.gpr[Slot::RDX.number()] = (memory >> 64) as u64;
    }
    Ok(())
}

macro_rules! rows {
    ($rows:ident; $($xchg:ident $xadd:ident $cmpxchg:ident: $t:ty;)*) => {
        $rows.extend([$(
            Row::new(Code::$xchg, xchg_reg::<$t>, xchg_mem::<$t>),
            Row::new(Code::$xadd, xadd_reg::<$t>, xadd_mem::<$t>),
            Row::new(Code::$cmpxchg, cmpxchg_reg::<$t>, cmpxchg_mem::<$t>),
        )*]);
    };
}

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = vec![
        Row::single(Code::Xchg_r16_AX, xchg_reg::<u16>),
        Row::single(Code::Xchg_r32_EAX, xchg_reg::<u32>),
        Row::single(Code::Xchg_r64_RAX, xchg_reg::<u64>),
        Row::single(Code::Cmpxchg8b_m64, cmpxchg8b),
        Row::single(Code::Cmpxchg16b_m128, cmpxchg16b),
    ];
    rows!(rows;
        Xchg_rm8_r8 Xadd_rm8_r8 Cmpxchg_rm8_r8: u8;
        Xchg_rm16_r16 Xadd_rm16_r16 Cmpxchg_rm16_r16: u16;
        Xchg_rm32_r32 Xadd_rm32_r32 Cmpxchg_rm32_r32: u32;
        Xchg_rm64_r64 Xadd_rm64_r64 Cmpxchg_rm64_r64: u64;
    );
    rows
}
