//! The debugger of a run: a character device with GDB's remote protocol on it.

use super::Control;
use crate::chardev::{ChardevId, HostEvent};
use crate::gdb::Link;

/// The place where a debugger is awaited, and the one that is there.
#[derive(Default)]
pub(super) struct DebuggerLine {
    on: Option<ChardevId>,
    link: Option<Link>,
}

impl DebuggerLine {
    /// Takes an event that is the debugger's; whether it was.
    pub(super) fn takes(&mut self, event: &HostEvent, control: &mut Control) -> bool {
        let Some(on) = self.on else { return false };
        let from = match event {
            HostEvent::Bytes { chardev, .. }
            | HostEvent::Break { chardev }
            | HostEvent::Opened { chardev }
            | HostEvent::Closed { chardev } => *chardev,
            HostEvent::MonitorBytes { .. }
            | HostEvent::MonitorFocus { .. }
            | HostEvent::Request
            | HostEvent::Dump
            | HostEvent::Quit { .. } => return false,
        };
        if from != on {
            return false;
        }
        match event {
            HostEvent::Bytes { data, .. } => {
                let link = self.link.get_or_insert_with(|| Link::open(control));
                let says = link.feed(data, control);
                control.chardevs.write(on, &says);
            }
            HostEvent::Opened { .. } => self.link = Some(Link::open(control)),
            // Nobody is left to be told of breakpoints. The machine stays as it is, as QEMU's does.
            HostEvent::Closed { .. } if self.link.take().is_some() => control.forget_debugger(),
            _ => {}
        }
        true
    }

    /// Takes note of where a debugger is awaited now, and tells the one that is there if the machine has stopped.
    pub(super) fn follow(&mut self, control: &mut Control) {
        if control.take_debugger_moved() {
            self.on = control.debugger_chardev();
            if self.link.take().is_some() {
                control.forget_debugger();
            }
            // Where nobody comes and goes, the debugger is there from the start.
            let alone = self.on.and_then(|on| control.config.chardevs.get(on.0));
            if alone.is_some_and(|chardev| !chardev.backend.has_visitors()) {
                self.link = Some(Link::open(control));
            }
        }
        if let Some((on, link)) = self.on.zip(self.link.as_mut()) {
            let says = link.follow(control);
            control.chardevs.write(on, &says);
        }
    }

    /// The run is over.
    pub(super) fn exited(&mut self, control: &mut Control) {
        if let Some((on, mut link)) = self.on.zip(self.link.take()) {
            let says = link.exited(control);
            control.chardevs.write(on, &says);
        }
    }
}
