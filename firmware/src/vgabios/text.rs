//! Characters: writing, reading and scrolling them, in text modes as well as drawn in graphics modes.

use super::modes::Layout;
use super::screen::{Screen, bda};

/// A rectangle of characters, all four edges inside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) top: u16,
    pub(super) left: u16,
    pub(super) bottom: u16,
    pub(super) right: u16,
}

/// Attribute of blank lines that the teletype scrolls in.
const GREY_ON_BLACK: u8 = 0x07;

impl Screen<'_> {
    /// Address of a cell in a text mode.
    fn cell(&mut self, segment: u16, page: u8, column: u16, row: u16) -> u32 {
        let columns = self.columns();
        let start = self.word(bda::PAGE_SIZE).wrapping_mul(page.into());
        let offset = start.wrapping_add(2 * row.wrapping_mul(columns).wrapping_add(column));
        (u32::from(segment) << 4) + u32::from(offset & 0x7fff)
    }

    /// Character and attribute at a place; in graphics modes the attribute is 0.
    pub(super) fn read_character(&mut self, page: u8, column: u16, row: u16) -> (u8, u8) {
        let Layout::Text(segment) = self.mode().layout else {
            return (self.recognize(page, column, row), 0);
        };
        let cell = self.cell(segment, page, column, row);
        (self.host.video_read(cell), self.host.video_read(cell + 1))
    }

    /// Writes a character; without an attribute, that of the place stays (graphics modes take it for the colour).
    pub(super) fn write_character(&mut self, page: u8, column: u16, row: u16, character: u8, attribute: Option<u8>) {
        let Layout::Text(segment) = self.mode().layout else {
            return self.draw(page, column, row, character, attribute.unwrap_or(GREY_ON_BLACK));
        };
        let cell = self.cell(segment, page, column, row);
        self.host.video_write(cell, character);
        if let Some(attribute) = attribute {
            self.host.video_write(cell + 1, attribute);
        }
    }

    /// AH=09h and 0Ah: the same character over and over from the cursor on, which stays.
    pub(super) fn repeat_character(&mut self, page: u8, character: u8, attribute: Option<u8>, count: u16) {
        let (column, row) = self.cursor(page);
        let (columns, rows) = (self.columns(), self.rows());
        let (mut column, mut row) = (u16::from(column), u16::from(row));
        for _ in 0..count {
            if row >= rows {
                return;
            }
            self.write_character(page, column, row, character, attribute);
            column += 1;
            if column >= columns {
                (column, row) = (0, row + 1);
            }
        }
    }

    /// AH=0Eh: writes a character as a terminal does, and moves the cursor.
    pub(super) fn teletype(&mut self, page: u8, character: u8, attribute: Option<u8>) {
        let (columns, rows) = (self.columns(), self.rows());
        let (column, row) = self.cursor(page);
        let (mut column, mut row) = (u16::from(column), u16::from(row));
        match character {
            0x07 => {}
            0x08 => column = column.saturating_sub(1),
            b'\r' => column = 0,
            b'\n' => row += 1,
            _ => {
                self.write_character(page, column, row, character, attribute);
                column += 1;
            }
        }
        if column >= columns {
            (column, row) = (0, row + 1);
        }
        if row >= rows {
            row = rows - 1;
            let blank = match self.mode().layout {
                Layout::Text(_) => self.read_character(page, 0, row).1,
                Layout::Cga(_) | Layout::Planar | Layout::Linear => 0,
            };
            let all = Window { top: 0, left: 0, bottom: rows - 1, right: columns - 1 };
            self.scroll(page, all, 1, true, blank);
        }
        self.set_cursor(page, column as u8, row as u8);
    }

    /// AH=06h and 07h: moves a window's rows by so many (0: all), filling with `blank`.
    pub(super) fn scroll(&mut self, page: u8, window: Window, by: u16, up: bool, blank: u8) {
        let (columns, rows) = (self.columns(), self.rows());
        let window = Window { bottom: window.bottom.min(rows - 1), right: window.right.min(columns - 1), ..window };
        if window.top > window.bottom || window.left > window.right {
            return;
        }
        let height = window.bottom - window.top + 1;
        let by = if by == 0 || by > height { height } else { by };
        for i in 0..height {
            let row = if up { window.top + i } else { window.bottom - i };
            let from = (i + by < height).then(|| if up { row + by } else { row - by });
            self.move_row(page, window, from, row, blank);
        }
    }

    /// Copies one row of a window from another, or blanks it.
    fn move_row(&mut self, page: u8, window: Window, from: Option<u16>, to: u16, blank: u8) {
        let Layout::Text(segment) = self.mode().layout else {
            return self.move_drawn_row(page, window, from, to, blank);
        };
        for column in window.left..=window.right {
            let (character, attribute) = match from {
                Some(from) => self.read_character(page, column, from),
                None => (b' ', blank),
            };
            let cell = self.cell(segment, page, column, to);
            self.host.video_write(cell, character);
            self.host.video_write(cell + 1, attribute);
        }
    }
}
