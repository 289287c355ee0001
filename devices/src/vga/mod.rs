//! The standard VGA of Bochs and QEMU, PCI 1234:1111: IBM's VGA, the Bochs display interface, and a linear frame buffer
//! (QEMU, docs/specs/standard-vga; IBM PS/2 Hardware Interface Technical Reference, Video Subsystems).
//!
//! Video memory belongs to the board, which gives it as a [`Block`] and maps it by RAM-backed regions: [`FRAME_BUFFER`]
//! placed by base address register 0, and [`WINDOW_RAM`] over the window at A0000h for as long as that is plain memory.

pub mod dac;
pub mod dispi;
mod picture;
pub mod registers;
#[cfg(test)]
mod tests;
mod text;
pub mod window;

pub use picture::Frame;

use crate::catalog::{Creatable, Made};
use crate::pci::{Bar, BarKind, ConfigSpace, Identity, Rom, SUBSYSTEM};
use crate::properties::{PropertyError, configuration};
use dac::Dac;
use dispi::{Change, Dispi};
use lockstep_fabric::memory::Block;
use lockstep_fabric::{Cx, Device, Nanos, PciFunction, Reg, RegionSpec, Space, Width};
use registers::{File, Misc, attr, crtc, seq};
use serde::{Deserialize, Serialize};

configuration! {
    /// How a graphics card is set up. Its memory and its ROM are the board's to give.
    pub struct VgaConfig {
        /// MiB of video memory, 1 to 256, rounded up to a power of two.
        pub vgamem_mb: u16 = 16,
        /// The file with the option ROM; empty for none.
        pub romfile: Option<String> = None,
    }
}

impl VgaConfig {
    /// Bytes of video memory.
    pub fn memory(&self) -> Result<u64, PropertyError> {
        match self.vgamem_mb {
            1..=256 => Ok(u64::from(self.vgamem_mb).next_power_of_two() << 20),
            other => Err(PropertyError::Value {
                name: "vgamem_mb",
                value: other.to_string(),
                wanted: "use a number from 1 to 256",
            }),
        }
    }
}

impl Creatable for VgaConfig {
    const NAME: &'static str = "VGA";
    const ABOUT: &'static str = "graphics card: VGA with the Bochs display interface";

    /// A card without memory: the board makes its own, with [`Vga::new`].
    fn make(self) -> Result<Made, PropertyError> {
        self.memory()?;
        Ok(Made::new(Vga::new(Block { at: 0, len: 0 }, None), &REGIONS))
    }
}

/// Region placed by base address register 0: the board adds it to the memory map, backed by the whole block.
pub const FRAME_BUFFER: u8 = 0x10;
/// Region over the window: the board adds it to the memory map at [`window::BASE`], 64 KiB, backed by the block's start,
/// neither readable nor writable yet, with a priority above [`WINDOW_PRIORITY`].
pub const WINDOW_RAM: u8 = 0x11;
/// Region placed by the expansion ROM base address register: the board adds it to the memory map with ROM backing.
pub const OPTION_ROM: u8 = 0x12;
/// Priority of the window's registers in the memory map.
pub const WINDOW_PRIORITY: i32 = 1;

const PORTS: u8 = 0;
const CRTC_MONO: u8 = 1;
const STATUS_MONO: u8 = 2;
const CRTC_COLOR: u8 = 3;
const STATUS_COLOR: u8 = 4;
const DISPI: u8 = 5;
const WINDOW: u8 = 6;
const MMIO: u8 = 7;

/// Port of the display interface's index register.
pub const DISPI_INDEX: u64 = 0x1ce;
/// Port of the display interface's data register.
pub const DISPI_DATA: u64 = 0x1cf;

const fn ports(index: u8, base: u64, len: u64, widest: Width) -> RegionSpec {
    RegionSpec { space: Space::Io, index, base: Some(base), len, priority: 0, widest }
}

