//! SHL, SHR, SAR, ROL, ROR, RCL, RCR, SHLD, SHRD.
//!
//! Counts are masked to five bits (six for 64-bit operands); a count of zero leaves the flags. Where the manual leaves flags
//! undefined: AF is cleared by shifts and kept by rotates; OF by counts other than one is what the last of that many single
//! steps to the left would set, for right shifts and rotates what the result's top two bits say.

use super::arith::flags;
use crate::fault::Fault;
use crate::mmu::Int;
use crate::op::{Op, Slot};
use crate::state::{Rflags, Vcpu};
use crate::table::Row;
use iced_x86::Code;
use lockstep_fabric::Bus;

/// A shift or rotate by a masked count that is not zero.
pub(super) trait Shift {
    fn apply<T: Int>(cpu: &mut Vcpu, a: T, count: u32) -> T;
}

/// The top bit of a value zero-extended from `T`.
#[inline(always)]
fn top<T: Int>(value: u64) -> bool {
    value >> (T::BITS - 1) & 1 != 0
}

/// Whether the top two bits differ.
#[inline(always)]
fn top_two_differ<T: Int>(value: u64) -> bool {
    (value ^ value << 1) >> (T::BITS - 1) & 1 != 0
}

/// Flags and result of a shift.
#[inline(always)]
fn shifted<T: Int>(cpu: &mut Vcpu, result: u64, carry: u64, overflow: bool) -> T {
    flags!(cpu, T, after_logic(result));
    cpu.flags.set_carry_overflow(carry & 1 != 0, overflow);
    T::truncate(result)
}

pub(super) struct Shl;
impl Shift for Shl {
    #[inline(always)]
    fn apply<T: Int>(cpu: &mut Vcpu, a: T, count: u32) -> T {
        let a = a.zero_extend();
        let carry = if T::BITS == 64 { a >> (64 - count) } else { a << count >> T::BITS };
        let result = T::truncate(a << count).zero_extend();
        shifted(cpu, result, carry, top::<T>(result) ^ (carry & 1 != 0))
    }
}

pub(super) struct Shr;
impl Shift for Shr {
    #[inline(always)]
    fn apply<T: Int>(cpu: &mut Vcpu, a: T, count: u32) -> T {
        let a = a.zero_extend();
        let result = a >> count;
        shifted(cpu, result, a >> (count - 1), top_two_differ::<T>(result))
    }
}

pub(super) struct Sar;
impl Shift for Sar {
    #[inline(always)]
    fn apply<T: Int>(cpu: &mut Vcpu, a: T, count: u32) -> T {
        let a = a.sign_extend() as i64;
        let result = T::truncate((a >> count) as u64).zero_extend();
        shifted(cpu, result, (a >> (count - 1)) as u64, false)
    }
}

struct Rol;
impl Shift for Rol {
    #[inline(always)]
    fn apply<T: Int>(cpu: &mut Vcpu, a: T, count: u32) -> T {
        let a = a.zero_extend();
        let count = count % T::BITS;
        let right = (T::BITS - count) % T::BITS;
        let result = T::truncate(a << count | a >> right).zero_extend();
        let carry = result & 1 != 0;
        cpu.flags.set_carry_overflow(carry, carry ^ top::<T>(result));
        T::truncate(result)
    }
}

struct Ror;
impl Shift for Ror {
    #[inline(always)]
    fn apply<T: Int>(cpu: &mut Vcpu, a: T, count: u32) -> T {
        let a = a.zero_extend();
        let count = count % T::BITS;
        let left = (T::BITS - count) % T::BITS;
        let result = T::truncate(a >> count | a << left).zero_extend();
        cpu.flags.set_carry_overflow(top::<T>(result), top_two_differ::<T>(result));
        T::truncate(result)
    }
}

