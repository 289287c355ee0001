//! A guest that drives a virtio function through a real bus: places it, agrees on features, sets up rings in RAM.

use super::ring::GuestRing;
use crate::pci::config::{Command, offset};
use crate::virtio::{Class, Feature, VirtioPci};
use lockstep_fabric::memory::{Backing, Region};
use lockstep_fabric::{
    BlockRequest, Bus, Clock, Cpu, Cx, Device, DeviceId, Input, Memory, Notice, Output, PinId, Reg, Sink, Space, Width,
};
use serde::{Deserialize, Serialize};

pub(super) const RAM_LEN: u64 = 1 << 20;
pub(super) const LEGACY: u64 = 0xc000;
pub(super) const MSIX: u64 = 0xfe00_0000;
pub(super) const MODERN: u64 = 0xfe10_0000;
pub(super) const NOTIFY: u64 = MODERN + 0x3000;
pub(super) const CONFIG: u64 = MODERN + 0x2000;
const ISR: u64 = MODERN + 0x1000;

/// Where queues and buffers are put, one after the other.
const HEAP: u64 = 0x1_0000;

/// Takes messages, and watches INTA#.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Controller {
    pub(super) messages: Vec<u32>,
    pub(super) line: bool,
}

impl Device for Controller {
    fn kind(&self) -> &'static str {
        "controller"
    }
    fn read(&mut self, _cx: &mut Cx<'_>, _at: Reg, _width: Width) -> u64 {
        0
    }
    fn write(&mut self, _cx: &mut Cx<'_>, _at: Reg, _width: Width, _value: u64) {}
    fn reset(&mut self, _cx: &mut Cx<'_>) {}
    fn input(&mut self, _cx: &mut Cx<'_>, input: &Input) {
        match *input {
            Input::Msi { data, .. } => self.messages.push(data),
            Input::Pin { level, .. } => self.line = level,
            _ => {}
        }
    }
}

/// A machine with RAM and one virtio function.
pub(super) struct Guest {
    pub(super) bus: Bus,
    pub(super) device: DeviceId,
    controller: DeviceId,
    heap: u64,
    features: u64,
    /// What the function sent out and the test has not looked at.
    pub(super) requests: Vec<BlockRequest>,
    pub(super) port_bytes: Vec<(u32, Vec<u8>)>,
    pub(super) notices: Vec<Notice>,
}

impl Guest {
    /// As firmware leaves the function: placed, and a bus master.
    pub(super) fn new<C: Class>(function: VirtioPci<C>) -> Self {
        let mut memory = Memory::new(2 * RAM_LEN).expect("memory for a test");
        let ram = memory.allocate(RAM_LEN).expect("memory for a test");
        let mut bus = Bus::new(memory, Clock::new(0));
        let regions = function.regions();
        let device = bus.add("virtio", Box::new(function));
        let controller = bus.add("controller", Box::new(Controller::default()));
        bus.memory.add_region(Region {
            owner: controller,
            index: 0,
            base: Some(0),
            len: RAM_LEN,
            priority: 0,
            reads: true,
            writes: true,
            backing: Backing::Ram(ram),
        });
        regions.into_iter().for_each(|spec| bus.map(device, spec));
        bus.wire(device, crate::virtio::transport::INTA, Sink::Device(controller, PinId(0)));
        bus.set_msi_target(controller);
        bus.reset();
        let mut guest = Self {
            bus,
            device,
            controller,
            heap: HEAP,
            features: 0,
            requests: Vec::new(),
            port_bytes: Vec::new(),
            notices: Vec::new(),
        };
        guest.place_function();
        guest
    }

    /// As firmware does after a reset.
    pub(super) fn place_function(&mut self) {
        for (bar, base) in [(0, LEGACY), (1, MSIX), (4, MODERN)] {
            self.configure(offset::BAR0 + 4 * bar, Width::Dword, base as u32);
        }
        let command = Command::IO | Command::MEMORY | Command::MASTER;
        self.configure(offset::COMMAND, Width::Word, command.bits().into());
    }

    /// Another machine in the same state.
    pub(super) fn copy_into<C: Class>(&self, function: VirtioPci<C>) -> Self {
        let mut copy = Self::new(function);
        let mut ram = vec![0; RAM_LEN as usize];
        self.bus.memory.read_bytes(0, &mut ram);
        copy.bus.memory.write_bytes(0, &ram);
        copy.bus.load(&self.bus.save().expect("a state")).expect("the same kind of bus");
        (copy.heap, copy.features, copy.requests) = (self.heap, self.features, self.requests.clone());
        copy
    }

    pub(super) fn config(&mut self, offset: u16, width: Width) -> u32 {
        self.bus.with(self.device, |d, cx| d.pci().map(|f| f.config_read(cx, offset, width))).flatten().expect("PCI")
    }

    pub(super) fn configure(&mut self, offset: u16, width: Width, value: u32) {
        self.bus.with(self.device, |d, cx| d.pci().map(|f| f.config_write(cx, offset, width, value)));
        self.gather();
    }

    pub(super) fn load(&mut self, at: u64, width: Width) -> u64 {
        self.bus.read(Space::Memory, at, width, Cpu(0)).unwrap_or(width.mask())
    }

    pub(super) fn store(&mut self, at: u64, width: Width, value: u64) {
        // Some tests write where nothing is.
        let _ = self.bus.write(Space::Memory, at, width, value, Cpu(0));
        self.gather();
    }

    pub(super) fn inp(&mut self, port: u64, width: Width) -> u64 {
        self.bus.read(Space::Io, LEGACY + port, width, Cpu(0)).unwrap_or(width.mask())
    }

    pub(super) fn out(&mut self, port: u64, width: Width, value: u64) {
        let _ = self.bus.write(Space::Io, LEGACY + port, width, value, Cpu(0));
        self.gather();
    }

    pub(super) fn bytes(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.bus.memory.read_bytes(at, &mut bytes);
        bytes
    }

    pub(super) fn fill(&mut self, at: u64, bytes: &[u8]) {
        self.bus.memory.write_bytes(at, bytes);
    }

    pub(super) fn heap_left(&self) -> u64 {
        RAM_LEN - self.heap
    }

    /// What was allocated may be allocated again, and is zero.
    pub(super) fn forget_allocations(&mut self) {
        self.fill(HEAP, &vec![0; (self.heap - HEAP) as usize]);
        self.heap = HEAP;
    }

    /// A piece of RAM, aligned to a page if it is long.
    pub(super) fn allocate(&mut self, len: u64) -> u64 {
        let align = if len >= 512 { 4096 } else { 64 };
        let at = self.heap.next_multiple_of(align);
        self.heap = at + len;
        assert!(self.heap <= RAM_LEN, "RAM for a test");
        at
    }

    /// A piece of RAM with these bytes.
    pub(super) fn place(&mut self, bytes: &[u8]) -> (u64, u32) {
        let at = self.allocate(bytes.len() as u64);
        self.fill(at, bytes);
        (at, bytes.len() as u32)
    }

    pub(super) fn status(&mut self) -> u8 {
        self.load(MODERN + 0x14, Width::Byte) as u8
    }

    pub(super) fn set_status(&mut self, status: u8) {
        self.store(MODERN + 0x14, Width::Byte, status.into());
    }

    pub(super) fn offered(&mut self) -> u64 {
        let mut half = |select| {
            self.store(MODERN, Width::Dword, select);
            self.load(MODERN + 4, Width::Dword)
        };
        half(0) | half(1) << 32
    }

    /// Starts over and agrees on features: these of those offered. Whether the device agreed.
    pub(super) fn negotiate(&mut self, wanted: u64) -> bool {
        [0, 1, 3].into_iter().for_each(|status| self.set_status(status));
        self.features = wanted;
        for (select, half) in [(0, wanted & 0xffff_ffff), (1, wanted >> 32)] {
            self.store(MODERN + 8, Width::Dword, select);
            self.store(MODERN + 0xc, Width::Dword, half);
        }
        self.set_status(0xb);
        self.status() == 0xb
    }

    /// Sets up a queue of so many entries.
    pub(super) fn queue(&mut self, queue: u16, size: u16) -> GuestRing {
        let features = Feature::from_bits_truncate(self.features);
        let ring = GuestRing::new(self, queue, size, features);
        self.store(MODERN + 0x16, Width::Word, queue.into());
        self.store(MODERN + 0x18, Width::Word, size.into());
        for (at, area) in [(0x20, ring.descriptors), (0x28, ring.driver), (0x30, ring.device)] {
            self.store(MODERN + at, Width::Dword, area & 0xffff_ffff);
            self.store(MODERN + at + 4, Width::Dword, area >> 32);
        }
        self.store(MODERN + 0x1c, Width::Word, 1);
        ring
    }

    pub(super) fn ready(&mut self) {
        self.set_status(0xf);
    }

    pub(super) fn notify(&mut self, queue: u16) {
        self.store(NOTIFY + 4 * u64::from(queue), Width::Word, queue.into());
    }

    pub(super) fn isr(&mut self) -> u64 {
        self.load(ISR, Width::Byte)
    }

    fn watched(&mut self) -> Controller {
        let state = self.bus.with(self.controller, |d, _| d.save()).expect("the controller").expect("its state");
        serde_json::from_value(state).expect("its state")
    }

    /// The level of INTA#.
    pub(super) fn line(&mut self) -> bool {
        self.watched().line
    }

    /// Takes the data of the messages since last time.
    pub(super) fn messages(&mut self) -> Vec<u32> {
        let mut watched = self.watched();
        let messages = std::mem::take(&mut watched.messages);
        let state = serde_json::to_value(watched).expect("a state");
        self.bus.with(self.controller, |d, _| d.load(&state)).expect("the controller").expect("its state");
        messages
    }

    /// Turns MSI-X on, with vector `n` sending `0x40 + n`.
    pub(super) fn enable_msix(&mut self, vectors: u16) {
        for n in 0..u64::from(vectors) {
            let entry = MSIX + 16 * n;
            for (at, value) in [(0, 0xfee0_0000), (4, 0), (8, 0x40 + n), (12, 0)] {
                self.store(entry + at, Width::Dword, value);
            }
        }
        let capability = self.capability(0x11, |_, _| true);
        self.configure(capability + 2, Width::Word, 0x8000);
    }

    /// The capability of this ID for which `is` holds.
    pub(super) fn capability(&mut self, id: u8, is: impl Fn(&mut Self, u16) -> bool) -> u16 {
        let mut at = self.config(offset::CAPABILITIES, Width::Byte) as u16;
        while at != 0 {
            if self.config(at, Width::Byte) == u32::from(id) && is(self, at) {
                return at;
            }
            at = self.config(at + 1, Width::Byte) as u16;
        }
        panic!("no capability {id:#x}");
    }

    pub(super) fn input(&mut self, input: &Input) {
        self.bus.input(self.device, input);
        self.gather();
    }

    pub(super) fn advance(&mut self, ns: u64) {
        let end = self.bus.clock.now() + ns;
        while self.bus.clock.next_deadline() <= end {
            let due = self.bus.clock.next_deadline();
            self.bus.advance(due);
        }
        self.bus.advance(end);
        self.gather();
    }

    pub(super) fn gather(&mut self) {
        for (_, output) in self.bus.take_output() {
            match output {
                Output::Block(request) => self.requests.push(request),
                Output::PortBytes { port, bytes } => self.port_bytes.push((port, bytes)),
                Output::Notice(notice) => self.notices.push(notice),
                Output::Bytes(_) | Output::Machine(_) => {}
            }
        }
    }
}
