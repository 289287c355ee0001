//! MOVS, CMPS, STOS, LODS, SCAS, and the loop that a REP prefix makes of them.
//!
//! Each iteration is one tick. A loop cut short by its budget, a device or a fault has its registers as after the iterations
//! done, and goes on from there. Where memory allows, iterations go upwards in runs within a page.

use super::arith::flags;
use super::transfer::address_mask;
use crate::fault::Fault;
use crate::mmu::{Access, Int};
use crate::op::{Op, Slot, Traits};
use crate::state::{Rflags, Vcpu, seg};
use crate::table::Row;
use iced_x86::Code;
use lockstep_fabric::Bus;

/// A string instruction.
pub(crate) trait StringOp {
    /// One iteration, index registers included.
    fn once<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault>;

    /// Up to `most` iterations upwards in one run, index registers included; zero if there is no run here.
    #[inline(always)]
    fn run<T: Int>(_cpu: &mut Vcpu, _bus: &mut Bus, _op: &Op, _most: u64) -> u64 {
        0
    }

    /// Whether the last iteration ends the loop before its count does.
    #[inline(always)]
    fn ends(_cpu: &Vcpu, _op: &Op) -> bool {
        false
    }
}

/// Runs a string instruction with or without REP.
pub(crate) fn string<S: StringOp, T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    if op.is(Traits::REP | Traits::REPNE) { repeat::<S, T>(cpu, bus, op) } else { S::once::<T>(cpu, bus, op) }
}

fn repeat<S: StringOp, T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let upwards = !cpu.flags.has(Rflags::DF);
    let mut count = cpu.gpr[Slot::RCX.number()] & address_mask(op);
    if count == 0 {
        return Ok(());
    }
    loop {
        let most = count.min(cpu.tick_end.saturating_sub(cpu.tick)).max(1);
        let mut done = if upwards && most > 1 { S::run::<T>(cpu, bus, op, most) } else { 0 };
        if done == 0 {
            S::once::<T>(cpu, bus, op)?;
            done = 1;
        }
        count -= done;
        set_register(cpu, op, Slot::RCX, count);
        if count == 0 || S::ends(cpu, op) {
            // The last iteration's tick is the instruction's own.
            cpu.tick += done - 1;
            return Ok(());
        }
        cpu.tick += done;
        if cpu.tick >= cpu.tick_end || !cpu.pending.is_empty() {
            return Err(Fault::SUSPEND);
        }
    }
}

/// Writes a count or index register at the instruction's address size.
#[inline(always)]
fn set_register(cpu: &mut Vcpu, op: &Op, slot: Slot, value: u64) {
    if op.is(Traits::ADDRESS16) {
        cpu.write_gpr(slot, 0, value as u16);
    } else {
        cpu.gpr[slot.number()] = value & address_mask(op);
    }
}

/// Steps an index register over `n` elements.
#[inline(always)]
pub(crate) fn advance<T: Int>(cpu: &mut Vcpu, op: &Op, slot: Slot, n: u64) {
    let bytes = n.wrapping_mul(T::BYTES);
    let step = if cpu.flags.has(Rflags::DF) { bytes.wrapping_neg() } else { bytes };
    set_register(cpu, op, slot, cpu.gpr[slot.number()].wrapping_add(step));
}

/// Linear address of the element at an index register.
#[inline(always)]
fn element<T: Int>(cpu: &mut Vcpu, op: &Op, slot: Slot, access: Access) -> Result<u64, Fault> {
    let segment = if slot == Slot::RDI { seg::ES } else { op.seg.into() };
    let offset = cpu.gpr[slot.number()] & address_mask(op);
    if op.is(Traits::CODE64) && segment < seg::FS {
        return Ok(offset);
    }
    cpu.segmented(segment, offset, T::BYTES, access)
}

/// Linear address of the source element, at RSI.
#[inline(always)]
pub(crate) fn source<T: Int>(cpu: &mut Vcpu, op: &Op) -> Result<u64, Fault> {
    element::<T>(cpu, op, Slot::RSI, Access::Read)
}

/// Linear address of the destination element, at RDI in ES, which no prefix changes.
#[inline(always)]
pub(crate) fn destination<T: Int>(cpu: &mut Vcpu, op: &Op, access: Access) -> Result<u64, Fault> {
    element::<T>(cpu, op, Slot::RDI, access).map_err(not_by_stack)
}

/// The engine takes the operand's segment for the source's: an uncanonical destination is never a stack fault.
#[inline(always)]
fn not_by_stack(fault: Fault) -> Fault {
    if fault == Fault::NOT_CANONICAL { Fault::GP0 } else { fault }
}

