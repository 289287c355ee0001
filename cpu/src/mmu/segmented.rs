//! Effective addresses: segment bases, limits and rights, and the stack.

use super::Int;
use crate::fault::Fault;
use crate::op::{Op, Slot, Traits};
use crate::state::{Rights, Vcpu, seg};
use lockstep_fabric::Bus;

/// Whether an access reads or writes (a read-modify-write counts as a write).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A load.
    Read,
    /// A store, or a load that a store follows.
    Write,
}

impl Vcpu {
    /// The memory operand's offset within its segment, before any address-size wrap.
    #[inline(always)]
    pub(super) fn offset(&self, op: &Op) -> u64 {
        let base = self.gpr[op.base.number()];
        let index = self.gpr[op.index.number()];
        base.wrapping_add(index.wrapping_shl(op.scale.into())).wrapping_add(op.disp)
    }

    /// The memory operand's effective address (LEA's value): its offset wrapped to the address size.
    #[inline(always)]
    pub fn effective_address(&self, op: &Op) -> u64 {
        let offset = self.offset(op);
        if op.is(Traits::ADDRESS32) {
            offset & 0xffff_ffff
        } else if op.is(Traits::ADDRESS16) {
            offset & 0xffff
        } else {
            offset
        }
    }

    /// Linear address of the memory operand, for an access of `len` bytes.
    #[inline(always)]
    pub fn linear(&mut self, op: &Op, len: u64, access: Access) -> Result<u64, Fault> {
        if op.is(Traits::FLAT) {
            return Ok(self.offset(op));
        }
        let offset = self.effective_address(op);
        self.segmented(usize::from(op.seg), offset, len, access)
    }

    /// Linear address `beyond` bytes from the memory operand's, wrapped to the address size: where bit tests reach to.
    #[inline(always)]
    pub(crate) fn linear_beyond(&mut self, op: &Op, beyond: u64, len: u64, access: Access) -> Result<u64, Fault> {
        let offset = self.offset(op).wrapping_add(beyond);
        if op.is(Traits::FLAT) {
            return Ok(offset);
        }
        let mask = match op.traits.intersection(Traits::ADDRESS32.union(Traits::ADDRESS16)) {
            Traits::ADDRESS32 => 0xffff_ffff,
            Traits::ADDRESS16 => 0xffff,
            _ => u64::MAX,
        };
        self.segmented(usize::from(op.seg), offset & mask, len, access)
    }

    /// Loads the memory operand.
    #[inline(always)]
    pub fn load_operand<T: Int>(&mut self, bus: &mut Bus, op: &Op) -> Result<T, Fault> {
        let linear = self.linear(op, T::BYTES, Access::Read)?;
        self.load(bus, linear)
    }

    /// Stores the memory operand.
    #[inline(always)]
    pub fn store_operand<T: Int>(&mut self, bus: &mut Bus, op: &Op, value: T) -> Result<(), Fault> {
        let linear = self.linear(op, T::BYTES, Access::Write)?;
        self.store(bus, linear, value)
    }

    /// Loads the memory operand, lets `change` compute, stores it back.
    #[inline(always)]
    pub fn update_operand<T: Int>(
        &mut self,
        bus: &mut Bus,
        op: &Op,
        change: impl FnOnce(&mut Self, T) -> T,
    ) -> Result<(), Fault> {
        let linear = self.linear(op, T::BYTES, Access::Write)?;
        self.update(bus, linear, change)
    }

    /// Linear address of `segment:offset`, checked for an access of `len` bytes (SDM volume 3, sections 5.3 to 5.5).
    #[inline(never)]
    pub fn segmented(&mut self, segment: usize, offset: u64, len: u64, access: Access) -> Result<u64, Fault> {
        let s = &self.seg[segment & 7];
        if self.code64() {
            let base = if segment == seg::FS || segment == seg::GS { s.base } else { 0 };
            return Ok(base.wrapping_add(offset));
        }
        let fault = if segment == seg::SS { Fault::SS0 } else { Fault::GP0 };
        if !s.rights.has(Rights::PRESENT) {
            return Err(fault);
        }
        let allowed = match access {
            Access::Read => s.rights.readable(),
            Access::Write => s.rights.writable(),
        };
        // Real-address and virtual-8086 mode check limits alone: code segments can be written there.
        if !allowed && self.protected() {
            return Err(fault);
        }
        if !s.covers(offset, len) {
            return Err(fault);
        }
        Ok(s.base.wrapping_add(offset) & 0xffff_ffff)
    }

    /// Bits of the stack pointer that count.
    #[inline]
    pub fn stack_mask(&self) -> u64 {
        if self.code64() {
            u64::MAX
        } else if self.mode.stack32() {
            0xffff_ffff
        } else {
            0xffff
        }
    }

    /// RSP, ESP or SP.
    #[inline]
    pub fn stack_pointer(&self) -> u64 {
        self.gpr[Slot::RSP.number()] & self.stack_mask()
    }

    /// Replaces RSP, ESP (upper half cleared) or SP (upper part kept).
    #[inline]
    pub fn set_stack_pointer(&mut self, value: u64) {
        let mask = self.stack_mask();
        let rsp = &mut self.gpr[Slot::RSP.number()];
        *rsp = if mask == 0xffff { *rsp & !mask | value & mask } else { value & mask };
    }

    /// Linear address of a stack slot of `len` bytes at stack offset `offset`.
    #[inline(always)]
    pub fn stack_linear(&mut self, offset: u64, len: u64, access: Access) -> Result<u64, Fault> {
        if self.code64() {
            return Ok(offset);
        }
        let offset = offset & self.stack_mask();
        self.segmented(seg::SS, offset, len, access)
    }

    /// Pushes a value.
    #[inline(always)]
    pub fn push<T: Int>(&mut self, bus: &mut Bus, value: T) -> Result<(), Fault> {
        let top = self.stack_pointer().wrapping_sub(T::BYTES);
        let linear = self.stack_linear(top, T::BYTES, Access::Write)?;
        self.store(bus, linear, value).map_err(on_stack)?;
        self.set_stack_pointer(top);
        Ok(())
    }

    /// Reads the value `depth` bytes above the top of the stack, leaving the stack pointer.
    #[inline(always)]
    pub fn peek<T: Int>(&mut self, bus: &mut Bus, depth: u64) -> Result<T, Fault> {
        let at = self.stack_pointer().wrapping_add(depth);
        let linear = self.stack_linear(at, T::BYTES, Access::Read)?;
        self.load(bus, linear).map_err(on_stack)
    }

    /// Pops a value.
    #[inline(always)]
    pub fn pop<T: Int>(&mut self, bus: &mut Bus) -> Result<T, Fault> {
        let value = self.peek(bus, 0)?;
        self.set_stack_pointer(self.stack_pointer().wrapping_add(T::BYTES));
        Ok(value)
    }
}

/// A stack reference that is not canonical is a stack fault.
fn on_stack(fault: Fault) -> Fault {
    if fault == Fault::NOT_CANONICAL { Fault::SS0 } else { fault }
}
