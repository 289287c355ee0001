//! The names that the rest of the program gives meaning to: processor models and device drivers.
//!
//! The command line checks against them, lists them for `help`, and stays ignorant of what they do.

use super::error::Reason;
use super::values;
use lockstep_cpu::cpuid::{CpuModel, Features};

/// The names known to the program.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    /// Processor models: name and one line about it.
    pub cpu_models: Vec<(String, String)>,
    /// Features that `-cpu` may add and remove.
    pub cpu_features: Vec<String>,
    /// Drivers for `-device`.
    pub drivers: Vec<Driver>,
}

/// A driver that `-device` can instantiate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Driver {
    /// Its name.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// What can be set on it.
    pub properties: &'static [Property],
}

/// A property of a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Property {
    /// Its name.
    pub name: &'static str,
    /// What values it takes.
    pub kind: PropertyKind,
    /// One line about it.
    pub about: &'static str,
}

/// The values that a property takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PropertyKind {
    /// A number up to this one.
    Number(u64),
    /// on or off.
    Switch,
    /// The id of a character device.
    Chardev,
    /// Anything.
    Text,
}

const ISA_DEBUG_EXIT: Driver = Driver {
    name: "isa-debug-exit",
    about: "a write of V ends the run with exit status V << 1 | 1",
    properties: &[
        Property { name: "iobase", kind: PropertyKind::Number(0xffff), about: "first port (0x501)" },
        Property { name: "iosize", kind: PropertyKind::Number(8), about: "ports (2)" },
    ],
};

const ISA_DEBUGCON: Driver = Driver {
    name: "isa-debugcon",
    about: "debug console: bytes written to the port go to the character device",
    properties: &[
        Property { name: "iobase", kind: PropertyKind::Number(0xffff), about: "the port (0xe9)" },
        Property { name: "chardev", kind: PropertyKind::Chardev, about: "where the bytes go" },
        Property { name: "readback", kind: PropertyKind::Number(0xffff_ffff), about: "what a read returns (0xe9)" },
    ],
};

impl Default for Vocabulary {
    fn default() -> Self {
        let model = |name: &str| CpuModel::named(name).map(|model| (model.name, model.brand));
        Vocabulary {
            cpu_models: CpuModel::names().filter_map(model).collect(),
            cpu_features: Features::names().iter().map(|name| (*name).to_owned()).collect(),
            drivers: vec![ISA_DEBUG_EXIT, ISA_DEBUGCON],
        }
    }
}

impl Vocabulary {
    /// The driver called `name`.
    pub fn driver(&self, name: &str) -> Option<&Driver> {
        self.drivers.iter().find(|driver| driver.name == name)
    }

    /// The list of processor models, for `-cpu help`.
    pub(super) fn cpu_help(&self) -> String {
        let mut text = "Available CPUs:\n".to_owned();
        for (name, about) in &self.cpu_models {
            text.push_str(&format!("x86 {name:<20}  {about}\n"));
        }
        if !self.cpu_features.is_empty() {
            text.push_str(&format!("\nRecognized CPUID flags:\n  {}\n", self.cpu_features.join(" ")));
        }
        text
    }

    /// The list of drivers, for `-device help`.
    pub(super) fn device_help(&self) -> String {
        let line = |driver: &Driver| format!("name \"{}\", desc \"{}\"\n", driver.name, driver.about);
        self.drivers.iter().map(line).collect()
    }
}

impl Driver {
    /// Checks one property that was set on a device of this driver.
    pub(super) fn check(&self, key: &str, value: &str) -> Result<(), Reason> {
        let property = self.properties.iter().find(|property| property.name == key);
        let property = property.ok_or_else(|| Reason::UnknownProperty(key.to_owned()))?;
        let wrong = |wanted| Err(Reason::bad(key, value, wanted));
        match property.kind {
            PropertyKind::Number(most) => match values::number(value) {
                None => wrong("use a number"),
                Some(number) if number > most => wrong("too large"),
                Some(_) => Ok(()),
            },
            PropertyKind::Switch if values::switch(value).is_none() => wrong("use on or off"),
            PropertyKind::Chardev if value.is_empty() => wrong("use the id of a -chardev"),
            PropertyKind::Switch | PropertyKind::Chardev | PropertyKind::Text => Ok(()),
        }
    }

    /// What can be set, for `-device NAME,help`.
    pub(super) fn help(&self) -> String {
        let mut text = format!("{} options:\n", self.name);
        for Property { name, kind, about } in self.properties {
            let kind = match kind {
                PropertyKind::Number(_) => "number",
                PropertyKind::Switch => "on|off",
                PropertyKind::Chardev => "chardev",
                PropertyKind::Text => "text",
            };
            text.push_str(&format!("  {name}=<{kind}>  - {about}\n"));
        }
        text
    }
}
