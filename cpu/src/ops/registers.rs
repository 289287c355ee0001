//! General registers as operands of each width.

use crate::mmu::Int;
use crate::op::{Op, Slot};
use crate::state::Vcpu;

impl Vcpu {
    /// Reads a general register; `shift` is 8 for AH, CH, DH, BH.
    #[inline(always)]
    pub fn read_gpr<T: Int>(&self, slot: Slot, shift: u32) -> T {
        let value = self.gpr[slot.number()];
        T::truncate(if T::BITS == 8 { value >> shift } else { value })
    }

    /// Writes a general register: 32-bit writes clear the upper half, narrower ones keep the rest.
    #[inline(always)]
    pub fn write_gpr<T: Int>(&mut self, slot: Slot, shift: u32, value: T) {
        let register = &mut self.gpr[slot.number()];
        let value = value.zero_extend();
        *register = match T::BITS {
            8 => *register & !(0xff << shift) | value << shift,
            16 => *register & !0xffff | value,
            _ => value,
        };
    }

    /// Reads the first register operand.
    #[inline(always)]
    pub fn read_dst<T: Int>(&self, op: &Op) -> T {
        self.read_gpr(op.dst, op.dst_shift())
    }

    /// Writes the first register operand.
    #[inline(always)]
    pub fn write_dst<T: Int>(&mut self, op: &Op, value: T) {
        self.write_gpr(op.dst, op.dst_shift(), value);
    }

    /// Reads the second register operand.
    #[inline(always)]
    pub fn read_src<T: Int>(&self, op: &Op) -> T {
        self.read_gpr(op.src, op.src_shift())
    }

    /// Writes the second register operand.
    #[inline(always)]
    pub fn write_src<T: Int>(&mut self, op: &Op, value: T) {
        self.write_gpr(op.src, op.src_shift(), value);
    }
}
