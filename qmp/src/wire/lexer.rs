//! Bytes to tokens.

use serde_json::Number;

/// How many bytes the tokens of one message may have together.
pub(super) const MAX_MESSAGE_SIZE: usize = 64 << 20;

/// A piece of JSON.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// `{` or `[`.
    Open(Bracket),
    /// `}` or `]`.
    Close(Bracket),
    Colon,
    Comma,
    Number(Number),
    /// A number that no double holds.
    Huge(String),
    String(String),
    /// A string whose inside is wrong, and why.
    BadString(String),
    /// `true`, `false`, `null`, or what is none of them.
    Keyword(String),
    /// Bytes that belong to no token. All that came before of the message is void.
    Stray(String),
    /// A token that is too long. All that came before of the message is void.
    TooLong,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bracket {
    Curly,
    Square,
}

/// What the bytes so far are the beginning of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    String {
        quote: u8,
        escaped: bool,
    },
    Keyword,
    /// After `-`.
    Sign,
    /// After a leading zero.
    Zero,
    Digits,
    /// After the point.
    Point,
    Fraction,
    /// After `e`.
    Exponent,
    /// After the exponent's sign.
    ExponentSign,
    ExponentDigits,
    /// After an error, until something that can begin anew.
    Recovery,
}

/// What a byte does.
enum Step {
    /// It goes on with the token.
    Take(State),
    /// It ends the token, and belongs to it.
    TakeLast,
    /// The token has ended before it.
    Before,
    /// It cannot be.
    Stray,
}

/// Splits a stream of bytes into tokens. A token may come in any number of pieces.
#[derive(Debug)]
pub(super) struct Lexer {
    state: State,
    text: Vec<u8>,
}

impl Lexer {
    pub(super) fn new() -> Self {
        Self { state: State::Start, text: Vec::new() }
    }

    /// How many bytes of an unfinished token there are.
    pub(super) fn pending(&self) -> usize {
        self.text.len()
    }

    /// Takes bytes from the front of `input` until a token is complete. A number or keyword is complete only when
    /// something else follows.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Option<Token> {
        while let Some((&byte, rest)) = input.split_first() {
            match self.step(byte) {
                Step::Take(state) => {
                    *input = rest;
                    self.state = state;
                    if !matches!(state, State::Start | State::Recovery) {
                        self.text.push(byte);
                        if self.text.len() > MAX_MESSAGE_SIZE {
                            self.recover();
                            return Some(Token::TooLong);
                        }
                    }
                }
                Step::TakeLast => {
                    *input = rest;
                    self.text.push(byte);
                    return Some(self.finish());
                }
                Step::Before => return Some(self.finish()),
                Step::Stray => {
                    *input = rest;
                    self.text.push(byte);
                    let stray = shown(&self.text);
                    self.recover();
                    return Some(Token::Stray(stray));
                }
            }
        }
        None
    }

    fn recover(&mut self) {
        self.state = State::Recovery;
        self.text = Vec::new();
    }

    fn step(&self, byte: u8) -> Step {
        use State::*;
        match (self.state, byte) {
            (Recovery, b'{' | b'}' | b'[' | b']' | b':' | b',') => Step::TakeLast,
            (Recovery, b'\t' | b'\n' | b'\r') => Step::Take(Start),
            (Recovery, 0x00..0x20 | 0xfe | 0xff) => Step::Stray,
            (Recovery, _) => Step::Take(Recovery),

            (Start, b' ' | b'\t' | b'\n' | b'\r') => Step::Take(Start),
            (Start, b'{' | b'}' | b'[' | b']' | b':' | b',') => Step::TakeLast,
            (Start, b'"' | b'\'') => Step::Take(String { quote: byte, escaped: false }),
            (Start, b'a'..=b'z') => Step::Take(Keyword),
            (Start, b'-') => Step::Take(Sign),
            (Start | Sign, b'0') => Step::Take(Zero),
            (Start | Sign, b'1'..=b'9') => Step::Take(Digits),
            (Start | Sign, _) => Step::Stray,

            // Only the escape that hides a quote matters here.
            (String { .. }, 0x00..0x20 | 0xfe | 0xff) => Step::Stray,
            (String { quote, escaped: true }, _) => Step::Take(String { quote, escaped: false }),
            (String { quote, .. }, b'\\') => Step::Take(String { quote, escaped: true }),
            (String { quote, .. }, _) if byte == quote => Step::TakeLast,
            (String { quote, .. }, _) => Step::Take(String { quote, escaped: false }),

            (Keyword, b'a'..=b'z') => Step::Take(Keyword),
            (Keyword, _) => Step::Before,

            (Zero, b'0'..=b'9') => Step::Stray,
            (Digits, b'0'..=b'9') => Step::Take(Digits),
            (Zero | Digits, b'.') => Step::Take(Point),
            (Point | Fraction, b'0'..=b'9') => Step::Take(Fraction),
            (Point, _) => Step::Stray,
            (Zero | Digits | Fraction, b'e' | b'E') => Step::Take(Exponent),
            (Exponent, b'+' | b'-') => Step::Take(ExponentSign),
            (Exponent | ExponentSign | ExponentDigits, b'0'..=b'9') => Step::Take(ExponentDigits),
            (Exponent | ExponentSign, _) => Step::Stray,
            (Zero | Digits | Fraction | ExponentDigits, _) => Step::Before,
        }
    }

    /// The token that `text` is.
    fn finish(&mut self) -> Token {
        let text = std::mem::take(&mut self.text);
        let state = std::mem::replace(&mut self.state, State::Start);
        match (state, text.as_slice()) {
            (State::String { .. }, [_, inside @ .., _]) => match unescape(inside) {
                Ok(string) => Token::String(string),
                Err(why) => Token::BadString(why),
            },
            (State::Keyword, text) => Token::Keyword(shown(text)),
            (_, b"{") => Token::Open(Bracket::Curly),
            (_, b"}") => Token::Close(Bracket::Curly),
            (_, b"[") => Token::Open(Bracket::Square),
            (_, b"]") => Token::Close(Bracket::Square),
            (_, b":") => Token::Colon,
            (_, b",") => Token::Comma,
            (_, text) => number(&String::from_utf8_lossy(text)),
        }
    }
}

