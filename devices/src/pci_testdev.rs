//! pci-testdev (1b36:0005): counts accesses to a register that it names, for measuring how long they take.
//!
//! BAR 0 is memory and BAR 1 ports, alike but for their length. Its first byte chooses a test by number. Then the
//! region reads as the test's header: number, width of its accesses, where they go, the data to write, how many have
//! been counted, and a name. Tests 1 and 2 count as an event would: however many writes came before, a read of the header
//! counts one.
//!
//! Source: QEMU's docs/specs/pci-testdev.

use crate::catalog::{Creatable, Made};
use crate::pci::{Bar, BarKind, ConfigSpace, Identity, SUBSYSTEM};
use crate::properties::{PropertyError, Size, configuration};
use lockstep_fabric::{Cx, Device, PciFunction, Reg, RegionSpec, Space, Width};
use serde::{Deserialize, Serialize};

const MMIO: u8 = 0;
const PORTIO: u8 = 1;
const MEMBAR: u8 = 2;
/// The upper half of each region is where tests write.
const MMIO_HALF: u64 = 2048;
const PORTIO_HALF: u64 = 128;
/// The least memory that a base address register decodes.
const MEMBAR_LEAST: u64 = 16;
const MEMBAR_MOST: u64 = 1 << 40;
const TESTS: u8 = 3;
/// The data that a test with a match wants, and what the other one names.
const DATA_MATCH: u8 = 0xfa;
const DATA_ANY: u8 = 0xce;

configuration! {
    /// How the device is built.
    pub struct PciTestdevConfig {
        /// Bytes of a third region that is only there, a power of two; 0: none.
        pub membar: Size = Size(0),
        /// Whether the third region is RAM: it is not here.
        pub membar_backed as "membar-backed": bool = false,
    }
}

impl Creatable for PciTestdevConfig {
    const NAME: &'static str = "pci-testdev";
    const ABOUT: &'static str = "counts accesses to memory and ports, for kernel test suites";

    fn make(self) -> Result<Made, PropertyError> {
        let len = self.membar.0;
        if len != 0 && !(len.is_power_of_two() && (MEMBAR_LEAST..=MEMBAR_MOST).contains(&len)) {
            let wanted = "use a power of two from 16 to 1T, or 0";
            return Err(PropertyError::Value { name: "membar", value: len.to_string(), wanted });
        }
        if self.membar_backed {
            let wanted = "memory behind it is not built in this version of Lockstep";
            return Err(PropertyError::Value { name: "membar-backed", value: "on".into(), wanted });
        }
        Ok(Made::new(PciTestdev::new(len), &PciTestdev::regions(len)))
    }
}

/// What a test counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counting {
    /// Writes of the data.
    Each,
    /// That there were writes of a byte, whatever its value.
    EventOfAny,
    /// That there were writes of the data.
    EventOfData,
}

/// A test under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Test {
    /// [`MMIO`] or [`PORTIO`].
    region: u8,
    number: u8,
    count: u32,
    /// The event has come and was not counted.
    event: bool,
}

impl Test {
    fn counting(self) -> Counting {
        match self.number {
            0 => Counting::Each,
            1 => Counting::EventOfAny,
            _ => Counting::EventOfData,
        }
    }

    /// Its number among all tests.
    fn index(self) -> u8 {
        self.region * TESTS + self.number
    }

    /// Where it writes.
    fn offset(self) -> u64 {
        let half = if self.region == MMIO { MMIO_HALF } else { PORTIO_HALF };
        half + u64::from(self.index())
    }

    fn data(self) -> u8 {
        if self.counting() == Counting::EventOfAny { DATA_ANY } else { DATA_MATCH }
    }

    /// The header with the name's final zero.
    fn header(self) -> Vec<u8> {
        const BYTE_WIDE: u8 = 1;
        let kind = if self.region == MMIO { "mmio" } else { "portio" };
        let counting = match self.counting() {
            Counting::Each => "no-eventfd",
            Counting::EventOfAny => "wildcard-eventfd",
            Counting::EventOfData => "datamatch-eventfd",
        };
        let mut bytes = vec![self.index(), BYTE_WIDE, 0, 0];
        bytes.extend((self.offset() as u32).to_le_bytes());
        bytes.extend([self.data(), 0, 0, 0]);
        bytes.extend(self.count.to_le_bytes());
        bytes.extend(format!("{kind}-{counting}\0").bytes());
        bytes
    }

    /// A write into the region of the test.
    fn written(&mut self, offset: u64, width: Width, value: u64) {
        let counting = self.counting();
        if counting != Counting::Each && width == Width::Byte && offset == self.offset() {
            let wanted = counting == Counting::EventOfAny || value == u64::from(self.data());
            if wanted {
                self.event = true;
                return;
            }
        }
        let at = self.offset().wrapping_sub(offset);
        if at >= width.bytes() {
            return;
        }
        if counting == Counting::EventOfAny || (value >> (8 * at)) as u8 == self.data() {
            self.count = self.count.wrapping_add(1);
        }
    }
}

/// The function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciTestdev {
    config: ConfigSpace,
    test: Option<Test>,
}

impl PciTestdev {
    /// A function with a third region of so many bytes.
    pub fn new(membar: u64) -> Self {
        let identity = Identity { vendor: 0x1b36, device: 0x0005, revision: 0, class: 0x00_ff00, subsystem: SUBSYSTEM };
        let mut config = ConfigSpace::new(identity);
        let memory = BarKind::Memory32 { prefetchable: false };
        config.define_bar(0, Bar { kind: memory, size: 2 * MMIO_HALF, region: MMIO });
        config.define_bar(1, Bar { kind: BarKind::Io, size: 2 * PORTIO_HALF, region: PORTIO });
        if membar != 0 {
            let kind = BarKind::Memory64 { prefetchable: true };
            config.define_bar(2, Bar { kind, size: membar, region: MEMBAR });
        }
        Self { config, test: None }
    }

