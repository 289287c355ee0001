//! The `/FMT` of commands that show numbers: a count, a style and a size.

use super::error::CommandError;
use lockstep_fabric::Width;

/// Bytes of the widest unit.
pub(super) const UNIT: usize = 8;

/// The base of a number, and whether it has a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// `x`.
    Hexadecimal,
    /// `d`.
    Signed,
    /// `u`.
    Unsigned,
    /// `o`.
    Octal,
}

/// How a unit is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// As a number.
    Number(Base),
    /// `c`: as a character.
    Character,
    /// `i`: as instructions, as long as they are.
    Instructions,
}

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// How many units.
    pub(crate) count: u32,
    /// How each is shown.
    pub(crate) style: Style,
    /// How wide each is.
    pub(crate) width: Width,
}

impl Default for Format {
    fn default() -> Self {
        Self { count: 1, style: Style::Number(Base::Hexadecimal), width: Width::Dword }
    }
}

impl Format {
    /// Reads what stands after the slash; what it does not say is as `before`.
    pub(crate) fn read(text: Option<&str>, before: Self) -> Result<Self, CommandError> {
        let text = text.unwrap_or_default();
        let letters = text.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = &text[..text.len() - letters.len()];
        let count = match digits {
            "" => 1,
            digits => digits.parse().map_err(|_| CommandError::TooLarge)?,
        };
        let mut format = Self { count, ..before };
        for letter in letters.chars() {
            match letter {
                'x' => format.style = Style::Number(Base::Hexadecimal),
                'd' => format.style = Style::Number(Base::Signed),
                'u' => format.style = Style::Number(Base::Unsigned),
                'o' => format.style = Style::Number(Base::Octal),
                'c' => (format.style, format.width) = (Style::Character, Width::Byte),
                'i' => format.style = Style::Instructions,
                'b' => format.width = Width::Byte,
                'h' => format.width = Width::Word,
                'w' => format.width = Width::Dword,
                'g' | 'L' => format.width = Width::Qword,
                unknown => return Err(CommandError::Format(unknown)),
            }
        }
        Ok(format)
    }

    /// A unit, as wide as its widest value so that columns line up.
    pub(crate) fn show(self, value: u64) -> String {
        let value = value & self.width.mask();
        let bits = 8 * self.width.bytes() as usize;
        match self.style {
            Style::Number(Base::Signed) => format!("{:width$}", self.signed(value), width = decimal_digits(bits) + 1),
            Style::Number(Base::Unsigned) => format!("{value:width$}", width = decimal_digits(bits)),
            Style::Number(Base::Octal) => format!("0{value:0width$o}", width = bits.div_ceil(3)),
            Style::Number(Base::Hexadecimal) | Style::Instructions => format!("0x{value:0width$x}", width = bits / 4),
            Style::Character => quoted(value as u8),
        }
    }

    /// A single value, no wider than it is.
    pub(crate) fn show_alone(self, value: u64) -> String {
        match self.style {
            Style::Number(Base::Signed) => format!("{}", value.cast_signed()),
            Style::Number(Base::Unsigned) => format!("{value}"),
            Style::Number(Base::Octal) if value == 0 => "0".to_owned(),
            Style::Number(Base::Octal) => format!("0{value:o}"),
            Style::Number(Base::Hexadecimal) | Style::Instructions => format!("0x{value:x}"),
            Style::Character => quoted(value as u8),
        }
    }

    fn signed(self, value: u64) -> i64 {
        let unused = 64 - 8 * self.width.bytes() as u32;
        (value << unused).cast_signed() >> unused
    }
}

/// Digits of the largest unsigned number of this many bits.
fn decimal_digits(bits: usize) -> usize {
    (bits * 10).div_ceil(33)
}

fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        0x20..0x7f => format!("'{}'", char::from(byte)),
        _ => format!(r"'\x{byte:02x}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(format: &str, value: u64) -> String {
        Format::read(Some(format), Format::default()).expect("a format").show(value)
    }

    #[test]
    fn units_are_as_wide_as_their_widest_value() {
        assert_eq!(show("xb", 0x1fe), "0xfe");
        assert_eq!(show("g", 0xfe), "0x00000000000000fe");
        assert_eq!(show("db", 0xfe), "  -2");
        assert_eq!(show("dg", u64::MAX), "                   -1");
        assert_eq!(show("uh", 7), "    7");
        assert_eq!(show("oh", 0o17), "0000017");
        assert_eq!(show("c", b'A'.into()), "'A'");
        assert_eq!(show("c", 7), r"'\x07'");
    }

    #[test]
    fn what_is_not_said_is_as_before() {
        let before = Format::read(Some("4dh"), Format::default()).expect("a format");
        assert_eq!(before, Format { count: 4, style: Style::Number(Base::Signed), width: Width::Word });
        let after = Format::read(Some("xx"), Format { count: 1, ..before }).expect("a format");
        assert_eq!(after, Format { count: 1, style: Style::Number(Base::Hexadecimal), width: Width::Word });
        assert_eq!(Format::read(None, after), Ok(after));
    }

    #[test]
    fn unknown_letters_and_endless_counts_are_refused() {
        for text in ["z", "4294967296x", "x4", "é"] {
            assert!(Format::read(Some(text), Format::default()).is_err(), "{text}");
        }
    }
}
