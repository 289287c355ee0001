//! ACPI tables of machine `pc`: they are built once, as fw_cfg files with the linker script that places them.

mod affinity;
pub mod aml;
mod dsdt;
pub mod facs;
pub mod generation;
mod hmat;
pub mod linker;
mod memory_slots;
mod pci_slots;
mod processors;
pub mod resources;
mod tables;
pub mod user_table;

use crate::platform::{FwCfgFile, PlatformConfig};
use linker::LinkerScript;

/// The fw_cfg file with all tables but the RSDP.
pub const TABLES_FILE: &str = "etc/acpi/tables";
/// The fw_cfg file with the RSDP.
pub const RSDP_FILE: &str = "etc/acpi/rsdp";

/// Power management's place in the machine: PIIX4 function 3 as firmware programs it.
pub mod pm {
    /// PMBASE: where the power management registers begin.
    pub const BASE: u16 = 0x600;
    /// PM1a event block (status, enable).
    pub const EVENT: u16 = BASE;
    /// PM1a control register.
    pub const CONTROL: u16 = BASE + 4;
    /// The 24-bit timer.
    pub const TIMER: u16 = BASE + 8;
    /// The ports that PMBASE claims.
    pub const LENGTH: u8 = 64;
    /// General purpose event block 0.
    pub const GPE0: u16 = 0xafe0;
    /// Its length in bytes.
    pub const GPE0_LENGTH: u8 = 4;
    /// The command port that hands power management over, and the values to write there.
    pub const SMI_COMMAND: u16 = 0xb2;
    /// Take power management from the firmware: sets SCI_EN.
    pub const ACPI_ENABLE: u8 = 0xf1;
    /// Give it back.
    pub const ACPI_DISABLE: u8 = 0xf0;
    /// The reset control register, and the value that resets the whole machine.
    pub const RESET_PORT: u16 = 0xcf9;
    /// Full reset.
    pub const RESET_VALUE: u8 = 0x0f;
}

/// The tables, not yet placed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcpiTables {
    /// [`TABLES_FILE`] and [`RSDP_FILE`].
    pub files: Vec<FwCfgFile>,
    /// How to place them and to resolve pointers and checksums.
    pub script: LinkerScript,
}

/// Builds all tables of a machine.
#[must_use]
pub fn build(config: &PlatformConfig) -> AcpiTables {
    tables::build(config)
}
