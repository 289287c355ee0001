//! The picture on the screen: from registers and video memory to pixels, exactly. What blinks is shown as it is at a time,
//! which is the guest's; or always, so that the same state makes the same picture whenever it is.

use super::Vga;
use super::registers::{attr, crtc, gfx, seq};
use lockstep_fabric::Nanos;

/// Bytes of a glyph in plane 2, however tall it is.
const GLYPH: u64 = 32;
/// Bytes of a character generator's table in plane 2.
const FONT: u64 = 8192;

/// A picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green and blue of each pixel, row by row from the top left.
    pub pixels: Vec<u8>,
}

impl Frame {
    fn black(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![0; width * height * 3] }
    }

    fn rows(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.pixels.chunks_exact_mut((self.width * 3).max(1))
    }
}

/// Video memory by bytes; what lies beyond reads as zeroes.
#[derive(Clone, Copy)]
struct Planes<'a>(&'a [u8]);

impl Planes<'_> {
    fn byte(self, at: u64) -> u8 {
        self.0.get(at as usize).copied().unwrap_or(0)
    }

    fn plane(self, plane: u64, offset: u64) -> u8 {
        self.byte(4 * offset + plane)
    }

    /// The four planes' bytes at an offset, the lowest plane first.
    fn cell(self, offset: u64) -> [u8; 4] {
        [0, 1, 2, 3].map(|plane| self.plane(plane, offset))
    }

    fn word(self, at: u64) -> u16 {
        u16::from_le_bytes([self.byte(at), self.byte(at + 1)])
    }
}

/// Where a scan line takes its memory from.
struct Line {
    /// Offset in the planes of its first cell.
    start: u64,
    /// Which line of its row of characters it is.
    scan: u64,
    /// Dots that it is shifted to the left.
    pan: u64,
    blink: Blink,
}

/// Which of the things that blink are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Blink {
    cursor: bool,
    characters: bool,
}

impl Blink {
    const SHOWN: Self = Self { cursor: true, characters: true };

    /// At a time: the cursor is shown for eight frames of 70 a second and not for eight, characters for twice as many.
    fn at(now: Nanos) -> Self {
        const FRAME: Nanos = 1_000_000_000 / 70;
        let frame = now / FRAME;
        Self { cursor: frame & 8 == 0, characters: frame & 16 == 0 }
    }
}

impl Vga {
    /// The picture on the screen, with the contents of [`Vga::memory`] and all that blinks.
    pub fn picture(&self, memory: &[u8]) -> Frame {
        self.draw_picture(memory, Blink::SHOWN)
    }

    /// The picture at a moment of guest time: what blinks is there or is not.
    pub fn picture_at(&self, memory: &[u8], now: Nanos) -> Frame {
        self.draw_picture(memory, Blink::at(now))
    }

    fn draw_picture(&self, memory: &[u8], blink: Blink) -> Frame {
        let memory = Planes(memory);
        if self.dispi.enabled() {
            return self.dispi_picture(memory);
        }
        let columns = u64::from(self.crtc.get(crtc::H_DISPLAY_END)) + 1;
        let mut frame = Frame::black((columns * self.dots()) as usize, self.lines() as usize);
        if self.blank() {
            return frame;
        }
        for (y, row) in frame.rows().enumerate() {
            let line = Line { blink, ..self.line(y as u64) };
            // One cell more than is shown: panning brings it in.
            let mut dots = Vec::with_capacity(row.len() / 3 + 18);
            for column in 0..=columns {
                self.draw(memory, &line, column, &mut dots);
            }
            let double = if self.half_clock() { 2 } else { 1 };
            let shown = dots.iter().skip((line.pan * double) as usize);
            for (pixel, dot) in row.chunks_exact_mut(3).zip(shown) {
                pixel.copy_from_slice(&self.dac.color(*dot, self.dispi.wide_dac()));
            }
        }
        frame
    }

    /// Whether the standard VGA shows nothing.
    pub(super) fn blank(&self) -> bool {
        self.attr.index & attr::PALETTE_ADDRESS_SOURCE == 0
            || self.seq.get(seq::CLOCKING) & seq::CLOCKING_SCREEN_OFF != 0
    }

    /// Whether the standard VGA shows characters.
    pub(super) fn shows_text(&self) -> bool {
        !self.dispi.enabled() && self.gfx.get(gfx::MISC) & gfx::MISC_GRAPHICS == 0
    }

    fn half_clock(&self) -> bool {
        self.seq.get(seq::CLOCKING) & seq::CLOCKING_HALF != 0
    }

