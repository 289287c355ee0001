//! edu (1234:11e8): a PCI function made to learn drivers by: it inverts, computes factorials, interrupts and copies by
//! DMA.
//!
//! Source: QEMU's docs/specs/edu. A factorial takes a microsecond, a transfer a hundred milliseconds.

use crate::catalog::{Creatable, Made};
use crate::pci::{Bar, BarKind, Command, ConfigSpace, Identity, Intx, Msi, SUBSYSTEM, hex};
use crate::properties::{PropertyError, configuration};
use bitflags::bitflags;
use lockstep_fabric::{Cx, Device, Nanos, PciFunction, PinId, Reg, RegionSpec, Space, TimerId, Width};
use serde::{Deserialize, Serialize};

/// Output pin: INTA#.
pub const INTA: PinId = PinId(0);
const LEN: u64 = 1 << 20;
/// Major and minor version, and the device's mark.
const IDENTIFICATION: u32 = 0x0100_00ed;

const FACTORIAL_DONE: TimerId = TimerId(0);
const DMA_DONE: TimerId = TimerId(1);
const FACTORIAL_TIME: Nanos = 1_000;
const DMA_TIME: Nanos = 100_000_000;

/// Interrupts by what raised them; the guest can raise any others itself.
const IRQ_FACTORIAL: u32 = 1;
const IRQ_DMA: u32 = 0x100;

/// Where the device sees its own buffer.
const BUFFER: u64 = 0x4_0000;
const BUFFER_LEN: u64 = 4096;

mod register {
    pub(super) const IDENTIFICATION: u64 = 0x00;
    pub(super) const LIVENESS: u64 = 0x04;
    pub(super) const FACTORIAL: u64 = 0x08;
    pub(super) const STATUS: u64 = 0x20;
    pub(super) const IRQ_STATUS: u64 = 0x24;
    pub(super) const IRQ_RAISE: u64 = 0x60;
    pub(super) const IRQ_ACKNOWLEDGE: u64 = 0x64;
    pub(super) const DMA_SOURCE: u64 = 0x80;
    pub(super) const DMA_DESTINATION: u64 = 0x88;
    pub(super) const DMA_COUNT: u64 = 0x90;
    pub(super) const DMA_COMMAND: u64 = 0x98;
    /// Registers from here on may be accessed by eight bytes.
    pub(super) const WIDE: u64 = 0x80;
}

bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Status: u32 {
        /// A factorial is being computed; read-only.
        const COMPUTING = 1 << 0;
        /// Interrupt when it is done.
        const INTERRUPT = 1 << 7;
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct DmaCommand: u64 {
        const RUN = 1 << 0;
        /// From the buffer to memory, not from memory to the buffer.
        const TO_MEMORY = 1 << 1;
        /// Interrupt when it is done.
        const INTERRUPT = 1 << 2;
    }
}

configuration! {
    /// How the device is built.
    pub struct EduConfig {
        /// The address lines that reach memory.
        pub dma_mask: u64 = (1 << 28) - 1,
    }
}

impl Creatable for EduConfig {
    const NAME: &'static str = "edu";
    const ABOUT: &'static str = "a PCI function to learn drivers by";

    fn make(self) -> Result<Made, PropertyError> {
        let device = Edu::new(self.dma_mask).ok_or(PropertyError::Value {
            name: "dma_mask",
            value: format!("{:#x}", self.dma_mask),
            wanted: "no room for MSI",
        })?;
        Ok(Made::new(device, &Edu::REGIONS))
    }
}

/// A transfer as it is programmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Dma {
    source: u64,
    destination: u64,
    count: u64,
    command: DmaCommand,
}

/// The function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edu {
    config: ConfigSpace,
    msi: Msi,
    intx: Intx,
    dma_mask: u64,
    inverted: u32,
    factorial: u32,
    status: Status,
    irq_status: u32,
    dma: Dma,
    #[serde(with = "hex")]
    buffer: Vec<u8>,
}

impl Edu {
    /// The region that its base address register places.
    pub const REGIONS: [RegionSpec; 1] =
        [RegionSpec { space: Space::Memory, index: 0, base: None, len: LEN, priority: 0, widest: Width::Qword }];

    /// The function after power-on; `None` if configuration space had no room.
    pub fn new(dma_mask: u64) -> Option<Self> {
        let identity =
            Identity { vendor: 0x1234, device: 0x11e8, revision: 0x10, class: 0x00_ff00, subsystem: SUBSYSTEM };
        let mut config = ConfigSpace::new(identity);
        config.define_bar(0, Bar { kind: BarKind::Memory32 { prefetchable: false }, size: LEN, region: 0 });
        config.define_interrupt_pin(1);
        let msi = Msi::new(&mut config)?;
        let dma = Dma { source: 0, destination: 0, count: 0, command: DmaCommand::empty() };
        Some(Self {
            config,
            msi,
            intx: Intx::default(),
            dma_mask,
            inverted: 0,
            factorial: 0,
            status: Status::empty(),
            irq_status: 0,
            dma,
            buffer: vec![0; BUFFER_LEN as usize],
        })
    }

