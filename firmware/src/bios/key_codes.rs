//! Keys of the US layout: what INT 16h returns for a scan code of set 1, and for a character.

/// Which shift keys are down, for a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shifts {
    pub(super) shift: bool,
    pub(super) control: bool,
    pub(super) alt: bool,
    pub(super) caps: bool,
    pub(super) num: bool,
}

/// Characters of the scan codes 01h to 39h, without and with shift. Zero: no character.
const PLAIN: &[u8; 0x3a] = b"\0\x1b1234567890-=\x08\tqwertyuiop[]\r\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
const SHIFTED: &[u8; 0x3a] = b"\0\x1b!@#$%^&*()_+\x08\0QWERTYUIOP{}\r\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";

const TAB: u8 = 0x0f;
const KEYPAD_STAR: u8 = 0x37;
const F1: u8 = 0x3b;
const F10: u8 = 0x44;
const HOME: u8 = 0x47;
const DELETE: u8 = 0x53;
const F11: u8 = 0x57;
const F12: u8 = 0x58;
const ENTER: u8 = 0x1c;
const SLASH: u8 = 0x35;
/// The keypad's characters from 47h to 53h.
const KEYPAD: &[u8; 13] = b"789-456+1230.";
/// The keypad with Ctrl: scan codes; the centre and the signs are rarely of use.
const KEYPAD_CONTROL: [u8; 13] = [0x77, 0x8d, 0x84, 0x8e, 0x73, 0x8f, 0x74, 0x90, 0x75, 0x91, 0x76, 0x92, 0x93];

/// The word in INT 16h's buffer (scan code, character) for a key; `None` if the key with these shifts gives none.
pub(super) fn code(scan: u8, extended: bool, shifts: Shifts) -> Option<u16> {
    let word = |code: u8, character: u8| Some(u16::from(code) << 8 | u16::from(character));
    match scan {
        SLASH if extended => word(if shifts.control { 0x95 } else { 0xe0 }, if shifts.control { 0 } else { b'/' }),
        ENTER if extended => word(0xe0, if shifts.control { 0x0a } else { 0x0d }),
        HOME..=DELETE if extended => {
            let place = usize::from(scan - HOME);
            if shifts.alt {
                word(scan + 0x50, 0)
            } else if shifts.control {
                word(KEYPAD_CONTROL[place], 0xe0)
            } else {
                word(scan, 0xe0)
            }
        }
        F1..=F10 => {
            let set = match shifts {
                Shifts { alt: true, .. } => 0x68,
                Shifts { control: true, .. } => 0x5e,
                Shifts { shift: true, .. } => 0x54,
                _ => F1,
            };
            word(set + (scan - F1), 0)
        }
        F11 | F12 => {
            let set = match shifts {
                Shifts { alt: true, .. } => 0x8b,
                Shifts { control: true, .. } => 0x89,
                Shifts { shift: true, .. } => 0x87,
                _ => 0x85,
            };
            word(set + (scan - F11), 0)
        }
        HOME..=DELETE => keypad(scan, shifts),
        0x56 => word(scan, if shifts.shift { b'|' } else { b'\\' }),
        _ if usize::from(scan) < PLAIN.len() => typed(scan, shifts),
        _ => None,
    }
}

fn keypad(scan: u8, shifts: Shifts) -> Option<u16> {
    const MINUS: u8 = 0x4a;
    const CENTRE: u8 = 0x4c;
    const PLUS: u8 = 0x4e;
    let place = usize::from(scan - HOME);
    let sign = matches!(scan, MINUS | PLUS);
    let digits = shifts.num != shifts.shift || sign;
    match shifts {
        Shifts { alt: true, .. } => sign.then_some(u16::from(scan) << 8),
        Shifts { control: true, .. } => Some(u16::from(KEYPAD_CONTROL[place]) << 8),
        _ if digits => Some(u16::from(scan) << 8 | u16::from(KEYPAD[place])),
        _ if scan == CENTRE => Some(u16::from(scan) << 8),
        _ => Some(u16::from(scan) << 8),
    }
}

