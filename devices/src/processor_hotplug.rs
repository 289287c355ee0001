//! The registers by which the guest's ACPI learns of processors that come and go (QEMU's interface for the PIIX4,
//! docs/specs/acpi_cpu_hotplug). Until the guest asks for them, the ports show a map of the APIC IDs that there are.

use crate::ost;
use lockstep_fabric::{
    Cpu, Cx, Device, Input, MachineRequest, Notice, PinId, ProcessorChange, Reg, RegionSpec, Space, Width,
};
use serde::{Deserialize, Serialize};

/// The first port.
pub const BASE: u16 = 0xaf00;
/// How many ports the map takes; the registers take fewer.
pub const LENGTH: u8 = 0x20;
/// The general-purpose event that says that the registers have news.
pub const EVENT: u8 = 2;
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

/// Written: which processor the other registers are about. Read: the upper half of the answer to the command.
const SELECT: u64 = 0x00;
/// Status when read, control when written.
const FLAGS: u64 = 0x04;
/// The command.
const COMMAND: u64 = 0x05;
/// The command's data, or the lower half of its answer.
const DATA: u64 = 0x08;

/// Commands: select the next processor with news; take what _OST was called with; tell the APIC ID.
const NEXT_WITH_NEWS: u8 = 0;
const OST_EVENT: u8 = 1;
const OST_STATUS: u8 = 2;
const ARCHITECTURAL_ID: u8 = 3;

bitflags::bitflags! {
    /// What is true of a place; written, what is to be forgotten or done.
    struct Flags: u8 {
        /// There is a processor.
        const ENABLED = 1 << 0;
        /// It is new.
        const INSERTING = 1 << 1;
        /// The guest should let go of it.
        const REMOVING = 1 << 2;
        /// Written: take it out.
        const EJECT = 1 << 3;
        /// Firmware is to take it out; written, that is switched.
        const BY_FIRMWARE = 1 << 4;
    }
}

/// The place of a processor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessorPlace {
    apic_id: u8,
    present: bool,
    inserting: bool,
    removing: bool,
    by_firmware: bool,
    /// The guest was asked for the processor, and has neither let go of it nor refused.
    wanted: bool,
    /// What the guest last reported on, as _OST numbers it; 0 before it did.
    pub ost_event: u32,
    /// The outcome; 0 is success.
    pub ost_status: u32,
}

/// The registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuHotplug {
    /// The places, in the order of the vCPUs' numbers.
    pub places: Vec<ProcessorPlace>,
    /// The guest has asked for the registers.
    pub modern: bool,
    selected: u32,
    command: u8,
}

impl CpuHotplug {
    /// Registers for the processors of these APIC IDs, none of which is there.
    pub fn new(apic_ids: &[u8]) -> Self {
        let place = |apic_id: &u8| ProcessorPlace { apic_id: *apic_id, ..ProcessorPlace::default() };
        Self { places: apic_ids.iter().map(place).collect(), modern: false, selected: 0, command: 0 }
    }

    fn map(&self, offset: u64) -> u8 {
        let here = self.places.iter().filter(|place| place.present && u64::from(place.apic_id / 8) == offset);
        here.fold(0, |map, place| map | 1 << (place.apic_id % 8))
    }

    /// Goes on to the next place with news, from the selected one on.
    fn find_news(&mut self) {
        let count = self.places.len();
        let has_news = |at: &usize| {
            self.places.get(*at).is_some_and(|place| place.inserting || place.removing || place.by_firmware)
        };
        let from = self.selected as usize;
        if let Some(at) = (0..count).map(|step| (from + step) % count).find(has_news) {
            self.selected = at as u32;
        }
    }

    fn set_flags(&mut self, cx: &mut Cx<'_>, value: u8) {
        let number = self.selected;
        let Some(place) = self.places.get_mut(number as usize) else { return };
        // One at a time, the first counts.
        let flags = Flags::from_bits_truncate(value);
        if flags.contains(Flags::INSERTING) {
            place.inserting = false;
        } else if flags.contains(Flags::REMOVING) {
            place.removing = false;
        } else if flags.contains(Flags::EJECT) {
            place.eject(cx, number);
        } else if flags.contains(Flags::BY_FIRMWARE) {
            place.by_firmware = !place.by_firmware;
        }
    }

    fn set_data(&mut self, cx: &mut Cx<'_>, value: u32) {
        let (number, command) = (self.selected, self.command);
        let Some(place) = self.places.get_mut(number as usize) else { return };
        match command {
            OST_EVENT => place.ost_event = value,
            OST_STATUS => {
                place.ost_status = value;
                place.wanted &= !ost::refuses(place.ost_event, value);
                cx.tell(Notice::SlotStatus { slot: number, event: place.ost_event, status: value });
            }
            _ => {}
        }
    }
}

impl ProcessorPlace {
    /// Has the machine take the processor out, unless it is the one that the machine starts with.
    fn eject(&mut self, cx: &mut Cx<'_>, number: u32) {
        if !self.present || number == 0 {
            return;
        }
        *self =
            Self { apic_id: self.apic_id, ost_event: self.ost_event, ost_status: self.ost_status, ..Self::default() };
        cx.request(MachineRequest::EjectCpu(Cpu(number as u8)));
    }

    fn flags(&self) -> Flags {
        let mut flags = Flags::empty();
        flags.set(Flags::ENABLED, self.present);
        flags.set(Flags::INSERTING, self.inserting);
        flags.set(Flags::REMOVING, self.removing);
        flags.set(Flags::BY_FIRMWARE, self.by_firmware);
        flags
    }
}

