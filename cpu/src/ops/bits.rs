//! BT, BTS, BTR, BTC, BSF, BSR, TZCNT, LZCNT, POPCNT, BSWAP, CRC32.
//!
//! Undefined flags: bit tests leave all but CF; bit scans and counts set the others as a bitwise operation with their result
//! does. A scan of zero leaves its destination.

use super::arith::flags;
use crate::fault::Fault;
use crate::mmu::{Access, Int};
use crate::op::Op;
use crate::state::{Rflags, Vcpu};
use crate::table::Row;
use iced_x86::Code;
use lockstep_fabric::Bus;

/// BT only tests.
const TEST: u8 = 0;
/// BTS.
const SET: u8 = 1;
/// BTR.
const RESET: u8 = 2;
/// BTC.
const COMPLEMENT: u8 = 3;

/// Copies a bit to CF and changes it.
#[inline(always)]
fn change<T: Int, const WHAT: u8>(cpu: &mut Vcpu, value: T, bit: u64) -> T {
    let bit = bit as u32 % T::BITS;
    let value = value.zero_extend();
    cpu.flags.set_carry(value >> bit & 1 != 0);
    T::truncate(match WHAT {
        SET => value | 1 << bit,
        RESET => value & !(1 << bit),
        COMPLEMENT => value ^ 1 << bit,
        _ => value,
    })
}

#[inline(always)]
fn bit_in_memory<T: Int, const WHAT: u8>(cpu: &mut Vcpu, bus: &mut Bus, linear: u64, bit: u64) -> Result<(), Fault> {
    if WHAT == TEST {
        let value: T = cpu.load(bus, linear)?;
        change::<T, WHAT>(cpu, value, bit);
        return Ok(());
    }
    cpu.update::<T>(bus, linear, |cpu, value| change::<T, WHAT>(cpu, value, bit))
}

const fn access(what: u8) -> Access {
    if what == TEST { Access::Read } else { Access::Write }
}

fn bit_reg<T: Int, const WHAT: u8>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let bit: T = cpu.read_src(op);
    bit_of_reg::<T, WHAT>(cpu, op, bit.zero_extend());
    Ok(())
}

fn bit_reg_imm<T: Int, const WHAT: u8>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    bit_of_reg::<T, WHAT>(cpu, op, op.imm);
    Ok(())
}

#[inline(always)]
fn bit_of_reg<T: Int, const WHAT: u8>(cpu: &mut Vcpu, op: &Op, bit: u64) {
    let value: T = cpu.read_dst(op);
    let result = change::<T, WHAT>(cpu, value, bit);
    if WHAT != TEST {
        cpu.write_dst(op, result);
    }
}

/// A bit number in a register is signed and reaches beyond the operand.
fn bit_mem<T: Int, const WHAT: u8>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let bit = cpu.read_dst::<T>(op).sign_extend();
    let beyond = (bit as i64 >> T::BITS.trailing_zeros()) as u64;
    let linear = cpu.linear_beyond(op, beyond.wrapping_mul(T::BYTES), T::BYTES, access(WHAT))?;
    bit_in_memory::<T, WHAT>(cpu, bus, linear, bit)
}

fn bit_mem_imm<T: Int, const WHAT: u8>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let linear = cpu.linear(op, T::BYTES, access(WHAT))?;
    bit_in_memory::<T, WHAT>(cpu, bus, linear, op.imm)
}

/// An operation of one source that may write a destination.
trait Scan {
    fn apply<T: Int>(cpu: &mut Vcpu, op: &Op, source: T);
}

/// BSF.
struct Forward;
impl Scan for Forward {
    #[inline(always)]
    fn apply<T: Int>(cpu: &mut Vcpu, op: &Op, source: T) {
        scanned(cpu, op, source, source.zero_extend().trailing_zeros());
    }
}

/// BSR.
struct Reverse;
impl Scan for Reverse {
    #[inline(always)]
    fn apply<T: Int>(cpu: &mut Vcpu, op: &Op, source: T) {
        scanned(cpu, op, source, 63u32.wrapping_sub(source.zero_extend().leading_zeros()));
    }
}

