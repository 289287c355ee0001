//! ADD, ADC, SUB, SBB, CMP, INC, DEC, NEG.

use super::operand::{change_operand, with_operand};
use crate::fault::Fault;
use crate::mmu::Int;
use crate::op::Op;
use crate::state::Vcpu;
use crate::table::Row;
use iced_x86::Code;
use lockstep_fabric::Bus;

/// A two-operand operation: computes the result and sets the flags.
pub(crate) trait Binary {
    /// Whether the result is stored (CMP and TEST only set flags).
    const STORES: bool = true;
    fn apply<T: Int>(cpu: &mut Vcpu, a: T, b: T) -> T;
}

macro_rules! binary {
    ($name:ident, |$cpu:ident, $a:ident, $b:ident| $result:expr, $after:ident $(, $stores:expr)?) => {
        pub(crate) struct $name;
        impl Binary for $name {
            $(const STORES: bool = $stores;)?
            #[inline(always)]
            fn apply<T: Int>($cpu: &mut Vcpu, a: T, b: T) -> T {
                let ($a, $b) = (a.zero_extend(), b.zero_extend());
                let result = T::truncate($result);
                binary!(@after $after, $cpu, $a, $b, result);
                result
            }
        }
    };
    (@after add, $cpu:ident, $a:ident, $b:ident, $r:ident) => { flags!($cpu, T, after_add($a, $b, $r.zero_extend())) };
    (@after sub, $cpu:ident, $a:ident, $b:ident, $r:ident) => { flags!($cpu, T, after_sub($a, $b, $r.zero_extend())) };
}

/// Calls a flag setter for the width of `T`, which is a constant in each instance.
macro_rules! flags {
    ($cpu:ident, $t:ident, $setter:ident($($arg:expr),*)) => {
        match $t::BITS {
            8 => $cpu.flags.$setter::<8>($($arg),*),
            16 => $cpu.flags.$setter::<16>($($arg),*),
            32 => $cpu.flags.$setter::<32>($($arg),*),
            _ => $cpu.flags.$setter::<64>($($arg),*),
        }
    };
}
pub(crate) use flags;

binary!(Add, |cpu, a, b| a.wrapping_add(b), add);
binary!(Adc, |cpu, a, b| a.wrapping_add(b).wrapping_add(cpu.flags.cf().into()), add);
binary!(Sub, |cpu, a, b| a.wrapping_sub(b), sub);
binary!(Sbb, |cpu, a, b| a.wrapping_sub(b).wrapping_sub(cpu.flags.cf().into()), sub);
binary!(Cmp, |cpu, a, b| a.wrapping_sub(b), sub, false);

/// `op r, r`
pub(crate) fn reg_reg<B: Binary, T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let result = B::apply::<T>(cpu, cpu.read_dst(op), cpu.read_src(op));
    if B::STORES {
        cpu.write_dst(op, result);
    }
    Ok(())
}

/// `op r, m`
pub(crate) fn reg_mem<B: Binary, T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    with_operand(cpu, bus, op, |cpu, op, b: T| {
        let result = B::apply::<T>(cpu, cpu.read_dst(op), b);
        if B::STORES {
            cpu.write_dst(op, result);
        }
        Ok(())
    })
}

/// `op m, r`: the one register operand is `dst`.
pub(crate) fn mem_reg<B: Binary, T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    mem_value::<B, T>(cpu, bus, op, Vcpu::read_dst)
}

/// `op m, imm`
pub(crate) fn mem_imm<B: Binary, T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    mem_value::<B, T>(cpu, bus, op, |_, op| T::truncate(op.imm))
}

#[inline(always)]
fn mem_value<B: Binary, T: Int>(
    cpu: &mut Vcpu,
    bus: &mut Bus,
    op: &Op,
    b: impl Fn(&Vcpu, &Op) -> T,
) -> Result<(), Fault> {
    if B::STORES {
        return change_operand(cpu, bus, op, |cpu, op, a: T| B::apply(cpu, a, b(cpu, op)));
    }
    with_operand(cpu, bus, op, |cpu, op, a: T| {
        B::apply(cpu, a, b(cpu, op));
        Ok(())
    })
}

