//! Boards, the run loop, record and replay, and the command line.

pub mod background;
pub mod block;
pub mod board;
pub mod chardev;
pub mod commandline;
pub mod control;
pub mod debugging;
pub mod digest;
pub mod dump;
pub mod gdb;
pub mod host_file;
pub mod machine;
pub mod monitor;
pub mod object_model;
pub mod pci_buses;
pub mod pid_file;
pub mod plug;
pub mod record;
pub mod run;
pub mod screen;
pub mod snapshot;
pub mod terminal;
mod trace;

#[cfg(test)]
mod bare_guest;

pub use run::run;