struct Rcl;
impl Shift for Rcl {
    #[inline(always)]
    fn apply<T: Int>(cpu: &mut Vcpu, a: T, count: u32) -> T {
        let value = a.zero_extend();
        // The carry is a bit more of the ring.
        let count = count % (T::BITS + 1);
        if count == 0 {
            return a;
        }
        let wrapped = if count == 1 { 0 } else { value >> (T::BITS + 1 - count) };
        let carry_in = u64::from(cpu.flags.cf());
        let result = T::truncate(value << count | carry_in << (count - 1) | wrapped).zero_extend();
        let carry = value >> (T::BITS - count) & 1 != 0;
        cpu.flags.set_carry_overflow(carry, carry ^ top::<T>(result));
        T::truncate(result)
    }
}

struct Rcr;
impl Shift for Rcr {
    #[inline(always)]
    fn apply<T: Int>(cpu: &mut Vcpu, a: T, count: u32) -> T {
        let value = a.zero_extend();
        let count = count % (T::BITS + 1);
        if count == 0 {
            return a;
        }
        let wrapped = if count == 1 { 0 } else { value << (T::BITS + 1 - count) };
        let carry_in = u64::from(cpu.flags.cf());
        let result = T::truncate(value >> count | carry_in << (T::BITS - count) | wrapped).zero_extend();
        let carry = value >> (count - 1) & 1 != 0;
        cpu.flags.set_carry_overflow(carry, top_two_differ::<T>(result));
        T::truncate(result)
    }
}

/// The bits of a count that count.
#[inline(always)]
pub(super) fn masked<T: Int>(count: u64) -> u32 {
    count as u32 & if T::BITS == 64 { 63 } else { 31 }
}

#[inline(always)]
fn cl(cpu: &Vcpu) -> u64 {
    cpu.gpr[Slot::RCX.number()]
}

#[inline(always)]
fn shift_reg<S: Shift, T: Int>(cpu: &mut Vcpu, op: &Op, count: u64) {
    let a: T = cpu.read_dst(op);
    let count = masked::<T>(count);
    let result = if count == 0 { a } else { S::apply(cpu, a, count) };
    cpu.write_dst(op, result);
}

#[inline(always)]
fn shift_mem<S: Shift, T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op, count: u64) -> Result<(), Fault> {
    let count = masked::<T>(count);
    cpu.update_operand::<T>(bus, op, |cpu, a| if count == 0 { a } else { S::apply(cpu, a, count) })
}

fn reg_imm<S: Shift, T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    shift_reg::<S, T>(cpu, op, op.imm);
    Ok(())
}

fn mem_imm<S: Shift, T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    shift_mem::<S, T>(cpu, bus, op, op.imm)
}

fn reg_cl<S: Shift, T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    shift_reg::<S, T>(cpu, op, cl(cpu));
    Ok(())
}

fn mem_cl<S: Shift, T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let count = cl(cpu);
    shift_mem::<S, T>(cpu, bus, op, count)
}

/// SHLD: bits of `b` follow those of `a` in from the right. A 16-bit count above 16 goes on with `a` again.
#[inline(always)]
fn shld<T: Int>(cpu: &mut Vcpu, a: T, b: T, count: u32) -> T {
    let (a, b) = (a.zero_extend(), b.zero_extend());
    let (result, carry) = if T::BITS == 16 {
        let ring = a << 32 | b << 16 | a;
        (ring >> (32 - count), a << 16 >> (32 - count) | if count > 16 { b >> (32 - count) } else { 0 })
    } else {
        (a << count | b >> (T::BITS - count), a >> (T::BITS - count))
    };
    let result = T::truncate(result).zero_extend();
    shifted(cpu, result, carry, top::<T>(result) ^ (carry & 1 != 0))
}

/// SHRD: bits of `b` follow those of `a` in from the left. A 16-bit count above 16 goes on with `a` again.
#[inline(always)]
fn shrd<T: Int>(cpu: &mut Vcpu, a: T, b: T, count: u32) -> T {
    let (a, b) = (a.zero_extend(), b.zero_extend());
    let ring = if T::BITS == 16 { a << 32 | b << 16 | a } else { a };
    let result = if T::BITS == 16 { ring >> count } else { a >> count | b << (T::BITS - count) };
    let result = T::truncate(result).zero_extend();
    shifted(cpu, result, ring >> (count - 1), top_two_differ::<T>(result))
}

