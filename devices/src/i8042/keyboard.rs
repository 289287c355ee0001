//! The PS/2 keyboard: 102 keys, three scan code sets.
//!
//! It does not repeat held keys by itself: whoever feeds it sends a key that is down once more for each repeat, so that
//! a slow release on the host does not flood a guest whose time runs faster.

use super::scancodes::{self, Key};
use bitflags::bitflags;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

const ACK: u8 = 0xfa;
const RESEND: u8 = 0xfe;
const TEST_PASSED: u8 = 0xaa;
const ID: [u8; 2] = [0xab, 0x83];
const EXTENDED: u8 = 0xe0;
const RELEASE: u8 = 0xf0;
/// Rate 10.9 per second after 500 ms.
const TYPEMATIC_DEFAULT: u8 = 0x2b;
/// Codes that the keyboard holds while the host does not take them.
const BUFFER_LEN: usize = 16;

/// Bytes sent to the keyboard.
mod command {
    pub(super) const SET_LEDS: u8 = 0xed;
    pub(super) const ECHO: u8 = 0xee;
    pub(super) const SCAN_SET: u8 = 0xf0;
    pub(super) const IDENTIFY: u8 = 0xf2;
    pub(super) const SET_TYPEMATIC: u8 = 0xf3;
    pub(super) const ENABLE: u8 = 0xf4;
    pub(super) const DISABLE: u8 = 0xf5;
    pub(super) const SET_DEFAULTS: u8 = 0xf6;
    pub(super) const ALL_TYPEMATIC: u8 = 0xf7;
    pub(super) const ALL_TYPEMATIC_MAKE_BREAK: u8 = 0xfa;
    pub(super) const KEY_TYPEMATIC: u8 = 0xfb;
    pub(super) const KEY_MAKE: u8 = 0xfd;
    pub(super) const RESEND: u8 = 0xfe;
    pub(super) const RESET: u8 = 0xff;
}

bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Modifiers: u8 {
        const LEFT_SHIFT = 1 << 0;
        const RIGHT_SHIFT = 1 << 1;
        const LEFT_CONTROL = 1 << 2;
        const RIGHT_CONTROL = 1 << 3;
        const LEFT_ALT = 1 << 4;
        const RIGHT_ALT = 1 << 5;
        const ALT = Self::LEFT_ALT.bits() | Self::RIGHT_ALT.bits();
        const SHIFT_OR_CONTROL = 0x0f;
    }
}

impl Modifiers {
    fn of(key: Key) -> Self {
        match key {
            0x2a => Self::LEFT_SHIFT,
            0x36 => Self::RIGHT_SHIFT,
            0x1d => Self::LEFT_CONTROL,
            0xe01d => Self::RIGHT_CONTROL,
            0x38 => Self::LEFT_ALT,
            0xe038 => Self::RIGHT_ALT,
            _ => Self::empty(),
        }
    }
}

/// What a key of set 3 sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum KeyType {
    Typematic,
    MakeBreak,
    Make,
    TypematicMakeBreak,
}

impl KeyType {
    /// As the commands F7h to FAh, and FBh to FDh, number them.
    fn numbered(number: u8) -> Self {
        match number {
            0 => Self::Typematic,
            1 => Self::MakeBreak,
            2 => Self::Make,
            _ => Self::TypematicMakeBreak,
        }
    }

    fn has_break(self) -> bool {
        matches!(self, Self::MakeBreak | Self::TypematicMakeBreak)
    }

    fn repeats(self) -> bool {
        matches!(self, Self::Typematic | Self::TypematicMakeBreak)
    }
}

/// The keyboard.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Keyboard {
    scanning: bool,
    scan_set: u8,
    leds: u8,
    typematic: u8,
    /// Set 3's types of keys, where they differ from the rest.
    key_types: BTreeMap<u8, KeyType>,
    other_keys: KeyType,
    /// The command whose parameter comes next.
    awaiting: Option<u8>,
    /// Keys that are down.
    down: Vec<Key>,
    /// Answers to commands; they go before keys.
    answers: VecDeque<u8>,
    /// One sequence of bytes for each key pressed or released.
    keys: VecDeque<Vec<u8>>,
    last_sent: u8,
}

