//! The built-in firmware, platform tables and kernel loaders. Knows no device.

pub mod acpi;
mod layout;
pub mod loader;
pub mod memory_map;
pub mod platform;
pub mod rom;
pub mod smbios;