#[inline(always)]
fn scanned<T: Int>(cpu: &mut Vcpu, op: &Op, source: T, position: u32) {
    let none = source.zero_extend() == 0;
    flags!(cpu, T, after_logic(if none { 0 } else { position.into() }));
    cpu.flags.set_zero(none);
    if !none {
        cpu.write_gpr(op.dst, 0, T::truncate(position.into()));
    }
}

struct TrailingZeros;
impl Scan for TrailingZeros {
    #[inline(always)]
    fn apply<T: Int>(cpu: &mut Vcpu, op: &Op, source: T) {
        counted::<T>(cpu, op, source.zero_extend().trailing_zeros().min(T::BITS));
    }
}

struct LeadingZeros;
impl Scan for LeadingZeros {
    #[inline(always)]
    fn apply<T: Int>(cpu: &mut Vcpu, op: &Op, source: T) {
        counted::<T>(cpu, op, source.zero_extend().leading_zeros() - (64 - T::BITS));
    }
}

/// CF tells that the source was zero.
#[inline(always)]
fn counted<T: Int>(cpu: &mut Vcpu, op: &Op, count: u32) {
    flags!(cpu, T, after_logic(count.into()));
    cpu.flags.set_carry(count == T::BITS);
    cpu.write_gpr(op.dst, 0, T::truncate(count.into()));
}

struct Population;
impl Scan for Population {
    #[inline(always)]
    fn apply<T: Int>(cpu: &mut Vcpu, op: &Op, source: T) {
        let count = source.zero_extend().count_ones();
        cpu.flags.put_status(if count == 0 { Rflags::ZF } else { Rflags::empty() });
        cpu.write_gpr(op.dst, 0, T::truncate(count.into()));
    }
}

fn scan_reg<S: Scan, T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    S::apply::<T>(cpu, op, cpu.read_src(op));
    Ok(())
}

fn scan_mem<S: Scan, T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let source: T = cpu.load_operand(bus, op)?;
    S::apply::<T>(cpu, op, source);
    Ok(())
}

/// BSWAP of a 16-bit register, undefined by the manual, clears it as CPUs do.
fn bswap16(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.write_gpr(op.dst, 0, 0u16);
    Ok(())
}

fn bswap32(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let value: u32 = cpu.read_gpr(op.dst, 0);
    cpu.write_gpr(op.dst, 0, value.swap_bytes());
    Ok(())
}

fn bswap64(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let value: u64 = cpu.read_gpr(op.dst, 0);
    cpu.write_gpr(op.dst, 0, value.swap_bytes());
    Ok(())
}

/// The polynomial 11EDC6F41H, its bits reversed.
const CASTAGNOLI: u32 = 0x82f6_3b78;

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = crc >> 1 ^ if crc & 1 != 0 { CASTAGNOLI } else { 0 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

/// CRC32: accumulates `source` into the low 32 bits of the destination; the upper half is cleared.
#[inline(always)]
fn accumulate<T: Int>(cpu: &mut Vcpu, op: &Op, source: T) {
    let start: u32 = cpu.read_gpr(op.dst, 0);
    let bytes = source.zero_extend().to_le_bytes();
    let step = |crc: u32, byte: &u8| crc >> 8 ^ CRC_TABLE[usize::from(crc as u8 ^ byte)];
    let crc = bytes[..T::BYTES as usize].iter().fold(start, step);
    cpu.write_gpr(op.dst, 0, crc);
}

fn crc32_reg<T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    accumulate::<T>(cpu, op, cpu.read_src(op));
    Ok(())
}

fn crc32_mem<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let source: T = cpu.load_operand(bus, op)?;
    accumulate(cpu, op, source);
    Ok(())
}

