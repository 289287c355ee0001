//! A bench for one device: a real bus, and probes on the device's output pins.

use lockstep_fabric::{
    Bus, Clock, Cpu, Cx, Device, DeviceId, Input, MachineRequest, Memory, Nanos, Output, PinId, Reg, RegionSpec, Sink,
    Space, Width,
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

    /// Takes the requests made to the machine.
    pub(crate) fn requests(&mut self) -> Vec<MachineRequest> {
        let sent = self.bus.take_output().into_iter();
        sent.filter_map(|(_, o)| if let Output::Machine(request) = o { Some(request) } else { None }).collect()
    }
}
