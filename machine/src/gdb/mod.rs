//! The server of GDB's remote protocol: `-gdb`, `-s` and the monitor's `gdbserver`.
//!
//! The protocol is the crate gdbstub's. What a debugger sees is QEMU's x86-64 target: threads are vCPUs, from 1 on; addresses are
//! linear; registers are those of QEMU's description. Reading and stopping leave no trace in the guest, nor in a recording, and
//! work while one is replayed; writing goes through the gate. All vCPUs take their turns while one of them is stepped, even if the
//! debugger asks for the others to stand still: who runs when is part of what a run repeats.

mod arch;
mod breakpoints;
mod link;
mod server;
mod target;

#[cfg(test)]
mod tests;

use crate::debugging::DebugStop;
use crate::monitor::Desk;
use crate::run::Control;
pub(crate) use link::Link;
use lockstep_cpu::{Register, Watchpoint};
use lockstep_fabric::{Cpu, Outside};
pub(crate) use server::CHARDEV;
use std::collections::BTreeSet;

/// What a debugger has asked for.
#[derive(Debug, Default)]
pub(crate) struct Debugger {
    /// Software and hardware breakpoints are the same here and do not touch memory, but a debugger takes out what it put in.
    software: BTreeSet<u64>,
    hardware: BTreeSet<u64>,
    watchpoints: BTreeSet<Watchpoint>,
    /// The vCPUs that the next run steps.
    steps: BTreeSet<u8>,
    /// Why the machine has stopped, if it was for the debugger.
    stop: Option<DebugStop>,
    /// What `monitor` commands remember.
    desk: Desk,
    /// The run knows where debuggers are awaited.
    placed: bool,
}

/// The thread that a vCPU is to debuggers, who count from one.
fn thread_of(cpu: Cpu) -> usize {
    usize::from(cpu.0) + 1
}

impl Control {
    /// The machine has stopped for the debugger.
    pub(crate) fn debug_stop(&mut self, stop: DebugStop) {
        self.debugger.stop = Some(stop);
        self.stop_as(crate::run::RunState::Debug);
    }

    /// Forgets all breakpoints and watchpoints.
    pub(crate) fn forget_debugger(&mut self) {
        let desk = std::mem::take(&mut self.debugger.desk);
        let placed = self.debugger.placed;
        self.debugger = Debugger { desk, placed, ..Debugger::default() };
        self.apply_breakpoints();
        self.board.machine.set_watchpoints(&[]);
        self.board.machine.step(BTreeSet::new());
    }

    fn apply_breakpoints(&mut self) {
        let all = self.debugger.software.union(&self.debugger.hardware).copied().collect();
        self.board.machine.set_breakpoints(all);
    }

    /// Lets the machine run, with the steps that were asked for. If it cannot, it is found stopped.
    fn run_for_debugger(&mut self) {
        let steps = std::mem::take(&mut self.debugger.steps);
        self.debugger.stop = None;
        if !self.debugger.watchpoints.is_empty() {
            // For vCPUs that were plugged in since.
            self.apply_watchpoints();
        }
        self.board.machine.step(steps);
        // Whoever denies it has told so: a dump is being written, or the machine is over.
        let _ = self.resume();
    }

    /// Puts a value into a register, through the gate; false if that cannot be.
    fn write_register(&mut self, cpu: Cpu, register: &Register, value: u128) -> bool {
        let halves = [value as u64, (value >> 64) as u64];
        let entered = self.enter(Outside::Register { cpu, register: register.name.to_owned(), value: halves });
        // A selector of nothing has left all as it was.
        entered.is_ok() && (!register.is_selector() || self.board.machine.register(cpu, register) == Some(value))
    }
}
