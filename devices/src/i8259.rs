//! The pair of 8259A interrupt controllers as in PIIX3, cascaded on IRQ2, with the edge/level registers (ELCR).
//!
//! Source: Intel 8259A data sheet (231468); 82371FB/SB (PIIX/PIIX3) data sheet for the ELCR.
//!
//! Input pins 0 to 15 are IRQ0 to IRQ15 (2 is taken by the cascade). Output pin 0 is INTR.
//!
//! An edge stays latched until it is acknowledged even if the line falls before. The data sheet asks sources to hold
//! the line; keeping the edge makes pulsing sources work as guests know it from other virtual machines.

use crate::ports::ports;
use lockstep_fabric::{Acknowledge, Cpu, Cx, Device, Input, PinId, Reg, RegionSpec, Width};
use serde::{Deserialize, Serialize};

/// The output pin to the processor (or to a local APIC's LINT0).
pub const INTR: PinId = PinId(0);

const MASTER: u8 = 0;
const SLAVE: u8 = 1;
const ELCR: u8 = 2;

/// The master's input that the slave drives.
const CASCADE: u8 = 2;
/// What an interrupt that went away is acknowledged as.
const SPURIOUS: u8 = 7;

/// Lines of both chips.
const IRQS: usize = 16;

const ICW1: u64 = 0x10;
const ICW1_IC4: u64 = 0x01;
const ICW1_SNGL: u64 = 0x02;
const ICW1_LTIM: u64 = 0x08;
const ICW4_AEOI: u64 = 0x02;
const ICW4_SFNM: u64 = 0x10;
const OCW3: u64 = 0x08;
const OCW3_RIS: u64 = 0x01;
const OCW3_RR: u64 = 0x02;
const OCW3_POLL: u64 = 0x04;
const OCW3_SMM: u64 = 0x20;
const OCW3_ESMM: u64 = 0x40;

/// IRQs that can be made level-triggered, for each chip: not the timer, keyboard, cascade, RTC and FPU.
const ELCR_WRITABLE: [u8; 2] = [0xf8, 0xde];

/// Which initialization word the odd port takes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Expects {
    /// Initialized: the odd port is the mask (OCW1).
    #[default]
    Mask,
    Icw2,
    Icw3,
    Icw4,
}

/// One 8259A.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Chip {
    /// Levels of the inputs.
    lines: u8,
    /// Rising edges not yet acknowledged.
    latched: u8,
    /// In service (ISR).
    in_service: u8,
    /// Masked (IMR).
    mask: u8,
    /// Inputs that are level-triggered.
    elcr: u8,
    /// The input with the lowest priority; the next one has the highest.
    lowest: u8,
    /// Vector of input 0.
    base: u8,
    expects: Expects,
    wants_icw4: bool,
    single: bool,
    level_triggered: bool,
    auto_eoi: bool,
    rotate_on_auto_eoi: bool,
    special_mask: bool,
    special_fully_nested: bool,
    reads_isr: bool,
    polled: bool,
}

impl Chip {
    fn reset(&mut self) {
        *self = Self { lines: self.lines, lowest: 7, ..Self::default() };
    }

    fn level_mask(&self) -> u8 {
        if self.level_triggered { 0xff } else { self.elcr }
    }

    /// The interrupt request register.
    fn requests(&self) -> u8 {
        (self.latched & !self.level_mask()) | (self.lines & self.level_mask())
    }

    fn set_line(&mut self, line: u8, level: bool) {
        let bit = 1 << line;
        if level {
            self.latched |= bit & !self.lines;
            self.lines |= bit;
        } else {
            self.lines &= !bit;
        }
    }

    /// The set bit with the highest priority, and its rank (0 is highest).
    fn first(&self, set: u8) -> Option<(u8, u8)> {
        (0..8).map(|rank| (rank, self.lowest.wrapping_add(1 + rank) & 7)).find(|(_, line)| set & (1 << line) != 0)
    }

    /// The input to interrupt for, if one outranks what is in service.
    fn pending(&self, is_master: bool) -> Option<u8> {
        let (rank, line) = self.first(self.requests() & !self.mask)?;
        let mut blocking = self.in_service;
        if self.special_mask {
            blocking &= !self.mask;
        }
        if self.special_fully_nested && is_master {
            blocking &= !(1 << CASCADE);
        }
        match self.first(blocking) {
            Some((served, _)) if served <= rank => None,
            _ => Some(line),
        }
    }

    /// The processor takes the interrupt from `line`.
    fn take(&mut self, line: u8) {
        let bit = 1 << line;
        self.latched &= !bit;
        if !self.auto_eoi {
            self.in_service |= bit;
        } else if self.rotate_on_auto_eoi {
            self.lowest = line;
        }
    }

