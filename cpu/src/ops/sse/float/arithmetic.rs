//! ADD, SUB, MUL, DIV, SQRT, MIN, MAX, and the horizontal and alternating sums.

use super::real::{Real, any, denormals, irregulars};
use crate::fault::Fault;
use crate::float::{Env, arith, compare};
use crate::op::{Op, Slot};
use crate::ops::operand::with_operand;
use crate::ops::sse::lanes::{Xmm, build, count, get, zip};
use crate::ops::sse::operand::with_m128;
use crate::state::Vcpu;
use crate::table::{Row, Unit};
use iced_x86::Code;
use lockstep_fabric::Bus;

type Done = Result<(), Fault>;

/// An operation on one pair of lanes. Those of one operand take the second.
trait Arithmetic {
    /// Whether the result is rounded, so that MXCSR must be plain for the host's result to be used.
    const ROUNDS: bool = true;
    /// The host's result.
    fn host<R: Real>(a: R, b: R) -> R;
    /// Whether the host's result is right and raises at most inexactness.
    fn sure<R: Real>(a: R, b: R, r: R) -> bool;
    /// The same of the magnitudes in whole words: each lane's top bit is set if the result is not sure.
    fn doubt<R: Real>(a: u64, b: u64, r: u64) -> u64;
    /// The result in every case.
    fn soft<R: Real>(a: R, b: R, env: &mut Env) -> R;
}

macro_rules! operations {
    ($($name:ident $rounds:literal: |$a:ident, $b:ident, $r:ident, $env:ident|
       $host:expr, $soft:expr, sure $sure:expr, doubt $doubt:expr;)*) => {$(
        struct $name;
        #[allow(unused_variables, reason = "not every operation looks at all that it is given")]
        impl Arithmetic for $name {
            const ROUNDS: bool = $rounds;
            #[inline(always)]
            fn host<R: Real>($a: R, $b: R) -> R { $host }
            fn soft<R: Real>($a: R, $b: R, $env: &mut Env) -> R { $soft }
            #[inline(always)]
            fn sure<R: Real>($a: R, $b: R, $r: R) -> bool { $sure }
            #[inline(always)]
            fn doubt<R: Real>($a: u64, $b: u64, $r: u64) -> u64 { $doubt }
        }
    )*};
}
operations! {
    Add true: |a, b, r, env| a.add(b), arith::add(a, b, env), sure sure_sum(a, b, r), doubt doubt_sum::<R>(a, b, r);
    Sub true: |a, b, r, env| a.sub(b), arith::sub(a, b, env), sure sure_sum(a, b, r), doubt doubt_sum::<R>(a, b, r);
    // A zero is exact if a factor is one.
    Mul true: |a, b, r, env| a.mul(b), arith::mul(a, b, env),
        sure (r.settled() || r.is_zero() && (a.is_zero() || b.is_zero())) && !a.is_denormal() && !b.is_denormal(),
        doubt unsettled::<R>(r, nonzero::<R>(r) | nonzero::<R>(a) & nonzero::<R>(b))
            | denormals::<R>(a) | denormals::<R>(b);
    Div true: |a, b, r, env| a.div(b), arith::div(a, b, env),
        sure (r.settled() || r.is_zero() && a.is_zero()) && !a.is_denormal() && !b.is_denormal(),
        doubt unsettled::<R>(r, nonzero::<R>(r) | nonzero::<R>(a)) | denormals::<R>(a) | denormals::<R>(b);
    Sqrt true: |a, b, r, env| b.sqrt(), arith::sqrt(b, env),
        sure (r.settled() || b.is_zero()) && !b.is_denormal(),
        doubt (r + R::FROM_INFINITY) | denormals::<R>(b);
    Min false: |a, b, r, env| if a.less(b) { a } else { b }, compare::min(a, b, env),
        sure a.is_regular() && b.is_regular(), doubt irregulars::<R>(a) | irregulars::<R>(b);
    Max false: |a, b, r, env| if b.less(a) { a } else { b }, compare::max(a, b, env),
        sure a.is_regular() && b.is_regular(), doubt irregulars::<R>(a) | irregulars::<R>(b);
}

/// Lanes of magnitudes that are not zero.
#[inline(always)]
fn nonzero<R: Real>(x: u64) -> u64 {
    x + R::FROM_LEAST
}

