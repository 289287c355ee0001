//! The registers by which the guest's ACPI learns of memory modules that come and go (QEMU's interface,
//! docs/specs/acpi_mem_hotplug): what is in each slot, what is new, what is to be let go of, and the ejector.

use crate::ost;
use lockstep_fabric::{
    Cx, Device, Input, MachineRequest, MemoryModule, ModuleChange, Notice, PinId, Reg, RegionSpec, Space, Width,
};
use serde::{Deserialize, Serialize};

/// The first port.
pub const BASE: u16 = 0x0a00;
/// How many ports there are.
pub const LENGTH: u8 = 0x18;
/// The general-purpose event that says that the registers have news.
pub const EVENT: u8 = 3;
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

/// Read: address, size and node of the module in the selected slot.
const ADDRESS_LOW: u64 = 0x00;
const ADDRESS_HIGH: u64 = 0x04;
const SIZE_LOW: u64 = 0x08;
const SIZE_HIGH: u64 = 0x0c;
const PROXIMITY: u64 = 0x10;
/// Written: which slot the other registers are about, and what the guest reports by _OST.
const SELECT: u64 = 0x00;
const OST_EVENT: u64 = 0x04;
const OST_STATUS: u64 = 0x08;
/// Status when read, control when written.
const FLAGS: u64 = 0x14;

bitflags::bitflags! {
    /// What is true of a slot; written, what is to be forgotten or done.
    struct Flags: u8 {
        /// There is a module in it.
        const ENABLED = 1 << 0;
        /// The module is new.
        const INSERTING = 1 << 1;
        /// The guest should let go of the module.
        const REMOVING = 1 << 2;
        /// Written: take the module out.
        const EJECT = 1 << 3;
    }
}

/// A slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemorySlot {
    /// What is in it.
    pub module: Option<MemoryModule>,
    inserting: bool,
    removing: bool,
    /// The guest was asked for the module, and has neither let go of it nor refused.
    wanted: bool,
    /// What the guest last reported on, as _OST numbers it; 0 before it did.
    pub ost_event: u32,
    /// The outcome; 0 is success.
    pub ost_status: u32,
}

/// The registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryHotplug {
    /// The slots.
    pub slots: Vec<MemorySlot>,
    selected: u32,
}

impl MemoryHotplug {
    /// Registers for so many empty slots.
    pub fn new(slots: u32) -> Self {
        Self { slots: (0..slots).map(|_| MemorySlot::default()).collect(), selected: 0 }
    }
}

impl MemorySlot {
    /// Has the machine take the module out.
    fn eject(&mut self, cx: &mut Cx<'_>) {
        (self.inserting, self.removing, self.wanted) = (false, false, false);
        if let Some(module) = self.module.take() {
            cx.request(MachineRequest::Eject(module.device));
        }
    }

    fn flags(&self) -> Flags {
        let mut flags = Flags::empty();
        flags.set(Flags::ENABLED, self.module.is_some());
        flags.set(Flags::INSERTING, self.inserting);
        flags.set(Flags::REMOVING, self.removing);
        flags
    }
}