macro_rules! bit_rows {
    ($rows:ident, $what:ident; $($by_reg:ident $by_imm:ident: $t:ty;)*) => {
        $rows.extend([$(
            Row::new(Code::$by_reg, bit_reg::<$t, $what>, bit_mem::<$t, $what>).undefined(ALL_BUT_CF_ZF),
            Row::new(Code::$by_imm, bit_reg_imm::<$t, $what>, bit_mem_imm::<$t, $what>).undefined(ALL_BUT_CF_ZF),
        )*]);
    };
}

macro_rules! scan_rows {
    ($rows:ident, $scan:ty, $undefined:expr; $($code:ident: $t:ty),*) => {
        $rows.extend([$(
            Row::new(Code::$code, scan_reg::<$scan, $t>, scan_mem::<$scan, $t>).undefined($undefined),
        )*]);
    };
}

const ALL_BUT_CF_ZF: Rflags = Rflags::OF.union(Rflags::SF).union(Rflags::AF).union(Rflags::PF);
const ALL_BUT_ZF: Rflags = ALL_BUT_CF_ZF.union(Rflags::CF);

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = vec![
        Row::single(Code::Bswap_r16, bswap16),
        Row::single(Code::Bswap_r32, bswap32),
        Row::single(Code::Bswap_r64, bswap64),
        Row::new(Code::Crc32_r32_rm8, crc32_reg::<u8>, crc32_mem::<u8>),
        Row::new(Code::Crc32_r64_rm8, crc32_reg::<u8>, crc32_mem::<u8>),
        Row::new(Code::Crc32_r32_rm16, crc32_reg::<u16>, crc32_mem::<u16>),
        Row::new(Code::Crc32_r32_rm32, crc32_reg::<u32>, crc32_mem::<u32>),
        Row::new(Code::Crc32_r64_rm64, crc32_reg::<u64>, crc32_mem::<u64>),
    ];
    bit_rows!(rows, TEST; Bt_rm16_r16 Bt_rm16_imm8: u16; Bt_rm32_r32 Bt_rm32_imm8: u32; Bt_rm64_r64 Bt_rm64_imm8: u64;);
    bit_rows!(rows, SET; Bts_rm16_r16 Bts_rm16_imm8: u16; Bts_rm32_r32 Bts_rm32_imm8: u32; Bts_rm64_r64 Bts_rm64_imm8: u64;);
    bit_rows!(rows, RESET; Btr_rm16_r16 Btr_rm16_imm8: u16; Btr_rm32_r32 Btr_rm32_imm8: u32; Btr_rm64_r64 Btr_rm64_imm8: u64;);
    bit_rows!(rows, COMPLEMENT; Btc_rm16_r16 Btc_rm16_imm8: u16; Btc_rm32_r32 Btc_rm32_imm8: u32;
        Btc_rm64_r64 Btc_rm64_imm8: u64;);
    scan_rows!(rows, Forward, ALL_BUT_ZF; Bsf_r16_rm16: u16, Bsf_r32_rm32: u32, Bsf_r64_rm64: u64);
    scan_rows!(rows, Reverse, ALL_BUT_ZF; Bsr_r16_rm16: u16, Bsr_r32_rm32: u32, Bsr_r64_rm64: u64);
    scan_rows!(rows, TrailingZeros, ALL_BUT_CF_ZF; Tzcnt_r16_rm16: u16, Tzcnt_r32_rm32: u32, Tzcnt_r64_rm64: u64);
    scan_rows!(rows, LeadingZeros, ALL_BUT_CF_ZF; Lzcnt_r16_rm16: u16, Lzcnt_r32_rm32: u32, Lzcnt_r64_rm64: u64);
    scan_rows!(rows, Population, Rflags::empty(); Popcnt_r16_rm16: u16, Popcnt_r32_rm32: u32, Popcnt_r64_rm64: u64);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_castagnoli_s() {
        // The check value of CRC-32C: "123456789" from all ones, inverted.
        let step = |crc: u32, byte: &u8| crc >> 8 ^ CRC_TABLE[usize::from(crc as u8 ^ byte)];
        assert_eq!(!b"123456789".iter().fold(u32::MAX, step), 0xe306_9283);
    }
}
