//! The virtio console (section 5.3): ports that carry bytes, and a control queue by which guest and device tell each
//! other of them.

mod port;

pub use port::{PortConfig, PortKind};

use super::properties::config_with_transport;
use super::{Class, Io, TransportConfig, VirtioError, VirtioPci};
use crate::catalog::{Creatable, Made, Surroundings};
use crate::properties::PropertyError;
use bitflags::bitflags;
use lockstep_fabric::{Input, Notice};
use port::Port;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

bitflags! {
    /// Feature bits (section 5.3.3).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ConsoleFeature: u64 {
        /// The configuration tells the console's size.
        const SIZE = 1 << 0;
        /// There are control queues, and as many ports as they tell.
        const MULTIPORT = 1 << 1;
        /// A register prints before any queue is set up.
        const EMERG_WRITE = 1 << 2;
    }
}

const CONTROL_TO_DRIVER: u16 = 2;
const CONTROL_FROM_DRIVER: u16 = 3;
const QUEUE_SIZE: u16 = 128;
const CONTROL_QUEUE_SIZE: u16 = 32;
const PORTS_MAX: u32 = 511;

/// The most bytes in one buffer from the guest.
const BUFFER_MAX: u64 = 1 << 20;
/// How many messages may wait for the guest to make room.
const MESSAGES_MAX: usize = 4096;
const MESSAGE_LEN: usize = 8;

const EMERG_WR_OFFSET: u64 = 8;

/// Events of control messages (section 5.3.6.2).
mod event {
    pub(super) const DEVICE_READY: u16 = 0;
    pub(super) const DEVICE_ADD: u16 = 1;
    pub(super) const DEVICE_REMOVE: u16 = 2;
    pub(super) const PORT_READY: u16 = 3;
    pub(super) const CONSOLE_PORT: u16 = 4;
    pub(super) const RESIZE: u16 = 5;
    pub(super) const PORT_OPEN: u16 = 6;
    pub(super) const PORT_NAME: u16 = 7;
}

config_with_transport! {
    /// How a console device is set up (`virtio-serial-pci`).
    pub struct ConsoleConfig {
        /// How many ports it can have.
        pub max_ports: u32 = 31,
        /// The driver can print a character without a queue.
        pub emergency_write as "emergency-write": bool = true,
    }
}

impl Creatable for ConsoleConfig {
    const NAME: &'static str = Console::KIND;
    const ABOUT: &'static str = "virtio console with ports";

    fn make(self) -> Result<Made, PropertyError> {
        self.make_within(&Surroundings::default())
    }

    fn make_within(self, surroundings: &Surroundings) -> Result<Made, PropertyError> {
        let mut function = Console::function(&self)?;
        let mut ports = Vec::new();
        for (kind, config) in &surroundings.ports {
            let number = function.class_mut().add_port(*kind, config)?;
            ports.extend(config.chardev.as_ref().map(|chardev| (number, chardev.0.clone())));
        }
        Ok(Made { ports, ..function.made() })
    }
}

/// A console device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Console {
    features: u64,
    max_ports: u32,
    ports: BTreeMap<u32, Port>,
    columns: u16,
    rows: u16,
    /// Messages that wait for buffers of the control queue.
    messages: VecDeque<Vec<u8>>,
}

/// The direction of a queue.
#[derive(Clone, Copy)]
enum Direction {
    ToDriver,
    FromDriver,
}

/// A port's queue to the driver; the one from the driver follows.
fn queue_to_driver(port: u32) -> u16 {
    if port == 0 { 0 } else { 2 * port as u16 + 2 }
}

fn port_of(queue: u16) -> (u32, Direction) {
    let direction = if queue & 1 == 0 { Direction::ToDriver } else { Direction::FromDriver };
    (u32::from(queue / 2).saturating_sub(1), direction)
}

impl Console {
    /// A console device without ports, as a PCI function.
    pub fn function(config: &ConsoleConfig) -> Result<VirtioPci<Self>, VirtioError> {
        if !(1..=PORTS_MAX).contains(&config.max_ports) {
            return Err(VirtioError::Ports(config.max_ports));
        }
        let mut features = ConsoleFeature::SIZE;
        features.set(ConsoleFeature::MULTIPORT, config.max_ports > 1);
        features.set(ConsoleFeature::EMERG_WRITE, config.emergency_write);
        let class = Self {
            features: features.bits(),
            max_ports: config.max_ports,
            ports: BTreeMap::new(),
            columns: 0,
            rows: 0,
            messages: VecDeque::new(),
        };
        let transport = config.transport();
        // A vector for every two queues: drivers share them.
        let vectors = transport.vectors.unwrap_or(config.max_ports as u16 + 1);
        VirtioPci::with(class, TransportConfig { vectors: Some(vectors), ..transport })
    }

