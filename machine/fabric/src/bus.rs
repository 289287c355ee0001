//! Devices, their regions in the address spaces, and the wires between their pins.

use crate::clock::{Clock, Tick};
use crate::device::{Acknowledge, Cpu, CpuSignal, Cx, Device, DeviceId, Input, Output, PinId, Reg, TimerId, Width};
use crate::memory::{AddressMap, Backing, Memory, Region, Target};
use crate::state::StateError;
use crate::windows::{Bridges, Window};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, VecDeque};

/// The address spaces that a vCPU can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Space {
    /// Physical memory.
    Memory,
    /// I/O ports.
    Io,
    /// Registers of a vCPU that live outside of it (a local APIC's): one number space for all vCPUs, the initiator says
    /// whose. What is unclaimed or refused makes the vCPU fault.
    Private,
}

/// The access reached nothing, or the device refused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// Where a device's region lies at reset, and how it is accessed.
#[derive(Clone, Copy, Debug)]
pub struct RegionSpec {
    /// The space.
    pub space: Space,
    /// Index among the device's regions: what [`Reg::region`] will say.
    pub index: u8,
    /// First address, or `None` while unmapped.
    pub base: Option<u64>,
    /// Length in bytes.
    pub len: u64,
    /// Among overlapping regions the highest answers.
    pub priority: i32,
    /// Wider accesses are split into pieces of this width.
    pub widest: Width,
}

/// What an output pin is wired to. A sink with several sources is high while any of them is: a wired OR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sink {
    /// An input pin of a device.
    Device(DeviceId, PinId),
    /// A vCPU's maskable interrupt line.
    CpuInterrupt(Cpu),
    /// A vCPU's non-maskable interrupt line: a rising edge counts.
    CpuNmi(Cpu),
}

/// Something that a device asked for during a call.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Pin { device: DeviceId, pin: PinId, level: bool },
    Cpu { cpu: Cpu, signal: CpuSignal },
    Msi { address: u64, data: u32 },
    Map { device: DeviceId, region: u8, base: Option<u64>, reads: bool, writes: bool },
    Windows { device: DeviceId, windows: Vec<Window> },
    Show { device: DeviceId, region: u8, arena: u64 },
    A20(bool),
}

pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) device: Option<Box<dyn Device>>,
}

/// What a device's region takes in one access.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    len: u64,
    widest: Width,
}

/// Who answers at which I/O port.
#[derive(Clone, Copy)]
pub(crate) struct Ports<'a> {
    map: &'a AddressMap,
    shapes: &'a BTreeMap<(DeviceId, u8), Shape>,
}

impl Ports<'_> {
    /// The device that takes an access of this width as a whole, its register, and the width that it takes at a time.
    pub(crate) fn find(self, port: u16, width: Width, write: bool) -> Option<(DeviceId, Reg, Width)> {
        let (Target::Device(device, region, offset), _) = self.map.find(port.into(), write)? else { return None };
        let shape = self.shapes.get(&(device, region))?;
        let whole = offset.saturating_add(width.bytes()) <= shape.len;
        whole.then_some((device, Reg { region, offset }, shape.widest.min(width)))
    }
}

/// The machine but for its vCPUs: memory, devices, wires and the clock.
pub struct Bus {
    /// RAM, ROM and the physical address map.
    pub memory: Memory,
    /// Guest time and deadlines.
    pub clock: Clock,
    io: AddressMap,
    private: AddressMap,
    shapes: BTreeMap<(DeviceId, u8), Shape>,
    devices: Vec<Slot>,
    wires: BTreeMap<(DeviceId, PinId), Vec<Sink>>,
    /// The same wires from their other ends.
    sources: BTreeMap<Sink, Vec<(DeviceId, PinId)>>,
    levels: BTreeMap<(DeviceId, PinId), bool>,
    msi_target: Option<DeviceId>,
    bridges: Bridges,
    effects: VecDeque<Effect>,
    outbox: Vec<(DeviceId, Output)>,
    signals: Vec<(Cpu, CpuSignal)>,
}

impl Bus {
    /// A bus with no devices.
    pub fn new(memory: Memory, clock: Clock) -> Self {
        Self {
            memory,
            clock,
            io: AddressMap::default(),
            private: AddressMap::default(),
            shapes: BTreeMap::new(),
            devices: Vec::new(),
            wires: BTreeMap::new(),
            sources: BTreeMap::new(),
            levels: BTreeMap::new(),
            msi_target: None,
            bridges: Bridges::default(),
            effects: VecDeque::new(),
            outbox: Vec::new(),
            signals: Vec::new(),
        }
    }

