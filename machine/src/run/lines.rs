//! The host ends of virtio console ports: what has arrived for them and waits for the guest to make room, as it does until
//! a program there opens the port.

use super::Control;
use crate::board::SerialPort;
use crate::chardev::{ChardevId, Chardevs};
use lockstep_fabric::{DeviceId, Input};
use std::collections::{BTreeSet, VecDeque};

/// The most bytes that go to the guest at once: one line of the log.
const PIECE: usize = 4096;

/// A port with its character device.
struct Line {
    port: SerialPort,
    chardev: ChardevId,
    waiting: VecDeque<u8>,
}

impl Line {
    /// A port's line, if it has a character device.
    fn of(port: &SerialPort, chardevs: &Chardevs) -> Option<Self> {
        let chardev = chardevs.id(port.chardev.as_deref()?)?;
        Some(Self { port: port.clone(), chardev, waiting: VecDeque::new() })
    }
}

/// All ports that have a character device.
pub(super) struct Lines {
    lines: Vec<Line>,
    /// The character devices that have a client.
    visited: BTreeSet<ChardevId>,
}

impl Lines {
    pub(super) fn new(ports: &[SerialPort], chardevs: &Chardevs) -> Self {
        let lines = ports.iter().filter_map(|port| Line::of(port, chardevs));
        Self { lines: lines.collect(), visited: BTreeSet::new() }
    }

    /// Follows the ports that came and went.
    pub(super) fn follow(&mut self, control: &mut Control) {
        let ports = &control.board.serial_ports;
        self.lines.retain(|line| ports.contains(&line.port));
        let is_new = |port: &&SerialPort| self.lines.iter().all(|line| line.port != **port);
        let new: Vec<_> = ports.iter().filter(is_new).filter_map(|port| Line::of(port, &control.chardevs)).collect();
        for line in new {
            let Line { port, chardev, .. } = &line;
            if !port.console && self.visited.contains(chardev) {
                let _ = control.input(port.device, Input::PortOpen { port: port.number, open: true });
            }
            self.lines.push(line);
        }
    }

    /// Whether a port is behind this character device.
    pub(super) fn uses(&self, chardev: ChardevId) -> bool {
        self.lines.iter().any(|line| line.chardev == chardev)
    }

    /// The character device behind a port.
    pub(super) fn behind(&self, device: DeviceId, number: u32) -> Option<ChardevId> {
        let line = self.lines.iter().find(|line| (line.port.device, line.port.number) == (device, number));
        line.map(|line| line.chardev)
    }

    /// Bytes arrive; false if no port is behind the character device.
    pub(super) fn arrive(&mut self, chardev: ChardevId, bytes: &[u8]) -> bool {
        let line = self.lines.iter_mut().find(|line| line.chardev == chardev);
        line.map(|line| line.waiting.extend(bytes)).is_some()
    }

    /// A client came or left. A console is open all the time, and what arrived before the client left still goes in.
    pub(super) fn opened(&mut self, control: &mut Control, chardev: ChardevId, open: bool) {
        if open {
            self.visited.insert(chardev);
        } else {
            self.visited.remove(&chardev);
        }
        for line in self.lines.iter().filter(|line| line.chardev == chardev && !line.port.console) {
            let _ = control.input(line.port.device, Input::PortOpen { port: line.port.number, open });
        }
    }

    /// Gives the guest what it has room for; whether that was anything. A replayed one hears nothing.
    pub(super) fn feed(&mut self, control: &mut Control) -> bool {
        let mut fed = false;
        for Line { port, waiting, .. } in self.lines.iter_mut().filter(|line| !line.waiting.is_empty()) {
            loop {
                let room = control.board.machine.room(port.device, port.number).min(PIECE).min(waiting.len());
                if room == 0 {
                    break;
                }
                let bytes = waiting.drain(..room).collect();
                match control.input(port.device, Input::PortBytes { port: port.number, bytes }) {
                    Ok(()) => fed = true,
                    Err(_) => waiting.clear(),
                }
            }
        }
        fed
    }
}