/// `op.imm` or CL.
#[inline(always)]
fn double_count<T: Int, const BY_CL: bool>(cpu: &Vcpu, op: &Op) -> u32 {
    masked::<T>(if BY_CL { cl(cpu) } else { op.imm })
}

#[inline(always)]
fn double<T: Int, const LEFT: bool>(cpu: &mut Vcpu, a: T, b: T, count: u32) -> T {
    match (count, LEFT) {
        (0, _) => a,
        (_, true) => shld(cpu, a, b, count),
        (_, false) => shrd(cpu, a, b, count),
    }
}

fn double_reg<T: Int, const LEFT: bool, const BY_CL: bool>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let count = double_count::<T, BY_CL>(cpu, op);
    let result = double::<T, LEFT>(cpu, cpu.read_dst(op), cpu.read_src(op), count);
    cpu.write_dst(op, result);
    Ok(())
}

fn double_mem<T: Int, const LEFT: bool, const BY_CL: bool>(
    cpu: &mut Vcpu,
    bus: &mut Bus,
    op: &Op,
) -> Result<(), Fault> {
    let count = double_count::<T, BY_CL>(cpu, op);
    let b: T = cpu.read_dst(op);
    cpu.update_operand::<T>(bus, op, |cpu, a| double::<T, LEFT>(cpu, a, b, count))
}

macro_rules! shift_rows {
    ($rows:ident, $op:ty, $one:expr, $more:expr, $narrow:expr; $($by_1:ident $by_imm:ident $by_cl:ident: $t:ty;)*) => {
        $rows.extend([$(
            Row::new(Code::$by_1, reg_imm::<$op, $t>, mem_imm::<$op, $t>).undefined($one),
            Row::new(Code::$by_imm, reg_imm::<$op, $t>, mem_imm::<$op, $t>)
                .undefined(if <$t>::BITS < 32 { $narrow } else { $more }),
            Row::new(Code::$by_cl, reg_cl::<$op, $t>, mem_cl::<$op, $t>)
                .undefined(if <$t>::BITS < 32 { $narrow } else { $more }),
        )*]);
    };
}

