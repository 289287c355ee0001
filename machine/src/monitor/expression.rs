//! Command arguments: words, and numbers that may be calculated.
//!
//! Operators bind as in QEMU's monitor: `*` `/` `%` before `&` `|` `^` before `+` `-`. All is 64-bit and wraps.

use super::error::CommandError;

/// Parentheses and signs that may be open at once.
const DEEPEST: usize = 64;

/// Where the values of names like `$rip` come from.
pub(crate) type Names<'a> = &'a dyn Fn(&str) -> Option<u64>;

/// What is left of a command line.
#[derive(Clone, Debug)]
pub(crate) struct Arguments<'a> {
    rest: &'a str,
}

impl<'a> Arguments<'a> {
    /// The arguments in `text`.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text.trim() }
    }

    /// The next word.
    pub(crate) fn word(&mut self) -> Option<&'a str> {
        let (word, rest) = self.rest.split_once(char::is_whitespace).unwrap_or((self.rest, ""));
        self.rest = rest.trim_start();
        (!word.is_empty()).then_some(word)
    }

    /// The next word, which must be there.
    pub(crate) fn expect_word(&mut self, what: &'static str) -> Result<&'a str, CommandError> {
        self.word().ok_or(CommandError::Missing(what))
    }

    /// The word after a slash, if one comes next.
    pub(crate) fn format(&mut self) -> Option<&'a str> {
        self.rest = self.rest.strip_prefix('/')?;
        Some(self.word().unwrap_or_default())
    }

    /// Checks that nothing is left.
    pub(crate) fn finish(&self) -> Result<(), CommandError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CommandError::Unexpected(self.rest.to_owned())) }
    }

    /// The next number, calculated.
    pub(crate) fn number(&mut self, what: &'static str, names: Names<'_>) -> Result<u64, CommandError> {
        if self.rest.is_empty() {
            return Err(CommandError::Missing(what));
        }
        let mut parser = Parser { rest: self.rest, names, depth: 0 };
        let value = parser.sum()?;
        self.rest = parser.rest.trim_start();
        Ok(value)
    }
}

struct Parser<'a, 'n> {
    rest: &'a str,
    names: Names<'n>,
    depth: usize,
}

