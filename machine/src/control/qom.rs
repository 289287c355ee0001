//! The object model: looked at, and written where an object takes it while it is there.

use super::denied;
use crate::commandline::{number, size};
use crate::object_model::{Node, Placed, Property, Tree, Type, Types, Unresolved, What, read};
use crate::run::Control;
use lockstep_devices::properties::switch;
use lockstep_fabric::{BalloonOrder, DeviceId, Input};
use lockstep_qmp::commands::qom::{
    ObjectPropertyInfo, ObjectTypeInfo, QomGet, QomList, QomListProperties, QomListTypes, QomSet,
};
use lockstep_qmp::registry::{Answer, Registry};
use lockstep_qmp::{Error, ErrorClass};
use serde_json::Value;

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(qom_list).on(qom_get).on(qom_set).on(qom_list_types).on(qom_list_properties);
}

/// Finds the object of a path.
pub(super) fn resolve(tree: &Tree, path: &str) -> Answer<usize> {
    tree.resolve(path).map_err(|why| match why {
        Unresolved::Absent => Error::device_not_found(path),
        Unresolved::Ambiguous => Error::new(format!("Path '{path}' is ambiguous")),
    })
}

fn told(property: Property) -> ObjectPropertyInfo {
    ObjectPropertyInfo { name: property.name, ty: property.ty, description: property.about, default_value: None }
}

pub(crate) fn qom_list(control: &mut Control, command: QomList) -> Answer<Vec<ObjectPropertyInfo>> {
    let tree = Tree::of(control);
    let at = resolve(&tree, &command.path)?;
    let own = tree.types.find(&tree.node(at).ty).map(|ty| tree.types.properties(ty)).unwrap_or_default();
    let parts = tree.children(at).map(|(_, node)| Property::new(node.name.as_str(), format!("child<{}>", node.ty)));
    Ok(own
        .into_iter()
        .chain(parts)
        .map(|property| ObjectPropertyInfo { description: None, ..told(property) })
        .collect())
}

pub(crate) fn qom_get(control: &mut Control, command: QomGet) -> Answer<Value> {
    let tree = Tree::of(control);
    let at = resolve(&tree, &command.path)?;
    read(control, &tree, at, &command.property).ok_or_else(|| absent(tree.node(at), &command.property))
}

fn absent(node: &Node, property: &str) -> Error {
    Error::new(format!("Property '{}.{property}' not found", node.ty))
}

fn not_writable(node: &Node, property: &str) -> Error {
    Error::new(format!("Property '{}.{property}' is not writable", node.ty))
}

pub(crate) fn qom_set(control: &mut Control, command: QomSet) -> Answer<()> {
    let QomSet { path, property: name, value } = command;
    let tree = Tree::of(control);
    let at = resolve(&tree, &path)?;
    let node = tree.node(at);
    if tree.children(at).any(|(_, part)| part.name == name) {
        return Err(not_writable(node, &name));
    }
    let properties = tree.types.find(&node.ty).map(|ty| tree.types.properties(ty)).unwrap_or_default();
    let property = properties.iter().find(|property| property.name == name).ok_or_else(|| absent(node, &name))?;
    match &node.what {
        What::Object(id) if name != "type" => {
            let id = id.clone();
            let mut object = control.objects.find(&id).cloned().ok_or_else(|| Error::device_not_found(&id))?;
            object.set(&name, &value)?;
            if let Some(limits) = object.throttle_limits() {
                control.throttle_group(&id, limits).map_err(denied)?;
            }
            control.objects.find_mut(&id).into_iter().for_each(|there| *there = object.clone());
            Ok(())
        }
        What::Device(Placed { device: Some(device), .. }) if name == "guest-stats-polling-interval" => {
            poll_statistics(control, *device, &value)
        }
        What::Device(_) | What::Cpu(_) if name == "realized" => match value {
            Value::Bool(true) => Ok(()),
            Value::Bool(false) => Err(Error::new(format!("Device '{}' does not support hotplugging", node.ty))),
            _ => Err(Error::mistyped(&name, "boolean")),
        },
        What::Device(placed) if property.setting => Err(too_late(node, &name, placed.id.as_deref())),
        What::Cpu(_) if property.setting => Err(too_late(node, &name, None)),
        What::Memory if name != "type" => Err(Error::new(format!("cannot change property '{name}' of {}", node.ty))),
        _ => Err(not_writable(node, &name)),
    }
}

/// What a typed text stands for, by the type of the property that it is for.
pub(crate) fn typed_value(control: &mut Control, path: &str, property: &str, text: &str) -> Answer<Value> {
    let tree = Tree::of(control);
    let node = tree.node(resolve(&tree, path)?);
    let properties = tree.types.find(&node.ty).map(|ty| tree.types.properties(ty)).unwrap_or_default();
    let property = properties.iter().find(|known| known.name == property).ok_or_else(|| absent(node, property))?;
    match property.ty.as_str() {
        "bool" => switch(text).map(Value::from).ok_or_else(|| Error::expects(&property.name, "'on' or 'off'")),
        "size" => size(text, 1).map(Value::from).ok_or_else(|| Error::expects(&property.name, "size")),
        ty if ty.starts_with("int") || ty.starts_with("uint") => {
            let signed = text.parse::<i64>().ok().map(Value::from);
            let value = signed.or_else(|| number(text).map(Value::from));
            value.ok_or_else(|| Error::expects(&property.name, "integer"))
        }
        _ => Ok(text.into()),
    }
}

/// A device is what it was made to be.
fn too_late(node: &Node, property: &str, id: Option<&str>) -> Error {
    let who = id.map_or_else(|| "anonymous device".to_owned(), |id| format!("device '{id}'"));
    Error::new(format!("Attempt to set property '{property}' on {who} (type '{}') after it was realized", node.ty))
}

/// Has a balloon ask its guest for statistics every so many seconds.
fn poll_statistics(control: &mut Control, balloon: DeviceId, seconds: &Value) -> Answer<()> {
    let seconds = seconds.as_i64().ok_or_else(|| Error::mistyped("guest-stats-polling-interval", "integer"))?;
    if seconds < 0 {
        return Err(Error::new("timer value must be greater than zero"));
    }
    let seconds = u32::try_from(seconds).map_err(|_| Error::new("timer value is too big"))?;
    control.input(balloon, Input::Balloon(BalloonOrder::Poll(seconds))).map_err(denied)
}

fn qom_list_types(_: &mut Control, command: QomListTypes) -> Answer<Vec<ObjectTypeInfo>> {
    let types = Types::new();
    let asked = |ty: &&Type| {
        (command.with_abstract.unwrap_or(false) || !ty.is_abstract)
            && command.implements.as_ref().is_none_or(|of| types.is_a(ty, of))
    };
    Ok(types
        .all()
        .filter(asked)
        .map(|ty| ObjectTypeInfo {
            name: ty.name.clone(),
            is_abstract: ty.is_abstract.then_some(true),
            parent: ty.parent.map(str::to_owned),
        })
        .collect())
}

fn qom_list_properties(_: &mut Control, command: QomListProperties) -> Answer<Vec<ObjectPropertyInfo>> {
    let types = Types::new();
    let ty = types
        .find(&command.typename)
        .ok_or_else(|| Error::of(ErrorClass::DeviceNotFound, format!("Class '{}' not found", command.typename)))?;
    Ok(types.properties(ty).into_iter().map(told).collect())
}
