//! INT 09h's scan codes and INT 16h.

use super::frame::Frame;
use super::key_codes::{Shifts, code};
use super::low_memory::{
    ALT_DIGITS, KEY_BUFFER, KEY_BUFFER_END, KEY_BUFFER_END_AT, KEY_BUFFER_START_AT, KEY_FLAGS, KEY_HEAD, KEY_TAIL,
    KEYBOARD_MODE, KEYS_HELD, byte, outb, put_byte, put_word, word,
};
use super::{Action, Bios, Board};

/// Shift flags (40:17).
const RIGHT_SHIFT: u8 = 1 << 0;
const LEFT_SHIFT: u8 = 1 << 1;
const CONTROL: u8 = 1 << 2;
const ALT: u8 = 1 << 3;
const SCROLL_LOCK: u8 = 1 << 4;
const NUM_LOCK: u8 = 1 << 5;
const CAPS_LOCK: u8 = 1 << 6;
const INSERT: u8 = 1 << 7;
/// Keys held (40:18), beside the locks at the places that they have in the shift flags.
const LEFT_CONTROL_HELD: u8 = 1 << 0;
const LEFT_ALT_HELD: u8 = 1 << 1;
/// Mode (40:96).
const LAST_WAS_E1: u8 = 1 << 0;
const LAST_WAS_E0: u8 = 1 << 1;
const RIGHT_CONTROL_HELD: u8 = 1 << 2;
const RIGHT_ALT_HELD: u8 = 1 << 3;
pub(super) const ENHANCED: u8 = 1 << 4;

const BREAK: u8 = 0x80;
const EXTENDED: u8 = 0xe0;
const PAUSE: u8 = 0xe1;
const KEY_CONTROL: u8 = 0x1d;
const KEY_LEFT_SHIFT: u8 = 0x2a;
const KEY_RIGHT_SHIFT: u8 = 0x36;
const KEY_ALT: u8 = 0x38;
const KEY_CAPS_LOCK: u8 = 0x3a;
const KEY_NUM_LOCK: u8 = 0x45;
const KEY_SCROLL_LOCK: u8 = 0x46;
const KEY_INSERT: u8 = 0x52;
const KEY_DELETE: u8 = 0x53;
/// The keypad's digits, for Alt with a number.
const KEYPAD_DIGITS: [(u8, u8); 10] =
    [(0x52, 0), (0x4f, 1), (0x50, 2), (0x51, 3), (0x4b, 4), (0x4c, 5), (0x4d, 6), (0x47, 7), (0x48, 8), (0x49, 9)];

/// Puts a key into the buffer; false if it is full.
pub(super) fn push_key(board: &mut dyn Board, key: u16) -> bool {
    let (start, end) = ring(board);
    let tail = word(board, KEY_TAIL);
    let next = if tail.wrapping_add(2) >= end { start } else { tail + 2 };
    if next == word(board, KEY_HEAD) {
        return false;
    }
    put_word(board, 0x400 + u64::from(tail), key);
    put_word(board, KEY_TAIL, next);
    true
}

fn peek_key(board: &mut dyn Board) -> Option<u16> {
    let head = word(board, KEY_HEAD);
    (head != word(board, KEY_TAIL)).then(|| word(board, 0x400 + u64::from(head)))
}

/// Takes a key out of the buffer.
pub(super) fn take_key(board: &mut dyn Board) -> Option<u16> {
    let key = peek_key(board)?;
    drop_key(board);
    Some(key)
}

fn drop_key(board: &mut dyn Board) {
    let (start, end) = ring(board);
    let head = word(board, KEY_HEAD);
    put_word(board, KEY_HEAD, if head.wrapping_add(2) >= end { start } else { head + 2 });
}

fn ring(board: &mut dyn Board) -> (u16, u16) {
    match (word(board, KEY_BUFFER_START_AT), word(board, KEY_BUFFER_END_AT)) {
        (start, end) if start < end => (start, end),
        _ => (KEY_BUFFER, KEY_BUFFER_END),
    }
}

/// A byte of the keyboard, in set 1.
pub(super) fn scan_code(board: &mut dyn Board, scan: u8) {
    let mode = byte(board, KEYBOARD_MODE);
    if scan == EXTENDED || scan == PAUSE {
        let prefix = if scan == EXTENDED { LAST_WAS_E0 } else { LAST_WAS_E1 };
        put_byte(board, KEYBOARD_MODE, mode | prefix);
        return;
    }
    let (extended, pause) = (mode & LAST_WAS_E0 != 0, mode & LAST_WAS_E1 != 0);
    let (key, pressed) = (scan & !BREAK, scan & BREAK == 0);
    // Pause is E1 1D 45 E1 9D C5: only what looks like Num Lock ends it.
    if pause {
        if key == KEY_NUM_LOCK {
            put_byte(board, KEYBOARD_MODE, mode & !LAST_WAS_E1);
        }
        return;
    }
    put_byte(board, KEYBOARD_MODE, mode & !LAST_WAS_E0);
    // E0 2A and E0 36 are the shifts that a keyboard makes up around its extended keys.
    if extended && matches!(key, KEY_LEFT_SHIFT | KEY_RIGHT_SHIFT) {
        return;
    }
    if modifier(board, key, pressed, extended) || !pressed {
        return;
    }
    let flags = byte(board, KEY_FLAGS);
    if flags & (CONTROL | ALT) == CONTROL | ALT && key == KEY_DELETE {
        const RESET_CONTROL: u16 = 0xcf9;
        outb(board, RESET_CONTROL, 0x02);
        outb(board, RESET_CONTROL, 0x06);
        return;
    }
    if flags & ALT != 0
        && !extended
        && let Some((_, digit)) = KEYPAD_DIGITS.iter().find(|(k, _)| *k == key)
    {
        let number = byte(board, ALT_DIGITS).wrapping_mul(10).wrapping_add(*digit);
        put_byte(board, ALT_DIGITS, number);
        return;
    }
    if key == KEY_INSERT && flags & (CONTROL | ALT) == 0 {
        put_byte(board, KEY_FLAGS, flags ^ INSERT);
    }
    let shifts = Shifts {
        shift: flags & (LEFT_SHIFT | RIGHT_SHIFT) != 0,
        control: flags & CONTROL != 0,
        alt: flags & ALT != 0,
        caps: flags & CAPS_LOCK != 0,
        num: flags & NUM_LOCK != 0,
    };
    if let Some(key) = code(key, extended, shifts) {
        push_key(board, key);
    }
}

