//! The built-in firmware, platform tables and kernel loaders. Knows no device.
