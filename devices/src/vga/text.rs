//! The characters on the screen, as text.

use super::Vga;
use super::registers::crtc;

/// What IBM's code page 437 shows for bytes below 20h.
const LOW: &str = " ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼";
/// What it shows from 7Fh on.
const HIGH: &str = "⌂ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ ";

/// The character that code page 437 shows for a byte.
pub fn character(byte: u8) -> char {
    match byte {
        0x20..0x7f => char::from(byte),
        0..0x20 => LOW.chars().nth(byte.into()).unwrap_or(' '),
        _ => HIGH.chars().nth(usize::from(byte - 0x7f)).unwrap_or(' '),
    }
}

impl Vga {
    /// The rows of characters on the screen, each without its trailing blanks and with a line end; `None` while the screen
    /// shows graphics. Takes the contents of [`Vga::memory`].
    pub fn text(&self, memory: &[u8]) -> Option<String> {
        if !self.shows_text() {
            return None;
        }
        let columns = u64::from(self.crtc.get(crtc::H_DISPLAY_END)) + 1;
        let rows = if self.blank() { 0 } else { self.lines() / (self.row_height() * self.repeats()) };
        let mut text = String::new();
        for row in 0..rows {
            let start = self.start() + row * self.pitch();
            let byte = |column: u64| memory.get(4 * ((start + column) & 0xffff) as usize).copied().unwrap_or(0);
            let line: String = (0..columns).map(|column| character(byte(column))).collect();
            text.push_str(line.trim_end_matches([' ', '\0', '\u{a0}']));
            text.push('\n');
        }
        Some(text)
    }
}
