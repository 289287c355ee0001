//! A debugger's line: packets out of its bytes, gdbstub's answers, and the news that the machine has stopped.

use super::thread_of;
use crate::chardev::QuitCause;
use crate::debugging::DebugStop;
use crate::run::{Control, RunState};
use gdbstub::common::{Signal, Tid};
use gdbstub::conn::Connection;
use gdbstub::stub::state_machine::GdbStubStateMachine as Machine;
use gdbstub::stub::{DisconnectReason, GdbStub, MultiThreadStopReason};
use gdbstub::target::ext::breakpoints::WatchKind;
use lockstep_cpu::WatchedAccess;
use lockstep_fabric::Cpu;
use std::convert::Infallible;

/// The longest packet: a page of memory in hexadecimal, and room around it.
const PACKET: usize = 0x4000;
/// `#` and two digits.
const TRAILER: usize = 3;
/// Ctrl-C.
const INTERRUPT: u8 = 3;
/// The answer to what the protocol does not provide for, and to packets that are too long.
const REFUSAL: &[u8] = b"$E16#ac";

type Stub = Machine<'static, Control, Replies>;

/// What is to be sent.
#[derive(Default)]
struct Replies(Vec<u8>);

impl Connection for Replies {
    type Error = Infallible;

    fn write(&mut self, byte: u8) -> Result<(), Infallible> {
        self.0.push(byte);
        Ok(())
    }