    /// Cells from row to row.
    pub(super) fn pitch(&self) -> u64 {
        2 * u64::from(self.crtc.get(crtc::OFFSET))
    }

    /// Offset of the first cell shown.
    pub(super) fn start(&self) -> u64 {
        u64::from(self.crtc.get(crtc::START_HIGH)) << 8 | u64::from(self.crtc.get(crtc::START_LOW))
    }

    /// Lines of a row of characters, before doubling.
    pub(super) fn row_height(&self) -> u64 {
        u64::from(self.crtc.get(crtc::MAX_SCAN) & 0x1f) + 1
    }

    /// How often each line of a row is drawn.
    pub(super) fn repeats(&self) -> u64 {
        if self.crtc.get(crtc::MAX_SCAN) & 0x80 != 0 { 2 } else { 1 }
    }

    fn line_compare(&self) -> u64 {
        self.vertical(crtc::LINE_COMPARE, 4, 4) & 0x1ff | u64::from(self.crtc.get(crtc::MAX_SCAN) >> 6 & 1) << 9
    }

    fn line(&self, y: u64) -> Line {
        let preset = self.crtc.get(crtc::PRESET_ROW_SCAN);
        let below = y > self.line_compare();
        let (y, mut start, first_scan) = if below {
            (y - self.line_compare() - 1, 0, 0)
        } else {
            (y, self.start() + u64::from(preset >> 5 & 3), u64::from(preset & 0x1f))
        };
        let scan = y / self.repeats() + first_scan;
        start += scan / self.row_height() * self.pitch();
        let scan = scan % self.row_height();
        let still = below && self.attr.get(attr::MODE) & attr::MODE_PAN_TOP_ONLY != 0;
        Line { start, scan, pan: if still { 0 } else { self.panning() }, blink: Blink::SHOWN }
    }

    fn panning(&self) -> u64 {
        let pan = u64::from(self.attr.get(attr::PANNING) & 0xf);
        let nine = self.shows_text() && self.seq.get(seq::CLOCKING) & seq::CLOCKING_8_DOTS == 0;
        match pan {
            8.. if nine => 0,
            pan if nine => pan + 1,
            pan => pan & 7,
        }
    }

    /// Appends the dots of the cell at `column`, as indices into the DAC.
    fn draw(&self, memory: Planes<'_>, line: &Line, column: u64, dots: &mut Vec<u8>) {
        if self.shows_text() {
            return self.draw_character(memory, line, column, dots);
        }
        let cell = memory.cell(self.banked(line.start + column, line.scan));
        match self.gfx.get(gfx::MODE) >> 5 & 3 {
            0 => {
                for bit in (0..8).rev() {
                    let pixel = (0..4).fold(0, |p, plane| p | (cell[plane] >> bit & 1) << plane);
                    self.push(dots, self.attribute_color(pixel));
                }
            }
            1 => {
                // Each pixel takes two bits: planes 0 and 2 make the first four, planes 1 and 3 the others.
                for (low, high) in [(cell[0], cell[2]), (cell[1], cell[3])] {
                    for pair in (0..4).rev() {
                        let pixel = low >> (2 * pair) & 3 | (high >> (2 * pair) & 3) << 2;
                        self.push(dots, self.attribute_color(pixel));
                    }
                }
            }
            _ => {
                for pixel in cell {
                    self.push(dots, pixel);
                    self.push(dots, pixel);
                }
            }
        }
    }

    fn push(&self, dots: &mut Vec<u8>, dot: u8) {
        dots.push(dot);
        if self.half_clock() {
            dots.push(dot);
        }
    }

    /// CGA and Hercules put successive lines into banks: bits of the row scan replace bits of the address.
    fn banked(&self, cell: u64, scan: u64) -> u64 {
        let mode = self.crtc.get(crtc::MODE);
        let mut cell = cell & 0xffff;
        if mode & crtc::MODE_NO_CGA_BANKS == 0 {
            let bit = if mode & crtc::MODE_BYTE != 0 { 13 } else { 12 };
            cell = cell & !(1 << bit) | (scan & 1) << bit;
        }
        if mode & crtc::MODE_NO_HERCULES_BANKS == 0 {
            let bit = if mode & crtc::MODE_BYTE != 0 { 14 } else { 13 };
            cell = cell & !(1 << bit) | (scan >> 1 & 1) << bit;
        }
        cell
    }

    /// The DAC's index for one of the sixteen colours.
    fn attribute_color(&self, pixel: u8) -> u8 {
        let pixel = pixel & self.attr.get(attr::PLANE_ENABLE) & 0xf;
        let palette = self.attr.get(pixel.into());
        let select = self.attr.get(attr::COLOR_SELECT);
        let low = if self.attr.get(attr::MODE) & attr::MODE_P54 != 0 {
            palette & 0x0f | (select & 3) << 4
        } else {
            palette & 0x3f
        };
        low | (select & 0x0c) << 4
    }

