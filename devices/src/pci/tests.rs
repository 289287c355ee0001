use super::config::offset;
use super::i440fx::{self, I440Fx};
use super::piix3::{self, Piix3};
use super::piix4_pm::{self, Piix4Pm, Piix4PmConfig};
use super::*;
use lockstep_fabric::memory::{Backing, Region};
use lockstep_fabric::{
    Bus, Clock, Cpu, Cx, Device, DeviceId, Input, MachineRequest, Memory, Output, PciFunction, PinId, Reg, RegionSpec,
    Sink, Space, WakeReason, Width,
};
use serde::{Deserialize, Serialize};

const ROM_BYTE: u64 = 0xff;

/// A function with one base address register of each kind; every register reads as its region's number. Shows the levels
/// of its input pins as region 9.
#[derive(Serialize, Deserialize)]
pub(super) struct Card {
    config: ConfigSpace,
    levels: u64,
}

/// The regions that a card's base address registers place.
pub(super) const CARD_REGIONS: [RegionSpec; 3] =
    [card_region(0, Space::Io, 0x20), card_region(1, Space::Memory, 0x1000), card_region(2, Space::Memory, 1 << 32)];

const fn card_region(index: u8, space: Space, len: u64) -> RegionSpec {
    RegionSpec { space, index, base: None, len, priority: 0, widest: Width::Dword }
}

impl Card {
    pub(super) fn new() -> Self {
        let subsystem = (0x1af4, 1);
        let identity = Identity { vendor: 0x1234, device: 0x5678, revision: 1, class: 0xff_0000, subsystem };
        let mut config = ConfigSpace::new(identity);
        config.define_interrupt_pin(1);
        config.define_bar(0, Bar { kind: BarKind::Io, size: 0x20, region: 0 });
        config.define_bar(1, Bar { kind: BarKind::Memory32 { prefetchable: false }, size: 0x1000, region: 1 });
        config.define_bar(2, Bar { kind: BarKind::Memory64 { prefetchable: true }, size: 1 << 32, region: 2 });
        config.add_capability(0x09, &[1, 2], &[0xff, 0]);
        config.add_capability(0x11, &[3, 4, 5], &[]);
        Self { config, levels: 0 }
    }
}

impl Device for Card {
    fn kind(&self) -> &'static str {
        "card"
    }
    fn read(&mut self, _cx: &mut Cx<'_>, at: Reg, _width: Width) -> u64 {
        if at.region == 9 { self.levels } else { at.region.into() }
    }
    fn write(&mut self, _cx: &mut Cx<'_>, _at: Reg, _width: Width, _value: u64) {}
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.config.reset(cx);
    }
    fn input(&mut self, _cx: &mut Cx<'_>, input: &Input) {
        if let Input::Pin { pin, level } = input {
            self.levels = self.levels & !(1 << pin.0) | u64::from(*level) << pin.0;
        }
    }
    fn pci(&mut self) -> Option<&mut dyn PciFunction> {
        Some(self)
    }
}

impl PciFunction for Card {
    fn config_read(&mut self, _cx: &mut Cx<'_>, offset: u16, width: Width) -> u32 {
        self.config.read(offset, width)
    }
    fn config_write(&mut self, cx: &mut Cx<'_>, offset: u16, width: Width, value: u32) {
        self.config.write(cx, offset, width, value);
    }
}

/// The PIIX board's chips, and a card in slot 3 that also watches the ISA interrupts.
struct Board {
    bus: Bus,
    isa: DeviceId,
    pm: DeviceId,
    card: DeviceId,
}

impl Board {
    fn new() -> Self {
        Self::with(Piix4PmConfig::default())
    }

