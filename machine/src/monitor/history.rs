//! The lines that were entered, to be walked through with the arrow keys.

use std::collections::VecDeque;

/// Lines that are remembered.
const MOST: usize = 100;

/// Earlier lines, and where in them the user looks.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// Oldest first.
    lines: VecDeque<String>,
    /// How many lines back the user is; zero is the line being typed.
    back: usize,
    /// The line that was being typed when the user began to look back.
    begun: String,
}

impl History {
    /// Remembers a line, unless it is blank or the last one again.
    pub(crate) fn add(&mut self, line: &str) {
        self.rewind();
        if line.trim().is_empty() || self.lines.back().is_some_and(|last| last == line) {
            return;
        }
        if self.lines.len() == MOST {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_owned());
    }

    /// Goes back to the line being typed.
    pub(crate) fn rewind(&mut self) {
        self.back = 0;
        self.begun.clear();
    }

    /// One line back, from `current`; `None` if there is none.
    pub(crate) fn older(&mut self, current: &str) -> Option<String> {
        let line = self.lines.iter().rev().nth(self.back)?.clone();
        if self.back == 0 {
            current.clone_into(&mut self.begun);
        }
        self.back += 1;
        Some(line)
    }

    /// One line towards the one being typed; `None` if that is it.
    pub(crate) fn newer(&mut self, _current: &str) -> Option<String> {
        self.back = self.back.checked_sub(1)?;
        match self.back.checked_sub(1) {
            Some(nth) => self.lines.iter().rev().nth(nth).cloned(),
            None => Some(std::mem::take(&mut self.begun)),
        }
    }
}
