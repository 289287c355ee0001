//! The line that is being typed: a state machine from bytes to lines, which echoes as it goes.

use super::history::History;

/// Characters that a line can hold; what is typed beyond is dropped.
const LONGEST_LINE: usize = 4095;

const CTRL_A: u8 = 0x01;
const CTRL_B: u8 = 0x02;
const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
const CTRL_E: u8 = 0x05;
const CTRL_F: u8 = 0x06;
const BACKSPACE: u8 = 0x08;
const TAB: u8 = 0x09;
const LINE_FEED: u8 = 0x0a;
const CTRL_K: u8 = 0x0b;
const CTRL_L: u8 = 0x0c;
const RETURN: u8 = 0x0d;
const CTRL_N: u8 = 0x0e;
const CTRL_P: u8 = 0x10;
const CTRL_U: u8 = 0x15;
const CTRL_W: u8 = 0x17;
const ESCAPE: u8 = 0x1b;
const DELETE: u8 = 0x7f;

/// What a typed byte comes to, beside its echo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// A line is complete.
    Line(String),
    /// The user wants what is before the cursor completed.
    Completion(String),
}

/// Where in an escape sequence the last byte left us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sequence {
    #[default]
    None,
    /// After ESC.
    Escape,
    /// After ESC \[ or ESC O, with the number read so far.
    Parameters(u8),
}

/// A line editor for one terminal.
#[derive(Clone, Debug)]
pub(crate) struct LineEditor {
    prompt: &'static str,
    line: Vec<char>,
    /// The cursor is before this character.
    cursor: usize,
    history: History,
    sequence: Sequence,
    /// The last byte was a return: a line feed after it belongs to it.
    returned: bool,
    /// The bytes so far of a character that takes several.
    partial: Vec<u8>,
}

impl LineEditor {
    /// An editor with an empty line and nothing to remember.
    pub(crate) fn new(prompt: &'static str) -> Self {
        Self {
            prompt,
            line: Vec::new(),
            cursor: 0,
            history: History::default(),
            sequence: Sequence::None,
            returned: false,
            partial: Vec::new(),
        }
    }

    /// Begins a new line.
    pub(crate) fn begin(&mut self, screen: &mut Vec<u8>) {
        self.line.clear();
        self.cursor = 0;
        self.sequence = Sequence::None;
        self.partial.clear();
        self.redraw(screen);
    }

    /// Takes one typed byte and echoes on `screen`.
    pub(crate) fn feed(&mut self, byte: u8, screen: &mut Vec<u8>) -> Option<Typed> {
        let returned = std::mem::replace(&mut self.returned, byte == RETURN);
        match std::mem::take(&mut self.sequence) {
            Sequence::None => {}
            Sequence::Escape => {
                if matches!(byte, b'[' | b'O') {
                    self.sequence = Sequence::Parameters(0);
                }
                return None;
            }
            Sequence::Parameters(number) => {
                self.continue_sequence(number, byte, screen);
                return None;
            }
        }
        match byte {
            LINE_FEED if returned => {}
            RETURN | LINE_FEED => return Some(self.complete_line(screen)),
            TAB => return Some(Typed::Completion(self.line[..self.cursor].iter().collect())),
            ESCAPE => self.sequence = Sequence::Escape,
            CTRL_A => self.move_to(0, screen),
            CTRL_B => self.move_to(self.cursor.saturating_sub(1), screen),
            CTRL_E => self.move_to(self.line.len(), screen),
            CTRL_F => self.move_to(self.cursor + 1, screen),
            CTRL_C => {
                screen.extend(b"^C\r\n");
                self.history.rewind();
                self.begin(screen);
            }
            CTRL_D => self.remove(self.cursor, self.cursor + 1, screen),
            BACKSPACE | DELETE => self.remove(self.cursor.saturating_sub(1), self.cursor, screen),
            CTRL_K => self.remove(self.cursor, self.line.len(), screen),
            CTRL_U => self.remove(0, self.cursor, screen),
            CTRL_W => self.remove(self.word_start(), self.cursor, screen),
            CTRL_L => {
                screen.extend(b"\x1b[H\x1b[2J");
                self.redraw(screen);
            }
            CTRL_P => self.recall(History::older, screen),
            CTRL_N => self.recall(History::newer, screen),
            0..0x20 => {}
            _ => self.type_byte(byte, screen),
        }
        None
    }