/// `op r, imm`
pub(crate) fn reg_imm<B: Binary, T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let result = B::apply::<T>(cpu, cpu.read_dst(op), T::truncate(op.imm));
    if B::STORES {
        cpu.write_dst(op, result);
    }
    Ok(())
}

macro_rules! rows_of {
    ($rows:ident, $op:ty; $rm8_r8:ident $rm16_r16:ident $rm32_r32:ident $rm64_r64:ident;
     $r8_rm8:ident $r16_rm16:ident $r32_rm32:ident $r64_rm64:ident; $($imm:ident: $t:ty),*) => {
        $rows.extend([
            Row::new(Code::$rm8_r8, reg_reg::<$op, u8>, mem_reg::<$op, u8>),
            Row::new(Code::$rm16_r16, reg_reg::<$op, u16>, mem_reg::<$op, u16>),
            Row::new(Code::$rm32_r32, reg_reg::<$op, u32>, mem_reg::<$op, u32>),
            Row::new(Code::$rm64_r64, reg_reg::<$op, u64>, mem_reg::<$op, u64>),
            Row::new(Code::$r8_rm8, reg_reg::<$op, u8>, reg_mem::<$op, u8>),
            Row::new(Code::$r16_rm16, reg_reg::<$op, u16>, reg_mem::<$op, u16>),
            Row::new(Code::$r32_rm32, reg_reg::<$op, u32>, reg_mem::<$op, u32>),
            Row::new(Code::$r64_rm64, reg_reg::<$op, u64>, reg_mem::<$op, u64>),
            $(Row::new(Code::$imm, reg_imm::<$op, $t>, mem_imm::<$op, $t>)),*
        ]);
    };
}
pub(crate) use rows_of;

/// A one-operand operation: computes the result and sets the flags.
pub(crate) trait Unary {
    fn apply<T: Int>(cpu: &mut Vcpu, a: T) -> T;
}

pub(crate) struct Inc;
impl Unary for Inc {
    #[inline(always)]
    fn apply<T: Int>(cpu: &mut Vcpu, a: T) -> T {
        let result = T::truncate(a.zero_extend().wrapping_add(1));
        flags!(cpu, T, after_inc(a.zero_extend(), result.zero_extend()));
        result
    }
}

pub(crate) struct Dec;
impl Unary for Dec {
    #[inline(always)]
    fn apply<T: Int>(cpu: &mut Vcpu, a: T) -> T {
        let result = T::truncate(a.zero_extend().wrapping_sub(1));
        flags!(cpu, T, after_dec(a.zero_extend(), result.zero_extend()));
        result
    }
}

pub(crate) struct Neg;
impl Unary for Neg {
    #[inline(always)]
    fn apply<T: Int>(cpu: &mut Vcpu, a: T) -> T {
        let result = T::truncate(a.zero_extend().wrapping_neg());
        flags!(cpu, T, after_sub(0, a.zero_extend(), result.zero_extend()));
        result
    }
}

/// `op r`
pub(crate) fn reg<U: Unary, T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let result = U::apply::<T>(cpu, cpu.read_dst(op));
    cpu.write_dst(op, result);
    Ok(())
}

/// `op m`
pub(crate) fn mem<U: Unary, T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    change_operand(cpu, bus, op, |cpu, _, a: T| U::apply(cpu, a))
}