    fn with(settings: Piix4PmConfig) -> Self {
        let mut memory = Memory::new(0x20_0000).unwrap();
        let ram = memory.allocate(0x10_0000).unwrap();
        let rom = memory.allocate(0x10_0000).unwrap();
        memory.fill(rom, &[ROM_BYTE as u8; 0x10_0000]);
        let mut bus = Bus::new(memory, Clock::new(0));
        let mut host = I440Fx::new();
        let isa = bus.add("isa", Box::new(Piix3::new()));
        let pm = bus.add("pm", Box::new(Piix4Pm::new(settings)));
        let card = bus.add("card", Box::new(Card::new()));
        host.attach(piix3::PLACE, isa, false);
        host.attach(piix4_pm::PLACE, pm, false);
        host.attach(DevFn::new(3, 0), card, false);
        let host = bus.add("host", Box::new(host));
        bus.map(host, i440fx::REGION);
        bus.map(isa, piix3::REGION);
        piix4_pm::REGIONS.into_iter().for_each(|r| bus.map(pm, r));
        CARD_REGIONS.into_iter().for_each(|region| bus.map(card, region));
        let region = |owner, index, base, len, priority, backing| {
            let (reads, writes) = (priority == 0, priority == 0);
            Region { owner, index, base: Some(base), len, priority, reads, writes, backing }
        };
        bus.memory.add_region(region(host, 100, 0xa_0000, 0x6_0000, 0, Backing::Rom(rom + 0xa_0000)));
        for w in i440fx::WINDOWS {
            bus.memory.add_region(region(host, w.region, w.base, w.len, 1, Backing::Ram(ram + w.base)));
        }
        for irq in 0..16 {
            bus.wire(isa, piix3::pin_irq(irq), Sink::Device(card, PinId(irq.into())));
        }
        bus.wire(pm, piix4_pm::PIN_SCI, Sink::Device(isa, piix3::pin_isa(9)));
        bus.wire(pm, piix4_pm::PIN_RESUME, Sink::Device(host, i440fx::PIN_RESUME));
        bus.reset();
        Self { bus, isa, pm, card }
    }

    fn out(&mut self, port: u64, width: Width, value: u64) {
        // Writes that nothing claims are part of what is tested.
        let _ = self.bus.write(Space::Io, port, width, value, Cpu(0));
    }

    fn inp(&mut self, port: u64, width: Width) -> u64 {
        self.bus.read(Space::Io, port, width, Cpu(0)).unwrap_or(width.mask())
    }

    fn select(&mut self, at: DevFn, offset: u16) -> u64 {
        self.out(0xcf8, Width::Dword, 1 << 31 | u64::from(at.0) << 8 | u64::from(offset & 0xfc));
        0xcfc + u64::from(offset & 3)
    }

    fn config(&mut self, at: DevFn, offset: u16, width: Width) -> u64 {
        let port = self.select(at, offset);
        self.inp(port, width)
    }

    fn configure(&mut self, at: DevFn, offset: u16, width: Width, value: u64) {
        let port = self.select(at, offset);
        self.out(port, width, value);
    }

    fn memory(&mut self, address: u64) -> u64 {
        self.bus.read(Space::Memory, address, Width::Byte, Cpu(0)).unwrap_or(0xee)
    }

    fn store(&mut self, address: u64, value: u64) {
        self.bus.write(Space::Memory, address, Width::Byte, value, Cpu(0)).unwrap();
    }

    fn irqs(&mut self) -> u64 {
        let at = Reg { region: 9, offset: 0 };
        self.bus.with(self.card, |d, cx| d.read(cx, at, Width::Qword)).unwrap()
    }

    fn requests(&mut self) -> Vec<MachineRequest> {
        let sent = self.bus.take_output().into_iter();
        sent.filter_map(|(_, o)| if let Output::Machine(r) = o { Some(r) } else { None }).collect()
    }
}

const CARD: DevFn = DevFn::new(3, 0);

#[test]
fn functions_are_found_by_their_places_and_the_rest_reads_as_ones() {
    let mut board = Board::new();
    let ids = [i440fx::PLACE, piix3::PLACE, piix4_pm::PLACE, CARD, DevFn::new(2, 0), DevFn::new(1, 1)];
    let ids = ids.map(|at| board.config(at, 0, Width::Dword));
    assert_eq!(ids, [0x1237_8086, 0x7000_8086, 0x7113_8086, 0x5678_1234, 0xffff_ffff, 0xffff_ffff]);
    board.out(0xcf8, Width::Dword, 0x8001_0000);
    assert_eq!(board.inp(0xcfc, Width::Dword), 0xffff_ffff, "there is no bus 1");
    board.out(0xcf8, Width::Dword, 0);
    assert_eq!(board.inp(0xcfc, Width::Dword), 0xffff_ffff, "not enabled");
}

