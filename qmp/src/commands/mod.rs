//! All commands, events and types, a file for each family. They are declared here, and nowhere else.

pub mod acpi;
pub mod block;
pub mod block_statistics;
pub mod char;
pub mod control;
pub mod descriptors;
pub mod dump;
pub mod machine;
pub mod memory;
pub mod migration;
pub mod net;
pub mod nodes;
pub mod pci;
pub mod processors;
pub mod qdev;
pub mod qom;
pub mod replay;
pub mod run_state;
pub mod stats;
pub mod tpm;
pub mod ui;
pub mod yank;

use crate::event::EventDeclaration;
use crate::registry::Family;

/// All families, in the manual's order.
pub static FAMILIES: &[&Family] = &[
    &control::FAMILY,
    &run_state::FAMILY,
    &machine::FAMILY,
    &processors::FAMILY,
    &memory::FAMILY,
    &qom::FAMILY,
    &qdev::FAMILY,
    &pci::FAMILY,
    &acpi::FAMILY,
    &block::FAMILY,
    &nodes::FAMILY,
    &block_statistics::FAMILY,
    &char::FAMILY,
    &net::FAMILY,
    &ui::FAMILY,
    &tpm::FAMILY,
    &dump::FAMILY,
    &descriptors::FAMILY,
    &replay::FAMILY,
    &migration::FAMILY,
    &stats::FAMILY,
    &yank::FAMILY,
];

/// All events.
pub fn events() -> Vec<&'static EventDeclaration> {
    FAMILIES.iter().flat_map(|family| family.events).copied().collect()
}
