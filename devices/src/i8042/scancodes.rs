//! Scan codes: from set 1, as keys arrive, to sets 2 and 3, and the controller's translation of set 2 back to set 1.

use serde::{Deserialize, Serialize};

/// A key: its set-1 make code, with a prefix byte in the high half for keys that the AT keyboard did not have.
pub(super) type Key = u16;

/// The Pause key, which has a sequence of its own and no release.
pub(super) const PAUSE: Key = 0xe11d;
/// The Print Screen key.
pub(super) const PRINT_SCREEN: Key = 0xe037;
/// Print Screen with Alt held.
pub(super) const SYSTEM_REQUEST: Key = 0x0054;

/// What the controller makes of each code of set 2.
const TRANSLATION: [u8; 0x85] = [
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59, // 00
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b, // 10
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d, // 20
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f, // 30
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61, // 40
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76, // 50
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f, // 60
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54, // 70
    0x80, 0x81, 0x82, 0x41, 0x54, // 80
];

/// Set 2 by set 1. Of two codes that translate alike the higher is the one that keyboards send (F7, SysRq).
const SET_2: [u8; 0x80] = {
    let mut table = [0; 0x80];
    let mut code = 0;
    while code < TRANSLATION.len() {
        if TRANSLATION[code] < 0x80 {
            table[TRANSLATION[code] as usize] = code as u8;
        }
        code += 1;
    }
    table
};

/// Keys whose code in set 3 differs from set 2, by their set-1 code.
const SET_3: [(Key, u8); 49] = [
    (0x01, 0x08), // Esc
    (0x1d, 0x11), // left Ctrl
    (0x2b, 0x5c), // backslash
    (0x37, 0x7e), // keypad *
    (0x38, 0x19), // left Alt
    (0x3a, 0x14), // Caps Lock
    (0x3b, 0x07), // F1
    (0x3c, 0x0f),
    (0x3d, 0x17),
    (0x3e, 0x1f),
    (0x3f, 0x27),
    (0x40, 0x2f),
    (0x41, 0x37),
    (0x42, 0x3f),
    (0x43, 0x47),
    (0x44, 0x4f),   // F10
    (0x45, 0x76),   // Num Lock
    (0x46, 0x5f),   // Scroll Lock
    (0x4a, 0x84),   // keypad -
    (0x4e, 0x7c),   // keypad +
    (0x54, 0x57),   // SysRq
    (0x56, 0x13),   // the key beside left Shift
    (0x57, 0x56),   // F11
    (0x58, 0x5e),   // F12
    (0x70, 0x87),   // Katakana/Hiragana
    (0x73, 0x51),   // Ro
    (0x79, 0x86),   // Henkan
    (0x7b, 0x85),   // Muhenkan
    (0x7d, 0x5d),   // Yen
    (0xe01c, 0x79), // keypad Enter
    (0xe01d, 0x58), // right Ctrl
    (0xe035, 0x77), // keypad /
    (0xe037, 0x57), // Print Screen
    (0xe038, 0x39), // right Alt
    (0xe046, 0x62), // Break
    (0xe047, 0x6e), // Home
    (0xe048, 0x63), // Up
    (0xe049, 0x6f), // Page Up
    (0xe04b, 0x61), // Left
    (0xe04d, 0x6a), // Right
    (0xe04f, 0x65), // End
    (0xe050, 0x60), // Down
    (0xe051, 0x6d), // Page Down
    (0xe052, 0x67), // Insert
    (0xe053, 0x64), // Delete
    (0xe05b, 0x8b), // left logo
    (0xe05c, 0x8c), // right logo
    (0xe05d, 0x8d), // menu
    (PAUSE, 0x62),
];

/// The code of a plain or extended key in set 2, without prefix.
pub(super) fn set_2(key: Key) -> u8 {
    SET_2[usize::from(key & 0x7f)]
}

/// The code of a key in set 3, where no key has a prefix. `None` if the set has no such key.
pub(super) fn set_3(key: Key) -> Option<u8> {
    match SET_3.iter().find(|(listed, _)| *listed == key) {
        Some((_, code)) => Some(*code),
        None if key >> 8 == 0 => Some(set_2(key)),
        None => None,
    }
}

/// The controller's translation of set 2 to set 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Translator {
    released: bool,
}

impl Translator {
    const BREAK_PREFIX: u8 = 0xf0;

    /// Translates the keyboard's next byte; `None` for the prefix of a release, which shows in the next byte.
    pub(super) fn translate(&mut self, raw: u8) -> Option<u8> {
        if raw == Self::BREAK_PREFIX {
            self.released = true;
            return None;
        }
        let code = TRANSLATION.get(usize::from(raw)).copied().unwrap_or(raw);
        let released = std::mem::take(&mut self.released);
        Some(if released { code | 0x80 } else { code })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translation_undoes_set_2_for_every_key() {
        for key in 1..0x7f {
            let mut translator = Translator::default();
            assert_eq!(translator.translate(set_2(key)), Some(key as u8), "key {key:#x}");
        }
        assert_eq!((set_2(0x1e), set_2(0x41), set_2(0x54)), (0x1c, 0x83, 0x84));
    }

    #[test]
    fn set_3_has_one_code_for_each_key() {
        assert_eq!((set_3(0x1e), set_3(0x01), set_3(0xe048), set_3(0xe05f)), (Some(0x1c), Some(8), Some(0x63), None));
    }
}