/// How many of `most` elements upwards from an index register lie in one page of plain memory, and where in the arena.
#[inline(always)]
fn run_of<T: Int>(cpu: &mut Vcpu, op: &Op, slot: Slot, access: Access, most: u64) -> (u64, u64) {
    let segment = if slot == Slot::RDI { seg::ES } else { op.seg.into() };
    let offset = cpu.gpr[slot.number()] & address_mask(op);
    // Never past the highest offset, where the register wraps.
    let most = most.min((address_mask(op) - offset) / T::BYTES).min(0x1000 / T::BYTES);
    let Ok(linear) = cpu.segmented(segment, offset, 1, access) else { return (0, 0) };
    let Some((at, len)) = cpu.run_of_memory(linear, access == Access::Write) else { return (0, 0) };
    let n = most.min(len / T::BYTES);
    if n == 0 || cpu.segmented(segment, offset, n * T::BYTES, access).is_err() {
        return (0, 0);
    }
    (n, at)
}

struct Movs;
impl StringOp for Movs {
    #[inline(always)]
    fn once<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
        let from = source::<T>(cpu, op)?;
        let value: T = cpu.load(bus, from)?;
        let to = destination::<T>(cpu, op, Access::Write)?;
        cpu.store(bus, to, value).map_err(not_by_stack)?;
        advance::<T>(cpu, op, Slot::RSI, 1);
        advance::<T>(cpu, op, Slot::RDI, 1);
        Ok(())
    }

    #[inline(always)]
    fn run<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op, most: u64) -> u64 {
        let (readable, from) = run_of::<T>(cpu, op, Slot::RSI, Access::Read, most);
        let (n, to) = run_of::<T>(cpu, op, Slot::RDI, Access::Write, readable);
        let distance = to.wrapping_sub(from);
        // An element that overlaps the next one's source is not what a copy by bytes makes of it.
        if n == 0 || (distance != 0 && distance < T::BYTES) {
            return 0;
        }
        bus.memory.copy_free(to, from, n * T::BYTES);
        advance::<T>(cpu, op, Slot::RSI, n);
        advance::<T>(cpu, op, Slot::RDI, n);
        n
    }
}

struct Stos;
impl StringOp for Stos {
    #[inline(always)]
    fn once<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
        let to = destination::<T>(cpu, op, Access::Write)?;
        cpu.store(bus, to, cpu.read_gpr::<T>(Slot::RAX, 0)).map_err(not_by_stack)?;
        advance::<T>(cpu, op, Slot::RDI, 1);
        Ok(())
    }

    #[inline(always)]
    fn run<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op, most: u64) -> u64 {
        let (n, to) = run_of::<T>(cpu, op, Slot::RDI, Access::Write, most);
        if n != 0 {
            // The element in each of the pattern's places.
            let ones = u64::MAX / (u64::MAX >> (64 - T::BITS));
            let pattern = cpu.read_gpr::<T>(Slot::RAX, 0).zero_extend().wrapping_mul(ones);
            bus.memory.fill_free(to, n * T::BYTES, pattern);
            advance::<T>(cpu, op, Slot::RDI, n);
        }
        n
    }
}

struct Lods;
impl StringOp for Lods {
    #[inline(always)]
    fn once<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
        let from = source::<T>(cpu, op)?;
        let value: T = cpu.load(bus, from)?;
        cpu.write_gpr(Slot::RAX, 0, value);
        advance::<T>(cpu, op, Slot::RSI, 1);
        Ok(())
    }
}

#[inline(always)]
fn compare<T: Int>(cpu: &mut Vcpu, a: T, b: T) {
    let (a, b) = (a.zero_extend(), b.zero_extend());
    let difference = T::truncate(a.wrapping_sub(b)).zero_extend();
    flags!(cpu, T, after_sub(a, b, difference));
}

/// REPE goes on while equal, REPNE while not.
#[inline(always)]
fn ends_comparison(cpu: &Vcpu, op: &Op) -> bool {
    cpu.flags.zf() == op.is(Traits::REPNE)
}

/// Compares `n` pairs up to the one that ends the loop; how many, and the last pair.
#[inline(always)]
fn compare_run<T: Int>(op: &Op, n: u64, pair: impl Fn(u64) -> (T, T)) -> (u64, T, T) {
    let stop_at_equal = op.is(Traits::REPNE);
    let differ = |i: u64| {
        let (a, b) = pair(i * T::BYTES);
        (a.zero_extend() == b.zero_extend()) == stop_at_equal
    };
    let done = (0..n).find(|i| differ(*i)).map_or(n, |i| i + 1);
    let (a, b) = pair((done - 1) * T::BYTES);
    (done, a, b)
}

