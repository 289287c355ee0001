//! Character generator services (AH=11h) and the tables in plane 2.

use super::modes::Layout;
use super::screen::{Screen, bda};
use super::services::{Registers, font_offset};

/// Bytes of a glyph in plane 2.
const GLYPH: u32 = 32;

/// Which bytes of the caller's memory AH=11h reads: segment, offset, length.
pub(super) fn wants(regs: &Registers) -> Option<(u16, u16, usize)> {
    matches!(regs.al(), 0x00 | 0x10).then(|| {
        let count = usize::from(regs.cx).min(256);
        (regs.es, regs.bp, count * usize::from(regs.bh().min(32)))
    })
}

impl Screen<'_> {
    /// Where a table of the character generator lies in plane 2.
    fn font_table(table: u8) -> u32 {
        let index = u32::from(table >> 2 & 1) | u32::from(table & 3) << 1;
        0xa_0000 + index * 0x2000
    }

    /// Opens plane 2 at A0000h, does `work`, and closes it again.
    fn with_plane_2(&mut self, work: impl FnOnce(&mut Self)) {
        let color = self.crtc_port() == 0x3d4;
        let mapping = if color { 0x0e } else { 0x0a };
        self.seq(2, 0x04);
        self.seq(4, 0x06);
        self.gfx(4, 0x02);
        self.gfx(5, 0x00);
        self.gfx(6, 0x04);
        work(self);
        self.seq(2, 0x03);
        self.seq(4, 0x02);
        self.gfx(4, 0x00);
        self.gfx(5, 0x10);
        self.gfx(6, mapping);
    }

    /// Writes glyphs of `height` rows from `first` on to a table.
    fn write_glyphs(&mut self, glyphs: &[u8], height: u8, table: u8, first: u16) {
        let base = Self::font_table(table);
        self.with_plane_2(|screen| {
            for (code, glyph) in (u32::from(first)..256).zip(glyphs.chunks_exact(usize::from(height.clamp(1, 32)))) {
                for (row, bits) in (0..).zip(glyph) {
                    screen.host.video_write(base + code * GLYPH + row, *bits);
                }
            }
        });
    }

    /// Loads one of the ROM's fonts.
    pub(super) fn load_font(&mut self, table: u8, height: u8, first: u16) {
        let base = u32::from(self.segment) << 4;
        let at = base + u32::from(font_offset(height));
        let glyphs: Vec<u8> = (0..256 * u32::from(height)).map(|i| self.host.low_read(at + i)).collect();
        self.write_glyphs(&glyphs, height, table, first);
    }

    /// Fits the text mode's rows to characters of another height.
    fn set_character_height(&mut self, height: u8) {
        let height = height.clamp(1, 32);
        let crtc = self.crtc_port();
        let max_scan = self.indexed(crtc, 0x09);
        self.set_crtc(0x09, max_scan & 0xe0 | (height - 1));
        self.set_word(bda::CHARACTER_HEIGHT, height.into());
        let overflow = u16::from(self.indexed(crtc, 0x07));
        let low = u16::from(self.indexed(crtc, 0x12));
        let lines = (low | (overflow & 2) << 7 | (overflow & 0x40) << 3) + 1;
        let lines = if max_scan & 0x80 != 0 { lines / 2 } else { lines };
        let rows = (lines / u16::from(height)).max(1);
        self.set_byte(bda::ROWS, (rows - 1) as u8);
        let columns = self.columns();
        self.set_word(bda::PAGE_SIZE, (rows * columns * 2).next_multiple_of(0x100));
        if height == 8 { self.set_cursor_shape(6, 7) } else { self.set_cursor_shape(height - 3, height - 2) }
    }

    /// AH=11h; `input` is what [`wants`] asked for.
    pub(super) fn fonts(&mut self, regs: &mut Registers, input: &[u8]) {
        let text = matches!(self.mode().layout, Layout::Text(_));
        let table = regs.bl();
        match regs.al() {
            0x00 | 0x10 if text => {
                self.write_glyphs(input, regs.bh(), table, regs.dx);
                if regs.al() == 0x10 {
                    self.set_character_height(regs.bh());
                }
            }
            0x01 | 0x02 | 0x04 | 0x11 | 0x12 | 0x14 if text => {
                let height = match regs.al() & 0xf {
                    1 => 14,
                    2 => 8,
                    _ => 16,
                };
                self.load_font(table, height, 0);
                if regs.al() >= 0x10 {
                    self.set_character_height(height);
                }
            }
            0x03 => self.seq(3, table),
            0x20 => self.set_vector(0x1f, regs.es, regs.bp),
            0x21 => {
                self.set_graphics_font(regs.es, regs.bp, regs.cx as u8);
                self.set_graphics_rows(table, regs.dl());
            }
            0x22..=0x24 => {
                let height = [14, 8, 16][usize::from(regs.al() - 0x22)];
                let segment = self.segment;
                self.set_graphics_font(segment, font_offset(height), height);
                self.set_graphics_rows(table, regs.dl());
            }
            0x30 => self.font_information(regs),
            _ => {}
        }
    }

    fn set_graphics_font(&mut self, segment: u16, offset: u16, height: u8) {
        self.set_vector(0x43, segment, offset);
        self.set_word(bda::CHARACTER_HEIGHT, height.clamp(1, 32).into());
    }

    fn set_graphics_rows(&mut self, code: u8, rows: u8) {
        let rows = match code {
            0 => rows.max(1),
            1 => 14,
            2 => 25,
            _ => 43,
        };
        self.set_byte(bda::ROWS, rows - 1);
    }

    fn font_information(&mut self, regs: &mut Registers) {
        let segment = self.segment;
        let rom = |at: u16| Some((segment, at));
        let place = match regs.bh() {
            0 => Some((self.word(0x1f * 4 + 2), self.word(0x1f * 4))),
            1 => Some((self.word(0x43 * 4 + 2), self.word(0x43 * 4))),
            2 => rom(super::FONT_8X14),
            3 => rom(super::FONT_8X8),
            4 => rom(super::FONT_8X8 + 128 * 8),
            // The 9-dot variants: no character of the ROM's fonts needs another shape for them.
            5 => rom(super::FONT_8X14),
            6 | 7 => rom(super::FONT_8X16),
            _ => None,
        };
        let Some((segment, offset)) = place else { return };
        (regs.es, regs.bp) = (segment, offset);
        regs.cx = self.word(bda::CHARACTER_HEIGHT);
        regs.set_dl(self.byte(bda::ROWS));
    }
}