macro_rules! double_rows {
    ($rows:ident, $left:literal; $($by_imm:ident $by_cl:ident: $t:ty, $undefined:expr;)*) => {
        $rows.extend([$(
            Row::new(Code::$by_imm, double_reg::<$t, $left, false>, double_mem::<$t, $left, false>)
                .undefined($undefined),
            Row::new(Code::$by_cl, double_reg::<$t, $left, true>, double_mem::<$t, $left, true>)
                .undefined($undefined),
        )*]);
    };
}

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    const NONE: Rflags = Rflags::empty();
    const OF: Rflags = Rflags::OF;
    const AF: Rflags = Rflags::AF;
    const AF_OF: Rflags = Rflags::AF.union(Rflags::OF);
    // CF too, by a count not below the operand's width.
    const AF_OF_CF: Rflags = AF_OF.union(Rflags::CF);
    const STATUS: Rflags = Rflags::STATUS;
    let mut rows = Vec::new();
    shift_rows!(rows, Shl, AF, AF_OF, AF_OF_CF;
        Shl_rm8_1 Shl_rm8_imm8 Shl_rm8_CL: u8;
        Shl_rm16_1 Shl_rm16_imm8 Shl_rm16_CL: u16;
        Shl_rm32_1 Shl_rm32_imm8 Shl_rm32_CL: u32;
        Shl_rm64_1 Shl_rm64_imm8 Shl_rm64_CL: u64;
    );
    shift_rows!(rows, Shl, AF, AF_OF, AF_OF_CF;
        Sal_rm8_1 Sal_rm8_imm8 Sal_rm8_CL: u8;
        Sal_rm16_1 Sal_rm16_imm8 Sal_rm16_CL: u16;
        Sal_rm32_1 Sal_rm32_imm8 Sal_rm32_CL: u32;
        Sal_rm64_1 Sal_rm64_imm8 Sal_rm64_CL: u64;
    );
    shift_rows!(rows, Shr, AF, AF_OF, AF_OF_CF;
        Shr_rm8_1 Shr_rm8_imm8 Shr_rm8_CL: u8;
        Shr_rm16_1 Shr_rm16_imm8 Shr_rm16_CL: u16;
        Shr_rm32_1 Shr_rm32_imm8 Shr_rm32_CL: u32;
        Shr_rm64_1 Shr_rm64_imm8 Shr_rm64_CL: u64;
    );
    shift_rows!(rows, Sar, AF, AF_OF, AF_OF;
        Sar_rm8_1 Sar_rm8_imm8 Sar_rm8_CL: u8;
        Sar_rm16_1 Sar_rm16_imm8 Sar_rm16_CL: u16;
        Sar_rm32_1 Sar_rm32_imm8 Sar_rm32_CL: u32;
        Sar_rm64_1 Sar_rm64_imm8 Sar_rm64_CL: u64;
    );
    shift_rows!(rows, Rol, NONE, OF, OF;
        Rol_rm8_1 Rol_rm8_imm8 Rol_rm8_CL: u8;
        Rol_rm16_1 Rol_rm16_imm8 Rol_rm16_CL: u16;
        Rol_rm32_1 Rol_rm32_imm8 Rol_rm32_CL: u32;
        Rol_rm64_1 Rol_rm64_imm8 Rol_rm64_CL: u64;
    );
    shift_rows!(rows, Ror, NONE, OF, OF;
        Ror_rm8_1 Ror_rm8_imm8 Ror_rm8_CL: u8;
        Ror_rm16_1 Ror_rm16_imm8 Ror_rm16_CL: u16;
        Ror_rm32_1 Ror_rm32_imm8 Ror_rm32_CL: u32;
        Ror_rm64_1 Ror_rm64_imm8 Ror_rm64_CL: u64;
    );
    shift_rows!(rows, Rcl, NONE, OF, OF;
        Rcl_rm8_1 Rcl_rm8_imm8 Rcl_rm8_CL: u8;
        Rcl_rm16_1 Rcl_rm16_imm8 Rcl_rm16_CL: u16;
        Rcl_rm32_1 Rcl_rm32_imm8 Rcl_rm32_CL: u32;
        Rcl_rm64_1 Rcl_rm64_imm8 Rcl_rm64_CL: u64;
    );
    shift_rows!(rows, Rcr, NONE, OF, OF;
        Rcr_rm8_1 Rcr_rm8_imm8 Rcr_rm8_CL: u8;
        Rcr_rm16_1 Rcr_rm16_imm8 Rcr_rm16_CL: u16;
        Rcr_rm32_1 Rcr_rm32_imm8 Rcr_rm32_CL: u32;
        Rcr_rm64_1 Rcr_rm64_imm8 Rcr_rm64_CL: u64;
    );
    double_rows!(rows, true; Shld_rm16_r16_imm8 Shld_rm16_r16_CL: u16, STATUS; Shld_rm32_r32_imm8 Shld_rm32_r32_CL: u32, AF_OF;
        Shld_rm64_r64_imm8 Shld_rm64_r64_CL: u64, AF_OF;);
    double_rows!(rows, false; Shrd_rm16_r16_imm8 Shrd_rm16_r16_CL: u16, STATUS; Shrd_rm32_r32_imm8 Shrd_rm32_r32_CL: u32, AF_OF;
        Shrd_rm64_r64_imm8 Shrd_rm64_r64_CL: u64, AF_OF;);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpuid::CpuModel;

    /// Result, CF and OF (by a count of one) from single steps over bits.
    fn model(name: &str, bits: u32, mut a: u64, mut cf: bool, count: u32) -> (u64, bool, bool) {
        let mask = u64::MAX >> (64 - bits);
        let mut of = false;
        for _ in 0..count {
            let (high, low) = (a >> (bits - 1) & 1 != 0, a & 1 != 0);
            let (left, into) = match name {
                "shl" => (true, false),
                "rol" => (true, high),
                "rcl" => (true, cf),
                "shr" => (false, false),
                "sar" => (false, high),
                "ror" => (false, low),
                _ => (false, cf),
            };
            cf = if left { high } else { low };
            a = if left { (a << 1 | u64::from(into)) & mask } else { a >> 1 | u64::from(into) << (bits - 1) };
            let new_high = a >> (bits - 1) & 1 != 0;
            of = new_high ^ if left { cf } else { a >> (bits - 2) & 1 != 0 };
            if name == "shr" {
                of = high;
            }
        }
        (a, cf, of)
    }

    fn check<S: Shift, T: Int>(name: &str) {
        let mut cpu = Vcpu::new(0, CpuModel::max(), 1);
        let mask = u64::MAX >> (64 - T::BITS);
        for round in 0..400u64 {
            let a = cpu.next_random() & mask;
            for count in 1..if T::BITS == 64 { 64 } else { 32 } {
                cpu.flags.put_status(Rflags::from_bits_retain(cpu.flags.get().bits() ^ round) & Rflags::STATUS);
                let before = cpu.flags.get();
                let (result, cf, of) = model(name, T::BITS, a, before.contains(Rflags::CF), count);
                let got = S::apply(&mut cpu, T::truncate(a), count).zero_extend();
                assert_eq!((got, cpu.flags.cf()), (result, cf), "{name} {a:#x} by {count} of {}", T::BITS);
                if count == 1 {
                    assert_eq!(cpu.flags.of(), of, "{name} {a:#x}");
                }
                let zsp = Rflags::ZF | Rflags::SF | Rflags::PF;
                if name.starts_with('r') {
                    assert_eq!(cpu.flags.get() & zsp, before & zsp);
                } else {
                    assert_eq!(cpu.flags.zf(), result == 0);
                    assert_eq!(cpu.flags.sf(), result >> (T::BITS - 1) != 0);
                }
            }
        }
    }

    fn check_widths<S: Shift>(name: &str) {
        check::<S, u8>(name);
        check::<S, u16>(name);
        check::<S, u32>(name);
        check::<S, u64>(name);
    }

    #[test]
    fn many_bits_at_once_are_as_many_single_steps() {
        check_widths::<Shl>("shl");
        check_widths::<Shr>("shr");
        check_widths::<Sar>("sar");
        check_widths::<Rol>("rol");
        check_widths::<Ror>("ror");
        check_widths::<Rcl>("rcl");
        check_widths::<Rcr>("rcr");
    }

    #[test]
    fn double_shifts_bring_in_the_second_operand_s_bits() {
        let mut cpu = Vcpu::new(0, CpuModel::max(), 2);
        for _ in 0..2000 {
            let (a, b) = (cpu.next_random(), cpu.next_random());
            let count = 1 + (cpu.next_random() % 31) as u32;
            let (a32, b32) = (a as u32, b as u32);
            let wide = u64::from(a32) << 32 | u64::from(b32);
            assert_eq!(shld(&mut cpu, a32, b32, count), (wide << count >> 32) as u32);
            assert_eq!(cpu.flags.cf(), a32 >> (32 - count) & 1 != 0);
            let wide = u64::from(b32) << 32 | u64::from(a32);
            assert_eq!(shrd(&mut cpu, a32, b32, count), (wide >> count) as u32);
            assert_eq!(cpu.flags.cf(), a32 >> (count - 1) & 1 != 0);
            let count = count.min(16);
            let wide = (a as u32) << 16 | u32::from(b as u16);
            assert_eq!(shld(&mut cpu, a as u16, b as u16, count), (wide << count >> 16) as u16);
            assert_eq!(cpu.flags.cf(), (a as u16) >> (16 - count) & 1 != 0);
            let wide = u32::from(b as u16) << 16 | u32::from(a as u16);
            assert_eq!(shrd(&mut cpu, a as u16, b as u16, count), (wide >> count) as u16);
            assert_eq!(cpu.flags.cf(), (a as u16) >> (count - 1) & 1 != 0);
        }
    }
}
