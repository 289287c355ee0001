//! Memory operands that are wider than a register.

use crate::fault::Fault;
use crate::float::F80;
use crate::mmu::Access;
use crate::op::Op;
use crate::state::Vcpu;
use lockstep_fabric::Bus;

impl Vcpu {
    /// Loads ten bytes.
    #[inline(always)]
    pub(super) fn load_f80(&mut self, bus: &mut Bus, op: &Op) -> Result<F80, Fault> {
        let linear = self.linear(op, 10, Access::Read)?;
        let sig = self.load(bus, linear)?;
        let sign_exp = self.load(bus, self.wrapped(linear.wrapping_add(8)))?;
        Ok(F80::new(sign_exp, sig))
    }

    /// Stores ten bytes, all or none.
    #[inline(always)]
    pub(super) fn store_f80(&mut self, bus: &mut Bus, op: &Op, value: F80) -> Result<(), Fault> {
        let linear = self.linear(op, 10, Access::Write)?;
        if linear & 0xfff > 0xff6 {
            self.probe_write(bus, linear, 10)?;
        }
        self.store(bus, linear, value.sig)?;
        self.store(bus, self.wrapped(linear.wrapping_add(8)), value.sign_exp)
    }

    /// Loads the memory operand into `bytes`, at most a page of an even length.
    pub(crate) fn load_bytes(&mut self, bus: &mut Bus, linear: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        self.probe_read(bus, linear, bytes.len() as u64)?;
        let mut at = linear;
        for chunk in bytes.chunks_mut(4) {
            match chunk {
                [a, b, c, d] => [*a, *b, *c, *d] = self.load::<u32>(bus, at)?.to_le_bytes(),
                [a, b] => [*a, *b] = self.load::<u16>(bus, at)?.to_le_bytes(),
                _ => {}
            }
            at = self.wrapped(at.wrapping_add(chunk.len() as u64));
        }
        Ok(())
    }

    /// Stores `bytes`, at most a page of an even length, all or none.
    pub(crate) fn store_bytes(&mut self, bus: &mut Bus, linear: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.probe_write(bus, linear, bytes.len() as u64)?;
        let mut at = linear;
        for chunk in bytes.chunks(4) {
            match *chunk {
                [a, b, c, d] => self.store(bus, at, u32::from_le_bytes([a, b, c, d]))?,
                [a, b] => self.store(bus, at, u16::from_le_bytes([a, b]))?,
                _ => {}
            }
            at = self.wrapped(at.wrapping_add(chunk.len() as u64));
        }
        Ok(())
    }
}
