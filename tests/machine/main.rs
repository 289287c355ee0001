//! The whole machine: that it repeats, bears anything, and is what its command line says.

mod board_fuzz;
mod debugger;
mod determinism;
mod devices;
mod hostile;
mod licences;
mod panics_and_watchdogs;
mod replay;
mod screen;
mod slots;
mod startup;
mod translation;