    /// Adds a device under a name that is unique on this bus.
    pub fn add(&mut self, name: &str, device: Box<dyn Device>) -> DeviceId {
        let id = self.next_id();
        self.add_as(id, name, device);
        id
    }

    /// The number that the next device gets: the lowest that is free.
    pub fn next_id(&self) -> DeviceId {
        let vacant = self.devices.iter().position(|slot| slot.device.is_none());
        DeviceId(vacant.unwrap_or(self.devices.len()) as u16)
    }

    /// Adds a device under a number that none has; false if one has.
    pub fn add_as(&mut self, id: DeviceId, name: &str, device: Box<dyn Device>) -> bool {
        let at = usize::from(id.0);
        while self.devices.len() <= at {
            self.devices.push(Slot { name: String::new(), device: None });
        }
        let slot = &mut self.devices[at];
        let free = slot.device.is_none();
        if free {
            *slot = Slot { name: name.to_owned(), device: Some(device) };
        }
        free
    }

    /// Takes a device off the bus: it lets go of its lines, its timers stop, its regions answer no more, and its number is free.
    pub fn remove(&mut self, id: DeviceId) {
        self.with(id, |device, cx| device.reset(cx));
        let pins: Vec<_> =
            self.levels.iter().filter(|((of, _), level)| *of == id && **level).map(|(p, _)| p.1).collect();
        for pin in pins {
            self.pin_changed(id, pin, false);
        }
        self.settle();
        let Some(slot) = self.devices.get_mut(usize::from(id.0)) else { return };
        *slot = Slot { name: String::new(), device: None };
        self.clock.forget(id);
        self.levels.retain(|(of, _), _| *of != id);
        self.wires.retain(|(of, _), _| *of != id);
        for sources in self.sources.values_mut() {
            sources.retain(|(of, _)| *of != id);
        }
        self.sources.retain(|_, sources| !sources.is_empty());
        self.bridges.remove(id);
        self.shapes.retain(|(of, _), _| *of != id);
        self.memory.remove_regions(id);
        self.io.remove(id);
        self.private.remove(id);
    }

    /// The device of this name.
    pub fn find(&self, name: &str) -> Option<DeviceId> {
        let named = |slot: &Slot| slot.device.is_some() && slot.name == name;
        self.devices.iter().position(named).map(|i| DeviceId(i as u16))
    }

    /// The name that a device was added under.
    pub fn name(&self, device: DeviceId) -> &str {
        self.devices.get(usize::from(device.0)).map_or("", |s| &s.name)
    }

    /// Every device, in the order of their numbers.
    pub fn devices(&self) -> impl Iterator<Item = DeviceId> + use<> {
        let there = self.devices.iter().enumerate().filter(|(_, slot)| slot.device.is_some());
        there.map(|(at, _)| DeviceId(at as u16)).collect::<Vec<_>>().into_iter()
    }

    /// Gives a device a region of registers.
    pub fn map(&mut self, device: DeviceId, spec: RegionSpec) {
        self.shapes.insert((device, spec.index), Shape { len: spec.len, widest: spec.widest });
        let region = Region {
            owner: device,
            index: spec.index,
            base: spec.base,
            len: spec.len,
            priority: spec.priority,
            reads: true,
            writes: true,
            backing: Backing::Device(device, spec.index),
        };
        match spec.space {
            Space::Memory => self.memory.add_region(region),
            Space::Io => self.io.add(region),
            Space::Private => self.private.add(region),
        }
    }

    /// Wires an output pin to a sink, beside what either is wired to already. A second wire between the two changes nothing.
    pub fn wire(&mut self, device: DeviceId, pin: PinId, sink: Sink) {
        let sources = self.sources.entry(sink).or_default();
        if !sources.contains(&(device, pin)) {
            sources.push((device, pin));
            self.wires.entry((device, pin)).or_default().push(sink);
        }
    }

    /// Whether a source of this sink other than `but` is high.
    fn held_high(&self, sink: Sink, but: (DeviceId, PinId)) -> bool {
        let mut others = self.sources.get(&sink).into_iter().flatten().filter(|source| **source != but);
        others.any(|source| self.levels.get(source) == Some(&true))
    }