    fn write_all(&mut self, buf: &[u8]) -> Result<(), Infallible> {
        self.0.extend_from_slice(buf);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// A connected debugger.
pub(crate) struct Link {
    /// Nothing only while it is at work.
    stub: Option<Stub>,
    /// A packet that has not arrived whole, from its `$` on.
    begun: Vec<u8>,
    /// What was sent last, for a debugger that did not get it.
    last: Vec<u8>,
    /// What a new stub has to hear first: which features were agreed on.
    agreed: Vec<Vec<u8>>,
}

impl Link {
    /// A debugger has come: the machine stops for it.
    pub(crate) fn open(control: &mut Control) -> Self {
        control.stop_as(RunState::Paused);
        Self { stub: new_stub(control), begun: Vec::new(), last: Vec::new(), agreed: Vec::new() }
    }

    /// Takes what the debugger sends; gives what it is sent.
    pub(crate) fn feed(&mut self, bytes: &[u8], control: &mut Control) -> Vec<u8> {
        let mut says = Vec::new();
        for byte in bytes {
            says.extend(self.take(*byte, control));
        }
        says.extend(self.follow(control));
        says
    }

    fn take(&mut self, byte: u8, control: &mut Control) -> Vec<u8> {
        if self.begun.is_empty() {
            return match byte {
                b'$' => {
                    self.begun.push(byte);
                    Vec::new()
                }
                b'-' => self.last.clone(),
                INTERRUPT => self.pass(&[byte], control),
                // Acknowledgements, and noise.
                _ => Vec::new(),
            };
        }
        self.begun.push(byte);
        let trailer = self.begun.iter().position(|byte| *byte == b'#');
        let whole = trailer.is_some_and(|at| self.begun.len() >= at + TRAILER);
        if !whole && self.begun.len() < PACKET {
            return Vec::new();
        }
        let packet = std::mem::take(&mut self.begun);
        match checks(&packet) {
            Some(true) => self.pass(&packet, control),
            Some(false) => b"-".to_vec(),
            None => [b"+", REFUSAL].concat(),
        }
    }

    /// Has the stub answer a whole packet.
    fn pass(&mut self, packet: &[u8], control: &mut Control) -> Vec<u8> {
        let mut says = self.drive(packet, control);
        if self.stub.is_some() {
            self.note_agreement(packet);
        } else {
            // It gives up at what it cannot make sense of; the debugger need not notice more than a refusal.
            says.extend(REFUSAL);
            self.stub = new_stub(control);
            for packet in self.agreed.clone() {
                self.drive(&packet, control);
            }
        }
        if says.len() > 1 {
            self.last.clone_from(&says);
        }
        says
    }

    fn note_agreement(&mut self, packet: &[u8]) {
        for beginning in [&b"$qSupported"[..], b"$QStartNoAckMode"] {
            if packet.starts_with(beginning) {
                self.agreed.retain(|known| !known.starts_with(beginning));
                self.agreed.push(packet.to_vec());
            }
        }
    }

    fn drive(&mut self, packet: &[u8], control: &mut Control) -> Vec<u8> {
        let mut says = Vec::new();
        for byte in packet {
            let Some(stub) = self.stub.take() else { break };
            let next = match stub {
                Machine::Idle(stub) => stub.incoming_data(control, *byte),
                Machine::Running(stub) => stub.incoming_data(control, *byte),
                other => Ok(other),
            };
            self.stub = next.ok().and_then(|stub| settled(stub, control, &mut says));
        }
        says
    }

    /// Tells the debugger that the machine has stopped, if it waits for that.
    pub(crate) fn follow(&mut self, control: &mut Control) -> Vec<u8> {
        if control.runs() || !matches!(self.stub, Some(Machine::Running(_))) {
            return Vec::new();
        }
        let reason = reason(control);
        self.report(reason, control)
    }

    /// The machine is over, and so is the debugger's work.
    pub(crate) fn exited(&mut self, control: &mut Control) -> Vec<u8> {
        if matches!(self.stub, Some(Machine::Running(_))) {
            return self.report(MultiThreadStopReason::Exited(0), control);
        }
        b"$W00#b7".to_vec()
    }

    fn report(&mut self, reason: MultiThreadStopReason<u64>, control: &mut Control) -> Vec<u8> {
        let mut says = Vec::new();
        let next = match self.stub.take() {
            Some(Machine::Running(stub)) => stub.report_stop(control, reason).ok(),
            other => other,
        };
        self.stub = next.and_then(|stub| settled(stub, control, &mut says)).or_else(|| new_stub(control));
        self.last.clone_from(&says);
        says
    }
}

fn new_stub(control: &mut Control) -> Option<Stub> {
    let stub = GdbStub::builder(Replies::default()).packet_buffer_size(PACKET).build().ok()?;
    stub.run_state_machine(control).ok()
}

/// Whether a packet's checksum is right; `None` if it has none.
fn checks(packet: &[u8]) -> Option<bool> {
    let end = packet.iter().position(|byte| *byte == b'#')?;
    let sum = packet.get(1..end)?.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    let digits = std::str::from_utf8(packet.get(end + 1..)?).ok()?;
    Some(u8::from_str_radix(digits, 16) == Ok(sum))
}

/// Takes what the stub says, and does what only the machine's operator can.
fn settled(stub: Stub, control: &mut Control, says: &mut Vec<u8>) -> Option<Stub> {
    match stub {
        Machine::Idle(mut stub) => {
            says.append(&mut stub.borrow_conn().0);
            Some(stub.into())
        }
        Machine::Running(mut stub) => {
            says.append(&mut stub.borrow_conn().0);
            Some(stub.into())
        }
        Machine::CtrlCInterrupt(mut stub) => {
            says.append(&mut stub.borrow_conn().0);
            control.stop_as(RunState::Paused);
            // That the machine stands still is told as ever.
            stub.interrupt_handled(control, None::<MultiThreadStopReason<u64>>).ok()
        }
        Machine::Disconnected(mut stub) => {
            says.append(&mut stub.borrow_conn().0);
            match stub.get_reason() {
                DisconnectReason::Disconnect => {
                    control.forget_debugger();
                    // If it cannot run, that has been told.
                    let _ = control.resume();
                }
                DisconnectReason::Kill => {
                    eprintln!("lockstep: ended by the debugger");
                    control.quit(QuitCause::Debugger);
                }
                DisconnectReason::TargetExited(_) | DisconnectReason::TargetTerminated(_) => {}
            }
            Some(stub.return_to_idle())
        }
    }
}

/// Why the machine has stopped: signals as QEMU chooses them.
fn reason(control: &mut Control) -> MultiThreadStopReason<u64> {
    let in_turn = control.board.machine.cpu_in_turn();
    let signal = |cpu, signal| MultiThreadStopReason::SignalWithThread { tid: thread(cpu), signal };
    match control.debugger.stop.take().filter(|_| control.state() == RunState::Debug) {
        Some(DebugStop::Step(cpu)) => return signal(cpu, Signal::SIGTRAP),
        Some(DebugStop::Breakpoint(cpu)) => return at_breakpoint(control, cpu),
        Some(DebugStop::Watchpoint(cpu, point)) => {
            let kind = match point.access {
                WatchedAccess::Write => WatchKind::Write,
                WatchedAccess::Read => WatchKind::Read,
                WatchedAccess::Any => WatchKind::ReadWrite,
            };
            return MultiThreadStopReason::Watch { tid: thread(cpu), kind, addr: point.linear };
        }
        None => {}
    }
    let over = control.board.machine.ended().is_some();
    signal(
        in_turn,
        match control.state() {
            _ if over => Signal::SIGQUIT,
            RunState::Debug => Signal::SIGTRAP,
            RunState::Paused | RunState::Running => Signal::SIGINT,
            RunState::IoError => Signal::SIGIO,
            RunState::Watchdog => Signal::SIGALRM,
            RunState::Prelaunch | RunState::GuestPanicked => Signal::UNKNOWN,
        },
    )
}

fn at_breakpoint(control: &Control, cpu: Cpu) -> MultiThreadStopReason<u64> {
    let vcpu = control.board.machine.cpus.iter().find(|vcpu| vcpu.index == cpu.0);
    let at = vcpu.map(lockstep_cpu::Vcpu::program_counter);
    if at.is_some_and(|at| control.debugger.hardware.contains(&at)) {
        MultiThreadStopReason::HwBreak(thread(cpu))
    } else {
        MultiThreadStopReason::SwBreak(thread(cpu))
    }
}

fn thread(cpu: Cpu) -> Tid {
    Tid::MIN.saturating_add(thread_of(cpu) - 1)
}