/// The regions to map on the bus.
pub const REGIONS: [RegionSpec; 8] = [
    ports(PORTS, 0x3c0, 0x10, Width::Byte),
    ports(CRTC_MONO, 0x3b4, 2, Width::Byte),
    ports(STATUS_MONO, 0x3ba, 1, Width::Byte),
    ports(CRTC_COLOR, 0x3d4, 2, Width::Byte),
    ports(STATUS_COLOR, 0x3da, 1, Width::Byte),
    ports(DISPI, DISPI_INDEX, 4, Width::Word),
    RegionSpec {
        space: Space::Memory,
        index: WINDOW,
        base: Some(window::BASE),
        len: window::LEN,
        priority: WINDOW_PRIORITY,
        widest: Width::Qword,
    },
    RegionSpec { space: Space::Memory, index: MMIO, base: None, len: 4096, priority: 1, widest: Width::Dword },
];

/// The register that answers at an address, of those that lie at fixed ones.
pub fn register(space: Space, address: u64) -> Option<Reg> {
    REGIONS.iter().filter(|region| region.space == space).find_map(|region| {
        let offset = address.checked_sub(region.base?).filter(|offset| *offset < region.len)?;
        Some(Reg { region: region.index, offset })
    })
}

/// In the memory-mapped registers: ports 3C0h to 3DFh, the display interface, and what QEMU added.
const MMIO_PORTS: u64 = 0x400;
const MMIO_STATUS: u64 = 0x41a;
const MMIO_PORTS_END: u64 = 0x410;
const MMIO_DISPI: u64 = 0x500;
const MMIO_DISPI_END: u64 = MMIO_DISPI + 2 * dispi::register::COUNT as u64;
const MMIO_EXTENSION: u64 = 0x600;
const MMIO_BYTE_ORDER: u64 = 0x604;
const MMIO_EXTENSION_END: u64 = 0x608;
/// Bytes of extension registers, the first of which says so.
const EXTENSION_SIZE: u64 = 8;
const EXTENSION_LITTLE_ENDIAN: u64 = 0x1e1e_1e1e;

/// Bits of the attribute registers that exist.
const ATTR_MASKS: [u8; 21] = [
    0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0xef, 0xff, 0x3f,
    0x0f, 0x0f,
];
/// Bits of the sequencer registers that exist.
const SEQ_MASKS: [u8; 5] = [0x03, 0x3d, 0x0f, 0x3f, 0x0e];
/// Bits of the graphics controller's registers that exist.
const GFX_MASKS: [u8; 9] = [0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff];
/// Bits of the CRT controller's registers that exist.
const CRTC_MASKS: [u8; 25] = [0xff; 25];

/// Frequencies of the two dot clocks.
const CLOCK_25: u64 = 25_175_000;
const CLOCK_28: u64 = 28_322_000;
const NS_PER_SECOND: u128 = 1_000_000_000;

/// The graphics card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vga {
    config: ConfigSpace,
    /// Video memory.
    memory: Block,
    misc: u8,
    feature: u8,
    seq: File,
    crtc: File,
    gfx: File,
    attr: File,
    /// The next write to 3C0h is data.
    attr_data_next: bool,
    dac: Dac,
    /// The four planes' bytes that the last planar read took.
    latch: u32,
    dispi: Dispi,
}

impl Vga {
    /// A card with this video memory, and an expansion ROM of so many bytes if it has one.
    pub fn new(memory: Block, rom: Option<u64>) -> Self {
        let identity = Identity { vendor: 0x1234, device: 0x1111, revision: 2, class: 0x03_0000, subsystem: SUBSYSTEM };
        let mut config = ConfigSpace::new(identity);
        let prefetchable = BarKind::Memory32 { prefetchable: true };
        config.define_bar(0, Bar { kind: prefetchable, size: memory.len.next_power_of_two(), region: FRAME_BUFFER });
        config.define_bar(2, Bar { kind: BarKind::Memory32 { prefetchable: false }, size: 4096, region: MMIO });
        if let Some(len) = rom {
            config.define_rom(Rom::for_image(len, OPTION_ROM));
        }
        Self {
            config,
            memory,
            misc: 0,
            feature: 0,
            seq: File::default(),
            crtc: File::default(),
            gfx: File::default(),
            attr: File::default(),
            attr_data_next: false,
            dac: Dac::default(),
            latch: 0,
            dispi: Dispi::new(),
        }
    }