    /// Names the device that takes message-signalled interrupts.
    pub fn set_msi_target(&mut self, device: DeviceId) {
        self.msi_target = Some(device);
    }

    /// Says that a device is behind a bridge: its regions answer only where the bridge's windows are open.
    pub fn put_behind(&mut self, device: DeviceId, bridge: DeviceId) {
        self.bridges.put_behind(device, bridge);
        self.limit_regions();
    }

    /// Has the regions of what is behind bridges answer where these say.
    fn limit_regions(&mut self) {
        for device in self.bridges.devices() {
            if let Some(reach) = self.bridges.reach(device, Space::Memory) {
                self.memory.limit_regions(device, reach);
            }
            if let Some(reach) = self.bridges.reach(device, Space::Io) {
                self.io.limit(device, reach);
            }
        }
    }

    /// The spaces' maps, for `info mtree`.
    pub fn space(&self, space: Space) -> &AddressMap {
        match space {
            Space::Memory => self.memory.map(),
            Space::Io => &self.io,
            Space::Private => &self.private,
        }
    }

    /// Reads by address. Memory and I/O reads that nothing claims are `Err`; the vCPU takes them as ones.
    pub fn read(&mut self, space: Space, address: u64, width: Width, cpu: Cpu) -> Result<u64, Refused> {
        let Some((target, last)) = self.look_up(space, address, false) else {
            return self.split_read(space, address, width, cpu);
        };
        if !self.takes_whole(space, target, last - self.masked(space, address), width) {
            return self.split_read(space, address, width, cpu);
        }
        match target {
            Target::Ram(at) | Target::Rom(at) => Ok(self.load_arena(at, width)),
            Target::Device(device, region, offset) => {
                let widest = self.shapes.get(&(device, region)).map_or(Width::Qword, |s| s.widest);
                let mut value = 0;
                let step = widest.min(width);
                let mut refused = false;
                for i in (0..width.bytes()).step_by(step.bytes() as usize) {
                    let at = Reg { region, offset: offset + i };
                    let part = self.call(device, cpu, &mut refused, |d, cx| d.read(cx, at, step)).unwrap_or(u64::MAX);
                    value |= (part & step.mask()) << (8 * i);
                }
                self.settle();
                if refused { Err(Refused) } else { Ok(value) }
            }
        }
    }

    /// Writes by address. What nothing claims is dropped, and told.
    pub fn write(&mut self, space: Space, address: u64, width: Width, value: u64, cpu: Cpu) -> Result<(), Refused> {
        let Some((target, last)) = self.look_up(space, address, true) else {
            return self.split_write(space, address, width, value, cpu);
        };
        if !self.takes_whole(space, target, last - self.masked(space, address), width) {
            return self.split_write(space, address, width, value, cpu);
        }
        match target {
            Target::Rom(_) => Ok(()),
            Target::Ram(at) => {
                self.store_arena(at, width, value);
                Ok(())
            }
            Target::Device(device, region, offset) => {
                let widest = self.shapes.get(&(device, region)).map_or(Width::Qword, |s| s.widest);
                let step = widest.min(width);
                let mut refused = false;
                for i in (0..width.bytes()).step_by(step.bytes() as usize) {
                    let at = Reg { region, offset: offset + i };
                    let part = (value >> (8 * i)) & step.mask();
                    self.call(device, cpu, &mut refused, |d, cx| d.write(cx, at, step, part));
                }
                self.settle();
                if refused { Err(Refused) } else { Ok(()) }
            }
        }
    }

    /// Whether one access of `width` stays with `target`, which answers for `more` addresses after the first.
    ///
    /// A device decodes an access by its first address alone: a dword to 0xCF8 is one access although another device
    /// owns 0xCF9. Private registers are numbered one by one, whatever their width.
    fn takes_whole(&self, space: Space, target: Target, more: u64, width: Width) -> bool {
        match target {
            Target::Device(device, region, offset) => {
                let len = self.shapes.get(&(device, region)).map_or(u64::MAX, |s| s.len);
                space == Space::Private || offset.saturating_add(width.bytes()) <= len
            }
            Target::Ram(_) | Target::Rom(_) => more >= width.bytes() - 1,
        }
    }

    fn split_read(&mut self, space: Space, address: u64, width: Width, cpu: Cpu) -> Result<u64, Refused> {
        if width == Width::Byte || space == Space::Private {
            return Err(Refused);
        }
        let mut value = 0;
        for i in 0..width.bytes() {
            let byte = self.read(space, address.wrapping_add(i), Width::Byte, cpu).unwrap_or(0xff);
            value |= byte << (8 * i);
        }
        Ok(value)
    }