    /// Adds a port, before the device is added to a bus; its number.
    pub fn add_port(&mut self, kind: PortKind, config: &PortConfig) -> Result<u32, VirtioError> {
        // Port 0 has to be a console: drivers without MULTIPORT know no other.
        let first = if kind == PortKind::Console { 0 } else { 1 };
        let nr = match config.nr {
            Some(0) if kind == PortKind::Serial => return Err(VirtioError::PortZero),
            Some(nr) if nr >= self.max_ports => return Err(VirtioError::PortRange(self.max_ports - 1)),
            Some(nr) if self.ports.contains_key(&nr) => return Err(VirtioError::PortTaken(nr)),
            Some(nr) => nr,
            None => (first..self.max_ports).find(|n| !self.ports.contains_key(n)).ok_or(VirtioError::NoPortFree)?,
        };
        if let Some(name) =
            config.name.as_ref().filter(|name| self.ports.values().any(|p| p.name.as_ref() == Some(name)))
        {
            return Err(VirtioError::PortName(name.clone()));
        }
        self.ports.insert(nr, Port::new(kind, config));
        Ok(nr)
    }

    /// Gives the driver what has arrived, as far as it has made room.
    fn deliver(&mut self, io: &mut Io<'_, '_>, nr: u32) {
        let Some(port) = self.ports.get_mut(&nr).filter(|p| p.guest_open) else { return };
        let queue = queue_to_driver(nr);
        while !port.inbox.is_empty()
            && let Some(chain) = io.pop(queue)
        {
            let bytes = port.take(chain.writable_len());
            chain.write(io.cx, 0, &bytes);
            io.push(queue, &chain, bytes.len() as u64);
        }
    }

    /// Takes what the driver sends. Where nobody listens it is lost, as on an open line.
    fn collect(&mut self, io: &mut Io<'_, '_>, nr: u32) {
        let queue = queue_to_driver(nr) + 1;
        while let Some(chain) = io.pop(queue) {
            if chain.readable_len() > BUFFER_MAX {
                return io.lose();
            }
            if self.ports.get(&nr).is_some_and(|p| p.host_open) {
                let bytes = chain.read_vec(io.cx, 0, BUFFER_MAX);
                io.cx.emit_port(nr, bytes);
            }
            io.push(queue, &chain, 0);
        }
    }

    fn tell(&mut self, io: &mut Io<'_, '_>, port: u32, event: u16, value: u16, rest: &[u8]) {
        if self.messages.len() >= MESSAGES_MAX {
            return io.lose();
        }
        let mut message = Vec::with_capacity(MESSAGE_LEN + rest.len());
        message.extend_from_slice(&port.to_le_bytes());
        message.extend_from_slice(&event.to_le_bytes());
        message.extend_from_slice(&value.to_le_bytes());
        message.extend_from_slice(rest);
        self.messages.push_back(message);
    }

    fn deliver_messages(&mut self, io: &mut Io<'_, '_>) {
        while !self.messages.is_empty()
            && let Some(chain) = io.pop(CONTROL_TO_DRIVER)
        {
            let message = self.messages.pop_front().unwrap_or_default();
            let written = chain.write(io.cx, 0, &message);
            io.push(CONTROL_TO_DRIVER, &chain, written as u64);
        }
    }

    fn collect_messages(&mut self, io: &mut Io<'_, '_>) {
        while let Some(chain) = io.pop(CONTROL_FROM_DRIVER) {
            let mut message = [0; MESSAGE_LEN];
            let len = chain.read(io.cx, 0, &mut message);
            if len == MESSAGE_LEN {
                let raw = u64::from_le_bytes(message);
                self.hear(io, raw as u32, (raw >> 32) as u16, (raw >> 48) as u16);
            }
            io.push(CONTROL_FROM_DRIVER, &chain, 0);
        }
        self.deliver_messages(io);
    }

    /// The driver's control messages.
    fn hear(&mut self, io: &mut Io<'_, '_>, nr: u32, event: u16, value: u16) {
        match event {
            event::DEVICE_READY if value != 0 => {
                let ports: Vec<_> = self.ports.keys().copied().collect();
                ports.into_iter().for_each(|nr| self.tell(io, nr, event::DEVICE_ADD, 1, &[]));
            }
            event::PORT_READY if value != 0 => self.introduce(io, nr),
            event::PORT_OPEN => {
                let Some(port) = self.ports.get_mut(&nr) else { return };
                let open = value != 0;
                if port.kind == PortKind::Serial && port.guest_open != open {
                    io.cx.tell(Notice::PortOpen { port: nr, open });
                }
                port.guest_open = open || port.kind == PortKind::Console;
                self.deliver(io, nr);
            }
            _ => {}
        }
    }

    /// Tells the driver what a port is.
    fn introduce(&mut self, io: &mut Io<'_, '_>, nr: u32) {
        let Some(port) = self.ports.get(&nr) else { return };
        let (console, open) = (port.kind == PortKind::Console, port.host_open);
        let name = port.name.clone();
        if console {
            self.tell(io, nr, event::CONSOLE_PORT, 1, &[]);
            self.tell_size(io, nr);
        }
        if let Some(name) = name {
            self.tell(io, nr, event::PORT_NAME, 1, name.as_bytes());
        }
        if open {
            self.tell(io, nr, event::PORT_OPEN, 1, &[]);
        }
    }

