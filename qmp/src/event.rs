//! Events: what the machine tells all its clients unasked.

use crate::schema::{Qapi, Type};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// A type that is an event's data. It is made by `declare!`.
pub trait Event: Qapi + Serialize {
    /// Everything that is known about the event.
    const DECLARATION: &'static EventDeclaration;
}

/// What is known about an event.
#[derive(Debug)]
pub struct EventDeclaration {
    /// The event's name.
    pub name: &'static str,
    /// Documentation, a line each.
    pub docs: &'static [&'static str],
    /// An object type.
    pub data: fn() -> Type,
    /// How often it may be sent.
    pub limit: Limit,
}

/// How often an event may be sent. Of those that come within a second of the one sent last, the last is kept and sent when the second is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// As often as it happens.
    None,
    /// Once a second.
    Together,
    /// Once a second for each value of this member of its data.
    ForEach(&'static str),
}

/// A moment on the host's clock, since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Timestamp {
    /// Whole seconds.
    pub seconds: i64,
    /// The rest.
    pub microseconds: u32,
}

/// An event that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Occurrence {
    /// Which event.
    pub event: &'static EventDeclaration,
    /// Its data, an object.
    pub data: Map<String, Value>,
    /// When it happened.
    pub timestamp: Timestamp,
}

impl Occurrence {
    /// `event` happened at `timestamp`.
    pub fn new<E: Event>(event: &E, timestamp: Timestamp) -> Self {
        let data = match serde_json::to_value(event) {
            Ok(Value::Object(data)) => data,
            Ok(_) | Err(_) => Map::new(),
        };
        Self { event: E::DECLARATION, data, timestamp }
    }

    /// What is sent. An event without data has no `data`.
    pub fn to_value(&self) -> Value {
        let mut value = Map::new();
        value.insert("timestamp".into(), json!(self.timestamp));
        value.insert("event".into(), json!(self.event.name));
        if !self.data.is_empty() {
            value.insert("data".into(), Value::Object(self.data.clone()));
        }
        Value::Object(value)
    }
}

impl PartialEq for EventDeclaration {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
