//! INT 10h: which function does what (IBM PS/2 and PC BIOS Interface Technical Reference, INT 10h).

use super::modes::Layout;
use super::screen::{Screen, bda, port};
use super::text::Window;
use super::{FONT_8X8, FONT_8X14, FONT_8X16, Host, font, mailbox, vbe};

/// The caller's registers, and the ROM's segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// DI.
    pub di: u16,
    /// SI.
    pub si: u16,
    /// BP.
    pub bp: u16,
    /// SP within the handler; what is written back is not used.
    pub sp: u16,
    /// BX.
    pub bx: u16,
    /// DX.
    pub dx: u16,
    /// CX.
    pub cx: u16,
    /// AX.
    pub ax: u16,
    /// ES.
    pub es: u16,
    /// DS.
    pub ds: u16,
    /// The ROM's segment.
    pub cs: u16,
}

macro_rules! halves {
    ($($low:ident $set_low:ident $high:ident $set_high:ident $whole:ident,)*) => {
        #[allow(dead_code, reason = "every register has its halves, whether a service uses them today or not")]
        impl Registers {
            $(
                pub(super) fn $low(&self) -> u8 { self.$whole as u8 }
                pub(super) fn $high(&self) -> u8 { (self.$whole >> 8) as u8 }
                pub(super) fn $set_low(&mut self, value: u8) { self.$whole = self.$whole & 0xff00 | u16::from(value); }
                pub(super) fn $set_high(&mut self, value: u8) { self.$whole = self.$whole & 0xff | u16::from(value) << 8; }
            )*
        }
    };
}
halves! {
    al set_al ah set_ah ax,
    bl set_bl bh set_bh bx,
    cl set_cl ch set_ch cx,
    dl set_dl dh set_dh dx,
}

impl Registers {
    /// From the words of the mailbox.
    pub fn from_words(words: [u16; mailbox::REGISTERS]) -> Self {
        let [di, si, bp, sp, bx, dx, cx, ax, es, ds, cs] = words;
        Self { di, si, bp, sp, bx, dx, cx, ax, es, ds, cs }
    }

    /// To the words of the mailbox.
    pub fn words(&self) -> [u16; mailbox::REGISTERS] {
        [self.di, self.si, self.bp, self.sp, self.bx, self.dx, self.cx, self.ax, self.es, self.ds, self.cs]
    }
}

/// A piece of the caller's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its segment.
    pub segment: u16,
    /// Its offset there.
    pub offset: u16,
    /// Its length in bytes.
    pub len: u16,
}

/// The piece of the caller's memory that a service reads, if any.
pub fn wants(regs: &Registers) -> Option<Span> {
    let (segment, offset, len) = match regs.ah() {
        0x10 if regs.al() == 0x02 => (regs.es, regs.dx, 17),
        0x10 if regs.al() == 0x12 => (regs.es, regs.dx, 3 * usize::from(regs.cx.min(256))),
        0x11 => font::wants(regs)?,
        0x13 => (regs.es, regs.bp, usize::from(regs.cx) << (regs.al() >> 1 & 1)),
        0x4f => vbe::wants(regs)?,
        _ => return None,
    };
    let len = u16::try_from(len).unwrap_or(u16::MAX);
    (len > 0).then_some(Span { segment, offset, len })
}

/// Performs a service: changes the registers and the card. `input` is what [`wants`] asked for. What is to be written to the
/// caller's memory is returned: segment, offset and bytes.
pub fn serve(host: &mut dyn Host, regs: &mut Registers, input: &[u8]) -> Option<(u16, u16, Vec<u8>)> {
    let screen = &mut Screen { host, segment: regs.cs };
    match regs.ah() {
        0x00 => screen.enter_mode(regs),
        0x01 => screen.set_cursor_shape(regs.ch(), regs.cl()),
        0x02 => screen.set_cursor(regs.bh(), regs.dl(), regs.dh()),
        0x03 => {
            let (column, row) = screen.cursor(regs.bh());
            regs.dx = u16::from_le_bytes([column, row]);
            regs.cx = screen.word(bda::CURSOR_TYPE);
            regs.ax = 0;
        }
        0x04 => regs.set_ah(0),
        0x05 => screen.show_page(regs.al()),
        0x06 | 0x07 => {
            let page = screen.byte(bda::PAGE);
            let edges = Window {
                top: regs.ch().into(),
                left: regs.cl().into(),
                bottom: regs.dh().into(),
                right: regs.dl().into(),
            };
            screen.scroll(page, edges, regs.al().into(), regs.ah() == 0x06, regs.bh());
        }
        0x08 => {
            let (column, row) = screen.cursor(regs.bh());
            let (character, attribute) = screen.read_character(regs.bh(), column.into(), row.into());
            regs.ax = u16::from_le_bytes([character, attribute]);
        }
        0x09 => screen.repeat_character(regs.bh(), regs.al(), Some(regs.bl()), regs.cx),
        0x0a => {
            let attribute = screen.drawn().then_some(regs.bl());
            screen.repeat_character(regs.bh(), regs.al(), attribute, regs.cx);
        }
        0x0b => screen.cga_palette(regs.bh(), regs.bl()),
        0x0c => screen.set_pixel(regs.bh(), regs.cx, regs.dx, regs.al()),
        0x0d => regs.set_al(screen.pixel(regs.bh(), regs.cx, regs.dx)),
        0x0e => {
            let attribute = screen.drawn().then_some(regs.bl());
            let page = screen.byte(bda::PAGE);
            screen.teletype(page, regs.al(), attribute);
        }
        0x0f => {
            let kept = screen.byte(bda::CONTROL) & 0x80;
            regs.set_al(screen.byte(bda::MODE) | kept);
            regs.set_ah(screen.columns() as u8);
            regs.set_bh(screen.byte(bda::PAGE));
        }
        0x10 => return screen.palette(regs, input),
        0x11 => screen.fonts(regs, input),
        0x12 => screen.alternate_select(regs),
        0x13 => screen.write_string(regs, input),
        0x1a => screen.display_combination(regs),
        0x1b => return screen.state_information(regs),
        0x4f => return vbe::serve(screen, regs, input),
        _ => {}
    }
    None
}

