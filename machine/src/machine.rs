//! The machine: vCPUs that take turns on one thread, the bus, the gate, and the loop that drives them.

mod drives;
mod power;
mod saved;

use crate::block::Loaded;
use crate::block::queue::{Due, Fault, Queue};
use crate::debugging::{DebugStop, Debugging};
use crate::plug::Parts;
use lockstep_cpu::state::{Activity, Rflags};
use lockstep_cpu::{Engine, Tracer, Vcpu, Why};
use lockstep_fabric::{
    Acknowledge, Actions, BlockCompletion, Bus, Cpu, CpuSignal, DeviceId, Gate, Input, MachineRequest, Notice, Output,
    Outside, PanicAction, PinId, Space, Tick, WakeReason, WatchdogAction, Width,
};
use serde::{Deserialize, Serialize};

/// How many ticks a vCPU runs before the next one's turn.
const TURN: Tick = 20_000;

/// How long RESET# is held. A guest that resets at its first instruction takes time too, so that runs come to their end.
const RESET_TICKS: Tick = 1_000;

/// The exit status after a panic, where that is to be a failure.
const EXIT_PANICKED: i32 = 1;

/// Why the machine is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// The guest turned the power off.
    PowerOff,
    /// The guest asked for a reset, or a vCPU shut down (triple fault), and resets end the run.
    Reset,
    /// A device ended the emulator with this status.
    Exit(i32),
}

/// In whose name the operator's port accesses are made.
const OPERATOR: Cpu = Cpu(0);

/// The gate is closed: a recording is being replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a recording is being replayed: nothing from outside reaches the guest")]
pub struct CutOff;

/// Why [`Machine::run`] returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The tick asked for is reached.
    Reached,
    /// Every vCPU is halted until this tick (never: [`Tick::MAX`]); go on with [`Machine::skip_to`].
    Idle(Tick),
    /// Something was sent out of the machine: see [`Machine::take_output`].
    Output,
    /// The host could not do a request to a drive whose policy is to stop (QEMU's BLOCK_IO_ERROR with action `stop`). No
    /// guest time passes; running on tries the request again.
    Fault(Fault),
    /// A debugger wants to stop here. Running on changes nothing that the guest can see.
    Debug(DebugStop),
    /// The machine is over.
    Ended(Ending),
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    cpu: usize,
    left: Tick,
}

/// Puts memory and the first vCPU back to where a reset starts from (firmware images, a kernel placed directly).
pub trait Boot: Send {
    /// Called after every device and vCPU was reset.
    fn place(&self, bus: &mut Bus, cpus: &mut [Vcpu]);
    /// Called after every device and vCPU was reset because the machine wakes up: RAM is the guest's.
    fn resume(&self, bus: &mut Bus, cpus: &mut [Vcpu]);
}

/// A whole machine.
pub struct Machine {
    /// Memory, devices and the clock.
    pub bus: Bus,
    /// The vCPUs that are there, in the order of their numbers.
    pub cpus: Vec<Vcpu>,
    /// Where everything from outside enters.
    pub gate: Gate,
    pub(crate) blocks: Queue,
    pub(crate) engine: Engine,
    pub(crate) turn: Turn,
    wiring: Interrupts,
    boot: Box<dyn Boot>,
    resets_end: bool,
    output: Vec<(DeviceId, Vec<u8>)>,
    port_output: Vec<(DeviceId, u32, Vec<u8>)>,
    notices: Vec<(DeviceId, Notice)>,
    ended: Option<Ending>,
    /// How often the guest has reset the machine since someone asked.
    resets: u32,
    actions: Actions,
    /// Suspended to RAM: no vCPU executes.
    asleep: bool,
    /// What the next [`Outside::Medium`] puts into its drive.
    loaded: Option<Loaded>,
    /// The machine wants to be stopped, and [`Machine::run`] has not said so yet.
    pausing: bool,
    /// The machine wants to be stopped.
    pause: bool,
    /// What can come and go.
    pub(crate) parts: Option<Parts>,
    pub(crate) debugging: Debugging,
}

/// The interrupt controllers that vCPUs ask.
#[derive(Clone, Copy, Debug)]
pub struct Interrupts {
    /// The local APICs.
    pub local: DeviceId,
    /// The 8259 pair.
    pub external: DeviceId,
    /// Where the first vCPU's FERR# goes.
    pub numeric_errors: (DeviceId, PinId),
    /// Where non-maskable interrupts go.
    pub nmi: (DeviceId, PinId),
    /// The device that takes the power button and decides what wakes a machine that is asleep.
    pub power_button: DeviceId,
}

