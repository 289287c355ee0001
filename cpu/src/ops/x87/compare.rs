//! FCOM, FUCOM, FICOM, FCOMI, FUCOMI, FTST, FXAM and FCMOVcc.

use super::{index, on_stack, with_load};
use crate::fault::Fault;
use crate::float::compare::{Relation, Signal};
use crate::op::Op;
use crate::state::{Rflags, Vcpu};
use crate::table::{Row, Unit};
use iced_x86::Code;
use lockstep_fabric::Bus;

/// As const parameters: which NaNs signal.
const ANY: bool = true;
const SIGNALLING: bool = false;

const fn signal(any: bool) -> Signal {
    if any { Signal::Any } else { Signal::Signalling }
}

fn pops(cpu: &mut Vcpu, count: u8, goes_on: bool) {
    if goes_on {
        (0..count).for_each(|_| cpu.fpu.pop());
    }
}

fn st0_sti<const ANY: bool, const POPS: u8>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    on_stack(cpu, op, |cpu| {
        let goes_on = cpu.fpu.compare_st(index(op.src), signal(ANY));
        pops(cpu, POPS, goes_on);
    })
}

/// FCOMPP and FUCOMPP name no operands.
fn st0_st1<const ANY: bool>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    on_stack(cpu, op, |cpu| {
        let goes_on = cpu.fpu.compare_st(1, signal(ANY));
        pops(cpu, 2, goes_on);
    })
}

fn m32<const POPS: u8>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    with_load(
        cpu,
        bus,
        op,
        |cpu, bus, op| cpu.load_operand::<u32>(bus, op),
        |cpu, v| {
            let goes_on = cpu.fpu.compare_memory(v);
            pops(cpu, POPS, goes_on);
        },
    )
}

fn m64<const POPS: u8>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    with_load(
        cpu,
        bus,
        op,
        |cpu, bus, op| cpu.load_operand::<u64>(bus, op),
        |cpu, v| {
            let goes_on = cpu.fpu.compare_memory(v);
            pops(cpu, POPS, goes_on);
        },
    )
}

fn i16<const POPS: u8>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    with_load(
        cpu,
        bus,
        op,
        |cpu, bus, op| cpu.load_operand::<u16>(bus, op),
        |cpu, v| {
            let goes_on = cpu.fpu.compare_integer((v as i16).into());
            pops(cpu, POPS, goes_on);
        },
    )
}

fn i32<const POPS: u8>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    with_load(
        cpu,
        bus,
        op,
        |cpu, bus, op| cpu.load_operand::<u32>(bus, op),
        |cpu, v| {
            let goes_on = cpu.fpu.compare_integer((v as i32).into());
            pops(cpu, POPS, goes_on);
        },
    )
}

fn eflags<const ANY: bool, const POPS: u8>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    on_stack(cpu, op, |cpu| {
        let (relation, goes_on) = cpu.fpu.compare_eflags(index(op.src), signal(ANY));
        // OF, SF and AF are cleared. The manual says that an unmasked exception leaves the flags; the hardware sets them
        // and only does not pop.
        cpu.flags.put_status(match relation {
            Relation::Less => Rflags::CF,
            Relation::Equal => Rflags::ZF,
            Relation::Greater => Rflags::empty(),
            Relation::Unordered => Rflags::ZF | Rflags::PF | Rflags::CF,
        });
        pops(cpu, POPS, goes_on);
    })
}

fn ftst(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    on_stack(cpu, op, |cpu| cpu.fpu.test_zero())
}

fn fxam(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    on_stack(cpu, op, |cpu| cpu.fpu.examine())
}

fn fcmov<const CC: u8>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    on_stack(cpu, op, |cpu| {
        let condition = cpu.flags.condition::<CC>();
        cpu.fpu.move_if(index(op.src), condition);
    })
}

/// The rows.
pub(super) fn rows() -> Vec<Row> {
    [
        Row::single(Code::Fcom_st0_sti, st0_sti::<ANY, 0>),
        Row::single(Code::Fcom_st0_sti_DCD0, st0_sti::<ANY, 0>),
        Row::single(Code::Fcomp_st0_sti, st0_sti::<ANY, 1>),
        Row::single(Code::Fcomp_st0_sti_DCD8, st0_sti::<ANY, 1>),
        Row::single(Code::Fcomp_st0_sti_DED0, st0_sti::<ANY, 1>),
        Row::single(Code::Fcompp, st0_st1::<ANY>),
        Row::single(Code::Fucom_st0_sti, st0_sti::<SIGNALLING, 0>),
        Row::single(Code::Fucomp_st0_sti, st0_sti::<SIGNALLING, 1>),
        Row::single(Code::Fucompp, st0_st1::<SIGNALLING>),
        Row::single(Code::Fcom_m32fp, m32::<0>),
        Row::single(Code::Fcomp_m32fp, m32::<1>),
        Row::single(Code::Fcom_m64fp, m64::<0>),
        Row::single(Code::Fcomp_m64fp, m64::<1>),
        Row::single(Code::Ficom_m16int, i16::<0>),
        Row::single(Code::Ficomp_m16int, i16::<1>),
        Row::single(Code::Ficom_m32int, i32::<0>),
        Row::single(Code::Ficomp_m32int, i32::<1>),
        Row::single(Code::Fcomi_st0_sti, eflags::<ANY, 0>),
        Row::single(Code::Fcomip_st0_sti, eflags::<ANY, 1>),
        Row::single(Code::Fucomi_st0_sti, eflags::<SIGNALLING, 0>),
        Row::single(Code::Fucomip_st0_sti, eflags::<SIGNALLING, 1>),
        Row::single(Code::Ftst, ftst),
        Row::single(Code::Fxam, fxam),
        Row::single(Code::Fcmovb_st0_sti, fcmov::<2>),
        Row::single(Code::Fcmove_st0_sti, fcmov::<4>),
        Row::single(Code::Fcmovbe_st0_sti, fcmov::<6>),
        Row::single(Code::Fcmovu_st0_sti, fcmov::<10>),
        Row::single(Code::Fcmovnb_st0_sti, fcmov::<3>),
        Row::single(Code::Fcmovne_st0_sti, fcmov::<5>),
        Row::single(Code::Fcmovnbe_st0_sti, fcmov::<7>),
        Row::single(Code::Fcmovnu_st0_sti, fcmov::<11>),
    ]
    .map(|row| row.unit(Unit::X87))
    .to_vec()
}
