//! One file or folder per device, the catalog of them, and the PCI model.

pub mod fw_cfg;
pub mod hpet;
pub mod ioapic;
pub mod lapic;
pub mod pci;