fn typed(scan: u8, shifts: Shifts) -> Option<u16> {
    let place = usize::from(scan);
    let plain = *PLAIN.get(place)?;
    let word = |code: u8, character: u8| Some(u16::from(code) << 8 | u16::from(character));
    if plain == 0 {
        return None;
    }
    if shifts.alt {
        return match plain {
            b'1'..=b'9' => word(plain - b'1' + 0x78, 0),
            b'0' => word(0x81, 0),
            b'-' => word(0x82, 0),
            b'=' => word(0x83, 0),
            b' ' => word(scan, b' '),
            b'\t' => word(0xa5, 0),
            _ => word(scan, 0),
        };
    }
    if shifts.control {
        return match (plain, scan) {
            (b'a'..=b'z', _) => word(scan, plain & 0x1f),
            (b'[', _) => word(scan, 0x1b),
            (b'\\', _) => word(scan, 0x1c),
            (b']', _) => word(scan, 0x1d),
            (b'6', _) => word(scan, 0x1e),
            (b'-', _) => word(scan, 0x1f),
            (b'2', _) => word(0x03, 0),
            (b'\r', _) => word(scan, b'\n'),
            (0x08, _) => word(scan, 0x7f),
            (0x1b | b' ', _) => word(scan, plain),
            (_, TAB) => word(0x94, 0),
            (_, KEYPAD_STAR) => word(0x96, 0),
            _ => None,
        };
    }
    let upper = shifts.shift != (shifts.caps && plain.is_ascii_lowercase());
    word(scan, if upper { SHIFTED[place] } else { plain })
}

/// The word for a character that arrives as such, from a serial console.
pub(super) fn of_character(character: u8) -> u16 {
    let control = |letter: u8| PLAIN.iter().position(|c| *c == letter).unwrap_or(0) as u16;
    let scan = match character {
        0x7f => return 0x0e08,
        b'\n' => return 0x1c0d,
        0x08 | b'\t' | b'\r' | 0x1b => control(character),
        1..=26 => control(character | 0x60),
        _ => PLAIN
            .iter()
            .position(|c| *c == character)
            .or_else(|| SHIFTED.iter().position(|c| *c == character))
            .unwrap_or(0) as u16,
    };
    scan << 8 | u16::from(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Shifts = Shifts { shift: false, control: false, alt: false, caps: false, num: false };

    #[test]
    fn letters_follow_shift_and_caps_lock() {
        let a = |shifts| code(0x1e, false, shifts);
        assert_eq!(a(NONE), Some(0x1e61));
        assert_eq!(a(Shifts { shift: true, ..NONE }), Some(0x1e41));
        assert_eq!(a(Shifts { caps: true, ..NONE }), Some(0x1e41));
        assert_eq!(a(Shifts { caps: true, shift: true, ..NONE }), Some(0x1e61));
        assert_eq!(a(Shifts { control: true, ..NONE }), Some(0x1e01));
        assert_eq!(a(Shifts { alt: true, ..NONE }), Some(0x1e00));
        assert_eq!(code(0x02, false, Shifts { caps: true, ..NONE }), Some(0x0231), "digits have no capitals");
    }

    #[test]
    fn arrows_and_the_keypad_differ_by_their_prefix() {
        assert_eq!(code(0x48, true, NONE), Some(0x48e0));
        assert_eq!(code(0x48, false, NONE), Some(0x4800));
        assert_eq!(code(0x48, false, Shifts { num: true, ..NONE }), Some(0x4838));
        assert_eq!(code(0x1c, true, NONE), Some(0xe00d));
    }

    #[test]
    fn function_keys_have_four_sets() {
        assert_eq!(code(0x3b, false, NONE), Some(0x3b00));
        assert_eq!(code(0x44, false, Shifts { alt: true, ..NONE }), Some(0x7100));
        assert_eq!(code(0x58, false, Shifts { shift: true, ..NONE }), Some(0x8800));
    }

    #[test]
    fn characters_of_a_terminal_look_as_if_they_were_typed() {
        assert_eq!(of_character(b'a'), 0x1e61);
        assert_eq!(of_character(b'A'), 0x1e41);
        assert_eq!(of_character(b'\r'), 0x1c0d);
        assert_eq!(of_character(0x03), 0x2e03);
        assert_eq!(of_character(0x7f), 0x0e08);
        assert_eq!(of_character(0x1b), 0x011b);
        assert_eq!(of_character(b' '), 0x3920);
    }
}
