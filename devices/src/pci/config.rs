//! A function's configuration space, header type 0, of which bridges lay out some in their own way (PCI Local Bus 3.0, chapter 6): what may be written, base address
//! registers with sizing, and the list of capabilities.

use super::hex;
use bitflags::bitflags;
use lockstep_fabric::{Cx, Width};
use serde::{Deserialize, Serialize};

/// Offsets in the header.
pub mod offset {
    /// Vendor ID, 16 bits.
    pub const VENDOR_ID: u16 = 0x00;
    /// Device ID, 16 bits.
    pub const DEVICE_ID: u16 = 0x02;
    /// Command, 16 bits.
    pub const COMMAND: u16 = 0x04;
    /// Status, 16 bits.
    pub const STATUS: u16 = 0x06;
    /// Revision ID.
    pub const REVISION_ID: u16 = 0x08;
    /// Class code, 24 bits.
    pub const CLASS_CODE: u16 = 0x09;
    /// Cache line size.
    pub const CACHE_LINE_SIZE: u16 = 0x0c;
    /// Latency timer.
    pub const LATENCY_TIMER: u16 = 0x0d;
    /// Header type.
    pub const HEADER_TYPE: u16 = 0x0e;
    /// The first base address register.
    pub const BAR0: u16 = 0x10;
    /// Subsystem vendor ID, 16 bits.
    pub const SUBSYSTEM_VENDOR_ID: u16 = 0x2c;
    /// Subsystem ID, 16 bits.
    pub const SUBSYSTEM_ID: u16 = 0x2e;
    /// Expansion ROM base address.
    pub const ROM: u16 = 0x30;
    /// Where the list of capabilities starts.
    pub const CAPABILITIES: u16 = 0x34;
    /// Interrupt line.
    pub const INTERRUPT_LINE: u16 = 0x3c;
    /// Interrupt pin: 1 for INTA#.
    pub const INTERRUPT_PIN: u16 = 0x3d;
    /// Where device-specific registers start.
    pub const DEVICE_SPECIFIC: u16 = 0x40;
}

/// Header type's flag for a device of several functions.
pub const MULTI_FUNCTION: u8 = 0x80;

const SIZE: usize = 256;
const BARS: usize = 6;
const STATUS_CAPABILITIES: u16 = 1 << 4;
/// The expansion ROM base address register's enable bit.
const ROM_ENABLE: u64 = 1;
/// An expansion ROM takes at least this much (PCI Local Bus 3.0, section 6.2.5.2).
const ROM_GRANULE: u64 = 2048;
/// Status bits 15:11 and 8 are cleared by writing ones.
const STATUS_CLEARABLE: u16 = 0xf900;

bitflags! {
    /// The command register.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Command: u16 {
        /// Responds to I/O space.
        const IO = 1 << 0;
        /// Responds to memory space.
        const MEMORY = 1 << 1;
        /// May be a bus master.
        const MASTER = 1 << 2;
        /// Reports parity errors.
        const PARITY = 1 << 6;
        /// Drives SERR#.
        const SERR = 1 << 8;
        /// Must not assert INTx#.
        const INTX_DISABLE = 1 << 10;
    }
}

/// Who a function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Vendor ID.
    pub vendor: u16,
    /// Device ID.
    pub device: u16,
    /// Revision ID.
    pub revision: u8,
    /// Base class, subclass and programming interface, 24 bits.
    pub class: u32,
    /// Subsystem vendor ID and subsystem ID.
    pub subsystem: (u16, u16),
}

/// What a base address register decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BarKind {
    /// I/O ports.
    Io,
    /// Memory below 4 GiB.
    Memory32 {
        /// Reads have no side effects.
        prefetchable: bool,
    },
    /// Memory anywhere; takes the next base address register too.
    Memory64 {
        /// Reads have no side effects.
        prefetchable: bool,
    },
}

/// A base address register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bar {
    /// What it decodes.
    pub kind: BarKind,
    /// Bytes, a power of two.
    pub size: u64,
    /// The device's region that it places.
    pub region: u8,
}

impl Bar {
    fn flags(self) -> u8 {
        match self.kind {
            BarKind::Io => 1,
            BarKind::Memory32 { prefetchable } => u8::from(prefetchable) << 3,
            BarKind::Memory64 { prefetchable } => 4 | u8::from(prefetchable) << 3,
        }
    }
}

/// What a base address register decodes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The register, from 0; 6 is the expansion ROM's.
    pub register: u8,
    /// What it decodes.
    pub kind: BarKind,
    /// How many bytes.
    pub size: u64,
    /// Where; `None` while it decodes nothing.
    pub base: Option<u64>,
}

/// An expansion ROM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rom {
    /// Bytes that are decoded, a power of two of at least 2 KiB.
    pub size: u64,
    /// The device's region that the register places: ROM backing, in the memory map.
    pub region: u8,
}