    /// Puts `more` in at the cursor, as if it had been typed.
    pub(crate) fn insert(&mut self, more: &str, screen: &mut Vec<u8>) {
        more.chars().for_each(|c| self.type_char(c, screen));
    }

    /// Draws prompt and line anew, over whatever stands in the terminal's line.
    pub(crate) fn redraw(&self, screen: &mut Vec<u8>) {
        screen.push(b'\r');
        screen.extend(self.prompt.as_bytes());
        self.draw_from(0, screen);
    }

    fn complete_line(&mut self, screen: &mut Vec<u8>) -> Typed {
        screen.extend(b"\r\n");
        let line: String = self.line.drain(..).collect();
        self.cursor = 0;
        self.partial.clear();
        self.history.add(&line);
        Typed::Line(line)
    }

    fn continue_sequence(&mut self, number: u8, byte: u8, screen: &mut Vec<u8>) {
        match byte {
            b'0'..=b'9' => {
                self.sequence = Sequence::Parameters(number.wrapping_mul(10).wrapping_add(byte - b'0'));
            }
            b';' => self.sequence = Sequence::Parameters(0),
            b'A' => self.recall(History::older, screen),
            b'B' => self.recall(History::newer, screen),
            b'C' => self.move_to(self.cursor + 1, screen),
            b'D' => self.move_to(self.cursor.saturating_sub(1), screen),
            b'H' => self.move_to(0, screen),
            b'F' => self.move_to(self.line.len(), screen),
            b'~' => match number {
                1 | 7 => self.move_to(0, screen),
                4 | 8 => self.move_to(self.line.len(), screen),
                3 => self.remove(self.cursor, self.cursor + 1, screen),
                _ => {}
            },
            _ => {}
        }
    }

    /// Collects the bytes of a character; what is no UTF-8 is dropped.
    fn type_byte(&mut self, byte: u8, screen: &mut Vec<u8>) {
        self.partial.push(byte);
        match std::str::from_utf8(&self.partial) {
            Ok(text) => {
                let character = text.chars().next();
                self.partial.clear();
                if let Some(character) = character {
                    self.type_char(character, screen);
                }
            }
            Err(error) if error.error_len().is_some() => {
                self.partial.clear();
                // The byte that showed the others to be wrong may begin a character itself.
                if byte.is_ascii() {
                    self.type_char(byte.into(), screen);
                }
            }
            Err(_) => {}
        }
    }

    fn type_char(&mut self, character: char, screen: &mut Vec<u8>) {
        if self.line.len() >= LONGEST_LINE || character.is_control() {
            return;
        }
        self.line.insert(self.cursor, character);
        self.cursor += 1;
        self.draw_from(self.cursor - 1, screen);
    }

    fn remove(&mut self, from: usize, to: usize, screen: &mut Vec<u8>) {
        let to = to.min(self.line.len());
        if from >= to {
            return;
        }
        go_left(self.cursor - from, screen);
        self.line.drain(from..to);
        self.cursor = from;
        self.draw_rest(from, screen);
        screen.extend(b"\x1b[K");
        go_left(self.line.len() - self.cursor, screen);
    }

    fn move_to(&mut self, place: usize, screen: &mut Vec<u8>) {
        let place = place.min(self.line.len());
        if place < self.cursor {
            go_left(self.cursor - place, screen);
        } else if place > self.cursor {
            screen.extend(format!("\x1b[{}C", place - self.cursor).as_bytes());
        }
        self.cursor = place;
    }

    fn word_start(&self) -> usize {
        let before = &self.line[..self.cursor];
        let word_end = before.iter().rposition(|c| *c != ' ').map_or(0, |at| at + 1);
        before[..word_end].iter().rposition(|c| *c == ' ').map_or(0, |at| at + 1)
    }

