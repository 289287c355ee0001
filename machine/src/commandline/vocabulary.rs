//! The names that the rest of the program gives meaning to: processor models and device drivers.
//!
//! The command line checks against them, lists them for `help`, and stays ignorant of what they do.

use super::error::Reason;
use lockstep_cpu::cpuid::{CpuModel, Features};
use lockstep_devices::catalog::Entry;
use lockstep_devices::parts::PartBus;
use lockstep_devices::properties::{Kind, Property, PropertyError};

/// The names known to the program.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    /// Processor models: name and one line about it.
    pub cpu_models: Vec<(String, String)>,
    /// Features that `-cpu` may add and remove.
    pub cpu_features: Vec<String>,
}

impl Default for Vocabulary {
    fn default() -> Self {
        let model = |name: &str| CpuModel::named(name).map(|model| (model.name, model.brand));
        Vocabulary {
            cpu_models: CpuModel::names().filter_map(model).collect(),
            cpu_features: Features::names().iter().map(|name| (*name).to_owned()).collect(),
        }
    }
}

impl Vocabulary {
    /// The driver called `name`.
    pub fn driver(&self, name: &str) -> Option<&'static Entry> {
        Entry::find(name)
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
        let line = |driver: &Entry| format!("name \"{}\", desc \"{}\"\n", driver.name, driver.about);
        Entry::all().map(line).collect()
    }
}

/// What can be set on a device, for `-device NAME,help`.
pub(super) fn driver_help(driver: &Entry) -> String {
    let mut text = format!("{} options:\n", driver.name);
    for Property { name, kind, about, default } in driver.properties() {
        let kind = match kind {
            Kind::Number(_) => "number",
            Kind::Switch => "on|off",
            Kind::Chardev => "chardev",
            Kind::Drive => "drive or node",
            Kind::Text => "text",
        };
        let default = default.map_or(String::new(), |value| format!(" (default: {value})"));
        text.push_str(&format!("  {name}=<{kind}>  - {about}{default}\n"));
    }
    text
}

/// The property of every device, which the board reads.
const OF_ALL: &str = "bus";
/// Properties of every device in a PCI slot, which the board reads.
const OF_SLOTS: [&str; 2] = ["addr", "multifunction"];
/// Properties of every disk and CD drive, which the board reads.
const OF_DRIVES: [&str; 2] = ["werror", "rerror"];

/// Checks that a device can be made so. What the board reads is checked when the board is built.
pub(super) fn check(driver: &Entry, properties: &[(String, String)]) -> Result<(), Reason> {
    let with_drive = driver.properties().iter().any(|property| property.kind == Kind::Drive);
    let with_policies = with_drive && driver.part_bus() != Some(PartBus::Floppy);
    let boards = |name: &str| {
        name == OF_ALL || driver.is_pci() && OF_SLOTS.contains(&name) || with_policies && OF_DRIVES.contains(&name)
    };
    let own: Vec<_> = properties.iter().filter(|(name, _)| !boards(name)).cloned().collect();
    match driver.check(&own) {
        Ok(()) => Ok(()),
        Err(PropertyError::Unknown(name)) => {
            Err(Reason::refused(format!("Property '{}.{name}' not found", driver.name)))
        }
        Err(PropertyError::Part) => Ok(()),
        Err(PropertyError::Value { name, value, wanted }) => Err(Reason::bad(name, &value, wanted)),
    }
}
