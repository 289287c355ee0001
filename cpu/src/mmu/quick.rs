//! Operands found at once: flat address, known to the TLB. No calls, so that a handler which leaves everything else to a cold
//! twin of itself needs no stack frame.

use crate::op::{Op, Traits};
use crate::state::Vcpu;
use lockstep_fabric::Bus;
use lockstep_fabric::memory::Word;

impl Vcpu {
    /// Loads the memory operand if it is found at once.
    #[inline(always)]
    pub(crate) fn quick_load<T: Word + Default>(&self, bus: &Bus, op: &Op, alignment: u64) -> Option<T> {
        let linear = self.offset(op);
        let entry = self.tlb.entry(self.bank, linear);
        let last = linear.wrapping_add(size_of::<T>() as u64 - 1);
        let found = op.is(Traits::FLAT) && linear & (alignment - 1) == 0 && entry.read == self.tlb.tag(last);
        found.then(|| bus.memory.load(entry.addend.wrapping_add(linear)))
    }

    /// Stores to the memory operand if it is found at once; says whether it was.
    #[inline(always)]
    pub(crate) fn quick_store<T: Word>(&self, bus: &mut Bus, op: &Op, alignment: u64, value: T) -> bool {
        let linear = self.offset(op);
        let entry = self.tlb.entry(self.bank, linear);
        let last = linear.wrapping_add(size_of::<T>() as u64 - 1);
        let found = op.is(Traits::FLAT) && linear & (alignment - 1) == 0 && entry.write == self.tlb.tag(last);
        if found {
            bus.memory.store_free(entry.addend.wrapping_add(linear), value);
        }
        found
    }

    /// Where in the arena the memory operand lies, if it may be both loaded and stored at once.
    #[inline(always)]
    pub(crate) fn quick_place<T: Word>(&self, op: &Op) -> Option<u64> {
        let linear = self.offset(op);
        let entry = self.tlb.entry(self.bank, linear);
        let last = linear.wrapping_add(size_of::<T>() as u64 - 1);
        let found = op.is(Traits::FLAT) && entry.write == self.tlb.tag(last);
        found.then(|| entry.addend.wrapping_add(linear))
    }
}
