//! The Bochs display interface: sixteen-bit registers for resolution, depth, bank and scrolling
//! (Bochs, "VBE Display Interface"; QEMU, docs/specs/standard-vga).

use serde::{Deserialize, Serialize};

/// Version: 8-bit DAC, memory size register.
const ID: u16 = 0xb0c5;
const ID_OLDEST: u16 = 0xb0c0;

/// Register numbers.
pub mod register {
    /// Version.
    pub const ID: u16 = 0;
    /// Horizontal resolution.
    pub const XRES: u16 = 1;
    /// Vertical resolution.
    pub const YRES: u16 = 2;
    /// Bits per pixel.
    pub const BPP: u16 = 3;
    /// Enable and flags.
    pub const ENABLE: u16 = 4;
    /// The 64 KiB bank seen at A0000h.
    pub const BANK: u16 = 5;
    /// Pixels from row to row.
    pub const VIRT_WIDTH: u16 = 6;
    /// Rows that the memory holds.
    pub const VIRT_HEIGHT: u16 = 7;
    /// First column shown.
    pub const X_OFFSET: u16 = 8;
    /// First row shown.
    pub const Y_OFFSET: u16 = 9;
    /// Video memory in units of 64 KiB.
    pub const VIDEO_MEMORY_64K: u16 = 0xa;
    /// How many there are.
    pub const COUNT: u16 = 0xb;
}

/// Enable: the interface drives the screen.
pub const ENABLED: u16 = 1 << 0;
/// Enable: resolution registers read as the most they take.
pub const GET_CAPABILITIES: u16 = 1 << 1;
/// Enable: the DAC has 8 bits per component.
pub const DAC_8_BIT: u16 = 1 << 5;
/// Enable: the linear frame buffer is used.
pub const LINEAR: u16 = 1 << 6;
/// Enable: video memory keeps its contents.
pub const NO_CLEAR: u16 = 1 << 7;

const BANK_SIZE: u64 = 64 << 10;
const MAX_XRES: u16 = 16000;
const MAX_YRES: u16 = 12000;
const MAX_BPP: u16 = 32;

/// The registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispi {
    /// The register that the data port reaches.
    pub index: u16,
    id: u16,
    xres: u16,
    yres: u16,
    bpp: u16,
    enable: u16,
    bank: u16,
    virt_width: u16,
    x_offset: u16,
    y_offset: u16,
}

/// What a write asks the device to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing beyond the register.
    None,
    /// The window or the picture moved.
    Moved,
    /// A mode was entered; true: its memory is to be cleared.
    Entered(bool),
    /// The standard VGA drives the screen again.
    Left,
}

impl Dispi {
    /// The registers after a reset.
    pub fn new() -> Self {
        Self { id: ID, ..Self::default() }
    }

    /// Whether the interface drives the screen.
    pub fn enabled(&self) -> bool {
        self.enable & ENABLED != 0
    }

    /// Whether the DAC has 8 bits per component.
    pub fn wide_dac(&self) -> bool {
        self.enable & DAC_8_BIT != 0
    }

    /// Columns and rows shown.
    pub fn resolution(&self) -> (u16, u16) {
        (self.xres, self.yres)
    }

    /// Bits per pixel: 4, 8, 15, 16, 24 or 32.
    pub fn depth(&self) -> u16 {
        self.bpp
    }

    /// Bytes of `pixels` pixels.
    fn bytes(&self, pixels: u16) -> u64 {
        match self.bpp {
            4 => u64::from(pixels) / 2,
            bpp => u64::from(pixels) * u64::from(bpp.div_ceil(8)),
        }
    }

    /// Bytes from row to row.
    pub fn pitch(&self) -> u64 {
        self.bytes(self.virt_width.max(self.xres))
    }

    /// Where the picture starts in video memory.
    pub fn start(&self) -> u64 {
        u64::from(self.y_offset) * self.pitch() + self.bytes(self.x_offset)
    }

