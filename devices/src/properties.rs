//! Properties: what can be set on a device, made from the declaration of its configuration alone.

use serde::{Deserialize, Serialize};

/// The values that a property takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number up to this one.
    Number(u64),
    /// On or off.
    Switch,
    /// The id of a character device.
    Chardev,
    /// The name of a drive or of a node of the block layer.
    Drive,
    /// Anything.
    Text,
}

/// A property of a device's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// Its name.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// What it is about, in a line.
    pub about: &'static str,
    /// Its value if nothing is said, as it would be typed; `None` if that depends on others or is nothing.
    pub default: Option<String>,
}

/// Why a property cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PropertyError {
    /// There is none of this name.
    #[error("unknown property '{0}'")]
    Unknown(String),
    /// A value that it does not take.
    #[error("'{value}' is no value for '{name}': {wanted}")]
    Value {
        /// The property.
        name: &'static str,
        /// What was typed.
        value: String,
        /// What it takes.
        wanted: &'static str,
    },
    /// What has these properties is no device of its own.
    #[error("it goes on the bus of another device")]
    Part,
}

/// A device's configuration; [`configuration!`] implements it.
pub trait Configuration: Default {
    /// What can be set.
    fn properties() -> Vec<Property>;
    /// Sets one property from text.
    fn set(&mut self, name: &str, value: &str) -> Result<(), PropertyError>;
}

/// A type that a property can have.
pub trait PropertyValue: Sized {
    /// What values it takes.
    const KIND: Kind;
    /// Reads it; `Err` says what it takes.
    fn read(text: &str) -> Result<Self, &'static str>;
    /// As it would be typed.
    fn show(&self) -> Option<String>;
}

/// The id of a character device on the command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Chardev(pub String);

/// The name of a drive or node on the command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DriveName(pub String);

/// A place in the order of booting: the lower is tried the earlier; `-1` is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootIndex(pub Option<u32>);

impl PropertyValue for BootIndex {
    const KIND: Kind = Kind::Number(i32::MAX as u64);
    fn read(text: &str) -> Result<Self, &'static str> {
        const WANTED: &str = "use a number, or -1 for none";
        let index = if text == "-1" { None } else { Some(number(text).ok_or(WANTED)?) };
        index.map(|n| i32::try_from(n).map(i32::cast_unsigned)).transpose().map(Self).map_err(|_| "too large")
    }
    fn show(&self) -> Option<String> {
        self.0.map(|index| index.to_string())
    }
}

/// A number of bytes, with a suffix as in 64K or 1G if it is typed so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Size(pub u64);

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl PropertyValue for $number {
            const KIND: Kind = Kind::Number(<$number>::MAX as u64);
            fn read(text: &str) -> Result<Self, &'static str> {
                number(text).ok_or("use a number")?.try_into().map_err(|_| "too large")
            }
            fn show(&self) -> Option<String> {
                Some(if *self < 10 { self.to_string() } else { format!("{self:#x}") })
            }
        }
    )*};
}
numbers!(u8, u16, u32, u64);

impl PropertyValue for Size {
    const KIND: Kind = Kind::Number(u64::MAX);
    fn read(text: &str) -> Result<Self, &'static str> {
        const SUFFIXES: [char; 4] = ['k', 'm', 'g', 't'];
        let last = text.chars().next_back().map(|letter| letter.to_ascii_lowercase());
        let power = last.and_then(|letter| SUFFIXES.iter().position(|suffix| *suffix == letter));
        let (digits, shift) = match power {
            // A hexadecimal number has no suffix.
            Some(power) if !text.starts_with("0x") => (&text[..text.len() - 1], 10 * (power as u32 + 1)),
            _ => (text, 0),
        };
        let value = number(digits).ok_or("use a number of bytes, as 64K or 1G")?;
        value.checked_mul(1 << shift).map(Self).ok_or("too large")
    }
    fn show(&self) -> Option<String> {
        self.0.show()
    }
}

impl PropertyValue for bool {
    const KIND: Kind = Kind::Switch;
    fn read(text: &str) -> Result<Self, &'static str> {
        switch(text).ok_or("use on or off")
    }
    fn show(&self) -> Option<String> {
        Some(if *self { "on" } else { "off" }.into())
    }
}