    fn end_highest(&mut self, rotate: bool) {
        let eligible = if self.special_mask { self.in_service & !self.mask } else { self.in_service };
        if let Some((_, line)) = self.first(eligible) {
            self.end(line, rotate);
        }
    }

    fn end(&mut self, line: u8, rotate: bool) {
        self.in_service &= !(1 << line);
        if rotate {
            self.lowest = line;
        }
    }

    fn write_even(&mut self, value: u64) {
        if value & ICW1 != 0 {
            let level_triggered = value & ICW1_LTIM != 0;
            *self = Self {
                lines: self.lines,
                elcr: self.elcr,
                base: self.base,
                lowest: 7,
                expects: Expects::Icw2,
                wants_icw4: value & ICW1_IC4 != 0,
                single: value & ICW1_SNGL != 0,
                level_triggered,
                ..Self::default()
            };
        } else if value & OCW3 != 0 {
            self.operate(value);
        } else {
            self.end_of_interrupt(value);
        }
    }

    /// OCW3.
    fn operate(&mut self, value: u64) {
        self.polled = value & OCW3_POLL != 0;
        if value & OCW3_RR != 0 {
            self.reads_isr = value & OCW3_RIS != 0;
        }
        if value & OCW3_ESMM != 0 {
            self.special_mask = value & OCW3_SMM != 0;
        }
    }

    /// OCW2: bits R, SL and EOI choose the command, the low bits an input.
    fn end_of_interrupt(&mut self, value: u64) {
        let line = (value & 7) as u8;
        match value >> 5 {
            0b000 => self.rotate_on_auto_eoi = false,
            0b100 => self.rotate_on_auto_eoi = true,
            0b001 => self.end_highest(false),
            0b101 => self.end_highest(true),
            0b011 => self.end(line, false),
            0b111 => self.end(line, true),
            0b110 => self.lowest = line,
            _ => {}
        }
    }

    fn write_odd(&mut self, value: u64) {
        match self.expects {
            Expects::Mask => self.mask = value as u8,
            Expects::Icw2 => {
                self.base = value as u8 & 0xf8;
                self.expects = match (self.single, self.wants_icw4) {
                    (false, _) => Expects::Icw3,
                    (true, true) => Expects::Icw4,
                    (true, false) => Expects::Mask,
                };
            }
            // The cascade is wired as it is, whatever the guest says of it.
            Expects::Icw3 => self.expects = if self.wants_icw4 { Expects::Icw4 } else { Expects::Mask },
            Expects::Icw4 => {
                self.auto_eoi = value & ICW4_AEOI != 0;
                self.special_fully_nested = value & ICW4_SFNM != 0;
                self.expects = Expects::Mask;
            }
        }
    }
}

/// The pair.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pics {
    master: Chip,
    slave: Chip,
    /// How often each line has risen, for whoever looks.
    raised: [u64; IRQS],
}

/// What a chip's registers hold, for whoever looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChipRegisters {
    /// Interrupt request register.
    pub irr: u8,
    /// Interrupt mask register.
    pub imr: u8,
    /// In-service register.
    pub isr: u8,
    /// The input with the highest priority.
    pub highest: u8,
    /// Vector of input 0.
    pub base: u8,
    /// Inputs that are level-triggered.
    pub elcr: u8,
    /// OCW3 has chosen the in-service register for reading.
    pub reads_isr: bool,
    /// Special fully nested mode.
    pub special_fully_nested: bool,
}

impl Pics {
    /// A pair as after power-on.
    pub fn new() -> Self {
        let chip = Chip { lowest: 7, ..Chip::default() };
        Self { master: chip.clone(), slave: chip, raised: [0; IRQS] }
    }

    /// The registers of master and slave.
    pub fn registers(&self) -> [ChipRegisters; 2] {
        [&self.master, &self.slave].map(|chip| ChipRegisters {
            irr: chip.requests(),
            imr: chip.mask,
            isr: chip.in_service,
            highest: (chip.lowest + 1) & 7,
            base: chip.base,
            elcr: chip.elcr,
            reads_isr: chip.reads_isr,
            special_fully_nested: chip.special_fully_nested,
        })
    }

    /// How often each of IRQ0 to IRQ15 has risen since power-on.
    pub fn raised(&self) -> &[u64; IRQS] {
        &self.raised
    }

    /// Master at 20h, slave at A0h, ELCR at 4D0h.
    pub fn regions() -> [RegionSpec; 3] {
        [ports(MASTER, 0x20, 2), ports(SLAVE, 0xa0, 2), ports(ELCR, 0x4d0, 2)]
    }

    /// Carries the slave's request to the master and the master's to the processor.
    fn propagate(&mut self, cx: &mut Cx<'_>) {
        self.master.set_line(CASCADE, self.slave.pending(false).is_some());
        cx.set_pin(INTR, self.master.pending(true).is_some());
    }