macro_rules! unary_rows {
    ($rows:ident, $op:ty; $($code:ident: $t:ty),*) => {
        $rows.extend([$(Row::new(Code::$code, reg::<$op, $t>, mem::<$op, $t>)),*]);
    };
}

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    rows_of!(rows, Add; Add_rm8_r8 Add_rm16_r16 Add_rm32_r32 Add_rm64_r64;
        Add_r8_rm8 Add_r16_rm16 Add_r32_rm32 Add_r64_rm64;
        Add_AL_imm8: u8, Add_AX_imm16: u16, Add_EAX_imm32: u32, Add_RAX_imm32: u64, Add_rm8_imm8: u8,
        Add_rm8_imm8_82: u8, Add_rm16_imm16: u16, Add_rm32_imm32: u32, Add_rm64_imm32: u64, Add_rm16_imm8: u16,
        Add_rm32_imm8: u32, Add_rm64_imm8: u64);
    rows_of!(rows, Adc; Adc_rm8_r8 Adc_rm16_r16 Adc_rm32_r32 Adc_rm64_r64;
        Adc_r8_rm8 Adc_r16_rm16 Adc_r32_rm32 Adc_r64_rm64;
        Adc_AL_imm8: u8, Adc_AX_imm16: u16, Adc_EAX_imm32: u32, Adc_RAX_imm32: u64, Adc_rm8_imm8: u8,
        Adc_rm8_imm8_82: u8, Adc_rm16_imm16: u16, Adc_rm32_imm32: u32, Adc_rm64_imm32: u64, Adc_rm16_imm8: u16,
        Adc_rm32_imm8: u32, Adc_rm64_imm8: u64);
    rows_of!(rows, Sub; Sub_rm8_r8 Sub_rm16_r16 Sub_rm32_r32 Sub_rm64_r64;
        Sub_r8_rm8 Sub_r16_rm16 Sub_r32_rm32 Sub_r64_rm64;
        Sub_AL_imm8: u8, Sub_AX_imm16: u16, Sub_EAX_imm32: u32, Sub_RAX_imm32: u64, Sub_rm8_imm8: u8,
        Sub_rm8_imm8_82: u8, Sub_rm16_imm16: u16, Sub_rm32_imm32: u32, Sub_rm64_imm32: u64, Sub_rm16_imm8: u16,
        Sub_rm32_imm8: u32, Sub_rm64_imm8: u64);
    rows_of!(rows, Sbb; Sbb_rm8_r8 Sbb_rm16_r16 Sbb_rm32_r32 Sbb_rm64_r64;
        Sbb_r8_rm8 Sbb_r16_rm16 Sbb_r32_rm32 Sbb_r64_rm64;
        Sbb_AL_imm8: u8, Sbb_AX_imm16: u16, Sbb_EAX_imm32: u32, Sbb_RAX_imm32: u64, Sbb_rm8_imm8: u8,
        Sbb_rm8_imm8_82: u8, Sbb_rm16_imm16: u16, Sbb_rm32_imm32: u32, Sbb_rm64_imm32: u64, Sbb_rm16_imm8: u16,
        Sbb_rm32_imm8: u32, Sbb_rm64_imm8: u64);
    rows_of!(rows, Cmp; Cmp_rm8_r8 Cmp_rm16_r16 Cmp_rm32_r32 Cmp_rm64_r64;
        Cmp_r8_rm8 Cmp_r16_rm16 Cmp_r32_rm32 Cmp_r64_rm64;
        Cmp_AL_imm8: u8, Cmp_AX_imm16: u16, Cmp_EAX_imm32: u32, Cmp_RAX_imm32: u64, Cmp_rm8_imm8: u8,
        Cmp_rm8_imm8_82: u8, Cmp_rm16_imm16: u16, Cmp_rm32_imm32: u32, Cmp_rm64_imm32: u64, Cmp_rm16_imm8: u16,
        Cmp_rm32_imm8: u32, Cmp_rm64_imm8: u64);
    unary_rows!(rows, Inc; Inc_r16: u16, Inc_r32: u32, Inc_rm8: u8, Inc_rm16: u16, Inc_rm32: u32, Inc_rm64: u64);
    unary_rows!(rows, Dec; Dec_r16: u16, Dec_r32: u32, Dec_rm8: u8, Dec_rm16: u16, Dec_rm32: u32, Dec_rm64: u64);
    unary_rows!(rows, Neg; Neg_rm8: u8, Neg_rm16: u16, Neg_rm32: u32, Neg_rm64: u64);
    rows
}
