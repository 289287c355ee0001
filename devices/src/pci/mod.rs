//! The PCI model: configuration space, the host bridge and the functions of the PIIX chips.

pub mod bridge;
pub mod config;
mod functions;
pub(crate) mod hex;
pub mod hotplug;
pub mod i440fx;
pub mod intx;
pub mod msi;
pub mod msix;
pub mod piix3;
pub mod piix4_pm;

#[cfg(test)]
mod tests;

pub use config::{Bar, BarKind, Command, ConfigSpace, Decoded, Identity, Rom};
pub use functions::Functions;
pub use intx::Intx;
pub use msi::Msi;
pub use msix::MsiX;

use serde::{Deserialize, Serialize};

/// A device and function number on a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DevFn(pub u8);

impl DevFn {
    /// From a device number below 32 and a function number below 8.
    pub const fn new(device: u8, function: u8) -> Self {
        Self((device & 0x1f) << 3 | function & 7)
    }

    /// The device number.
    pub const fn device(self) -> u8 {
        self.0 >> 3
    }

    /// The function number.
    pub const fn function(self) -> u8 {
        self.0 & 7
    }
}

/// The subsystem IDs that firmware takes for a sign of a virtual board.
pub const SUBSYSTEM: (u16, u16) = (0x1af4, 0x1100);
