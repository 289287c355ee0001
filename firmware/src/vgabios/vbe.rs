//! VBE (VESA BIOS Extension Core Functions Standard 3.0), on the Bochs display interface.

use super::screen::{Screen, bda};
use super::services::Registers;

/// Registers of the display interface.
const XRES: u16 = 1;
const YRES: u16 = 2;
const BPP: u16 = 3;
pub(super) const ENABLE: u16 = 4;
const BANK: u16 = 5;
const VIRT_WIDTH: u16 = 6;
const VIRT_HEIGHT: u16 = 7;
const X_OFFSET: u16 = 8;
const Y_OFFSET: u16 = 9;
const MEMORY_64K: u16 = 0xa;
const ENABLED: u16 = 1;
const DAC_8_BIT: u16 = 0x20;
const LINEAR: u16 = 0x40;
const NO_CLEAR: u16 = 0x80;

const SUCCESS: u16 = 0x004f;
const FAILED: u16 = 0x014f;
const MODE_NO_CLEAR: u16 = 0x8000;
const MODE_LINEAR: u16 = 0x4000;
const MODE_NUMBER: u16 = 0x01ff;
const LIST_END: u16 = 0xffff;

/// A mode: number, width, height, bits per pixel.
type Mode = (u16, u16, u16, u16);

/// VESA's numbers up to 11Bh, the ones that Bochs gave to others above.
const MODES: [Mode; 75] = [
    (0x100, 640, 400, 8),
    (0x101, 640, 480, 8),
    (0x102, 800, 600, 4),
    (0x103, 800, 600, 8),
    (0x104, 1024, 768, 4),
    (0x105, 1024, 768, 8),
    (0x106, 1280, 1024, 4),
    (0x107, 1280, 1024, 8),
    (0x10d, 320, 200, 15),
    (0x10e, 320, 200, 16),
    (0x10f, 320, 200, 24),
    (0x110, 640, 480, 15),
    (0x111, 640, 480, 16),
    (0x112, 640, 480, 24),
    (0x113, 800, 600, 15),
    (0x114, 800, 600, 16),
    (0x115, 800, 600, 24),
    (0x116, 1024, 768, 15),
    (0x117, 1024, 768, 16),
    (0x118, 1024, 768, 24),
    (0x119, 1280, 1024, 15),
    (0x11a, 1280, 1024, 16),
    (0x11b, 1280, 1024, 24),
    (0x11c, 1600, 1200, 8),
    (0x11d, 1600, 1200, 15),
    (0x11e, 1600, 1200, 16),
    (0x11f, 1600, 1200, 24),
    (0x140, 320, 200, 32),
    (0x141, 640, 400, 32),
    (0x142, 640, 480, 32),
    (0x143, 800, 600, 32),
    (0x144, 1024, 768, 32),
    (0x145, 1280, 1024, 32),
    (0x146, 320, 200, 8),
    (0x147, 1600, 1200, 32),
    (0x148, 1152, 864, 8),
    (0x149, 1152, 864, 15),
    (0x14a, 1152, 864, 16),
    (0x14b, 1152, 864, 24),
    (0x14c, 1152, 864, 32),
    (0x175, 1280, 768, 16),
    (0x176, 1280, 768, 24),
    (0x177, 1280, 768, 32),
    (0x178, 1280, 800, 16),
    (0x179, 1280, 800, 24),
    (0x17a, 1280, 800, 32),
    (0x17b, 1280, 960, 16),
    (0x17c, 1280, 960, 24),
    (0x17d, 1280, 960, 32),
    (0x17e, 1440, 900, 16),
    (0x17f, 1440, 900, 24),
    (0x180, 1440, 900, 32),
    (0x181, 1400, 1050, 16),
    (0x182, 1400, 1050, 24),
    (0x183, 1400, 1050, 32),
    (0x184, 1680, 1050, 16),
    (0x185, 1680, 1050, 24),
    (0x186, 1680, 1050, 32),
    (0x187, 1920, 1200, 16),
    (0x188, 1920, 1200, 24),
    (0x189, 1920, 1200, 32),
    (0x18d, 1280, 720, 16),
    (0x18e, 1280, 720, 24),
    (0x18f, 1280, 720, 32),
    (0x190, 1920, 1080, 16),
    (0x191, 1920, 1080, 24),
    (0x192, 1920, 1080, 32),
    (0x193, 1920, 1080, 8),
    (0x194, 1920, 1080, 15),
    (0x195, 1600, 900, 8),
    (0x196, 1600, 900, 16),
    (0x197, 1600, 900, 24),
    (0x198, 1600, 900, 32),
    (0x199, 1920, 1200, 8),
    (0x19a, 1920, 1200, 15),
];