/// Where in the ROM the font of a height is.
pub(super) fn font_offset(height: u8) -> u16 {
    match height {
        8 => FONT_8X8,
        14 => FONT_8X14,
        _ => FONT_8X16,
    }
}

impl Screen<'_> {
    /// Whether characters are drawn.
    fn drawn(&mut self) -> bool {
        !matches!(self.mode().layout, Layout::Text(_))
    }

    fn enter_mode(&mut self, regs: &mut Registers) {
        let number = regs.al() & 0x7f;
        self.set_mode(number, regs.al() & 0x80 == 0);
        regs.set_al(match number {
            6 => 0x3f,
            0..=5 | 7 => 0x30,
            _ => 0x20,
        });
    }

    /// AH=0Bh: background and border, or one of the CGA's two palettes.
    fn cga_palette(&mut self, select: u8, value: u8) {
        if select == 0 {
            let intensity = (value & 0x08) << 1;
            self.set_attr(0x11, value & 0x07 | intensity);
            if self.drawn() {
                self.set_attr(0, value & 0x07 | intensity);
            }
            for index in 1..4 {
                let held = self.attr(index);
                self.set_attr(index, held & !0x10 | value & 0x10);
            }
        } else {
            for index in 1..4 {
                let held = self.attr(index);
                self.set_attr(index, held & !1 | value & 1);
            }
        }
    }

    /// AH=10h; `input` is the caller's palette where there is one.
    fn palette(&mut self, regs: &mut Registers, input: &[u8]) -> Option<(u16, u16, Vec<u8>)> {
        const MODE: u8 = 0x10;
        const OVERSCAN: u8 = 0x11;
        const SELECT: u8 = 0x14;
        match regs.al() {
            0x00 if regs.bl() < 0x15 => self.set_attr(regs.bl(), regs.bh()),
            0x01 => self.set_attr(OVERSCAN, regs.bh()),
            0x02 => {
                for (index, value) in (0..16).chain([OVERSCAN]).zip(input) {
                    self.set_attr(index, *value);
                }
            }
            0x03 => {
                let held = self.attr(MODE);
                self.set_attr(MODE, held & !8 | (regs.bl() & 1) << 3);
            }
            0x07 if regs.bl() < 0x15 => regs.set_bh(self.attr(regs.bl())),
            0x08 => regs.set_bh(self.attr(OVERSCAN)),
            0x09 => {
                let palette = (0..16).chain([OVERSCAN]).map(|index| self.attr(index)).collect();
                return Some((regs.es, regs.dx, palette));
            }
            0x10 => self.set_color(regs.bl(), [regs.dh(), regs.ch(), regs.cl()]),
            0x12 => {
                for (index, color) in (regs.bl()..=255).zip(input.chunks_exact(3)) {
                    self.set_color(index, [color[0], color[1], color[2]]);
                }
            }
            0x13 if regs.bl() == 0 => {
                let held = self.attr(MODE);
                self.set_attr(MODE, held & 0x7f | regs.bh() << 7);
            }
            0x13 => {
                let sixteens = self.attr(MODE) & 0x80 != 0;
                self.set_attr(SELECT, if sixteens { regs.bh() & 0xf } else { regs.bh() << 2 & 0xf });
            }
            0x15 => {
                let [red, green, blue] = self.color(regs.bl());
                regs.set_dh(red);
                regs.cx = u16::from_le_bytes([blue, green]);
            }
            0x17 => {
                let colors = (regs.bl()..=255).take(regs.cx.min(256).into()).flat_map(|i| self.color(i)).collect();
                return Some((regs.es, regs.dx, colors));
            }
            0x18 => self.host.port_out(port::PEL_MASK, regs.bl()),
            0x19 => regs.set_bl(self.host.port_in(port::PEL_MASK)),
            0x1a => {
                let sixteens = self.attr(MODE) >> 7;
                let select = self.attr(SELECT);
                regs.bx = u16::from_le_bytes([sixteens, if sixteens != 0 { select } else { select >> 2 }]);
            }
            0x1b => {
                for index in (regs.bl()..=255).take(regs.cx.min(256).into()) {
                    let [red, green, blue] = self.color(index).map(u16::from);
                    let grey = ((77 * red + 151 * green + 28 * blue + 128) >> 8).min(0x3f) as u8;
                    self.set_color(index, [grey; 3]);
                }
            }
            _ => {}
        }
        None
    }

    /// AH=12h.
    fn alternate_select(&mut self, regs: &mut Registers) {
        const DONE: u8 = 0x12;
        let (on, bits) = (regs.al() & 1, self.byte(bda::MODE_CONTROL));
        match regs.bl() {
            0x10 => {
                let color = self.crtc_port() == 0x3d4;
                regs.bx = u16::from_le_bytes([3, u8::from(!color)]);
                regs.cx = u16::from(self.byte(bda::SWITCHES) & 0x0f);
            }
            // The lines of a text mode: this card always shows 400.
            0x30 => regs.set_al(DONE),
            0x31 => {
                self.set_byte(bda::MODE_CONTROL, bits & !8 | on << 3);
                regs.set_al(DONE);
            }
            0x32 => regs.set_al(DONE),
            0x33 => {
                self.set_byte(bda::MODE_CONTROL, bits & !2 | (1 - on) << 1);
                regs.set_al(DONE);
            }
            0x34 => {
                let control = self.byte(bda::CONTROL);
                self.set_byte(bda::CONTROL, control & !1 | on);
                regs.set_al(DONE);
            }
            0x36 => {
                let clocking = self.indexed(port::SEQ, 1);
                self.seq(1, clocking & !0x20 | on << 5);
                regs.set_al(DONE);
            }
            _ => {}
        }
    }

    /// AH=13h: a string of characters, or of characters and attributes, with or without moving the cursor.
    fn write_string(&mut self, regs: &Registers, input: &[u8]) {
        let page = regs.bh();
        let before = self.cursor(page);
        self.set_cursor(page, regs.dl(), regs.dh());
        let pairs = regs.al() & 2 != 0;
        for piece in input.chunks_exact(if pairs { 2 } else { 1 }) {
            let attribute = if pairs { piece[1] } else { regs.bl() };
            self.teletype(page, piece[0], Some(attribute));
        }
        if regs.al() & 1 == 0 {
            self.set_cursor(page, before.0, before.1);
        }
    }

    /// AH=1Ah: a VGA with a colour display, and no other.
    fn display_combination(&mut self, regs: &mut Registers) {
        match regs.al() {
            0 => regs.bx = self.byte(bda::DISPLAY_COMBINATION).into(),
            1 => self.set_byte(bda::DISPLAY_COMBINATION, regs.bl()),
            _ => return,
        }
        regs.set_al(0x1a);
    }

    /// AH=1Bh: the table of what the card can do and does.
    fn state_information(&mut self, regs: &mut Registers) -> Option<(u16, u16, Vec<u8>)> {
        if regs.bx != 0 {
            return None;
        }
        let mut table = vec![0; 64];
        let segment = self.segment;
        table[..2].copy_from_slice(&super::image::FUNCTIONALITY.to_le_bytes());
        table[2..4].copy_from_slice(&segment.to_le_bytes());
        for (at, byte) in (bda::MODE..bda::MODE + 30).zip(&mut table[4..34]) {
            *byte = self.byte(at);
        }
        table[34] = self.rows() as u8;
        table[35] = self.byte(bda::CHARACTER_HEIGHT);
        table[37] = self.byte(bda::DISPLAY_COMBINATION);
        let (colors, pages) = match self.mode().layout {
            Layout::Text(_) => (16u16, 8),
            Layout::Cga(bits) => (1 << bits, 1),
            Layout::Planar => (16, 1),
            Layout::Linear => (256, 1),
        };
        table[39..41].copy_from_slice(&colors.to_le_bytes());
        table[41] = pages;
        // 400 lines.
        table[42] = 2;
        // 256 KiB.
        table[49] = 3;
        regs.set_al(0x1b);
        Some((regs.es, regs.di, table))
    }
}
