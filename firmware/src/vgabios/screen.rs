//! The card and the BIOS data area under names: what every service builds on.

use super::Host;
use super::modes::{self, Layout, Mode};
use super::palette::Palette;

/// Ports of the card.
pub(super) mod port {
    pub(in super::super) const ATTR: u16 = 0x3c0;
    pub(in super::super) const ATTR_READ: u16 = 0x3c1;
    pub(in super::super) const MISC_WRITE: u16 = 0x3c2;
    pub(in super::super) const MISC_READ: u16 = 0x3cc;
    pub(in super::super) const SEQ: u16 = 0x3c4;
    pub(in super::super) const PEL_MASK: u16 = 0x3c6;
    pub(in super::super) const DAC_READ_INDEX: u16 = 0x3c7;
    pub(in super::super) const DAC_WRITE_INDEX: u16 = 0x3c8;
    pub(in super::super) const DAC_DATA: u16 = 0x3c9;
    pub(in super::super) const GFX: u16 = 0x3ce;
}

/// The BIOS data area (IBM PS/2 BIOS Interface Technical Reference).
pub(super) mod bda {
    pub(in super::super) const MODE: u16 = 0x449;
    pub(in super::super) const COLUMNS: u16 = 0x44a;
    pub(in super::super) const PAGE_SIZE: u16 = 0x44c;
    pub(in super::super) const PAGE_START: u16 = 0x44e;
    pub(in super::super) const CURSORS: u16 = 0x450;
    pub(in super::super) const CURSOR_TYPE: u16 = 0x460;
    pub(in super::super) const PAGE: u16 = 0x462;
    pub(in super::super) const CRTC: u16 = 0x463;
    pub(in super::super) const ROWS: u16 = 0x484;
    pub(in super::super) const CHARACTER_HEIGHT: u16 = 0x485;
    pub(in super::super) const CONTROL: u16 = 0x487;
    pub(in super::super) const SWITCHES: u16 = 0x488;
    pub(in super::super) const MODE_CONTROL: u16 = 0x489;
    pub(in super::super) const DISPLAY_COMBINATION: u16 = 0x48a;
    /// The VBE mode, in what the data area leaves unused.
    pub(in super::super) const VBE_MODE: u16 = 0x4ba;
}

/// The control byte that says what a VGA is: 256 KiB; bit 7: memory was kept.
const CONTROL_VGA: u8 = 0x60;
const SWITCHES_COLOR: u8 = 0xf9;
/// VGA active, 400 lines.
const MODE_CONTROL_VGA: u8 = 0x11;
const COMBINATION_VGA_COLOR: u8 = 8;
const PAGES: u16 = 8;

/// The card and the data area.
pub(super) struct Screen<'a> {
    pub(super) host: &'a mut dyn Host,
    /// The ROM's segment.
    pub(super) segment: u16,
}