impl Default for Keyboard {
    fn default() -> Self {
        Self {
            scanning: true,
            scan_set: 2,
            leds: 0,
            typematic: TYPEMATIC_DEFAULT,
            key_types: BTreeMap::new(),
            other_keys: KeyType::TypematicMakeBreak,
            awaiting: None,
            down: Vec::new(),
            answers: VecDeque::new(),
            keys: VecDeque::new(),
            last_sent: 0,
        }
    }
}

impl Keyboard {
    pub(super) fn leds(&self) -> u8 {
        self.leds
    }

    pub(super) fn has_bytes(&self) -> bool {
        !self.answers.is_empty() || !self.keys.is_empty()
    }

    /// Takes the next byte to send.
    pub(super) fn take(&mut self) -> Option<u8> {
        let byte = match self.answers.pop_front() {
            Some(answer) => answer,
            None => self.take_key_byte()?,
        };
        if byte != RESEND {
            self.last_sent = byte;
        }
        Some(byte)
    }

    fn take_key_byte(&mut self) -> Option<u8> {
        let sequence = self.keys.front_mut()?;
        let byte = (!sequence.is_empty()).then(|| sequence.remove(0));
        if sequence.is_empty() {
            self.keys.pop_front();
        }
        byte
    }

    fn answer(&mut self, bytes: &[u8]) {
        // A host that does not take its answers gets no more than fit.
        let room = BUFFER_LEN.saturating_sub(self.answers.len());
        self.answers.extend(bytes.iter().take(room));
    }

    /// A byte from the host.
    pub(super) fn command(&mut self, byte: u8) {
        if let Some(command) = self.awaiting.take()
            && self.parameter(command, byte)
        {
            return;
        }
        match byte {
            command::SET_LEDS | command::SCAN_SET | command::SET_TYPEMATIC => self.await_parameter(byte),
            command::KEY_TYPEMATIC..=command::KEY_MAKE => self.await_parameter(byte),
            command::ECHO => self.answer(&[command::ECHO]),
            command::IDENTIFY => self.answer(&[ACK, ID[0], ID[1]]),
            command::ENABLE => {
                self.keys.clear();
                self.scanning = true;
                self.answer(&[ACK]);
            }
            command::DISABLE => {
                self.set_defaults();
                self.scanning = false;
                self.answer(&[ACK]);
            }
            command::SET_DEFAULTS => {
                self.set_defaults();
                self.answer(&[ACK]);
            }
            command::ALL_TYPEMATIC..=command::ALL_TYPEMATIC_MAKE_BREAK => {
                self.key_types.clear();
                self.other_keys = KeyType::numbered(byte - command::ALL_TYPEMATIC);
                self.answer(&[ACK]);
            }
            command::RESEND => self.answers.push_front(self.last_sent),
            command::RESET => {
                *self = Self { down: std::mem::take(&mut self.down), ..Self::default() };
                self.answer(&[ACK, TEST_PASSED]);
            }
            _ => self.answer(&[RESEND]),
        }
        self.answers.truncate(BUFFER_LEN);
    }

    fn await_parameter(&mut self, command: u8) {
        self.awaiting = Some(command);
        self.answer(&[ACK]);
    }

