//! Pairs of instructions that run as one: an operation on registers, then a conditional branch in 64-bit code.
//!
//! They do what their two rows do, one after the other: only the way between them is saved. `dst`, `src` and `imm` are the
//! operation's, `disp` is the branch's target relative to the block's first byte.

use super::arith::{Add, Binary, Cmp, Dec, Inc, Sub, Unary};
use super::logic::{And, Or, Test, Xor};
use crate::fault::Fault;
use crate::mmu::Int;
use crate::op::{Handler, Op, Slot};
use crate::state::Vcpu;
use iced_x86::Code;
use lockstep_fabric::Bus;

/// One handler for each condition.
type ByCondition = [Handler; 16];

/// The branch, after the operation has retired.
#[inline(always)]
fn branch<const CC: u8>(cpu: &mut Vcpu, op: &Op) -> Result<(), Fault> {
    if cpu.flags.condition::<CC>() {
        cpu.ip = cpu.gpr[Slot::Ip.number()].wrapping_add(op.disp);
        return Err(Fault::TAKEN);
    }
    Ok(())
}

fn reg_reg<B: Binary, T: Int, const CC: u8>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let result = B::apply::<T>(cpu, cpu.read_dst(op), cpu.read_src(op));
    if B::STORES {
        cpu.write_dst(op, result);
    }
    branch::<CC>(cpu, op)
}

fn reg_imm<B: Binary, T: Int, const CC: u8>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let result = B::apply::<T>(cpu, cpu.read_dst(op), T::truncate(op.imm));
    if B::STORES {
        cpu.write_dst(op, result);
    }
    branch::<CC>(cpu, op)
}

fn reg<U: Unary, T: Int, const CC: u8>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let result = U::apply::<T>(cpu, cpu.read_dst(op));
    cpu.write_dst(op, result);
    branch::<CC>(cpu, op)
}

macro_rules! by_condition {
    ($handler:ident, $op:ty, $t:ty) => {{
        const HANDLERS: ByCondition = by_condition!(@list $handler, $op, $t; 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        Some(&HANDLERS)
    }};
    (@list $handler:ident, $op:ty, $t:ty; $($cc:literal)*) => { [$($handler::<$op, $t, $cc>),*] };
}

macro_rules! operations {
    ($code:expr; $($handler:ident $op:ident: $($name:ident $t:ty),*;)*) => {
        match $code {
            $($(Code::$name => by_condition!($handler, $op, $t),)*)*
            _ => None,
        }
    };
}

/// The handler of a pair, if there is one: `operation` has no memory operand, and both are 64-bit code.
pub(crate) fn fused(operation: Code, branch: Code) -> Option<Handler> {
    let condition = condition_of(branch)?;
    by_operation(operation)?.get(condition).copied()
}

macro_rules! conditions {
    ($code:expr; $($cc:literal $rel8:ident $rel32:ident;)*) => {
        match $code {
            $(Code::$rel8 | Code::$rel32 => Some($cc),)*
            _ => None,
        }
    };
}

/// The condition of a branch in 64-bit code, by its encoding.
fn condition_of(branch: Code) -> Option<usize> {
    conditions! { branch;
        0 Jo_rel8_64 Jo_rel32_64;
        1 Jno_rel8_64 Jno_rel32_64;
        2 Jb_rel8_64 Jb_rel32_64;
        3 Jae_rel8_64 Jae_rel32_64;
        4 Je_rel8_64 Je_rel32_64;
        5 Jne_rel8_64 Jne_rel32_64;
        6 Jbe_rel8_64 Jbe_rel32_64;
        7 Ja_rel8_64 Ja_rel32_64;
        8 Js_rel8_64 Js_rel32_64;
        9 Jns_rel8_64 Jns_rel32_64;
        10 Jp_rel8_64 Jp_rel32_64;
        11 Jnp_rel8_64 Jnp_rel32_64;
        12 Jl_rel8_64 Jl_rel32_64;
        13 Jge_rel8_64 Jge_rel32_64;
        14 Jle_rel8_64 Jle_rel32_64;
        15 Jg_rel8_64 Jg_rel32_64;
    }
}

fn by_operation(operation: Code) -> Option<&'static ByCondition> {
    operations! { operation;
        reg_reg Cmp: Cmp_rm8_r8 u8, Cmp_r8_rm8 u8, Cmp_rm32_r32 u32, Cmp_r32_rm32 u32, Cmp_rm64_r64 u64, Cmp_r64_rm64 u64;
        reg_imm Cmp: Cmp_AL_imm8 u8, Cmp_rm8_imm8 u8, Cmp_EAX_imm32 u32, Cmp_rm32_imm32 u32, Cmp_rm32_imm8 u32,
            Cmp_RAX_imm32 u64, Cmp_rm64_imm32 u64, Cmp_rm64_imm8 u64;
        reg_reg Test: Test_rm8_r8 u8, Test_rm32_r32 u32, Test_rm64_r64 u64;
        reg_imm Test: Test_AL_imm8 u8, Test_rm8_imm8 u8, Test_EAX_imm32 u32, Test_rm32_imm32 u32, Test_RAX_imm32 u64,
            Test_rm64_imm32 u64;
        reg_reg Sub: Sub_rm32_r32 u32, Sub_r32_rm32 u32, Sub_rm64_r64 u64, Sub_r64_rm64 u64;
        reg_imm Sub: Sub_EAX_imm32 u32, Sub_rm32_imm32 u32, Sub_rm32_imm8 u32, Sub_RAX_imm32 u64, Sub_rm64_imm32 u64,
            Sub_rm64_imm8 u64;
        reg_reg Add: Add_rm32_r32 u32, Add_r32_rm32 u32, Add_rm64_r64 u64, Add_r64_rm64 u64;
        reg_imm Add: Add_EAX_imm32 u32, Add_rm32_imm32 u32, Add_rm32_imm8 u32, Add_RAX_imm32 u64, Add_rm64_imm32 u64,
            Add_rm64_imm8 u64;
        reg_reg And: And_rm32_r32 u32, And_r32_rm32 u32, And_rm64_r64 u64, And_r64_rm64 u64;
        reg_imm And: And_EAX_imm32 u32, And_rm32_imm32 u32, And_rm32_imm8 u32, And_RAX_imm32 u64, And_rm64_imm32 u64,
            And_rm64_imm8 u64;
        reg_reg Or: Or_rm32_r32 u32, Or_r32_rm32 u32, Or_rm64_r64 u64, Or_r64_rm64 u64;
        reg_reg Xor: Xor_rm32_r32 u32, Xor_r32_rm32 u32, Xor_rm64_r64 u64, Xor_r64_rm64 u64;
        reg Inc: Inc_rm32 u32, Inc_rm64 u64;
        reg Dec: Dec_rm32 u32, Dec_rm64 u64;
    }
}

#[cfg(test)]
mod tests;
