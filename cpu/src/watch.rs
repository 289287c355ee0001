//! What a debugger outside of the guest watches: accesses to memory by linear address. No part of the guest's state; the debug
//! registers of the guest are apart from these.

use crate::state::{Pending, Vcpu};

/// Pages are watched whole by the soft TLB, bytes here.
const PAGE_MASK: u64 = !0xfff;

/// Which accesses are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WatchedAccess {
    /// Stores.
    Write,
    /// Loads.
    Read,
    /// Both.
    Any,
}

/// A range of linear addresses that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watchpoint {
    /// The first byte.
    pub linear: u64,
    /// How many bytes, at least one.
    pub len: u64,
    /// What is looked for.
    pub access: WatchedAccess,
}

/// The watchpoints of a vCPU, and what they have seen.
#[derive(Clone, Debug, Default)]
pub struct Watches {
    points: Vec<Watchpoint>,
    seen: Option<Watchpoint>,
}

impl Watchpoint {
    fn last(&self) -> u64 {
        self.linear.saturating_add(self.len.saturating_sub(1))
    }

    fn is_met_by(&self, linear: u64, len: u64, write: bool) -> bool {
        let fits = match self.access {
            WatchedAccess::Write => write,
            WatchedAccess::Read => !write,
            WatchedAccess::Any => true,
        };
        fits && linear <= self.last() && self.linear <= linear.saturating_add(len - 1)
    }
}

impl Vcpu {
    /// Watches these and no others; the run ends after an instruction that meets one ([`crate::Why::Watchpoint`]).
    pub fn set_watchpoints(&mut self, points: &[Watchpoint]) {
        self.watches = Watches { points: points.to_vec(), seen: None };
        // All that was found to need no look takes it again.
        self.tlb.slow_all();
    }

    /// The watchpoint that was met since this was last asked.
    pub fn take_watched(&mut self) -> Option<Watchpoint> {
        self.watches.seen.take()
    }

    /// Whether one was met.
    pub(crate) fn has_watched(&self) -> bool {
        self.watches.seen.is_some()
    }

    /// Whether the debugger watches anything on the page of `linear`.
    pub(crate) fn debugger_watches_page(&self, linear: u64) -> bool {
        let page = linear & PAGE_MASK;
        self.watches.points.iter().any(|point| point.linear & PAGE_MASK <= page && page <= point.last())
    }

    /// Notes that an access meets what the debugger watches; the run ends after the instruction.
    pub(crate) fn note_watched(&mut self, linear: u64, len: u64, write: bool) {
        if self.watches.points.is_empty() || self.watches.seen.is_some() {
            return;
        }
        if let Some(met) = self.watches.points.iter().find(|point| point.is_met_by(linear, len, write)) {
            self.watches.seen = Some(*met);
            self.pending |= Pending::EVENTS;
        }
    }
}
