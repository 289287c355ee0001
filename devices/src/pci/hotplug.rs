//! The registers by which the guest's ACPI learns of PCI devices that come and go (QEMU's interface for the PIIX4,
//! docs/specs/acpi_pci_hotplug): which slots got a device, which are to be vacated, which can be, and the ejector.

use lockstep_fabric::{Cx, Device, DeviceId, Input, MachineRequest, PinId, Reg, RegionSpec, SlotChange, Space, Width};
use serde::{Deserialize, Serialize};

/// The first port.
pub const BASE: u16 = 0xae00;
/// How many ports there are.
pub const LENGTH: u8 = 0x14;
/// The general-purpose event that says that the registers have news.
pub const EVENT: u8 = 1;
/// Output pin: the event.
pub const PIN_EVENT: PinId = PinId(0);
/// The region to map on the bus.
pub const REGION: RegionSpec = RegionSpec {
    space: Space::Io,
    index: 0,
    base: Some(BASE as u64),
    len: LENGTH as u64,
    priority: 0,
    widest: Width::Dword,
};

/// Slots of the selected bus that got a device, a bit each; reading forgets them.
const PCI_UP: u64 = 0x00;
/// Slots of the selected bus that the guest should vacate.
const PCI_DOWN: u64 = 0x04;
/// Writing a bit ejects what is in the slot.
const PCI_EJECT: u64 = 0x08;
/// Slots of the selected bus whose devices can be ejected.
const PCI_REMOVABLE: u64 = 0x0c;
/// The number of the bus that the other registers are about.
const PCI_SELECT: u64 = 0x10;

/// A bus whose devices come and go. Its number, which the DSDT calls BSEL, is its place among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlugBus {
    /// The bridge that the bus is behind.
    pub bridge: DeviceId,
    /// Slots whose devices stay, a bit each.
    pub fixed: u32,
    up: u32,
    down: u32,
}

impl PlugBus {
    /// A bus with no news.
    pub fn new(bridge: DeviceId, fixed: u32) -> Self {
        Self { bridge, fixed, up: 0, down: 0 }
    }
}

/// The registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciHotplug {
    buses: Vec<PlugBus>,
    selected: u32,
}

impl PciHotplug {
    /// Registers for these buses.
    pub fn new(buses: Vec<PlugBus>) -> Self {
        Self { buses, selected: 0 }
    }

    fn bus(&mut self) -> Option<&mut PlugBus> {
        self.buses.get_mut(self.selected as usize)
    }

    /// Has the machine take out what is in a slot.
    fn eject(&mut self, cx: &mut Cx<'_>, bus: usize, slot: u8) {
        let Some(bus) = self.buses.get_mut(bus) else { return };
        let bit = 1 << slot;
        (bus.up, bus.down) = (bus.up & !bit, bus.down & !bit);
        if bus.fixed & bit != 0 {
            return;
        }
        let functions = cx.with_peer(bus.bridge, |bridge, _| bridge.pci().map(|bridge| bridge.in_slot(slot)));
        for function in functions.flatten().into_iter().flatten() {
            cx.request(MachineRequest::Eject(function));
        }
    }
}

