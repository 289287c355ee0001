//! Conversions between singles, doubles and integers. What does not fit an integer gives its indefinite value, the lowest.

use super::real::Real;
use crate::fault::Fault;
use crate::float::convert::{convert, from_i64, to_int};
use crate::float::{Env, Rounding};
use crate::mmu::Int;
use crate::op::{Op, Slot};
use crate::ops::operand::with_operand;
use crate::ops::sse::lanes::{Xmm, build, get};
use crate::state::Vcpu;
use crate::table::{Row, Unit};
use iced_x86::Code;
use lockstep_fabric::Bus;

type Done = Result<(), Fault>;

/// Added to and taken from a double below 2^51, this leaves it rounded to an integer, ties to even.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// The host's conversion to an integer of `T`'s width, if it is right and no flag can change.
#[inline(always)]
fn quick_to_int<T: Int, const TRUNCATE: bool>(cpu: &Vcpu, x: f64) -> Option<T> {
    let limit = if TRUNCATE { if T::BITS == 64 { 9.2e18 } else { 2_147_483_648.0 } } else { 2_147_483_647.0 };
    // False for NaNs too.
    if x.abs() < limit {
        let rounded = if TRUNCATE { (x as i64) as f64 } else { (x + ROUNDER) - ROUNDER };
        let quiet = if TRUNCATE { cpu.inexact_on_record() } else { cpu.rounds_plainly() };
        if quiet || rounded == x {
            return Some(T::truncate((rounded as i64) as u64));
        }
    }
    None
}

#[inline(always)]
fn one_to_int<R: Real, const TRUNCATE: bool>(a: R, bits: u32, env: &mut Env) -> i64 {
    let rounding = if TRUNCATE { Rounding::Zero } else { env.rounding() };
    to_int(a, bits, rounding, env)
}

/// CVTSS2SI, CVTTSS2SI, CVTSD2SI, CVTTSD2SI.
#[inline(always)]
fn scalar_to_int<R: Real, T: Int, const TRUNCATE: bool>(cpu: &mut Vcpu, slot: Slot, a: R) -> Done {
    if let Some(value) = quick_to_int::<T, TRUNCATE>(cpu, a.to_f64()) {
        cpu.write_gpr(slot, 0, value);
        return Ok(());
    }
    soft_scalar_to_int::<R, T, TRUNCATE>(cpu, slot, a)
}

#[cold]
#[inline(never)]
fn soft_scalar_to_int<R: Real, T: Int, const TRUNCATE: bool>(cpu: &mut Vcpu, slot: Slot, a: R) -> Done {
    let mut env = cpu.sse_env();
    let value = one_to_int::<R, TRUNCATE>(a, T::BITS, &mut env);
    cpu.settle(&env)?;
    cpu.write_gpr(slot, 0, T::truncate(value as u64));
    Ok(())
}

fn to_int_reg<R: Real, T: Int, const TRUNCATE: bool>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    let a = R::low(cpu.xmm(op.src));
    scalar_to_int::<R, T, TRUNCATE>(cpu, op.dst, a)
}

fn to_int_mem<R: Real, T: Int, const TRUNCATE: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    with_operand(cpu, bus, op, |cpu, op, a| scalar_to_int::<R, T, TRUNCATE>(cpu, op.dst, a))
}

/// CVTSI2SS and CVTSI2SD.
#[inline(always)]
fn scalar_from_int<R: Real, T: Int>(cpu: &mut Vcpu, slot: Slot, value: T) -> Done {
    let value = value.sign_extend() as i64;
    // Integers of up to the significand's width are exact.
    let exact = value.unsigned_abs() <= 1 << R::PRECISION;
    if exact || cpu.rounds_plainly() {
        R::from_int(value).set_low(cpu, slot);
        return Ok(());
    }
    let mut env = cpu.sse_env();
    let result: R = from_i64(value, &mut env);
    cpu.settle(&env)?;
    result.set_low(cpu, slot);
    Ok(())
}

fn from_int_reg<R: Real, T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    let value: T = cpu.read_gpr(op.src, 0);
    scalar_from_int::<R, T>(cpu, op.dst, value)
}

fn from_int_mem<R: Real, T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    with_operand(cpu, bus, op, |cpu, op, value| scalar_from_int::<R, T>(cpu, op.dst, value))
}

/// A single as a double. Exact; only NaNs and denormals touch MXCSR.
#[inline(always)]
fn widen(a: u32, env: &mut Env) -> u64 {
    if a.is_regular() { f64::from(f32::from_bits(a)).to_bits() } else { soft_convert(a, env) }
}

