//! What drives a machine from outside: QMP, the monitor, a terminal.

mod abuse;
mod conformance;
mod hotplug;
mod memory;
mod monitor;
mod session;
mod terminal;