    fn draw_character(&self, memory: Planes<'_>, line: &Line, column: u64, dots: &mut Vec<u8>) {
        let offset = (line.start + column) & 0xffff;
        let (character, attribute) = (memory.plane(0, offset), memory.plane(1, offset));
        let mode = self.attr.get(attr::MODE);
        let foreground = attribute & 0x0f;
        let background = if mode & attr::MODE_BLINK != 0 { attribute >> 4 & 7 } else { attribute >> 4 };
        let font = self.font(attribute & 8 != 0);
        let mut glyph = memory.plane(2, font + u64::from(character) * GLYPH + line.scan);
        if mode & attr::MODE_BLINK != 0 && attribute & 0x80 != 0 && !line.blink.characters {
            glyph = 0;
        }
        let cursor = line.blink.cursor && self.cursor(offset, line.scan);
        let underlined = mode & attr::MODE_MONOCHROME != 0 && attribute & 0x77 == 1;
        if underlined && u64::from(self.crtc.get(crtc::UNDERLINE) & 0x1f) == line.scan || cursor {
            glyph = 0xff;
        }
        let color = |on| self.attribute_color(if on { foreground } else { background });
        for bit in (0..8).rev() {
            self.push(dots, color(glyph >> bit & 1 != 0));
        }
        if self.seq.get(seq::CLOCKING) & seq::CLOCKING_8_DOTS == 0 {
            let goes_on = mode & attr::MODE_LINE_GRAPHICS != 0 && (0xc0..=0xdf).contains(&character);
            let whole = glyph == 0xff && cursor;
            self.push(dots, color(glyph & 1 != 0 && (goes_on || whole)));
        }
    }

    /// Where the character generator's table lies in plane 2, by attribute bit 3.
    fn font(&self, bright: bool) -> u64 {
        let select = self.seq.get(seq::CHARACTER_MAP);
        let table = if bright { select >> 5 & 1 | select >> 1 & 6 } else { select >> 4 & 1 | select << 1 & 6 };
        u64::from(table) * FONT
    }

    fn cursor(&self, offset: u64, scan: u64) -> bool {
        let start = self.crtc.get(crtc::CURSOR_START);
        let end = self.crtc.get(crtc::CURSOR_END) & 0x1f;
        let at = u64::from(self.crtc.get(crtc::CURSOR_HIGH)) << 8 | u64::from(self.crtc.get(crtc::CURSOR_LOW));
        start & crtc::CURSOR_OFF == 0 && at == offset && (u64::from(start & 0x1f)..=end.into()).contains(&scan)
    }

    fn dispi_picture(&self, memory: Planes<'_>) -> Frame {
        let (width, height) = self.dispi.resolution();
        let (pitch, start) = (self.dispi.pitch(), self.dispi.start());
        let wide = self.dispi.wide_dac();
        let mut frame = Frame::black(width.into(), height.into());
        for (y, row) in frame.rows().enumerate() {
            let line = start + y as u64 * pitch;
            for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
                let x = x as u64;
                let color = match self.dispi.depth() {
                    4 => {
                        let cell = memory.cell((line / 4) + x / 8);
                        let bit = 7 - x % 8;
                        let index = (0..4).fold(0, |p, plane| p | (cell[plane] >> bit & 1) << plane);
                        self.dac.color(self.attribute_color(index), wide)
                    }
                    15 => direct(memory.word(line + 2 * x), 5),
                    16 => direct(memory.word(line + 2 * x), 6),
                    24 => [2, 1, 0].map(|c| memory.byte(line + 3 * x + c)),
                    32 => [2, 1, 0].map(|c| memory.byte(line + 4 * x + c)),
                    _ => self.dac.color(memory.byte(line + x), wide),
                };
                pixel.copy_from_slice(&color);
            }
        }
        frame
    }
}

/// A pixel of 15 or 16 bits, with so many bits of green: each component is widened by repeating its high bits.
fn direct(pixel: u16, green_bits: u32) -> [u8; 3] {
    let five = |c: u16| ((c & 0x1f) << 3 | (c & 0x1f) >> 2) as u8;
    let green = pixel >> 5;
    let green = if green_bits == 6 { ((green & 0x3f) << 2 | (green & 0x3f) >> 4) as u8 } else { five(green) };
    [five(pixel >> (5 + green_bits)), green, five(pixel)]
}
