//! Where a debugger outside of the guest wants a run to end. No part of the guest's state: the guest cannot see them, and what
//! it computes is the same with and without.

use super::{Engine, Why};
use crate::state::Vcpu;
use lockstep_fabric::Bus;
use lockstep_fabric::memory::PAGE_SIZE;
use std::collections::BTreeSet;

/// Breakpoints of all vCPUs. Instructions at them are in no block: the cold way to single instructions looks here, and blocks
/// run as fast as without.
#[derive(Debug, Default)]
pub(super) struct Breakpoints {
    linear: BTreeSet<u64>,
    /// The offsets in their pages, whichever pages these are: blocks are known by physical address.
    in_page: BTreeSet<u64>,
    /// A vCPU that has stopped at a breakpoint executes the instruction there when it goes on.
    passing: Option<(u8, u64)>,
    /// The instruction in hand has been looked up already.
    looked: bool,
    /// Exceptions end a run: the debugger steps.
    steps: bool,
    /// Why the run in hand ends.
    met: Option<Why>,
}

impl Breakpoints {
    /// How many of `len` bytes from `offset` on lie before a breakpoint, in whatever page.
    pub(super) fn reach(&self, offset: u64, len: u64) -> u64 {
        let start = offset % PAGE_SIZE;
        self.in_page.range(start..).next().map_or(len, |next| len.min(next - start))
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.linear.is_empty()
    }

    /// Whether the run is to end before the instruction at `linear`.
    pub(super) fn stop_before(&mut self, cpu: &Vcpu, linear: u64) -> bool {
        if std::mem::take(&mut self.looked) || !self.linear.contains(&linear) {
            return false;
        }
        let here = Some((cpu.index, linear));
        if self.passing == here {
            self.passing = None;
            return false;
        }
        self.passing = here;
        self.met = Some(Why::Breakpoint);
        true
    }

    /// Says whether the instruction in hand has been looked up already.
    pub(super) fn set_looked(&mut self, looked: bool) {
        self.looked = looked;
    }

    /// An exception was delivered.
    pub(super) fn note_exception(&mut self) {
        if self.steps {
            self.met = Some(Why::Exception);
        }
    }

    /// Why the run in hand ends, if it does because of these.
    pub(super) fn take_met(&mut self) -> Option<Why> {
        self.met.take()
    }
}

impl Engine {
    /// Ends runs before the instructions at these linear addresses ([`Why::Breakpoint`]), in whatever address space. A vCPU that
    /// goes on from one executes the instruction there.
    pub fn set_breakpoints(&mut self, linear: BTreeSet<u64>, bus: &mut Bus) {
        let held = &mut self.breakpoints;
        held.passing = held.passing.filter(|(_, at)| linear.contains(at));
        held.in_page = linear.iter().map(|at| at % PAGE_SIZE).collect();
        held.linear = linear;
        self.drop_blocks(bus);
    }

    /// Lets a vCPU execute the instruction at a linear address although there is a breakpoint.
    pub fn pass_breakpoint(&mut self, cpu: u8, linear: u64) {
        self.breakpoints.passing = Some((cpu, linear)).filter(|_| self.breakpoints.linear.contains(&linear));
    }

    /// The vCPU that stopped at a breakpoint was sent elsewhere.
    pub fn forget_passing(&mut self) {
        self.breakpoints.passing = None;
    }

    /// Says whether a run ends once an exception has been delivered ([`Why::Exception`]).
    pub fn stop_at_exceptions(&mut self, stop: bool) {
        self.breakpoints.steps = stop;
    }
}