impl Screen<'_> {
    pub(super) fn byte(&mut self, at: u16) -> u8 {
        self.host.low_read(at.into())
    }

    pub(super) fn set_byte(&mut self, at: u16, value: u8) {
        self.host.low_write(at.into(), value);
    }

    pub(super) fn word(&mut self, at: u16) -> u16 {
        u16::from_le_bytes([self.byte(at), self.byte(at + 1)])
    }

    pub(super) fn set_word(&mut self, at: u16, value: u16) {
        let [low, high] = value.to_le_bytes();
        self.set_byte(at, low);
        self.set_byte(at + 1, high);
    }

    /// Sets an interrupt vector.
    pub(super) fn set_vector(&mut self, vector: u16, segment: u16, offset: u16) {
        self.set_word(vector * 4, offset);
        self.set_word(vector * 4 + 2, segment);
    }

    pub(super) fn set_indexed(&mut self, port: u16, index: u8, value: u8) {
        self.host.port_out(port, index);
        self.host.port_out(port + 1, value);
    }

    pub(super) fn indexed(&mut self, port: u16, index: u8) -> u8 {
        self.host.port_out(port, index);
        self.host.port_in(port + 1)
    }

    pub(super) fn crtc_port(&mut self) -> u16 {
        if self.host.port_in(port::MISC_READ) & 1 != 0 { 0x3d4 } else { 0x3b4 }
    }

    pub(super) fn set_crtc(&mut self, index: u8, value: u8) {
        let port = self.crtc_port();
        self.set_indexed(port, index, value);
    }

    pub(super) fn set_crtc_word(&mut self, index: u8, value: u16) {
        self.set_crtc(index, (value >> 8) as u8);
        self.set_crtc(index + 1, value as u8);
    }

    pub(super) fn gfx(&mut self, index: u8, value: u8) {
        self.set_indexed(port::GFX, index, value);
    }

    pub(super) fn seq(&mut self, index: u8, value: u8) {
        self.set_indexed(port::SEQ, index, value);
    }

    fn expect_attr_index(&mut self) {
        let status = self.crtc_port() + 6;
        self.host.port_in(status);
    }

    /// Writes an attribute register; the palette feeds the screen again afterwards.
    pub(super) fn set_attr(&mut self, index: u8, value: u8) {
        self.expect_attr_index();
        self.host.port_out(port::ATTR, index);
        self.host.port_out(port::ATTR, value);
        self.host.port_out(port::ATTR, 0x20);
        self.expect_attr_index();
    }

    pub(super) fn attr(&mut self, index: u8) -> u8 {
        self.expect_attr_index();
        self.host.port_out(port::ATTR, index);
        let value = self.host.port_in(port::ATTR_READ);
        self.expect_attr_index();
        self.host.port_out(port::ATTR, 0x20);
        self.expect_attr_index();
        value
    }

    pub(super) fn set_color(&mut self, index: u8, color: [u8; 3]) {
        self.host.port_out(port::DAC_WRITE_INDEX, index);
        for component in color {
            self.host.port_out(port::DAC_DATA, component);
        }
    }

    pub(super) fn color(&mut self, index: u8) -> [u8; 3] {
        self.host.port_out(port::DAC_READ_INDEX, index);
        [0; 3].map(|_: u8| self.host.port_in(port::DAC_DATA))
    }

    /// The standard mode that is set.
    pub(super) fn mode(&mut self) -> &'static Mode {
        let number = self.byte(bda::MODE);
        modes::find(number).unwrap_or(&modes::FALLBACK)
    }

    pub(super) fn columns(&mut self) -> u16 {
        self.word(bda::COLUMNS).clamp(1, 255)
    }

    pub(super) fn rows(&mut self) -> u16 {
        u16::from(self.byte(bda::ROWS)) + 1
    }

    /// Column and row of a page's cursor.
    pub(super) fn cursor(&mut self, page: u8) -> (u8, u8) {
        let [column, row] = self.word(bda::CURSORS + 2 * u16::from(page & 7)).to_le_bytes();
        (column, row)
    }

    pub(super) fn set_cursor(&mut self, page: u8, column: u8, row: u8) {
        self.set_word(bda::CURSORS + 2 * u16::from(page & 7), u16::from_le_bytes([column, row]));
        if page == self.byte(bda::PAGE) {
            self.place_cursor();
        }
    }

    fn place_cursor(&mut self) {
        let page = self.byte(bda::PAGE);
        let (column, row) = self.cursor(page);
        let start = self.word(bda::PAGE_START) / 2;
        let columns = self.columns();
        self.set_crtc_word(0x0e, start.wrapping_add(u16::from(row) * columns).wrapping_add(column.into()));
    }

    /// Shapes the cursor. Lines given for 8-line characters are scaled to taller ones, unless that is switched off.
    pub(super) fn set_cursor_shape(&mut self, start: u8, end: u8) {
        self.set_word(bda::CURSOR_TYPE, u16::from_le_bytes([end, start]));
        let height = self.byte(bda::CHARACTER_HEIGHT);
        let emulate = self.byte(bda::CONTROL) & 1 == 0;
        let (mut first, mut last) = (start & 0x3f, end & 0x1f);
        if emulate && height > 8 && last < 8 && first < 0x20 {
            let scaled = |line: u8| (u16::from(line) + 1) * u16::from(height) / 8;
            first = (if last == first + 1 { scaled(last) - 2 } else { scaled(first) - 1 }) as u8;
            last = (scaled(last) - 1) as u8;
        }
        self.set_crtc(0x0a, first);
        self.set_crtc(0x0b, last);
    }

    /// Shows a page.
    pub(super) fn show_page(&mut self, page: u8) {
        if u16::from(page) >= PAGES {
            return;
        }
        let start = self.word(bda::PAGE_SIZE).wrapping_mul(page.into());
        self.set_word(bda::PAGE_START, start);
        self.set_byte(bda::PAGE, page);
        let text = matches!(self.mode().layout, Layout::Text(_));
        self.set_crtc_word(0x0c, if text { start / 2 } else { start });
        self.place_cursor();
    }

    /// Sets a standard mode; false if there is none of this number.
    pub(super) fn set_mode(&mut self, number: u8, clear: bool) -> bool {
        let Some(mode) = modes::find(number) else { return false };
        self.host.dispi_out(super::vbe::ENABLE, 0);
        let palette_stays = self.byte(bda::MODE_CONTROL) & 8 != 0;
        self.program(mode);
        if !palette_stays {
            self.load_palette(mode.palette);
        }
        self.describe(mode, clear);
        if clear {
            self.clear(mode);
        }
        if let Layout::Text(_) = mode.layout {
            self.load_font(0, mode.height, 0);
        }
        self.set_vector(0x1f, self.segment, super::FONT_8X8 + 128 * 8);
        self.set_vector(0x43, self.segment, super::services::font_offset(mode.height));
        self.set_cursor_shape(6, 7);
        self.show_page(0);
        // The screen comes on last.
        self.seq(1, mode.seq[0]);
        true
    }

    /// Writes a mode's registers, with the screen off.
    fn program(&mut self, mode: &Mode) {
        self.host.port_out(port::MISC_WRITE, mode.misc);
        self.host.port_out(port::PEL_MASK, 0xff);
        self.seq(0, 0x01);
        for (index, value) in (1..).zip(mode.seq) {
            self.seq(index, if index == 1 { value | 0x20 } else { value });
        }
        self.seq(0, 0x03);
        // The protection of the first eight registers comes off first.
        self.set_crtc(0x11, 0);
        for (index, value) in (0..).zip(mode.crtc) {
            self.set_crtc(index, value);
        }
        for (index, value) in (0..).zip(mode.gfx) {
            self.gfx(index, value);
        }
        for (index, value) in (0..).zip(mode.attr) {
            self.set_attr(index, value);
        }
        self.set_attr(0x14, 0);
    }

    pub(super) fn load_palette(&mut self, palette: Palette) {
        for index in 0..=255u8 {
            let color = if u16::from(index) < palette.len() { palette.color(index) } else { [0; 3] };
            self.set_color(index, color);
        }
    }

    /// Fills in the data area.
    fn describe(&mut self, mode: &Mode, clear: bool) {
        self.set_byte(bda::MODE, mode.number);
        self.set_word(bda::COLUMNS, mode.columns.into());
        self.set_word(bda::PAGE_SIZE, mode.page_size);
        let crtc = self.crtc_port();
        self.set_word(bda::CRTC, crtc);
        self.set_byte(bda::ROWS, mode.rows - 1);
        self.set_word(bda::CHARACTER_HEIGHT, mode.height.into());
        self.set_byte(bda::CONTROL, CONTROL_VGA | if clear { 0 } else { 0x80 });
        self.set_byte(bda::SWITCHES, SWITCHES_COLOR);
        let kept = self.byte(bda::MODE_CONTROL) & 0x0e;
        self.set_byte(bda::MODE_CONTROL, MODE_CONTROL_VGA | kept);
        self.set_byte(bda::DISPLAY_COMBINATION, COMBINATION_VGA_COLOR);
        self.set_word(bda::VBE_MODE, 0);
        for page in 0..PAGES {
            self.set_word(bda::CURSORS + 2 * page, 0);
        }
    }

    fn clear(&mut self, mode: &Mode) {
        match mode.layout {
            Layout::Text(segment) => {
                let base = u32::from(segment) << 4;
                for cell in 0..0x4000 {
                    self.host.video_write(base + 2 * cell, b' ');
                    self.host.video_write(base + 2 * cell + 1, 0x07);
                }
            }
            Layout::Cga(_) => (0..0x8000).for_each(|at| self.host.video_write(0xb_8000 + at, 0)),
            Layout::Planar | Layout::Linear => (0..0x1_0000).for_each(|at| self.host.video_write(0xa_0000 + at, 0)),
        }
    }
}