impl PropertyValue for String {
    const KIND: Kind = Kind::Text;
    fn read(text: &str) -> Result<Self, &'static str> {
        Ok(text.into())
    }
    fn show(&self) -> Option<String> {
        Some(self.clone())
    }
}

impl PropertyValue for Chardev {
    const KIND: Kind = Kind::Chardev;
    fn read(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() { Err("use the id of a -chardev") } else { Ok(Self(text.into())) }
    }
    fn show(&self) -> Option<String> {
        Some(self.0.clone())
    }
}

impl PropertyValue for DriveName {
    const KIND: Kind = Kind::Drive;
    fn read(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() { Err("use the name of a -drive if=none or a -blockdev") } else { Ok(Self(text.into())) }
    }
    fn show(&self) -> Option<String> {
        Some(self.0.clone())
    }
}

impl<T: PropertyValue> PropertyValue for Option<T> {
    const KIND: Kind = T::KIND;
    fn read(text: &str) -> Result<Self, &'static str> {
        T::read(text).map(Some)
    }
    fn show(&self) -> Option<String> {
        self.as_ref().and_then(T::show)
    }
}

/// Reads QEMU's spellings of a boolean.
pub fn switch(text: &str) -> Option<bool> {
    match text {
        "on" | "yes" | "true" | "y" => Some(true),
        "off" | "no" | "false" | "n" => Some(false),
        _ => None,
    }
}

/// Reads a number as C's `strtoull` with base 0 does: `0x` is hexadecimal, a leading 0 is octal.
pub fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    // from_str_radix would take a sign.
    digits.bytes().all(|b| b.is_ascii_alphanumeric()).then(|| u64::from_str_radix(digits, radix).ok()).flatten()
}

/// Declares a device's configuration: each field with one line about it, the name to type if that is no identifier
/// (`pub num_queues as "num-queues": u16 = 1`), its type and its default. The struct is plain
/// serde data; what can be set on the command line, the help text and the defaults come from the same lines.
macro_rules! configuration {
    // Nothing can be set.
    ($(#[$outer:meta])* pub struct $name:ident {}) => {
        $(#[$outer])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {}

        impl $crate::properties::Configuration for $name {
            fn properties() -> Vec<$crate::properties::Property> {
                Vec::new()
            }

            fn set(&mut self, name: &str, _value: &str) -> Result<(), $crate::properties::PropertyError> {
                Err($crate::properties::PropertyError::Unknown(name.to_owned()))
            }
        }
    };
    (
        $(#[$outer:meta])*
        pub struct $name:ident { $(
            #[doc = $about:literal] pub $field:ident $(as $typed:literal)?: $kind:ty = $default:expr,
        )* }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name { $(#[doc = $about] $(#[serde(rename = $typed)])? pub $field: $kind,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $crate::properties::Configuration for $name {
            fn properties() -> Vec<$crate::properties::Property> {
                use $crate::properties::{Property, PropertyValue};
                let usual = Self::default();
                vec![$(Property {
                    name: $crate::properties::property_name!($field $($typed)?),
                    kind: <$kind as PropertyValue>::KIND,
                    about: $about.trim(),
                    default: usual.$field.show(),
                }),*]
            }

            fn set(&mut self, name: &str, value: &str) -> Result<(), $crate::properties::PropertyError> {
                use $crate::properties::{PropertyError, PropertyValue};
                match name {
                    $($crate::properties::property_name!($field $($typed)?) => self.$field = PropertyValue::read(value).map_err(|wanted| {
                        let name = $crate::properties::property_name!($field $($typed)?);
                        PropertyError::Value { name, value: value.to_owned(), wanted }
                    })?,)*
                    _ => return Err(PropertyError::Unknown(name.to_owned())),
                }
                Ok(())
            }
        }
    };
}
pub(crate) use configuration;

/// A property's name as it is typed. A macro, so that it can be a pattern.
macro_rules! property_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $typed:literal) => {
        $typed
    };
}
pub(crate) use property_name;
