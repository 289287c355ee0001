//! The human monitor: a prompt behind a character device, where an operator looks at the machine and steers it.
//!
//! - `editor` and `history` turn bytes into lines; they know nothing of machines.
//! - `table` declares every command once: name, arguments, what completes them, help and handler. `info` has a table of
//!   its own topics. `completion` says what a word that is begun can become, by what the table declares.
//! - the other files are handlers, by family. A handler that looks only looks: it changes nothing in the guest. One that
//!   steers does so through [`Control`], whose methods pass the gate and are recorded.

mod absent;
mod blocks;
mod chardevs;
mod completion;
mod debugger;
mod descriptors;
mod devices;
mod dump;
mod editor;
mod error;
mod expression;
mod format;
mod history;
mod info;
mod interrupts;
mod keys;
mod logging;
mod media;
mod memory;
mod memory_backends;
mod migration;
mod mouse;
mod mtree;
mod network;
mod objects;
mod pci;
mod ports;
mod processors;
mod registers;
mod replay;
mod run_state;
mod saving;
mod screen;
mod table;
mod translation;
mod trees;

#[cfg(test)]
mod tests;

use crate::run::{Control, Dumps};
pub(crate) use chardevs::backend_name;
use completion::Completion;
use editor::{LineEditor, Typed};
use error::CommandError;
use format::Format;
pub(crate) use keys::key_code;
use lockstep_cpu::Vcpu;

/// Clears a terminal's line from the cursor on (ECMA-48, EL).
const CLEAR_LINE: &str = "\x1b[K";
/// What scripts wait for.
const PROMPT: &str = "(qemu) ";
const GREETING: &str =
    concat!("Lockstep ", env!("CARGO_PKG_VERSION"), " monitor - type 'help' for more information\r\n");

/// What a command says: lines without the last one's end; nothing if there is nothing to say.
type Answer = Result<String, CommandError>;

/// What the commands of one monitor remember from each other.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// The vCPU that commands are about, chosen with `cpu`.
    selected: usize,
    /// The format that the next command takes what it does not say from.
    format: Format,
    /// The user has begun a dump and is told how far it is: so far up to here, in percent.
    follows_dump: Option<u64>,
}

impl Desk {
    /// A desk of its own for one command, which is about this vCPU.
    pub(crate) fn of(selected: usize) -> Self {
        Self { selected, ..Self::default() }
    }

    /// The vCPU that commands are about.
    fn cpu<'a>(&self, control: &'a Control) -> Result<&'a Vcpu, CommandError> {
        control.board.machine.cpu(self.selected).ok_or(CommandError::NoCpu)
    }
}

/// One monitor.
#[derive(Debug)]
pub struct Monitor {
    editor: LineEditor,
    desk: Desk,
    /// It shares its terminal with a device, and comes into view when the user switches to it.
    shared: bool,
    /// It is in view.
    focused: bool,
    greeted: bool,
}

impl Monitor {
    /// A monitor that has its character device to itself, or shares it with a device.
    pub fn new(shared: bool) -> Self {
        Self { editor: LineEditor::new(PROMPT), desk: Desk::default(), shared, focused: !shared, greeted: false }
    }

    /// Someone is there now: the greeting, unless the device has the terminal.
    pub fn open(&mut self) -> Vec<u8> {
        self.greeted = false;
        if self.shared { Vec::new() } else { self.show() }
    }

    /// The user switched to the monitor or away from it; what that looks like.
    pub fn focus(&mut self, focused: bool) -> Vec<u8> {
        self.focused = focused;
        if focused { self.show() } else { b"\r\n".to_vec() }
    }

    fn show(&mut self) -> Vec<u8> {
        let mut screen = Vec::new();
        if !std::mem::replace(&mut self.greeted, true) {
            screen.extend(GREETING.as_bytes());
        }
        self.editor.begin(&mut screen);
        screen
    }

    /// Takes typed bytes, carries out what lines they complete, and gives what is to be shown.
    pub fn feed(&mut self, typed: &[u8], control: &mut Control) -> Vec<u8> {
        let mut screen = Vec::new();
        for byte in typed {
            match self.editor.feed(*byte, &mut screen) {
                None => {}
                Some(Typed::Line(line)) => {
                    let says = carry_out(&line, control, &mut self.desk);
                    for line in says.lines() {
                        screen.extend(line.as_bytes());
                        screen.extend(b"\r\n");
                    }
                    if control.quitting().is_some() {
                        break;
                    }
                    self.editor.begin(&mut screen);
                }
                Some(Typed::Completion(begun)) => self.complete(&begun, control, &mut screen),
            }
        }
        screen
    }

    /// What is to be shown of a dump that was begun here; what is being typed stays.
    pub fn follow_dump(&mut self, dumps: &Dumps) -> Vec<u8> {
        let mut screen = Vec::new();
        let Some(shown) = self.desk.follows_dump.filter(|_| self.focused) else { return screen };
        if let Some((line, percent)) = dump::news(dumps, shown) {
            screen.extend(format!("\r{CLEAR_LINE}{line}\r\n").as_bytes());
            self.editor.redraw(&mut screen);
            self.desk.follows_dump = percent;
        }
        screen
    }

    /// Completes a word as far as it is clear, or shows what it could become.
    fn complete(&mut self, begun: &str, control: &mut Control, screen: &mut Vec<u8>) {
        let Completion { word, candidates } = completion::of(control, begun);
        let Some(first) = candidates.first() else { return };
        let alike = candidates.iter().map(|other| common_prefix(first, other)).min().unwrap_or(0);
        let more = first.get(word.len()..alike).unwrap_or_default();
        if candidates.len() == 1 {
            self.editor.insert(&format!("{more} "), screen);
        } else if more.is_empty() {
            screen.extend(format!("\r\n{}\r\n", candidates.join(" ")).as_bytes());
            self.editor.redraw(screen);
        } else {
            self.editor.insert(more, screen);
        }
    }
}

/// Carries out one line; gives what the monitor says to it.
pub(crate) fn carry_out(line: &str, control: &mut Control, desk: &mut Desk) -> String {
    table::dispatch(line, control, desk)
}

/// How many bytes at the start of two names are the same.
fn common_prefix(one: &str, other: &str) -> usize {
    one.char_indices()
        .zip(other.chars())
        .find(|((_, a), b)| a != b)
        .map_or(one.len().min(other.len()), |((at, _), _)| at)
}