    fn take_from_slave(&mut self) -> u8 {
        let line = self.slave.pending(false);
        if let Some(line) = line {
            self.slave.take(line);
        }
        // The slave's INT falls at the acknowledge, so that what is still pending there makes a new edge.
        self.master.set_line(CASCADE, false);
        line.unwrap_or(SPURIOUS)
    }

    fn take_vector(&mut self) -> u8 {
        let Some(line) = self.master.pending(true) else { return self.master.base | SPURIOUS };
        self.master.take(line);
        if line == CASCADE { self.slave.base | self.take_from_slave() } else { self.master.base | line }
    }

    /// A read in poll mode acknowledges without the processor.
    fn poll(&mut self, region: u8) -> u8 {
        const INTERRUPT: u8 = 0x80;
        let is_master = region == MASTER;
        let chip = if is_master { &mut self.master } else { &mut self.slave };
        chip.polled = false;
        let Some(line) = chip.pending(is_master) else { return 0 };
        chip.take(line);
        if !is_master {
            self.master.set_line(CASCADE, false);
        }
        INTERRUPT | line
    }

    fn chip(&mut self, region: u8) -> &mut Chip {
        if region == MASTER { &mut self.master } else { &mut self.slave }
    }
}

impl Device for Pics {
    fn kind(&self) -> &'static str {
        "isa-i8259"
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Reg, _width: Width) -> u64 {
        if at.region == ELCR {
            return if at.offset == 0 { self.master.elcr } else { self.slave.elcr }.into();
        }
        let chip = self.chip(at.region);
        let value = if chip.polled {
            let answer = self.poll(at.region);
            self.propagate(cx);
            answer
        } else if at.offset == 1 {
            chip.mask
        } else if chip.reads_isr {
            chip.in_service
        } else {
            chip.requests()
        };
        value.into()
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, _width: Width, value: u64) {
        match (at.region, at.offset) {
            (ELCR, 0) => self.master.elcr = value as u8 & ELCR_WRITABLE[0],
            (ELCR, _) => self.slave.elcr = value as u8 & ELCR_WRITABLE[1],
            (region, 0) => self.chip(region).write_even(value),
            (region, _) => self.chip(region).write_odd(value),
        }
        self.propagate(cx);
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.master.reset();
        self.slave.reset();
        self.propagate(cx);
    }

    fn input(&mut self, cx: &mut Cx<'_>, input: &Input) {
        if let Input::Pin { pin, level } = *input {
            match pin.0 {
                2 | 16.. => return,
                line @ 0..8 => self.master.set_line(line as u8, level),
                line => self.slave.set_line(line as u8 - 8, level),
            }
            if let Some(count) = self.raised.get_mut(usize::from(pin.0)) {
                *count += u64::from(level);
            }
            self.propagate(cx);
        }
    }

    fn acknowledge(&mut self, cx: &mut Cx<'_>, _cpu: Cpu) -> Acknowledge {
        let vector = self.take_vector();
        self.propagate(cx);
        Acknowledge::Vector(vector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Bench;

    const EOI: u8 = 0x20;
    const READ_IRR: u8 = 0x0a;
    const READ_ISR: u8 = 0x0b;

    fn pics(icw4: u8) -> Bench {
        let mut bench = Bench::new(Pics::new(), &Pics::regions());
        for (port, base, icw3) in [(0x20, 0x20, 4), (0xa0, 0x28, 2)] {
            bench.outb(port, 0x11);
            for value in [base, icw3, icw4, 0] {
                bench.outb(port + 1, value);
            }
        }
        bench
    }

    fn vector(bench: &mut Bench) -> u8 {
        match bench.bus.acknowledge(bench.device, Cpu(0)) {
            Acknowledge::Vector(vector) => vector,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_edge_on_irq0_is_delivered_as_vector_base_plus_0_and_blocks_until_eoi() {
        let mut b = pics(1);
        b.drive(0, true);
        assert!(b.level(0));
        assert_eq!(vector(&mut b), 0x20);
        assert!(!b.level(0));
        b.drive(0, false);
        b.drive(0, true);
        assert!(!b.level(0), "in service");
        b.outb(0x20, EOI);
        assert!(b.level(0), "the second edge was remembered");
    }

    #[test]
    fn a_line_held_high_interrupts_once_when_edge_triggered_and_again_when_level_triggered() {
        let mut b = pics(1);
        b.drive(5, true);
        assert_eq!(vector(&mut b), 0x25);
        b.outb(0x20, EOI);
        assert!(!b.level(0));
        b.outb(0x4d0, 0xff);
        assert_eq!(b.inb(0x4d0), 0xf8, "IRQ0 to IRQ2 stay edge-triggered");
        assert!(b.level(0));
        assert_eq!(vector(&mut b), 0x25);
        b.drive(5, false);
        b.outb(0x20, EOI);
        assert!(!b.level(0));
    }

    #[test]
    fn the_slave_is_reached_through_irq2_and_needs_both_eois() {
        let mut b = pics(1);
        b.drive(12, true);
        b.drive(8, true);
        assert_eq!(vector(&mut b), 0x28);
        b.outb(0x20, READ_ISR);
        b.outb(0xa0, READ_IRR);
        assert_eq!((b.inb(0x20), b.inb(0xa0)), (0x04, 0x10));
        b.outb(0x20, EOI);
        assert!(!b.level(0), "IRQ12 ranks below IRQ8, which is in service");
        b.outb(0xa0, EOI);
        assert_eq!(vector(&mut b), 0x2c);
    }

    #[test]
    fn a_request_that_goes_away_is_taken_as_spurious_7_or_15_with_nothing_in_service() {
        let mut b = pics(1);
        b.outb(0x4d0, 0x20);
        b.drive(5, true);
        b.drive(5, false);
        assert_eq!(vector(&mut b), 0x27);
        b.outb(0x20, READ_ISR);
        assert_eq!(b.inb(0x20), 0);

        b.drive(9, true);
        b.outb(0xa1, 0xff);
        assert_eq!(vector(&mut b), 0x2f);
        assert_eq!(b.inb(0x20), 0x04, "the master did see its cascade");
    }

    #[test]
    fn masked_requests_wait() {
        let mut b = pics(1);
        b.outb(0x21, 0x10);
        b.drive(4, true);
        assert!(!b.level(0));
        b.outb(0x20, READ_IRR);
        assert_eq!(b.inb(0x20), 0x10);
        b.outb(0x21, 0);
        assert!(b.level(0));
        assert_eq!(b.inb(0x21), 0);
    }

    #[test]
    fn automatic_eoi_leaves_nothing_in_service_and_may_rotate() {
        let mut b = pics(3);
        b.outb(0x20, 0x80);
        b.drive(3, true);
        b.drive(4, true);
        assert_eq!(vector(&mut b), 0x23);
        b.drive(3, false);
        b.drive(3, true);
        assert_eq!(vector(&mut b), 0x24, "3 is now the lowest");
        assert_eq!(vector(&mut b), 0x23);
    }

    #[test]
    fn rotation_makes_the_input_just_served_the_lowest() {
        let mut b = pics(1);
        b.drive(3, true);
        b.drive(4, true);
        assert_eq!(vector(&mut b), 0x23);
        b.outb(0x20, 0xa0);
        b.drive(3, false);
        b.drive(3, true);
        assert_eq!(vector(&mut b), 0x24);
        b.outb(0x20, 0xc0 | 2);
        assert!(b.level(0), "with 2 the lowest, 3 outranks 4");
    }

    #[test]
    fn special_mask_lets_lower_ranks_through_a_masked_input_in_service() {
        let mut b = pics(1);
        b.drive(1, true);
        vector(&mut b);
        b.drive(6, true);
        assert!(!b.level(0));
        b.outb(0x21, 0x02);
        b.outb(0x20, 0x68);
        assert_eq!(vector(&mut b), 0x26);
        b.outb(0x20, EOI);
        b.outb(0x20, READ_ISR);
        assert_eq!(b.inb(0x20), 0x02, "a masked input is ended by name only");
        b.outb(0x20, 0x60 | 1);
        assert_eq!(b.inb(0x20), 0);
    }

    #[test]
    fn special_fully_nested_lets_a_higher_slave_request_interrupt_a_lower_one() {
        let mut b = pics(0x11);
        b.drive(12, true);
        assert_eq!(vector(&mut b), 0x2c);
        b.drive(9, true);
        assert!(b.level(0));
        assert_eq!(vector(&mut b), 0x29);
        let mut plain = pics(1);
        plain.drive(12, true);
        vector(&mut plain);
        plain.drive(9, true);
        assert!(!plain.level(0));
    }

    #[test]
    fn a_poll_tells_the_request_and_acknowledges_it() {
        let mut b = pics(1);
        b.outb(0x20, 0x0c);
        assert_eq!(b.inb(0x20), 0);
        b.drive(6, true);
        b.outb(0x20, 0x0c);
        assert_eq!(b.inb(0x20), 0x86);
        assert!(!b.level(0));
        b.outb(0x20, READ_ISR);
        assert_eq!(b.inb(0x20), 0x40);
    }

    #[test]
    fn initialization_forgets_edges_but_not_levels() {
        let mut b = pics(1);
        b.drive(4, true);
        b.outb(0x20, 0x11);
        assert!(!b.level(0));
        for value in [0x50, 4, 1] {
            b.outb(0x21, value);
        }
        assert!(!b.level(0));
        b.drive(4, false);
        b.drive(4, true);
        assert_eq!(vector(&mut b), 0x54);
    }
}
