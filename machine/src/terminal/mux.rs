//! The escape character: how one terminal serves a serial port, a monitor and the user's wish to leave.

/// Who gets what is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Focus {
    /// The device.
    Device,
    /// The monitor.
    Monitor,
}

/// What a run of typed bytes comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MuxEvent {
    /// Bytes for whoever has the focus.
    Bytes(Focus, Vec<u8>),
    /// The focus moved.
    Focus(Focus),
    /// Send a break.
    Break,
    /// Show the keys.
    Help,
    /// Leave.
    Quit,
}

/// Takes the escape sequences out of typed bytes. It is a state machine over bytes: an escape character may end one read
/// and its command begin the next.
#[derive(Debug, Clone)]
pub struct Mux {
    escape: u8,
    has_monitor: bool,
    focus: Focus,
    escaped: bool,
}

impl Mux {
    /// A mux with this escape character (1 is Ctrl-A), with or without a monitor to switch to.
    pub fn new(escape: u8, has_monitor: bool) -> Self {
        Mux { escape, has_monitor, focus: Focus::Device, escaped: false }
    }

    /// Reads typed bytes. Nothing after [`MuxEvent::Quit`] is looked at.
    pub fn feed(&mut self, typed: &[u8]) -> Vec<MuxEvent> {
        let mut events = Vec::new();
        for &byte in typed {
            if !std::mem::take(&mut self.escaped) {
                if byte == self.escape {
                    self.escaped = true;
                } else {
                    self.pass(byte, &mut events);
                }
                continue;
            }
            match byte {
                b'x' => {
                    events.push(MuxEvent::Quit);
                    return events;
                }
                b'h' | b'?' => events.push(MuxEvent::Help),
                b'b' => events.push(MuxEvent::Break),
                b'c' if self.has_monitor => {
                    self.focus = match self.focus {
                        Focus::Device => Focus::Monitor,
                        Focus::Monitor => Focus::Device,
                    };
                    events.push(MuxEvent::Focus(self.focus));
                }
                b'a' => self.pass(self.escape, &mut events),
                _ if byte == self.escape => self.pass(byte, &mut events),
                _ => {}
            }
        }
        events
    }

    /// Appends a byte for whoever has the focus, to the last run if that is theirs.
    fn pass(&self, byte: u8, events: &mut Vec<MuxEvent>) {
        match events.last_mut() {
            Some(MuxEvent::Bytes(focus, run)) if *focus == self.focus => run.push(byte),
            _ => events.push(MuxEvent::Bytes(self.focus, vec![byte])),
        }
    }

    /// The keys, for the screen.
    pub fn help(&self) -> String {
        let key = match self.escape {
            code @ 1..=26 => format!("C-{}", char::from(code - 1 + b'a')),
            code => format!("\\x{code:02x}"),
        };
        let mut text = format!("\r\n{key} h    print this help\r\n{key} x    exit\r\n{key} b    send a break\r\n");
        if self.has_monitor {
            text.push_str(&format!("{key} c    switch between the serial port and the monitor\r\n"));
        }
        text.push_str(&format!("{key} a    send {key}\r\n"));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CTRL_A: u8 = 1;

    fn device(bytes: &[u8]) -> MuxEvent {
        MuxEvent::Bytes(Focus::Device, bytes.to_vec())
    }

    fn monitor(bytes: &[u8]) -> MuxEvent {
        MuxEvent::Bytes(Focus::Monitor, bytes.to_vec())
    }

    #[test]
    fn plain_bytes_go_to_the_device_as_they_came() {
        let typed: Vec<u8> = (0..=255).filter(|byte| *byte != CTRL_A).collect();
        assert_eq!(Mux::new(CTRL_A, true).feed(&typed), [device(&typed)]);
    }

    #[test]
    fn escape_x_quits_at_once() {
        assert_eq!(Mux::new(CTRL_A, false).feed(b"ls\x01xrest"), [device(b"ls"), MuxEvent::Quit]);
    }

    #[test]
    fn escape_and_command_may_come_in_different_reads() {
        let mut mux = Mux::new(CTRL_A, false);
        assert_eq!(mux.feed(b"\x01"), []);
        assert_eq!(mux.feed(b"x"), [MuxEvent::Quit]);
    }

    #[test]
    fn escape_twice_or_with_a_is_the_character_itself() {
        assert_eq!(Mux::new(CTRL_A, false).feed(b"<\x01\x01\x01a>"), [device(b"<\x01\x01>")]);
    }

    #[test]
    fn escape_c_moves_the_focus_there_and_back() {
        let events = Mux::new(CTRL_A, true).feed(b"a\x01cb\x01cc");
        let moved = [
            device(b"a"),
            MuxEvent::Focus(Focus::Monitor),
            monitor(b"b"),
            MuxEvent::Focus(Focus::Device),
            device(b"c"),
        ];
        assert_eq!(events, moved);
    }

    #[test]
    fn without_a_monitor_there_is_nowhere_to_move() {
        assert_eq!(Mux::new(CTRL_A, false).feed(b"\x01cb"), [device(b"b")]);
    }

    #[test]
    fn break_and_help_are_events() {
        assert_eq!(Mux::new(CTRL_A, false).feed(b"\x01b\x01h\x01?"), [MuxEvent::Break, MuxEvent::Help, MuxEvent::Help]);
    }

    #[test]
    fn unknown_command_is_swallowed() {
        assert_eq!(Mux::new(CTRL_A, true).feed(b"\x01zq"), [device(b"q")]);
    }

    #[test]
    fn another_escape_character_leaves_ctrl_a_alone() {
        let mut mux = Mux::new(0x14, false);
        assert_eq!(mux.feed(b"\x01x\x14x"), [device(b"\x01x"), MuxEvent::Quit]);
        assert!(mux.help().contains("C-t x    exit"));
    }
}
