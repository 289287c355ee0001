//! Objects that users make and take away.

use super::denied;
use crate::object_model::Backend;
use crate::run::Control;
use lockstep_qmp::Error;
use lockstep_qmp::commands::qom::{ObjectAdd, ObjectDel};
use lockstep_qmp::registry::{Answer, Registry};
use serde_json::Value;

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(object_add).on(object_del);
}

/// The machine's own memory is found among the users' objects.
const MEMORY: &str = "pc.ram";
/// Properties of devices that name an object.
const REFERENCES: [&str; 3] = ["iothread", "memdev", "rng"];

/// Settings come beside the name, or, as QEMU 2.11 had it, in `props`.
fn object_add(control: &mut Control, command: ObjectAdd) -> Answer<()> {
    let mut given = command.properties;
    match command.props {
        None => {}
        Some(Value::Object(props)) => {
            if let Some(twice) = props.keys().find(|name| given.contains_key(*name)) {
                return Err(Error::unexpected(twice));
            }
            given.extend(props);
        }
        Some(_) => return Err(Error::mistyped("props", "object")),
    }
    if command.id == MEMORY && control.config.machine.memory_backend.is_none() {
        return Err(Error::new(format!("attempt to add duplicate property '{MEMORY}' to object (type 'container')")));
    }
    control.objects.add(&command.qom_type, &command.id, given)?;
    let limits = control.objects.find(&command.id).and_then(Backend::throttle_limits);
    if let Some(why) = limits.and_then(|limits| control.throttle_group(&command.id, limits).err()) {
        control.objects.remove(&command.id);
        return Err(denied(why));
    }
    Ok(())
}

fn object_del(control: &mut Control, command: ObjectDel) -> Answer<()> {
    let id = command.id;
    let named = |(name, value): &(String, String)| REFERENCES.contains(&name.as_str()) && *value == id;
    let nodes = &control.config.numa.nodes;
    let used = control.config.devices.iter().any(|device| device.properties.iter().any(named))
        || nodes.iter().any(|node| node.backend.as_ref() == Some(&id))
        || control.throttles(&id);
    match control.objects.find(&id) {
        _ if id == control.config.machine.memory_backend.as_deref().unwrap_or(MEMORY) => Err(in_use(&id)),
        None => Err(Error::new(format!("object '{id}' not found"))),
        Some(_) if used => Err(in_use(&id)),
        Some(_) => {
            control.objects.remove(&id);
            Ok(())
        }
    }
}

fn in_use(id: &str) -> Error {
    Error::new(format!("object '{id}' is in use, can not be deleted"))
}
