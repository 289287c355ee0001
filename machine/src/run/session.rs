//! A run: the machine, the host's ends of its character devices, and its monitors.

use super::debugger::DebuggerLine;
use super::lines::Lines;
use super::qmp::Qmp;
use super::{Control, Ended, ExitStatus, RunError, RunState, news};
use crate::chardev::{ChardevId, Chardevs, HostEvent, Patience, QuitCause};
use crate::commandline::Config;
use crate::digest::{Digest, Digester};
use crate::machine::Ending;
use crate::monitor::Monitor;
use crate::record::{DIGEST_EVERY, Entry};
use crate::terminal::signals;
use lockstep_fabric::{DeviceId, Input, Notice, Tick};
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// Ticks between two looks at what the host has to say.
pub(super) const POLL_EVERY: Tick = 1 << 15;

/// How long a user who leaves waits for output to be taken.
const PARTING: Duration = Duration::from_millis(500);

/// A machine in use.
pub(super) struct Session {
    pub(super) control: Control,
    pub(super) digester: Digester,
    pub(super) next_digest: Tick,
    pub(super) events: Receiver<HostEvent>,
    attached: Vec<(DeviceId, ChardevId)>,
    lines: Lines,
    monitors: Vec<(ChardevId, Monitor)>,
    pub(super) qmp: Qmp,
    pub(super) debugger: DebuggerLine,
}

impl Session {
    pub(super) fn new(mut control: Control, chardevs: Chardevs, events: Receiver<HostEvent>, qmp: Qmp) -> Self {
        let ports = control.board.ports.iter();
        let attached: Vec<_> = ports.filter_map(|(device, name)| Some((*device, chardevs.id(name)?))).collect();
        let named = control.config.monitors.iter().filter_map(|name| chardevs.id(name));
        let lines = Lines::new(&control.board.serial_ports, &chardevs);
        let shared = |id| attached.iter().any(|(_, other)| *other == id) || lines.uses(id);
        let monitors = named.map(|id| (id, Monitor::new(shared(id)))).collect();
        let next_digest = if control.records() { DIGEST_EVERY } else { Tick::MAX };
        control.chardevs = chardevs;
        let debugger = DebuggerLine::default();
        let mut session = Self {
            control,
            digester: Digester::default(),
            next_digest,
            events,
            attached,
            lines,
            monitors,
            qmp,
            debugger,
        };
        session.debugger.follow(&mut session.control);
        session.greet();
        session
    }

    /// Opens the monitors whose user is there already.
    fn greet(&mut self) {
        for (id, monitor) in &mut self.monitors {
            if !waits_for_client(&self.control.config, *id) {
                self.control.chardevs.write(*id, &monitor.open());
            }
        }
    }

    /// Handles what has happened on the host since last time.
    pub(super) fn take_events(&mut self) -> Result<(), RunError> {
        while let Ok(event) = self.events.try_recv() {
            self.handle(event)?;
        }
        Ok(())
    }

    /// Waits for something to happen on the host, and handles it.
    pub(super) fn await_event(&mut self) -> Result<(), RunError> {
        match self.events.recv() {
            Ok(event) => self.handle(event),
            // Nobody is left who could ever say anything.
            Err(_) => {
                self.control.quit(QuitCause::Key);
                Ok(())
            }
        }
    }

    pub(super) fn handle(&mut self, event: HostEvent) -> Result<(), RunError> {
        match event {
            event if self.debugger.takes(&event, &mut self.control) => {}
            HostEvent::Bytes { chardev, data } => {
                if !self.lines.arrive(chardev, &data) {
                    self.arrive(chardev, Input::Bytes(data));
                }
            }
            HostEvent::Break { chardev } => self.arrive(chardev, Input::Break),
            HostEvent::Quit { cause } => self.control.quit(cause),
            HostEvent::Request => self.qmp.serve(&mut self.control),
            // It is served between slices: here it only wakes.
            HostEvent::Dump => {}
            HostEvent::MonitorBytes { chardev, data } => {
                self.with_monitor(chardev, |monitor, control| monitor.feed(&data, control));
            }
            HostEvent::MonitorFocus { chardev, focused } => {
                self.with_monitor(chardev, |monitor, _| monitor.focus(focused));
            }
            HostEvent::Opened { chardev } => {
                self.lines.opened(&mut self.control, chardev, true);
                self.with_monitor(chardev, |monitor, _| monitor.open());
            }
            HostEvent::Closed { chardev } => {
                self.feed_ports();
                self.lines.opened(&mut self.control, chardev, false);
            }
        }
        self.feed_ports();
        self.pass_output();
        // What the operator does to a stopped machine can have devices tell something, and nothing else may come for long.
        self.pass_news();
        self.debugger.follow(&mut self.control);
        self.qmp.tell(&mut self.control);
        Ok(self.control.check_log()?)
    }

    /// Gives ports what waits for them, as far as the guest has made room; whether that was anything.
    pub(super) fn feed_ports(&mut self) -> bool {
        self.lines.feed(&mut self.control)
    }

    /// Something for the device behind a character device; a replayed one hears nothing.
    fn arrive(&mut self, from: ChardevId, input: Input) {
        if let Some((device, _)) = self.attached.iter().find(|(_, c)| *c == from) {
            let _ = self.control.input(*device, input);
        }
    }

