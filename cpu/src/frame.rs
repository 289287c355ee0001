//! Several values pushed at once: nothing is written before all of it can be.

use crate::fault::Fault;
use crate::mmu::{Bank, Int};
use crate::state::{Rights, Segment, Vcpu, seg};
use lockstep_fabric::Bus;

/// Room for the longest frame: a call gate's 31 parameters and four words around them.
const MOST_VALUES: usize = 36;

/// The stack that a frame is pushed to, which need not be the one in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stack {
    /// SS; meaningless if `flat`.
    pub(crate) segment: Segment,
    /// The stack pointer before the push.
    pub(crate) pointer: u64,
    /// Whose rights the pushes have (a bank of the TLB).
    pub(crate) bank: Bank,
    /// 64-bit: no segment.
    pub(crate) flat: bool,
    /// What a push outside of the segment raises.
    pub(crate) fault: Fault,
}

impl Stack {
    fn mask(&self) -> u64 {
        if self.flat {
            u64::MAX
        } else if self.segment.rights.has(Rights::BIG) {
            0xffff_ffff
        } else {
            0xffff
        }
    }

    /// The stack register's value with this stack's pointer in it; a 16-bit pointer leaves the upper part of `register`.
    pub(crate) fn register(&self, register: u64, pointer: u64) -> u64 {
        let mask = self.mask();
        if mask == 0xffff { register & !mask | pointer & mask } else { pointer & mask }
    }
}

/// Values to push, first pushed first.
pub(crate) struct Frame {
    values: [u64; MOST_VALUES],
    len: usize,
}

impl Frame {
    /// No values.
    pub(crate) fn new() -> Self {
        Self { values: [0; MOST_VALUES], len: 0 }
    }

    /// Adds a value.
    pub(crate) fn push(&mut self, value: u64) -> &mut Self {
        if let Some(place) = self.values.get_mut(self.len) {
            *place = value;
            self.len += 1;
        }
        self
    }
}

impl Vcpu {
    /// The stack in use, for pushes by an instruction.
    pub(crate) fn current_stack(&self) -> Stack {
        Stack {
            segment: self.seg[seg::SS],
            pointer: self.stack_pointer(),
            bank: self.bank,
            flat: self.code64(),
            fault: Fault::SS0,
        }
    }

    /// Pushes a frame of values `T` wide; the answer is the new stack pointer.
    #[inline]
    pub(crate) fn push_frame<T: Int>(&mut self, bus: &mut Bus, stack: &Stack, frame: &Frame) -> Result<u64, Fault> {
        let mask = stack.mask();
        let bytes = T::BYTES * frame.len as u64;
        let top = stack.pointer.wrapping_sub(bytes) & mask;
        if stack.flat {
            if !self.writes_freely(top, bytes, stack.bank) {
                // In the order of the pushes, so that CR2 names the one that failed.
                for i in 0..frame.len as u64 {
                    let at = stack.pointer.wrapping_sub(T::BYTES * (i + 1));
                    self.probe_write_in(bus, at, T::BYTES, stack.bank).map_err(|f| on_stack(f, stack))?;
                }
            }
            for (i, value) in frame.values[..frame.len].iter().enumerate() {
                let at = stack.pointer.wrapping_sub(T::BYTES * (i as u64 + 1));
                self.store_in(bus, at, T::truncate(*value), stack.bank).map_err(|f| on_stack(f, stack))?;
            }
            return Ok(top);
        }
        for i in 0..frame.len as u64 {
            let offset = stack.pointer.wrapping_sub(T::BYTES * (i + 1)) & mask;
            if !stack.segment.covers(offset, T::BYTES) {
                return Err(stack.fault);
            }
            let linear = stack.segment.base.wrapping_add(offset) & 0xffff_ffff;
            self.probe_write_in(bus, linear, T::BYTES, stack.bank)?;
        }
        for (i, value) in frame.values[..frame.len].iter().enumerate() {
            let offset = stack.pointer.wrapping_sub(T::BYTES * (i as u64 + 1)) & mask;
            let linear = stack.segment.base.wrapping_add(offset) & 0xffff_ffff;
            self.store_in(bus, linear, T::truncate(*value), stack.bank)?;
        }
        Ok(top)
    }
}

fn on_stack(fault: Fault, stack: &Stack) -> Fault {
    if fault == Fault::NOT_CANONICAL { stack.fault } else { fault }
}