    fn tell_size(&mut self, io: &mut Io<'_, '_>, nr: u32) {
        if self.columns != 0 && self.rows != 0 {
            let [c0, c1] = self.columns.to_le_bytes();
            let [r0, r1] = self.rows.to_le_bytes();
            self.tell(io, nr, event::RESIZE, 0, &[c0, c1, r0, r1]);
        }
    }

    fn has_control(io: &Io<'_, '_>) -> bool {
        io.accepted() & ConsoleFeature::MULTIPORT.bits() != 0
    }

    fn set_host_open(&mut self, io: &mut Io<'_, '_>, nr: u32, open: bool) {
        let Some(port) = self.ports.get_mut(&nr).filter(|p| p.host_open != open) else { return };
        port.host_open = open;
        if Self::has_control(io) {
            self.tell(io, nr, event::PORT_OPEN, open.into(), &[]);
            self.deliver_messages(io);
        }
    }

    /// A port comes while the driver may be at work.
    fn plug(&mut self, io: &mut Io<'_, '_>, nr: u32, port: Port) {
        if nr >= self.max_ports || self.ports.contains_key(&nr) {
            return;
        }
        self.ports.insert(nr, port);
        if Self::has_control(io) {
            self.tell(io, nr, event::DEVICE_ADD, 1, &[]);
            self.deliver_messages(io);
        }
    }

    /// A port goes, with what had arrived for it.
    fn unplug(&mut self, io: &mut Io<'_, '_>, nr: u32) {
        if self.ports.remove(&nr).is_some() && Self::has_control(io) {
            self.tell(io, nr, event::DEVICE_REMOVE, 1, &[]);
            self.deliver_messages(io);
        }
    }

    fn resize(&mut self, io: &mut Io<'_, '_>, nr: u32, columns: u16, rows: u16) {
        if self.ports.get(&nr).is_none_or(|p| p.kind != PortKind::Console) {
            return;
        }
        (self.columns, self.rows) = (columns, rows);
        io.config_changed();
        if Self::has_control(io) {
            self.tell_size(io, nr);
            self.deliver_messages(io);
        }
    }
}

impl Class for Console {
    const KIND: &'static str = "virtio-serial-pci";
    const TYPE: u16 = 3;
    const PCI_CLASS: u32 = 0x07_8000;
    const TRANSITIONAL_ID: Option<u16> = Some(0x1003);

    fn features(&self) -> u64 {
        self.features
    }

    fn queues(&self) -> Vec<u16> {
        let mut queues = vec![QUEUE_SIZE; 2 * (self.max_ports as usize + 1)];
        for queue in [CONTROL_TO_DRIVER, CONTROL_FROM_DRIVER] {
            queues[usize::from(queue)] = CONTROL_QUEUE_SIZE;
        }
        queues
    }

    fn config(&self) -> Vec<u8> {
        let mut config = Vec::with_capacity(12);
        config.extend_from_slice(&self.columns.to_le_bytes());
        config.extend_from_slice(&self.rows.to_le_bytes());
        config.extend_from_slice(&self.max_ports.to_le_bytes());
        config.extend_from_slice(&[0; 4]);
        config
    }

    fn write_config(&mut self, io: &mut Io<'_, '_>, offset: u64, bytes: &[u8]) {
        let open = self.ports.get(&0).is_some_and(|p| p.host_open);
        if offset == EMERG_WR_OFFSET && open && self.features & ConsoleFeature::EMERG_WRITE.bits() != 0 {
            io.cx.emit_port(0, bytes.iter().take(1).copied().collect());
        }
    }

    fn reset(&mut self) {
        self.messages.clear();
        self.ports.values_mut().for_each(|port| port.guest_open = port.kind == PortKind::Console);
    }

    fn reset_queue(&mut self, _queue: u16) {}

    fn notify(&mut self, io: &mut Io<'_, '_>, queue: u16) {
        match queue {
            CONTROL_TO_DRIVER => self.deliver_messages(io),
            CONTROL_FROM_DRIVER => self.collect_messages(io),
            _ => match port_of(queue) {
                (port, Direction::ToDriver) => self.deliver(io, port),
                (port, Direction::FromDriver) => self.collect(io, port),
            },
        }
    }

    fn input(&mut self, io: &mut Io<'_, '_>, input: &Input) {
        match input {
            Input::PortBytes { port: nr, bytes } => {
                if let Some(port) = self.ports.get_mut(nr) {
                    port.receive(bytes);
                    self.deliver(io, *nr);
                }
            }
            Input::PortPlugged { port, console, name, open } => {
                let kind = if *console { PortKind::Console } else { PortKind::Serial };
                self.plug(io, *port, Port::named(kind, name.clone(), *open));
            }
            Input::PortUnplugged { port } => self.unplug(io, *port),
            Input::PortOpen { port, open } => self.set_host_open(io, *port, *open),
            Input::PortSize { port, columns, rows } => self.resize(io, *port, *columns, *rows),
            _ => {}
        }
    }

    fn room(&self, port: u32) -> usize {
        self.ports.get(&port).map_or(usize::MAX, Port::room)
    }
}