#[test]
fn configuration_data_can_be_reached_in_parts() {
    let mut board = Board::new();
    assert_eq!(board.config(CARD, 2, Width::Word), 0x5678);
    assert_eq!(board.config(CARD, 3, Width::Byte), 0x56);
    assert_eq!(board.config(CARD, 1, Width::Word), 0x7812);
    assert_eq!(board.config(i440fx::PLACE, 0x2c, Width::Dword), 0x1100_1af4);
    assert_eq!(board.inp(0xcf8, Width::Dword), 0x8000_002c);
}

#[test]
fn a_base_address_register_tells_its_size_and_then_decodes() {
    let mut board = Board::new();
    board.configure(CARD, 0x10, Width::Dword, 0xffff_ffff);
    assert_eq!(board.config(CARD, 0x10, Width::Dword), 0xffff_ffe1);
    board.configure(CARD, 0x14, Width::Dword, 0xffff_ffff);
    assert_eq!(board.config(CARD, 0x14, Width::Dword), 0xffff_f000);
    board.configure(CARD, 0x18, Width::Dword, 0xffff_ffff);
    board.configure(CARD, 0x1c, Width::Dword, 0xffff_ffff);
    assert_eq!((board.config(CARD, 0x18, Width::Dword), board.config(CARD, 0x1c, Width::Dword)), (0xc, 0xffff_ffff));
    board.configure(CARD, offset::COMMAND, Width::Word, 3);
    assert_eq!(board.memory(0xffff_f000), 0xee, "a size is no address");
    board.configure(CARD, 0x10, Width::Dword, 0xc000);
    board.configure(CARD, 0x14, Width::Dword, 0xfebf_0000);
    board.configure(CARD, 0x1c, Width::Dword, 0x10);
    assert_eq!((board.inp(0xc01f, Width::Byte), board.memory(0xfebf_0fff), board.memory(0x10_0000_0000)), (0, 1, 2));
    board.configure(CARD, offset::COMMAND, Width::Word, 1);
    assert_eq!((board.inp(0xc000, Width::Byte), board.memory(0xfebf_0000)), (0, 0xee));
}

#[test]
fn capabilities_are_a_list() {
    let mut board = Board::new();
    assert_eq!(board.config(CARD, offset::STATUS, Width::Word) & 0x10, 0x10);
    assert_eq!(board.config(CARD, offset::CAPABILITIES, Width::Byte), 0x40);
    assert_eq!(board.config(CARD, 0x40, Width::Dword), 0x0201_4409);
    assert_eq!(board.config(CARD, 0x44, Width::Dword), 0x0403_0011);
    board.configure(CARD, 0x40, Width::Dword, 0xffff_ffff);
    assert_eq!(board.config(CARD, 0x40, Width::Dword), 0x02ff_4409);
}

#[test]
fn pam_lays_ram_over_the_rom_for_reading_and_writing_apart() {
    let mut board = Board::new();
    assert_eq!(board.memory(0xf_0000), ROM_BYTE);
    board.configure(i440fx::PLACE, 0x59, Width::Byte, 0x20);
    board.store(0xf_0000, 0x12);
    assert_eq!(board.memory(0xf_0000), ROM_BYTE, "written to RAM, read from ROM");
    board.configure(i440fx::PLACE, 0x59, Width::Byte, 0x10);
    board.store(0xf_0000, 0x34);
    assert_eq!(board.memory(0xf_0000), 0x12, "read from RAM, writes dropped");
    board.configure(i440fx::PLACE, 0x5f, Width::Byte, 0x30);
    board.store(0xe_c000, 0x56);
    board.store(0xe_8000, 0x56);
    assert_eq!((board.memory(0xe_c000), board.memory(0xe_8000)), (0x56, ROM_BYTE));
    board.bus.reset();
    assert_eq!(board.memory(0xe_c000), ROM_BYTE);
}

