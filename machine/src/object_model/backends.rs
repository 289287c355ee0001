//! Objects that users make: threads, memory backends, sources of randomness, secrets, groups of throttled drives.
//!
//! One thread runs everything here, no guest memory is taken from a backend before something uses it, and randomness comes
//! from the seed; so an object is its settings, checked as if there were more behind it.

use super::property::Property;
use crate::block::limits::{self, NAMES, PROPERTIES};
use crate::commandline::THROTTLE_GROUP;
use crate::host_file;
use lockstep_fabric::ThrottleLimits;
use lockstep_qmp::Error;
use rustix::fs::OFlags;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;

type Answer<T> = Result<T, Error>;
type Values = BTreeMap<&'static str, Value>;

/// A kind of object.
#[derive(Debug)]
pub struct Kind {
    /// The name of its type.
    pub ty: &'static str,
    /// The type that it is a kind of.
    pub(super) parent: &'static str,
    fields: &'static [&'static [Field]],
    /// What is to be looked at once every setting is known.
    complete: fn(&mut Values) -> Answer<()>,
}

/// A setting of an object.
#[derive(Clone, Copy, Debug)]
struct Field {
    name: &'static str,
    takes: Takes,
    about: &'static str,
    usually: Usually,
    /// It can be set while the object is there.
    live: bool,
}

/// What a setting is without being set.
#[derive(Clone, Copy, Debug)]
enum Usually {
    Number(i64),
    Switch(bool),
    Text(&'static str),
    NoNumbers,
    /// It is always set.
    Required,
    /// Nothing, or what the object makes of the others.
    Absent,
}

/// The values of a setting.
#[derive(Clone, Copy, Debug)]
enum Takes {
    /// A number that is not negative.
    Number,
    /// A number of bytes, at least one.
    Size,
    Switch,
    Text,
    /// One of these words, which are the values of an enumeration.
    Word(&'static str, &'static [&'static str]),
    /// Numbers of 16 bits.
    Numbers,
    /// What a group of drives may do.
    Limits,
    /// It tells and is not set.
    Nothing,
}

const fn field(name: &'static str, takes: Takes, usually: Usually, about: &'static str) -> Field {
    Field { name, takes, about, usually, live: false }
}

const fn live(name: &'static str, takes: Takes, usually: Usually, about: &'static str) -> Field {
    Field { name, takes, about, usually, live: true }
}

const POLICIES: &[&str] = &["default", "preferred", "bind", "interleave"];

#[rustfmt::skip]
const MEMORY: &[Field] = &[
    field("size", Takes::Size, Usually::Required, "Size of the memory region (ex: 500M)"),
    live("merge", Takes::Switch, Usually::Switch(false), "Mark memory as mergeable"),
    live("dump", Takes::Switch, Usually::Switch(true), "Set to 'off' to exclude from core dump"),
    live("prealloc", Takes::Switch, Usually::Switch(false), "Preallocate memory"),
    field("prealloc-threads", Takes::Size, Usually::Number(1), "Number of CPU threads to use for prealloc"),
    field("reserve", Takes::Switch, Usually::Switch(true), "Reserve swap space (or huge pages) if applicable"),
    field("host-nodes", Takes::Numbers, Usually::NoNumbers, "Binds memory to the list of NUMA host nodes"),
    field("policy", Takes::Word("HostMemPolicy", POLICIES), Usually::Text("default"), "Set the NUMA policy"),
];
const SHARED: &str = "Mark the memory as private or shared";
const PRIVATE_MEMORY: &[Field] = &[field("share", Takes::Switch, Usually::Switch(false), SHARED)];
const MEMFD: &[Field] = &[
    field("share", Takes::Switch, Usually::Switch(true), SHARED),
    field("seal", Takes::Switch, Usually::Switch(true), "Seal growing & shrinking"),
];
#[rustfmt::skip]
const MEMORY_FILE: &[Field] = &[
    field("mem-path", Takes::Text, Usually::Required, "The file, or the folder for one that is gone at the end"),
    field("align", Takes::Number, Usually::Number(0), "Where in the host's memory it may lie"),
    field("readonly", Takes::Switch, Usually::Switch(false), "The file is not written"),
];

const POLL: Takes = Takes::Number;
#[rustfmt::skip]
const IOTHREAD: &[Field] = &[
    live("poll-max-ns", POLL, Usually::Number(32768), "For how many nanoseconds it polls at most"),
    live("poll-grow", POLL, Usually::Number(0), "By how much it polls longer when that pays; 0 means doubling"),
    live("poll-shrink", POLL, Usually::Number(0), "By how much it polls shorter when it does not; 0 means not at all"),
    live("aio-max-batch", POLL, Usually::Number(0), "How many requests it takes at once; 0 means as many as it likes"),
    live("thread-pool-min", POLL, Usually::Number(0), "Threads that are kept"),
    live("thread-pool-max", POLL, Usually::Number(64), "Threads at most"),
];

const RNG: &[Field] = &[field("opened", Takes::Nothing, Usually::Switch(true), "It is in use")];
const RNG_RANDOM: &[Field] =
    &[field("filename", Takes::Text, Usually::Text("/dev/urandom"), "Where randomness would come from without a seed")];

const FORMATS: &[&str] = &["raw", "base64"];
#[rustfmt::skip]
const SECRET: &[Field] = &[
    field("data", Takes::Text, Usually::Absent, "The secret itself"),
    field("file", Takes::Text, Usually::Absent, "The file that it is in"),
    field("format", Takes::Word("QCryptoSecretFormat", FORMATS), Usually::Text("raw"), "How it is written"),
    field("keyid", Takes::Text, Usually::Absent, "The secret that it is encrypted with"),
    field("iv", Takes::Text, Usually::Absent, "The initialization vector of its encryption"),
    field("loaded", Takes::Nothing, Usually::Switch(true), "It is known"),
];

const THROTTLE: &[Field] = &{
    let mut fields = [live("limits", Takes::Limits, Usually::Absent, "What the group may do"); NAMES.len() + 1];
    let mut at = 0;
    while at < NAMES.len() {
        fields[at + 1] = field(PROPERTIES[at], Takes::Number, Usually::Absent, "A member of limits");
        at += 1;
    }
    fields
};

/// Every kind of object.
#[rustfmt::skip]
pub const KINDS: &[Kind] = &[
    Kind { ty: "iothread", parent: "object", fields: &[IOTHREAD], complete: |_| Ok(()) },
    Kind { ty: "memory-backend-ram", parent: "memory-backend", fields: &[MEMORY, PRIVATE_MEMORY], complete: memory },
    Kind { ty: "memory-backend-file", parent: "memory-backend", fields: &[MEMORY, PRIVATE_MEMORY, MEMORY_FILE], complete: memory_file },
    Kind { ty: "memory-backend-memfd", parent: "memory-backend", fields: &[MEMORY, MEMFD], complete: memory },
    Kind { ty: "rng-random", parent: "rng-backend", fields: &[RNG, RNG_RANDOM], complete: rng_random },
    Kind { ty: "rng-builtin", parent: "rng-backend", fields: &[RNG], complete: |_| Ok(()) },
    Kind { ty: "secret", parent: "secret_common", fields: &[SECRET], complete: secret },
    Kind { ty: THROTTLE_GROUP, parent: "object", fields: &[THROTTLE], complete: throttle },
];

impl Kind {
    fn find(ty: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.ty == ty)
    }

    fn fields(&self) -> impl Iterator<Item = &'static Field> + use<> {
        self.fields.iter().copied().flatten()
    }

