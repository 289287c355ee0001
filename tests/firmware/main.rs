//! Firmware, ours and others', and what it starts.

mod boot;
mod boot_media;
mod builtin_bios;
mod debian;
mod foreign_firmware;
mod grub;
mod handover;
mod kernels;
