//! One file or folder per device, the catalog of them, and the PCI model.

/// Every device that `-device` can add.
pub mod catalog;
/// x87 errors as IRQ 13.
pub mod coprocessor;
/// The port by which a guest ends the emulator.
pub mod debug_exit;
/// The debug console.
pub mod debugcon;
/// Memory modules.
pub mod dimm;
/// The DMA controllers.
pub mod dma8237;
/// What controllers know of their drives.
pub mod drive;
/// The PCI function to learn drivers by.
pub mod edu;
/// The floppy controller.
pub mod fdc;
/// The firmware configuration device.
pub mod fw_cfg;
/// The high precision event timer.
pub mod hpet;
/// The keyboard controller, keyboard and mouse.
pub mod i8042;
/// The interval timer and port 61h.
pub mod i8254;
/// The pair of interrupt controllers.
pub mod i8259;
/// The IDE controller, its disks and CD drives.
pub mod ide;
/// The I/O APIC.
pub mod ioapic;
/// The local APICs.
pub mod lapic;
/// The real-time clock and CMOS memory.
pub mod mc146818;
/// The registers of slots for memory.
pub mod memory_hotplug;
/// What guests report of slots.
pub mod ost;
/// What goes on the buses of other devices.
pub mod parts;
/// Ports and memory for kernel test suites.
pub mod pc_testdev;
/// The PCI model, the host bridge and the PIIX functions.
pub mod pci;
/// Counted accesses for kernel test suites.
pub mod pci_testdev;
/// The diagnostic code.
pub mod port80;
/// Fast A20 and reset.
pub mod port92;
/// Regions among the I/O ports.
pub mod ports;
/// What can be set on a device.
pub mod properties;
/// The guest tells of its panic.
pub mod pvpanic;
/// The serial port.
pub mod uart16550;
/// The graphics card.
pub mod vga;
/// Virtio devices.
pub mod virtio;
/// Where the guest's kernel describes itself.
pub mod vmcoreinfo;
/// The generation of the machine's state.
pub mod vmgenid;
/// Watchdogs.
pub mod watchdog;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod random_access;
