//! One-operand functions and the transcendental instructions.

use super::on_stack;
use super::unit::extract;
use crate::fault::Fault;
use crate::float::{integral, remainder, scale, transcendental, trigonometric, x87};
use crate::op::Op;
use crate::state::{Fpu, Vcpu};
use crate::table::{Row, Unit};
use iced_x86::Code;
use lockstep_fabric::Bus;

// Transcendentals are not tried against the host, whose last bit is its own; the tests of `float` bound the distance.
macro_rules! functions {
    ($($name:ident($code:ident $(, $untried:ident)?): |$fpu:ident| $act:expr;)*) => {
        $(
            fn $name(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
                fn act($fpu: &mut Fpu) {
                    $act;
                }
                on_stack(cpu, op, |cpu| act(&mut cpu.fpu))
            }
        )*

        /// The rows.
        pub(super) fn rows() -> Vec<Row> {
            vec![$(Row::single(Code::$code, $name).unit(Unit::X87)$(.$untried())?),*]
        }
    };
}

functions! {
    fchs(Fchs): |fpu| fpu.unary(|a, _| a.negated());
    fabs(Fabs): |fpu| fpu.unary(|a, _| a.abs());
    fsqrt(Fsqrt): |fpu| fpu.unary(x87::sqrt);
    frndint(Frndint): |fpu| fpu.unary(|a, env| integral::round_to_integral(a, env.rounding(), env));
    fscale(Fscale): |fpu| fpu.binary(0, 0, 1, false, scale::fscale);
    fxtract(Fxtract): |fpu| fpu.split(extract);
    fprem(Fprem): |fpu| fpu.remainder(remainder::fprem);
    fprem1(Fprem1): |fpu| fpu.remainder(remainder::fprem1);
    f2xm1(F2xm1, system): |fpu| fpu.unary(transcendental::f2xm1);
    fyl2x(Fyl2x, system): |fpu| fpu.binary(1, 1, 0, true, transcendental::fyl2x);
    fyl2xp1(Fyl2xp1, system): |fpu| fpu.binary(1, 1, 0, true, transcendental::fyl2xp1);
    fpatan(Fpatan, system): |fpu| fpu.binary(1, 1, 0, true, trigonometric::fpatan);
    fsin(Fsin, system): |fpu| fpu.ranged(trigonometric::fsin);
    fcos(Fcos, system): |fpu| fpu.ranged(trigonometric::fcos);
    fsincos(Fsincos, system): |fpu| {
        fpu.set_conditions(super::unit::C2, 0);
        fpu.split(|a, env| trigonometric::fsincos(a, env).map(|r| (r.sin, r.cos)));
    };
    fptan(Fptan, system): |fpu| {
        fpu.set_conditions(super::unit::C2, 0);
        fpu.split(|a, env| trigonometric::fptan(a, env).map(|r| (r.tangent, r.one)));
    };
    fdecstp(Fdecstp): |fpu| {
        fpu.record(0);
        fpu.top = fpu.top.wrapping_sub(1) & 7;
    };
    fincstp(Fincstp): |fpu| {
        fpu.record(0);
        fpu.top = fpu.top.wrapping_add(1) & 7;
    };
}
