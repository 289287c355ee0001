//! Tokens to values, one message at a time.

use super::lexer::{Bracket, Lexer, MAX_MESSAGE_SIZE, Token};
use serde_json::{Map, Value};

/// How many tokens a message may have.
const MAX_TOKENS: usize = 2 << 20;
/// How many brackets may be open at once.
const MAX_DEPTH: usize = 1024;

/// Why a message could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It is not JSON.
    #[error("JSON parse error, {0}")]
    Syntax(String),
    /// It is too long.
    #[error("JSON token size limit exceeded")]
    Size,
    /// It has too many parts.
    #[error("JSON token count limit exceeded")]
    Count,
    /// Its parts are too deep in each other.
    #[error("JSON nesting depth limit exceeded")]
    Depth,
}

/// An object or array that is not complete, and what may come next.
#[derive(Debug)]
enum Partial {
    Object { members: Map<String, Value>, key: Option<String>, next: Next },
    Array { elements: Vec<Value>, next: Next },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The first item, or the closing bracket.
    FirstOrEnd,
    /// An item.
    Item,
    /// The colon after a key.
    Colon,
    /// The value after a colon.
    Value,
    /// A comma, or the closing bracket.
    CommaOrEnd,
}

/// Reads messages from a stream of bytes.
#[derive(Debug)]
pub struct Parser {
    lexer: Lexer,
    /// The brackets that are open.
    open: Vec<Bracket>,
    /// What is in them; empty once the message has failed.
    partials: Vec<Partial>,
    /// The message's first error. What follows of it is passed over.
    failed: Option<ParseError>,
    size: usize,
    tokens: usize,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// A parser at the beginning of a stream.
    pub fn new() -> Self {
        Self { lexer: Lexer::new(), open: Vec::new(), partials: Vec::new(), failed: None, size: 0, tokens: 0 }
    }