impl Turn {
    /// The place of the vCPU whose turn it is.
    pub(crate) fn cpu(self) -> usize {
        self.cpu
    }

    /// A vCPU was put in before others.
    pub(crate) fn inserted(&mut self, at: usize) {
        if at <= self.cpu {
            self.cpu += 1;
        }
    }

    /// A vCPU that is not the first was taken out.
    pub(crate) fn removed(&mut self, at: usize) {
        if at == self.cpu {
            self.left = 0;
        }
        if at <= self.cpu {
            self.cpu = self.cpu.saturating_sub(1);
        }
    }
}

impl Machine {
    /// A machine of these parts, as it comes out of reset.
    pub fn new(bus: Bus, cpus: Vec<Vcpu>, wiring: Interrupts, boot: Box<dyn Boot>, resets_end: bool) -> Self {
        let mut machine = Self {
            bus,
            cpus,
            gate: Gate::new(),
            blocks: Queue::default(),
            engine: Engine::default(),
            turn: Turn { cpu: 0, left: TURN },
            wiring,
            boot,
            resets_end,
            output: Vec::new(),
            port_output: Vec::new(),
            notices: Vec::new(),
            ended: None,
            resets: 0,
            actions: Actions::default(),
            asleep: false,
            loaded: None,
            pausing: false,
            pause: false,
            parts: None,
            debugging: Debugging::default(),
        };
        machine.reset();
        machine
    }

    /// Shows `tracer` exceptions, and every instruction if asked; nothing that the guest can see changes.
    pub fn set_tracer(&mut self, tracer: Option<Tracer>, each_instruction: bool) {
        self.engine.set_tracer(tracer, each_instruction);
    }

    /// Has every instruction interpreted; nothing that the guest can see changes.
    pub fn interpret_only(&mut self) {
        self.engine.drop_blocks(&mut self.bus);
        self.engine = Engine::interpreter();
    }

    /// The present.
    pub fn now(&self) -> Tick {
        self.bus.clock.now()
    }

    /// Says whether a reset that the guest asks for ends the machine.
    pub fn set_resets_end(&mut self, end: bool) {
        self.resets_end = end;
    }

    /// How often the guest has reset the machine since this was last asked.
    pub fn take_resets(&mut self) -> u32 {
        std::mem::take(&mut self.resets)
    }

    /// How the machine ended, if it has.
    pub fn ended(&self) -> Option<Ending> {
        self.ended
    }

    /// Runs up to `until`, or until something else comes up. Slices change nothing that the guest can see.
    pub fn run(&mut self, until: Tick) -> Stop {
        loop {
            self.admit();
            let fault = self.complete_requests();
            self.take_signals();
            self.collect();
            if let Some(ending) = self.ended {
                return Stop::Ended(ending);
            }
            if std::mem::take(&mut self.pausing) || !self.output.is_empty() || !self.port_output.is_empty() {
                return Stop::Output;
            }
            if let Some(fault) = fault {
                return Stop::Fault(fault);
            }
            if let Some(stop) = self.debugging.take_stop() {
                return Stop::Debug(stop);
            }
            let now = self.now();
            if now >= until {
                return Stop::Reached;
            }
            let next = self.bus.clock.next_deadline().min(self.gate.horizon()).min(self.blocks.next_due());
            let Some(index) = self.whose_turn() else {
                if next >= until || next > now {
                    return Stop::Idle(next);
                }
                self.bus.advance(now);
                continue;
            };
            let limit = next.min(until);
            if limit <= now {
                self.bus.advance(now);
                continue;
            }
            self.execute(index, (limit - now).min(self.turn.left));
        }
    }

    /// Lets the time of an idle machine pass up to `tick`.
    pub fn skip_to(&mut self, tick: Tick) {
        self.bus.advance(tick.max(self.now()));
        // As in `run`, what was due by now comes before what may yet enter through the gate. A fault stays for `run`.
        let _ = self.complete_requests();
        self.take_signals();
    }

    /// Runs up to `until` without ever pausing for the host, dropping the idle time: for tests and replay.
    /// Output is collected as with [`Machine::run`].
    pub fn run_through(&mut self, until: Tick) -> Stop {
        loop {
            match self.run(until) {
                Stop::Idle(next) => self.skip_to(next.min(until)),
                stop => return stop,
            }
        }
    }

