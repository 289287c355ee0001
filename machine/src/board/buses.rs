//! The names of the board's buses, for `bus=`.

use crate::commandline::{Config, DeviceConfig, OptionError};
use lockstep_devices::catalog::{Creatable, Entry};
use lockstep_devices::parts::PartBus;
use lockstep_devices::pci::bridge::BridgeConfig;
use lockstep_devices::virtio::ConsoleConfig;

/// The floppy controller's bus.
pub(super) const FLOPPY: &str = "floppy-bus.0";
/// The ISA bus.
pub(super) const ISA: &str = "isa.0";

/// The type of the bus of this name, as QEMU calls it.
fn kind(config: &Config, name: &str) -> Option<&'static str> {
    let with_bus = |driver: &str, id: &str| {
        config.devices.iter().any(|device| device.driver == driver && device.id.as_deref() == Some(id))
    };
    match name {
        super::slots::ROOT_BUS => Some("PCI"),
        ISA => Some("ISA"),
        "ide.0" | "ide.1" => Some(PartBus::Ide.name()),
        FLOPPY => Some(PartBus::Floppy.name()),
        _ if with_bus(BridgeConfig::NAME, name) => Some("PCI"),
        _ if name.strip_suffix(".0").is_some_and(|id| with_bus(ConsoleConfig::NAME, id)) => {
            Some(PartBus::VirtioSerial.name())
        }
        _ => None,
    }
}

/// Why a device cannot go on the bus of this name: there is none, or it is of another type than the device's.
pub(super) fn refuse(config: &Config, device: &DeviceConfig, name: &str) -> OptionError {
    let own = match Entry::find(&device.driver) {
        Some(entry) if entry.is_pci() => "PCI",
        Some(entry) => entry.part_bus().map_or("ISA", PartBus::name),
        None => "",
    };
    let why = match kind(config, name) {
        Some(kind) if kind != own => format!("Device '{}' can't go on {kind} bus", device.driver),
        // A bus of the right type comes later on the command line.
        Some(_) | None => format!("Bus '{name}' not found"),
    };
    OptionError::refused(&device.origin, why)
}