impl Device for MemoryHotplug {
    fn kind(&self) -> &'static str {
        "acpi-memory-hotplug"
    }

    fn read(&mut self, _cx: &mut Cx<'_>, at: Reg, width: Width) -> u64 {
        let Some(slot) = self.slots.get(self.selected as usize) else { return 0 };
        let of = |fact: fn(MemoryModule) -> u64| slot.module.map_or(0, fact);
        let value = match at.offset {
            ADDRESS_LOW => of(|module| module.address),
            ADDRESS_HIGH => of(|module| module.address >> 32),
            SIZE_LOW => of(|module| module.size),
            SIZE_HIGH => of(|module| module.size >> 32),
            PROXIMITY => of(|module| module.node.into()),
            FLAGS => slot.flags().bits().into(),
            _ => u64::MAX,
        };
        value & width.mask()
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, _width: Width, value: u64) {
        let value = value as u32;
        if at.offset == SELECT {
            self.selected = value;
            return;
        }
        let number = self.selected;
        let Some(slot) = self.slots.get_mut(number as usize) else { return };
        match at.offset {
            OST_EVENT => slot.ost_event = value,
            OST_STATUS => {
                slot.ost_status = value;
                slot.wanted &= !ost::refuses(slot.ost_event, value);
                cx.tell(Notice::SlotStatus { slot: number, event: slot.ost_event, status: value });
            }
            FLAGS => {
                // One at a time, the first counts.
                let flags = Flags::from_bits_truncate(value as u8);
                if flags.contains(Flags::INSERTING) {
                    slot.inserting = false;
                } else if flags.contains(Flags::REMOVING) {
                    slot.removing = false;
                } else if flags.contains(Flags::EJECT) {
                    slot.eject(cx);
                }
            }
            _ => {}
        }
    }

    /// A reset takes out what the guest was asked to let go of; it finds the others by itself.
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.selected = 0;
        for slot in &mut self.slots {
            if slot.wanted {
                slot.eject(cx);
            }
            *slot = MemorySlot { module: slot.module, ..MemorySlot::default() };
        }
    }

    fn input(&mut self, cx: &mut Cx<'_>, input: &Input) {
        let Input::Module { slot, change } = *input else { return };
        let Some(slot) = self.slots.get_mut(slot as usize) else { return };
        match change {
            ModuleChange::There(module) => {
                slot.module = Some(module);
                return;
            }
            ModuleChange::Plugged(module) => (slot.module, slot.inserting) = (Some(module), true),
            ModuleChange::Wanted => {
                slot.removing = slot.module.is_some();
                slot.wanted = slot.removing;
            }
        }
        cx.set_pin(PIN_EVENT, true);
        cx.set_pin(PIN_EVENT, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Bench;
    use lockstep_fabric::{Cpu, DeviceId};

    const MODULE: MemoryModule =
        MemoryModule { device: DeviceId(7), address: 0x1_4000_0000, size: 0x2_0800_0000, node: 1 };

    fn bench() -> Bench {
        Bench::new(MemoryHotplug::new(2), &[REGION])
    }

    fn read(b: &mut Bench, at: u64, width: Width) -> u64 {
        b.bus.read(Space::Io, u64::from(BASE) + at, width, Cpu(0)).expect("a register")
    }

    fn flags(b: &mut Bench) -> u64 {
        read(b, FLAGS, Width::Byte)
    }

    fn write(b: &mut Bench, at: u64, value: u32) {
        let width = if at == FLAGS { Width::Byte } else { Width::Dword };
        b.bus.write(Space::Io, u64::from(BASE) + at, width, value.into(), Cpu(0)).expect("a register");
    }

    fn change(b: &mut Bench, slot: u32, change: ModuleChange) {
        b.input(&Input::Module { slot, change });
    }

    #[test]
    fn a_module_is_announced_and_described() {
        let mut b = bench();
        change(&mut b, 1, ModuleChange::Plugged(MODULE));
        assert_eq!(b.edges().iter().map(|edge| edge.level).collect::<Vec<_>>(), [true, false]);
        assert_eq!(flags(&mut b), 0, "the other slot");
        write(&mut b, SELECT, 1);
        let facts = [ADDRESS_LOW, ADDRESS_HIGH, SIZE_LOW, SIZE_HIGH, PROXIMITY];
        assert_eq!(facts.map(|at| read(&mut b, at, Width::Dword)), [0x4000_0000, 1, 0x0800_0000, 2, 1]);
        assert_eq!(flags(&mut b), 0b11);
        write(&mut b, FLAGS, 0b10);
        assert_eq!(flags(&mut b), 0b01);
        write(&mut b, SELECT, 2);
        assert_eq!((flags(&mut b), read(&mut b, ADDRESS_LOW, Width::Dword)), (0, 0), "no such slot");
    }

    #[test]
    fn what_the_guest_lets_go_of_is_taken_out() {
        let mut b = bench();
        change(&mut b, 0, ModuleChange::There(MODULE));
        change(&mut b, 1, ModuleChange::Wanted);
        assert_eq!(flags(&mut b), 0b01);
        change(&mut b, 0, ModuleChange::Wanted);
        assert_eq!(flags(&mut b), 0b101);
        write(&mut b, FLAGS, 0b100);
        write(&mut b, FLAGS, 0b1000);
        assert_eq!((b.requests(), flags(&mut b)), (vec![MachineRequest::Eject(MODULE.device)], 0));
        write(&mut b, FLAGS, 0b1000);
        assert_eq!(b.requests(), [], "it is gone");
    }

    #[test]
    fn a_reset_takes_out_what_is_wanted_and_leaves_the_rest() {
        let mut b = bench();
        let other = MemoryModule { device: DeviceId(8), ..MODULE };
        change(&mut b, 0, ModuleChange::Plugged(MODULE));
        change(&mut b, 1, ModuleChange::Plugged(other));
        change(&mut b, 1, ModuleChange::Wanted);
        write(&mut b, SELECT, 1);
        write(&mut b, FLAGS, 0b100);
        b.bus.reset();
        assert_eq!((b.requests(), flags(&mut b)), (vec![MachineRequest::Eject(other.device)], 0b01));
    }

    #[test]
    fn what_the_guest_refuses_to_let_go_of_stays() {
        let mut b = bench();
        change(&mut b, 0, ModuleChange::There(MODULE));
        change(&mut b, 0, ModuleChange::Wanted);
        write(&mut b, OST_EVENT, 3);
        write(&mut b, OST_STATUS, 0x82);
        b.bus.reset();
        assert_eq!((b.requests(), flags(&mut b)), (vec![], 0b01));
    }

    #[test]
    fn the_guests_report_is_kept_and_told() {
        let mut b = bench();
        write(&mut b, SELECT, 1);
        write(&mut b, OST_EVENT, 3);
        write(&mut b, OST_STATUS, 0x81);
        let told = b.bus.take_output();
        let notice = Notice::SlotStatus { slot: 1, event: 3, status: 0x81 };
        assert!(matches!(&told[..], [(_, lockstep_fabric::Output::Notice(said))] if *said == notice), "{told:?}");
    }
}