struct Scas;
impl StringOp for Scas {
    #[inline(always)]
    fn once<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
        let at = destination::<T>(cpu, op, Access::Read)?;
        let value: T = cpu.load(bus, at).map_err(not_by_stack)?;
        compare(cpu, cpu.read_gpr(Slot::RAX, 0), value);
        advance::<T>(cpu, op, Slot::RDI, 1);
        Ok(())
    }

    #[inline(always)]
    fn run<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op, most: u64) -> u64 {
        let (n, at) = run_of::<T>(cpu, op, Slot::RDI, Access::Read, most);
        if n == 0 {
            return 0;
        }
        let wanted: T = cpu.read_gpr(Slot::RAX, 0);
        let (done, a, b) = compare_run(op, n, |i| (wanted, bus.memory.load(at + i)));
        compare(cpu, a, b);
        advance::<T>(cpu, op, Slot::RDI, done);
        done
    }

    #[inline(always)]
    fn ends(cpu: &Vcpu, op: &Op) -> bool {
        ends_comparison(cpu, op)
    }
}

struct Cmps;
impl StringOp for Cmps {
    #[inline(always)]
    fn once<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
        let first = source::<T>(cpu, op)?;
        let a: T = cpu.load(bus, first)?;
        let second = destination::<T>(cpu, op, Access::Read)?;
        let b: T = cpu.load(bus, second).map_err(not_by_stack)?;
        compare(cpu, a, b);
        advance::<T>(cpu, op, Slot::RSI, 1);
        advance::<T>(cpu, op, Slot::RDI, 1);
        Ok(())
    }

    #[inline(always)]
    fn run<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op, most: u64) -> u64 {
        let (readable, first) = run_of::<T>(cpu, op, Slot::RSI, Access::Read, most);
        let (n, second) = run_of::<T>(cpu, op, Slot::RDI, Access::Read, readable);
        if n == 0 {
            return 0;
        }
        let memory = &bus.memory;
        let (done, a, b) = compare_run::<T>(op, n, |i| (memory.load(first + i), memory.load(second + i)));
        compare(cpu, a, b);
        advance::<T>(cpu, op, Slot::RSI, done);
        advance::<T>(cpu, op, Slot::RDI, done);
        done
    }

    #[inline(always)]
    fn ends(cpu: &Vcpu, op: &Op) -> bool {
        ends_comparison(cpu, op)
    }
}

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::single(Code::Movsb_m8_m8, string::<Movs, u8>).repeats(),
        Row::single(Code::Movsw_m16_m16, string::<Movs, u16>).repeats(),
        Row::single(Code::Movsd_m32_m32, string::<Movs, u32>).repeats(),
        Row::single(Code::Movsq_m64_m64, string::<Movs, u64>).repeats(),
        Row::single(Code::Cmpsb_m8_m8, string::<Cmps, u8>).repeats(),
        Row::single(Code::Cmpsw_m16_m16, string::<Cmps, u16>).repeats(),
        Row::single(Code::Cmpsd_m32_m32, string::<Cmps, u32>).repeats(),
        Row::single(Code::Cmpsq_m64_m64, string::<Cmps, u64>).repeats(),
        Row::single(Code::Stosb_m8_AL, string::<Stos, u8>).repeats(),
        Row::single(Code::Stosw_m16_AX, string::<Stos, u16>).repeats(),
        Row::single(Code::Stosd_m32_EAX, string::<Stos, u32>).repeats(),
        Row::single(Code::Stosq_m64_RAX, string::<Stos, u64>).repeats(),
        Row::single(Code::Lodsb_AL_m8, string::<Lods, u8>).repeats(),
        Row::single(Code::Lodsw_AX_m16, string::<Lods, u16>).repeats(),
        Row::single(Code::Lodsd_EAX_m32, string::<Lods, u32>).repeats(),
        Row::single(Code::Lodsq_RAX_m64, string::<Lods, u64>).repeats(),
        Row::single(Code::Scasb_AL_m8, string::<Scas, u8>).repeats(),
        Row::single(Code::Scasw_AX_m16, string::<Scas, u16>).repeats(),
        Row::single(Code::Scasd_EAX_m32, string::<Scas, u32>).repeats(),
        Row::single(Code::Scasq_RAX_m64, string::<Scas, u64>).repeats(),
    ]
}

#[cfg(test)]
mod tests;
