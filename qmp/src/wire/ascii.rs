//! Values to lines of pure ASCII.

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, PrettyFormatter};
use serde_json::{Serializer, Value};
use std::io::{self, Write};

/// How replies are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// Each on a line of its own, a space after commas and colons.
    #[default]
    Compact,
    /// Members on lines of their own, indented by four spaces.
    Pretty,
}

/// The longest line that every client can take: Python's asyncio reads no longer ones unless it is told to.
const LONG: usize = 64 << 10;

/// A value as it is sent, CR LF at its end. A long line goes without spaces.
pub fn to_line(value: &Value, layout: Layout) -> Vec<u8> {
    let mut line = match layout {
        Layout::Compact => to_ascii(value, Spaced),
        Layout::Pretty => to_ascii(value, PrettyFormatter::with_indent(b"    ")),
    };
    if layout == Layout::Compact && line.len() + 2 > LONG {
        line = to_ascii(value, CompactFormatter);
    }
    line.extend_from_slice(b"\r\n");
    line
}

fn to_ascii(value: &Value, formatter: impl Formatter) -> Vec<u8> {
    let mut text = Vec::with_capacity(256);
    // Writing to memory does not fail, and a value has no map keys but strings.
    let _ = value.serialize(&mut Serializer::with_formatter(&mut text, Ascii(formatter)));
    text
}

/// Another formatter's layout, with escapes for all that is not ASCII.
struct Ascii<F>(F);

impl<F: Formatter> Formatter for Ascii<F> {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.is_ascii() && !fragment.contains('\x7f') {
            return writer.write_all(fragment.as_bytes());
        }
        for character in fragment.chars() {
            if character.is_ascii() && character != '\x7f' {
                write!(writer, "{character}")?;
                continue;
            }
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04X}")?;
            }
        }
        Ok(())
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        self.0.write_char_escape(writer, escape)
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

/// One line, with a space after commas and colons: shell scripts look for `"status": "running"`.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        CompactFormatter.write_char_escape(writer, escape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_reply_is_one_line_of_ascii() {
        let line = to_line(&json!({ "id": "é😀\n\"", "return": [1, {}, [], -2.5] }), Layout::Compact);
        assert_eq!(line, b"{\"id\": \"\\u00E9\\uD83D\\uDE00\\n\\\"\", \"return\": [1, {}, [], -2.5]}\r\n");
    }

    #[test]
    fn a_long_one_has_no_spaces() {
        let long = Value::from(vec![1; LONG / 3]);
        assert_eq!(to_line(&long, Layout::Compact).len(), LONG / 3 * 2 + 3);
        let shorter = Value::from(vec![1; LONG / 3 - 4]);
        assert_eq!(to_line(&shorter, Layout::Compact).len(), (LONG / 3 - 4) * 3 + 2);
    }

    #[test]
    fn or_several_for_human_eyes() {
        let line = to_line(&json!({ "return": { "a": [1] } }), Layout::Pretty);
        assert_eq!(line, b"{\n    \"return\": {\n        \"a\": [\n            1\n        ]\n    }\n}\r\n");
    }
}
