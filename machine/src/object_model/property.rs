//! What is known of a property without an object that has it.

use crate::commandline::size;
use lockstep_devices::properties::{self, Kind, number, switch};
use serde_json::{Value, json};

/// A property that the objects of a type have.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    /// Its name.
    pub name: String,
    /// The type of its values.
    pub ty: String,
    /// What it is, in English.
    pub about: Option<String>,
    /// What it is unless it is set.
    pub default: Option<Value>,
    /// It is set before the object is there, and stays.
    pub setting: bool,
}

impl Property {
    /// A property that tells of an object.
    pub fn new(name: impl Into<String>, ty: impl Into<String>) -> Self {
        Self { name: name.into(), ty: ty.into(), about: None, default: None, setting: false }
    }

    /// The same with a line about it.
    #[must_use]
    pub fn about(mut self, about: &str) -> Self {
        self.about = Some(about.to_owned());
        self
    }

    /// A property that is set before its object is there.
    pub fn setting(name: impl Into<String>, ty: impl Into<String>, default: Option<Value>) -> Self {
        Self { default, setting: true, ..Self::new(name, ty) }
    }

    /// A property of a device's configuration.
    pub fn of_device(property: &properties::Property) -> Self {
        let default = property.default.as_deref().map(|text| setting_value(property.kind, text));
        Self::setting(property.name, type_name(property.kind), default).about(property.about)
    }
}

/// A kind's name among the types of properties.
fn type_name(kind: Kind) -> &'static str {
    const SIGNED: u64 = i32::MAX as u64;
    match kind {
        Kind::Number(0..=0xff) => "uint8",
        Kind::Number(..=0xffff) => "uint16",
        Kind::Number(..=SIGNED) => "int32",
        Kind::Number(..=0xffff_ffff) => "uint32",
        Kind::Number(_) => "uint64",
        Kind::Switch => "bool",
        Kind::OnOffAuto => "OnOffAuto",
        Kind::Chardev | Kind::Drive | Kind::Text => "str",
    }
}

/// What was typed for a property, as a value of its kind. What cannot be read so stays text.
pub fn setting_value(kind: Kind, text: &str) -> Value {
    match kind {
        Kind::Number(_) if text == "-1" => json!(-1),
        Kind::Number(_) => number(text).or_else(|| size(text, 1)).map_or_else(|| json!(text), Value::from),
        Kind::Switch => switch(text).map_or_else(|| json!(text), Value::from),
        Kind::OnOffAuto => match switch(text) {
            Some(true) => json!("on"),
            Some(false) => json!("off"),
            None => json!(text),
        },
        Kind::Chardev | Kind::Drive | Kind::Text => json!(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_text_becomes_a_value_of_the_propertys_kind() {
        assert_eq!(setting_value(Kind::Number(0xffff), "0x10"), json!(16));
        assert_eq!(setting_value(Kind::Number(u64::MAX), "64K"), json!(65536));
        assert_eq!(setting_value(Kind::Number(i32::MAX as u64), "-1"), json!(-1));
        assert_eq!(setting_value(Kind::Switch, "yes"), json!(true));
        assert_eq!(setting_value(Kind::OnOffAuto, "true"), json!("on"));
        assert_eq!(setting_value(Kind::OnOffAuto, "auto"), json!("auto"));
        assert_eq!(setting_value(Kind::Text, "5"), json!("5"));
    }
}
