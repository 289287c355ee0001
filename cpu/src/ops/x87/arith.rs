//! FADD, FSUB, FMUL, FDIV and their reversed, popping and integer forms.

use super::{index, on_stack, with_load};
use crate::fault::Fault;
use crate::float::{Env, F80, x87};
use crate::op::Op;
use crate::state::Vcpu;
use crate::table::{Row, Unit};
use iced_x86::Code;
use lockstep_fabric::Bus;

/// A two-operand operation, first the destination.
trait Binary {
    fn apply(destination: F80, source: F80, env: &mut Env) -> F80;
}

macro_rules! binary {
    ($($name:ident: |$d:ident, $s:ident, $env:ident| $result:expr;)*) => {$(
        struct $name;
        impl Binary for $name {
            #[inline(always)]
            fn apply($d: F80, $s: F80, $env: &mut Env) -> F80 {
                $result
            }
        }
    )*};
}

binary! {
    Add: |d, s, env| x87::add(d, s, env);
    Mul: |d, s, env| x87::mul(d, s, env);
    Sub: |d, s, env| x87::sub(d, s, env);
    SubReversed: |d, s, env| x87::sub(s, d, env);
    Div: |d, s, env| x87::div(d, s, env);
    DivReversed: |d, s, env| x87::div(s, d, env);
}

fn st0_sti<B: Binary>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    on_stack(cpu, op, |cpu| cpu.fpu.binary(0, 0, index(op.src), false, |a, b, env| B::apply(a, b, env)))
}

fn sti_st0<B: Binary, const POP: bool>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let i = index(op.dst);
    on_stack(cpu, op, |cpu| cpu.fpu.binary(i, i, 0, POP, |a, b, env| B::apply(a, b, env)))
}

fn m32<B: Binary>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    with_load(
        cpu,
        bus,
        op,
        |cpu, bus, op| cpu.load_operand::<u32>(bus, op),
        |cpu, v| cpu.fpu.with_memory(v, |a, b, env| B::apply(a, b, env)),
    )
}

fn m64<B: Binary>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    with_load(
        cpu,
        bus,
        op,
        |cpu, bus, op| cpu.load_operand::<u64>(bus, op),
        |cpu, v| cpu.fpu.with_memory(v, |a, b, env| B::apply(a, b, env)),
    )
}

fn i16<B: Binary>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    with_load(
        cpu,
        bus,
        op,
        |cpu, bus, op| cpu.load_operand::<u16>(bus, op),
        |cpu, v| cpu.fpu.with_integer((v as i16).into(), |a, b, env| B::apply(a, b, env)),
    )
}

fn i32<B: Binary>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    with_load(
        cpu,
        bus,
        op,
        |cpu, bus, op| cpu.load_operand::<u32>(bus, op),
        |cpu, v| cpu.fpu.with_integer((v as i32).into(), |a, b, env| B::apply(a, b, env)),
    )
}

macro_rules! rows_of {
    ($($op:ty: $st0_sti:ident $sti_st0:ident $pop:ident $m32:ident $m64:ident $i16:ident $i32:ident;)*) => {
        [$(
            Row::single(Code::$st0_sti, st0_sti::<$op>).unit(Unit::X87),
            Row::single(Code::$sti_st0, sti_st0::<$op, false>).unit(Unit::X87),
            Row::single(Code::$pop, sti_st0::<$op, true>).unit(Unit::X87),
            Row::single(Code::$m32, m32::<$op>).unit(Unit::X87),
            Row::single(Code::$m64, m64::<$op>).unit(Unit::X87),
            Row::single(Code::$i16, i16::<$op>).unit(Unit::X87),
            Row::single(Code::$i32, i32::<$op>).unit(Unit::X87),
        )*]
    };
}

/// The rows.
pub(super) fn rows() -> Vec<Row> {
    rows_of! {
        Add: Fadd_st0_sti Fadd_sti_st0 Faddp_sti_st0 Fadd_m32fp Fadd_m64fp Fiadd_m16int Fiadd_m32int;
        Mul: Fmul_st0_sti Fmul_sti_st0 Fmulp_sti_st0 Fmul_m32fp Fmul_m64fp Fimul_m16int Fimul_m32int;
        Sub: Fsub_st0_sti Fsub_sti_st0 Fsubp_sti_st0 Fsub_m32fp Fsub_m64fp Fisub_m16int Fisub_m32int;
        SubReversed: Fsubr_st0_sti Fsubr_sti_st0 Fsubrp_sti_st0 Fsubr_m32fp Fsubr_m64fp Fisubr_m16int Fisubr_m32int;
        Div: Fdiv_st0_sti Fdiv_sti_st0 Fdivp_sti_st0 Fdiv_m32fp Fdiv_m64fp Fidiv_m16int Fidiv_m32int;
        DivReversed: Fdivr_st0_sti Fdivr_sti_st0 Fdivrp_sti_st0 Fdivr_m32fp Fdivr_m64fp Fidivr_m16int Fidivr_m32int;
    }
    .to_vec()
}