/// A double as a single, given whether rounding is plain.
#[inline(always)]
fn narrow(a: u64, plain: bool, env: &mut Env) -> u32 {
    let r = (f64::from_bits(a) as f32).to_bits();
    let sure = (r.settled() || a.is_zero()) && !a.is_denormal();
    if plain && sure { r } else { soft_convert(a, env) }
}

#[cold]
#[inline(never)]
fn soft_convert<A: Real, B: Real>(a: A, env: &mut Env) -> B {
    convert(a, env)
}

fn ss_to_sd(cpu: &mut Vcpu, slot: Slot, a: u32) -> Done {
    let mut env = cpu.sse_env();
    let result = widen(a, &mut env);
    cpu.settle_some(&env)?;
    result.set_low(cpu, slot);
    Ok(())
}

fn ss_to_sd_reg(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    let a = cpu.xmm(op.src)[0] as u32;
    ss_to_sd(cpu, op.dst, a)
}

fn ss_to_sd_mem(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    let a = cpu.load_operand(bus, op)?;
    ss_to_sd(cpu, op.dst, a)
}

fn sd_to_ss(cpu: &mut Vcpu, slot: Slot, a: u64) -> Done {
    let mut env = cpu.sse_env();
    let result = narrow(a, cpu.rounds_plainly(), &mut env);
    cpu.settle_some(&env)?;
    result.set_low(cpu, slot);
    Ok(())
}

fn sd_to_ss_reg(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    let a = cpu.xmm(op.src)[0];
    sd_to_ss(cpu, op.dst, a)
}

fn sd_to_ss_mem(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    let a = cpu.load_operand(bus, op)?;
    sd_to_ss(cpu, op.dst, a)
}

impl Vcpu {
    /// As [`Vcpu::settle`], out of the way of the common case that nothing was raised.
    #[inline(always)]
    fn settle_some(&mut self, env: &Env) -> Done {
        if env.raised().is_empty() { Ok(()) } else { self.settle(env) }
    }
}

/// A conversion of a whole register or of its low half.
pub(in crate::ops) trait Convert {
    /// The operand is 64 bits wide.
    const HALF: bool = false;
    fn convert(a: Xmm, plain: bool, env: &mut Env) -> Xmm;
}

pub(in crate::ops) struct Ps2pd;
pub(in crate::ops) struct Pd2ps;
pub(in crate::ops) struct Dq2ps;
pub(in crate::ops) struct Dq2pd;
/// To doublewords; the results of doubles fill the low half.
pub(in crate::ops) struct ToDwords<R, const TRUNCATE: bool>(std::marker::PhantomData<R>);

impl Convert for Ps2pd {
    const HALF: bool = true;
    #[inline(always)]
    fn convert(a: Xmm, _: bool, env: &mut Env) -> Xmm {
        build::<u64, 2>(|i| widen(get(a, i), env))
    }
}

impl Convert for Pd2ps {
    #[inline(always)]
    fn convert(a: Xmm, plain: bool, env: &mut Env) -> Xmm {
        build::<u32, 2>(|i| if i < 2 { narrow(a[i], plain, env) } else { 0 })
    }
}

impl Convert for Dq2ps {
    #[inline(always)]
    fn convert(a: Xmm, plain: bool, env: &mut Env) -> Xmm {
        if plain {
            return build::<u32, 2>(|i| (get::<i32, 2>(a, i) as f32).to_bits());
        }
        build::<u32, 2>(|i| from_i64(get::<i32, 2>(a, i).into(), env))
    }
}

impl Convert for Dq2pd {
    const HALF: bool = true;
    #[inline(always)]
    fn convert(a: Xmm, _: bool, _: &mut Env) -> Xmm {
        build::<u64, 2>(|i| f64::from(get::<i32, 2>(a, i)).to_bits())
    }
}

impl<R: Real, const TRUNCATE: bool> Convert for ToDwords<R, TRUNCATE> {
    #[inline(always)]
    fn convert(a: Xmm, plain: bool, env: &mut Env) -> Xmm {
        let lanes = 16 / size_of::<R>();
        build::<u32, 2>(|i| {
            if i >= lanes {
                return 0;
            }
            let x: R = get(a, i);
            let double = x.to_f64();
            // Under a plain MXCSR whatever is in range can change no flag.
            if plain && double.abs() < 2_147_483_647.0 {
                let rounded = if TRUNCATE { double } else { (double + ROUNDER) - ROUNDER };
                return rounded as i32 as u32;
            }
            one_to_int::<R, TRUNCATE>(x, 32, env) as u32
        })
    }
}

