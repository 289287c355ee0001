//! MUL, IMUL, DIV, IDIV.
//!
//! Undefined flags: multiplications set ZF, SF and PF by the result's lower half and clear AF; divisions leave all flags.

use super::arith::flags;
use crate::fault::Fault;
use crate::mmu::Int;
use crate::op::{Op, Slot};
use crate::state::{Rflags, Vcpu};
use crate::table::Row;
use iced_x86::Code;
use lockstep_fabric::Bus;

/// Reads the double-width accumulator: AX, DX:AX, EDX:EAX or RDX:RAX.
#[inline(always)]
fn double_accumulator<T: Int>(cpu: &Vcpu) -> u128 {
    let rax = cpu.gpr[Slot::RAX.number()];
    if T::BITS == 8 {
        return (rax & 0xffff).into();
    }
    let high = T::truncate(cpu.gpr[Slot::RDX.number()]).zero_extend();
    u128::from(high) << T::BITS | u128::from(T::truncate(rax).zero_extend())
}

/// Writes a pair of halves: AH:AL, DX:AX, EDX:EAX or RDX:RAX.
#[inline(always)]
fn write_pair<T: Int>(cpu: &mut Vcpu, low: u64, high: u64) {
    cpu.write_gpr(Slot::RAX, 0, T::truncate(low));
    if T::BITS == 8 {
        cpu.write_gpr(Slot::RAX, 8, T::truncate(high));
    } else {
        cpu.write_gpr(Slot::RDX, 0, T::truncate(high));
    }
}

#[inline(always)]
fn multiplied<T: Int>(cpu: &mut Vcpu, low: u64, significant: bool) {
    flags!(cpu, T, after_logic(low));
    cpu.flags.set_carry_overflow(significant, significant);
}

/// A product's halves, and whether the upper says more than the lower.
#[inline(always)]
fn product<T: Int, const SIGNED: bool>(a: T, b: T) -> (u64, u64, bool) {
    if SIGNED {
        let product = i128::from(a.sign_extend() as i64) * i128::from(b.sign_extend() as i64);
        let low = T::truncate(product as u64);
        let high = T::truncate((product >> T::BITS) as u64).zero_extend();
        (low.zero_extend(), high, i128::from(low.sign_extend() as i64) != product)
    } else {
        let product = u128::from(a.zero_extend()) * u128::from(b.zero_extend());
        let high = (product >> T::BITS) as u64;
        (T::truncate(product as u64).zero_extend(), high, high != 0)
    }
}

#[inline(always)]
fn multiply<T: Int, const SIGNED: bool>(cpu: &mut Vcpu, b: T) {
    let (low, high, significant) = product::<T, SIGNED>(cpu.read_gpr(Slot::RAX, 0), b);
    write_pair::<T>(cpu, low, high);
    multiplied::<T>(cpu, low, significant);
}

fn multiply_reg<T: Int, const SIGNED: bool>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    multiply::<T, SIGNED>(cpu, cpu.read_dst(op));
    Ok(())
}

fn multiply_mem<T: Int, const SIGNED: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let b = cpu.load_operand(bus, op)?;
    multiply::<T, SIGNED>(cpu, b);
    Ok(())
}

/// IMUL with a destination of its own, which takes the lower half.
#[inline(always)]
fn multiply_into<T: Int>(cpu: &mut Vcpu, op: &Op, a: T, b: T) {
    let (low, _, significant) = product::<T, true>(a, b);
    cpu.write_gpr(op.dst, 0, T::truncate(low));
    multiplied::<T>(cpu, low, significant);
}

fn imul_reg<T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    multiply_into::<T>(cpu, op, cpu.read_dst(op), cpu.read_src(op));
    Ok(())
}

fn imul_mem<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let b = cpu.load_operand(bus, op)?;
    multiply_into::<T>(cpu, op, cpu.read_dst(op), b);
    Ok(())
}

fn imul_reg_imm<T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    multiply_into::<T>(cpu, op, cpu.read_src(op), T::truncate(op.imm));
    Ok(())
}

