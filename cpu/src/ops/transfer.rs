//! MOV, MOVZX, MOVSX, MOVSXD, LEA, CMOVcc, SETcc, XLAT, CBW to CQO, NOP.

use super::operand::{put_operand, with_operand};
use crate::fault::Fault;
use crate::mmu::{Access, Int};
use crate::op::{Op, Slot, Traits};
use crate::state::Vcpu;
use crate::table::Row;
use iced_x86::Code;
use lockstep_fabric::Bus;

fn mov_reg_reg<T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let value: T = cpu.read_src(op);
    cpu.write_dst(op, value);
    Ok(())
}

fn mov_reg_mem<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    with_operand(cpu, bus, op, |cpu, op, value: T| {
        cpu.write_dst(op, value);
        Ok(())
    })
}

fn mov_mem_reg<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let value: T = cpu.read_dst(op);
    put_operand(cpu, bus, op, value)
}

fn mov_reg_imm<T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.write_dst(op, T::truncate(op.imm));
    Ok(())
}

fn mov_mem_imm<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    put_operand(cpu, bus, op, T::truncate(op.imm))
}

/// From `S` to `T`, zero-extended.
fn movzx_reg<T: Int, S: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let value: S = cpu.read_src(op);
    cpu.write_gpr(op.dst, 0, T::truncate(value.zero_extend()));
    Ok(())
}

fn movzx_mem<T: Int, S: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    with_operand(cpu, bus, op, |cpu, op, value: S| {
        cpu.write_gpr(op.dst, 0, T::truncate(value.zero_extend()));
        Ok(())
    })
}

/// From `S` to `T`, sign-extended.
fn movsx_reg<T: Int, S: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let value: S = cpu.read_src(op);
    cpu.write_gpr(op.dst, 0, T::truncate(value.sign_extend()));
    Ok(())
}

fn movsx_mem<T: Int, S: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    with_operand(cpu, bus, op, |cpu, op, value: S| {
        cpu.write_gpr(op.dst, 0, T::truncate(value.sign_extend()));
        Ok(())
    })
}

fn lea<T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.write_gpr(op.dst, 0, T::truncate(cpu.effective_address(op)));
    Ok(())
}

/// A 32-bit CMOV clears the upper half even when its condition does not hold.
fn cmov_reg<T: Int, const CC: u8>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let value: T = if cpu.flags.condition::<CC>() { cpu.read_src(op) } else { cpu.read_dst(op) };
    cpu.write_dst(op, value);
    Ok(())
}

/// The load takes place, and may fault, whatever the condition.
fn cmov_mem<T: Int, const CC: u8>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    with_operand(cpu, bus, op, |cpu, op, loaded: T| {
        let value = if cpu.flags.condition::<CC>() { loaded } else { cpu.read_dst(op) };
        cpu.write_dst(op, value);
        Ok(())
    })
}

fn set_reg<const CC: u8>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.write_dst(op, u8::from(cpu.flags.condition::<CC>()));
    Ok(())
}

fn set_mem<const CC: u8>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    put_operand(cpu, bus, op, u8::from(cpu.flags.condition::<CC>()))
}

/// The table is at the base register, AL (not all of RAX) its index.
fn xlat(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let al: u8 = cpu.read_gpr(Slot::RAX, 0);
    let offset = cpu.gpr[op.base.number()].wrapping_add(al.into()) & address_mask(op);
    let linear = if op.is(Traits::FLAT) { offset } else { cpu.segmented(op.seg.into(), offset, 1, Access::Read)? };
    let value: u8 = cpu.load(bus, linear)?;
    cpu.write_gpr(Slot::RAX, 0, value);
    Ok(())
}

/// The bits of an offset that count at the instruction's address size.
#[inline(always)]
pub(crate) fn address_mask(op: &Op) -> u64 {
    if op.is(Traits::ADDRESS32) {
        0xffff_ffff
    } else if op.is(Traits::ADDRESS16) {
        0xffff
    } else {
        u64::MAX
    }
}

/// CBW, CWDE, CDQE: the accumulator's lower half `S` sign-extended into `T`.
fn widen<T: Int, S: Int>(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    let half: S = cpu.read_gpr(Slot::RAX, 0);
    cpu.write_gpr(Slot::RAX, 0, T::truncate(half.sign_extend()));
    Ok(())
}

/// CWD, CDQ, CQO: the accumulator's sign fills the data register.
fn sign_to_rdx<T: Int>(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    let value: T = cpu.read_gpr(Slot::RAX, 0);
    cpu.write_gpr(Slot::RDX, 0, T::truncate((value.sign_extend() as i64 >> 63) as u64));
    Ok(())
}

fn nop(_: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    Ok(())
}

macro_rules! rows {
    ($rows:ident; $($code:ident: $reg:expr, $mem:expr;)*) => {
        $rows.extend([$(Row::new(Code::$code, $reg, $mem)),*]);
    };
}

