//! The 82093AA I/O APIC, version 20h: 24 input pins turned into interrupt messages (Intel 82093AA data sheet, and the
//! EOI register of the ICH's I/O APIC).
//!
//! Input pin n is interrupt input n. Pins carry "asserted", so the polarity bit is kept but changes nothing.

use lockstep_fabric::{Cx, Device, Input, PinId, Reg, RegionSpec, Space, Width};
use serde::{Deserialize, Serialize};

/// Number of input pins.
pub const PINS: usize = 24;
/// Where the board puts the first I/O APIC.
pub const DEFAULT_BASE: u64 = 0xfec0_0000;
/// The region to map on the bus.
pub const REGION: RegionSpec = RegionSpec {
    space: Space::Memory,
    index: 0,
    base: Some(DEFAULT_BASE),
    len: 0x1000,
    priority: 4096,
    widest: Width::Dword,
};

/// The input pin of a global system interrupt.
pub const fn pin(gsi: u8) -> PinId {
    PinId(gsi as u16)
}

const IOREGSEL: u64 = 0x00;
const IOWIN: u64 = 0x10;
const IOEOI: u64 = 0x40;

const IOAPICID: u8 = 0;
const IOAPICVER: u8 = 1;
const IOAPICARB: u8 = 2;
const IOREDTBL: u8 = 0x10;
const IOREDTBL_LAST: u8 = IOREDTBL + 2 * PINS as u8 - 1;

const ID_BITS: u32 = 0x0f00_0000;
const VERSION: u32 = 0x20 | (PINS as u32 - 1) << 16;

const FIXED: u64 = 0;
const LOWEST_PRIORITY: u64 = 1;
const MSI_WINDOW: u64 = 0xfee0_0000;
const MSI_ASSERT: u32 = 1 << 14;

/// A redirection table entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Redirection(u64);

impl Redirection {
    const LOGICAL: u64 = 1 << 11;
    const REMOTE_IRR: u64 = 1 << 14;
    const LEVEL: u64 = 1 << 15;
    const MASKED: u64 = 1 << 16;
    /// Vector, delivery and destination mode, polarity, trigger, mask and destination.
    const WRITABLE: u64 = 0xff00_0000_0001_afff;

    fn has(self, bits: u64) -> bool {
        self.0 & bits != 0
    }

    fn vector(self) -> u8 {
        self.0 as u8
    }

    /// Level-triggered with a handshake: other delivery modes are edges whatever the trigger bit says.
    fn held(self) -> bool {
        self.has(Self::LEVEL) && matches!((self.0 >> 8) & 7, FIXED | LOWEST_PRIORITY)
    }

    fn message(self) -> (u64, u32) {
        let logical = if self.has(Self::LOGICAL) { 1 << 2 } else { 0 };
        let trigger = if self.held() { Self::LEVEL as u32 } else { 0 };
        (MSI_WINDOW | self.0 >> 56 << 12 | logical, self.0 as u32 & 0x7ff | trigger | MSI_ASSERT)
    }
}

/// The I/O APIC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoApic {
    select: u8,
    id: u32,
    redirections: [Redirection; PINS],
    /// Levels of the input pins, one bit each.
    asserted: u32,
}

impl Default for IoApic {
    fn default() -> Self {
        Self::new()
    }
}

impl IoApic {
    /// An I/O APIC after reset: every pin masked.
    pub fn new() -> Self {
        Self { select: 0, id: 0, redirections: [Redirection(Redirection::MASKED); PINS], asserted: 0 }
    }

    fn register(&self, number: u8) -> u32 {
        match number {
            IOAPICID | IOAPICARB => self.id,
            IOAPICVER => VERSION,
            IOREDTBL..=IOREDTBL_LAST => {
                let entry = self.redirections[usize::from((number - IOREDTBL) / 2)].0;
                (entry >> (32 * u32::from(number & 1))) as u32
            }
            _ => 0,
        }
    }