    fn recall(&mut self, step: fn(&mut History, &str) -> Option<String>, screen: &mut Vec<u8>) {
        let current: String = self.line.iter().collect();
        if let Some(line) = step(&mut self.history, &current) {
            self.line = line.chars().collect();
            self.cursor = self.line.len();
            self.redraw(screen);
            screen.extend(b"\x1b[K");
        }
    }

    /// Draws the line from a place at which the terminal's cursor stands, and puts that back to the line's cursor.
    fn draw_from(&self, place: usize, screen: &mut Vec<u8>) {
        self.draw_rest(place, screen);
        go_left(self.line.len() - self.cursor, screen);
    }

    fn draw_rest(&self, place: usize, screen: &mut Vec<u8>) {
        let rest: String = self.line[place..].iter().collect();
        screen.extend(rest.as_bytes());
    }
}

fn go_left(by: usize, screen: &mut Vec<u8>) {
    match by {
        0 => {}
        // One step is what every terminal knows.
        1 => screen.push(BACKSPACE),
        _ => screen.extend(format!("\x1b[{by}D").as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A terminal of one line, which understands what the editor sends.
    #[derive(Default)]
    struct Screen {
        lines: Vec<String>,
        row: Vec<char>,
        column: usize,
    }

    impl Screen {
        fn show(&mut self, bytes: &[u8]) {
            let text = String::from_utf8(bytes.to_vec()).expect("whole characters");
            let mut left = text.chars();
            while let Some(c) = left.next() {
                match c {
                    '\r' => self.column = 0,
                    '\n' => {
                        self.lines.push(std::mem::take(&mut self.row).into_iter().collect());
                        self.column = 0;
                    }
                    '\x08' => self.column -= 1,
                    '\x1b' => {
                        assert_eq!(left.next(), Some('['));
                        let rest: String = left.as_str().chars().take_while(char::is_ascii_digit).collect();
                        left = left.as_str()[rest.len()..].chars();
                        let number = rest.parse().unwrap_or(0);
                        match left.next() {
                            Some('K') => self.row.truncate(self.column),
                            Some('C') => self.column += number,
                            Some('D') => self.column -= number,
                            other => panic!("sequence {other:?}"),
                        }
                    }
                    c => {
                        if self.column == self.row.len() {
                            self.row.push(c);
                        } else {
                            self.row[self.column] = c;
                        }
                        self.column += 1;
                    }
                }
            }
        }
    }

    struct Desk {
        editor: LineEditor,
        screen: Screen,
    }

    impl Desk {
        fn new() -> Self {
            let mut desk = Desk { editor: LineEditor::new("> "), screen: Screen::default() };
            let mut drawn = Vec::new();
            desk.editor.begin(&mut drawn);
            desk.screen.show(&drawn);
            desk
        }

        fn types(&mut self, keys: &[u8]) -> Vec<Typed> {
            let mut typed = Vec::new();
            for key in keys {
                let mut drawn = Vec::new();
                if let Some(outcome) = self.editor.feed(*key, &mut drawn) {
                    if matches!(outcome, Typed::Line(_)) {
                        self.editor.begin(&mut drawn);
                    }
                    typed.push(outcome);
                }
                self.screen.show(&drawn);
            }
            typed
        }

        /// What the terminal shows, with the cursor as `|`.
        fn shows(&self) -> String {
            let mut row = self.screen.row.clone();
            row.insert(self.screen.column, '|');
            row.into_iter().collect()
        }
    }

    fn line(text: &str) -> Typed {
        Typed::Line(text.to_owned())
    }

    /// Types `keys` on a fresh line; what the terminal shows, and the line that Enter then gives.
    #[track_caller]
    fn check(keys: &[u8], shows: &str, gives: &str) {
        let mut desk = Desk::new();
        assert_eq!(desk.types(keys), []);
        assert_eq!(desk.shows(), shows);
        assert_eq!(desk.types(b"\r"), [line(gives)]);
    }

    #[test]
    fn what_is_typed_is_echoed_and_enter_gives_it() {
        check(b"info status", "> info status|", "info status");
    }

    #[test]
    fn return_line_feed_and_both_together_end_one_line() {
        let mut desk = Desk::new();
        assert_eq!(desk.types(b"a\rb\nc\r\nd\n\n"), [line("a"), line("b"), line("c"), line("d"), line("")]);
        assert_eq!(desk.screen.lines, ["> a", "> b", "> c", "> d", "> "]);
    }

    #[test]
    fn backspace_and_delete_take_the_character_before_the_cursor() {
        check(b"abc\x7f\x08d", "> ad|", "ad");
        check(b"\x7f\x7fa", "> a|", "a");
        check(b"abc\x1b[D\x7f", "> a|c", "ac");
    }

    #[test]
    fn control_d_and_the_delete_key_take_the_character_under_the_cursor() {
        check(b"abc\x02\x02\x04", "> a|c", "ac");
        check(b"abc\x1b[D\x1b[3~", "> ab|", "ab");
        check(b"abc\x04", "> abc|", "abc");
    }

    #[test]
    fn control_u_and_k_take_what_is_before_and_after_the_cursor() {
        check(b"one two\x1b[D\x1b[D\x1b[D\x15", "> |two", "two");
        check(b"one two\x1b[D\x1b[D\x1b[D\x0b", "> one |", "one ");
    }

    #[test]
    fn control_w_takes_a_word_and_the_blanks_after_it() {
        check(b"x/4i  $rip  \x17", "> x/4i  |", "x/4i  ");
        check(b"one\x17\x17", "> |", "");
    }

    #[test]
    fn the_cursor_moves_and_typing_inserts() {
        check(b"ac\x1b[Db", "> ab|c", "abc");
        check(b"bc\x1b[Ha\x1b[Fd", "> abcd|", "abcd");
        check(b"bc\x01a\x05d\x06\x1bOD", "> abc|d", "abcd");
        check(b"bc\x1b[1~a\x1b[4~d", "> abcd|", "abcd");
    }

    #[test]
    fn arrows_walk_through_earlier_lines_and_back_to_the_one_begun() {
        let mut desk = Desk::new();
        desk.types(b"first\rsecond\rsecond\r\rthi");
        desk.types(b"\x1b[A");
        assert_eq!(desk.shows(), "> second|");
        desk.types(b"\x10");
        assert_eq!(desk.shows(), "> first|", "a line entered twice is remembered once, an empty one not at all");
        desk.types(b"\x1b[A");
        assert_eq!(desk.shows(), "> first|", "there is nothing older");
        desk.types(b"\x1b[B\x0e");
        assert_eq!(desk.shows(), "> thi|");
        assert_eq!(desk.types(b"\x1b[A\x1b[A!\r"), [line("first!")]);
        assert_eq!(desk.types(b"\x1b[A\x1b[A\x1b[A\r"), [line("first")], "what was recalled is as it was entered");
    }

    #[test]
    fn control_c_gives_the_line_up() {
        let mut desk = Desk::new();
        assert_eq!(desk.types(b"quit\x03stop\r"), [line("stop")]);
    }

    #[test]
    fn tab_asks_for_completion_of_what_is_before_the_cursor() {
        let mut desk = Desk::new();
        assert_eq!(desk.types(b"info\x1b[D\x1b[D\t"), [Typed::Completion("in".to_owned())]);
        let mut drawn = Vec::new();
        desk.editor.insert("--", &mut drawn);
        desk.screen.show(&drawn);
        assert_eq!(desk.shows(), "> in--|fo");
    }

    #[test]
    fn characters_of_several_bytes_are_one_and_bytes_that_are_none_are_dropped() {
        check("aé\x7fü".as_bytes(), "> aü|", "aü");
        check(b"a\xffb\xc3c\x80", "> abc|", "abc");
    }

    #[test]
    fn unknown_sequences_and_controls_leave_no_trace() {
        check(b"a\x1b[15~\x1b[1;5P\x1bx\x00\x1db", "> ab|", "ab");
    }

    #[test]
    fn a_line_without_end_takes_no_memory_without_end() {
        let mut desk = Desk::new();
        let mut drawn = Vec::new();
        for _ in 0..3 * LONGEST_LINE {
            desk.editor.feed(b'x', &mut drawn);
        }
        assert_eq!(desk.types(b"\r"), [line(&"x".repeat(LONGEST_LINE))]);
    }
}