macro_rules! conditional_rows {
    ($rows:ident; $($cc:literal $cmov16:ident $cmov32:ident $cmov64:ident $set:ident;)*) => {
        $rows.extend([$(
            Row::new(Code::$cmov16, cmov_reg::<u16, $cc>, cmov_mem::<u16, $cc>),
            Row::new(Code::$cmov32, cmov_reg::<u32, $cc>, cmov_mem::<u32, $cc>),
            Row::new(Code::$cmov64, cmov_reg::<u64, $cc>, cmov_mem::<u64, $cc>),
            Row::new(Code::$set, set_reg::<$cc>, set_mem::<$cc>),
        )*]);
    };
}

macro_rules! nop_rows {
    ($rows:ident; $($code:ident)*) => {
        $rows.extend([$(Row::single(Code::$code, nop).hint()),*]);
    };
}

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    rows!(rows;
        Mov_rm8_r8: mov_reg_reg::<u8>, mov_mem_reg::<u8>;
        Mov_rm16_r16: mov_reg_reg::<u16>, mov_mem_reg::<u16>;
        Mov_rm32_r32: mov_reg_reg::<u32>, mov_mem_reg::<u32>;
        Mov_rm64_r64: mov_reg_reg::<u64>, mov_mem_reg::<u64>;
        Mov_r8_rm8: mov_reg_reg::<u8>, mov_reg_mem::<u8>;
        Mov_r16_rm16: mov_reg_reg::<u16>, mov_reg_mem::<u16>;
        Mov_r32_rm32: mov_reg_reg::<u32>, mov_reg_mem::<u32>;
        Mov_r64_rm64: mov_reg_reg::<u64>, mov_reg_mem::<u64>;
        Mov_r8_imm8: mov_reg_imm::<u8>, mov_reg_imm::<u8>;
        Mov_r16_imm16: mov_reg_imm::<u16>, mov_reg_imm::<u16>;
        Mov_r32_imm32: mov_reg_imm::<u32>, mov_reg_imm::<u32>;
        Mov_r64_imm64: mov_reg_imm::<u64>, mov_reg_imm::<u64>;
        Mov_rm8_imm8: mov_reg_imm::<u8>, mov_mem_imm::<u8>;
        Mov_rm16_imm16: mov_reg_imm::<u16>, mov_mem_imm::<u16>;
        Mov_rm32_imm32: mov_reg_imm::<u32>, mov_mem_imm::<u32>;
        Mov_rm64_imm32: mov_reg_imm::<u64>, mov_mem_imm::<u64>;
        Mov_AL_moffs8: mov_reg_mem::<u8>, mov_reg_mem::<u8>;
        Mov_moffs8_AL: mov_mem_reg::<u8>, mov_mem_reg::<u8>;
        Mov_AX_moffs16: mov_reg_mem::<u16>, mov_reg_mem::<u16>;
        Mov_moffs16_AX: mov_mem_reg::<u16>, mov_mem_reg::<u16>;
        Mov_EAX_moffs32: mov_reg_mem::<u32>, mov_reg_mem::<u32>;
        Mov_moffs32_EAX: mov_mem_reg::<u32>, mov_mem_reg::<u32>;
        Mov_RAX_moffs64: mov_reg_mem::<u64>, mov_reg_mem::<u64>;
        Mov_moffs64_RAX: mov_mem_reg::<u64>, mov_mem_reg::<u64>;
        Movzx_r16_rm8: movzx_reg::<u16, u8>, movzx_mem::<u16, u8>;
        Movzx_r32_rm8: movzx_reg::<u32, u8>, movzx_mem::<u32, u8>;
        Movzx_r64_rm8: movzx_reg::<u64, u8>, movzx_mem::<u64, u8>;
        Movzx_r16_rm16: movzx_reg::<u16, u16>, movzx_mem::<u16, u16>;
        Movzx_r32_rm16: movzx_reg::<u32, u16>, movzx_mem::<u32, u16>;
        Movzx_r64_rm16: movzx_reg::<u64, u16>, movzx_mem::<u64, u16>;
        Movsx_r16_rm8: movsx_reg::<u16, u8>, movsx_mem::<u16, u8>;
        Movsx_r32_rm8: movsx_reg::<u32, u8>, movsx_mem::<u32, u8>;
        Movsx_r64_rm8: movsx_reg::<u64, u8>, movsx_mem::<u64, u8>;
        Movsx_r16_rm16: movsx_reg::<u16, u16>, movsx_mem::<u16, u16>;
        Movsx_r32_rm16: movsx_reg::<u32, u16>, movsx_mem::<u32, u16>;
        Movsx_r64_rm16: movsx_reg::<u64, u16>, movsx_mem::<u64, u16>;
        Movsxd_r16_rm16: mov_reg_reg::<u16>, mov_reg_mem::<u16>;
        Movsxd_r32_rm32: mov_reg_reg::<u32>, mov_reg_mem::<u32>;
        Movsxd_r64_rm32: movsx_reg::<u64, u32>, movsx_mem::<u64, u32>;
        Lea_r16_m: lea::<u16>, lea::<u16>;
        Lea_r32_m: lea::<u32>, lea::<u32>;
        Lea_r64_m: lea::<u64>, lea::<u64>;
        Xlat_m8: xlat, xlat;
        Cbw: widen::<u16, u8>, widen::<u16, u8>;
        Cwde: widen::<u32, u16>, widen::<u32, u16>;
        Cdqe: widen::<u64, u32>, widen::<u64, u32>;
        Cwd: sign_to_rdx::<u16>, sign_to_rdx::<u16>;
        Cdq: sign_to_rdx::<u32>, sign_to_rdx::<u32>;
        Cqo: sign_to_rdx::<u64>, sign_to_rdx::<u64>;
    );
    conditional_rows!(rows;
        0 Cmovo_r16_rm16 Cmovo_r32_rm32 Cmovo_r64_rm64 Seto_rm8;
        1 Cmovno_r16_rm16 Cmovno_r32_rm32 Cmovno_r64_rm64 Setno_rm8;
        2 Cmovb_r16_rm16 Cmovb_r32_rm32 Cmovb_r64_rm64 Setb_rm8;
        3 Cmovae_r16_rm16 Cmovae_r32_rm32 Cmovae_r64_rm64 Setae_rm8;
        4 Cmove_r16_rm16 Cmove_r32_rm32 Cmove_r64_rm64 Sete_rm8;
        5 Cmovne_r16_rm16 Cmovne_r32_rm32 Cmovne_r64_rm64 Setne_rm8;
        6 Cmovbe_r16_rm16 Cmovbe_r32_rm32 Cmovbe_r64_rm64 Setbe_rm8;
        7 Cmova_r16_rm16 Cmova_r32_rm32 Cmova_r64_rm64 Seta_rm8;
        8 Cmovs_r16_rm16 Cmovs_r32_rm32 Cmovs_r64_rm64 Sets_rm8;
        9 Cmovns_r16_rm16 Cmovns_r32_rm32 Cmovns_r64_rm64 Setns_rm8;
        10 Cmovp_r16_rm16 Cmovp_r32_rm32 Cmovp_r64_rm64 Setp_rm8;
        11 Cmovnp_r16_rm16 Cmovnp_r32_rm32 Cmovnp_r64_rm64 Setnp_rm8;
        12 Cmovl_r16_rm16 Cmovl_r32_rm32 Cmovl_r64_rm64 Setl_rm8;
        13 Cmovge_r16_rm16 Cmovge_r32_rm32 Cmovge_r64_rm64 Setge_rm8;
        14 Cmovle_r16_rm16 Cmovle_r32_rm32 Cmovle_r64_rm64 Setle_rm8;
        15 Cmovg_r16_rm16 Cmovg_r32_rm32 Cmovg_r64_rm64 Setg_rm8;
    );
    nop_rows!(rows; Nopw Nopd Nopq Nop_rm16 Nop_rm32 Nop_rm64 Endbr32 Endbr64 Rdsspd_r32 Rdsspq_r64
        Prefetch_m8 Prefetchw_m8 Prefetchwt1_m8 Prefetchnta_m8 Prefetcht0_m8 Prefetcht1_m8 Prefetcht2_m8 Prefetchit0_m8
        Prefetchit1_m8 Prefetchreserved3_m8 Prefetchreserved4_m8 Prefetchreserved5_m8 Prefetchreserved6_m8
        Prefetchreserved7_m8 Cldemote_m8
        Reservednop_rm16_r16_0F0D Reservednop_rm32_r32_0F0D Reservednop_rm64_r64_0F0D
        Reservednop_rm16_r16_0F18 Reservednop_rm32_r32_0F18 Reservednop_rm64_r64_0F18
        Reservednop_rm16_r16_0F19 Reservednop_rm32_r32_0F19 Reservednop_rm64_r64_0F19
        Reservednop_rm16_r16_0F1A Reservednop_rm32_r32_0F1A Reservednop_rm64_r64_0F1A
        Reservednop_rm16_r16_0F1B Reservednop_rm32_r32_0F1B Reservednop_rm64_r64_0F1B
        Reservednop_rm16_r16_0F1C Reservednop_rm32_r32_0F1C Reservednop_rm64_r64_0F1C
        Reservednop_rm16_r16_0F1D Reservednop_rm32_r32_0F1D Reservednop_rm64_r64_0F1D
        Reservednop_rm16_r16_0F1E Reservednop_rm32_r32_0F1E Reservednop_rm64_r64_0F1E
        Reservednop_rm16_r16_0F1F Reservednop_rm32_r32_0F1F Reservednop_rm64_r64_0F1F
    );
    rows
}
