//! What crosses crates: differential, determinism, real guests.

pub mod attached;
pub mod boot_sector;
pub mod client;
pub mod debugger;
pub mod differential;
pub mod disk_traffic;
pub mod diskwork;
pub mod folder;
pub mod guest;
pub mod image;
pub mod initrd;
pub mod libvirt;
pub mod program;
pub mod random;
pub mod session;
pub mod small_disk;
pub mod whole_catalog;
