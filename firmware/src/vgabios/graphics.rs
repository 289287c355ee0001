//! Pixels, and characters drawn with them.

use super::modes::Layout;
use super::screen::{Screen, bda};
use super::text::Window;

const PLANAR_BASE: u32 = 0xa_0000;
const CGA_BASE: u32 = 0xb_8000;
const CGA_BANK: u32 = 0x2000;
const CGA_PITCH: u32 = 80;
/// Colour bit that has characters and pixels combined with what is there.
const XOR: u8 = 0x80;

/// Graphics controller: write mode 2, and exclusive or.
const WRITE_MODE_1: u8 = 1;
const WRITE_MODE_2: u8 = 2;
const FUNCTION_XOR: u8 = 0x18;

impl Screen<'_> {
    /// Bytes of a character's width.
    fn character_bytes(layout: Layout) -> u32 {
        match layout {
            Layout::Text(_) | Layout::Planar => 1,
            Layout::Cga(bits) => bits.into(),
            Layout::Linear => 8,
        }
    }

    /// Address of the byte in which line `y` of character column `column` starts.
    fn line(&mut self, layout: Layout, page: u8, column: u16, y: u32) -> u32 {
        let columns = u32::from(self.columns());
        let x = u32::from(column) * Self::character_bytes(layout);
        let page = u32::from(self.word(bda::PAGE_SIZE)) * u32::from(page);
        match layout {
            Layout::Cga(_) => CGA_BASE + (y % 2 * CGA_BANK + y / 2 * CGA_PITCH + x) % 0x8000,
            Layout::Linear => PLANAR_BASE + (y * columns * 8 + x) % 0x1_0000,
            Layout::Planar | Layout::Text(_) => PLANAR_BASE + (page + y * columns + x) % 0x1_0000,
        }
    }

    fn character_height(&mut self) -> u32 {
        u32::from(self.byte(bda::CHARACTER_HEIGHT)).clamp(1, 32)
    }

    /// A glyph of the font that vector 43h names (1Fh for the upper half in CGA modes).
    fn glyph(&mut self, layout: Layout, character: u8) -> Vec<u8> {
        let height = self.character_height();
        let upper = matches!(layout, Layout::Cga(_)) && character >= 128;
        let (vector, index) = if upper { (0x1f, character - 128) } else { (0x43, character) };
        let (offset, segment) = (self.word(vector * 4), self.word(vector * 4 + 2));
        let at = (u32::from(segment) << 4) + u32::from(offset) + u32::from(index) * height;
        (0..height).map(|row| self.host.low_read((at + row) & 0xf_ffff)).collect()
    }

    /// Draws a character.
    pub(super) fn draw(&mut self, page: u8, column: u16, row: u16, character: u8, color: u8) {
        let layout = self.mode().layout;
        let glyph = self.glyph(layout, character);
        let top = u32::from(row) * glyph.len() as u32;
        for (y, bits) in (top..).zip(glyph) {
            let at = self.line(layout, page, column, y);
            match layout {
                Layout::Planar | Layout::Text(_) => self.draw_planar(at, bits, color),
                Layout::Cga(depth) => self.draw_cga(at, bits, color, depth),
                Layout::Linear => self.draw_linear(at, bits, color),
            }
        }
        if layout == Layout::Planar {
            self.end_planar();
        }
    }

    fn draw_planar(&mut self, at: u32, bits: u8, color: u8) {
        let combine = color & XOR != 0;
        self.gfx(3, if combine { FUNCTION_XOR } else { 0 });
        self.gfx(5, WRITE_MODE_2);
        self.gfx(8, bits);
        self.host.video_read(at);
        self.host.video_write(at, color & 0xf);
        if !combine {
            self.gfx(8, !bits);
            self.host.video_read(at);
            self.host.video_write(at, 0);
        }
    }

    /// Puts the graphics controller back to plain writes.
    fn end_planar(&mut self) {
        self.gfx(3, 0);
        self.gfx(5, 0);
        self.gfx(8, 0xff);
    }

    fn draw_cga(&mut self, at: u32, bits: u8, color: u8, depth: u8) {
        let pixels = 8 / depth;
        for byte in 0..depth {
            let mut value = 0;
            for pixel in 0..pixels {
                let on = bits >> (7 - byte * pixels - pixel) & 1 != 0;
                let shift = 8 - depth - pixel * depth;
                value |= if on { color & ((1 << depth) - 1) } else { 0 } << shift;
            }
            let at = at + u32::from(byte);
            let held = if color & XOR != 0 { self.host.video_read(at) } else { 0 };
            self.host.video_write(at, held ^ value);
        }
    }

    fn draw_linear(&mut self, at: u32, bits: u8, color: u8) {
        for x in 0..8 {
            let on = bits >> (7 - x) & 1 != 0;
            self.host.video_write(at + x, if on { color } else { 0 });
        }
    }

    /// Which character is drawn at a place; 0 if none of the font's.
    pub(super) fn recognize(&mut self, page: u8, column: u16, row: u16) -> u8 {
        let layout = self.mode().layout;
        let height = self.character_height();
        let drawn: Vec<u8> = (0..height)
            .map(|y| {
                (0..8).fold(0, |bits, x| {
                    let on = self.pixel(page, 8 * column + x, (u32::from(row) * height + y) as u16) != 0;
                    bits << 1 | u8::from(on)
                })
            })
            .collect();
        (0..=255).find(|code| self.glyph(layout, *code) == drawn).unwrap_or(0)
    }

    /// AH=0Dh: the colour of a pixel.
    pub(super) fn pixel(&mut self, page: u8, x: u16, y: u16) -> u8 {
        let layout = self.mode().layout;
        let at = self.line(layout, page, x / 8, y.into());
        match layout {
            Layout::Text(_) => 0,
            Layout::Planar => {
                let mut color = 0;
                for plane in 0..4 {
                    self.gfx(4, plane);
                    color |= (self.host.video_read(at) >> (7 - x % 8) & 1) << plane;
                }
                self.gfx(4, 0);
                color
            }
            Layout::Cga(depth) => {
                let (at, shift) = Self::cga_pixel(at, x, depth);
                self.host.video_read(at) >> shift & ((1 << depth) - 1)
            }
            Layout::Linear => self.host.video_read(at + u32::from(x % 8)),
        }
    }

    /// The byte and shift of a pixel in the character that starts at `at`.
    fn cga_pixel(at: u32, x: u16, depth: u8) -> (u32, u8) {
        let bit = (x % 8) as u8 * depth;
        (at + u32::from(bit / 8), 8 - depth - bit % 8)
    }

    /// AH=0Ch: colours a pixel; bit 7 combines it with what is there.
    pub(super) fn set_pixel(&mut self, page: u8, x: u16, y: u16, color: u8) {
        let layout = self.mode().layout;
        let at = self.line(layout, page, x / 8, y.into());
        match layout {
            Layout::Text(_) => {}
            Layout::Planar => {
                self.gfx(3, if color & XOR != 0 { FUNCTION_XOR } else { 0 });
                self.gfx(5, WRITE_MODE_2);
                self.gfx(8, 0x80 >> (x % 8));
                self.host.video_read(at);
                self.host.video_write(at, color & 0xf);
                self.end_planar();
            }
            Layout::Cga(depth) => {
                let (at, shift) = Self::cga_pixel(at, x, depth);
                let mask = ((1 << depth) - 1) << shift;
                let held = self.host.video_read(at);
                let value = (color << shift) & mask;
                let value = if color & XOR != 0 { held ^ value } else { held & !mask | value };
                self.host.video_write(at, value);
            }
            Layout::Linear => self.host.video_write(at + u32::from(x % 8), color),
        }
    }

    /// Copies the lines of one row of characters from another, or fills them with a colour.
    pub(super) fn move_drawn_row(&mut self, page: u8, window: Window, from: Option<u16>, to: u16, color: u8) {
        let layout = self.mode().layout;
        let height = self.character_height();
        let len = u32::from(window.right - window.left + 1) * Self::character_bytes(layout);
        let fill = match layout {
            Layout::Cga(1) => 0xff * (color & 1),
            Layout::Cga(_) => 0x55 * (color & 3),
            Layout::Text(_) | Layout::Planar | Layout::Linear => color,
        };
        if layout == Layout::Planar {
            self.gfx(5, if from.is_some() { WRITE_MODE_1 } else { WRITE_MODE_2 });
        }
        for y in 0..height {
            let start = self.line(layout, page, window.left, u32::from(to) * height + y);
            let source = from.map(|row| self.line(layout, page, window.left, u32::from(row) * height + y));
            for i in 0..len {
                let value = source.map_or(fill, |source| self.host.video_read(source + i));
                self.host.video_write(start + i, value);
            }
        }
        if layout == Layout::Planar {
            self.end_planar();
        }
    }
}
