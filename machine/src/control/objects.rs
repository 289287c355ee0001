//! Objects that users make and take away.

use super::denied;
use crate::object_model::{Backend, Objects};
use crate::run::Control;
use lockstep_qmp::Error;
use lockstep_qmp::commands::qom::{ObjectAdd, ObjectDel};
use lockstep_qmp::registry::{Answer, Registry};
use serde_json::{Map, Value};

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
    make(control, &command.id, |objects| objects.add(&command.qom_type, &command.id, given))
}

/// The same of typed words: a text stands for what its setting takes.
pub(crate) fn object_add_typed(control: &mut Control, ty: &str, id: &str, given: &Map<String, Value>) -> Answer<()> {
    make(control, id, |objects| objects.add_typed(ty, id, given))
}

/// Has `add` make the object of this name; a group of throttled drives limits them from now on.
fn make(control: &mut Control, id: &str, add: impl FnOnce(&mut Objects) -> Answer<()>) -> Answer<()> {
    if id == MEMORY && control.config.machine.memory_backend.is_none() {
        return Err(Error::new(format!("attempt to add duplicate property '{MEMORY}' to object (type 'container')")));
    }
    add(&mut control.objects)?;
    let limits = control.objects.find(id).and_then(Backend::throttle_limits);
    if let Some(why) = limits.and_then(|limits| control.throttle_group(id, limits).err()) {
        control.objects.remove(id);
        return Err(denied(why));
    }
    Ok(())
}

pub(crate) fn object_del(control: &mut Control, command: ObjectDel) -> Answer<()> {
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