    /// Something arrives for a device from a live source; false if live sources are cut off.
    pub fn arrive(&mut self, device: DeviceId, input: Input) -> bool {
        self.enter(Outside::Input { device, input }).is_ok()
    }

    /// Something enters through the gate and takes effect at once, since between two runs no vCPU is within an
    /// instruction. Gives what a port read found.
    pub fn enter(&mut self, what: Outside) -> Result<Option<u64>, CutOff> {
        if !self.gate.arrive(self.now(), what) {
            return Err(CutOff);
        }
        Ok(self.admit())
    }

    /// Takes what devices sent to their character devices, in order.
    pub fn take_output(&mut self) -> Vec<(DeviceId, Vec<u8>)> {
        std::mem::take(&mut self.output)
    }

    /// Takes what devices of several ports sent to the character devices behind these, in order.
    pub fn take_port_output(&mut self) -> Vec<(DeviceId, u32, Vec<u8>)> {
        std::mem::take(&mut self.port_output)
    }

    /// Whether the machine wants to be stopped since last time: a watchdog bit or the guest panicked, and the operator chose
    /// that. Running on all the same changes nothing that the guest can see.
    pub fn take_pause(&mut self) -> bool {
        std::mem::take(&mut self.pause)
    }

    /// What the machine does when a watchdog bites or the guest panics.
    pub fn actions(&self) -> Actions {
        self.actions
    }

    /// Sets what the machine does, before it runs. Afterwards such a choice is the operator's and comes through the gate.
    pub fn set_actions(&mut self, actions: Actions) {
        self.actions = actions;
    }

    /// How many bytes a port takes now without losing any.
    pub fn room(&mut self, device: DeviceId, port: u32) -> usize {
        self.bus.with(device, |device, _| device.room(port)).unwrap_or(0)
    }

    /// Takes the devices' news, in order.
    pub fn take_notices(&mut self) -> Vec<(DeviceId, Notice)> {
        std::mem::take(&mut self.notices)
    }

    fn execute(&mut self, index: usize, budget: Tick) {
        let start = self.now();
        let Some(cpu) = self.cpus.get_mut(index) else { return };
        cpu.activity = Activity::Running;
        // A step is a run of one tick, and runs cut into any slices end in the same state.
        let budget = if self.debugging.steps(cpu.index) { budget.min(1) } else { budget };
        let exit = self.engine.run(cpu, &mut self.bus, budget);
        self.turn.left -= exit.retired.min(self.turn.left);
        // Asked apart from why the run ended: a budget that ends with the same instruction must not hide it.
        if std::mem::take(&mut cpu.yields) {
            self.turn.left = 0;
        }
        let error = index == 0 && cpu.fpu.take_error();
        self.debugging.note(cpu, exit);
        self.bus.advance(start + exit.retired);
        if error {
            let (device, pin) = self.wiring.numeric_errors;
            self.bus.drive(device, pin, true);
        }
        match exit.why {
            Why::Interrupt => self.take_interrupt(index),
            Why::Stopped if self.cpus[index].activity == Activity::Shutdown => self.act(MachineRequest::Reset),
            Why::Budget
            | Why::Access
            | Why::Yield
            | Why::Stopped
            | Why::Breakpoint
            | Why::Watchpoint
            | Why::Exception => {}
        }
    }

    fn take_interrupt(&mut self, index: usize) {
        let number = Cpu(self.cpus[index].index);
        let answer = match self.bus.acknowledge(self.wiring.local, number) {
            Acknowledge::External => self.bus.acknowledge(self.wiring.external, number),
            answer => answer,
        };
        self.take_signals();
        match answer {
            Acknowledge::Vector(vector) => {
                let cpu = &mut self.cpus[index];
                cpu.tick = self.bus.clock.now();
                cpu.interrupt(&mut self.bus, vector);
                if cpu.activity == Activity::Shutdown {
                    self.act(MachineRequest::Reset);
                }
            }
            // The request went away before it was acknowledged.
            Acknowledge::Nothing | Acknowledge::External => self.cpus[index].interrupt_line = false,
        }
    }

