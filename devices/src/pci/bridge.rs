//! A PCI-to-PCI bridge (PCI-to-PCI Bridge Architecture 1.2): QEMU's `pci-bridge`, 1b36:0001, without hot plugging.
//!
//! It passes configuration cycles on to the buses that its bus numbers name, and says which addresses reach what is
//! behind it: those of its windows while they are open. Bus masters behind it reach memory whatever it is told, as with
//! QEMU's. Interrupt pins pass around it, by the board's wires.

use super::config::offset;
use super::{Command, ConfigSpace, DevFn, Functions, Identity};
use crate::catalog::{Creatable, Made};
use crate::properties::PropertyError;
use crate::properties::configuration;
use lockstep_fabric::{ConfigCycle, Cx, Device, DeviceId, PciFunction, Reg, Space, Width, Window};
use serde::{Deserialize, Serialize};

/// Header type: a bridge to another PCI bus.
const HEADER_BRIDGE: u8 = 0x01;

const SECONDARY_BUS: u16 = 0x19;
const SUBORDINATE_BUS: u16 = 0x1a;
const PRIMARY_BUS: u16 = 0x18;
const IO_BASE: u16 = 0x1c;
const IO_LIMIT: u16 = 0x1d;
const SECONDARY_STATUS: u16 = 0x1e;
const MEMORY_BASE: u16 = 0x20;
const MEMORY_LIMIT: u16 = 0x22;
const PREFETCHABLE_BASE: u16 = 0x24;
const PREFETCHABLE_LIMIT: u16 = 0x26;
const PREFETCHABLE_BASE_UPPER: u16 = 0x28;
const PREFETCHABLE_LIMIT_UPPER: u16 = 0x2c;
const BRIDGE_CONTROL: u16 = 0x3e;

/// The prefetchable window may lie anywhere.
const PREFETCHABLE_64: u8 = 0x01;
const CONTROL_ISA: u16 = 1 << 2;
const CONTROL_SECONDARY_RESET: u16 = 1 << 6;
const CONTROL_WRITABLE: u16 = 0x0bff;
const CONTROL_DISCARD_STATUS: u16 = 1 << 10;
const STATUS_CLEARABLE: u16 = 0xf900;
/// 66 MHz, fast back-to-back.
const STATUS: u16 = 0x00a0;

/// Slot numbering (section 13): one chassis with no slots to expand it.
const SLOT_ID: u8 = 0x04;
const FIRST_IN_CHASSIS: u8 = 1 << 5;

/// With the ISA enable bit, of each KiB of ports only the first 256 are passed on.
const ISA_STEP: u64 = 0x400;
const ISA_PASSED: u64 = 0x100;

configuration! {
    /// How a bridge is set up.
    pub struct BridgeConfig {
        /// The number of its chassis, 1 to 255: each bridge has its own.
        pub chassis_nr: u8 = 0,
        /// Hot plugging on its bus: not built.
        pub shpc: bool = false,
        /// Accepted: only hot plugging would interrupt.
        pub msi: String = "auto".into(),
    }
}

/// Where a bridge leads: bus numbers, and first and last address of each window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routing {
    /// The bus that it is on.
    pub primary: u8,
    /// The bus behind it.
    pub secondary: u8,
    /// The last bus behind it.
    pub subordinate: u8,
    /// Ports.
    pub io: (u64, u64),
    /// Memory.
    pub memory: (u64, u64),
    /// Memory that may be prefetched.
    pub prefetchable: (u64, u64),
}

impl Creatable for BridgeConfig {
    const NAME: &'static str = "pci-bridge";
    const ABOUT: &'static str = "bridge to another PCI bus";

    /// A bridge with nothing behind it: the board makes its own, with [`PciBridge::new`].
    fn make(self) -> Result<Made, PropertyError> {
        Ok(Made::new(PciBridge::new(&self)?, &[]))
    }
}

/// A bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciBridge {
    config: ConfigSpace,
    /// What is on the bus behind it.
    behind: Functions,
}

impl PciBridge {
    /// A bridge to an empty bus.
    pub fn new(settings: &BridgeConfig) -> Result<Self, PropertyError> {
        if settings.shpc {
            let wanted = "hot plugging is not built in this version of Lockstep";
            return Err(PropertyError::Value { name: "shpc", value: "on".into(), wanted });
        }
        let identity = Identity { vendor: 0x1b36, device: 0x0001, revision: 0, class: 0x06_0400, subsystem: (0, 0) };
        let mut config = ConfigSpace::new(identity);
        config.define(offset::HEADER_TYPE, &[HEADER_BRIDGE]);
        config.define(offset::STATUS, &STATUS.to_le_bytes());
        config.define(SECONDARY_STATUS, &STATUS.to_le_bytes());
        config.define(PREFETCHABLE_BASE, &[PREFETCHABLE_64, 0, PREFETCHABLE_64, 0]);
        config.allow(PRIMARY_BUS, &[0xff; 4]);
        config.allow(IO_BASE, &[0xf0, 0xf0]);
        config.allow(MEMORY_BASE, &[0xf0, 0xff, 0xf0, 0xff, 0xf0, 0xff, 0xf0, 0xff]);
        config.allow(PREFETCHABLE_BASE_UPPER, &[0xff; 8]);
        config.allow(BRIDGE_CONTROL, &CONTROL_WRITABLE.to_le_bytes());
        config.allow_clearing(SECONDARY_STATUS, &STATUS_CLEARABLE.to_le_bytes());
        config.allow_clearing(BRIDGE_CONTROL, &CONTROL_DISCARD_STATUS.to_le_bytes());
        config.add_capability(SLOT_ID, &[FIRST_IN_CHASSIS, settings.chassis_nr], &[0, 0xff]);
        Ok(Self { config, behind: Functions::default() })
    }

