//! Command arguments: flags, words, texts in quotes, and numbers that may be calculated.
//!
//! Operators bind as in QEMU's monitor: `*` `/` `%` before `&` `|` `^` before `+` `-`. All is 64-bit and wraps.

use super::error::CommandError;

/// Parentheses and signs that may be open at once.
const DEEPEST: usize = 64;

/// What is missing where a word should stand, as QEMU says it.
pub(super) const STRING: &str = "string";
/// The same of a drive's name.
pub(super) const DRIVE: &str = "block device name";
/// The same of a file's name.
pub(super) const FILE: &str = "filename";

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

    /// The next word, or what stands in quotes, with `\n`, `\r`, `\\`, `\'` and `\"` in it.
    pub(crate) fn text(&mut self) -> Result<Option<String>, CommandError> {
        let Some(quoted) = self.rest.strip_prefix('"') else { return Ok(self.word().map(str::to_owned)) };
        let mut text = String::new();
        let mut left = quoted.chars();
        while let Some(c) = left.next() {
            text.push(match c {
                '"' => {
                    self.rest = left.as_str().trim_start();
                    return Ok(Some(text));
                }
                '\\' => match left.next().ok_or(CommandError::Unterminated)? {
                    'n' => '\n',
                    'r' => '\r',
                    same @ ('\\' | '\'' | '"') => same,
                    other => return Err(CommandError::Escape(other)),
                },
                other => other,
            });
        }
        Err(CommandError::Unterminated)
    }

    /// The same, which must be there.
    pub(crate) fn expect_text(&mut self, what: &'static str) -> Result<String, CommandError> {
        self.text()?.ok_or(CommandError::Missing(what))
    }

    /// The flags that come next, as in `-n -v`; only these letters are known.
    pub(crate) fn flags(&mut self, known: &str) -> Result<String, CommandError> {
        let mut flags = String::new();
        while let Some(letter) = self.rest.strip_prefix('-').and_then(|rest| rest.chars().next()) {
            let word = self.word().unwrap_or_default();
            let wrong = word[1..].chars().find(|letter| !known.contains(*letter));
            if let Some(wrong) = wrong.or_else(|| letter.is_whitespace().then_some(letter)) {
                return Err(CommandError::Flag(wrong));
            }
            flags.push_str(&word[1..]);
        }
        Ok(flags)
    }

    /// The next word as a switch, which must be there.
    pub(crate) fn switch(&mut self) -> Result<bool, CommandError> {
        match self.expect_word(STRING)? {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(CommandError::NoSwitch),
        }
    }

    /// The word after a slash, if one comes next.
    pub(crate) fn format(&mut self) -> Option<&'a str> {
        self.rest = self.rest.strip_prefix('/')?;
        Some(self.word().unwrap_or_default())
    }

    /// The next number without registers in it, if there is one.
    pub(crate) fn plain_number(&mut self) -> Result<Option<u64>, CommandError> {
        if self.rest.is_empty() { Ok(None) } else { self.number(&|_| None).map(Some) }
    }

    /// Checks that nothing is left.
    pub(crate) fn finish(&self) -> Result<(), CommandError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CommandError::Extraneous) }
    }

    /// The next number, calculated.
    pub(crate) fn number(&mut self, names: Names<'_>) -> Result<u64, CommandError> {
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
                    return Err(CommandError::Open);
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
            return Err(CommandError::NoCharacter);
        };
        self.rest = left.as_str();
        Ok(u32::from(c).into())
    }

    fn name(&mut self) -> Result<u64, CommandError> {
        let name = self.take_while(1, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
        (self.names)(&name[1..]).ok_or(CommandError::UnknownRegister)
    }

    fn literal(&mut self) -> Result<u64, CommandError> {
        let text = self.take_while(0, |c| c.is_ascii_alphanumeric() || c == '_');
        let (digits, base) = if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            (digits, 16)
        } else if text.len() > 1 && text.starts_with('0') {
            (&text[1..], 8)
        } else {
            (text, 10)
        };
        // What is wrong: a letter in the number, or what stands in its place.
        let wrong = digits.chars().find(|c| !c.is_digit(base));
        match (wrong, digits.is_empty()) {
            (Some(wrong), _) => Err(CommandError::NotInNumbers(wrong)),
            (None, true) => Err(self.rest.chars().next().map_or(CommandError::NoNumber, CommandError::NotInNumbers)),
            (None, false) => u64::from_str_radix(digits, base).map_err(|_| CommandError::TooLarge),
        }
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
        let value = arguments.number(&registers)?;
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
        assert_eq!(value("$foo"), Err(CommandError::UnknownRegister));
        assert_eq!(value("$"), Err(CommandError::UnknownRegister));
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
        assert_eq!(arguments.number(&registers), Ok(0x80));
        assert_eq!(arguments.number(&registers), Ok(2));
        assert_eq!(arguments.finish(), Ok(()));
    }

    #[test]
    fn what_is_wrong_with_a_number_is_said_as_qemu_says_it() {
        for (text, why) in [
            ("", CommandError::NoNumber),
            ("1 +", CommandError::NoNumber),
            ("zero", CommandError::NotInNumbers('z')),
            ("0x", CommandError::NoNumber),
            ("09", CommandError::NotInNumbers('9')),
            ("1 + \"", CommandError::NotInNumbers('"')),
            ("(1", CommandError::Open),
            ("1 2", CommandError::Extraneous),
            ("18446744073709551616", CommandError::TooLarge),
        ] {
            assert_eq!(value(text), Err(why), "{text}");
        }
    }

    #[test]
    fn texts_may_stand_in_quotes() {
        let mut arguments = Arguments::new(r#"plain "two words" "a\"b\\\n" "" last"#);
        let mut next = || arguments.text();
        for text in ["plain", "two words", "a\"b\\\n", "", "last"] {
            assert_eq!(next(), Ok(Some(text.to_owned())));
        }
        assert_eq!(next(), Ok(None));
        assert_eq!(Arguments::new("\"a").text(), Err(CommandError::Unterminated));
        assert_eq!(Arguments::new("\"a\\").text(), Err(CommandError::Unterminated));
        assert_eq!(Arguments::new("\"\\q\"").text(), Err(CommandError::Escape('q')));
    }

    #[test]
    fn flags_come_before_words_and_only_the_known_ones() {
        let mut arguments = Arguments::new("-n -v drive -n");
        assert_eq!(arguments.flags("nv"), Ok("nv".to_owned()));
        assert_eq!(arguments.word(), Some("drive"));
        assert_eq!(Arguments::new("-x").flags("nv"), Err(CommandError::Flag('x')));
        assert_eq!(Arguments::new("- x").flags("nv"), Err(CommandError::Flag(' ')));
        assert_eq!(Arguments::new("-").flags("nv"), Ok(String::new()), "no flag at all");
    }
}