    /// Video memory.
    pub fn memory(&self) -> Block {
        self.memory
    }

    fn color(&self) -> bool {
        Misc::from_bits_retain(self.misc).contains(Misc::COLOR)
    }

    /// Reads a port, by its place after 3C0h.
    fn port_read(&mut self, port: u64) -> u8 {
        let wide = self.dispi.wide_dac();
        match port {
            0x0 => self.attr.index,
            0x1 => self.attr.get(usize::from(self.attr.index & 0x1f)),
            // Input status 0: the switch that tells a colour display is sensed.
            0x2 => 0x10,
            0x4 => self.seq.index,
            0x5 => self.seq.selected(SEQ_MASKS.len() as u8),
            0x6 => self.dac.pel_mask,
            0x7 => self.dac.state(),
            0x8 => self.dac.write_index(),
            0x9 => self.dac.read(wide),
            0xa => self.feature,
            0xc => self.misc,
            0xe => self.gfx.index,
            0xf => self.gfx.selected(GFX_MASKS.len() as u8),
            _ => 0,
        }
    }

    /// Writes a port, by its place after 3C0h.
    fn port_write(&mut self, port: u64, value: u8) {
        let wide = self.dispi.wide_dac();
        match port {
            0x0 if self.attr_data_next => {
                // The palette is open only while it does not feed the screen.
                let at = self.attr.index & 0x1f;
                if at >= 0x10 || self.attr.index & attr::PALETTE_ADDRESS_SOURCE == 0 {
                    let source = self.attr.index & attr::PALETTE_ADDRESS_SOURCE;
                    self.attr.index = at;
                    self.attr.set_selected(&ATTR_MASKS, value);
                    self.attr.index |= source;
                }
                self.attr_data_next = false;
            }
            0x0 => {
                self.attr.index = value & 0x3f;
                self.attr_data_next = true;
            }
            0x2 => self.misc = value & !0x10,
            0x4 => self.seq.index = value & 7,
            0x5 => self.seq.set_selected(&SEQ_MASKS, value),
            0x6 => self.dac.pel_mask = value,
            0x7 => self.dac.set_read_index(value),
            0x8 => self.dac.set_write_index(value),
            0x9 => self.dac.write(value, wide),
            0xe => self.gfx.index = value & 0xf,
            0xf => self.gfx.set_selected(&GFX_MASKS, value),
            _ => {}
        }
    }

    fn crtc_write(&mut self, value: u8) {
        let protected = self.crtc.get(crtc::V_RETRACE_END) & crtc::V_RETRACE_END_PROTECT != 0;
        match usize::from(self.crtc.index) {
            crtc::OVERFLOW if protected => {
                let open = crtc::OVERFLOW_LINE_COMPARE;
                let held = self.crtc.get(crtc::OVERFLOW);
                self.crtc.set(crtc::OVERFLOW, held & !open | value & open);
            }
            0..crtc::OVERFLOW if protected => {}
            _ => self.crtc.set_selected(&CRTC_MASKS, value),
        }
    }

    /// A vertical value of the CRT controller: low byte, and two high bits in the overflow register.
    fn vertical(&self, low: usize, bit8: u8, bit9: u8) -> u64 {
        let overflow = self.crtc.get(crtc::OVERFLOW);
        let high = u64::from(overflow >> bit8 & 1) << 8 | u64::from(overflow >> bit9 & 1) << 9;
        u64::from(self.crtc.get(low)) | high
    }

    /// Lines shown.
    fn lines(&self) -> u64 {
        self.vertical(crtc::V_DISPLAY_END, 1, 6) + 1
    }

