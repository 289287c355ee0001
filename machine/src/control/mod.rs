//! What QMP's commands do to the machine: one file for each family, as the schema has them.
//!
//! Handlers look at [`Control`] freely; whatever changes the guest goes through its methods, which pass the gate and are
//! recorded.

mod dump;
mod identity;
mod machines;
mod memory;
mod processors;
mod replay;
mod run_state;

#[cfg(test)]
mod tests;

use crate::run::{Control, Denied};
use lockstep_qmp::Error;
use lockstep_qmp::registry::Registry;

pub use identity::compatible_version;

/// Every command that this machine carries out.
pub fn registry() -> Registry<Control> {
    let mut registry = Registry::new();
    dump::register(&mut registry);
    identity::register(&mut registry);
    machines::register(&mut registry);
    memory::register(&mut registry);
    processors::register(&mut registry);
    replay::register(&mut registry);
    run_state::register(&mut registry);
    registry
}

/// What a client is told of an operator's wish that was not granted.
fn denied(why: Denied) -> Error {
    Error::new(why.to_string())
}

/// A feature that belongs to another architecture or accelerator.
fn disabled(feature: &str) -> Error {
    Error::new(format!("The feature '{feature}' is not enabled"))
}