    fn raise(&mut self, cx: &mut Cx<'_>, bits: u32) {
        self.irq_status |= bits;
        if self.irq_status == 0 {
            return;
        }
        if self.msi.enabled(&self.config) {
            self.msi.raise(cx, &self.config);
        } else {
            self.intx.set(cx, &mut self.config, INTA, true);
        }
    }

    fn acknowledge_interrupts(&mut self, cx: &mut Cx<'_>, bits: u32) {
        self.irq_status &= !bits;
        if self.irq_status == 0 {
            self.intx.set(cx, &mut self.config, INTA, false);
        }
    }

    fn compute(&mut self, cx: &mut Cx<'_>, of: u32) {
        if self.status.contains(Status::COMPUTING) {
            return;
        }
        self.factorial = of;
        self.status |= Status::COMPUTING;
        cx.arm(FACTORIAL_DONE, cx.now().saturating_add(FACTORIAL_TIME));
    }

    fn command(&mut self, cx: &mut Cx<'_>, value: u64) {
        let command = DmaCommand::from_bits_truncate(value);
        if command.contains(DmaCommand::RUN) {
            self.dma.command = command;
            cx.arm(DMA_DONE, cx.now().saturating_add(DMA_TIME));
        }
    }

    /// Where a transfer begins in the buffer; `None` if it leaves it.
    fn in_buffer(&self, address: u64) -> Option<std::ops::Range<usize>> {
        let start = address.checked_sub(BUFFER)?;
        let end = start.checked_add(self.dma.count)?;
        (end <= BUFFER_LEN).then_some(start as usize..end as usize)
    }

    /// A transfer that would leave the buffer moves nothing.
    fn transfer(&mut self, cx: &mut Cx<'_>) {
        let Dma { source, destination, command, .. } = self.dma;
        if !self.config.command().contains(Command::MASTER) {
            return;
        }
        if command.contains(DmaCommand::TO_MEMORY) {
            if let Some(bytes) = self.in_buffer(source).and_then(|range| self.buffer.get(range)) {
                cx.dma_write(destination & self.dma_mask, bytes);
            }
        } else if let Some(bytes) = self.in_buffer(destination).and_then(|range| self.buffer.get_mut(range)) {
            cx.dma_read(source & self.dma_mask, bytes);
        }
    }
}

/// The factorial's low 32 bits: from 34 on they are zero.
fn factorial(of: u32) -> u32 {
    const ZERO_FROM: u32 = 34;
    if of >= ZERO_FROM { 0 } else { (1..=of).fold(1, u32::wrapping_mul) }
}

impl PciFunction for Edu {
    fn config_read(&mut self, _cx: &mut Cx<'_>, offset: u16, width: Width) -> u32 {
        self.config.read(offset, width)
    }

    fn config_write(&mut self, cx: &mut Cx<'_>, offset: u16, width: Width, value: u32) {
        self.config.write(cx, offset, width, value);
        self.intx.update(cx, &mut self.config, INTA);
    }
}