/// Lanes that are infinite, NaN, or so small that they count as wrong where `unless_exact` says so.
#[inline(always)]
fn unsettled<R: Real>(r: u64, unless_exact: u64) -> u64 {
    (r + R::FROM_INFINITY) | !(r + R::FROM_SETTLED) & unless_exact
}

/// A sum is a zero only if it is exact.
#[inline(always)]
fn sure_sum<R: Real>(a: R, b: R, r: R) -> bool {
    (r.settled() || r.is_zero()) && !a.is_denormal() && !b.is_denormal()
}

#[inline(always)]
fn doubt_sum<R: Real>(a: u64, b: u64, r: u64) -> u64 {
    unsettled::<R>(r, nonzero::<R>(r)) | denormals::<R>(a) | denormals::<R>(b)
}

#[inline(always)]
fn scalar<A: Arithmetic, R: Real>(cpu: &mut Vcpu, slot: Slot, b: R) -> Done {
    let a = R::low(cpu.xmm(slot));
    let r = A::host(a, b);
    if (!A::ROUNDS || cpu.rounds_plainly()) && A::sure(a, b, r) {
        r.set_low(cpu, slot);
        return Ok(());
    }
    soft_scalar::<A, R>(cpu, slot, a, b)
}

#[cold]
#[inline(never)]
fn soft_scalar<A: Arithmetic, R: Real>(cpu: &mut Vcpu, slot: Slot, a: R, b: R) -> Done {
    let mut env = cpu.sse_env();
    let r = A::soft(a, b, &mut env);
    cpu.settle(&env)?;
    r.set_low(cpu, slot);
    Ok(())
}

/// `op xmm, xmm`, low lane.
fn scalar_reg<A: Arithmetic, R: Real>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    let b = R::low(cpu.xmm(op.src));
    scalar::<A, R>(cpu, op.dst, b)
}

/// `op xmm, m32/m64`
fn scalar_mem<A: Arithmetic, R: Real>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    with_operand(cpu, bus, op, |cpu, op, b| scalar::<A, R>(cpu, op.dst, b))
}

#[inline(always)]
fn packed<A: Arithmetic, R: Real>(cpu: &mut Vcpu, slot: Slot, a: Xmm, b: Xmm) -> Done {
    let r = zip::<R, 2>(a, b, A::host);
    if (!A::ROUNDS || cpu.rounds_plainly()) && !any::<R>(A::doubt::<R>, a, b, r) {
        cpu.set_xmm(slot, r);
        return Ok(());
    }
    soft_packed::<R>(cpu, slot, a, b, [A::soft; 2])
}

/// The general case: `soft[0]` on the even lanes, `soft[1]` on the odd.
#[cold]
#[inline(never)]
fn soft_packed<R: Real>(cpu: &mut Vcpu, slot: Slot, a: Xmm, b: Xmm, soft: [fn(R, R, &mut Env) -> R; 2]) -> Done {
    let mut env = cpu.sse_env();
    let r = build::<R, 2>(|i| soft[i & 1](get(a, i), get(b, i), &mut env));
    cpu.settle(&env)?;
    cpu.set_xmm(slot, r);
    Ok(())
}

/// `op xmm, xmm`, all lanes.
fn packed_reg<A: Arithmetic, R: Real>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    let (a, b) = (cpu.xmm(op.dst), cpu.xmm(op.src));
    packed::<A, R>(cpu, op.dst, a, b)
}

/// `op xmm, m128`
fn packed_mem<A: Arithmetic, R: Real>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    with_m128(cpu, bus, op, |cpu, op, b| packed::<A, R>(cpu, op.dst, cpu.xmm(op.dst), b))
}

/// HADD and HSUB: neighbours of the first operand, then of the second.
#[inline(always)]
fn horizontal<A: Arithmetic, R: Real>(cpu: &mut Vcpu, slot: Slot, a: Xmm, b: Xmm) -> Done {
    let half = count::<R, 2>() / 2;
    let pick = |odd| build::<R, 2>(|i| if i < half { get(a, 2 * i + odd) } else { get(b, 2 * (i - half) + odd) });
    packed::<A, R>(cpu, slot, pick(0), pick(1))
}