/// Keeps track of the shift and lock keys; false for all others.
fn modifier(board: &mut dyn Board, key: u8, pressed: bool, extended: bool) -> bool {
    let set = |value: u8, bit: u8| if pressed { value | bit } else { value & !bit };
    let (flags, held, mode) = (byte(board, KEY_FLAGS), byte(board, KEYS_HELD), byte(board, KEYBOARD_MODE));
    match key {
        KEY_LEFT_SHIFT => put_byte(board, KEY_FLAGS, set(flags, LEFT_SHIFT)),
        KEY_RIGHT_SHIFT => put_byte(board, KEY_FLAGS, set(flags, RIGHT_SHIFT)),
        KEY_CONTROL => {
            let mode = if extended { set(mode, RIGHT_CONTROL_HELD) } else { mode };
            let held = if extended { held } else { set(held, LEFT_CONTROL_HELD) };
            let down = mode & RIGHT_CONTROL_HELD != 0 || held & LEFT_CONTROL_HELD != 0;
            store(board, if down { flags | CONTROL } else { flags & !CONTROL }, held, mode);
        }
        KEY_ALT => {
            let mode = if extended { set(mode, RIGHT_ALT_HELD) } else { mode };
            let held = if extended { held } else { set(held, LEFT_ALT_HELD) };
            let down = mode & RIGHT_ALT_HELD != 0 || held & LEFT_ALT_HELD != 0;
            store(board, if down { flags | ALT } else { flags & !ALT }, held, mode);
            if !pressed {
                let number = byte(board, ALT_DIGITS);
                if number != 0 {
                    put_byte(board, ALT_DIGITS, 0);
                    push_key(board, number.into());
                }
            }
        }
        KEY_CAPS_LOCK | KEY_NUM_LOCK | KEY_SCROLL_LOCK if !extended => {
            let bit = match key {
                KEY_CAPS_LOCK => CAPS_LOCK,
                KEY_NUM_LOCK => NUM_LOCK,
                _ => SCROLL_LOCK,
            };
            let turns = pressed && held & bit == 0;
            store(board, if turns { flags ^ bit } else { flags }, set(held, bit), mode);
        }
        _ => return false,
    }
    true
}

fn store(board: &mut dyn Board, flags: u8, held: u8, mode: u8) {
    put_byte(board, KEY_FLAGS, flags);
    put_byte(board, KEYS_HELD, held);
    put_byte(board, KEYBOARD_MODE, mode);
}

/// A key as the functions for keyboards of 84 keys return it.
fn plain_key(key: u16) -> u16 {
    match (key >> 8, key & 0xff) {
        (0xe0, character @ (0x0d | 0x0a)) => 0x1c00 | character,
        (0xe0, 0x2f) => 0x352f,
        (scan @ 1.., 0xe0) => scan << 8,
        _ => key,
    }
}

impl Bios {
    /// INT 16h.
    pub(super) fn keyboard(&mut self, board: &mut dyn Board, f: &mut Frame) -> Action {
        self.poll_serial_keys(board);
        let enhanced = f.ah() & 0x10 != 0;
        let shown = |key| if enhanced { key } else { plain_key(key) };
        match f.ah() {
            0x00 | 0x10 => match peek_key(board) {
                Some(key) => {
                    drop_key(board);
                    f.set_ax(shown(key));
                }
                None => return Action::Halt,
            },
            0x01 | 0x11 => match peek_key(board) {
                Some(key) => {
                    f.set_ax(shown(key));
                    f.set_zero(false);
                }
                None => {
                    f.set_zero(true);
                    // A caller in a loop lets interrupts in, as with a BIOS that returns with RETF 2.
                    f.enable_interrupts();
                }
            },
            0x02 => f.set_al(byte(board, KEY_FLAGS)),
            0x05 => {
                let pushed = push_key(board, f.cx());
                f.set_al(u8::from(!pushed));
            }
            // Functions 09h and 0Ah of enhanced keyboards: AH=10h to 12h are there; an MF2 keyboard's ID.
            0x09 => f.set_al(0x30),
            0x0a => f.set_bx(0x41ab),
            0x12 => {
                const SHARED: u8 = 0b0111_0011;
                const SYSTEM_REQUEST: u8 = 1 << 2;
                let (held, mode) = (byte(board, KEYS_HELD), byte(board, KEYBOARD_MODE));
                let high =
                    held & SHARED | (mode & (RIGHT_CONTROL_HELD | RIGHT_ALT_HELD)) | (held & SYSTEM_REQUEST) << 5;
                f.set_ah(high);
                f.set_al(byte(board, KEY_FLAGS));
            }
            _ => {}
        }
        Action::Done
    }
}
