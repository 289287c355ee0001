//! The host ends of virtio console ports: what has arrived for them and waits for the guest to make room, as it does until
//! a program there opens the port.

use super::Control;
use crate::board::SerialPort;
use crate::chardev::{ChardevId, Chardevs};
use lockstep_fabric::{DeviceId, Input};
use std::collections::VecDeque;

/// The most bytes that go to the guest at once: one line of the log.
const PIECE: usize = 4096;

/// A port with its character device.
struct Line {
    port: SerialPort,
    chardev: ChardevId,
    waiting: VecDeque<u8>,
}

/// All ports that have a character device.
pub(super) struct Lines(Vec<Line>);

impl Lines {
    pub(super) fn new(ports: &[SerialPort], chardevs: &Chardevs) -> Self {
        let line = |port: &SerialPort| {
            let chardev = chardevs.id(port.chardev.as_deref()?)?;
            Some(Line { port: port.clone(), chardev, waiting: VecDeque::new() })
        };
        Self(ports.iter().filter_map(line).collect())
    }

    /// All other ports are gone.
    pub(super) fn keep(&mut self, ports: &[SerialPort]) {
        self.0.retain(|line| ports.contains(&line.port));
    }

    /// Whether a port is behind this character device.
    pub(super) fn uses(&self, chardev: ChardevId) -> bool {
        self.0.iter().any(|line| line.chardev == chardev)
    }

    /// The character device behind a port.
    pub(super) fn behind(&self, device: DeviceId, number: u32) -> Option<ChardevId> {
        let line = self.0.iter().find(|line| (line.port.device, line.port.number) == (device, number));
        line.map(|line| line.chardev)
    }

    /// Bytes arrive; false if no port is behind the character device.
    pub(super) fn arrive(&mut self, chardev: ChardevId, bytes: &[u8]) -> bool {
        let line = self.0.iter_mut().find(|line| line.chardev == chardev);
        line.map(|line| line.waiting.extend(bytes)).is_some()
    }

    /// A client came or left. A console is open all the time, and what arrived before the client left still goes in.
    pub(super) fn opened(&mut self, control: &mut Control, chardev: ChardevId, open: bool) {
        for line in self.0.iter().filter(|line| line.chardev == chardev && !line.port.console) {
            let _ = control.input(line.port.device, Input::PortOpen { port: line.port.number, open });
        }
    }

    /// Gives the guest what it has room for; whether that was anything. A replayed one hears nothing.
    pub(super) fn feed(&mut self, control: &mut Control) -> bool {
        let mut fed = false;
        for Line { port, waiting, .. } in self.0.iter_mut().filter(|line| !line.waiting.is_empty()) {
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
