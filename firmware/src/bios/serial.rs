//! COM ports: INT 14h, and keys that arrive over the serial console.

use serde::{Deserialize, Serialize};

use super::frame::Frame;
use super::key_codes::of_character;
use super::keyboard::push_key;
use super::low_memory::{KEY_HEAD, KEY_TAIL, SERIAL_PORTS, SERIAL_TIMEOUTS, byte, inb, outb, put_byte, put_word, word};
use super::{Action, Bios, Board};

/// COM1 to COM4.
const PORTS: [u16; 4] = [0x3f8, 0x2f8, 0x3e8, 0x2e8];
/// 16550 registers.
const INTERRUPT_ENABLE: u16 = 1;
const FIFO_CONTROL: u16 = 2;
const LINE_CONTROL: u16 = 3;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;
const MODEM_STATUS: u16 = 6;
const DIVISOR_LATCH: u8 = 0x80;
const DATA_READY: u8 = 1 << 0;
const HOLDING_EMPTY: u8 = 1 << 5;
const TIMED_OUT: u8 = 0x80;
const CLOCK_DIVIDED: u32 = 115_200;
/// The speeds of INT 14h AH=00h.
const SPEEDS: [u32; 8] = [110, 150, 300, 600, 1200, 2400, 4800, 9600];
const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// How long ESC may stand alone before it is a key of its own: over a tick of the timer, so that the rest of a sequence that was
/// split is waited for.
const ESCAPE_PATIENCE: u64 = NANOS_PER_SECOND / 10;

/// Sequences of a terminal's keys behind ESC, and what INT 16h returns for them.
const SEQUENCES: &[(&str, u16)] = &[
    ("[A", 0x48e0),
    ("[B", 0x50e0),
    ("[C", 0x4de0),
    ("[D", 0x4be0),
    ("[H", 0x47e0),
    ("[F", 0x4fe0),
    ("OA", 0x48e0),
    ("OB", 0x50e0),
    ("OC", 0x4de0),
    ("OD", 0x4be0),
    ("OH", 0x47e0),
    ("OF", 0x4fe0),
    ("[1~", 0x47e0),
    ("[2~", 0x52e0),
    ("[3~", 0x53e0),
    ("[4~", 0x4fe0),
    ("[5~", 0x49e0),
    ("[6~", 0x51e0),
    ("OP", 0x3b00),
    ("OQ", 0x3c00),
    ("OR", 0x3d00),
    ("OS", 0x3e00),
    ("[11~", 0x3b00),
    ("[12~", 0x3c00),
    ("[13~", 0x3d00),
    ("[14~", 0x3e00),
    ("[15~", 0x3f00),
    ("[17~", 0x4000),
    ("[18~", 0x4100),
    ("[19~", 0x4200),
    ("[20~", 0x4300),
    ("[21~", 0x4400),
    ("[23~", 0x8500),
    ("[24~", 0x8600),
];

/// What was typed at the serial console and is not complete yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Typed {
    /// ESC and what followed it.
    sequence: Vec<u8>,
    last: u64,
}

impl Typed {
    /// Takes a byte; keys that it completes go to `keys`.
    fn take(&mut self, byte: u8, now: u64, keys: &mut Vec<u16>) {
        self.last = now;
        if self.sequence.is_empty() && byte != 0x1b {
            keys.push(of_character(byte));
            return;
        }
        self.sequence.push(byte);
        let behind = &self.sequence[1..];
        if let Some((_, key)) = SEQUENCES.iter().find(|(text, _)| text.as_bytes() == behind) {
            keys.push(*key);
            self.sequence.clear();
        } else if !SEQUENCES.iter().any(|(text, _)| text.as_bytes().starts_with(behind)) {
            self.give_up(keys);
        }
    }

    /// What has been waited for long enough is taken as it is.
    fn settle(&mut self, now: u64, keys: &mut Vec<u16>) {
        if !self.sequence.is_empty() && now.saturating_sub(self.last) >= ESCAPE_PATIENCE {
            self.give_up(keys);
        }
    }

    fn give_up(&mut self, keys: &mut Vec<u16>) {
        keys.extend(self.sequence.drain(..).map(of_character));
    }
}

