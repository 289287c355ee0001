//! FLD, FST, FSTP, FILD, FIST, FISTP, FISTTP, FBLD, FBSTP, FXCH and the constants.

use super::unit::Store;
use super::{begin, index, note_operand, on_stack, with_load};
use crate::fault::Fault;
use crate::float::{F80, Format, Rounding, bcd, convert, x87};
use crate::mmu::Int;
use crate::op::Op;
use crate::state::{Fpu, Vcpu};
use crate::table::{Row, Unit};
use iced_x86::Code;
use lockstep_fabric::Bus;

fn fld_m32(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    with_load(
        cpu,
        bus,
        op,
        |cpu, bus, op| cpu.load_operand::<u32>(bus, op),
        |cpu, v| {
            let mut env = cpu.fpu.env();
            let value = x87::from_f32(v, &mut env);
            cpu.fpu.push(value, &env);
        },
    )
}

fn fld_m64(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    with_load(
        cpu,
        bus,
        op,
        |cpu, bus, op| cpu.load_operand::<u64>(bus, op),
        |cpu, v| {
            let mut env = cpu.fpu.env();
            let value = x87::from_f64(v, &mut env);
            cpu.fpu.push(value, &env);
        },
    )
}

fn fld_m80(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    with_load(cpu, bus, op, |cpu, bus, op| cpu.load_f80(bus, op), |cpu, v| cpu.fpu.push(v, &cpu.fpu.env()))
}

fn fild<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    with_load(
        cpu,
        bus,
        op,
        |cpu, bus, op| cpu.load_operand::<T>(bus, op),
        |cpu, v| {
            cpu.fpu.push(x87::from_i64(v.sign_extend() as i64), &cpu.fpu.env());
        },
    )
}

fn fbld(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    with_load(
        cpu,
        bus,
        op,
        |cpu, bus, op| cpu.load_f80(bus, op),
        |cpu, v| cpu.fpu.push(bcd::load(v.to_le_bytes()), &cpu.fpu.env()),
    )
}

fn fld_sti(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    on_stack(cpu, op, |cpu| cpu.fpu.duplicate(index(op.dst)))
}

/// A store: converts, writes memory unless stopped, and only then touches the stack.
#[inline(always)]
fn storing<T: Copy>(
    cpu: &mut Vcpu,
    bus: &mut Bus,
    op: &Op,
    pop: bool,
    convert: impl FnOnce(&Fpu) -> Store<T>,
    write: impl FnOnce(&mut Vcpu, &mut Bus, &Op, T) -> Result<(), Fault>,
) -> Result<(), Fault> {
    begin(cpu)?;
    let store = convert(&cpu.fpu);
    if let Some(value) = store.value {
        write(cpu, bus, op, value)?;
    }
    note_operand(cpu, op);
    cpu.fpu.conclude(&store, pop);
    Ok(())
}

fn fst_m32<const POP: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    storing(
        cpu,
        bus,
        op,
        POP,
        |fpu| fpu.store(u32::indefinite(), |a, env| x87::to_f32(a, env)),
        |cpu, bus, op, v| cpu.store_operand(bus, op, v),
    )
}

fn fst_m64<const POP: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    storing(
        cpu,
        bus,
        op,
        POP,
        |fpu| fpu.store(u64::indefinite(), |a, env| x87::to_f64(a, env)),
        |cpu, bus, op, v| cpu.store_operand(bus, op, v),
    )
}

fn fstp_m80(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    storing(cpu, bus, op, true, |fpu| fpu.store(F80::INDEFINITE, |a, _| a), |cpu, bus, op, v| cpu.store_f80(bus, op, v))
}

fn fist<T: Int, const POP: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let convert = |fpu: &Fpu| {
        fpu.store(T::truncate(1 << (T::BITS - 1)), |a, env| {
            T::truncate(convert::to_int(a, T::BITS, env.rounding(), env) as u64)
        })
    };
    storing(cpu, bus, op, POP, convert, |cpu, bus, op, v| cpu.store_operand(bus, op, v))
}

fn fisttp<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let convert = |fpu: &Fpu| {
        fpu.store(T::truncate(1 << (T::BITS - 1)), |a, env| {
            T::truncate(convert::to_int(a, T::BITS, Rounding::Zero, env) as u64)
        })
    };
    storing(cpu, bus, op, true, convert, |cpu, bus, op, v| cpu.store_operand(bus, op, v))
}

fn fbstp(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let convert =
        |fpu: &Fpu| fpu.store(F80::from_le_bytes(bcd::INDEFINITE), |a, env| F80::from_le_bytes(bcd::store(a, env)));
    storing(cpu, bus, op, true, convert, |cpu, bus, op, v| cpu.store_f80(bus, op, v))
}