impl Device for CpuHotplug {
    fn kind(&self) -> &'static str {
        "acpi-cpu-hotplug"
    }

    fn read(&mut self, _cx: &mut Cx<'_>, at: Reg, width: Width) -> u64 {
        if !self.modern {
            return (0..width.bytes()).fold(0, |all, byte| all | u64::from(self.map(at.offset + byte)) << (8 * byte));
        }
        let Some(place) = self.places.get(self.selected as usize) else { return 0 };
        match (at.offset, self.command) {
            (FLAGS, _) => place.flags().bits().into(),
            (DATA, NEXT_WITH_NEWS) => self.selected.into(),
            (DATA, ARCHITECTURAL_ID) => place.apic_id.into(),
            _ => 0,
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, _width: Width, value: u64) {
        if !self.modern {
            // The map cannot be written: who tries knows of the registers.
            self.modern = at.offset == 0 && value == 0;
            return;
        }
        match at.offset {
            SELECT => self.selected = value as u32,
            FLAGS => self.set_flags(cx, value as u8),
            COMMAND => {
                self.command = value as u8;
                if self.command == NEXT_WITH_NEWS {
                    self.find_news();
                }
            }
            DATA => self.set_data(cx, value as u32),
            _ => {}
        }
    }

    /// A reset takes out what the guest was asked to let go of; it finds the others by itself.
    fn reset(&mut self, cx: &mut Cx<'_>) {
        (self.selected, self.command) = (0, 0);
        for (number, place) in (0..).zip(&mut self.places) {
            if place.wanted {
                place.eject(cx, number);
            }
            *place = ProcessorPlace { apic_id: place.apic_id, present: place.present, ..ProcessorPlace::default() };
        }
    }

    fn input(&mut self, cx: &mut Cx<'_>, input: &Input) {
        let Input::Processor { cpu, change } = *input else { return };
        let Some(place) = self.places.get_mut(usize::from(cpu.0)) else { return };
        match change {
            ProcessorChange::There => {
                place.present = true;
                return;
            }
            ProcessorChange::Gone => return,
            ProcessorChange::Plugged => (place.present, place.inserting) = (true, true),
            ProcessorChange::Wanted => {
                place.removing = place.present;
                place.wanted = place.present;
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

    fn bench() -> Bench {
        let mut b = Bench::new(CpuHotplug::new(&[0, 1, 9]), &[REGION]);
        change(&mut b, 0, ProcessorChange::There);
        b
    }

    fn change(b: &mut Bench, cpu: u8, change: ProcessorChange) {
        b.input(&Input::Processor { cpu: Cpu(cpu), change });
    }

    fn read(b: &mut Bench, at: u64) -> u64 {
        let width = if at == FLAGS { Width::Byte } else { Width::Dword };
        b.bus.read(Space::Io, u64::from(BASE) + at, width, Cpu(0)).expect("a register")
    }

    fn write(b: &mut Bench, at: u64, value: u32) {
        let width = if matches!(at, FLAGS | COMMAND) { Width::Byte } else { Width::Dword };
        b.bus.write(Space::Io, u64::from(BASE) + at, width, value.into(), Cpu(0)).expect("a register");
    }

    #[test]
    fn there_is_a_map_until_someone_tries_to_write_it() {
        let mut b = bench();
        change(&mut b, 2, ProcessorChange::Plugged);
        assert_eq!([b.inb(BASE), b.inb(BASE + 1), b.inb(BASE + 2)], [1, 2, 0]);
        write(&mut b, SELECT, 0);
        write(&mut b, COMMAND, 0);
        assert_eq!((read(&mut b, SELECT), read(&mut b, DATA)), (0, 2), "the registers, and the next with news");
    }

    #[test]
    fn a_processor_is_announced_described_and_let_go_of() {
        let mut b = bench();
        write(&mut b, SELECT, 0);
        change(&mut b, 2, ProcessorChange::Plugged);
        assert_eq!(b.edges().iter().map(|edge| edge.level).collect::<Vec<_>>(), [true, false]);
        write(&mut b, COMMAND, 0);
        assert_eq!(read(&mut b, FLAGS), 0b11);
        write(&mut b, COMMAND, 3);
        assert_eq!(read(&mut b, DATA), 9);
        write(&mut b, FLAGS, 0b10);
        change(&mut b, 2, ProcessorChange::Wanted);
        assert_eq!(read(&mut b, FLAGS), 0b101);
        write(&mut b, FLAGS, 0b100);
        write(&mut b, FLAGS, 0b1000);
        assert_eq!((b.requests(), read(&mut b, FLAGS)), (vec![MachineRequest::EjectCpu(Cpu(2))], 0));
        write(&mut b, SELECT, 0);
        write(&mut b, FLAGS, 0b1000);
        assert_eq!((b.requests(), read(&mut b, FLAGS)), (vec![], 1), "the first stays");
        write(&mut b, SELECT, 3);
        assert_eq!(read(&mut b, FLAGS), 0, "no such processor");
    }

    #[test]
    fn a_reset_takes_out_what_is_wanted_unless_the_guest_has_refused() {
        let mut b = bench();
        write(&mut b, SELECT, 0);
        for cpu in [1, 2] {
            change(&mut b, cpu, ProcessorChange::Plugged);
            change(&mut b, cpu, ProcessorChange::Wanted);
        }
        write(&mut b, SELECT, 1);
        for (command, data) in [(OST_EVENT, 3), (OST_STATUS, 0x81)] {
            write(&mut b, COMMAND, command.into());
            write(&mut b, DATA, data);
        }
        let told = b.bus.take_output();
        let notice = Notice::SlotStatus { slot: 1, event: 3, status: 0x81 };
        assert!(matches!(&told[..], [(_, lockstep_fabric::Output::Notice(said))] if *said == notice), "{told:?}");
        b.bus.reset();
        assert_eq!(b.requests(), [MachineRequest::EjectCpu(Cpu(2))]);
    }
}
