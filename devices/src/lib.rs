//! One file or folder per device, the catalog of them, and the PCI model.

/// The port by which a guest ends the emulator.
pub mod debug_exit;
/// The debug console.
pub mod debugcon;
pub mod fw_cfg;
pub mod hpet;
/// The pair of interrupt controllers.
pub mod i8259;
pub mod ioapic;
pub mod lapic;
pub mod pci;
/// The diagnostic code.
pub mod port80;
/// Fast A20 and reset.
pub mod port92;
/// Regions among the I/O ports.
pub mod ports;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod random_access;
