//! pc-testdev: registers by which kernel test suites raise interrupts and make every kind of port and memory access.
//!
//! - Ports e0h to e3h hold 32 bits, read and written at any width; e8h to ebh reach the same bits by bytes.
//! - Port e4h asks for a page to be dropped from translations; here none is ever stale.
//! - Ports 2000h to 2017h are interrupt lines: what is written is the line's level.
//! - 64 KiB of registers from ff000000h on hold what is written to them.
//!
//! Source: the comment at the head of QEMU's hw/misc/pc-testdev.c; kvm-unit-tests' lib/x86.

use crate::catalog::{Creatable, Made};
use crate::properties::{PropertyError, configuration};
use lockstep_fabric::{Cx, Device, PinId, Reg, RegionSpec, Space, Width};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const IOPORT: u8 = 0;
const FLUSH: u8 = 1;
const IOPORT_BYTE: u8 = 2;
const IRQ_LINES: u8 = 3;
const IOMEM: u8 = 4;

const LINES: u64 = 24;
/// Lines that an ISA interrupt belongs to.
const ISA_LINES: u8 = 16;
const IOMEM_BASE: u64 = 0xff00_0000;
const IOMEM_LEN: u64 = 0x1_0000;

configuration! {
    /// The test device has nothing to set.
    pub struct PcTestdevConfig {}
}

impl Creatable for PcTestdevConfig {
    const NAME: &'static str = "pc-testdev";
    const ABOUT: &'static str = "ports, memory and interrupt lines for kernel test suites";

    fn make(self) -> Result<Made, PropertyError> {
        let irqs = (0..ISA_LINES).map(|line| (PinId(line.into()), line)).collect();
        Ok(Made { irqs, ..Made::new(PcTestdev::default(), &PcTestdev::REGIONS) })
    }
}

/// The device. Output pins 0 to 15 are its interrupt lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PcTestdev {
    ioport: u32,
    lines: u32,
    /// The memory's words of eight bytes that are not zero, by number.
    memory: BTreeMap<u16, u64>,
}

const fn region(space: Space, index: u8, base: u64, len: u64, widest: Width) -> RegionSpec {
    RegionSpec { space, index, base: Some(base), len, priority: 0, widest }
}

impl PcTestdev {
    /// Its ports and memory.
    pub const REGIONS: [RegionSpec; 5] = [
        region(Space::Io, IOPORT, 0xe0, 4, Width::Dword),
        region(Space::Io, FLUSH, 0xe4, 4, Width::Dword),
        region(Space::Io, IOPORT_BYTE, 0xe8, 4, Width::Byte),
        region(Space::Io, IRQ_LINES, 0x2000, LINES, Width::Byte),
        region(Space::Memory, IOMEM, IOMEM_BASE, IOMEM_LEN, Width::Qword),
    ];

    fn set_line(&mut self, cx: &mut Cx<'_>, line: u64, level: bool) {
        let bit = 1 << (line % LINES);
        self.lines = if level { self.lines | bit } else { self.lines & !bit };
        if line < ISA_LINES.into() {
            cx.set_pin(PinId(line as u16), level);
        }
    }

    fn word(&self, number: u64) -> u64 {
        self.memory.get(&(number as u16)).copied().unwrap_or(0)
    }

    fn put_word(&mut self, number: u64, value: u64) {
        if value == 0 {
            self.memory.remove(&(number as u16));
        } else if number < IOMEM_LEN / 8 {
            self.memory.insert(number as u16, value);
        }
    }
}

impl Device for PcTestdev {
    fn kind(&self) -> &'static str {
        PcTestdevConfig::NAME
    }

    fn read(&mut self, _cx: &mut Cx<'_>, at: Reg, width: Width) -> u64 {
        match at.region {
            IOPORT | IOPORT_BYTE => u64::from(self.ioport) >> (8 * (at.offset & 3)) & width.mask(),
            IOMEM => {
                // An access may reach into the next word.
                let (word, shift) = (at.offset / 8, 8 * (at.offset % 8));
                let both = u128::from(self.word(word)) | u128::from(self.word(word + 1)) << 64;
                (both >> shift) as u64 & width.mask()
            }
            _ => width.mask(),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, width: Width, value: u64) {
        match at.region {
            IOPORT | IOPORT_BYTE => {
                let shift = 8 * (at.offset & 3);
                let mask = (width.mask() << shift) as u32;
                self.ioport = self.ioport & !mask | (value << shift) as u32 & mask;
            }
            IRQ_LINES => self.set_line(cx, at.offset, value != 0),
            IOMEM => {
                let (word, shift) = (at.offset / 8, 8 * (at.offset % 8));
                let mask = u128::from(width.mask()) << shift;
                let both = u128::from(self.word(word)) | u128::from(self.word(word + 1)) << 64;
                let both = both & !mask | u128::from(value & width.mask()) << shift;
                self.put_word(word, both as u64);
                self.put_word(word + 1, (both >> 64) as u64);
            }
            _ => {}
        }
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        *self = Self::default();
        (0..ISA_LINES.into()).for_each(|line| cx.set_pin(PinId(line), false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Bench, Edge};
    use lockstep_fabric::Cpu;

    fn bench() -> Bench {
        Bench::new(PcTestdev::default(), &PcTestdev::REGIONS)
    }

    #[test]
    fn the_port_holds_32_bits_that_are_reached_at_every_width() {
        let mut b = bench();
        b.outl(0xe0, 0x1234_5678);
        b.outb(0xe1, 0xab);
        b.outw(0xe2, 0xcdef);
        b.outb(0xe8, 0x99);
        assert_eq!((b.inb(0xe3), b.inw(0xe0), b.inw(0xe9)), (0xcd, 0xab99, 0xefab));
    }

    #[test]
    fn the_memory_holds_what_is_written_wherever_it_begins() {
        let mut b = bench();
        let at = IOMEM_BASE + 0xffd;
        b.bus.write(Space::Memory, at, Width::Qword, 0x1122_3344_5566_7788, Cpu(0)).expect("claimed");
        b.bus.write(Space::Memory, at + 2, Width::Byte, 0, Cpu(0)).expect("claimed");
        assert_eq!(b.bus.read(Space::Memory, at, Width::Qword, Cpu(0)), Ok(0x1122_3344_5500_7788));
        assert_eq!(b.bus.read(Space::Memory, at + 3, Width::Dword, Cpu(0)), Ok(0x2233_4455));
        b.bus.reset();
        assert_eq!(b.bus.read(Space::Memory, at, Width::Qword, Cpu(0)), Ok(0));
    }

    #[test]
    fn a_write_to_a_line_is_its_level() {
        let mut b = bench();
        b.outb(0x2005, 1);
        b.outb(0x2005, 1);
        b.outb(0x2005, 0);
        b.outb(0x2017, 1);
        let edge = |level| Edge { at: b.now(), pin: 5, level };
        let expected = [edge(true), edge(false)];
        assert_eq!(b.edges(), expected);
    }
}