    /// What its objects have.
    pub(super) fn properties(&self) -> Vec<Property> {
        self.fields().map(|field| Property::new(field.name, field.takes.type_name()).about(field.about)).collect()
    }
}

impl Takes {
    fn type_name(self) -> &'static str {
        match self {
            Self::Number | Self::Size | Self::Numbers => "int",
            Self::Switch | Self::Nothing => "bool",
            Self::Text => "string",
            Self::Word(ty, _) => ty,
            Self::Limits => "ThrottleLimits",
        }
    }

    /// What a text of the command line means.
    fn read(self, name: &str, value: &Value) -> Answer<Value> {
        let Value::String(text) = value else { return Ok(value.clone()) };
        match self {
            Self::Number | Self::Size => {
                let number = crate::commandline::size(text, 1);
                number.map(Value::from).ok_or_else(|| Error::expects(name, "a number"))
            }
            Self::Switch => {
                let on = lockstep_devices::properties::switch(text);
                on.map(Value::from).ok_or_else(|| Error::expects(name, "'on' or 'off'"))
            }
            Self::Numbers => {
                let number = text.parse::<u16>().map_err(|_| Error::expects(name, "uint16"))?;
                Ok(json!([number]))
            }
            Self::Text | Self::Word(..) | Self::Limits | Self::Nothing => Ok(value.clone()),
        }
    }