impl Rom {
    /// What an image of `len` bytes takes.
    pub fn for_image(len: u64, region: u8) -> Self {
        Self { size: len.max(ROM_GRANULE).next_power_of_two(), region }
    }
}

/// 256 bytes of configuration space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigSpace {
    #[serde(with = "hex")]
    bytes: Vec<u8>,
    /// The bytes after a reset.
    #[serde(with = "hex")]
    initial: Vec<u8>,
    /// Ones where a guest may write.
    #[serde(with = "hex")]
    writable: Vec<u8>,
    /// Ones where a guest clears bits by writing ones.
    #[serde(with = "hex")]
    clearable: Vec<u8>,
    bars: [Option<Bar>; BARS],
    rom: Option<Rom>,
    last_capability: u16,
    capabilities_end: u16,
}

impl ConfigSpace {
    /// A function with no base address registers and no capabilities.
    pub fn new(identity: Identity) -> Self {
        let mut config = Self {
            bytes: vec![0; SIZE],
            initial: vec![0; SIZE],
            writable: vec![0; SIZE],
            clearable: vec![0; SIZE],
            bars: [None; BARS],
            rom: None,
            last_capability: offset::CAPABILITIES,
            capabilities_end: offset::DEVICE_SPECIFIC,
        };
        let [c0, c1, c2, _] = identity.class.to_le_bytes();
        config.define(offset::VENDOR_ID, &identity.vendor.to_le_bytes());
        config.define(offset::DEVICE_ID, &identity.device.to_le_bytes());
        config.define(offset::REVISION_ID, &[identity.revision, c0, c1, c2]);
        config.define(offset::SUBSYSTEM_VENDOR_ID, &identity.subsystem.0.to_le_bytes());
        config.define(offset::SUBSYSTEM_ID, &identity.subsystem.1.to_le_bytes());
        config.allow(offset::COMMAND, &Command::all().bits().to_le_bytes());
        config.allow(offset::CACHE_LINE_SIZE, &[0xff, 0xff]);
        config.allow(offset::INTERRUPT_LINE, &[0xff]);
        fill(&mut config.clearable, offset::STATUS, &STATUS_CLEARABLE.to_le_bytes());
        config
    }

    /// Sets the value after a reset; the present one too.
    pub fn define(&mut self, at: u16, bytes: &[u8]) {
        fill(&mut self.initial, at, bytes);
        fill(&mut self.bytes, at, bytes);
    }

    /// Says which bits a guest may write.
    pub fn allow(&mut self, at: u16, mask: &[u8]) {
        fill(&mut self.writable, at, mask);
    }

    /// Says which bits a guest clears by writing ones.
    pub fn allow_clearing(&mut self, at: u16, mask: &[u8]) {
        fill(&mut self.clearable, at, mask);
    }

    /// Gives the function an interrupt pin, 1 for INTA#.
    pub fn define_interrupt_pin(&mut self, pin: u8) {
        self.define(offset::INTERRUPT_PIN, &[pin]);
    }

    /// Adds base address register `at` (below 6). The board maps its region with no base; the guest places it.
    pub fn define_bar(&mut self, at: usize, bar: Bar) {
        let Some(slot) = self.bars.get_mut(at) else { return };
        *slot = Some(bar);
        let (register, mask) = (offset::BAR0 + 4 * at as u16, !(bar.size.max(4) - 1));
        self.define(register, &[bar.flags()]);
        match bar.kind {
            BarKind::Memory64 { .. } => self.allow(register, &(mask & !0xf).to_le_bytes()),
            BarKind::Memory32 { .. } => self.allow(register, &(mask as u32 & !0xf).to_le_bytes()),
            BarKind::Io => self.allow(register, &(mask as u32 & !3).to_le_bytes()),
        }
    }

    /// Adds the expansion ROM base address register. The board maps its region with no base; the guest places it.
    pub fn define_rom(&mut self, rom: Rom) {
        self.rom = Some(rom);
        let mask = !(rom.size.max(ROM_GRANULE) - 1) | ROM_ENABLE;
        self.allow(offset::ROM, &(mask as u32).to_le_bytes());
    }

    /// Adds a capability with this body after its two-byte header, and says which bits of the body a guest may write;
    /// its offset, or `None` when there is no room.
    pub fn add_capability(&mut self, id: u8, body: &[u8], writable: &[u8]) -> Option<u16> {
        let at = self.capabilities_end.next_multiple_of(4);
        let end = usize::from(at) + 2 + body.len();
        if end > SIZE {
            return None;
        }
        self.define(at, &[id, 0]);
        self.define(at + 2, body);
        self.allow(at + 2, &writable[..writable.len().min(body.len())]);
        let link = if self.last_capability == offset::CAPABILITIES { 0 } else { 1 };
        self.define(self.last_capability + link, &[at as u8]);
        self.define(offset::STATUS, &(self.word(offset::STATUS) | STATUS_CAPABILITIES).to_le_bytes());
        (self.last_capability, self.capabilities_end) = (at, end as u16);
        Some(at)
    }

