//! The standard VGA registers by their names, and the plain index-and-data register files (IBM PS/2 Hardware Interface
//! Technical Reference, Video Subsystems).

use bitflags::bitflags;
use serde::{Deserialize, Serialize};

bitflags! {
    /// Miscellaneous output register.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Misc: u8 {
        /// CRTC at 3D4h and status at 3DAh; clear: at 3B4h and 3BAh.
        const COLOR = 1 << 0;
        /// The 28.322 MHz clock of 9-dot characters.
        const CLOCK_28 = 1 << 2;
    }
}

/// Sequencer registers.
pub mod seq {
    /// Clocking mode.
    pub const CLOCKING: usize = 1;
    /// Clocking mode: characters are 8 dots wide, not 9.
    pub const CLOCKING_8_DOTS: u8 = 1 << 0;
    /// Clocking mode: the dot clock is halved.
    pub const CLOCKING_HALF: u8 = 1 << 3;
    /// Clocking mode: the screen is off.
    pub const CLOCKING_SCREEN_OFF: u8 = 1 << 5;
    /// Map mask: the planes that are written.
    pub const MAP_MASK: usize = 2;
    /// Character map select.
    pub const CHARACTER_MAP: usize = 3;
    /// Memory mode.
    pub const MEMORY_MODE: usize = 4;
    /// Memory mode: addresses go to planes by their low two bits.
    pub const MEMORY_CHAIN4: u8 = 1 << 3;
}

/// CRT controller registers.
pub mod crtc {
    /// Horizontal total, in characters, minus 5.
    pub const H_TOTAL: usize = 0x00;
    /// Horizontal display end, in characters, minus 1.
    pub const H_DISPLAY_END: usize = 0x01;
    /// Vertical total minus 2, low bits.
    pub const V_TOTAL: usize = 0x06;
    /// High bits of vertical values.
    pub const OVERFLOW: usize = 0x07;
    /// Overflow: line compare bit 8, which the write protection leaves open.
    pub const OVERFLOW_LINE_COMPARE: u8 = 1 << 4;
    /// Preset row scan and byte panning.
    pub const PRESET_ROW_SCAN: usize = 0x08;
    /// Maximum scan line.
    pub const MAX_SCAN: usize = 0x09;
    /// Cursor start, and the bit that hides the cursor.
    pub const CURSOR_START: usize = 0x0a;
    /// Cursor start: no cursor.
    pub const CURSOR_OFF: u8 = 1 << 5;
    /// Cursor end.
    pub const CURSOR_END: usize = 0x0b;
    /// Start address, high.
    pub const START_HIGH: usize = 0x0c;
    /// Start address, low.
    pub const START_LOW: usize = 0x0d;
    /// Cursor location, high.
    pub const CURSOR_HIGH: usize = 0x0e;
    /// Cursor location, low.
    pub const CURSOR_LOW: usize = 0x0f;
    /// Vertical retrace start.
    pub const V_RETRACE_START: usize = 0x10;
    /// Vertical retrace end.
    pub const V_RETRACE_END: usize = 0x11;
    /// Vertical retrace end: registers 0 to 7 are write-protected.
    pub const V_RETRACE_END_PROTECT: u8 = 1 << 7;
    /// Vertical display end, low bits.
    pub const V_DISPLAY_END: usize = 0x12;
    /// Offset from row to row.
    pub const OFFSET: usize = 0x13;
    /// Underline location.
    pub const UNDERLINE: usize = 0x14;
    /// Mode control.
    pub const MODE: usize = 0x17;
    /// Mode control: address bit 13 is not the row scan's bit 0.
    pub const MODE_NO_CGA_BANKS: u8 = 1 << 0;
    /// Mode control: address bit 14 is not the row scan's bit 1.
    pub const MODE_NO_HERCULES_BANKS: u8 = 1 << 1;
    /// Mode control: memory is addressed by bytes.
    pub const MODE_BYTE: u8 = 1 << 6;
    /// Line compare, low bits.
    pub const LINE_COMPARE: usize = 0x18;
}

/// Graphics controller registers.
pub mod gfx {
    /// Set/reset.
    pub const SET_RESET: usize = 0;
    /// Enable set/reset.
    pub const ENABLE_SET_RESET: usize = 1;
    /// Color compare.
    pub const COLOR_COMPARE: usize = 2;
    /// Data rotate and function select.
    pub const ROTATE: usize = 3;
    /// Read map select.
    pub const READ_MAP: usize = 4;
    /// Graphics mode.
    pub const MODE: usize = 5;
    /// Graphics mode: even addresses go to even planes.
    pub const MODE_ODD_EVEN: u8 = 1 << 4;
    /// Miscellaneous: graphics mode, and the window's place.
    pub const MISC: usize = 6;
    /// Miscellaneous: graphics, not text.
    pub const MISC_GRAPHICS: u8 = 1 << 0;
    /// Color don't care.
    pub const COLOR_DONT_CARE: usize = 7;
    /// Bit mask.
    pub const BIT_MASK: usize = 8;
}

/// Attribute controller registers.
pub mod attr {
    /// Mode control.
    pub const MODE: usize = 0x10;
    /// Mode control: monochrome emulation (underlines).
    pub const MODE_MONOCHROME: u8 = 1 << 1;
    /// Mode control: line graphics characters go on in the ninth dot.
    pub const MODE_LINE_GRAPHICS: u8 = 1 << 2;
    /// Mode control: attribute bit 7 blinks.
    pub const MODE_BLINK: u8 = 1 << 3;
    /// Mode control: the part below the line compare does not pan.
    pub const MODE_PAN_TOP_ONLY: u8 = 1 << 5;
    /// Mode control: palette bits 5 and 4 come from color select.
    pub const MODE_P54: u8 = 1 << 7;
    /// Color plane enable.
    pub const PLANE_ENABLE: usize = 0x12;
    /// Horizontal pel panning.
    pub const PANNING: usize = 0x13;
    /// Color select.
    pub const COLOR_SELECT: usize = 0x14;
    /// Index register: the palette feeds the screen.
    pub const PALETTE_ADDRESS_SOURCE: u8 = 1 << 5;
}

/// Registers behind an index and a data port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// The index register.
    pub index: u8,
    /// The registers.
    pub values: [u8; 32],
}

impl File {
    /// The register that the index names, if there are so many.
    pub fn selected(&self, count: u8) -> u8 {
        if self.index < count { self.get(self.index.into()) } else { 0 }
    }

    /// Register `at`.
    pub fn get(&self, at: usize) -> u8 {
        self.values.get(at).copied().unwrap_or(0)
    }

    /// Sets the register that the index names to the bits of `value` that exist.
    pub fn set_selected(&mut self, masks: &[u8], value: u8) {
        let at = usize::from(self.index);
        if let (Some(mask), Some(register)) = (masks.get(at), self.values.get_mut(at)) {
            *register = value & mask;
        }
    }

    /// Sets register `at`.
    pub fn set(&mut self, at: usize, value: u8) {
        if let Some(register) = self.values.get_mut(at) {
            *register = value;
        }
    }
}
