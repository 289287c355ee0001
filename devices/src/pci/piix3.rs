//! The PIIX3's ISA bridge (8086:7000): PCI interrupt routing and reset control (82371SB data sheet).
//!
//! All sources of an ISA interrupt that can be shared meet here: the PCI interrupt pins, routed by PIRQRC, and ISA lines
//! of devices on the board (the SCI). Each output pin goes to the 8259 pair and to the I/O APIC.

use super::config::{MULTI_FUNCTION, offset};
use super::{ConfigSpace, DevFn, Identity, SUBSYSTEM};
use lockstep_fabric::{Cx, Device, Input, MachineRequest, PciFunction, PinId, Reg, RegionSpec, Space, Width};
use serde::{Deserialize, Serialize};

/// Region: the reset control register.
pub const REGION_RESET: u8 = 1;
/// The region to map on the bus, above the host bridge's.
pub const REGION: RegionSpec =
    RegionSpec { space: Space::Io, index: REGION_RESET, base: Some(0xcf9), len: 1, priority: 1, widest: Width::Byte };
/// Where the board puts it.
pub const PLACE: DevFn = DevFn::new(1, 0);

const PIRQS: usize = 4;
const ISA_LINES: u16 = 16;
const ISA_IN: u16 = 0x20;
const INTX: u16 = 0x100;

/// Input pin: PIRQA# to PIRQD# (0 to 3) itself, for a single source.
pub const fn pin_pirq(pirq: u8) -> PinId {
    PinId(pirq as u16 & 3)
}

/// Input pin: an ISA interrupt line of a device that may share it with PCI.
pub const fn pin_isa(irq: u8) -> PinId {
    PinId(ISA_IN + (irq as u16 & 15))
}

/// Input pin: INTA# to INTD# (0 to 3) of the device in a slot. Slots' pins are swizzled over the PIRQs.
pub const fn pin_intx(device: u8, intx: u8) -> PinId {
    PinId(INTX + (device as u16 & 31) * 4 + (intx as u16 & 3))
}

/// Output pin: ISA IRQ 0 to 15.
pub const fn pin_irq(irq: u8) -> PinId {
    PinId(irq as u16)
}

const PIRQRC: u16 = 0x60;
const PIRQRC_OFF: u8 = 0x80;
/// The interrupts that a PIRQ can be routed to: 3 to 7, 9 to 12, 14, 15.
const ROUTABLE: u16 = 0b1101_1110_1111_1000;

const RCR_FULL: u8 = 1 << 1;
const RCR_RESET: u8 = 1 << 2;

/// The ISA bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piix3 {
    config: ConfigSpace,
    /// Reset control register.
    rcr: u8,
    /// Levels of the PIRQ input pins.
    pirq: [bool; PIRQS],
    /// Levels of the slots' pins: one word for each of the PIRQs they are swizzled to, one bit for each slot.
    slots: [u32; PIRQS],
    /// Levels of the ISA input pins.
    isa: u16,
    /// Levels of the output pins.
    lines: u16,
}

impl Default for Piix3 {
    fn default() -> Self {
        Self::new()
    }
}

impl Piix3 {
    /// A bridge with every PIRQ unrouted.
    pub fn new() -> Self {
        let identity = Identity { vendor: 0x8086, device: 0x7000, revision: 0, class: 0x06_0100, subsystem: SUBSYSTEM };
        let mut config = ConfigSpace::new(identity);
        config.define(offset::COMMAND, &[0x07, 0, 0x00, 0x02]);
        config.allow(offset::COMMAND, &[0x08, 0x01]);
        config.define(offset::HEADER_TYPE, &[MULTI_FUNCTION]);
        // IORT, XBCS, PIRQRC, TOM, MBIRQ, MBDMA, PCSC, APICBASE, DLC and the SMI registers, with their defaults.
        for (at, defaults) in [
            (0x4c, &[0x4d_u8, 0, 0x03, 0][..]),
            (PIRQRC, &[PIRQRC_OFF; PIRQS]),
            (0x69, &[0x02]),
            (0x70, &[0x80]),
            (0x76, &[0x0c, 0x0c]),
            (0x78, &[0x02]),
            (0xa0, &[0x08]),
            (0xa8, &[0x0f]),
        ] {
            config.define(at, defaults);
            config.allow(at, &[0xff; 4][..defaults.len()]);
        }
        config.allow(PIRQRC, &[0x8f; PIRQS]);
        Self { config, rcr: 0, pirq: [false; PIRQS], slots: [0; PIRQS], isa: 0, lines: 0 }
    }

    fn drive(&mut self, cx: &mut Cx<'_>) {
        let mut lines = self.isa;
        for at in 0..PIRQS {
            let route = self.config.byte(PIRQRC + at as u16);
            if route & PIRQRC_OFF == 0 && (self.pirq[at] || self.slots[at] != 0) {
                lines |= 1 << (route & 15) & ROUTABLE;
            }
        }
        for irq in (0..ISA_LINES).filter(|i| (lines ^ self.lines) & 1 << i != 0) {
            cx.set_pin(PinId(irq), lines & 1 << irq != 0);
        }
        self.lines = lines;
    }
}

impl PciFunction for Piix3 {
    fn config_read(&mut self, _cx: &mut Cx<'_>, offset: u16, width: Width) -> u32 {
        self.config.read(offset, width)
    }

    fn config_write(&mut self, cx: &mut Cx<'_>, offset: u16, width: Width, value: u32) {
        self.config.write(cx, offset, width, value);
        self.drive(cx);
    }
}

impl Device for Piix3 {
    fn kind(&self) -> &'static str {
        "PIIX3"
    }

    fn read(&mut self, _cx: &mut Cx<'_>, _at: Reg, _width: Width) -> u64 {
        self.rcr.into()
    }

    fn write(&mut self, cx: &mut Cx<'_>, _at: Reg, _width: Width, value: u64) {
        self.rcr = value as u8 & RCR_FULL;
        if value as u8 & RCR_RESET != 0 {
            cx.request(MachineRequest::Reset);
        }
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.config.reset(cx);
        self.rcr = 0;
        self.drive(cx);
    }

    fn input(&mut self, cx: &mut Cx<'_>, input: &Input) {
        let Input::Pin { pin, level } = input else { return };
        let set = |word: u32, bit: u16| word & !(1 << bit) | u32::from(*level) << bit;
        match pin.0 {
            at @ 0..4 => self.pirq[usize::from(at)] = *level,
            at @ ISA_IN..0x30 => self.isa = set(self.isa.into(), at - ISA_IN) as u16,
            at @ INTX..0x180 => {
                let (slot, intx) = ((at - INTX) / 4, (at - INTX) % 4);
                // Slot 1's INTA# is PIRQA#, slot 2's is PIRQB#, and so on around.
                let pirq = usize::from((slot + intx + 3) & 3);
                let pins_of_slot = &mut self.slots[pirq];
                *pins_of_slot = set(*pins_of_slot, slot);
            }
            _ => return,
        }
        self.drive(cx);
    }

    fn pci(&mut self) -> Option<&mut dyn PciFunction> {
        Some(self)
    }
}
