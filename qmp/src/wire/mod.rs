//! Bytes to values and back: JSON as QMP speaks it (QEMU, docs/interop/qmp-spec.rst).
//!
//! Clients may send values without any line ends between them, in pieces or many at once, and may put strings in single
//! quotes. What cannot be read is an error of that one message; the stream goes on. Replies are pure ASCII.

mod ascii;
mod lexer;
mod parser;

pub use ascii::{Layout, to_line};
pub use parser::{ParseError, Parser};