impl Device for PciHotplug {
    fn kind(&self) -> &'static str {
        "acpi-pci-hotplug"
    }

    fn read(&mut self, _cx: &mut Cx<'_>, at: Reg, width: Width) -> u64 {
        let selected = self.selected;
        let Some(bus) = self.bus().filter(|_| width == Width::Dword) else { return 0 };
        let value = match at.offset {
            PCI_UP => std::mem::take(&mut bus.up),
            PCI_DOWN => bus.down,
            PCI_REMOVABLE => !bus.fixed,
            PCI_SELECT => selected,
            _ => 0,
        };
        value.into()
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, width: Width, value: u64) {
        let value = value as u32;
        match (at.offset, width) {
            // Of several slots the lowest is ejected.
            (PCI_EJECT, Width::Dword) if value != 0 => {
                self.eject(cx, self.selected as usize, value.trailing_zeros() as u8);
            }
            (PCI_SELECT, Width::Dword) => self.selected = value,
            _ => {}
        }
    }

    /// A reset takes out what the guest was asked to let go of.
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.selected = 0;
        for bus in 0..self.buses.len() {
            for slot in (0..32).filter(|slot| self.buses[bus].down & 1 << slot != 0).collect::<Vec<_>>() {
                self.eject(cx, bus, slot);
            }
            self.buses[bus].up = 0;
        }
    }

    fn input(&mut self, cx: &mut Cx<'_>, input: &Input) {
        let Input::Slot { bridge, slot, change } = *input else { return };
        let Some(bus) = self.buses.iter_mut().find(|bus| bus.bridge == bridge) else { return };
        let bit = 1 << (slot & 0x1f);
        match change {
            SlotChange::Plugged => bus.up |= bit,
            SlotChange::Wanted => bus.down |= bit,
        }
        cx.set_pin(PIN_EVENT, true);
        cx.set_pin(PIN_EVENT, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Bench;
    use crate::pci::DevFn;
    use crate::pci::i440fx::I440Fx;
    use lockstep_fabric::Cpu;

    const BRIDGE: DeviceId = DeviceId(40);
    const FUNCTIONS: [DeviceId; 2] = [DeviceId(7), DeviceId(8)];

    fn bench() -> Bench {
        let mut b =
            Bench::new(PciHotplug::new(vec![PlugBus::new(BRIDGE, 0b11), PlugBus::new(DeviceId(99), 0)]), &[REGION]);
        let mut bridge = I440Fx::new();
        bridge.attach(DevFn::new(3, 0), FUNCTIONS[0], true);
        bridge.attach(DevFn::new(3, 1), FUNCTIONS[1], false);
        bridge.attach(DevFn::new(1, 0), DeviceId(9), false);
        assert!(b.bus.add_as(BRIDGE, "bridge", Box::new(bridge)));
        b
    }

    fn read(b: &mut Bench, at: u64) -> u64 {
        b.bus.read(Space::Io, u64::from(BASE) + at, Width::Dword, Cpu(0)).expect("a register")
    }

    fn write(b: &mut Bench, at: u64, value: u32) {
        b.outl(BASE + at as u16, value);
    }

    fn change(b: &mut Bench, slot: u8, change: SlotChange) {
        b.input(&Input::Slot { bridge: BRIDGE, slot, change });
    }

    #[test]
    fn news_are_told_by_the_event_and_read_once() {
        let mut b = bench();
        change(&mut b, 3, SlotChange::Plugged);
        change(&mut b, 5, SlotChange::Plugged);
        assert_eq!(b.edges().iter().map(|edge| edge.level).collect::<Vec<_>>(), [true, false, true, false]);
        write(&mut b, PCI_SELECT, 1);
        assert_eq!((read(&mut b, PCI_UP), read(&mut b, PCI_REMOVABLE)), (0, 0xffff_ffff), "another bus");
        write(&mut b, PCI_SELECT, 2);
        assert_eq!((read(&mut b, PCI_UP), read(&mut b, PCI_REMOVABLE)), (0, 0), "no bus");
        write(&mut b, PCI_SELECT, 0);
        assert_eq!((read(&mut b, PCI_UP), read(&mut b, PCI_UP)), (1 << 3 | 1 << 5, 0));
        assert_eq!(read(&mut b, PCI_REMOVABLE), 0xffff_fffc);
    }

    #[test]
    fn all_functions_of_a_slot_are_ejected_but_those_that_stay() {
        let mut b = bench();
        change(&mut b, 3, SlotChange::Wanted);
        assert_eq!(read(&mut b, PCI_DOWN), 1 << 3);
        assert_eq!(read(&mut b, PCI_DOWN), 1 << 3, "until it is done");
        write(&mut b, PCI_EJECT, 1 << 3 | 1 << 5);
        assert_eq!(b.requests(), FUNCTIONS.map(MachineRequest::Eject));
        assert_eq!(read(&mut b, PCI_DOWN), 0);
        write(&mut b, PCI_EJECT, 1 << 1);
        write(&mut b, PCI_EJECT, 1 << 9);
        assert_eq!(b.requests(), []);
    }

    #[test]
    fn a_reset_takes_out_what_is_wanted() {
        let mut b = bench();
        change(&mut b, 3, SlotChange::Wanted);
        change(&mut b, 4, SlotChange::Plugged);
        b.bus.reset();
        assert_eq!(b.requests(), FUNCTIONS.map(MachineRequest::Eject));
        assert_eq!((read(&mut b, PCI_UP), read(&mut b, PCI_DOWN)), (0, 0));
    }
}