/// Finds the ports and sets them up: 115200 baud, 8 bits, no parity, FIFOs. Returns how many there are.
pub(super) fn start(board: &mut dyn Board, present: [bool; 4]) -> u16 {
    let mut count = 0;
    for (port, _) in PORTS.into_iter().zip(present).filter(|(_, there)| *there) {
        put_word(board, SERIAL_PORTS + 2 * u64::from(count), port);
        put_byte(board, SERIAL_TIMEOUTS + u64::from(count), 1);
        count += 1;
        set_line(board, port, CLOCK_DIVIDED, 0x03);
        outb(board, port + INTERRUPT_ENABLE, 0);
        outb(board, port + FIFO_CONTROL, 0x07);
        outb(board, port + MODEM_CONTROL, 0x03);
    }
    count
}

fn set_line(board: &mut dyn Board, port: u16, speed: u32, format: u8) {
    let divisor = (CLOCK_DIVIDED / speed.max(1)) as u16;
    outb(board, port + LINE_CONTROL, DIVISOR_LATCH | format);
    outb(board, port, divisor as u8);
    outb(board, port + 1, (divisor >> 8) as u8);
    outb(board, port + LINE_CONTROL, format);
}

/// Sends to COM1, the serial console.
pub(super) fn send(board: &mut dyn Board, bytes: &[u8]) {
    let port = word(board, SERIAL_PORTS);
    if port != 0 {
        for byte in bytes {
            outb(board, port, *byte);
        }
    }
}

impl Bios {
    /// Moves what was typed at the serial console into the keyboard's buffer, as far as there is room.
    pub(super) fn poll_serial_keys(&mut self, board: &mut dyn Board) {
        let port = word(board, SERIAL_PORTS);
        if !self.console.active() || port == 0 {
            return;
        }
        let now = board.now();
        let mut keys = Vec::new();
        // One key at a time: what the buffer has no room for stays in the FIFO.
        while keys.is_empty()
            && word(board, KEY_HEAD) == word(board, KEY_TAIL)
            && inb(board, port + LINE_STATUS) & DATA_READY != 0
        {
            let byte = inb(board, port);
            self.typed.take(byte, now, &mut keys);
        }
        self.typed.settle(now, &mut keys);
        for key in keys {
            push_key(board, key);
        }
    }

    /// INT 14h.
    pub(super) fn serial(&mut self, board: &mut dyn Board, f: &mut Frame) -> Action {
        let index = u64::from(f.dx() & 3);
        let port = word(board, SERIAL_PORTS + 2 * index);
        if port == 0 || f.dx() > 3 {
            f.set_ah(TIMED_OUT);
            return Action::Done;
        }
        match f.ah() {
            0x00 => {
                let setting = f.al();
                set_line(board, port, SPEEDS[usize::from(setting >> 5)], setting & 0x1f);
                status(board, f, port);
            }
            0x01 | 0x02 => return self.serial_byte(board, f, port, index),
            0x03 => status(board, f, port),
            _ => {}
        }
        Action::Done
    }

    /// AH=01h and 02h: waits until the port is ready, up to its time-out.
    fn serial_byte(&mut self, board: &mut dyn Board, f: &mut Frame, port: u16, index: u64) -> Action {
        let sends = f.ah() == 0x01;
        let line = inb(board, port + LINE_STATUS);
        if line & if sends { HOLDING_EMPTY } else { DATA_READY } != 0 {
            self.wait_until = None;
            if sends {
                outb(board, port, f.al());
            } else {
                f.set_al(inb(board, port));
            }
            f.set_ah(line & 0x7f);
            return Action::Done;
        }
        let now = board.now();
        let patience = u64::from(byte(board, SERIAL_TIMEOUTS + index).max(1)) * NANOS_PER_SECOND;
        if now >= *self.wait_until.get_or_insert(now + patience) {
            self.wait_until = None;
            f.set_ah(line | TIMED_OUT);
            return Action::Done;
        }
        Action::Yield
    }
}

fn status(board: &mut dyn Board, f: &mut Frame, port: u16) {
    f.set_ah(inb(board, port + LINE_STATUS));
    f.set_al(inb(board, port + MODEM_STATUS));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_of_a_terminal_become_keys_and_a_lone_escape_waits() {
        let (mut typed, mut keys) = (Typed::default(), Vec::new());
        for byte in *b"a\x1b[A\x1b[3~" {
            typed.take(byte, 0, &mut keys);
        }
        assert_eq!(keys, [0x1e61, 0x48e0, 0x53e0]);
        keys.clear();
        typed.take(0x1b, 0, &mut keys);
        typed.settle(1, &mut keys);
        assert_eq!(keys, []);
        typed.settle(ESCAPE_PATIENCE, &mut keys);
        assert_eq!(keys, [0x011b]);
    }
}