    /// Checks a value that a client gives.
    fn check(self, name: &str, value: &Value) -> Answer<()> {
        let mistyped = |expected| Err(Error::mistyped(name, expected));
        match (self, value) {
            (Self::Number, Value::Number(_)) if value.as_i64().is_some_and(|n| n >= 0) => Ok(()),
            (Self::Number, Value::Number(number)) if !number.is_f64() => {
                Err(Error::new(format!("{name} value must be in range [0, {}]", i64::MAX)))
            }
            (Self::Size, Value::Number(_)) if value.as_u64().is_some() => Ok(()),
            (Self::Size, Value::Number(number)) if !number.is_f64() => Err(Error::expects(name, "uint64")),
            (Self::Number | Self::Size, _) => mistyped("integer"),
            (Self::Switch, Value::Bool(_)) | (Self::Text, Value::String(_)) => Ok(()),
            (Self::Switch, _) => mistyped("boolean"),
            (Self::Text, _) => mistyped("string"),
            (Self::Word(_, words), Value::String(word)) if words.contains(&word.as_str()) => Ok(()),
            (Self::Word(..), Value::String(word)) => Err(Error::not_accepted(name, word)),
            (Self::Word(..), _) => mistyped("string"),
            (Self::Numbers, Value::Array(numbers)) => {
                let small = |n: &Value| n.as_u64().is_some_and(|n| u16::try_from(n).is_ok());
                if numbers.iter().all(small) { Ok(()) } else { Err(Error::expects(name, "uint16")) }
            }
            (Self::Numbers, _) => mistyped("array"),
            (Self::Limits, Value::Object(members)) => members.iter().try_for_each(|(member, value)| {
                let known = NAMES.contains(&member.as_str());
                if known {
                    Self::Number.check(&format!("{name}.{member}"), value)
                } else {
                    Err(Error::unexpected(&format!("{name}.{member}")))
                }
            }),
            (Self::Limits, _) => mistyped("object"),
            (Self::Nothing, _) => Err(Error::unexpected(name)),
        }
    }
}

impl Usually {
    fn value(self) -> Option<Value> {
        match self {
            Self::Number(number) => Some(json!(number)),
            Self::Switch(on) => Some(json!(on)),
            Self::Text(text) => Some(json!(text)),
            Self::NoNumbers => Some(json!([])),
            Self::Required | Self::Absent => None,
        }
    }
}

/// An object that a user made.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Its name.
    pub id: String,
    /// What it is.
    pub kind: &'static Kind,
    values: Values,
}

impl Backend {
    fn new(kind: &'static Kind, id: &str, mut given: Map<String, Value>) -> Answer<Self> {
        let mut values = Values::new();
        for field in kind.fields() {
            let value = match given.remove(field.name) {
                Some(value) => {
                    field.takes.check(field.name, &value)?;
                    Some(value)
                }
                None => field.usually.value(),
            };
            match (value, field.usually) {
                (Some(value), _) => drop(values.insert(field.name, value)),
                (None, Usually::Required) => return Err(Error::missing(field.name)),
                (None, _) => {}
            }
        }
        if let Some(name) = given.keys().next() {
            return Err(Error::unexpected(name));
        }
        for (name, value) in &values {
            if value == &json!(0) && kind.fields().any(|f| f.name == *name && matches!(f.takes, Takes::Size)) {
                return Err(Error::new(format!("property '{name}' of {} doesn't take value '0'", kind.ty)));
            }
        }
        (kind.complete)(&mut values)?;
        Ok(Self { id: id.to_owned(), kind, values })
    }

    /// A setting's value; of a text that is not set, nothing is left empty.
    pub fn value(&self, name: &str) -> Option<Value> {
        let field = self.kind.fields().find(|field| field.name == name)?;
        Some(self.values.get(name).cloned().unwrap_or_else(|| json!(""))).map(|value| {
            if let (Takes::Number, Value::String(_)) = (field.takes, &value) { self.limit(name) } else { value }
        })
    }

    /// The old name of one of the limits.
    fn limit(&self, name: &str) -> Value {
        let member = name.strip_prefix("x-").unwrap_or(name);
        self.values.get("limits").and_then(|limits| limits.get(member)).cloned().unwrap_or_else(|| json!(0))
    }

    /// A number among its settings.
    pub fn number(&self, name: &str) -> i64 {
        self.value(name).and_then(|value| value.as_i64()).unwrap_or_default()
    }

