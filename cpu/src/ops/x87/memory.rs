//! Memory operands that are wider than a register.

use crate::fault::Fault;
use crate::float::F80;
use crate::mmu::{Access, Int};
use crate::op::Op;
use crate::state::Vcpu;
use lockstep_fabric::Bus;

impl Vcpu {
    /// Loads ten bytes.
    #[inline(always)]
    pub(super) fn load_f80(&mut self, bus: &mut Bus, op: &Op) -> Result<F80, Fault> {
        let linear = self.linear(op, 10, Access::Read)?;
        let (sig, sign_exp) = self.load80(bus, linear)?;
        Ok(F80::new(sign_exp, sig))
    }

    /// Stores ten bytes, all or none.
    #[inline(always)]
    pub(super) fn store_f80(&mut self, bus: &mut Bus, op: &Op, value: F80) -> Result<(), Fault> {
        let linear = self.linear(op, 10, Access::Write)?;
        self.store80(bus, linear, value.sig, value.sign_exp)
    }

    /// Loads a block of at most a page, whose length is a multiple of `T`, in pieces of `T`.
    pub(crate) fn load_block<T: Int>(&mut self, bus: &mut Bus, linear: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        self.probe_read(bus, linear, bytes.len() as u64)?;
        let mut at = linear;
        for chunk in bytes.chunks_exact_mut(T::BYTES as usize) {
            let value = self.load::<T>(bus, at)?.zero_extend().to_le_bytes();
            chunk.copy_from_slice(&value[..chunk.len()]);
            at = self.wrapped(at.wrapping_add(T::BYTES));
        }
        Ok(())
    }

    /// Stores a block of at most a page, whose length is a multiple of `T`, in pieces of `T`: all or none.
    pub(crate) fn store_block<T: Int>(&mut self, bus: &mut Bus, linear: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.probe_write(bus, linear, bytes.len() as u64)?;
        let mut at = linear;
        for chunk in bytes.chunks_exact(T::BYTES as usize) {
            let value = chunk.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
            self.store(bus, at, T::truncate(value))?;
            at = self.wrapped(at.wrapping_add(T::BYTES));
        }
        Ok(())
    }
}