#[test]
fn smram_opens_until_it_is_locked() {
    let mut board = Board::new();
    board.configure(i440fx::PLACE, 0x72, Width::Byte, 0x4a);
    board.store(0xa_0000, 0x77);
    assert_eq!(board.memory(0xa_0000), 0x77);
    board.configure(i440fx::PLACE, 0x72, Width::Byte, 0x5a);
    assert_eq!(board.memory(0xa_0000), ROM_BYTE);
    board.configure(i440fx::PLACE, 0x72, Width::Byte, 0x4a);
    assert_eq!(board.config(i440fx::PLACE, 0x72, Width::Byte), 0x1a);
}

#[test]
fn a_write_to_the_reset_control_resets_the_machine() {
    let mut board = Board::new();
    board.out(0xcf9, Width::Byte, 0x02);
    assert_eq!((board.inp(0xcf9, Width::Byte), board.requests()), (2, vec![]));
    board.out(0xcf9, Width::Byte, 0x06);
    assert_eq!(board.requests(), [MachineRequest::Reset]);
}

#[test]
fn pins_of_slots_share_routed_interrupts() {
    let mut board = Board::new();
    board.configure(piix3::PLACE, 0x60, Width::Dword, 0x0b0b_0a0a);
    board.bus.drive(board.isa, piix3::pin_intx(1, 0), true);
    assert_eq!(board.irqs(), 1 << 10);
    board.bus.drive(board.isa, piix3::pin_intx(2, 0), true);
    board.bus.drive(board.isa, piix3::pin_intx(1, 0), false);
    assert_eq!(board.irqs(), 1 << 10, "PIRQB# still holds the shared line");
    board.bus.drive(board.isa, piix3::pin_intx(3, 0), true);
    assert_eq!(board.irqs(), 1 << 10 | 1 << 11);
    board.configure(piix3::PLACE, 0x60, Width::Dword, 0x8080_8080);
    assert_eq!(board.irqs(), 0);
}

#[test]
fn acpi_registers_appear_where_firmware_puts_them() {
    let mut board = Board::new();
    board.configure(piix4_pm::PLACE, 0x40, Width::Dword, 0x601);
    assert_eq!(board.inp(0x604, Width::Word), 0xffff);
    board.configure(piix4_pm::PLACE, 0x80, Width::Byte, 1);
    assert_eq!(board.inp(0x604, Width::Word), 0);
    let mut board = Board::with(Piix4PmConfig { preset: true, ..Default::default() });
    assert_eq!(board.inp(0x604, Width::Word), 0);
}

/// A board without firmware, with ACPI enabled.
fn acpi() -> Board {
    let mut board = Board::with(Piix4PmConfig { preset: true, ..Default::default() });
    board.out(0xb2, Width::Byte, 0xf1);
    assert_eq!(board.inp(0x604, Width::Word), 1);
    board
}

#[test]
fn the_power_button_interrupts_until_its_status_is_cleared() {
    let mut board = acpi();
    board.out(0x602, Width::Word, 1 << 8);
    board.bus.input(board.pm, &Input::PowerButton);
    assert_eq!((board.irqs(), board.inp(0x600, Width::Word)), (1 << 9, 1 << 8));
    board.out(0x600, Width::Word, 1 << 8);
    assert_eq!(board.irqs(), 0);
}

#[test]
fn general_purpose_events_interrupt_when_enabled() {
    let mut board = acpi();
    board.bus.drive(board.pm, piix4_pm::pin_gpe(9), true);
    board.bus.drive(board.pm, piix4_pm::pin_gpe(9), false);
    assert_eq!((board.irqs(), board.inp(0xafe0, Width::Word)), (0, 1 << 9));
    board.out(0xafe2, Width::Word, 1 << 9);
    assert_eq!(board.irqs(), 1 << 9);
    board.out(0xafe0, Width::Word, 1 << 9);
    assert_eq!((board.irqs(), board.inp(0xafe0, Width::Dword)), (0, 1 << 25));
}

