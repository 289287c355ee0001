//! Breakpoints and watchpoints. A software breakpoint is no instruction in memory: the guest would see it.

use super::arch::X86;
use crate::run::Control;
use gdbstub::target::TargetResult;
use gdbstub::target::ext::breakpoints::{
    Breakpoints, HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps, SwBreakpoint, SwBreakpointOps, WatchKind,
};
use gdbstub::target::{Target, TargetError};
use lockstep_cpu::{WatchedAccess, Watchpoint};

/// The most of each kind: each is looked for again and again.
const MOST: usize = 4096;
/// ENOSPC.
const NO_ROOM: u8 = 28;

// The target's address type and kind are fixed; these keep the signatures below readable.
type Address = <X86 as gdbstub::arch::Arch>::Usize;
type Outcome = TargetResult<bool, Control>;

impl Breakpoints for Control {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

fn room(held: usize) -> Result<(), TargetError<<Control as Target>::Error>> {
    if held < MOST { Ok(()) } else { Err(TargetError::Errno(NO_ROOM)) }
}

impl SwBreakpoint for Control {
    fn add_sw_breakpoint(&mut self, addr: Address, _: usize) -> Outcome {
        room(self.debugger.software.len())?;
        self.debugger.software.insert(addr);
        self.apply_breakpoints();
        Ok(true)
    }

    fn remove_sw_breakpoint(&mut self, addr: Address, _: usize) -> Outcome {
        let was = self.debugger.software.remove(&addr);
        self.apply_breakpoints();
        Ok(was)
    }
}

impl HwBreakpoint for Control {
    fn add_hw_breakpoint(&mut self, addr: Address, _: usize) -> Outcome {
        room(self.debugger.hardware.len())?;
        self.debugger.hardware.insert(addr);
        self.apply_breakpoints();
        Ok(true)
    }

    fn remove_hw_breakpoint(&mut self, addr: Address, _: usize) -> Outcome {
        let was = self.debugger.hardware.remove(&addr);
        self.apply_breakpoints();
        Ok(was)
    }
}

fn watchpoint(addr: u64, len: u64, kind: WatchKind) -> Watchpoint {
    let access = match kind {
        WatchKind::Write => WatchedAccess::Write,
        WatchKind::Read => WatchedAccess::Read,
        WatchKind::ReadWrite => WatchedAccess::Any,
    };
    Watchpoint { linear: addr, len: len.max(1), access }
}

impl Control {
    pub(super) fn apply_watchpoints(&mut self) {
        let points: Vec<Watchpoint> = self.debugger.watchpoints.iter().copied().collect();
        self.board.machine.set_watchpoints(&points);
    }
}

impl HwWatchpoint for Control {
    fn add_hw_watchpoint(&mut self, addr: Address, len: Address, kind: WatchKind) -> Outcome {
        room(self.debugger.watchpoints.len())?;
        self.debugger.watchpoints.insert(watchpoint(addr, len, kind));
        self.apply_watchpoints();
        Ok(true)
    }

    fn remove_hw_watchpoint(&mut self, addr: Address, len: Address, kind: WatchKind) -> Outcome {
        let was = self.debugger.watchpoints.remove(&watchpoint(addr, len, kind));
        self.apply_watchpoints();
        Ok(was)
    }
}