    /// Takes bytes from the front of `input` until a message is complete or has failed. `None` when all are taken.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Result<Value, ParseError>> {
        loop {
            let before = input.len() + self.lexer.pending();
            let token = self.lexer.next(input)?;
            let size = before.saturating_sub(input.len());
            if let Some(message) = self.token(token, size) {
                (self.size, self.tokens) = (0, 0);
                self.open = Vec::new();
                self.partials = Vec::new();
                self.failed = None;
                return Some(message);
            }
        }
    }

    fn token(&mut self, token: Token, size: usize) -> Option<Result<Value, ParseError>> {
        self.size = self.size.saturating_add(size);
        self.tokens += 1;
        match &token {
            Token::Stray(text) => return Some(Err(ParseError::Syntax(format!("stray '{text}'")))),
            Token::TooLong => return Some(Err(ParseError::Size)),
            _ if self.size > MAX_MESSAGE_SIZE => return Some(Err(ParseError::Size)),
            _ if self.tokens > MAX_TOKENS => return Some(Err(ParseError::Count)),
            Token::Open(_) if self.open.len() >= MAX_DEPTH => return Some(Err(ParseError::Depth)),
            Token::Open(bracket) => self.open.push(*bracket),
            // Nothing that follows could set this right.
            Token::Close(bracket) if self.open.pop() != Some(*bracket) => {
                return Some(Err(self.failed.take().unwrap_or_else(|| syntax("expecting value"))));
            }
            Token::Close(_)
            | Token::Colon
            | Token::Comma
            | Token::Number(_)
            | Token::Huge(_)
            | Token::String(_)
            | Token::BadString(_)
            | Token::Keyword(_) => {}
        }
        let mut whole = None;
        if self.failed.is_none() {
            match self.build(token) {
                Ok(value) => whole = value,
                Err(error) => {
                    self.partials = Vec::new();
                    self.failed = Some(error);
                }
            }
        }
        if !self.open.is_empty() {
            return None;
        }
        self.failed.take().map(Err).or(whole.map(Ok))
    }

    /// Adds a token to what there is, and gives the message's value if that completes it.
    fn build(&mut self, token: Token) -> Result<Option<Value>, ParseError> {
        let value = match token {
            Token::Open(bracket) => {
                self.expect_value()?;
                self.partials.push(match bracket {
                    Bracket::Curly => Partial::Object { members: Map::new(), key: None, next: Next::FirstOrEnd },
                    Bracket::Square => Partial::Array { elements: Vec::new(), next: Next::FirstOrEnd },
                });
                return Ok(None);
            }
            Token::Close(_) => self.close()?,
            Token::Colon => return self.colon().map(|()| None),
            Token::Comma => return self.comma().map(|()| None),
            Token::String(string) => {
                if let Some(Partial::Object { members, key, next: next @ (Next::FirstOrEnd | Next::Item) }) =
                    self.partials.last_mut()
                {
                    if members.contains_key(&string) {
                        return Err(syntax("duplicate key"));
                    }
                    (*key, *next) = (Some(string), Next::Colon);
                    return Ok(None);
                }
                Value::String(string)
            }
            Token::BadString(why) => return Err(syntax(why)),
            Token::Number(number) => Value::Number(number),
            Token::Huge(text) => return Err(syntax(format!("number {text} is out of range"))),
            Token::Keyword(word) => match word.as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                "null" => Value::Null,
                _ => return Err(syntax(format!("invalid keyword '{word}'"))),
            },
            Token::Stray(_) | Token::TooLong => return Ok(None),
        };
        self.put(value)
    }

    /// Whether a value may stand here, and why not.
    fn expect_value(&self) -> Result<(), ParseError> {
        match self.partials.last() {
            None => Ok(()),
            Some(Partial::Object { next, .. }) => match next {
                Next::Value => Ok(()),
                Next::FirstOrEnd | Next::Item => Err(syntax("key is not a string in object")),
                Next::Colon => Err(syntax("missing : in object pair")),
                Next::CommaOrEnd => Err(syntax("expected separator in dict")),
            },
            Some(Partial::Array { next, .. }) => match next {
                Next::FirstOrEnd | Next::Item => Ok(()),
                Next::Colon | Next::Value | Next::CommaOrEnd => Err(syntax("expected separator in list")),
            },
        }
    }

    fn put(&mut self, value: Value) -> Result<Option<Value>, ParseError> {
        self.expect_value()?;
        match self.partials.last_mut() {
            None => return Ok(Some(value)),
            Some(Partial::Object { members, key, next }) => {
                members.insert(key.take().unwrap_or_default(), value);
                *next = Next::CommaOrEnd;
            }
            Some(Partial::Array { elements, next }) => {
                elements.push(value);
                *next = Next::CommaOrEnd;
            }
        }
        Ok(None)
    }

    fn close(&mut self) -> Result<Value, ParseError> {
        match self.partials.pop() {
            Some(Partial::Object { members, next: Next::FirstOrEnd | Next::CommaOrEnd, .. }) => {
                Ok(Value::Object(members))
            }
            Some(Partial::Array { elements, next: Next::FirstOrEnd | Next::CommaOrEnd }) => Ok(Value::Array(elements)),
            Some(Partial::Object { next: Next::Colon, .. }) => Err(syntax("missing : in object pair")),
            Some(Partial::Object { .. } | Partial::Array { .. }) | None => Err(syntax("expecting value")),
        }
    }

    fn colon(&mut self) -> Result<(), ParseError> {
        match self.partials.last_mut() {
            Some(Partial::Object { next: next @ Next::Colon, .. }) => {
                *next = Next::Value;
                Ok(())
            }
            Some(Partial::Object { next: Next::CommaOrEnd, .. }) => Err(syntax("expected separator in dict")),
            Some(Partial::Array { next: Next::CommaOrEnd, .. }) => Err(syntax("expected separator in list")),
            Some(Partial::Object { .. } | Partial::Array { .. }) | None => Err(syntax("expecting value")),
        }
    }

    fn comma(&mut self) -> Result<(), ParseError> {
        match self.partials.last_mut() {
            Some(
                Partial::Object { next: next @ Next::CommaOrEnd, .. }
                | Partial::Array { next: next @ Next::CommaOrEnd, .. },
            ) => {
                *next = Next::Item;
                Ok(())
            }
            Some(Partial::Object { next: Next::Colon, .. }) => Err(syntax("missing : in object pair")),
            Some(Partial::Object { .. } | Partial::Array { .. }) | None => Err(syntax("expecting value")),
        }
    }
}

fn syntax(why: impl Into<String>) -> ParseError {
    ParseError::Syntax(why.into())
}

#[cfg(test)]
mod tests;