    fn set_register(&mut self, cx: &mut Cx<'_>, number: u8, value: u32) {
        match number {
            IOAPICID => self.id = value & ID_BITS,
            IOREDTBL..=IOREDTBL_LAST => {
                let (at, shift) = (usize::from((number - IOREDTBL) / 2), 32 * u32::from(number & 1));
                let half = 0xffff_ffff << shift & Redirection::WRITABLE;
                let entry = &mut self.redirections[at];
                entry.0 = entry.0 & !half | u64::from(value) << shift & half;
                if !entry.has(Redirection::LEVEL) {
                    // Switching to edge and back is how software ends an interrupt without the EOI register.
                    entry.0 &= !Redirection::REMOTE_IRR;
                }
                self.hold(cx, at);
            }
            _ => {}
        }
    }

    /// Requests a level-triggered interrupt, if its pin is asserted and the last one has ended.
    fn hold(&mut self, cx: &mut Cx<'_>, at: usize) {
        let entry = &mut self.redirections[at];
        let asserted = self.asserted & 1 << at != 0;
        if asserted && entry.held() && !entry.has(Redirection::MASKED | Redirection::REMOTE_IRR) {
            entry.0 |= Redirection::REMOTE_IRR;
            let (address, data) = entry.message();
            cx.send_msi(address, data);
        }
    }

    fn pin_changed(&mut self, cx: &mut Cx<'_>, at: usize, level: bool) {
        let rises = level && self.asserted & 1 << at == 0;
        self.asserted = self.asserted & !(1 << at) | u32::from(level) << at;
        let entry = self.redirections[at];
        if entry.held() {
            self.hold(cx, at);
        } else if rises && !entry.has(Redirection::MASKED) {
            // An edge on a masked pin is lost: data sheet, section 3.2.4, bit 16.
            let (address, data) = entry.message();
            cx.send_msi(address, data);
        }
    }

    fn end_of_interrupt(&mut self, cx: &mut Cx<'_>, vector: u8) {
        for at in 0..PINS {
            let entry = &mut self.redirections[at];
            if entry.held() && entry.vector() == vector {
                entry.0 &= !Redirection::REMOTE_IRR;
                self.hold(cx, at);
            }
        }
    }
}