/// The pieces of the caller's memory that are read: the information block's signature, a palette.
pub(super) fn wants(regs: &Registers) -> Option<(u16, u16, usize)> {
    match regs.al() {
        0x00 => Some((regs.es, regs.di, 4)),
        0x09 if matches!(regs.bl(), 0x00 | 0x02 | 0x80) => Some((regs.es, regs.di, 4 * usize::from(regs.cx.min(256)))),
        _ => None,
    }
}

/// Performs a function; AX says how it went.
pub(super) fn serve(screen: &mut Screen<'_>, regs: &mut Registers, input: &[u8]) -> Option<(u16, u16, Vec<u8>)> {
    let place = (regs.es, regs.di);
    let mut output = None;
    let done = match regs.al() {
        0x00 => {
            output = Some(screen.controller_information(place, input == b"VBE2"));
            true
        }
        0x01 => {
            output = screen.mode_information(regs.cx & MODE_NUMBER);
            output.is_some()
        }
        0x02 => screen.set_vbe_mode(regs.bx),
        0x03 => {
            regs.bx = screen.vbe_mode();
            true
        }
        0x05 => screen.window(regs),
        0x06 => screen.scan_line(regs),
        0x07 => screen.display_start(regs),
        0x08 => screen.dac_width(regs),
        0x09 => {
            output = (regs.bl() == 1).then(|| screen.palette_entries(regs.dx, regs.cx));
            output.is_some() || screen.set_palette_entries(regs, input)
        }
        _ => false,
    };
    regs.ax = if done { SUCCESS } else { FAILED };
    output.map(|bytes| (place.0, place.1, bytes))
}

/// Bytes from row to row.
fn pitch(width: u16, depth: u16) -> u32 {
    if depth == 4 { u32::from(width) / 8 } else { u32::from(width) * u32::from(depth.div_ceil(8)) }
}

/// What a picture takes of video memory.
fn size((_, width, height, depth): Mode) -> u32 {
    let planes = if depth == 4 { 4 } else { 1 };
    pitch(width, depth) * u32::from(height) * planes
}

/// Writes fields at their offsets in a block.
struct Block(Vec<u8>);

impl Block {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(to) = self.0.get_mut(at..at + bytes.len()) {
            to.copy_from_slice(bytes);
        }
    }

    fn word(&mut self, at: usize, value: u16) {
        self.put(at, &value.to_le_bytes());
    }

    fn dword(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_le_bytes());
    }
}