    fn split_write(&mut self, space: Space, address: u64, width: Width, value: u64, cpu: Cpu) -> Result<(), Refused> {
        if width == Width::Byte || space == Space::Private {
            return Err(Refused);
        }
        for i in 0..width.bytes() {
            let byte = (value >> (8 * i)) & 0xff;
            // An unclaimed byte of a wider write is dropped like any other.
            let _ = self.write(space, address.wrapping_add(i), Width::Byte, byte, cpu);
        }
        Ok(())
    }

    fn masked(&self, space: Space, address: u64) -> u64 {
        if space == Space::Memory && !self.memory.a20() { address & !(1 << 20) } else { address }
    }

    fn look_up(&self, space: Space, address: u64, write: bool) -> Option<(Target, u64)> {
        match space {
            Space::Memory => self.memory.find(address, write),
            Space::Io => self.io.find(address, write),
            Space::Private => self.private.find(address, write),
        }
    }

    fn load_arena(&self, at: u64, width: Width) -> u64 {
        match width {
            Width::Byte => self.memory.load::<u8>(at).into(),
            Width::Word => self.memory.load::<u16>(at).into(),
            Width::Dword => self.memory.load::<u32>(at).into(),
            Width::Qword => self.memory.load(at),
        }
    }

    fn store_arena(&mut self, at: u64, width: Width, value: u64) -> bool {
        match width {
            Width::Byte => self.memory.store_marked(at, value as u8),
            Width::Word => self.memory.store_marked(at, value as u16),
            Width::Dword => self.memory.store_marked(at, value as u32),
            Width::Qword => self.memory.store_marked(at, value),
        }
    }