    /// A switch among its settings.
    pub fn switch(&self, name: &str) -> bool {
        self.value(name).and_then(|value| value.as_bool()).unwrap_or_default()
    }

    /// What the drives of a group may do, if it is one.
    pub fn throttle_limits(&self) -> Option<ThrottleLimits> {
        let told = (self.kind.ty == THROTTLE_GROUP).then(|| self.values.get("limits")).flatten()?;
        let mut all = ThrottleLimits::default();
        for name in NAMES {
            if let (Some(limit), Some(value)) = (limits::member(&mut all, name), told.get(name).and_then(Value::as_u64))
            {
                *limit = value;
            }
        }
        Some(all)
    }

    /// The same, set by someone else.
    pub fn set_throttle_limits(&mut self, mut limits: ThrottleLimits) {
        if self.kind.ty == THROTTLE_GROUP {
            let told = NAMES.map(|name| (name.to_owned(), json!(limits::member(&mut limits, name))));
            self.values.insert("limits", Value::Object(Map::from_iter(told)));
        }
    }

    /// Changes a setting.
    ///
    /// # Errors
    /// It has no such setting, it is of another type, or it stays as it was made.
    pub fn set(&mut self, name: &str, value: &Value) -> Answer<()> {
        let ty = self.kind.ty;
        let field = self.kind.fields().find(|field| field.name == name);
        let field = field.ok_or_else(|| Error::new(format!("Property '{ty}.{name}' not found")))?;
        if matches!(field.takes, Takes::Nothing) {
            return Err(Error::new(format!("Property '{ty}.{name}' is not writable")));
        }
        field.takes.check(name, value)?;
        if !field.live {
            return Err(Error::new(format!("cannot change property '{name}' of {ty}")));
        }
        let mut values = self.values.clone();
        values.insert(field.name, value.clone());
        if matches!(field.takes, Takes::Limits) {
            (self.kind.complete)(&mut values)?;
        }
        self.values = values;
        Ok(())
    }
}

/// What a memory backend has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Store {
    /// Bytes.
    pub bytes: u64,
    /// It is a file, with whatever that holds.
    pub is_file: bool,
}

/// Whether a memory backend's path means a file; a folder is for one that is made anew, and nothing for none.
pub fn is_file(path: &str) -> bool {
    !path.is_empty() && !Path::new(path).is_dir()
}

/// The objects that users made, in that order.
#[derive(Clone, Debug, Default)]
pub struct Objects(Vec<Backend>);

impl Objects {
    /// Makes an object.
    ///
    /// # Errors
    /// There is no such type, the name is none or taken, or a setting is wrong.
    pub fn add(&mut self, ty: &str, id: &str, given: Map<String, Value>) -> Answer<()> {
        let kind = Kind::find(ty).ok_or_else(|| Error::not_accepted("qom-type", ty))?;
        if !is_identifier(id) {
            return Err(Error::expects("id", "an identifier"));
        }
        let made = Backend::new(kind, id, given)?;
        if self.find(id).is_some() {
            return Err(Error::new(format!("attempt to add duplicate property '{id}' to object (type 'container')")));
        }
        self.0.push(made);
        Ok(())
    }

    /// Makes an object of the command line: a text stands for what its setting takes.
    ///
    /// # Errors
    /// As [`Objects::add`]; or a text that is none of what the setting takes.
    pub fn add_typed(&mut self, ty: &str, id: &str, given: &Map<String, Value>) -> Answer<()> {
        let kind = Kind::find(ty).ok_or_else(|| Error::not_accepted("qom-type", ty))?;
        let typed = given.iter().map(|(name, value)| {
            let field = kind.fields().find(|field| field.name == name);
            Ok((name.clone(), field.map_or_else(|| Ok(value.clone()), |field| field.takes.read(name, value))?))
        });
        self.add(ty, id, typed.collect::<Answer<_>>()?)
    }

    /// Removes an object; false if there is none of this name.
    pub fn remove(&mut self, id: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|object| object.id != id);
        self.0.len() < before
    }

    /// The objects.
    pub fn iter(&self) -> impl Iterator<Item = &Backend> {
        self.0.iter()
    }

    /// The memory backends, by name.
    pub fn memory(&self) -> BTreeMap<String, Store> {
        let backends = self.0.iter().filter(|object| object.kind.parent == "memory-backend");
        let store = |object: &Backend| {
            let path = object.value("mem-path").unwrap_or_default();
            Store { bytes: object.number("size").cast_unsigned(), is_file: is_file(path.as_str().unwrap_or_default()) }
        };
        backends.map(|object| (object.id.clone(), store(object))).collect()
    }

    /// The object of this name.
    pub fn find(&self, id: &str) -> Option<&Backend> {
        self.0.iter().find(|object| object.id == id)
    }

    /// The same, to be changed.
    pub fn find_mut(&mut self, id: &str) -> Option<&mut Backend> {
        self.0.iter_mut().find(|object| object.id == id)
    }
}