impl Screen<'_> {
    fn memory(&mut self) -> u32 {
        u32::from(self.host.dispi_in(MEMORY_64K)) << 16
    }

    /// The modes that fit video memory.
    fn modes(&mut self) -> Vec<Mode> {
        let memory = self.memory();
        MODES.into_iter().filter(|mode| size(*mode) <= memory).collect()
    }

    fn controller_information(&mut self, (segment, offset): (u16, u16), long: bool) -> Vec<u8> {
        const LIST: usize = 0x22;
        const NAME: &[u8] = b"Lockstep VGA\0";
        const REVISION: &[u8] = b"1\0";
        const DAC_SWITCHABLE: u32 = 1;
        let far = |at: usize| u32::from(segment) << 16 | u32::from(offset.wrapping_add(at as u16));
        let mut block = Block(vec![0; if long { 512 } else { 256 }]);
        let memory = self.host.dispi_in(MEMORY_64K);
        block.put(0, b"VESA");
        block.word(4, 0x0300);
        block.dword(0xa, DAC_SWITCHABLE);
        block.dword(0xe, far(LIST));
        block.word(0x12, memory);
        let numbers = self.modes().into_iter().map(|mode| mode.0).chain([LIST_END]);
        let mut at = LIST;
        for number in numbers {
            block.word(at, number);
            at += 2;
        }
        block.put(at, NAME);
        block.dword(6, far(at));
        if long {
            block.word(0x14, 0x0100);
            block.dword(0x16, far(at));
            block.dword(0x1a, far(at));
            block.put(at + NAME.len(), REVISION);
            block.dword(0x1e, far(at + NAME.len()));
        }
        block.0
    }

    fn mode_information(&mut self, number: u16) -> Option<Vec<u8>> {
        /// Supported, with extended information, BIOS output, colour, graphics, not a VGA's own, linear frame buffer.
        const ATTRIBUTES: u16 = 0x00bb;
        const WINDOW_ATTRIBUTES: u8 = 7;
        let mode = self.modes().into_iter().find(|mode| mode.0 == number)?;
        let (_, width, height, depth) = mode;
        let pitch = pitch(width, depth) as u16;
        let frame_buffer = self.host.frame_buffer();
        let planar = depth == 4;
        let linear = frame_buffer != 0 && !planar;
        let pages = (self.memory() / size(mode) - 1).min(255) as u8;
        let mut block = Block(vec![0; 256]);
        block.word(0x00, ATTRIBUTES & !if linear { 0 } else { 0x80 });
        block.put(0x02, &[WINDOW_ATTRIBUTES, 0, 64, 0, 64, 0, 0x00, 0xa0]);
        block.word(0x10, pitch);
        block.word(0x12, width);
        block.word(0x14, height);
        let model = match depth {
            4 => 3,
            8 => 4,
            _ => 6,
        };
        block.put(0x16, &[8, 16, if planar { 4 } else { 1 }, depth as u8, 1, model, 0, pages, 1]);
        // Sizes and positions of red, green, blue and what is left over.
        let masks = match depth {
            15 => [5, 10, 5, 5, 5, 0, 1, 15],
            16 => [5, 11, 6, 5, 5, 0, 0, 0],
            24 => [8, 16, 8, 8, 8, 0, 0, 0],
            32 => [8, 16, 8, 8, 8, 0, 8, 24],
            _ => [0; 8],
        };
        block.put(0x1f, &masks);
        block.put(0x27, &[if depth == 32 { 2 } else { 0 }]);
        if linear {
            block.dword(0x28, frame_buffer);
        }
        block.word(0x32, pitch);
        block.put(0x34, &[pages, pages]);
        block.put(0x36, &masks);
        Some(block.0)
    }

    fn set_vbe_mode(&mut self, request: u16) -> bool {
        let (number, clear) = (request & MODE_NUMBER, request & MODE_NO_CLEAR == 0);
        if number < 0x100 {
            return self.set_mode(number as u8, clear);
        }
        let Some((_, width, height, depth)) = self.modes().into_iter().find(|mode| mode.0 == number) else {
            return false;
        };
        // What the display interface does not set is as in the standard mode that is nearest.
        self.set_mode(if depth == 4 { 0x12 } else { 0x13 }, false);
        let flags = if request & MODE_LINEAR != 0 { LINEAR } else { 0 } | if clear { 0 } else { NO_CLEAR };
        for (register, value) in [(XRES, width), (YRES, height), (BPP, depth), (ENABLE, ENABLED | flags)] {
            self.host.dispi_out(register, value);
        }
        self.set_word(bda::VBE_MODE, request & (MODE_NUMBER | MODE_LINEAR | MODE_NO_CLEAR));
        self.set_word(bda::COLUMNS, width / 8);
        self.set_byte(bda::ROWS, (height / 16 - 1) as u8);
        self.set_word(bda::CHARACTER_HEIGHT, 16);
        true
    }

    fn vbe_mode(&mut self) -> u16 {
        match self.word(bda::VBE_MODE) {
            0 => u16::from(self.byte(bda::MODE)),
            mode => mode,
        }
    }

    fn in_vbe_mode(&mut self) -> bool {
        self.host.dispi_in(ENABLE) & ENABLED != 0
    }

    /// AX=4F05h: the bank that is seen at A0000h.
    fn window(&mut self, regs: &mut Registers) -> bool {
        if regs.bl() != 0 || !self.in_vbe_mode() {
            return false;
        }
        match regs.bh() {
            0 => {
                self.host.dispi_out(BANK, regs.dx);
                self.host.dispi_in(BANK) == regs.dx
            }
            1 => {
                regs.dx = self.host.dispi_in(BANK);
                true
            }
            _ => false,
        }
    }

    /// AX=4F06h: pixels and bytes from row to row.
    fn scan_line(&mut self, regs: &mut Registers) -> bool {
        if !self.in_vbe_mode() {
            return false;
        }
        let depth = self.host.dispi_in(BPP);
        let per_pixel = if depth == 4 { 1 } else { depth.div_ceil(8) };
        let to_pixels = |bytes: u16| if depth == 4 { bytes.saturating_mul(8) } else { bytes.div_ceil(per_pixel) };
        let wanted = match regs.bl() {
            0 => Some(regs.cx),
            2 => Some(to_pixels(regs.cx)),
            1 | 3 => None,
            _ => return false,
        };
        if let Some(wanted) = wanted {
            self.host.dispi_out(VIRT_WIDTH, wanted.checked_next_multiple_of(8).unwrap_or(wanted));
            if self.host.dispi_in(VIRT_WIDTH) < wanted {
                return false;
            }
        }
        let width = if regs.bl() == 3 {
            let rows = u32::from(self.host.dispi_in(YRES)).max(1);
            to_pixels(u16::try_from(self.memory() / rows).unwrap_or(u16::MAX)) & !7
        } else {
            self.host.dispi_in(VIRT_WIDTH)
        };
        regs.cx = width;
        regs.bx = u16::try_from(pitch(width, depth)).unwrap_or(u16::MAX);
        regs.dx = self.host.dispi_in(VIRT_HEIGHT);
        true
    }

    /// AX=4F07h: the pixel in the top left corner.
    fn display_start(&mut self, regs: &mut Registers) -> bool {
        if !self.in_vbe_mode() {
            return false;
        }
        match regs.bl() {
            0x00 | 0x80 => {
                self.host.dispi_out(X_OFFSET, regs.cx);
                self.host.dispi_out(Y_OFFSET, regs.dx);
                (self.host.dispi_in(X_OFFSET), self.host.dispi_in(Y_OFFSET)) == (regs.cx, regs.dx)
            }
            0x01 => {
                regs.set_bh(0);
                regs.cx = self.host.dispi_in(X_OFFSET);
                regs.dx = self.host.dispi_in(Y_OFFSET);
                true
            }
            _ => false,
        }
    }

    /// AX=4F08h: bits of a component in the palette.
    fn dac_width(&mut self, regs: &mut Registers) -> bool {
        if !self.in_vbe_mode() || self.host.dispi_in(BPP) > 8 {
            return false;
        }
        let held = self.host.dispi_in(ENABLE);
        match regs.bl() {
            0 => {
                let flag = if regs.bh() >= 8 { DAC_8_BIT } else { 0 };
                self.host.dispi_out(ENABLE, held & !DAC_8_BIT | NO_CLEAR | flag);
                regs.set_bh(if flag == 0 { 6 } else { 8 });
            }
            1 => regs.set_bh(if held & DAC_8_BIT == 0 { 6 } else { 8 }),
            _ => return false,
        }
        true
    }

    /// AX=4F09h, reading: blue, green, red and a zero for each colour.
    fn palette_entries(&mut self, first: u16, count: u16) -> Vec<u8> {
        let mut entries = Vec::new();
        for index in (first.min(256)..256).take(count.into()) {
            let [red, green, blue] = self.color(index as u8);
            entries.extend([blue, green, red, 0]);
        }
        entries
    }

    fn set_palette_entries(&mut self, regs: &Registers, input: &[u8]) -> bool {
        if !matches!(regs.bl(), 0x00 | 0x80) {
            return false;
        }
        for (index, entry) in (regs.dx.min(256)..256).zip(input.chunks_exact(4)) {
            self.set_color(index as u8, [entry[2], entry[1], entry[0]]);
        }
        true
    }
}
