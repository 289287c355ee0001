//! A bench for one device: a real bus, and probes on the device's output pins.

use lockstep_fabric::memory::{Backing, Region};
use lockstep_fabric::{
    BlockCompletion, BlockError, BlockOperation, Bus, Clock, Cpu, Cx, Device, DeviceId, Input, MachineRequest, Memory,
    Nanos, Notice, Output, PinId, Reg, RegionSpec, Sink, Space, Width,
};
use serde::{Deserialize, Serialize};

/// A change of one of the watched pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Edge {
    pub(crate) at: Nanos,
    pub(crate) pin: u16,
    pub(crate) level: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Probe {
    edges: Vec<Edge>,
}

impl Device for Probe {
    fn kind(&self) -> &'static str {
        "probe"
    }
    fn read(&mut self, _cx: &mut Cx<'_>, _at: Reg, _width: Width) -> u64 {
        0
    }
    fn write(&mut self, _cx: &mut Cx<'_>, _at: Reg, _width: Width, _value: u64) {}
    fn reset(&mut self, _cx: &mut Cx<'_>) {}
    fn input(&mut self, cx: &mut Cx<'_>, input: &Input) {
        if let Input::Pin { pin, level } = *input {
            self.edges.push(Edge { at: cx.now(), pin: pin.0, level });
        }
    }
}

/// One device on a bus, reset, with its first eight output pins watched.
pub(crate) struct Bench {
    pub(crate) bus: Bus,
    pub(crate) device: DeviceId,
    probe: DeviceId,
}

impl Bench {
    pub(crate) fn new(device: impl Device + 'static, regions: &[RegionSpec]) -> Self {
        Self::with_shift(0, device, regions)
    }

    pub(crate) fn with_shift(shift: u32, device: impl Device + 'static, regions: &[RegionSpec]) -> Self {
        let memory = Memory::new(1 << 16).expect("memory for a test");
        let mut bus = Bus::new(memory, Clock::new(shift));
        let device = bus.add("subject", Box::new(device));
        let probe = bus.add("probe", Box::new(Probe::default()));
        for spec in regions {
            bus.map(device, *spec);
        }
        for pin in (0..8).map(PinId) {
            bus.wire(device, pin, Sink::Device(probe, pin));
        }
        bus.reset();
        let mut bench = Self { bus, device, probe };
        bench.edges();
        bench
    }

    pub(crate) fn outb(&mut self, port: u16, value: u8) {
        self.bus.write(Space::Io, port.into(), Width::Byte, value.into(), Cpu(0)).expect("a claimed port");
    }

    pub(crate) fn inb(&mut self, port: u16) -> u8 {
        self.bus.read(Space::Io, port.into(), Width::Byte, Cpu(0)).expect("a claimed port") as u8
    }

    /// Lays all of the bench's memory at address zero.
    pub(crate) fn add_ram(&mut self) {
        let len = 1 << 16;
        let at = self.bus.memory.allocate(len).expect("memory for a test");
        self.bus.memory.add_region(Region {
            owner: self.device,
            index: 0xe0,
            base: Some(0),
            len,
            priority: 0,
            reads: true,
            writes: true,
            backing: Backing::Ram(at),
        });
    }

    pub(crate) fn outw(&mut self, port: u16, value: u16) {
        self.bus.write(Space::Io, port.into(), Width::Word, value.into(), Cpu(0)).expect("a claimed port");
    }

    pub(crate) fn inw(&mut self, port: u16) -> u16 {
        self.bus.read(Space::Io, port.into(), Width::Word, Cpu(0)).expect("a claimed port") as u16
    }

    pub(crate) fn outl(&mut self, port: u16, value: u32) {
        self.bus.write(Space::Io, port.into(), Width::Dword, value.into(), Cpu(0)).expect("a claimed port");
    }

    pub(crate) fn config_write(&mut self, offset: u16, width: Width, value: u32) {
        let write = self.bus.with(self.device, |d, cx| d.pci().map(|f| f.config_write(cx, offset, width, value)));
        write.flatten().expect("a PCI function");
    }

    pub(crate) fn now(&self) -> Nanos {
        self.bus.clock.now_ns()
    }

    /// Moves time on as the machine's loop does: from deadline to deadline.
    pub(crate) fn advance(&mut self, ns: Nanos) {
        let end = self.bus.clock.now() + (ns >> self.bus.clock.shift());
        while self.bus.clock.next_deadline() <= end {
            let due = self.bus.clock.next_deadline();
            self.bus.advance(due);
        }
        self.bus.advance(end);
    }

    pub(crate) fn drive(&mut self, pin: u16, level: bool) {
        self.bus.drive(self.device, PinId(pin), level);
    }

    pub(crate) fn input(&mut self, input: &Input) {
        self.bus.input(self.device, input);
    }

    fn probed(&mut self) -> Vec<Edge> {
        let state = self.bus.with(self.probe, |d, _| d.save()).expect("the probe").expect("its state");
        serde_json::from_value::<Probe>(state).expect("its edges").edges
    }

    /// Takes the edges since last time, leaving each pin's last level known to [`Bench::level`].
    pub(crate) fn edges(&mut self) -> Vec<Edge> {
        let edges = self.probed();
        let empty = serde_json::to_value(Probe::default()).expect("an empty probe");
        self.bus.with(self.probe, |d, _| d.load(&empty)).expect("the probe").expect("its state");
        edges
    }

    /// The level of an output pin.
    pub(crate) fn level(&mut self, pin: u16) -> bool {
        let saved = self.bus.save().expect("the bus");
        let levels: Vec<(DeviceId, PinId, bool)> =
            serde_json::from_value(saved["wiring"]["levels"].clone()).expect("pin levels");
        levels.contains(&(self.device, PinId(pin), true))
    }

    /// Takes the bytes sent to the character device behind the device.
    pub(crate) fn sent(&mut self) -> Vec<u8> {
        let sent = self.bus.take_output().into_iter();
        sent.flat_map(|(_, o)| if let Output::Bytes(bytes) = o { bytes } else { Vec::new() }).collect()
    }

    /// Takes what the device has told those outside.
    pub(crate) fn notices(&mut self) -> Vec<Notice> {
        let sent = self.bus.take_output().into_iter();
        sent.filter_map(|(_, o)| if let Output::Notice(notice) = o { Some(notice) } else { None }).collect()
    }

    /// Takes the requests made to the machine.
    pub(crate) fn requests(&mut self) -> Vec<MachineRequest> {
        let sent = self.bus.take_output().into_iter();
        sent.filter_map(|(_, o)| if let Output::Machine(request) = o { Some(request) } else { None }).collect()
    }
}

/// A drive's contents, and what it was asked.
#[derive(Default)]
pub(crate) struct FakeDrive {
    pub(crate) bytes: Vec<u8>,
    /// Every request fails so.
    pub(crate) failing: Option<BlockError>,
    /// The requests so far, in words.
    pub(crate) asked: Vec<String>,
}

impl FakeDrive {
    /// A drive in which every 512 bytes tell where they are.
    pub(crate) fn of(len: usize) -> Self {
        let bytes = (0..len).map(|i| (i as u32 / 512).to_le_bytes()[i & 3] ^ (i % 509) as u8).collect();
        Self { bytes, ..Self::default() }
    }

    fn range(&mut self, offset: u64, len: u64) -> Result<&mut [u8], BlockError> {
        self.bytes.get_mut(offset as usize..(offset + len) as usize).ok_or(BlockError::OutOfRange)
    }

    fn serve(&mut self, operation: &BlockOperation) -> Result<Vec<u8>, BlockError> {
        self.asked.push(match operation {
            BlockOperation::Read { offset, len } => format!("read {offset}+{len}"),
            BlockOperation::Write { offset, data } => format!("write {offset}+{}", data.len()),
            BlockOperation::WriteZeroes { offset, len, .. } => format!("zero {offset}+{len}"),
            BlockOperation::Discard { offset, len } => format!("discard {offset}+{len}"),
            BlockOperation::Flush => "flush".into(),
        });
        if let Some(why) = self.failing {
            return Err(why);
        }
        match operation {
            BlockOperation::Read { offset, len } => self.range(*offset, *len).map(|bytes| bytes.to_vec()),
            BlockOperation::Write { offset, data } => {
                self.range(*offset, data.len() as u64)?.copy_from_slice(data);
                Ok(Vec::new())
            }
            BlockOperation::WriteZeroes { offset, len, .. } | BlockOperation::Discard { offset, len } => {
                self.range(*offset, *len)?.fill(0);
                Ok(Vec::new())
            }
            BlockOperation::Flush => Ok(Vec::new()),
        }
    }
}

impl Bench {
    /// The completions of the requests made since last time, not yet brought to the device.
    pub(crate) fn completions(&mut self, drives: &mut [FakeDrive]) -> Vec<Input> {
        let sent = self.bus.take_output().into_iter();
        let requests = sent.filter_map(|(_, o)| if let Output::Block(request) = o { Some(request) } else { None });
        requests
            .map(|request| {
                let drive = drives.get_mut(usize::from(request.drive)).expect("a drive that exists");
                let result = drive.serve(&request.operation);
                Input::Block(BlockCompletion { drive: request.drive, tag: request.tag, result })
            })
            .collect()
    }

    /// Answers requests and lets short times pass until the device asks for nothing more.
    pub(crate) fn serve(&mut self, drives: &mut [FakeDrive]) {
        loop {
            self.advance(100_000);
            let completions = self.completions(drives);
            if completions.is_empty() {
                return;
            }
            completions.iter().for_each(|completion| self.input(completion));
        }
    }
}
