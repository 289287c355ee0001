//! Pairs of plain instructions that run as one: a step on general registers, then another, an address or a load; an address,
//! then a step; a load, then a jump to what was loaded.
//!
//! They do what their two rows do, one after the other: only the way between them is saved. An address or a load keeps its
//! operands where it has them (`dst` and the memory operand); a step beside it, or the first of two, has its registers in `third`
//! and `src` and its immediate in `imm`; the second of two steps has them in `dst`, `base` and `disp`.

use super::arith::{Add, Binary, Sub};
use super::logic::{And, Or, Xor};
use super::shift::{Sar, Shift, Shl, Shr, masked};
use crate::fault::Fault;
use crate::mmu::Int;
use crate::op::{Handler, Op, Slot, Traits};
use crate::state::Vcpu;
use iced_x86::Code;
use lockstep_fabric::Bus;
use std::marker::PhantomData;

/// An instruction on general registers of 32 or 64 bits that never faults.
trait Step {
    fn step(cpu: &mut Vcpu, dst: Slot, src: Slot, imm: u64);
}

struct MovReg<T>(PhantomData<T>);
impl<T: Int> Step for MovReg<T> {
    #[inline(always)]
    fn step(cpu: &mut Vcpu, dst: Slot, src: Slot, _: u64) {
        let value: T = cpu.read_gpr(src, 0);
        cpu.write_gpr(dst, 0, value);
    }
}

struct MovImm<T>(PhantomData<T>);
impl<T: Int> Step for MovImm<T> {
    #[inline(always)]
    fn step(cpu: &mut Vcpu, dst: Slot, _: Slot, imm: u64) {
        cpu.write_gpr(dst, 0, T::truncate(imm));
    }
}

/// From `S` to `T`, zero-extended.
struct Movzx<T, S>(PhantomData<(T, S)>);
impl<T: Int, S: Int> Step for Movzx<T, S> {
    #[inline(always)]
    fn step(cpu: &mut Vcpu, dst: Slot, src: Slot, _: u64) {
        let value: S = cpu.read_gpr(src, 0);
        cpu.write_gpr(dst, 0, T::truncate(value.zero_extend()));
    }
}

/// From `S` to `T`, sign-extended.
struct Movsx<T, S>(PhantomData<(T, S)>);
impl<T: Int, S: Int> Step for Movsx<T, S> {
    #[inline(always)]
    fn step(cpu: &mut Vcpu, dst: Slot, src: Slot, _: u64) {
        let value: S = cpu.read_gpr(src, 0);
        cpu.write_gpr(dst, 0, T::truncate(value.sign_extend()));
    }
}

struct RegReg<B, T>(PhantomData<(B, T)>);
impl<B: Binary, T: Int> Step for RegReg<B, T> {
    #[inline(always)]
    fn step(cpu: &mut Vcpu, dst: Slot, src: Slot, _: u64) {
        let result = B::apply::<T>(cpu, cpu.read_gpr(dst, 0), cpu.read_gpr(src, 0));
        cpu.write_gpr(dst, 0, result);
    }
}

struct RegImm<B, T>(PhantomData<(B, T)>);
impl<B: Binary, T: Int> Step for RegImm<B, T> {
    #[inline(always)]
    fn step(cpu: &mut Vcpu, dst: Slot, _: Slot, imm: u64) {
        let result = B::apply::<T>(cpu, cpu.read_gpr(dst, 0), T::truncate(imm));
        cpu.write_gpr(dst, 0, result);
    }
}

struct ShiftImm<S, T>(PhantomData<(S, T)>);
impl<S: Shift, T: Int> Step for ShiftImm<S, T> {
    #[inline(always)]
    fn step(cpu: &mut Vcpu, dst: Slot, _: Slot, imm: u64) {
        let a: T = cpu.read_gpr(dst, 0);
        let count = masked::<T>(imm);
        let result = if count == 0 { a } else { S::apply(cpu, a, count) };
        cpu.write_gpr(dst, 0, result);
    }
}

#[inline(always)]
fn first_step<A: Step>(cpu: &mut Vcpu, op: &Op) {
    A::step(cpu, op.third, op.src, op.imm);
}

#[inline(always)]
fn address<T: Int>(cpu: &mut Vcpu, op: &Op) {
    cpu.write_gpr(op.dst, 0, T::truncate(cpu.effective_address(op)));
}