    fn call<R>(
        &mut self,
        id: DeviceId,
        cpu: Cpu,
        refused: &mut bool,
        call: impl FnOnce(&mut dyn Device, &mut Cx<'_>) -> R,
    ) -> Option<R> {
        let mut device = self.devices.get_mut(usize::from(id.0))?.device.take()?;
        let mut cx = Cx {
            device: id,
            initiator: cpu,
            refused,
            clock: &mut self.clock,
            memory: &mut self.memory,
            ports: Ports { map: &self.io, shapes: &self.shapes },
            devices: &mut self.devices,
            effects: &mut self.effects,
            outbox: &mut self.outbox,
        };
        let answer = call(device.as_mut(), &mut cx);
        self.devices[usize::from(id.0)].device = Some(device);
        Some(answer)
    }

    /// Calls a device by itself (set-up, monitor commands), then applies what it asked for.
    pub fn with<R>(&mut self, id: DeviceId, call: impl FnOnce(&mut dyn Device, &mut Cx<'_>) -> R) -> Option<R> {
        let answer = self.call(id, Cpu(0), &mut false, call);
        self.settle();
        answer
    }

    /// A vCPU takes an interrupt from a controller.
    pub fn acknowledge(&mut self, controller: DeviceId, cpu: Cpu) -> Acknowledge {
        let answer = self.call(controller, cpu, &mut false, |d, cx| d.acknowledge(cx, cpu));
        self.settle();
        answer.unwrap_or(Acknowledge::Nothing)
    }

    /// Brings something from outside to a device.
    pub fn input(&mut self, device: DeviceId, input: &Input) {
        self.with(device, |d, cx| d.input(cx, input));
    }

    /// Drives a device's input pin from the board.
    pub fn drive(&mut self, device: DeviceId, pin: PinId, level: bool) {
        self.input(device, &Input::Pin { pin, level });
    }

    /// Moves time to `tick` and fires what is due by then.
    pub fn advance(&mut self, tick: Tick) {
        self.clock.set_now(tick);
        while let Some((device, timer)) = self.clock.expired() {
            self.fire(device, timer);
        }
    }

    fn fire(&mut self, device: DeviceId, timer: TimerId) {
        self.call(device, Cpu(0), &mut false, |d, cx| d.timer(cx, timer));
        self.settle();
    }

    /// Resets every device, in the order of adding.
    pub fn reset(&mut self) {
        for id in self.devices() {
            self.call(id, Cpu(0), &mut false, |d, cx| d.reset(cx));
            self.settle();
        }
    }

    /// Applies what devices asked for, first in first out.
    fn settle(&mut self) {
        while let Some(effect) = self.effects.pop_front() {
            match effect {
                Effect::Pin { device, pin, level } => self.pin_changed(device, pin, level),
                Effect::Cpu { cpu, signal } => self.signals.push((cpu, signal)),
                Effect::Msi { address, data } => {
                    if let Some(target) = self.msi_target {
                        self.call(target, Cpu(0), &mut false, |d, cx| d.input(cx, &Input::Msi { address, data }));
                    }
                }
                Effect::Map { device, region, base, reads, writes } => {
                    self.memory.change_region(device, region, base, reads, writes);
                    self.io.change(device, region, base, reads, writes);
                    self.private.change(device, region, base, reads, writes);
                }
                Effect::Windows { device, windows } => {
                    if self.bridges.open(device, windows) {
                        self.limit_regions();
                    }
                }
                Effect::Show { device, region, arena } => self.memory.show(device, region, arena),
                Effect::A20(open) => self.memory.set_a20(open),
            }
        }
    }

    fn pin_changed(&mut self, device: DeviceId, pin: PinId, level: bool) {
        if self.levels.insert((device, pin), level).unwrap_or(false) == level {
            return;
        }
        for i in 0..self.wires.get(&(device, pin)).map_or(0, Vec::len) {
            let sink = self.wires[&(device, pin)][i];
            if self.held_high(sink, (device, pin)) {
                continue;
            }
            match sink {
                Sink::Device(to, pin) => {
                    self.call(to, Cpu(0), &mut false, |d, cx| d.input(cx, &Input::Pin { pin, level }));
                }
                Sink::CpuInterrupt(cpu) => self.signals.push((cpu, CpuSignal::Interrupt(level))),
                Sink::CpuNmi(cpu) => {
                    if level {
                        self.signals.push((cpu, CpuSignal::Nmi));
                    }
                }
            }
        }
    }

    /// Takes what devices sent out of the machine since last time, in order.
    pub fn take_output(&mut self) -> Vec<(DeviceId, Output)> {
        std::mem::take(&mut self.outbox)
    }

    /// Whether devices have sent anything out of the machine.
    pub fn has_output(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Takes the signals to vCPUs since last time, in order.
    pub fn take_signals(&mut self) -> Vec<(Cpu, CpuSignal)> {
        std::mem::take(&mut self.signals)
    }

    /// Saves clock, maps, pin levels and every device. RAM is saved apart, as pages.
    pub fn save(&self) -> Result<Value, StateError> {
        let mut devices = Map::new();
        for slot in &self.devices {
            let Some(device) = &slot.device else { continue };
            let mut entry = Map::new();
            entry.insert("kind".into(), device.kind().into());
            entry.insert("state".into(), device.save()?);
            devices.insert(slot.name.clone(), entry.into());
        }
        let wiring = Wiring {
            clock: self.clock.clone(),
            memory: self.memory.map().regions().to_vec(),
            io: self.io.regions().to_vec(),
            private: self.private.regions().to_vec(),
            levels: self.levels.iter().map(|((d, p), l)| (*d, *p, *l)).collect(),
            windows: self.bridges.windows(),
            a20: self.memory.a20(),
        };
        Ok(serde_json::json!({ "wiring": json("wiring", &wiring)?, "devices": devices }))
    }

    /// Loads what [`Bus::save`] gave, into a bus with the same devices.
    pub fn load(&mut self, from: &Value) -> Result<(), StateError> {
        let wiring = from.get("wiring").ok_or_else(|| StateError::Missing { what: "wiring".into() })?;
        let wiring = Wiring::deserialize(wiring)
            .map_err(|e| StateError::Malformed { what: "wiring".into(), why: e.to_string() })?;
        for slot in self.devices.iter_mut().filter(|slot| slot.device.is_some()) {
            let entry = from.get("devices").and_then(|d| d.get(&slot.name)).and_then(|d| d.get("state"));
            let entry = entry.ok_or_else(|| StateError::Missing { what: slot.name.clone() })?;
            if let Some(device) = &mut slot.device {
                device.load(entry)?;
            }
        }
        self.clock = wiring.clock;
        self.memory.restore_map(wiring.memory);
        self.memory.set_a20(wiring.a20);
        self.io.restore(wiring.io);
        self.private.restore(wiring.private);
        self.bridges.restore(wiring.windows);
        self.limit_regions();
        self.levels = wiring.levels.into_iter().map(|(d, p, l)| ((d, p), l)).collect();
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct Wiring {
    clock: Clock,
    memory: Vec<Region>,
    io: Vec<Region>,
    private: Vec<Region>,
    levels: Vec<(DeviceId, PinId, bool)>,
    windows: Vec<(DeviceId, Vec<Window>)>,
    a20: bool,
}

fn json<T: Serialize>(what: &str, value: &T) -> Result<Value, StateError> {
    serde_json::to_value(value).map_err(|e| StateError::Malformed { what: what.into(), why: e.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Drives its pin to what is written; notes the changes of its inputs.
    #[derive(Default, Serialize, Deserialize)]
    struct Part {
        seen: Vec<(PinId, bool)>,
    }

    impl Device for Part {
        fn kind(&self) -> &'static str {
            "part"
        }
        fn read(&mut self, _cx: &mut Cx<'_>, _at: Reg, _width: Width) -> u64 {
            0
        }
        fn write(&mut self, _cx: &mut Cx<'_>, _at: Reg, _width: Width, _value: u64) {}
        fn reset(&mut self, _cx: &mut Cx<'_>) {}
        fn input(&mut self, _cx: &mut Cx<'_>, input: &Input) {
            if let Input::Pin { pin, level } = *input {
                self.seen.push((pin, level));
            }
        }
    }

    const OUT: PinId = PinId(0);
    const IN: PinId = PinId(5);

    /// Devices 0 and 1, whose pins share an input of device 2.
    fn shared_line() -> Bus {
        let mut bus = Bus::new(Memory::new(0x1000).unwrap(), Clock::new(0));
        let parts: Vec<_> = ["a", "b", "c"].map(|name| bus.add(name, Box::new(Part::default()))).into();
        for source in [0, 1, 0] {
            bus.wire(parts[source], OUT, Sink::Device(parts[2], IN));
        }
        bus
    }

    fn set(bus: &mut Bus, device: u16, level: bool) {
        bus.with(DeviceId(device), |_, cx| cx.set_pin(OUT, level));
    }

    fn seen(bus: &Bus) -> Value {
        bus.save().unwrap()["devices"]["c"]["state"]["seen"].clone()
    }

    #[test]
    fn a_shared_line_is_high_while_any_source_is() {
        let mut bus = shared_line();
        for (device, level) in [(0, true), (1, true), (0, false), (0, true), (1, false), (0, false)] {
            set(&mut bus, device, level);
        }
        assert_eq!(seen(&bus), serde_json::json!([[5, true], [5, false]]));
    }

    #[test]
    fn what_is_taken_off_lets_go_of_all_that_it_held_and_its_number_is_given_again() {
        let mut bus = shared_line();
        let taken = DeviceId(0);
        bus.map(
            taken,
            RegionSpec { space: Space::Io, index: 0, base: Some(8), len: 4, priority: 0, widest: Width::Byte },
        );
        bus.with(taken, |_, cx| cx.arm(TimerId(0), 5));
        set(&mut bus, 0, true);
        assert!(bus.read(Space::Io, 8, Width::Byte, Cpu(0)).is_ok());
        bus.remove(taken);
        assert_eq!(seen(&bus), serde_json::json!([[5, true], [5, false]]));
        assert_eq!((bus.find("a"), bus.devices().count()), (None, 2));
        assert!(bus.read(Space::Io, 8, Width::Byte, Cpu(0)).is_err());
        assert_eq!(bus.clock.next_deadline(), crate::clock::NEVER);
        assert!(!bus.add_as(DeviceId(1), "d", Box::new(Part::default())), "another has this number");
        assert_eq!(bus.add("d", Box::new(Part::default())), taken);
        // Not wired as the device that had the number before.
        set(&mut bus, 0, true);
        assert_eq!(seen(&bus), serde_json::json!([[5, true], [5, false]]));
        assert_eq!(bus.add("e", Box::new(Part::default())), DeviceId(3));
    }

    #[test]
    fn a_loaded_bus_remembers_who_holds_a_line() {
        let mut bus = shared_line();
        set(&mut bus, 0, true);
        set(&mut bus, 1, true);
        let mut loaded = shared_line();
        loaded.load(&bus.save().unwrap()).unwrap();
        set(&mut loaded, 0, false);
        assert_eq!(seen(&loaded), serde_json::json!([[5, true]]));
        set(&mut loaded, 1, false);
        assert_eq!(seen(&loaded), serde_json::json!([[5, true], [5, false]]));
    }
}