    /// The parameter of `command`; false if it is a command itself.
    fn parameter(&mut self, command: u8, byte: u8) -> bool {
        if byte >= 0x80 && !matches!(command, command::KEY_TYPEMATIC..=command::KEY_MAKE) || byte >= command::SET_LEDS {
            return false;
        }
        match command {
            command::SET_LEDS => self.leds = byte & 7,
            command::SET_TYPEMATIC => self.typematic = byte,
            command::SCAN_SET if byte == 0 => {
                self.answer(&[ACK, self.scan_set]);
                return true;
            }
            command::SCAN_SET if byte <= 3 => {
                self.scan_set = byte;
                self.keys.clear();
            }
            command::SCAN_SET => {
                self.answer(&[RESEND]);
                return true;
            }
            key_type => {
                // A list of keys, ended by the next command.
                self.key_types.insert(byte, KeyType::numbered(key_type - command::KEY_TYPEMATIC));
                self.awaiting = Some(command);
            }
        }
        self.answer(&[ACK]);
        true
    }

    fn set_defaults(&mut self) {
        self.keys.clear();
        self.typematic = TYPEMATIC_DEFAULT;
        self.key_types.clear();
        self.other_keys = KeyType::TypematicMakeBreak;
        self.scan_set = 2;
    }

    fn modifiers(&self) -> Modifiers {
        self.down.iter().map(|key| Modifiers::of(*key)).collect()
    }

    /// A key went down (again, if it is held) or up.
    pub(super) fn key(&mut self, key: Key, down: bool) {
        let held = self.down.contains(&key);
        self.down.retain(|k| *k != key);
        if down {
            self.down.push(key);
        }
        if !self.scanning || key & 0x7f == 0 {
            return;
        }
        let sequence = match self.scan_set {
            1 => self.sequence(key, down, |bytes, code, down| bytes.push(if down { code } else { code | 0x80 })),
            2 => self.sequence(key, down, |bytes, code, down| {
                if !down {
                    bytes.push(RELEASE);
                }
                bytes.push(scancodes::set_2(code.into()));
            }),
            _ => self.sequence_3(key, down, held),
        };
        if sequence.is_empty() {
            return;
        }
        if self.keys.len() < BUFFER_LEN {
            self.keys.push_back(sequence);
        } else if let Some(last) = self.keys.back_mut() {
            // The overrun code takes the place of what did not fit.
            *last = vec![if self.scan_set == 1 { 0xff } else { 0 }];
        }
    }

    /// The bytes of a key in set 1 or 2, which build theirs alike from set-1 codes.
    fn sequence(&self, key: Key, down: bool, code: impl Fn(&mut Vec<u8>, u8, bool)) -> Vec<u8> {
        const LEFT_SHIFT: u8 = 0x2a;
        let mut bytes = Vec::new();
        let low = key as u8 & 0x7f;
        match key {
            scancodes::PAUSE => {
                // Pause sends its release with its press.
                for down in [true, false].into_iter().filter(|_| down) {
                    bytes.push(0xe1);
                    code(&mut bytes, 0x1d, down);
                    code(&mut bytes, 0x45, down);
                }
            }
            scancodes::PRINT_SCREEN if self.modifiers().intersects(Modifiers::ALT) => {
                code(&mut bytes, scancodes::SYSTEM_REQUEST as u8, down);
            }
            scancodes::PRINT_SCREEN if !self.modifiers().intersects(Modifiers::SHIFT_OR_CONTROL) => {
                let order = if down { [LEFT_SHIFT, low] } else { [low, LEFT_SHIFT] };
                for part in order {
                    bytes.push(EXTENDED);
                    code(&mut bytes, part, down);
                }
            }
            _ => {
                if key >> 8 != 0 {
                    bytes.push(EXTENDED);
                }
                code(&mut bytes, low, down);
            }
        }
        bytes
    }

    fn sequence_3(&self, key: Key, down: bool, held: bool) -> Vec<u8> {
        let Some(code) = scancodes::set_3(key) else { return Vec::new() };
        let key_type = self.key_types.get(&code).copied().unwrap_or(self.other_keys);
        match (down, held) {
            (true, true) if !key_type.repeats() => Vec::new(),
            (true, _) => vec![code],
            (false, _) if key_type.has_break() => vec![RELEASE, code],
            (false, _) => Vec::new(),
        }
    }
}