fn step_step<A: Step, B: Step>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    first_step::<A>(cpu, op);
    B::step(cpu, op.dst, op.base, op.disp);
    Ok(())
}

fn step_lea<A: Step, T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    first_step::<A>(cpu, op);
    address::<T>(cpu, op);
    Ok(())
}

fn lea_step<T: Int, B: Step>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    address::<T>(cpu, op);
    B::step(cpu, op.third, op.src, op.imm);
    Ok(())
}

/// A step, then a load of an `S`, zero-extended. MOV and MOVZX.
fn step_load<A: Step, S: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    /// What the load reaches must see that the step has retired, and so must a handler if it faults.
    #[cold]
    #[inline(never)]
    fn slow<S: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
        cpu.tick += 1;
        let value: S = cpu.load_operand(bus, op)?;
        cpu.tick -= 1;
        cpu.write_gpr(op.dst, 0, value.zero_extend());
        Ok(())
    }
    first_step::<A>(cpu, op);
    match cpu.quick_load::<S>(bus, op, 1) {
        Some(value) => {
            cpu.write_gpr(op.dst, 0, value.zero_extend());
            Ok(())
        }
        None => slow::<S>(cpu, bus, op),
    }
}

/// A load of 64 bits into a register, then a jump to it, `imm` bytes long. Whatever cannot be done at once is left to the two
/// alone: the load takes place, and its block ends before the jump.
fn load_jump(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    #[cold]
    #[inline(never)]
    fn load_only(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
        let value: u64 = cpu.load_operand(bus, op)?;
        cpu.write_gpr(op.dst, 0, value);
        cpu.ip = cpu.next_ip(op).wrapping_sub(op.imm);
        cpu.tick = cpu.tick.wrapping_sub(1);
        Ok(())
    }
    match cpu.quick_load::<u64>(bus, op, 1) {
        Some(target) if cpu.jump::<u64>(target).is_ok() => {
            cpu.write_gpr(op.dst, 0, target);
            Ok(())
        }
        _ => load_only(cpu, bus, op),
    }
}

/// What an instruction can be in a pair.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    /// JMP to a 64-bit register.
    Jump,
    /// A step with this number.
    Step(usize),
    /// LEA with a 32-bit result, or else a 64-bit one.
    Address { wide: bool },
    /// A load with this number.
    Load(usize),
}

/// The handlers of the pairs that a step is the first of; the last, that it follows an address.
struct Handlers {
    steps: [Handler; STEPS],
    addresses: [Handler; 2],
    loads: [Handler; LOADS],
    after_address: [Handler; 2],
}

trait Paired {
    const HANDLERS: Handlers;
}

macro_rules! parts {
    (steps { $($step:ty: $($code:ident)*;)* } loads { $($t:ty: $($load:ident)*;)* }) => {
        const STEPS: usize = [$(stringify!($step)),*].len();
        const LOADS: usize = [$(stringify!($t)),*].len();

        impl<A: Step> Paired for A {
            const HANDLERS: Handlers = Handlers {
                steps: [$(step_step::<A, $step>),*],
                addresses: [step_lea::<A, u32>, step_lea::<A, u64>],
                loads: [$(step_load::<A, $t>),*],
                after_address: [lea_step::<u32, A>, lea_step::<u64, A>],
            };
        }

        static OF_STEPS: [Handlers; STEPS] = [$(<$step as Paired>::HANDLERS),*];

        fn step_of(code: Code) -> Option<usize> {
            let all = [$([$(Code::$code),*].as_slice()),*];
            all.iter().position(|codes| codes.contains(&code))
        }

        fn load_of(code: Code) -> Option<usize> {
            let all = [$([$(Code::$load),*].as_slice()),*];
            all.iter().position(|codes| codes.contains(&code))
        }
    };
}