/// Integers as they are if 64 bits hold them, signed or not; all else as doubles.
fn number(text: &str) -> Token {
    let integer = text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from)).ok();
    let double = || Number::from_f64(text.parse().ok()?);
    integer.or_else(double).map_or_else(|| Token::Huge(shown(text.as_bytes())), Token::Number)
}

/// Bytes for an error message, not too many of them.
fn shown(text: &[u8]) -> String {
    const ENOUGH: usize = 100;
    let mut shown = String::from_utf8_lossy(text.get(..ENOUGH).unwrap_or(text)).into_owned();
    if text.len() > ENOUGH {
        shown.push_str("...");
    }
    shown
}

/// A string's value from what stands between its quotes.
fn unescape(inside: &[u8]) -> Result<String, String> {
    let inside = std::str::from_utf8(inside).map_err(|_| "invalid UTF-8 sequence in string".to_owned())?;
    let mut string = String::with_capacity(inside.len());
    let mut rest = inside;
    while let Some(at) = rest.find('\\') {
        string.push_str(&rest[..at]);
        let mut after = rest[at + 1..].chars();
        string.push(match after.next() {
            Some(same @ ('"' | '\'' | '\\' | '/')) => same,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => unicode(&mut after)?,
            Some(_) | None => return Err("invalid escape sequence in string".into()),
        });
        rest = after.as_str();
    }
    string.push_str(rest);
    Ok(string)
}

/// The character after `\u`: four digits, or a pair of surrogates.
fn unicode(after: &mut std::str::Chars<'_>) -> Result<char, String> {
    let first = hex4(after)?;
    let mut units = vec![first];
    if (0xd800..0xdc00).contains(&first) {
        let mut ahead = after.clone();
        if let (Some('\\'), Some('u')) = (ahead.next(), ahead.next()) {
            units.push(hex4(&mut ahead)?);
            *after = ahead;
        }
    }
    match String::from_utf16(&units).ok().and_then(|character| character.chars().next()) {
        Some(character) => Ok(character),
        None => {
            let escapes: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            Err(format!("{escapes} is not a valid Unicode character"))
        }
    }
}

fn hex4(after: &mut std::str::Chars<'_>) -> Result<u16, String> {
    (0..4).try_fold(0, |unit, _| {
        let digit = after.next().and_then(|digit| digit.to_digit(16)).and_then(|digit| u16::try_from(digit).ok());
        digit.map(|digit| unit << 4 | digit).ok_or_else(|| "invalid hex escape in string".to_owned())
    })
}