    /// Where the window at A0000h starts in video memory.
    pub fn bank_offset(&self) -> u64 {
        if self.enabled() { u64::from(self.bank) * BANK_SIZE } else { 0 }
    }

    fn virt_height(&self, memory: u64) -> u16 {
        match self.pitch() {
            0 => self.yres,
            pitch => u16::try_from(memory / pitch).unwrap_or(u16::MAX),
        }
    }

    /// Reads register `at`, with `memory` bytes of video memory.
    pub fn read(&self, at: u16, memory: u64) -> u16 {
        let capabilities = self.enable & GET_CAPABILITIES != 0;
        match at {
            register::ID => self.id,
            register::XRES if capabilities => MAX_XRES,
            register::YRES if capabilities => MAX_YRES,
            register::BPP if capabilities => MAX_BPP,
            register::XRES => self.xres,
            register::YRES => self.yres,
            register::BPP => self.bpp,
            register::ENABLE => self.enable,
            register::BANK => self.bank,
            register::VIRT_WIDTH => self.virt_width,
            register::VIRT_HEIGHT => self.virt_height(memory),
            register::X_OFFSET => self.x_offset,
            register::Y_OFFSET => self.y_offset,
            register::VIDEO_MEMORY_64K => u16::try_from(memory / BANK_SIZE).unwrap_or(u16::MAX),
            _ => 0,
        }
    }

    /// Writes register `at`, with `memory` bytes of video memory.
    pub fn write(&mut self, at: u16, value: u16, memory: u64) -> Change {
        match at {
            register::ID if (ID_OLDEST..=ID).contains(&value) => self.id = value,
            register::XRES if value <= MAX_XRES => self.xres = value & !7,
            register::YRES if value <= MAX_YRES => self.yres = value,
            register::BPP if value == 0 => self.bpp = 8,
            register::BPP if matches!(value, 4 | 8 | 15 | 16 | 24 | 32) => self.bpp = value,
            register::BANK => {
                self.bank = value & (u16::try_from(memory / BANK_SIZE).unwrap_or(u16::MAX).saturating_sub(1));
            }
            register::VIRT_WIDTH => self.virt_width = value & !7,
            register::X_OFFSET => self.x_offset = value,
            register::Y_OFFSET => self.y_offset = value,
            register::ENABLE => return self.set_enable(value, memory),
            _ => return Change::None,
        }
        if !self.enabled() {
            return Change::None;
        }
        self.fit(memory);
        Change::Moved
    }

    fn set_enable(&mut self, value: u16, memory: u64) -> Change {
        let was = self.enabled();
        self.enable = value & (ENABLED | GET_CAPABILITIES | DAC_8_BIT | LINEAR | NO_CLEAR);
        match (was, self.enabled()) {
            (false, true) => {
                (self.virt_width, self.x_offset, self.y_offset, self.bank) = (self.xres, 0, 0, 0);
                self.fit(memory);
                Change::Entered(value & NO_CLEAR == 0)
            }
            (true, false) => {
                self.bank = 0;
                Change::Left
            }
            (true, true) => Change::Moved,
            (false, false) => Change::None,
        }
    }

    /// Keeps the picture in video memory.
    fn fit(&mut self, memory: u64) {
        if self.bpp == 0 {
            self.bpp = 8;
        }
        self.virt_width = self.virt_width.max(self.xres);
        let pitch = self.pitch();
        if pitch == 0 {
            return;
        }
        if pitch > memory {
            self.virt_width = self.xres.min(1024);
            self.xres = self.virt_width;
        }
        let rows = memory / self.pitch().max(1);
        self.yres = self.yres.min(u16::try_from(rows).unwrap_or(u16::MAX));
        self.x_offset = self.x_offset.min(self.virt_width - self.xres);
        self.y_offset = self.y_offset.min(u16::try_from(rows - u64::from(self.yres)).unwrap_or(u16::MAX));
    }
}