#[test]
fn the_pm_timer_counts_24_bits_at_3579545_hz_and_interrupts_on_its_highest() {
    let mut board = acpi();
    board.bus.advance(1_000_000_000);
    assert_eq!(board.inp(0x608, Width::Dword), 3_579_545);
    board.out(0x602, Width::Word, 1);
    let due = board.bus.clock.next_deadline();
    assert_eq!(due, (u64::from(1u32 << 23) * 1_000_000_000).div_ceil(3_579_545));
    board.bus.advance(due);
    assert_eq!((board.irqs(), board.inp(0x608, Width::Dword)), (1 << 9, 1 << 23));
    board.out(0x600, Width::Word, 1);
    assert_eq!(board.irqs(), 0);
    board.bus.advance(2 * due);
    assert_eq!((board.irqs(), board.inp(0x608, Width::Dword)), (1 << 9, 0));
}

#[test]
fn sleep_types_power_off_and_suspend() {
    let mut board = acpi();
    board.out(0x604, Width::Word, 1 << 13);
    assert_eq!(board.requests(), [MachineRequest::PowerOff]);
    board.out(0x604, Width::Word, 1 << 13 | 1 << 10);
    assert_eq!(board.requests(), [MachineRequest::Suspend]);
    board.out(0x604, Width::Word, 1 << 13 | 2 << 10);
    assert_eq!(board.requests(), [MachineRequest::PowerOff], "S4 is S5 to the board");
    board.out(0x604, Width::Word, 1 << 13 | 3 << 10);
    assert_eq!(board.requests(), []);
    board.bus.reset();
    assert_eq!(board.inp(0x600, Width::Word), 0, "another reset is no waking");
}

/// A sleeping board that the alarm may wake or may not, and something happens.
fn asleep(alarm_wakes: bool, reason: WakeReason) -> Board {
    let mut board = acpi();
    board.configure(i440fx::PLACE, 0x59, Width::Byte, 0x10);
    board.out(0x602, Width::Word, if alarm_wakes { 1 << 10 } else { 0 });
    board.out(0x604, Width::Word, 1 << 13 | 1 << 10);
    assert_eq!(board.requests(), [MachineRequest::Suspend]);
    board.bus.input(board.pm, &Input::WakeEvent(reason));
    board
}

#[test]
fn a_waking_shows_its_reason_and_leaves_the_shadow_ram_open() {
    for (alarm_wakes, reason, status) in
        [(false, WakeReason::Operator, 1 << 15 | 1 << 8), (true, WakeReason::Alarm, 1 << 15 | 1 << 10)]
    {
        let mut board = asleep(alarm_wakes, reason);
        assert_eq!(board.requests(), [MachineRequest::Wake]);
        let bytes = board.config(i440fx::PLACE, 0x59, Width::Byte);
        board.bus.reset();
        assert_eq!(board.config(i440fx::PLACE, 0x59, Width::Byte), bytes);
        assert_eq!(board.inp(0x600, Width::Word), status);
        board.bus.reset();
        assert_eq!(board.config(i440fx::PLACE, 0x59, Width::Byte), 0);
    }
    assert_eq!(asleep(false, WakeReason::Alarm).requests(), [], "the guest has not enabled the alarm");
    let mut awake = acpi();
    awake.bus.input(awake.pm, &Input::WakeEvent(WakeReason::Operator));
    assert_eq!(awake.requests(), []);
}

#[test]
fn state_survives_saving_and_loading() {
    let mut board = acpi();
    board.configure(CARD, 0x14, Width::Dword, 0xfebf_0000);
    board.configure(CARD, offset::COMMAND, Width::Word, 3);
    board.configure(i440fx::PLACE, 0x59, Width::Byte, 0x10);
    let saved = board.bus.save().unwrap();
    let mut other = Board::new();
    other.bus.load(&saved).unwrap();
    assert_eq!(other.bus.save().unwrap(), saved);
    assert_eq!((other.memory(0xfebf_0000), other.memory(0xf_0000)), (1, 0));
}
