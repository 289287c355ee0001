//! `sendkey`: QEMU's names of keys, and the codes that a PC keyboard sends for them.

use super::error::CommandError;
use super::expression::{Arguments, STRING};
use super::{Answer, Desk};
use crate::run::Control;
use lockstep_fabric::Nanos;

/// Keys that may be held at once.
const MOST: usize = 16;
/// How long each key stays as it is unless something else is said, as in QEMU.
const HOLD_MS: u32 = 10;
const NANOS_PER_MS: Nanos = 1_000_000;

/// Names and set-1 scan codes, with 0xE0 in the high byte for extended keys.
const KEYS: &[(&str, u16)] = &[
    ("esc", 0x01),
    ("1", 0x02),
    ("2", 0x03),
    ("3", 0x04),
    ("4", 0x05),
    ("5", 0x06),
    ("6", 0x07),
    ("7", 0x08),
    ("8", 0x09),
    ("9", 0x0a),
    ("0", 0x0b),
    ("minus", 0x0c),
    ("equal", 0x0d),
    ("backspace", 0x0e),
    ("tab", 0x0f),
    ("q", 0x10),
    ("w", 0x11),
    ("e", 0x12),
    ("r", 0x13),
    ("t", 0x14),
    ("y", 0x15),
    ("u", 0x16),
    ("i", 0x17),
    ("o", 0x18),
    ("p", 0x19),
    ("bracket_left", 0x1a),
    ("bracket_right", 0x1b),
    ("ret", 0x1c),
    ("ctrl", 0x1d),
    ("a", 0x1e),
    ("s", 0x1f),
    ("d", 0x20),
    ("f", 0x21),
    ("g", 0x22),
    ("h", 0x23),
    ("j", 0x24),
    ("k", 0x25),
    ("l", 0x26),
    ("semicolon", 0x27),
    ("apostrophe", 0x28),
    ("grave_accent", 0x29),
    ("shift", 0x2a),
    ("backslash", 0x2b),
    ("z", 0x2c),
    ("x", 0x2d),
    ("c", 0x2e),
    ("v", 0x2f),
    ("b", 0x30),
    ("n", 0x31),
    ("m", 0x32),
    ("comma", 0x33),
    ("dot", 0x34),
    ("slash", 0x35),
    ("shift_r", 0x36),
    ("asterisk", 0x37),
    ("kp_multiply", 0x37),
    ("alt", 0x38),
    ("spc", 0x39),
    ("caps_lock", 0x3a),
    ("f1", 0x3b),
    ("f2", 0x3c),
    ("f3", 0x3d),
    ("f4", 0x3e),
    ("f5", 0x3f),
    ("f6", 0x40),
    ("f7", 0x41),
    ("f8", 0x42),
    ("f9", 0x43),
    ("f10", 0x44),
    ("num_lock", 0x45),
    ("scroll_lock", 0x46),
    ("kp_7", 0x47),
    ("kp_8", 0x48),
    ("kp_9", 0x49),
    ("kp_subtract", 0x4a),
    ("kp_4", 0x4b),
    ("kp_5", 0x4c),
    ("kp_6", 0x4d),
    ("kp_add", 0x4e),
    ("kp_1", 0x4f),
    ("kp_2", 0x50),
    ("kp_3", 0x51),
    ("kp_0", 0x52),
    ("kp_decimal", 0x53),
    ("less", 0x56),
    ("f11", 0x57),
    ("f12", 0x58),
    ("kp_enter", 0xe01c),
    ("ctrl_r", 0xe01d),
    ("kp_divide", 0xe035),
    ("print", 0xe037),
    ("sysrq", 0xe037),
    ("alt_r", 0xe038),
    ("home", 0xe047),
    ("up", 0xe048),
    ("pgup", 0xe049),
    ("left", 0xe04b),
    ("right", 0xe04d),
    ("end", 0xe04f),
    ("down", 0xe050),
    ("pgdn", 0xe051),
    ("insert", 0xe052),
    ("delete", 0xe053),
    ("meta_l", 0xe05b),
    ("meta_r", 0xe05c),
    ("menu", 0xe05d),
    ("compose", 0xe05d),
    ("pause", 0xe11d),
    ("altgr", 0xe038),
    ("altgr_r", 0xe038),
    ("<", 0x56),
    ("kp_equals", 0x59),
    ("kp_comma", 0x7e),
    ("katakanahiragana", 0x70),
    ("lang2", 0x71),
    ("lang1", 0x72),
    ("ro", 0x73),
    ("hiragana", 0x77),
    ("henkan", 0x79),
    ("muhenkan", 0x7b),
    ("yen", 0x7d),
    ("f13", 0x5d),
    ("f14", 0x5e),
    ("f15", 0x5f),
    ("f16", 0x55),
    ("f17", 0xe003),
    ("f18", 0xe077),
    ("f19", 0xe004),
    ("f20", 0x5a),
    ("f21", 0x74),
    ("f22", 0xe079),
    ("f23", 0x6d),
    ("f24", 0x6f),
    ("lf", 0x5b),
    ("open", 0x64),
    ("paste", 0x65),
    ("again", 0xe005),
    ("props", 0xe006),
    ("undo", 0xe007),
    ("front", 0xe00c),
    ("audioprev", 0xe010),
    ("audionext", 0xe019),
    ("audiomute", 0xe020),
    ("calculator", 0xe021),
    ("audioplay", 0xe022),
    ("audiostop", 0xe024),
    ("volumedown", 0xe02e),
    ("volumeup", 0xe030),
    ("ac_home", 0xe032),
    ("cut", 0xe03c),
    ("find", 0xe041),
    ("power", 0xe05e),
    ("sleep", 0xe05f),
    ("wake", 0xe063),
    ("ac_bookmarks", 0xe066),
    ("ac_refresh", 0xe067),
    ("stop", 0xe068),
    ("ac_forward", 0xe069),
    ("ac_back", 0xe06a),
    ("computer", 0xe06b),
    ("mail", 0xe06c),
    ("mediaselect", 0xe06d),
    ("help", 0xe075),
    ("copy", 0xe078),
];