/// Whether a text can be the name of an object or a device.
pub fn is_identifier(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || "-._".contains(letter))
}

fn words(why: &io::Error) -> String {
    crate::chardev::host_words(why)
}

fn memory(values: &mut Values) -> Answer<()> {
    let is_default = values.get("policy") == Some(&json!("default"));
    let nodes = values.get("host-nodes").and_then(Value::as_array).is_some_and(|nodes| !nodes.is_empty());
    match (is_default, nodes) {
        (true, true) => Err(Error::new(
            "host-nodes must be empty for policy default, or you should explicitly specify a policy other than default",
        )),
        (false, false) => Err(Error::new("host-nodes must be set for policy other than default")),
        (true, false) | (false, true) => Ok(()),
    }
}

/// The file is made, and made long enough, so that what is wrong with it is known now.
fn memory_file(values: &mut Values) -> Answer<()> {
    memory(values)?;
    let path = values.get("mem-path").and_then(Value::as_str).unwrap_or_default().to_owned();
    let size = values.get("size").and_then(Value::as_u64).unwrap_or_default();
    let read_only = values.get("readonly") == Some(&json!(true));
    if Path::new(&path).is_dir() {
        return Ok(());
    }
    let told = |why: io::Error| Error::new(format!("can't open backing store {path} for guest RAM: {}", words(&why)));
    let file = OpenOptions::new().read(true).write(!read_only).create(!read_only).truncate(false).open(&path);
    let file = file.map_err(told)?;
    let there = file.metadata().map_err(told)?.len();
    match there {
        0 if !read_only => file.set_len(size).map_err(told),
        _ if there < size => {
            Err(Error::new(format!("backing store size {there:#x} does not match 'size' option {size:#x}")))
        }
        _ => Ok(()),
    }
}

fn rng_random(values: &mut Values) -> Answer<()> {
    let path = values.get("filename").and_then(Value::as_str).unwrap_or_default();
    let opened = host_file::open(Path::new(path), OFlags::RDONLY | OFlags::NONBLOCK);
    opened.map(drop).map_err(|why| Error::new(format!("Could not open '{path}': {}", words(&why))))
}

fn secret(values: &mut Values) -> Answer<()> {
    if values.contains_key("keyid") || values.contains_key("iv") {
        return Err(Error::new("Encrypted secrets are not built in this version of Lockstep"));
    }
    let loaded = match (values.get("data").and_then(Value::as_str), values.get("file").and_then(Value::as_str)) {
        (Some(_), Some(_)) => return Err(Error::new("'file' and 'data' are mutually exclusive")),
        (None, None) => return Err(Error::new("Either 'file' or 'data' must be provided")),
        (Some(data), None) => data.as_bytes().to_vec(),
        (None, Some(path)) => {
            std::fs::read(path).map_err(|why| Error::new(format!("Unable to read {path}: {}", words(&why))))?
        }
    };
    let of_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=\r\n".contains(byte);
    if values.get("format") == Some(&json!("base64")) && !loaded.iter().all(of_base64) {
        return Err(Error::new(format!("Base64 data '{}' is not valid", String::from_utf8_lossy(&loaded))));
    }
    Ok(())
}

