//! INT 10h on a serial console: all there is without a video ROM, or beside one.
//!
//! The cursor is the one in the BIOS data area, which a video ROM keeps too. Characters are sent with the terminal's cursor moved
//! first where it is not there already.

use serde::{Deserialize, Serialize};

use super::frame::{Frame, linear};
use super::low_memory::{
    ACTIVE_PAGE, CHARACTER_HEIGHT, COLUMNS, CRTC_PORT, CURSOR_SHAPE, CURSORS, LAST_ROW, PAGE_BYTES, VIDEO_MODE, byte,
    put_byte, put_word, word,
};
use super::serial::send;
use super::{Action, Bios, Board};

const COLOR_TEXT: u8 = 3;
const WIDTH: u8 = 80;
const HEIGHT: u8 = 25;
const USUAL_ATTRIBUTE: u8 = 0x07;
/// ANSI colours by the order of the video attribute's three bits (blue, green, red to red, green, blue).
const ANSI: [u8; 8] = [0, 4, 2, 6, 1, 5, 3, 7];

/// The terminal at the other end of COM1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SerialConsole {
    active: bool,
    /// The video ROM's INT 10h (offset, segment), called after us.
    chain: Option<(u16, u16)>,
    /// Where the terminal's cursor is, if that is known.
    at: Option<(u8, u8)>,
    attribute: u8,
}

impl Default for SerialConsole {
    fn default() -> Self {
        Self { active: false, chain: None, at: None, attribute: USUAL_ATTRIBUTE }
    }
}

impl SerialConsole {
    pub(super) fn active(&self) -> bool {
        self.active
    }

    /// Starts; `chain` is the video ROM's handler if there is one.
    pub(super) fn start(&mut self, chain: Option<(u16, u16)>) {
        (self.active, self.chain) = (true, chain);
    }

    /// Shows one character at a place with an attribute.
    fn show(&mut self, board: &mut dyn Board, row: u8, column: u8, character: u8, attribute: u8) {
        self.move_to(board, row, column);
        if attribute != self.attribute {
            self.attribute = attribute;
            let text = match attribute {
                USUAL_ATTRIBUTE => "\x1b[0m".into(),
                _ => {
                    let (front, back) = (ANSI[usize::from(attribute & 7)], ANSI[usize::from(attribute >> 4 & 7)]);
                    let bold = if attribute & 8 != 0 { ";1" } else { "" };
                    format!("\x1b[0{bold};{};{}m", 30 + front, 40 + back)
                }
            };
            send(board, text.as_bytes());
        }
        send(board, &[printable(character)]);
        // At the right edge terminals differ in what they do next.
        self.at = (column + 1 < WIDTH).then_some((row, column + 1));
    }

    fn move_to(&mut self, board: &mut dyn Board, row: u8, column: u8) {
        if self.at == Some((row, column)) {
            return;
        }
        match self.at {
            Some((r, _)) if r == row && column == 0 => send(board, b"\r"),
            _ => send(board, format!("\x1b[{};{}H", u16::from(row) + 1, u16::from(column) + 1).as_bytes()),
        }
        self.at = Some((row, column));
    }

    fn clear(&mut self, board: &mut dyn Board) {
        send(board, b"\x1b[0m\x1b[2J\x1b[H");
        (self.at, self.attribute) = (Some((0, 0)), USUAL_ATTRIBUTE);
    }

    /// Teletype: the cursor moves on, and the screen up at its end. `advance` keeps the cursor of the data area, too.
    fn teletype(&mut self, board: &mut dyn Board, page: u8, character: u8, attribute: u8, advance: bool) {
        let (mut row, mut column) = cursor(board, page);
        match character {
            b'\r' => {
                send(board, b"\r");
                column = 0;
                self.at = self.at.map(|(r, _)| (r, 0));
            }
            b'\n' => {
                send(board, b"\n");
                row += 1;
                self.at = self.at.map(|(r, c)| ((r + 1).min(HEIGHT - 1), c));
            }
            0x07 => send(board, &[0x07]),
            0x08 => {
                send(board, &[0x08]);
                column = column.saturating_sub(1);
                self.at = self.at.map(|(r, c)| (r, c.saturating_sub(1)));
            }
            _ => {
                // A terminal that has only ever been written to from its left margin needs no addressing.
                if self.at.is_none() && column == 0 {
                    self.at = Some((row, column));
                }
                self.show(board, row, column, character, attribute);
                column += 1;
            }
        }
        if column >= WIDTH {
            (column, row) = (0, row + 1);
            send(board, b"\r\n");
            self.at = Some((row.min(HEIGHT - 1), 0));
        }
        if row >= HEIGHT {
            row = HEIGHT - 1;
        }
        if advance {
            set_cursor(board, page, row, column);
        }
    }
}

/// Characters of code page 437 that a terminal lacks, by what looks most like them.
fn printable(character: u8) -> u8 {
    match character {
        0x20..=0x7e => character,
        0x18 | 0x1e => b'^',
        0x19 | 0x1f => b'v',
        0x10 | 0x1a => b'>',
        0x11 | 0x1b => b'<',
        0xb3 | 0xba => b'|',
        0xc4 | 0xcd => b'-',
        0xb4..=0xb9 | 0xbb..=0xc3 | 0xc5..=0xcc | 0xce..=0xda => b'+',
        0xb0..=0xb2 | 0xdb..=0xdf => b'#',
        0x00 | 0xff => b' ',
        _ => b'?',
    }
}