fn packed_reg<C: Convert>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    let a = cpu.xmm(op.src);
    packed::<C>(cpu, op.dst, a)
}

fn packed_mem<C: Convert>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    let a = if C::HALF { [cpu.load_operand(bus, op)?, 0] } else { cpu.load_xmm(bus, op)? };
    packed::<C>(cpu, op.dst, a)
}

#[inline(always)]
fn packed<C: Convert>(cpu: &mut Vcpu, slot: Slot, a: Xmm) -> Done {
    let result = cpu.converted::<C>(a)?;
    cpu.set_xmm(slot, result);
    Ok(())
}

impl Vcpu {
    /// Converts and settles what that raised.
    #[inline(always)]
    pub(in crate::ops) fn converted<C: Convert>(&mut self, a: Xmm) -> Result<Xmm, Fault> {
        let mut env = self.sse_env();
        let result = C::convert(a, self.rounds_plainly(), &mut env);
        self.settle_some(&env)?;
        Ok(result)
    }
}

/// The family's rows for XMM.
pub(super) fn rows() -> Vec<Row> {
    macro_rules! to_int_rows {
        ($($code:ident: $real:ty, $int:ty, $truncate:literal;)*) => {
            vec![$(Row::new(
                Code::$code,
                to_int_reg::<$real, $int, $truncate>,
                to_int_mem::<$real, $int, $truncate>,
            )),*]
        };
    }
    let mut rows = to_int_rows! {
        Cvtss2si_r32_xmmm32: u32, u32, false;
        Cvtss2si_r64_xmmm32: u32, u64, false;
        Cvttss2si_r32_xmmm32: u32, u32, true;
        Cvttss2si_r64_xmmm32: u32, u64, true;
        Cvtsd2si_r32_xmmm64: u64, u32, false;
        Cvtsd2si_r64_xmmm64: u64, u64, false;
        Cvttsd2si_r32_xmmm64: u64, u32, true;
        Cvttsd2si_r64_xmmm64: u64, u64, true;
    };
    rows.extend([
        Row::new(Code::Cvtsi2ss_xmm_rm32, from_int_reg::<u32, u32>, from_int_mem::<u32, u32>),
        Row::new(Code::Cvtsi2ss_xmm_rm64, from_int_reg::<u32, u64>, from_int_mem::<u32, u64>),
        Row::new(Code::Cvtsi2sd_xmm_rm32, from_int_reg::<u64, u32>, from_int_mem::<u64, u32>),
        Row::new(Code::Cvtsi2sd_xmm_rm64, from_int_reg::<u64, u64>, from_int_mem::<u64, u64>),
        Row::new(Code::Cvtss2sd_xmm_xmmm32, ss_to_sd_reg, ss_to_sd_mem),
        Row::new(Code::Cvtsd2ss_xmm_xmmm64, sd_to_ss_reg, sd_to_ss_mem),
        Row::new(Code::Cvtps2pd_xmm_xmmm64, packed_reg::<Ps2pd>, packed_mem::<Ps2pd>),
        Row::new(Code::Cvtpd2ps_xmm_xmmm128, packed_reg::<Pd2ps>, packed_mem::<Pd2ps>),
        Row::new(Code::Cvtdq2ps_xmm_xmmm128, packed_reg::<Dq2ps>, packed_mem::<Dq2ps>),
        Row::new(Code::Cvtdq2pd_xmm_xmmm64, packed_reg::<Dq2pd>, packed_mem::<Dq2pd>),
        Row::new(Code::Cvtps2dq_xmm_xmmm128, packed_reg::<ToDwords<u32, false>>, packed_mem::<ToDwords<u32, false>>),
        Row::new(Code::Cvttps2dq_xmm_xmmm128, packed_reg::<ToDwords<u32, true>>, packed_mem::<ToDwords<u32, true>>),
        Row::new(Code::Cvtpd2dq_xmm_xmmm128, packed_reg::<ToDwords<u64, false>>, packed_mem::<ToDwords<u64, false>>),
        Row::new(Code::Cvttpd2dq_xmm_xmmm128, packed_reg::<ToDwords<u64, true>>, packed_mem::<ToDwords<u64, true>>),
    ]);
    rows.into_iter().map(|row| row.unit(Unit::Sse)).collect()
}