impl Device for IoApic {
    fn kind(&self) -> &'static str {
        "ioapic"
    }

    fn read(&mut self, _cx: &mut Cx<'_>, at: Reg, _width: Width) -> u64 {
        match at.offset {
            IOREGSEL => self.select.into(),
            IOWIN => self.register(self.select).into(),
            _ => 0,
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, _width: Width, value: u64) {
        match at.offset {
            IOREGSEL => self.select = value as u8,
            IOWIN => self.set_register(cx, self.select, value as u32),
            IOEOI => self.end_of_interrupt(cx, value as u8),
            _ => {}
        }
    }

    fn reset(&mut self, _cx: &mut Cx<'_>) {
        // The pins are wires: what is asserted stays so.
        *self = Self { asserted: self.asserted, ..Self::new() };
    }

    fn input(&mut self, cx: &mut Cx<'_>, input: &Input) {
        match input {
            Input::Pin { pin, level } if usize::from(pin.0) < PINS => self.pin_changed(cx, pin.0.into(), *level),
            Input::EndOfInterrupt(vector) => self.end_of_interrupt(cx, *vector),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lapic::{self, LocalApics, LocalApicsConfig};
    use lockstep_fabric::{Acknowledge, Bus, Clock, Cpu, DeviceId, Memory};

    const LAPIC: u64 = 0xfee0_0000;
    const LEVEL: u32 = 1 << 15;
    const MASKED: u32 = 1 << 16;

    /// An I/O APIC wired to one local APIC that is enabled.
    struct Board {
        bus: Bus,
        ioapic: DeviceId,
        apics: DeviceId,
    }

    impl Board {
        fn new() -> Self {
            let mut bus = Bus::new(Memory::new(0x1000).unwrap(), Clock::new(0));
            let ioapic = bus.add("ioapic", Box::new(IoApic::new()));
            let config = LocalApicsConfig {
                ids: (0..1).collect(),
                ioapic: Some(ioapic),
                physical_bits: 40,
                x2apic: true,
                tsc_deadline: true,
            };
            let apics = bus.add("apic", Box::new(LocalApics::new(config)));
            bus.map(ioapic, REGION);
            lapic::REGIONS.into_iter().for_each(|r| bus.map(apics, r));
            bus.set_msi_target(apics);
            bus.reset();
            let mut board = Self { bus, ioapic, apics };
            board.poke(LAPIC + 0xf0, 0x1ff);
            board
        }

        fn poke(&mut self, address: u64, value: u32) {
            self.bus.write(Space::Memory, address, Width::Dword, value.into(), Cpu(0)).unwrap();
        }

        fn redirect(&mut self, pin: u32, low: u32) {
            self.poke(DEFAULT_BASE, 0x10 + 2 * pin);
            self.poke(DEFAULT_BASE + 0x10, low);
        }

        fn entry(&mut self, pin: u32) -> u64 {
            self.poke(DEFAULT_BASE, 0x10 + 2 * pin);
            self.bus.read(Space::Memory, DEFAULT_BASE + 0x10, Width::Dword, Cpu(0)).unwrap()
        }

        fn drive(&mut self, pin: u16, level: bool) {
            self.bus.drive(self.ioapic, PinId(pin), level);
        }

        fn take(&mut self) -> Acknowledge {
            self.bus.acknowledge(self.apics, Cpu(0))
        }

        fn end(&mut self) {
            self.poke(LAPIC + 0xb0, 0);
        }
    }

    #[test]
    fn it_says_what_it_is() {
        let mut board = Board::new();
        board.poke(DEFAULT_BASE, 1);
        assert_eq!(board.bus.read(Space::Memory, DEFAULT_BASE + 0x10, Width::Dword, Cpu(0)), Ok(0x0017_0020));
        assert_eq!(board.entry(23), u64::from(MASKED));
    }

    #[test]
    fn each_rising_edge_is_one_interrupt() {
        let mut board = Board::new();
        board.redirect(4, 0x34);
        board.drive(4, true);
        assert_eq!(board.take(), Acknowledge::Vector(0x34));
        board.end();
        assert_eq!(board.take(), Acknowledge::Nothing);
        board.drive(4, false);
        board.drive(4, true);
        assert_eq!(board.take(), Acknowledge::Vector(0x34));
    }

    #[test]
    fn an_edge_on_a_masked_pin_is_lost_but_a_level_is_not() {
        let mut board = Board::new();
        board.redirect(4, 0x34 | MASKED);
        board.redirect(10, 0x50 | LEVEL | MASKED);
        board.drive(4, true);
        board.drive(10, true);
        board.redirect(4, 0x34);
        assert_eq!(board.take(), Acknowledge::Nothing);
        board.redirect(10, 0x50 | LEVEL);
        assert_eq!(board.take(), Acknowledge::Vector(0x50));
    }

    #[test]
    fn a_level_is_requested_again_after_each_end_of_interrupt_while_it_lasts() {
        let mut board = Board::new();
        board.redirect(10, 0x50 | LEVEL);
        board.drive(10, true);
        assert_eq!(board.take(), Acknowledge::Vector(0x50));
        assert_eq!(board.entry(10) & 1 << 14, 1 << 14);
        assert_eq!(board.take(), Acknowledge::Nothing);
        board.end();
        assert_eq!(board.take(), Acknowledge::Vector(0x50));
        board.drive(10, false);
        board.end();
        assert_eq!(board.take(), Acknowledge::Nothing);
        assert_eq!(board.entry(10) & 1 << 14, 0);
    }

    #[test]
    fn the_eoi_register_and_a_turn_to_edge_clear_remote_irr() {
        let mut board = Board::new();
        board.redirect(10, 0x50 | LEVEL);
        board.drive(10, true);
        board.drive(10, false);
        assert_eq!(board.entry(10) & 1 << 14, 1 << 14);
        board.poke(DEFAULT_BASE + 0x40, 0x50);
        assert_eq!(board.entry(10) & 1 << 14, 0);
        board.drive(10, true);
        board.drive(10, false);
        board.redirect(10, 0x50);
        board.redirect(10, 0x50 | LEVEL);
        assert_eq!(board.entry(10) & 1 << 14, 0);
    }

    #[test]
    fn ext_int_asks_the_8259() {
        let mut board = Board::new();
        board.redirect(0, 0x700);
        board.drive(0, true);
        assert_eq!(board.take(), Acknowledge::External);
        assert_eq!(board.take(), Acknowledge::Nothing);
    }
}
