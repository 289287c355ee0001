//! ADD, SUB, MUL, DIV, SQRT, MIN, MAX, and the horizontal and alternating sums.

use super::real::{Real, any};
use crate::fault::Fault;
use crate::float::{Env, arith, compare};
use crate::op::{Op, Slot};
use crate::ops::sse::lanes::{Xmm, build, count, get, zip};
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
    /// Top bit set unless the host's result is right and raises at most inexactness.
    fn doubt<R: Real>(a: R, b: R, r: R) -> R;
    /// The result in every case.
    fn soft<R: Real>(a: R, b: R, env: &mut Env) -> R;
}

struct Add;
struct Sub;
struct Mul;
struct Div;
struct Sqrt;
struct Min;
struct Max;

/// A sum is a zero only if it is exact.
#[inline(always)]
fn doubt_sum<R: Real>(a: R, b: R, r: R) -> R {
    r.small() & r.nonzero() | r.special() | a.denormal() | b.denormal()
}

#[inline(always)]
fn doubt_choice<R: Real>(a: R, b: R) -> R {
    a.nan() | b.nan() | a.denormal() | b.denormal()
}

impl Arithmetic for Add {
    #[inline(always)]
    fn host<R: Real>(a: R, b: R) -> R {
        a.add(b)
    }
    #[inline(always)]
    fn doubt<R: Real>(a: R, b: R, r: R) -> R {
        doubt_sum(a, b, r)
    }
    fn soft<R: Real>(a: R, b: R, env: &mut Env) -> R {
        arith::add(a, b, env)
    }
}

impl Arithmetic for Sub {
    #[inline(always)]
    fn host<R: Real>(a: R, b: R) -> R {
        a.sub(b)
    }
    #[inline(always)]
    fn doubt<R: Real>(a: R, b: R, r: R) -> R {
        doubt_sum(a, b, r)
    }
    fn soft<R: Real>(a: R, b: R, env: &mut Env) -> R {
        arith::sub(a, b, env)
    }
}

impl Arithmetic for Mul {
    #[inline(always)]
    fn host<R: Real>(a: R, b: R) -> R {
        a.mul(b)
    }
    #[inline(always)]
    fn doubt<R: Real>(a: R, b: R, r: R) -> R {
        // A zero is exact if a factor is one.
        r.small() & (r.nonzero() | a.nonzero() & b.nonzero()) | r.special() | a.denormal() | b.denormal()
    }
    fn soft<R: Real>(a: R, b: R, env: &mut Env) -> R {
        arith::mul(a, b, env)
    }
}

impl Arithmetic for Div {
    #[inline(always)]
    fn host<R: Real>(a: R, b: R) -> R {
        a.div(b)
    }
    #[inline(always)]
    fn doubt<R: Real>(a: R, b: R, r: R) -> R {
        r.small() & (r.nonzero() | a.nonzero()) | r.special() | a.denormal() | b.denormal()
    }
    fn soft<R: Real>(a: R, b: R, env: &mut Env) -> R {
        arith::div(a, b, env)
    }
}

impl Arithmetic for Sqrt {
    #[inline(always)]
    fn host<R: Real>(_: R, b: R) -> R {
        b.sqrt()
    }
    #[inline(always)]
    fn doubt<R: Real>(_: R, b: R, r: R) -> R {
        r.special() | b.denormal()
    }
    fn soft<R: Real>(_: R, b: R, env: &mut Env) -> R {
        arith::sqrt(b, env)
    }
}

impl Arithmetic for Min {
    const ROUNDS: bool = false;
    #[inline(always)]
    fn host<R: Real>(a: R, b: R) -> R {
        if a.less(b) { a } else { b }
    }
    #[inline(always)]
    fn doubt<R: Real>(a: R, b: R, _: R) -> R {
        doubt_choice(a, b)
    }
    fn soft<R: Real>(a: R, b: R, env: &mut Env) -> R {
        compare::min(a, b, env)
    }
}

impl Arithmetic for Max {
    const ROUNDS: bool = false;
    #[inline(always)]
    fn host<R: Real>(a: R, b: R) -> R {
        if b.less(a) { a } else { b }
    }
    #[inline(always)]
    fn doubt<R: Real>(a: R, b: R, _: R) -> R {
        doubt_choice(a, b)
    }
    fn soft<R: Real>(a: R, b: R, env: &mut Env) -> R {
        compare::max(a, b, env)
    }
}

#[inline(always)]
fn scalar<A: Arithmetic, R: Real>(cpu: &mut Vcpu, slot: Slot, b: R) -> Done {
    let a = R::low(cpu.xmm(slot));
    let r = A::host(a, b);
    if (!A::ROUNDS || cpu.rounds_plainly()) && !A::doubt(a, b, r).top() {
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
    let b: R = cpu.load_operand(bus, op)?;
    scalar::<A, R>(cpu, op.dst, b)
}

#[inline(always)]
fn packed<A: Arithmetic, R: Real>(cpu: &mut Vcpu, slot: Slot, a: Xmm, b: Xmm) -> Done {
    let r = zip::<R, 2>(a, b, A::host);
    let doubts = build::<R, 2>(|i| A::doubt(get(a, i), get(b, i), get(r, i)));
    if (!A::ROUNDS || cpu.rounds_plainly()) && !any::<R>(doubts) {
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
    let b = cpu.load_xmm(bus, op)?;
    packed::<A, R>(cpu, op.dst, cpu.xmm(op.dst), b)
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
    let doubts = build::<R, 2>(|i| doubt_sum::<R>(get(a, i), get(b, i), get(r, i)));
    if cpu.rounds_plainly() && !any::<R>(doubts) {
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
