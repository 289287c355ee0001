//! What a debugger outside of the guest has of the machine: where it stops, and looks at registers and memory. The guest cannot
//! notice any of it; what changes the guest goes through the gate.

use crate::machine::Machine;
use lockstep_cpu::{Exit, Register, Vcpu, Watchpoint, Why};
use lockstep_fabric::memory::{PAGE_SIZE, Target};
use lockstep_fabric::{Cpu, Outside};
use std::collections::BTreeSet;

/// Why the machine stopped for a debugger, and at which vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DebugStop {
    /// It is about to execute an instruction with a breakpoint.
    Breakpoint(Cpu),
    /// It has executed one instruction, or stands at the first of an interrupt's or exception's handler.
    Step(Cpu),
    /// Its last instruction met a watchpoint.
    Watchpoint(Cpu, Watchpoint),
}

/// What the debugger waits for.
#[derive(Debug, Default)]
pub(crate) struct Debugging {
    /// The vCPUs that are to execute one instruction.
    steps: BTreeSet<u8>,
    stop: Option<DebugStop>,
}

impl Debugging {
    /// Whether the vCPU is to execute one instruction.
    pub(crate) fn steps(&self, cpu: u8) -> bool {
        self.steps.contains(&cpu)
    }

    /// Why the machine has to stop now, if it has to.
    pub(crate) fn take_stop(&mut self) -> Option<DebugStop> {
        let stop = self.stop.take();
        if stop.is_some() {
            self.steps.clear();
        }
        stop
    }

    /// Takes note of a run of a vCPU.
    pub(crate) fn note(&mut self, cpu: &mut Vcpu, exit: Exit) {
        let number = Cpu(cpu.index);
        let stepped = self.steps(cpu.index);
        let stop = match (cpu.take_watched(), exit.why) {
            (Some(point), _) => DebugStop::Watchpoint(number, point),
            (None, Why::Breakpoint) => DebugStop::Breakpoint(number),
            (None, Why::Exception | Why::Interrupt) if stepped => DebugStop::Step(number),
            (None, _) if stepped && exit.retired > 0 => DebugStop::Step(number),
            (None, _) => return,
        };
        self.stop = Some(stop);
    }
}

impl Machine {
    /// Stops before the instructions at these linear addresses, in whatever address space; see [`crate::machine::Stop::Debug`].
    pub fn set_breakpoints(&mut self, linear: BTreeSet<u64>) {
        self.engine.set_breakpoints(linear, &mut self.bus);
    }

    /// Stops after instructions that meet one of these.
    pub fn set_watchpoints(&mut self, points: &[Watchpoint]) {
        self.cpus.iter_mut().for_each(|cpu| cpu.set_watchpoints(points));
    }

    /// Stops as soon as one of these vCPUs has executed an instruction. All take their turns as ever: who is to run is part of
    /// what a run repeats.
    pub fn step(&mut self, cpus: BTreeSet<u8>) {
        for cpu in self.cpus.iter().filter(|cpu| cpus.contains(&cpu.index)) {
            self.engine.pass_breakpoint(cpu.index, cpu.program_counter());
        }
        self.engine.stop_at_exceptions(!cpus.is_empty());
        self.debugging.steps = cpus;
        self.debugging.stop = None;
    }

    /// The vCPU whose turn it is.
    pub fn cpu_in_turn(&self) -> Cpu {
        self.cpus.get(self.turn.cpu()).map_or(Cpu(0), |cpu| Cpu(cpu.index))
    }

    fn place_of(&self, cpu: Cpu) -> Option<usize> {
        self.cpus.iter().position(|vcpu| vcpu.index == cpu.0)
    }

    /// The value of a register.
    pub fn register(&mut self, cpu: Cpu, register: &Register) -> Option<u128> {
        let place = self.place_of(cpu)?;
        Some(self.cpus[place].register(&mut self.bus, register))
    }

    /// What entering this does: a value goes into a register.
    pub(crate) fn put_register(&mut self, cpu: Cpu, name: &str, [low, high]: [u64; 2]) {
        let Some((place, register)) = self.place_of(cpu).zip(Register::named(name)) else { return };
        // A selector of nothing leaves all as it is.
        self.cpus[place].set_register(&mut self.bus, register, u128::from(high) << 64 | u128::from(low));
        self.engine.forget_passing();
    }

    /// What entering this does: bytes go into memory, RAM or ROM.
    pub(crate) fn put_memory(&mut self, address: u64, bytes: &[u8]) {
        for (address, byte) in (address..).zip(bytes) {
            if let Some((Target::Ram(at) | Target::Rom(at), _)) = self.bus.memory.find(address, false) {
                self.bus.memory.fill(at, std::slice::from_ref(byte));
            }
        }
    }

    /// Reads memory as a vCPU's page tables have it, up to the first byte that is not there or is a device's: reading that
    /// could change it. Gives how many bytes were read.
    pub fn read_linear(&self, cpu: Cpu, linear: u64, into: &mut [u8]) -> usize {
        let mut done = 0;
        for (at, len) in pieces(linear, into.len()) {
            let Some(physical) = self.memory_at(cpu, at) else { break };
            self.bus.memory.read_bytes(physical, &mut into[done..done + len]);
            done += len;
        }
        done
    }

    /// What has to enter for bytes to be written at a linear address; nothing if some of it is no memory.
    pub fn writes_linear(&self, cpu: Cpu, linear: u64, bytes: &[u8]) -> Option<Vec<Outside>> {
        let mut done = 0;
        let write = |(at, len): (u64, usize)| {
            let piece = bytes.get(done..done + len)?.to_vec();
            done += len;
            Some(Outside::MemoryWrite { address: self.memory_at(cpu, at)?, bytes: piece })
        };
        pieces(linear, bytes.len()).map(write).collect()
    }

    /// The physical address of a linear one, if there is memory.
    fn memory_at(&self, cpu: Cpu, linear: u64) -> Option<u64> {
        let physical = self.cpus.get(self.place_of(cpu)?)?.peek_address(&self.bus, linear)?;
        let found = self.bus.memory.find(physical, false)?.0;
        matches!(found, Target::Ram(_) | Target::Rom(_)).then_some(physical)
    }
}

/// Cuts a range of addresses at pages.
fn pieces(linear: u64, len: usize) -> impl Iterator<Item = (u64, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = linear.wrapping_add(done as u64);
        let piece = (len - done).min((PAGE_SIZE - at % PAGE_SIZE) as usize);
        done += piece;
        (piece > 0).then_some((at, piece))
    })
}
