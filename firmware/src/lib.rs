//! The built-in firmware, platform tables and kernel loaders. Knows no device.

pub mod loader;
pub mod memory_map;