/// `sendkey KEY[-KEY...] [MILLISECONDS]`: all are pressed in order and released in the opposite one, with so much guest time
/// after each.
pub(super) fn send(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let names = arguments.expect_word(STRING)?;
    let hold = match arguments.plain_number()? {
        Some(hold) => u32::try_from(hold).map_err(|_| CommandError::Range { what: "hold time", value: hold })?,
        None => HOLD_MS,
    };
    arguments.finish()?;
    let codes = names.split('-').map(code).collect::<Result<Vec<_>, _>>()?;
    if codes.len() > MOST {
        return Err(CommandError::Range { what: "number of keys", value: codes.len() as u64 });
    }
    let pressed = codes.iter().map(|code| (*code, true));
    let released = codes.iter().rev().map(|code| (*code, false));
    control.type_keys(pressed.chain(released).collect(), Nanos::from(hold) * NANOS_PER_MS)?;
    Ok(String::new())
}

/// The keys' names.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|(name, _)| *name)
}

/// The code of a key by its name.
pub(crate) fn key_code(name: &str) -> Option<u16> {
    KEYS.iter().find(|(known, _)| *known == name).map(|(_, code)| *code)
}

/// The code of a key by its name, or by a number as QEMU takes it: 0xE0 becomes bit 7.
fn code(name: &str) -> Result<u16, CommandError> {
    if let Some(code) = key_code(name) {
        return Ok(code);
    }
    let number = name.strip_prefix("0x").and_then(|digits| u8::from_str_radix(digits, 16).ok());
    match number {
        Some(number) if number & 0x7f != 0 => {
            Ok(if number & 0x80 != 0 { 0xe000 | u16::from(number & 0x7f) } else { number.into() })
        }
        _ => Err(CommandError::InvalidParameter(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_names_and_numbers() {
        assert_eq!(code("a"), Ok(0x1e));
        assert_eq!(code("delete"), Ok(0xe053));
        assert_eq!((code("volumeup"), code("<"), code("f24")), (Ok(0xe030), code("less"), Ok(0x6f)));
        assert_eq!(code("0x1e"), Ok(0x1e));
        assert_eq!(code("0xd3"), Ok(0xe053));
        for name in ["", "A", "0x", "0x80", "0x100"] {
            assert_eq!(code(name), Err(CommandError::InvalidParameter(name.into())));
        }
    }
}
