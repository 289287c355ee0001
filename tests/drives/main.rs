//! Disks, CDs and floppies: what is read and written, kept and lost.

mod boot;
mod host_trouble;
mod traffic;
mod virtio;
mod work;
