//! What a client's message asks for.

use crate::error::Error;
use serde_json::{Map, Value};

/// A message that makes sense, though there may be no such command.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) command: String,
    pub(super) arguments: Map<String, Value>,
    pub(super) out_of_band: bool,
}

impl Wish {
    /// Whether a message is to overtake those that wait.
    pub(super) fn is_out_of_band(members: &Map<String, Value>) -> bool {
        members.contains_key("exec-oob") && !members.contains_key("execute")
    }

    /// Reads a message. Its id is known even if it makes no sense.
    pub(super) fn read(message: Value, allow_out_of_band: bool) -> (Option<Value>, Result<Self, Error>) {
        match message {
            Value::Object(mut members) => (members.remove("id"), Self::of_members(members, allow_out_of_band)),
            _ => (None, Err(Error::new("QMP input must be a JSON object"))),
        }
    }

    fn of_members(members: Map<String, Value>, allow_out_of_band: bool) -> Result<Self, Error> {
        let mut command: Option<(String, String)> = None;
        let mut arguments = Map::new();
        for (name, value) in members {
            match (name.as_str(), value) {
                ("execute", value) => command = Some(Self::command(command, name, value)?),
                ("exec-oob", value) if allow_out_of_band => command = Some(Self::command(command, name, value)?),
                ("arguments", Value::Object(members)) => arguments = members,
                ("arguments", _) => return Err(Error::new("QMP input member 'arguments' must be an object")),
                _ => return Err(Error::new(format!("QMP input member '{name}' is unexpected"))),
            }
        }
        match command {
            Some((way, command)) => Ok(Self { command, arguments, out_of_band: way == "exec-oob" }),
            None => Err(Error::new("QMP input lacks member 'execute'")),
        }
    }

    fn command(other: Option<(String, String)>, way: String, value: Value) -> Result<(String, String), Error> {
        if let Some((other, _)) = other {
            return Err(Error::new(format!("QMP input member '{way}' clashes with '{other}'")));
        }
        match value {
            Value::String(command) => Ok((way, command)),
            _ => Err(Error::new(format!("QMP input member '{way}' must be a string"))),
        }
    }
}