fn cursor(board: &mut dyn Board, page: u8) -> (u8, u8) {
    let at = word(board, CURSORS + 2 * u64::from(page & 7));
    (((at >> 8) as u8).min(HEIGHT - 1), (at as u8).min(WIDTH - 1))
}

fn set_cursor(board: &mut dyn Board, page: u8, row: u8, column: u8) {
    put_word(board, CURSORS + 2 * u64::from(page & 7), u16::from(row) << 8 | u16::from(column));
}

/// The video fields of the BIOS data area, for text mode 3.
pub(super) fn set_text_mode(board: &mut dyn Board) {
    put_byte(board, VIDEO_MODE, COLOR_TEXT);
    put_word(board, COLUMNS, WIDTH.into());
    put_word(board, PAGE_BYTES, 0x1000);
    put_word(board, CURSOR_SHAPE, 0x0607);
    put_byte(board, ACTIVE_PAGE, 0);
    put_word(board, CRTC_PORT, 0x3d4);
    put_byte(board, LAST_ROW, HEIGHT - 1);
    put_word(board, CHARACTER_HEIGHT, 16);
    for page in 0..8 {
        set_cursor(board, page, 0, 0);
    }
}

impl Bios {
    /// INT 10h.
    pub(super) fn video(&mut self, board: &mut dyn Board, f: &mut Frame) -> Action {
        let alone = self.console.chain.is_none();
        let text = byte(board, VIDEO_MODE) <= COLOR_TEXT || byte(board, VIDEO_MODE) == 7;
        if self.console.active && (alone || text || f.ah() == 0x00) {
            self.show_on_serial(board, f, alone);
        }
        if let Some(chain) = self.console.chain {
            f.chain = chain;
            return Action::Chain;
        }
        answer(board, f);
        Action::Done
    }

    fn show_on_serial(&mut self, board: &mut dyn Board, f: &mut Frame, alone: bool) {
        const TO_END: u8 = 0;
        let page = f.bh();
        match f.ah() {
            // Bit 7 keeps the screen. A screen that nothing was sent to is left alone, too: what the host's terminal shows is not
            // ours to erase.
            0x00 if f.al() & 0x80 == 0 && self.console.at.is_some() => self.console.clear(board),
            0x02 if page == byte(board, ACTIVE_PAGE) && self.console.at.is_some() => {
                self.console.move_to(board, f.dh().min(HEIGHT - 1), f.dl().min(WIDTH - 1));
            }
            0x06 | 0x07 if f.al() == TO_END && f.cx() == 0 && self.console.at.is_some() => self.console.clear(board),
            0x09 | 0x0a => {
                let (row, column) = cursor(board, page);
                let attribute = if f.ah() == 0x09 { f.bl() } else { self.console.attribute };
                let room = WIDTH - column;
                for i in 0..f.cx().min(room.into()) as u8 {
                    self.console.show(board, row, column + i, f.al(), attribute);
                }
                // The cursor itself stays, and what follows is likely a function that moves it.
                if f.cx() > 1 {
                    self.console.move_to(board, row, column);
                }
            }
            0x0e => {
                let page = byte(board, ACTIVE_PAGE);
                self.console.teletype(board, page, f.al(), USUAL_ATTRIBUTE, alone);
            }
            0x13 => self.string_on_serial(board, f, alone),
            _ => {}
        }
    }

    /// AH=13h: a string, with attributes in it or not, from a place on.
    fn string_on_serial(&mut self, board: &mut dyn Board, f: &Frame, alone: bool) {
        const MOVES_CURSOR: u8 = 1;
        const HAS_ATTRIBUTES: u8 = 2;
        let page = f.bh();
        let before = cursor(board, page);
        set_cursor(board, page, f.dh(), f.dl());
        let step = if f.al() & HAS_ATTRIBUTES != 0 { 2 } else { 1 };
        for i in 0..f.cx().min(u16::from(WIDTH) * u16::from(HEIGHT)) {
            let at = linear(f.es, (f.ebp as u16).wrapping_add(i * step));
            let attribute = if step == 2 { byte(board, at + 1) } else { f.bl() };
            let character = byte(board, at);
            self.console.teletype(board, page, character, attribute, true);
        }
        if !alone || f.al() & MOVES_CURSOR == 0 {
            set_cursor(board, page, before.0, before.1);
        }
    }
}

/// What a caller gets back where there is no video ROM.
fn answer(board: &mut dyn Board, f: &mut Frame) {
    match f.ah() {
        0x00 => {
            set_text_mode(board);
            f.set_al(0x30);
        }
        0x01 => put_word(board, CURSOR_SHAPE, f.cx()),
        0x02 => set_cursor(board, f.bh(), f.dh(), f.dl()),
        0x03 => {
            let at = word(board, CURSORS + 2 * u64::from(f.bh() & 7));
            let shape = word(board, CURSOR_SHAPE);
            f.set_cx(shape);
            f.set_dx(at);
        }
        0x05 => put_byte(board, ACTIVE_PAGE, f.al() & 7),
        // Nobody remembers what was written.
        0x08 => f.set_ax(u16::from(USUAL_ATTRIBUTE) << 8 | u16::from(b' ')),
        0x0f => {
            f.set_ah(WIDTH);
            f.set_al(COLOR_TEXT);
            f.set_bh(byte(board, ACTIVE_PAGE));
        }
        _ => {}
    }
}