    fn with_monitor(&mut self, on: ChardevId, call: impl FnOnce(&mut Monitor, &mut Control) -> Vec<u8>) {
        if let Some((id, monitor)) = self.monitors.iter_mut().find(|(id, _)| *id == on) {
            let says = call(monitor, &mut self.control);
            self.control.chardevs.write(*id, &says);
        }
    }

    pub(super) fn pass_output(&mut self) {
        for (device, bytes) in self.control.board.machine.take_output() {
            for (_, chardev) in self.attached.iter().filter(|(d, _)| *d == device) {
                self.control.chardevs.write(*chardev, &bytes);
            }
        }
        for (device, port, bytes) in self.control.board.machine.take_port_output() {
            if let Some(chardev) = self.lines.behind(device, port) {
                self.control.chardevs.write(chardev, &bytes);
            }
        }
    }

    /// Takes note of devices that came and went; whether any went.
    pub(super) fn follow_plugging(&mut self) -> bool {
        let any = self.control.follow_plugging();
        self.lines.follow(&mut self.control);
        any
    }

    /// Tells the user and QMP's clients what devices have to tell, and stops the machine if it wants that; whether there
    /// was anything.
    pub(super) fn pass_news(&mut self) -> bool {
        let mut state = RunState::Paused;
        let news = self.control.board.machine.take_notices();
        let any = !news.is_empty() | self.follow_plugging();
        for (device, notice) in news {
            if let Some(line) = news::line_of(notice) {
                eprintln!("lockstep: {line}");
            }
            news::tell(&mut self.control, device, notice);
            match notice {
                Notice::Watchdog(_) => state = RunState::Watchdog,
                Notice::GuestPanicked(_) => state = RunState::GuestPanicked,
                Notice::PortOpen { .. }
                | Notice::Balloon(_)
                | Notice::Tray { .. }
                | Notice::SlotStatus { .. }
                | Notice::ClockSet(_)
                | Notice::Suspended
                | Notice::SuspendedToDisk
                | Notice::Woken
                | Notice::GuestCrashLoaded => {}
            }
        }
        if self.control.board.machine.take_pause() {
            self.control.stop_as(state);
        }
        any
    }

    /// Serves a dump that is being written, and shows who asked for it how far it is.
    pub(super) fn serve_dump(&mut self) {
        self.control.serve_dump();
        for (id, monitor) in &mut self.monitors {
            let says = monitor.follow_dump(&self.control.dumps);
            if !says.is_empty() {
                self.control.chardevs.write(*id, &says);
            }
        }
    }

    /// Sees a dump that is being written to its end, unless the user leaves.
    fn complete_dump(&mut self) -> Result<(), RunError> {
        while self.control.dumps.in_progress() && self.control.quitting().is_none() {
            self.serve_dump();
            if self.control.dump_is_due() {
                self.take_events()?;
            } else if self.control.dumps.in_progress() {
                self.await_event()?;
            }
        }
        Ok(())
    }

    /// Closes everything in order and says how it went.
    pub(super) fn finish(mut self, mut ended: Result<Ended, RunError>) -> Result<ExitStatus, RunError> {
        // A guest that has come to its end does not take a dump with it that was begun before.
        if matches!(ended, Ok(Ended::Guest(_) | Ended::LogEnds))
            && let Err(error) = self.complete_dump()
        {
            ended = Err(error);
        }
        self.control.cancel_dump();
        let patience = match &ended {
            Ok(Ended::Host(_)) => Patience::Limited(PARTING),
            _ => Patience::Forever,
        };
        let last = self.last_digest(&ended)?;
        self.debugger.exited(&mut self.control);
        self.qmp.tell(&mut self.control);
        self.qmp.shut_down();
        std::mem::take(&mut self.control.chardevs).flush_and_close(patience);
        let ended = ended?;
        if let (Some(digest), true) = (last, self.control.config.digest) {
            eprintln!("digest {digest}");
        }
        Ok(match ended {
            Ended::Guest(Ending::Exit(status)) => ExitStatus(status as u8),
            Ended::Guest(Ending::PowerOff | Ending::Reset)
            | Ended::LogEnds
            | Ended::Host(QuitCause::Key | QuitCause::Monitor | QuitCause::Qmp | QuitCause::Debugger) => ExitStatus(0),
            Ended::Host(QuitCause::Signal(signal)) => {
                eprintln!("lockstep: ended by {}", signals::name(signal));
                ExitStatus(0)
            }
        })
    }

    /// The digest at the end, if anyone wants it; it is the log's last line.
    fn last_digest(&mut self, ended: &Result<Ended, RunError>) -> Result<Option<Digest>, RunError> {
        if ended.is_err() || !(self.control.config.digest || self.control.records()) {
            return Ok(None);
        }
        let digest = self.digester.digest(&mut self.control.board.machine)?;
        let Digest { tick, hash } = digest;
        let ending = self.control.board.machine.ended();
        self.control.log(&Entry::End { tick, ending, hash: format!("{hash:032x}") });
        self.control.check_log()?;
        Ok(Some(digest))
    }
}

/// Whether the character device is a socket, whose client is announced by [`HostEvent::Opened`].
fn waits_for_client(config: &Config, id: ChardevId) -> bool {
    config.chardevs.get(id.0).is_some_and(|chardev| chardev.backend.has_visitors())
}
