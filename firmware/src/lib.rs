//! The built-in firmware, platform tables and kernel loaders. Knows no device and no machine: everything here is a pure function from
//! plain structs to bytes, and whoever owns RAM, processors and fw_cfg puts the bytes in their place.
//!
//! # Starting a machine
//!
//! One [`platform::PlatformConfig`] describes the machine. From there:
//!
//! | To | call | and |
//! |---|---|---|
//! | run foreign firmware | [`platform::fw_cfg_files`] | offer each [`platform::FwCfgFile`] by its name (numbered items, such as the processor count, are the device's own) |
//! | start a kernel directly | [`platform::place`], then [`loader::plan`] with its memory map and RSDP | write both lists of [`loader::Segment`]s, load [`loader::EntryState`] into the first processor |
//! | run with nothing to boot | [`rom::image`] | map its 64 KiB at F0000h and up to 4 GiB, and reset |
//!
//! A direct start has no firmware to set the board up, so the machine does what firmware would have done before the kernel's first
//! instruction: the writes in [`platform::BOARD_SETUP`] are done, A20 is open, and the first processor's local APIC passes the 8259's interrupts through (LINT0 ExtINT, LINT1 NMI, spurious vector enabled).
//! The anchors at F0000h go into the ROM or into shadow RAM, whichever the guest reads there; the built-in ROM keeps
//! [`rom::TABLE_WINDOW`] bytes free for them.
//!
//! # Modules
//!
//! - [`memory_map`]: RAM size to ranges ([`memory_map::RamLayout`]), and the E820 map ([`memory_map::MemoryMap`]).
//! - [`loader`]: bzImage, PVH and Multiboot 1 kernels to a [`loader::BootPlan`], or a [`loader::LoadError`] that says what and where.
//! - [`platform`]: the machine's description, and its tables on their two ways to the guest.
//! - [`acpi`]: tables, the AML encoder, and the linker script that places tables.
//! - [`smbios`]: SMBIOS 2.8.
//! - [`bios`]: the services behind the ROM's interrupts: booting, disks, keyboard, PCI and all else.
//! - [`boot_rom`]: the expansion ROM that starts a kernel under foreign firmware ([`loader::for_firmware`]).
//! - [`rom`]: the ROM: the BIOS's stubs, and the monitor that runs on the serial console.
//! - [`vgabios`]: the graphics card's option ROM, and the services that it asks the machine for.

pub mod acpi;
pub mod bios;
pub mod boot_rom;
mod layout;
pub mod loader;
pub mod memory_map;
pub mod platform;
pub mod rom;
pub mod smbios;
pub mod vgabios;