impl<'a> Parser<'a, '_> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn skip(&mut self, c: char) {
        self.rest = &self.rest[c.len_utf8()..];
    }

    fn sum(&mut self) -> Result<u64, CommandError> {
        let mut value = self.logic()?;
        while let Some(operator @ ('+' | '-')) = self.peek() {
            self.skip(operator);
            let other = self.logic()?;
            value = if operator == '+' { value.wrapping_add(other) } else { value.wrapping_sub(other) };
        }
        Ok(value)
    }

    fn logic(&mut self) -> Result<u64, CommandError> {
        let mut value = self.product()?;
        while let Some(operator @ ('&' | '|' | '^')) = self.peek() {
            self.skip(operator);
            let other = self.product()?;
            value = match operator {
                '&' => value & other,
                '|' => value | other,
                _ => value ^ other,
            };
        }
        Ok(value)
    }

    fn product(&mut self) -> Result<u64, CommandError> {
        let mut value = self.unary()?;
        while let Some(operator @ ('*' | '/' | '%')) = self.peek() {
            self.skip(operator);
            let other = self.unary()?;
            value = match operator {
                '*' => value.wrapping_mul(other),
                '/' => value.checked_div(other).ok_or(CommandError::DivisionByZero)?,
                _ => value.checked_rem(other).ok_or(CommandError::DivisionByZero)?,
            };
        }
        Ok(value)
    }

    fn unary(&mut self) -> Result<u64, CommandError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(CommandError::TooDeep);
        }
        let value = match self.peek() {
            Some('+') => {
                self.skip('+');
                self.unary()?
            }
            Some('-') => {
                self.skip('-');
                self.unary()?.wrapping_neg()
            }
            Some('~') => {
                self.skip('~');
                !self.unary()?
            }
            Some('(') => {
                self.skip('(');
                let value = self.sum()?;
                if self.peek() != Some(')') {
                    return Err(CommandError::Expected { what: "')'", found: self.rest.to_owned() });
                }
                self.skip(')');
                value
            }
            Some('\'') => self.character()?,
            Some('$') => self.name()?,
            _ => self.literal()?,
        };
        self.depth -= 1;
        Ok(value)
    }

    fn character(&mut self) -> Result<u64, CommandError> {
        let mut left = self.rest.chars();
        let (Some('\''), Some(c), Some('\'')) = (left.next(), left.next(), left.next()) else {
            return Err(CommandError::Expected { what: "a character in quotes", found: self.rest.to_owned() });
        };
        self.rest = left.as_str();
        Ok(u32::from(c).into())
    }

    fn name(&mut self) -> Result<u64, CommandError> {
        let name = self.take_while(1, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
        (self.names)(&name[1..]).ok_or_else(|| CommandError::UnknownRegister(name.to_owned()))
    }

    fn literal(&mut self) -> Result<u64, CommandError> {
        let found = self.rest;
        let text = self.take_while(0, |c| c.is_ascii_alphanumeric() || c == '_');
        let value = if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            u64::from_str_radix(digits, 16)
        } else if text.len() > 1 && text.starts_with('0') {
            u64::from_str_radix(&text[1..], 8)
        } else {
            text.parse()
        };
        value.map_err(|_| CommandError::Expected { what: "a number", found: found.to_owned() })
    }

    /// Takes `first` characters of one byte, and those after them that `belongs` says so of.
    fn take_while(&mut self, first: usize, belongs: impl Fn(char) -> bool) -> &'a str {
        let len = self.rest[first..].find(|c| !belongs(c)).map_or(self.rest.len(), |at| at + first);
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registers(name: &str) -> Option<u64> {
        match name {
            "rip" => Some(0x1000),
            "cs.base" => Some(0xf_0000),
            _ => None,
        }
    }

    fn value(text: &str) -> Result<u64, CommandError> {
        let mut arguments = Arguments::new(text);
        let value = arguments.number("NUMBER", &registers)?;
        arguments.finish()?;
        Ok(value)
    }

    #[test]
    fn numbers_are_decimal_hexadecimal_octal_or_characters() {
        assert_eq!(value("42"), Ok(42));
        assert_eq!(value("0x2A"), Ok(42));
        assert_eq!(value("052"), Ok(42));
        assert_eq!(value("0"), Ok(0));
        assert_eq!(value("'*'"), Ok(42));
        assert_eq!(value("0xffffffffffffffff"), Ok(u64::MAX));
    }

    #[test]
    fn operators_bind_as_in_qemu_and_wrap() {
        assert_eq!(value("1 + 2 * 3"), Ok(7));
        assert_eq!(value("(1 + 2) * 3"), Ok(9));
        assert_eq!(value("1|2+4"), Ok(7));
        assert_eq!(value("6&3+1"), Ok(3));
        assert_eq!(value("7^2 - 10 / 3 % 2"), Ok(4));
        assert_eq!(value("-1"), Ok(u64::MAX));
        assert_eq!(value("~0 + 1"), Ok(0));
        assert_eq!(value("0x8000000000000000 * 2"), Ok(0));
    }

    #[test]
    fn registers_are_numbers() {
        assert_eq!(value("$cs.base+$rip"), Ok(0xf_1000));
        assert_eq!(value("$foo"), Err(CommandError::UnknownRegister("$foo".into())));
        assert_eq!(value("$"), Err(CommandError::UnknownRegister("$".into())));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["zero", "0xg", "09", "1 +", "(1", "'ab'", "1 2", "1/0", "1%0", "18446744073709551616", "é", "'"] {
            assert!(value(text).is_err(), "{text}");
        }
        assert_eq!(value(&"(".repeat(10_000)), Err(CommandError::TooDeep));
        assert_eq!(value(&"-".repeat(10_000)), Err(CommandError::TooDeep));
    }

    #[test]
    fn two_numbers_stand_side_by_side() {
        let mut arguments = Arguments::new("0x80 (1 + 1)");
        assert_eq!(arguments.number("PORT", &registers), Ok(0x80));
        assert_eq!(arguments.number("VALUE", &registers), Ok(2));
        assert_eq!(arguments.finish(), Ok(()));
    }
}