parts! {
    steps {
        MovReg<u32>: Mov_rm32_r32 Mov_r32_rm32;
        MovReg<u64>: Mov_rm64_r64 Mov_r64_rm64;
        MovImm<u32>: Mov_r32_imm32 Mov_rm32_imm32;
        Movzx<u32, u8>: Movzx_r32_rm8;
        Movsx<u64, u32>: Movsxd_r64_rm32;
        RegReg<Add, u32>: Add_rm32_r32 Add_r32_rm32;
        RegReg<Add, u64>: Add_rm64_r64 Add_r64_rm64;
        RegReg<Sub, u64>: Sub_rm64_r64 Sub_r64_rm64;
        RegReg<And, u64>: And_rm64_r64 And_r64_rm64;
        RegReg<Or, u64>: Or_rm64_r64 Or_r64_rm64;
        RegReg<Xor, u32>: Xor_rm32_r32 Xor_r32_rm32;
        RegReg<Xor, u64>: Xor_rm64_r64 Xor_r64_rm64;
        RegImm<Add, u32>: Add_EAX_imm32 Add_rm32_imm32 Add_rm32_imm8;
        RegImm<Add, u64>: Add_RAX_imm32 Add_rm64_imm32 Add_rm64_imm8;
        RegImm<Sub, u64>: Sub_RAX_imm32 Sub_rm64_imm32 Sub_rm64_imm8;
        RegImm<And, u32>: And_EAX_imm32 And_rm32_imm32 And_rm32_imm8;
        RegImm<And, u64>: And_RAX_imm32 And_rm64_imm32 And_rm64_imm8;
        ShiftImm<Shl, u32>: Shl_rm32_imm8 Shl_rm32_1;
        ShiftImm<Shl, u64>: Shl_rm64_imm8 Shl_rm64_1;
        ShiftImm<Shr, u32>: Shr_rm32_imm8 Shr_rm32_1;
        ShiftImm<Shr, u64>: Shr_rm64_imm8 Shr_rm64_1;
        ShiftImm<Sar, u64>: Sar_rm64_imm8 Sar_rm64_1;
    }
    loads {
        u8: Movzx_r32_rm8 Movzx_r64_rm8;
        u16: Movzx_r32_rm16 Movzx_r64_rm16;
        u32: Mov_r32_rm32;
        u64: Mov_r64_rm64;
    }
}

impl Part {
    /// What `op` can be in a pair, if anything. `memory` says whether it has a memory operand.
    pub(crate) fn of(code: Code, memory: bool, op: &Op) -> Option<Self> {
        match code {
            Code::Lea_r32_m => Some(Self::Address { wide: false }),
            Code::Lea_r64_m => Some(Self::Address { wide: true }),
            Code::Jmp_rm64 if !memory => Some(Self::Jump),
            _ if memory => load_of(code).map(Self::Load),
            _ if op.is(Traits::HIGH_DST | Traits::HIGH_SRC) => None,
            _ => step_of(code).map(Self::Step),
        }
    }
}

/// One op for two that follow each other, if there is a handler for them. If it faults, its length is what the instruction
/// pointer goes back by: the second's, since a step or an address never faults.
pub(crate) fn paired((a, first): (&Op, Part), (b, second): (&Op, Part)) -> Option<Op> {
    // A step's registers and immediate beside a memory operand.
    let beside =
        |step: &Op, other: &Op, run| Op { run, third: step.dst, src: step.src, imm: step.imm, ..other.clone() };
    let pair = match (first, second) {
        (Part::Step(number), Part::Step(with)) => {
            let run = OF_STEPS.get(number)?.steps.get(with).copied()?;
            let second = Op { base: b.src, disp: b.imm, ..b.clone() };
            beside(a, &second, run)
        }
        (Part::Step(number), Part::Address { wide }) => {
            beside(a, b, OF_STEPS.get(number)?.addresses[usize::from(wide)])
        }
        (Part::Step(number), Part::Load(load)) => beside(a, b, OF_STEPS.get(number)?.loads.get(load).copied()?),
        (Part::Address { wide }, Part::Step(number)) => {
            let run = OF_STEPS.get(number)?.after_address[usize::from(wide)];
            Op { next: b.next, len: b.len, ..beside(b, a, run) }
        }
        (Part::Load(load), Part::Jump) if load_of(Code::Mov_r64_rm64) == Some(load) && a.dst == b.dst => {
            // If it is the load that faults, the instruction pointer goes back over both.
            Op { run: load_jump, imm: b.len.into(), next: b.next, len: a.len + b.len, ..a.clone() }
        }
        _ => return None,
    };
    Some(Op { ticks: a.ticks + b.ticks, ..pair })
}

#[cfg(test)]
mod tests;