fn imul_mem_imm<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let a = cpu.load_operand(bus, op)?;
    multiply_into::<T>(cpu, op, a, T::truncate(op.imm));
    Ok(())
}

#[inline(always)]
fn divide<T: Int>(cpu: &mut Vcpu, divisor: T) -> Result<(), Fault> {
    let dividend = double_accumulator::<T>(cpu);
    let divisor = divisor.zero_extend();
    if divisor == 0 {
        return Err(Fault::DE);
    }
    let (quotient, remainder) = match u64::try_from(dividend) {
        Ok(dividend) => (dividend / divisor, dividend % divisor),
        // Too large for the quotient, known before the slow division.
        Err(_) if (dividend >> 64) as u64 >= divisor => return Err(Fault::DE),
        Err(_) => ((dividend / u128::from(divisor)) as u64, (dividend % u128::from(divisor)) as u64),
    };
    if T::truncate(quotient).zero_extend() != quotient {
        return Err(Fault::DE);
    }
    write_pair::<T>(cpu, quotient, remainder);
    Ok(())
}

#[inline(always)]
fn divide_signed<T: Int>(cpu: &mut Vcpu, divisor: T) -> Result<(), Fault> {
    let spare = 128 - 2 * T::BITS;
    let dividend = (double_accumulator::<T>(cpu) << spare) as i128 >> spare;
    let divisor = divisor.sign_extend() as i64;
    if divisor == 0 {
        return Err(Fault::DE);
    }
    let (quotient, remainder) = match i64::try_from(dividend) {
        Ok(dividend) if divisor != -1 => ((dividend / divisor).into(), (dividend % divisor) as u64),
        _ => {
            let divisor = i128::from(divisor);
            (dividend.wrapping_div(divisor), dividend.wrapping_rem(divisor) as u64)
        }
    };
    if i128::from(T::truncate(quotient as u64).sign_extend() as i64) != quotient {
        return Err(Fault::DE);
    }
    write_pair::<T>(cpu, quotient as u64, remainder);
    Ok(())
}

fn divide_reg<T: Int, const SIGNED: bool>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let divisor: T = cpu.read_dst(op);
    if SIGNED { divide_signed(cpu, divisor) } else { divide(cpu, divisor) }
}

fn divide_mem<T: Int, const SIGNED: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let divisor: T = cpu.load_operand(bus, op)?;
    if SIGNED { divide_signed(cpu, divisor) } else { divide(cpu, divisor) }
}

macro_rules! accumulator_rows {
    ($rows:ident; $($mul:ident $imul:ident $div:ident $idiv:ident: $t:ty;)*) => {
        $rows.extend([$(
            Row::new(Code::$mul, multiply_reg::<$t, false>, multiply_mem::<$t, false>).undefined(BY_PRODUCT),
            Row::new(Code::$imul, multiply_reg::<$t, true>, multiply_mem::<$t, true>).undefined(BY_PRODUCT),
            Row::new(Code::$div, divide_reg::<$t, false>, divide_mem::<$t, false>).undefined(Rflags::STATUS),
            Row::new(Code::$idiv, divide_reg::<$t, true>, divide_mem::<$t, true>).undefined(Rflags::STATUS),
        )*]);
    };
}

macro_rules! imul_rows {
    ($rows:ident; $($two:ident $imm:ident $imm8:ident: $t:ty;)*) => {
        $rows.extend([$(
            Row::new(Code::$two, imul_reg::<$t>, imul_mem::<$t>).undefined(BY_PRODUCT),
            Row::new(Code::$imm, imul_reg_imm::<$t>, imul_mem_imm::<$t>).undefined(BY_PRODUCT),
            Row::new(Code::$imm8, imul_reg_imm::<$t>, imul_mem_imm::<$t>).undefined(BY_PRODUCT),
        )*]);
    };
}