    /// Puts a function on the bus behind it, before the bridge is added to the board; see
    /// [`I440Fx::attach`](super::i440fx::I440Fx::attach). The board says of the device that it is behind this one.
    pub fn attach(&mut self, at: DevFn, device: DeviceId, multifunction: bool) {
        self.behind.attach(at, device, multifunction);
    }

    /// What it is told of the buses above and behind it, and of the addresses that it passes on, open or not.
    pub fn routing(config: &ConfigSpace) -> Routing {
        let port = |at| u64::from(config.byte(at) & 0xf0) << 8;
        let low = |at| u64::from(config.word(at) & 0xfff0) << 16;
        let high = |at| u64::from(config.read(at, Width::Dword)) << 32;
        let prefetchable = |low_at, high_at| high(high_at) | low(low_at);
        Routing {
            primary: config.byte(PRIMARY_BUS),
            secondary: config.byte(SECONDARY_BUS),
            subordinate: config.byte(SUBORDINATE_BUS),
            io: (port(IO_BASE), port(IO_LIMIT) | 0xfff),
            memory: (low(MEMORY_BASE), low(MEMORY_LIMIT) | 0xf_ffff),
            prefetchable: (
                prefetchable(PREFETCHABLE_BASE, PREFETCHABLE_BASE_UPPER),
                prefetchable(PREFETCHABLE_LIMIT, PREFETCHABLE_LIMIT_UPPER) | 0xf_ffff,
            ),
        }
    }

    fn control(&self) -> u16 {
        self.config.word(BRIDGE_CONTROL)
    }

    /// The addresses that are passed on.
    fn windows(&self) -> Vec<Window> {
        let mut windows = Vec::new();
        let mut open = |space, first: u64, last: u64| {
            if first <= last {
                windows.push(Window { space, first, last });
            }
        };
        let command = self.config.command();
        let routing = Self::routing(&self.config);
        if command.contains(Command::IO) {
            let (first, last) = routing.io;
            if self.control() & CONTROL_ISA == 0 {
                open(Space::Io, first, last);
            } else {
                (first..=last).step_by(ISA_STEP as usize).for_each(|at| open(Space::Io, at, at + ISA_PASSED - 1));
            }
        }
        if command.contains(Command::MEMORY) {
            open(Space::Memory, routing.memory.0, routing.memory.1);
            open(Space::Memory, routing.prefetchable.0, routing.prefetchable.1);
        }
        windows
    }

    /// Resets what is behind it.
    fn reset_behind(&self, cx: &mut Cx<'_>) {
        for device in self.behind.devices() {
            cx.with_peer(device, |d, cx| d.reset(cx));
        }
    }
}

impl PciFunction for PciBridge {
    fn attach(&mut self, at: u8, device: DeviceId, several: bool) {
        self.behind.attach(DevFn(at), device, several);
    }

    fn detach(&mut self, device: DeviceId) {
        self.behind.detach(device);
    }

    fn in_slot(&self, slot: u8) -> Vec<DeviceId> {
        self.behind.in_slot(slot)
    }

    fn config_read(&mut self, _cx: &mut Cx<'_>, offset: u16, width: Width) -> u32 {
        self.config.read(offset, width)
    }

    fn config_write(&mut self, cx: &mut Cx<'_>, offset: u16, width: Width, value: u32) {
        let before = self.control();
        self.config.write(cx, offset, width, value);
        cx.open_windows(self.windows());
        if self.control() & !before & CONTROL_SECONDARY_RESET != 0 {
            self.reset_behind(cx);
        }
    }

    fn forward(&mut self, cx: &mut Cx<'_>, cycle: ConfigCycle) -> Option<u32> {
        let (secondary, subordinate) = (self.config.byte(SECONDARY_BUS), self.config.byte(SUBORDINATE_BUS));
        let leads_there = (secondary..=subordinate).contains(&cycle.bus);
        // What is held in reset does not answer.
        let held = self.control() & CONTROL_SECONDARY_RESET != 0;
        if leads_there && !held { self.behind.cycle(cx, secondary, cycle) } else { None }
    }
}

impl Device for PciBridge {
    fn kind(&self) -> &'static str {
        BridgeConfig::NAME
    }

    fn read(&mut self, _cx: &mut Cx<'_>, _at: Reg, width: Width) -> u64 {
        width.mask()
    }

    fn write(&mut self, _cx: &mut Cx<'_>, _at: Reg, _width: Width, _value: u64) {}

    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.config.reset(cx);
        cx.open_windows(self.windows());
        self.reset_behind(cx);
    }

    fn pci(&mut self) -> Option<&mut dyn PciFunction> {
        Some(self)
    }
}

#[cfg(test)]
mod tests;