    /// Dots of one character.
    fn dots(&self) -> u64 {
        let clocking = self.seq.get(seq::CLOCKING);
        let dots = if clocking & seq::CLOCKING_8_DOTS != 0 { 8 } else { 9 };
        if clocking & seq::CLOCKING_HALF != 0 { 2 * dots } else { dots }
    }

    /// Input status 1: bit 3 during the vertical retrace, bit 0 while nothing is shown. Both follow from where the beam
    /// of the programmed mode is at this moment.
    fn status(&self, now: Nanos) -> u8 {
        const RETRACE: u8 = 1 << 3;
        const NOT_SHOWN: u8 = 1 << 0;
        let fast = Misc::from_bits_retain(self.misc).contains(Misc::CLOCK_28);
        let clock = u128::from(if fast { CLOCK_28 } else { CLOCK_25 });
        let line = self.dots() * (u64::from(self.crtc.get(crtc::H_TOTAL)) + 5);
        let total = (self.vertical(crtc::V_TOTAL, 0, 5) + 2).max(self.lines());
        let dot = (u128::from(now) * clock / NS_PER_SECOND % u128::from(line * total)) as u64;
        let (row, column) = (dot / line, dot % line);
        let start = self.vertical(crtc::V_RETRACE_START, 2, 7);
        let end = u64::from(self.crtc.get(crtc::V_RETRACE_END) & 0xf);
        let height = end.wrapping_sub(start) & 0xf;
        let shown = row < self.lines() && column < self.dots() * (u64::from(self.crtc.get(crtc::H_DISPLAY_END)) + 1);
        let retrace = (start..start + height.max(1)).contains(&row);
        (if retrace { RETRACE } else { 0 }) | (if shown { 0 } else { NOT_SHOWN })
    }

    fn status_read(&mut self, now: Nanos) -> u8 {
        self.attr_data_next = false;
        self.status(now)
    }

    fn dispi_write(&mut self, cx: &mut Cx<'_>, at: u16, value: u16) {
        match self.dispi.write(at, value, self.memory.len) {
            Change::None | Change::Moved | Change::Left => {}
            Change::Entered(clear) => {
                self.enter_dispi();
                if clear {
                    let rows = u64::from(self.dispi.resolution().1);
                    cx.clear(self.memory, 0, rows * self.dispi.pitch());
                }
            }
        }
    }

    /// What the display interface sets in the standard registers when it takes the screen: a graphics window of 64 KiB, all
    /// planes.
    fn enter_dispi(&mut self) {
        use registers::gfx;
        let chained = if self.dispi.depth() == 4 { 0 } else { seq::MEMORY_CHAIN4 };
        self.seq.set(seq::MAP_MASK, 0x0f);
        self.seq.set(seq::MEMORY_MODE, 0x06 | chained);
        self.gfx.set(gfx::MISC, 0x05);
        self.gfx.set(gfx::MODE, if chained == 0 { 0x00 } else { 0x40 });
        self.crtc.set(crtc::MODE, self.crtc.get(crtc::MODE) | 3);
    }

    /// Lays RAM over the window while that is plain memory, and takes it away when not.
    fn place_window(&self, cx: &mut Cx<'_>) {
        let plain = self.plain_window().filter(|offset| offset + 0x1_0000 <= self.memory.len);
        if let Some(offset) = plain {
            cx.show(WINDOW_RAM, self.memory, offset);
        }
        cx.map_region(WINDOW_RAM, Some(window::BASE), plain.is_some(), plain.is_some());
    }

    /// One byte of the memory-mapped registers.
    fn mmio_read(&mut self, now: Nanos, at: u64) -> u8 {
        let byte = |value: u64, lane: u64| (value >> (8 * lane)) as u8;
        match at {
            MMIO_STATUS => self.status_read(now),
            MMIO_PORTS..MMIO_PORTS_END => self.port_read(at - MMIO_PORTS),
            MMIO_DISPI..MMIO_DISPI_END => {
                byte(self.dispi.read(((at - MMIO_DISPI) / 2) as u16, self.memory.len).into(), at & 1)
            }
            MMIO_EXTENSION..MMIO_BYTE_ORDER => byte(EXTENSION_SIZE, at & 3),
            MMIO_BYTE_ORDER..MMIO_EXTENSION_END => byte(EXTENSION_LITTLE_ENDIAN, at & 3),
            _ => 0,
        }
    }
}

