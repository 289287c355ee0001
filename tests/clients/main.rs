//! What drives a machine from outside: QMP, the monitor, a terminal.

mod abuse;
mod balloon;
mod conformance;
mod contention;
mod descriptors;
mod drgn;
mod hotplug;
mod libvirt;
mod memory;
mod monitor;
mod nodes;
mod processors;
mod resize;
mod session;
mod sleep;
mod terminal;
mod throttle;
