//! Vector operands: registers, memory with its alignment rule, and the two-operand form.

use super::lanes::{Xmm, wide, words};
use crate::fault::Fault;
use crate::mmu::Access;
use crate::op::{Op, Slot};
use crate::state::Vcpu;
use lockstep_fabric::Bus;

impl Vcpu {
    /// An XMM register.
    #[inline(always)]
    pub(crate) fn xmm(&self, slot: Slot) -> Xmm {
        let [low, high, ..] = self.vec[slot.number()].0;
        [low, high]
    }

    /// Replaces an XMM register, leaving what lies above bit 127 as legacy SSE does.
    #[inline(always)]
    pub(crate) fn set_xmm(&mut self, slot: Slot, value: Xmm) {
        let register = &mut self.vec[slot.number()].0;
        register[0] = value[0];
        register[1] = value[1];
    }

    /// Loads a 16-byte operand that must be aligned.
    #[inline(always)]
    pub(crate) fn load_xmm(&mut self, bus: &mut Bus, op: &Op) -> Result<Xmm, Fault> {
        let linear = self.linear(op, 16, Access::Read)?;
        if linear & 15 != 0 {
            return Err(Fault::GP0);
        }
        self.load128(bus, linear).map(words)
    }

    /// Loads a 16-byte operand from anywhere.
    #[inline(always)]
    pub(crate) fn load_xmm_unaligned(&mut self, bus: &mut Bus, op: &Op) -> Result<Xmm, Fault> {
        let linear = self.linear(op, 16, Access::Read)?;
        self.load128(bus, linear).map(words)
    }

    /// Stores a 16-byte operand that must be aligned.
    #[inline(always)]
    pub(crate) fn store_xmm(&mut self, bus: &mut Bus, op: &Op, value: Xmm) -> Result<(), Fault> {
        let linear = self.linear(op, 16, Access::Write)?;
        if linear & 15 != 0 {
            return Err(Fault::GP0);
        }
        self.store128(bus, linear, wide(value))
    }

    /// Stores a 16-byte operand anywhere.
    #[inline(always)]
    pub(crate) fn store_xmm_unaligned(&mut self, bus: &mut Bus, op: &Op, value: Xmm) -> Result<(), Fault> {
        let linear = self.linear(op, 16, Access::Write)?;
        self.store128(bus, linear, wide(value))
    }
}

/// Loads the operand and acts on it; `slow` is the cold twin for what is not found at once.
macro_rules! with_operand {
    ($name:ident, $load:ident, $alignment:literal, $quick:ty, $value:ty, |$v:ident| $convert:expr) => {
        #[inline(always)]
        pub(crate) fn $name(
            cpu: &mut Vcpu,
            bus: &mut Bus,
            op: &Op,
            act: impl Fn(&mut Vcpu, &Op, $value) -> Result<(), Fault>,
        ) -> Result<(), Fault> {
            #[cold]
            #[inline(never)]
            fn slow(
                cpu: &mut Vcpu,
                bus: &mut Bus,
                op: &Op,
                act: impl Fn(&mut Vcpu, &Op, $value) -> Result<(), Fault>,
            ) -> Result<(), Fault> {
                let value = cpu.$load(bus, op)?;
                act(cpu, op, value)
            }
            match cpu.quick_load::<$quick>(bus, op, $alignment) {
                Some($v) => act(cpu, op, $convert),
                None => slow(cpu, bus, op, act),
            }
        }
    };
}
with_operand!(with_m128, load_xmm, 16, u128, Xmm, |v| words(v));
with_operand!(with_m128_unaligned, load_xmm_unaligned, 1, u128, Xmm, |v| words(v));

/// Stores 16 bytes, aligned or from anywhere.
#[inline(always)]
pub(crate) fn put_m128<const ALIGNED: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op, value: Xmm) -> Result<(), Fault> {
    #[cold]
    #[inline(never)]
    fn slow<const ALIGNED: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op, value: Xmm) -> Result<(), Fault> {
        if ALIGNED { cpu.store_xmm(bus, op, value) } else { cpu.store_xmm_unaligned(bus, op, value) }
    }
    let alignment = if ALIGNED { 16 } else { 1 };
    if cpu.quick_store(bus, op, alignment, wide(value)) { Ok(()) } else { slow::<ALIGNED>(cpu, bus, op, value) }
}

/// An operation `dst = apply(dst, src, imm)` on vectors of any width; most have no immediate.
pub(crate) trait Lanewise {
    fn apply<const N: usize>(a: [u64; N], b: [u64; N], imm: u8) -> [u64; N];
}

/// `op xmm, xmm`
pub(crate) fn xmm_xmm<O: Lanewise>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let result = O::apply(cpu.xmm(op.dst), cpu.xmm(op.src), op.imm as u8);
    cpu.set_xmm(op.dst, result);
    Ok(())
}

/// `op xmm, m128`
pub(crate) fn xmm_m128<O: Lanewise>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    with_m128(cpu, bus, op, |cpu, op, b| {
        let result = O::apply(cpu.xmm(op.dst), b, op.imm as u8);
        cpu.set_xmm(op.dst, result);
        Ok(())
    })
}

/// Defines operations by an expression over one pair of lanes.
macro_rules! lanewise {
    ($($(#[$doc:meta])* $name:ident: $t:ty, |$a:ident, $b:ident| $result:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;
        impl Lanewise for $name {
            #[inline(always)]
            fn apply<const N: usize>(a: [u64; N], b: [u64; N], _: u8) -> [u64; N] {
                zip::<$t, N>(a, b, |$a, $b| $result)
            }
        }
    )*};
}
pub(crate) use lanewise;

/// Defines operations by an expression over whole vectors of `N` words.
macro_rules! vectorwise {
    ($($(#[$doc:meta])* $name:ident: |$n:ident, $a:ident, $b:ident, $imm:ident| $result:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;
        impl Lanewise for $name {
            #[inline(always)]
            #[allow(unused_variables, reason = "not every operation looks at all that it is given")]
            fn apply<const $n: usize>($a: [u64; $n], $b: [u64; $n], $imm: u8) -> [u64; $n] { $result }
        }
    )*};
}
pub(crate) use vectorwise;

/// Rows `op xmm, xmm/m128` (with or without an immediate).
macro_rules! xmm_rows {
    ($rows:ident: $($op:ty => $code:ident),* $(,)?) => {
        $rows.extend([$(Row::new(Code::$code, xmm_xmm::<$op>, xmm_m128::<$op>).unit(Unit::Sse)),*])
    };
}
pub(crate) use xmm_rows;
