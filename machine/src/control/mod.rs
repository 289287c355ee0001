//! What QMP's commands do to the machine: one file for each family, as the schema has them.
//!
//! Handlers look at [`Control`] freely; whatever changes the guest goes through its methods, which pass the gate and are
//! recorded.

// A handler is given its command whole: that is the registry's signature.
#![allow(clippy::needless_pass_by_value)]

mod acpi;
mod balloon;
mod block;
mod block_query;
mod char;
mod descriptors;
mod dump;
mod generation;
mod identity;
mod input;
mod machines;
mod memory;
mod migration;
mod net;
mod objects;
mod pci;
mod processors;
mod qdev;
mod qom;
mod replay;
mod run_state;
mod stats;
mod throttle;
mod tpm;
mod ui;

#[cfg(test)]
mod tests;

use crate::run::{Control, Denied};
use lockstep_qmp::Error;
use lockstep_qmp::registry::Registry;

pub(crate) use block::{add_node, blockdev_del};
pub(crate) use block_query::{device_of_drive, query_block, query_blockstats, query_named_block_nodes};
pub(crate) use char::{
    add_backend, change_backend, chardev_remove, chardev_send_break, query_chardev, ringbuf_read, ringbuf_write,
};
pub use descriptors::Descriptors;
pub(crate) use descriptors::{closefd, getfd};
pub(crate) use dump::{memsave, named_target, pmemsave};
pub(crate) use generation::query_vm_generation_id;
pub use identity::compatible_version;
pub(crate) use identity::{query_kvm, query_name, query_uuid};
pub(crate) use input::query_mice;
pub(crate) use machines::{place, qom_path, query_cpus_fast, query_hotpluggable_cpus, query_iothreads};
pub(crate) use memory::{query_memdev, query_memory_devices, query_memory_size_summary};
pub(crate) use migration::{
    migrate, migrate_cancel, migrate_set_capabilities, query_migrate, query_migrate_capabilities,
};
pub(crate) use net::{netdev_add, netdev_del, set_link};
pub(crate) use objects::{object_add_typed, object_del};
pub(crate) use processors::type_name;
pub(crate) use qdev::{add_device, remove_device};
pub(crate) use qom::{qom_get, qom_list, qom_set, typed_value};
pub(crate) use replay::{query_replay, replay_break, replay_delete_break, replay_seek};
pub(crate) use run_state::query_status;
pub(crate) use stats::{x_query_ramblock, x_query_virtio};

/// Every command that this machine carries out.
pub fn registry() -> Registry<Control> {
    let mut registry = Registry::new();
    balloon::register(&mut registry);
    block::register(&mut registry);
    block_query::register(&mut registry);
    char::register(&mut registry);
    descriptors::register(&mut registry);
    dump::register(&mut registry);
    generation::register(&mut registry);
    identity::register(&mut registry);
    input::register(&mut registry);
    machines::register(&mut registry);
    memory::register(&mut registry);
    migration::register(&mut registry);
    net::register(&mut registry);
    objects::register(&mut registry);
    pci::register(&mut registry);
    processors::register(&mut registry);
    qdev::register(&mut registry);
    qom::register(&mut registry);
    replay::register(&mut registry);
    run_state::register(&mut registry);
    stats::register(&mut registry);
    acpi::register(&mut registry);
    throttle::register(&mut registry);
    tpm::register(&mut registry);
    ui::register(&mut registry);
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