impl Device for Edu {
    fn kind(&self) -> &'static str {
        EduConfig::NAME
    }

    fn read(&mut self, _cx: &mut Cx<'_>, at: Reg, width: Width) -> u64 {
        let fits = width == Width::Dword || width == Width::Qword && at.offset >= register::WIDE;
        if !fits {
            return width.mask();
        }
        match at.offset {
            register::IDENTIFICATION => IDENTIFICATION.into(),
            register::LIVENESS => self.inverted.into(),
            register::FACTORIAL => self.factorial.into(),
            register::STATUS => self.status.bits().into(),
            register::IRQ_STATUS => self.irq_status.into(),
            register::DMA_SOURCE => self.dma.source,
            register::DMA_DESTINATION => self.dma.destination,
            register::DMA_COUNT => self.dma.count,
            register::DMA_COMMAND => self.dma.command.bits(),
            _ => width.mask(),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, width: Width, value: u64) {
        let fits = width == Width::Dword || width == Width::Qword && at.offset >= register::WIDE;
        let running = self.dma.command.contains(DmaCommand::RUN);
        match at.offset {
            _ if !fits => {}
            register::LIVENESS => self.inverted = !(value as u32),
            register::FACTORIAL => self.compute(cx, value as u32),
            register::STATUS => {
                self.status.set(Status::INTERRUPT, value as u32 & Status::INTERRUPT.bits() != 0);
            }
            register::IRQ_RAISE => self.raise(cx, value as u32),
            register::IRQ_ACKNOWLEDGE => self.acknowledge_interrupts(cx, value as u32),
            // A transfer under way is not reprogrammed.
            register::WIDE.. if running => {}
            register::DMA_SOURCE => self.dma.source = value,
            register::DMA_DESTINATION => self.dma.destination = value,
            register::DMA_COUNT => self.dma.count = value,
            register::DMA_COMMAND => self.command(cx, value),
            _ => {}
        }
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        cx.disarm(FACTORIAL_DONE);
        cx.disarm(DMA_DONE);
        self.config.reset(cx);
        self.intx.set(cx, &mut self.config, INTA, false);
        (self.inverted, self.factorial, self.status, self.irq_status) = (0, 0, Status::empty(), 0);
        self.dma = Dma { source: 0, destination: 0, count: 0, command: DmaCommand::empty() };
        self.buffer.fill(0);
    }

    fn timer(&mut self, cx: &mut Cx<'_>, id: TimerId) {
        if id == FACTORIAL_DONE {
            self.factorial = factorial(self.factorial);
            self.status -= Status::COMPUTING;
            if self.status.contains(Status::INTERRUPT) {
                self.raise(cx, IRQ_FACTORIAL);
            }
            return;
        }
        self.transfer(cx);
        self.dma.command -= DmaCommand::RUN;
        if self.dma.command.contains(DmaCommand::INTERRUPT) {
            self.raise(cx, IRQ_DMA);
        }
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

    const BASE: u64 = 0x10_0000;

    struct Guest(Bench);

    impl Guest {
        fn new(mask: u64) -> Self {
            let mut b = Bench::new(Edu::new(mask).expect("a device"), &Edu::REGIONS);
            b.add_ram();
            b.config_write(0x10, Width::Dword, BASE as u32);
            b.config_write(4, Width::Word, 6);
            Self(b)
        }

        fn write(&mut self, at: u64, value: u64) {
            let width = if at >= register::WIDE { Width::Qword } else { Width::Dword };
            self.0.bus.write(Space::Memory, BASE + at, width, value, Cpu(0)).expect("a claimed address");
        }

        fn read(&mut self, at: u64) -> u64 {
            self.0.bus.read(Space::Memory, BASE + at, Width::Dword, Cpu(0)).expect("a claimed address")
        }

        fn transfer(&mut self, source: u64, destination: u64, count: u64, command: u64) {
            for (at, value) in [(0x80, source), (0x88, destination), (0x90, count), (0x98, command)] {
                self.write(at, value);
            }
        }
    }

    #[test]
    fn it_identifies_itself_and_inverts() {
        let mut g = Guest::new(u64::MAX);
        assert_eq!(g.read(0), 0x0100_00ed);
        g.write(4, 0x1234_5678);
        assert_eq!(g.read(4), 0xedcb_a987);
    }

    #[test]
    fn a_factorial_takes_its_time_and_interrupts() {
        let mut g = Guest::new(u64::MAX);
        g.write(register::STATUS, 0x80);
        g.write(register::FACTORIAL, 10);
        g.write(register::FACTORIAL, 3);
        assert_eq!(g.read(register::STATUS), 0x81);
        g.0.advance(FACTORIAL_TIME);
        assert_eq!((g.read(register::FACTORIAL), g.read(register::STATUS)), (3_628_800, 0x80));
        assert!(g.read(register::IRQ_STATUS) == 1 && g.0.level(0));
        g.write(register::IRQ_ACKNOWLEDGE, 1);
        assert!(!g.0.level(0));
        assert_eq!((factorial(0), factorial(33), factorial(34), factorial(u32::MAX)), (1, 1 << 31, 0, 0));
    }

    #[test]
    fn bytes_go_to_the_buffer_and_back_within_the_lines_that_reach_memory() {
        let mut g = Guest::new(0xffff);
        g.0.bus.memory.write_bytes(0x1000, b"lockstep");
        g.transfer(0xabc0_1000, BUFFER + 8, 8, 5);
        g.write(register::DMA_COUNT, 1);
        g.0.advance(DMA_TIME);
        assert_eq!((g.read(register::IRQ_STATUS), g.read(register::DMA_COMMAND)), (0x100, 4));
        g.transfer(BUFFER + 8, 0x2000, 8, 3);
        g.0.advance(DMA_TIME);
        let mut bytes = [0; 8];
        g.0.bus.memory.read_bytes(0x2000, &mut bytes);
        assert_eq!(&bytes, b"lockstep");
    }

    #[test]
    fn a_transfer_that_leaves_the_buffer_moves_nothing() {
        let mut g = Guest::new(u64::MAX);
        g.0.bus.memory.write_bytes(0x2000, b"untouched");
        for (source, count) in [(BUFFER - 1, 8), (BUFFER + 4090, 8), (BUFFER, u64::MAX), (0, 1)] {
            g.transfer(source, 0x2000, count, 3);
            g.0.advance(DMA_TIME);
            assert_eq!(g.read(register::DMA_COMMAND), 2, "it ends");
        }
        let mut bytes = [0; 9];
        g.0.bus.memory.read_bytes(0x2000, &mut bytes);
        assert_eq!(&bytes, b"untouched");
    }
}