fn horizontal_reg<A: Arithmetic, R: Real>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    let (a, b) = (cpu.xmm(op.dst), cpu.xmm(op.src));
    horizontal::<A, R>(cpu, op.dst, a, b)
}

fn horizontal_mem<A: Arithmetic, R: Real>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    let b = cpu.load_xmm(bus, op)?;
    horizontal::<A, R>(cpu, op.dst, cpu.xmm(op.dst), b)
}

/// ADDSUB: subtracts in the even lanes, adds in the odd.
#[inline(always)]
fn alternating<R: Real>(cpu: &mut Vcpu, slot: Slot, a: Xmm, b: Xmm) -> Done {
    let signed = build::<R, 2>(|i| if i % 2 == 0 { get::<R, 2>(b, i).negated() } else { get(b, i) });
    let r = zip::<R, 2>(a, signed, R::add);
    if cpu.rounds_plainly() && !any::<R>(doubt_sum::<R>, a, b, r) {
        cpu.set_xmm(slot, r);
        return Ok(());
    }
    soft_packed::<R>(cpu, slot, a, b, [Sub::soft, Add::soft])
}

fn alternating_reg<R: Real>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    let (a, b) = (cpu.xmm(op.dst), cpu.xmm(op.src));
    alternating::<R>(cpu, op.dst, a, b)
}

fn alternating_mem<R: Real>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    let b = cpu.load_xmm(bus, op)?;
    alternating::<R>(cpu, op.dst, cpu.xmm(op.dst), b)
}

/// The family's rows.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    macro_rules! four {
        ($($op:ty: $ss:ident $sd:ident $ps:ident $pd:ident;)*) => {
            rows.extend([$(
                Row::new(Code::$ss, scalar_reg::<$op, u32>, scalar_mem::<$op, u32>),
                Row::new(Code::$sd, scalar_reg::<$op, u64>, scalar_mem::<$op, u64>),
                Row::new(Code::$ps, packed_reg::<$op, u32>, packed_mem::<$op, u32>),
                Row::new(Code::$pd, packed_reg::<$op, u64>, packed_mem::<$op, u64>),
            )*])
        };
    }
    four! {
        Add: Addss_xmm_xmmm32 Addsd_xmm_xmmm64 Addps_xmm_xmmm128 Addpd_xmm_xmmm128;
        Sub: Subss_xmm_xmmm32 Subsd_xmm_xmmm64 Subps_xmm_xmmm128 Subpd_xmm_xmmm128;
        Mul: Mulss_xmm_xmmm32 Mulsd_xmm_xmmm64 Mulps_xmm_xmmm128 Mulpd_xmm_xmmm128;
        Div: Divss_xmm_xmmm32 Divsd_xmm_xmmm64 Divps_xmm_xmmm128 Divpd_xmm_xmmm128;
        Sqrt: Sqrtss_xmm_xmmm32 Sqrtsd_xmm_xmmm64 Sqrtps_xmm_xmmm128 Sqrtpd_xmm_xmmm128;
        Min: Minss_xmm_xmmm32 Minsd_xmm_xmmm64 Minps_xmm_xmmm128 Minpd_xmm_xmmm128;
        Max: Maxss_xmm_xmmm32 Maxsd_xmm_xmmm64 Maxps_xmm_xmmm128 Maxpd_xmm_xmmm128;
    }
    rows.extend([
        Row::new(Code::Haddps_xmm_xmmm128, horizontal_reg::<Add, u32>, horizontal_mem::<Add, u32>),
        Row::new(Code::Haddpd_xmm_xmmm128, horizontal_reg::<Add, u64>, horizontal_mem::<Add, u64>),
        Row::new(Code::Hsubps_xmm_xmmm128, horizontal_reg::<Sub, u32>, horizontal_mem::<Sub, u32>),
        Row::new(Code::Hsubpd_xmm_xmmm128, horizontal_reg::<Sub, u64>, horizontal_mem::<Sub, u64>),
        Row::new(Code::Addsubps_xmm_xmmm128, alternating_reg::<u32>, alternating_mem::<u32>),
        Row::new(Code::Addsubpd_xmm_xmmm128, alternating_reg::<u64>, alternating_mem::<u64>),
    ]);
    rows.into_iter().map(|row| row.unit(Unit::Sse)).collect()
}