    /// The vCPU that runs next; a halted one that an interrupt wakes counts.
    fn whose_turn(&mut self) -> Option<usize> {
        if self.asleep {
            return None;
        }
        let count = self.cpus.len();
        if self.turn.left > 0 && self.cpus.get(self.turn.cpu).is_some_and(runnable) {
            return Some(self.turn.cpu);
        }
        let next = (1..=count).map(|i| (self.turn.cpu + i) % count).find(|i| runnable(&self.cpus[*i]))?;
        self.turn = Turn { cpu: next, left: TURN };
        Some(next)
    }

    /// Lets in what is due; gives what the last port read among it found.
    fn admit(&mut self) -> Option<u64> {
        let mut found = None;
        while let Some(arrival) = self.gate.take(self.now()) {
            match arrival.what {
                Outside::Input { device, input } => self.bus.input(device, &input),
                Outside::Reset => self.act(MachineRequest::Reset),
                Outside::Medium { device, drive, .. } => self.exchange_medium(device, drive),
                Outside::Resize { device, drive, bytes } => self.resized(device, drive, bytes),
                Outside::Throttle { group, limits } => self.blocks.throttle(&self.bus.clock, &group, limits),
                Outside::ThrottleDrive { device, drive, group } => {
                    self.blocks.throttle_drive(&self.bus.clock, device, drive, group);
                }
                Outside::Plug { device } => {
                    // What cannot be plugged was refused before it came here.
                    let _ = self.plug_in(&device);
                }
                Outside::Nmi => self.inject_nmi(),
                Outside::Wake => self.act(MachineRequest::WakeEvent(WakeReason::Operator)),
                Outside::WatchdogAction(action) => self.actions.watchdog = action,
                Outside::PanicAction(action) => self.actions.panic = action,
                Outside::PortRead { port, width } => found = Some(self.read_port(port, width)),
                Outside::PortWrite { port, width, value } => {
                    // What nothing claims is dropped, as with OUT.
                    let _ = self.bus.write(Space::Io, port.into(), width, value & width.mask(), OPERATOR);
                }
                Outside::MemoryWrite { address, bytes } => self.put_memory(address, &bytes),
                Outside::Register { cpu, register, value } => self.put_register(cpu, &register, value),
            }
            // An arrival's effects are complete before the next one's begin, however closely they follow.
            self.take_signals();
            self.collect();
        }
        found
    }

    fn read_port(&mut self, port: u16, width: Width) -> u64 {
        self.bus.read(Space::Io, port.into(), width, OPERATOR).unwrap_or(u64::MAX) & width.mask()
    }

    /// Tells devices which of their requests are done, up to the first that stops the machine.
    fn complete_requests(&mut self) -> Option<Fault> {
        loop {
            match self.blocks.complete(self.now())? {
                Due::Done(device, completion) => self.complete(device, completion),
                Due::Ready { device, drive, tag } => {
                    let spans = self.bus.with(device, |device, _| device.placement(drive, tag)).flatten();
                    if let Some((device, completion)) = self.blocks.place(spans.as_deref(), &mut self.bus.memory) {
                        self.complete(device, completion);
                    }
                }
                Due::Fault(fault) => return Some(fault),
            }
        }
    }

    fn complete(&mut self, device: DeviceId, completion: BlockCompletion) {
        let input = Input::Block(completion);
        self.bus.input(device, &input);
        if let Input::Block(completion) = input {
            self.blocks.recycle(completion);
        }
    }

    fn take_signals(&mut self) {
        for (cpu, signal) in self.bus.take_signals() {
            let Some(vcpu) = self.cpus.iter_mut().find(|vcpu| vcpu.index == cpu.0) else { continue };
            match signal {
                CpuSignal::Interrupt(level) => vcpu.interrupt_line = level,
                CpuSignal::Nmi => vcpu.nmi_pending = true,
                CpuSignal::IgnoreNumericErrors => vcpu.fpu.ignore_error(),
                CpuSignal::Init => {
                    vcpu.init();
                    if cpu.0 != 0 {
                        vcpu.activity = Activity::WaitForStartup;
                    }
                }
                CpuSignal::Startup(page) => vcpu.startup(page),
            }
        }
    }

    fn collect(&mut self) {
        while self.bus.has_output() {
            self.collect_once();
            // What the machine does in the operator's name reaches devices and vCPUs before any time passes.
            self.take_signals();
        }
    }