/// Brings all limits together and checks them.
fn throttle(values: &mut Values) -> Answer<()> {
    let given = values.get("limits").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut all = ThrottleLimits::default();
    let mut told = Map::new();
    for (name, property) in NAMES.into_iter().zip(PROPERTIES) {
        let old = values.remove(property);
        let Some(limit) = limits::member(&mut all, name) else { continue };
        *limit = given.get(name).or(old.as_ref()).and_then(Value::as_u64).unwrap_or(*limit);
        told.insert(name.to_owned(), json!(*limit));
    }
    limits::check(&all).map_err(|why| Error::new(why.to_string()))?;
    values.insert("limits", Value::Object(told));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(objects: &mut Objects, ty: &str, id: &str, given: Value) -> Result<(), String> {
        let Value::Object(given) = given else { panic!("settings are an object") };
        objects.add(ty, id, given).map_err(|why| why.desc)
    }

    #[test]
    fn what_is_wrong_with_an_object_is_said_in_qemus_words() {
        for (ty, given, why) in [
            ("nope", json!({}), "Parameter 'qom-type' does not accept value 'nope'"),
            ("iothread", json!({ "nope": 1 }), "Parameter 'nope' is unexpected"),
            ("iothread", json!({ "poll-max-ns": "1" }), "Invalid parameter type for 'poll-max-ns', expected: integer"),
            ("iothread", json!({ "poll-max-ns": -1 }), "poll-max-ns value must be in range [0, 9223372036854775807]"),
            ("memory-backend-ram", json!({}), "Parameter 'size' is missing"),
            (
                "memory-backend-ram",
                json!({ "size": 0 }),
                "property 'size' of memory-backend-ram doesn't take value '0'",
            ),
            ("memory-backend-ram", json!({ "size": 1, "policy": "x" }), "Parameter 'policy' does not accept value 'x'"),
            (
                "memory-backend-ram",
                json!({ "size": 1, "policy": "bind" }),
                "host-nodes must be set for policy other than default",
            ),
            ("memory-backend-file", json!({ "size": 1 }), "Parameter 'mem-path' is missing"),
            (
                "memory-backend-file",
                json!({ "size": 1, "mem-path": "/nonexistent/x" }),
                "can't open backing store /nonexistent/x for guest RAM: No such file or directory",
            ),
            ("secret", json!({}), "Either 'file' or 'data' must be provided"),
            ("secret", json!({ "data": "a", "file": "b" }), "'file' and 'data' are mutually exclusive"),
            ("secret", json!({ "data": "?", "format": "base64" }), "Base64 data '?' is not valid"),
            (
                "rng-random",
                json!({ "filename": "/nonexistent" }),
                "Could not open '/nonexistent': No such file or directory",
            ),
            ("rng-builtin", json!({ "opened": true }), "Parameter 'opened' is unexpected"),
            ("throttle-group", json!({ "limits": { "x": 1 } }), "Parameter 'limits.x' is unexpected"),
            (
                "throttle-group",
                json!({ "limits": { "iops-total": 5, "iops-read": 4 } }),
                "bps/iops/max total values and read/write values cannot be used at the same time",
            ),
            (
                "throttle-group",
                json!({ "x-bps-read-max": 5 }),
                "bps_max/iops_max require corresponding bps/iops values",
            ),
        ] {
            assert_eq!(add(&mut Objects::default(), ty, "x", given.clone()), Err(why.to_owned()), "{ty} {given}");
        }
        let mut objects = Objects::default();
        assert_eq!(add(&mut objects, "iothread", "1x", json!({})), Err("Parameter 'id' expects an identifier".into()));
        assert_eq!(add(&mut objects, "iothread", "x", json!({})), Ok(()));
        let twice = "attempt to add duplicate property 'x' to object (type 'container')";
        assert_eq!(add(&mut objects, "rng-builtin", "x", json!({})), Err(twice.into()));
    }

    #[test]
    fn limits_have_two_names_and_can_be_changed_while_the_group_is_there() {
        let mut objects = Objects::default();
        add(&mut objects, "throttle-group", "slow", json!({ "x-iops-total": 5 })).expect("a group");
        let group = objects.find_mut("slow").expect("it is there");
        assert_eq!(group.value("limits").expect("limits")["iops-total"], 5);
        group.set("limits", &json!({ "iops-total": 7, "iops-total-max": 9 })).expect("a change");
        assert_eq!((group.number("x-iops-total"), group.number("x-iops-total-max-length")), (7, 1));
        let wrong = group.set("limits", &json!({ "iops-total": 7, "iops-read": 9 }));
        assert!(wrong.is_err() && group.number("x-iops-total") == 7);
    }

    #[test]
    fn a_file_behind_memory_is_made_as_long_as_the_memory() {
        let path = std::env::temp_dir().join(format!("lockstep-{}-backing", std::process::id()));
        let mut objects = Objects::default();
        let given = |size: u64| json!({ "size": size, "mem-path": path });
        add(&mut objects, "memory-backend-file", "a", given(8192)).expect("a backend");
        assert_eq!(std::fs::metadata(&path).expect("a file").len(), 8192);
        let longer = add(&mut objects, "memory-backend-file", "b", given(16384));
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(longer, Err("backing store size 0x2000 does not match 'size' option 0x4000".into()));
    }
}