const BY_PRODUCT: Rflags = Rflags::ZF.union(Rflags::SF).union(Rflags::PF).union(Rflags::AF);

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    accumulator_rows!(rows;
        Mul_rm8 Imul_rm8 Div_rm8 Idiv_rm8: u8;
        Mul_rm16 Imul_rm16 Div_rm16 Idiv_rm16: u16;
        Mul_rm32 Imul_rm32 Div_rm32 Idiv_rm32: u32;
        Mul_rm64 Imul_rm64 Div_rm64 Idiv_rm64: u64;
    );
    imul_rows!(rows;
        Imul_r16_rm16 Imul_r16_rm16_imm16 Imul_r16_rm16_imm8: u16;
        Imul_r32_rm32 Imul_r32_rm32_imm32 Imul_r32_rm32_imm8: u32;
        Imul_r64_rm64 Imul_r64_rm64_imm32 Imul_r64_rm64_imm8: u64;
    );
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpuid::CpuModel;

    fn with(rdx: u64, rax: u64) -> Vcpu {
        let mut cpu = Vcpu::new(0, CpuModel::max(), 0);
        cpu.gpr[Slot::RAX.number()] = rax;
        cpu.gpr[Slot::RDX.number()] = rdx;
        cpu
    }

    fn pair(cpu: &Vcpu) -> (u64, u64) {
        (cpu.gpr[Slot::RAX.number()], cpu.gpr[Slot::RDX.number()])
    }

    #[test]
    fn a_division_by_zero_or_with_too_large_a_quotient_faults_and_changes_nothing() {
        let mut cpu = with(7, 9);
        assert_eq!(divide::<u64>(&mut cpu, 0), Err(Fault::DE));
        assert_eq!(divide::<u64>(&mut cpu, 7), Err(Fault::DE));
        assert_eq!(divide_signed::<u32>(&mut cpu, 0), Err(Fault::DE));
        assert_eq!(pair(&cpu), (9, 7));
        assert_eq!(divide::<u64>(&mut cpu, 8), Ok(()));
        assert_eq!(pair(&cpu), (((7u128 << 64 | 9) / 8) as u64, 1));
    }

    #[test]
    fn the_most_negative_number_by_minus_one_faults() {
        for (rdx, rax) in [(u64::MAX, 1 << 63), (1 << 63, 0)] {
            let mut cpu = with(rdx, rax);
            assert_eq!(divide_signed::<u64>(&mut cpu, u64::MAX), Err(Fault::DE));
        }
        let mut cpu = with(0xffff_ffff, 0x8000_0000);
        assert_eq!(divide_signed::<u32>(&mut cpu, u32::MAX), Err(Fault::DE));
        let mut cpu = with(0, 0xff80);
        assert_eq!(divide_signed::<u8>(&mut cpu, 0xff), Err(Fault::DE));
        assert_eq!(divide_signed::<u8>(&mut cpu, 1), Ok(()));
        assert_eq!(pair(&cpu).0, 0x0080);
    }

    #[test]
    fn signed_division_truncates_and_its_remainder_has_the_dividend_s_sign() {
        let mut cpu = with(u64::MAX, -7i64 as u64);
        assert_eq!(divide_signed::<u64>(&mut cpu, 2), Ok(()));
        assert_eq!(pair(&cpu), (-3i64 as u64, -1i64 as u64));
        let mut cpu = with(0, 7);
        assert_eq!(divide_signed::<u16>(&mut cpu, -2i16 as u16), Ok(()));
        assert_eq!(pair(&cpu), (0xfffd, 1));
    }

    #[test]
    fn byte_forms_use_the_halves_of_ax_and_leave_the_rest() {
        let mut cpu = with(5, 0x1234_5678_0000_00ff);
        multiply::<u8, false>(&mut cpu, 0xff);
        assert_eq!(pair(&cpu), (0x1234_5678_0000_fe01, 5));
        assert!(cpu.flags.cf() && cpu.flags.of());
        multiply::<u8, true>(&mut cpu, 0xff);
        assert_eq!(pair(&cpu).0 & 0xffff, 0xffff);
        assert!(!cpu.flags.cf());
    }
}