impl PciFunction for Vga {
    fn config_read(&mut self, _cx: &mut Cx<'_>, offset: u16, width: Width) -> u32 {
        self.config.read(offset, width)
    }

    fn config_write(&mut self, cx: &mut Cx<'_>, offset: u16, width: Width, value: u32) {
        self.config.write(cx, offset, width, value);
    }
}

impl Device for Vga {
    fn kind(&self) -> &'static str {
        "VGA"
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Reg, width: Width) -> u64 {
        match (at.region, at.offset) {
            (PORTS, port) => self.port_read(port).into(),
            (CRTC_MONO, _) if self.color() => u64::MAX,
            (CRTC_COLOR, _) if !self.color() => u64::MAX,
            (CRTC_MONO | CRTC_COLOR, 0) => self.crtc.index.into(),
            (CRTC_MONO | CRTC_COLOR, _) => self.crtc.selected(CRTC_MASKS.len() as u8).into(),
            (STATUS_MONO, _) if self.color() => u64::MAX,
            (STATUS_COLOR, _) if !self.color() => u64::MAX,
            (STATUS_MONO | STATUS_COLOR, _) => self.status_read(cx.now()).into(),
            (DISPI, 0) => self.dispi.index.into(),
            (DISPI, _) => self.dispi.read(self.dispi.index, self.memory.len).into(),
            (WINDOW, offset) => {
                (0..width.bytes()).fold(0, |value, i| value | u64::from(self.window_read(cx, offset + i)) << (8 * i))
            }
            (MMIO, offset) => (0..width.bytes())
                .fold(0, |value, i| value | u64::from(self.mmio_read(cx.now(), offset + i)) << (8 * i)),
            _ => u64::MAX,
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, width: Width, value: u64) {
        let before = self.plain_window();
        match (at.region, at.offset) {
            (PORTS, port) => self.port_write(port, value as u8),
            (CRTC_MONO | STATUS_MONO, _) if self.color() => {}
            (CRTC_COLOR | STATUS_COLOR, _) if !self.color() => {}
            (CRTC_MONO | CRTC_COLOR, 0) => self.crtc.index = value as u8 & 0x3f,
            (CRTC_MONO | CRTC_COLOR, _) => self.crtc_write(value as u8),
            (STATUS_MONO | STATUS_COLOR, _) => self.feature = value as u8 & 0x10,
            (DISPI, 0) => self.dispi.index = value as u16,
            (DISPI, 1 | 2) => self.dispi_write(cx, self.dispi.index, value as u16),
            (WINDOW, offset) => {
                for i in 0..width.bytes() {
                    self.window_write(cx, offset + i, (value >> (8 * i)) as u8);
                }
            }
            (MMIO, offset @ MMIO_PORTS..MMIO_PORTS_END) => {
                for i in 0..width.bytes() {
                    self.port_write(offset + i - MMIO_PORTS, (value >> (8 * i)) as u8);
                }
            }
            (MMIO, offset @ MMIO_DISPI..MMIO_DISPI_END) if width != Width::Byte => {
                for i in 0..width.bytes() / 2 {
                    let at = ((offset - MMIO_DISPI) / 2 + i) as u16;
                    self.dispi_write(cx, at, (value >> (16 * i)) as u16);
                }
            }
            _ => {}
        }
        if self.plain_window() != before {
            self.place_window(cx);
        }
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        let fresh = Self::new(self.memory, None);
        let config = std::mem::replace(&mut self.config, fresh.config.clone());
        *self = Self { config, ..fresh };
        self.config.reset(cx);
        self.place_window(cx);
    }

    fn pci(&mut self) -> Option<&mut dyn PciFunction> {
        Some(self)
    }
}