    fn collect_once(&mut self) {
        for (device, output) in self.bus.take_output() {
            match output {
                Output::Bytes(bytes) => match self.output.last_mut() {
                    Some((last, held)) if *last == device => held.extend(bytes),
                    _ => self.output.push((device, bytes)),
                },
                Output::PortBytes { port, bytes } => self.port_output.push((device, port, bytes)),
                Output::Notice(notice) => self.notices.push((device, notice)),
                // What bites in a sleep would have no power in it.
                Output::Machine(MachineRequest::Watchdog) if self.asleep => {}
                Output::Machine(request) => {
                    self.tell_of(device, request);
                    self.act(request);
                    if self.ended.is_some() {
                        return;
                    }
                }
                Output::Block(request) => self.blocks.submit(&self.bus.clock, device, request),
            }
        }
    }

    fn act(&mut self, request: MachineRequest) {
        match request {
            MachineRequest::Reset if self.resets_end => self.ended = Some(Ending::Reset),
            MachineRequest::Reset => {
                self.ended = None;
                self.resets = self.resets.saturating_add(1);
                let now = self.now();
                self.bus.advance(now + RESET_TICKS);
                self.reset();
            }
            MachineRequest::PowerOff => self.ended = Some(Ending::PowerOff),
            MachineRequest::Exit(status) => self.ended = Some(Ending::Exit(status)),
            MachineRequest::Eject(device) => self.take_out(device),
            MachineRequest::EjectCpu(cpu) => self.take_out_processor(cpu.0),
            MachineRequest::Suspend => self.asleep = true,
            MachineRequest::WakeEvent(reason) if self.asleep => {
                self.bus.input(self.wiring.power_button, &Input::WakeEvent(reason));
            }
            MachineRequest::Wake if self.asleep => self.wake(),
            MachineRequest::WakeEvent(_) | MachineRequest::Wake => {}
            MachineRequest::Watchdog => match self.actions.watchdog {
                WatchdogAction::Reset => self.act(MachineRequest::Reset),
                WatchdogAction::Shutdown => self.bus.input(self.wiring.power_button, &Input::PowerButton),
                WatchdogAction::Poweroff => self.act(MachineRequest::PowerOff),
                WatchdogAction::Pause => self.want_pause(),
                WatchdogAction::Debug | WatchdogAction::None => {}
                WatchdogAction::InjectNmi => self.inject_nmi(),
            },
            MachineRequest::GuestPanicked => match self.actions.panic {
                PanicAction::Pause => self.want_pause(),
                PanicAction::Shutdown => self.act(MachineRequest::PowerOff),
                PanicAction::ExitFailure => self.act(MachineRequest::Exit(EXIT_PANICKED)),
                PanicAction::None => {}
            },
        }
    }

    /// Those outside learn of what the machine does in the operator's name, before it does.
    fn tell_of(&mut self, device: DeviceId, request: MachineRequest) {
        match request {
            MachineRequest::Watchdog => self.notices.push((device, Notice::Watchdog(self.actions.watchdog))),
            MachineRequest::GuestPanicked => self.notices.push((device, Notice::GuestPanicked(self.actions.panic))),
            MachineRequest::Suspend if !self.asleep => self.notices.push((device, Notice::Suspended)),
            MachineRequest::Wake if self.asleep => self.notices.push((device, Notice::Woken)),
            MachineRequest::Reset
            | MachineRequest::PowerOff
            | MachineRequest::Suspend
            | MachineRequest::WakeEvent(_)
            | MachineRequest::Wake
            | MachineRequest::Exit(_)
            | MachineRequest::Eject(_)
            | MachineRequest::EjectCpu(_) => {}
        }
    }

    fn want_pause(&mut self) {
        (self.pausing, self.pause) = (true, true);
    }

    /// An edge on the line that every vCPU's local APIC has for it.
    fn inject_nmi(&mut self) {
        let (device, pin) = self.wiring.nmi;
        for level in [true, false] {
            self.bus.input(device, &Input::Pin { pin, level });
        }
    }
}

/// Whether a vCPU can execute: it runs, or an interrupt wakes it.
fn runnable(cpu: &Vcpu) -> bool {
    match cpu.activity {
        Activity::Running => true,
        Activity::Halted => {
            cpu.interrupt_line && cpu.flags.has(Rflags::IF)
                || cpu.nmi_pending && !cpu.nmi_blocked
                || cpu.debug_trap != 0
        }
        Activity::WaitForStartup | Activity::Shutdown => false,
    }
}