    /// Returns to the values after a reset; base address registers decode nothing.
    pub fn reset(&mut self, cx: &mut Cx<'_>) {
        self.bytes.clone_from(&self.initial);
        self.place_bars(cx);
    }

    /// Reads as a guest does; what lies beyond reads as zeroes.
    pub fn read(&self, at: u16, width: Width) -> u32 {
        (0..width.bytes().min(4) as u16).fold(0, |value, i| value | u32::from(self.byte(at + i)) << (8 * i))
    }

    /// Writes as a guest does, and places the regions of base address registers that this moved.
    pub fn write(&mut self, cx: &mut Cx<'_>, at: u16, width: Width, value: u32) {
        let end = at.saturating_add(width.bytes().min(4) as u16);
        for (i, value) in (at..end).zip(value.to_le_bytes()) {
            let i = usize::from(i);
            let (Some(byte), Some(writable), Some(clearable)) =
                (self.bytes.get_mut(i), self.writable.get(i), self.clearable.get(i))
            else {
                return;
            };
            *byte = (*byte & !writable | value & writable) & !(value & clearable);
        }
        let reaches = |from: u16, len: u16| at < from + len && end > from;
        if reaches(offset::COMMAND, 2) || reaches(offset::BAR0, 4 * BARS as u16) || reaches(offset::ROM, 4) {
            self.place_bars(cx);
        }
    }

    /// One byte.
    pub fn byte(&self, at: u16) -> u8 {
        self.bytes.get(usize::from(at)).copied().unwrap_or(0)
    }

    /// Two bytes.
    pub fn word(&self, at: u16) -> u16 {
        u16::from_le_bytes([self.byte(at), self.byte(at + 1)])
    }

    /// Sets bytes as the device itself does, whatever a guest may write. Does not place base address registers.
    pub fn put(&mut self, at: u16, bytes: &[u8]) {
        fill(&mut self.bytes, at, bytes);
    }

    /// The command register.
    pub fn command(&self) -> Command {
        Command::from_bits_truncate(self.word(offset::COMMAND))
    }

    /// Where base address register `at` has its region; `None` while it decodes nothing.
    pub fn bar_base(&self, at: usize) -> Option<u64> {
        let bar = (*self.bars.get(at)?)?;
        let register = offset::BAR0 + 4 * at as u16;
        let low = u64::from(self.read(register, Width::Dword));
        let (needs, base, top) = match bar.kind {
            BarKind::Io => (Command::IO, low & !3, 0xffff),
            BarKind::Memory32 { .. } => (Command::MEMORY, low & !0xf, 0xffff_ffff),
            BarKind::Memory64 { .. } => {
                let high = u64::from(self.read(register + 4, Width::Dword));
                (Command::MEMORY, high << 32 | low & !0xf, u64::MAX)
            }
        };
        // The all-ones that software writes to learn the size is no address.
        let fits = base.checked_add(bar.size - 1).is_some_and(|last| last < top);
        (self.command().contains(needs) && base != 0 && fits).then_some(base)
    }

    /// Where the expansion ROM is; `None` while it decodes nothing.
    pub fn rom_base(&self) -> Option<u64> {
        let register = u64::from(self.read(offset::ROM, Width::Dword));
        let base = register & !(ROM_GRANULE - 1);
        let enabled = register & ROM_ENABLE != 0 && self.command().contains(Command::MEMORY);
        let fits = base + self.rom?.size - 1 < 0xffff_ffff;
        (enabled && base != 0 && fits).then_some(base)
    }

    /// What the base address registers and the expansion ROM's register decode, in their order.
    pub fn decoded(&self) -> Vec<Decoded> {
        let bars = self.bars.iter().enumerate().filter_map(|(at, bar)| {
            let Bar { kind, size, .. } = (*bar)?;
            Some(Decoded { register: at as u8, kind, size, base: self.bar_base(at) })
        });
        let rom = self.rom.map(|rom| Decoded {
            register: BARS as u8,
            kind: BarKind::Memory32 { prefetchable: false },
            size: rom.size,
            base: self.rom_base(),
        });
        bars.chain(rom).collect()
    }

    fn place_bars(&self, cx: &mut Cx<'_>) {
        if let Some(rom) = self.rom {
            cx.map_region(rom.region, self.rom_base(), true, true);
        }
        for (at, bar) in self.bars.iter().enumerate() {
            if let Some(bar) = bar {
                cx.map_region(bar.region, self.bar_base(at), true, true);
            }
        }
    }
}

fn fill(bytes: &mut [u8], at: u16, with: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at.into()).zip(with) {
        *to = *from;
    }
}