    /// The regions that its base address registers place.
    pub fn regions(membar: u64) -> Vec<RegionSpec> {
        let region =
            |space, index, len| RegionSpec { space, index, base: None, len, priority: 0, widest: Width::Qword };
        let mut regions = vec![region(Space::Memory, MMIO, 2 * MMIO_HALF), region(Space::Io, PORTIO, 2 * PORTIO_HALF)];
        if membar != 0 {
            regions.push(region(Space::Memory, MEMBAR, membar));
        }
        regions
    }

    fn read_byte(&mut self, offset: u64) -> u8 {
        let Some(test) = &mut self.test else { return 0 };
        let header = test.header();
        // The last byte, the name's final zero, is out of reach.
        if offset + 1 >= header.len() as u64 {
            return 0;
        }
        if std::mem::take(&mut test.event) {
            test.count = test.count.wrapping_add(1);
        }
        test.header().get(offset as usize).copied().unwrap_or(0)
    }
}

impl PciFunction for PciTestdev {
    fn config_read(&mut self, _cx: &mut Cx<'_>, offset: u16, width: Width) -> u32 {
        self.config.read(offset, width)
    }

    fn config_write(&mut self, cx: &mut Cx<'_>, offset: u16, width: Width, value: u32) {
        self.config.write(cx, offset, width, value);
    }
}

impl Device for PciTestdev {
    fn kind(&self) -> &'static str {
        PciTestdevConfig::NAME
    }

    fn read(&mut self, _cx: &mut Cx<'_>, at: Reg, width: Width) -> u64 {
        if at.region == MEMBAR {
            return width.mask();
        }
        (0..width.bytes()).fold(0, |value, i| value | u64::from(self.read_byte(at.offset + i)) << (8 * i))
    }

    fn write(&mut self, _cx: &mut Cx<'_>, at: Reg, width: Width, value: u64) {
        if at.region == MEMBAR {
            return;
        }
        if at.offset == 0 {
            let number = value as u8;
            self.test = (number < TESTS).then_some(Test { region: at.region, number, count: 0, event: false });
        } else if let Some(test) = self.test.as_mut().filter(|test| test.region == at.region) {
            test.written(at.offset, width, value);
        }
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.config.reset(cx);
        self.test = None;
    }

    fn pci(&mut self) -> Option<&mut dyn PciFunction> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Bench;
    use lockstep_fabric::Cpu;

    const MEMORY: u64 = 0x10_0000;
    const PORTS: u16 = 0xc000;

    fn bench() -> Bench {
        let mut b = Bench::new(PciTestdev::new(0), &PciTestdev::regions(0));
        b.config_write(0x10, Width::Dword, MEMORY as u32);
        b.config_write(0x14, Width::Dword, PORTS.into());
        b.config_write(4, Width::Word, 3);
        b
    }

    fn name(b: &mut Bench, from: u16) -> String {
        (16..).map(|at| char::from(b.inb(from + at))).take_while(|letter| *letter != '\0').collect()
    }

    #[test]
    fn a_test_tells_where_and_what_to_write_and_counts_it() {
        let mut b = bench();
        b.outb(PORTS, 0);
        assert_eq!((b.inb(PORTS), b.inb(PORTS + 1), b.inb(PORTS + 4), b.inb(PORTS + 8)), (3, 1, 131, 0xfa));
        assert_eq!(name(&mut b, PORTS), "portio-no-eventfd");
        for value in [0xfa, 0xfb, 0xfa] {
            b.outb(PORTS + 131, value);
        }
        b.outb(PORTS + 132, 0xfa);
        assert_eq!(b.inb(PORTS + 12), 2);
    }

    #[test]
    fn an_event_counts_once_however_often_it_came() {
        let mut b = bench();
        b.outb(PORTS, 1);
        assert_eq!(name(&mut b, PORTS), "portio-wildcard-eventfd");
        let at = PORTS + u16::from(b.inb(PORTS + 4));
        (0..5).for_each(|value| b.outb(at, value));
        assert_eq!(b.inb(PORTS + 12), 1);
        assert_eq!(b.inb(PORTS + 12), 1);
        b.outb(at, 0);
        assert_eq!(b.inb(PORTS + 12), 2);
    }

    #[test]
    fn memory_is_like_ports() {
        let mut b = bench();
        let mut write = |at: u64, value| b.bus.write(Space::Memory, MEMORY + at, Width::Byte, value, Cpu(0));
        write(0, 2).expect("claimed");
        write(2050, 0xce).expect("claimed");
        write(2050, 0xfa).expect("claimed");
        let header: Vec<_> =
            (0..16).map(|at| b.bus.read(Space::Memory, MEMORY + at, Width::Byte, Cpu(0)).expect("claimed")).collect();
        assert_eq!(header, [2, 1, 0, 0, 2, 8, 0, 0, 0xfa, 0, 0, 0, 1, 0, 0, 0]);
        b.outb(PORTS, 9);
        assert_eq!(b.inb(PORTS + 1), 0, "no such test ends the one before");
    }

    #[test]
    fn the_third_region_is_as_large_as_was_asked() {
        let make = |membar| PciTestdevConfig { membar: Size(membar), ..PciTestdevConfig::default() }.make();
        let made = make(1 << 30).expect("a device");
        assert_eq!(made.regions.iter().map(|region| region.len).collect::<Vec<_>>(), [4096, 256, 1 << 30]);
        assert!(make(3 << 20).is_err() && make(8).is_err());
    }
}
