//! All commands, events and types, a file for each family. They are declared here, and nowhere else.

pub mod control;
pub mod run_state;

use crate::event::EventDeclaration;
use crate::registry::Family;

/// All families, in the manual's order.
pub static FAMILIES: &[&Family] = &[&control::FAMILY, &run_state::FAMILY];

/// All events.
pub fn events() -> Vec<&'static EventDeclaration> {
    FAMILIES.iter().flat_map(|family| family.events).copied().collect()
}