fn fst_sti<const POP: bool>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    on_stack(cpu, op, |cpu| cpu.fpu.copy_to(index(op.dst), POP))
}

/// FSTPNCE, an undocumented FSTP: with ST(0) empty it copies nothing, raises nothing, and pops all the same.
fn fstpnce(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    on_stack(cpu, op, |cpu| cpu.fpu.copy_unchecked(index(op.dst)))
}

fn fxch(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    on_stack(cpu, op, |cpu| cpu.fpu.exchange(index(op.src)))
}

/// A constant of 66 bits, rounded by RC as the hardware does: the value rounded down, and whether the rest is over half.
fn constant<const EXP: u16, const DOWN: u64, const NEAREST_UP: bool>(
    cpu: &mut Vcpu,
    _: &mut Bus,
    op: &Op,
) -> Result<(), Fault> {
    on_stack(cpu, op, |cpu| {
        let env = cpu.fpu.env();
        let up = match env.rounding() {
            Rounding::Nearest => NEAREST_UP,
            Rounding::Up => true,
            Rounding::Down | Rounding::Zero => false,
        };
        cpu.fpu.push(F80::new(EXP, DOWN + u64::from(up)), &env);
    })
}

fn exact<const EXP: u16, const SIG: u64>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    on_stack(cpu, op, |cpu| cpu.fpu.push(F80::new(EXP, SIG), &cpu.fpu.env()))
}

/// The rows.
pub(super) fn rows() -> Vec<Row> {
    [
        Row::single(Code::Fld_m32fp, fld_m32),
        Row::single(Code::Fld_m64fp, fld_m64),
        Row::single(Code::Fld_m80fp, fld_m80),
        Row::single(Code::Fild_m16int, fild::<u16>),
        Row::single(Code::Fild_m32int, fild::<u32>),
        Row::single(Code::Fild_m64int, fild::<u64>),
        Row::single(Code::Fbld_m80bcd, fbld),
        Row::single(Code::Fld_sti, fld_sti),
        Row::single(Code::Fst_m32fp, fst_m32::<false>),
        Row::single(Code::Fstp_m32fp, fst_m32::<true>),
        Row::single(Code::Fst_m64fp, fst_m64::<false>),
        Row::single(Code::Fstp_m64fp, fst_m64::<true>),
        Row::single(Code::Fstp_m80fp, fstp_m80),
        Row::single(Code::Fist_m16int, fist::<u16, false>),
        Row::single(Code::Fist_m32int, fist::<u32, false>),
        Row::single(Code::Fistp_m16int, fist::<u16, true>),
        Row::single(Code::Fistp_m32int, fist::<u32, true>),
        Row::single(Code::Fistp_m64int, fist::<u64, true>),
        Row::single(Code::Fisttp_m16int, fisttp::<u16>),
        Row::single(Code::Fisttp_m32int, fisttp::<u32>),
        Row::single(Code::Fisttp_m64int, fisttp::<u64>),
        Row::single(Code::Fbstp_m80bcd, fbstp),
        Row::single(Code::Fst_sti, fst_sti::<false>),
        Row::single(Code::Fstp_sti, fst_sti::<true>),
        Row::single(Code::Fstpnce_sti, fstpnce),
        Row::single(Code::Fstp_sti_DFD0, fst_sti::<true>),
        Row::single(Code::Fstp_sti_DFD8, fst_sti::<true>),
        Row::single(Code::Fxch_st0_sti, fxch),
        Row::single(Code::Fxch_st0_sti_DDC8, fxch),
        Row::single(Code::Fxch_st0_sti_DFC8, fxch),
        Row::single(Code::Fld1, exact::<0x3fff, { 1 << 63 }>),
        Row::single(Code::Fldz, exact::<0, 0>),
        Row::single(Code::Fldl2t, constant::<0x4000, 0xd49a_784b_cd1b_8afe, false>),
        Row::single(Code::Fldl2e, constant::<0x3fff, 0xb8aa_3b29_5c17_f0bb, true>),
        Row::single(Code::Fldpi, constant::<0x4000, 0xc90f_daa2_2168_c234, true>),
        Row::single(Code::Fldlg2, constant::<0x3ffd, 0x9a20_9a84_fbcf_f798, true>),
        Row::single(Code::Fldln2, constant::<0x3ffe, 0xb172_17f7_d1cf_79ab, true>),
    ]
    .map(|row| row.unit(Unit::X87))
    .to_vec()
}
