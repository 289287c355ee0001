//! Devices: what can be set on them, and plugging them in and asking them back.

use super::char::used;
use super::qom::resolve;
use crate::commandline::{DeviceConfig, cpu_model, is_place, number};
use crate::object_model::{Node, Placed, Tree, Types, What, is_identifier};
use crate::run::{Control, PlugError};
use lockstep_devices::catalog::{Creatable, Entry};
use lockstep_devices::dimm::DimmConfig;
use lockstep_devices::parts::PartBus;
use lockstep_devices::properties::{Kind, Property, PropertyError};
use lockstep_devices::virtio::RngConfig;
use lockstep_qmp::Error;
use lockstep_qmp::commands::qdev::{DeviceAdd, DeviceDel, DeviceListProperties, DevicePropertyInfo};
use lockstep_qmp::registry::{Answer, Registry};
use serde_json::Value;

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(device_list_properties).on(add_device).on(remove_device);
}

fn device_list_properties(_: &mut Control, command: DeviceListProperties) -> Answer<Vec<DevicePropertyInfo>> {
    let types = Types::new();
    let ty = types.find(&command.typename).ok_or_else(|| Error::device_not_found(&command.typename))?;
    if ty.is_abstract || !types.is_a(ty, "device") {
        return Err(Error::expects("typename", "a non-abstract device type"));
    }
    let settings = types.properties(ty).into_iter().filter(|property| property.setting);
    Ok(settings
        .map(|property| DevicePropertyInfo {
            name: property.name,
            ty: property.ty,
            description: property.about,
            default_value: property.default,
        })
        .collect())
}

/// A name in the catalog, or a word on why it is none.
fn driver(types: &Types, name: &str) -> Answer<&'static Entry> {
    let name = Entry::find(name).map_or(name, |entry| entry.name);
    let ty = types.find(name).filter(|ty| types.is_a(ty, "device"));
    let ty = ty.ok_or_else(|| Error::new(format!("'{name}' is not a valid device model name")))?;
    if ty.is_abstract {
        return Err(Error::expects("driver", "a non-abstract device type"));
    }
    Entry::find(name).ok_or_else(|| Error::expects("driver", "a pluggable device type"))
}

/// Everything about the device is checked before it is plugged in.
pub(crate) fn add_device(control: &mut Control, command: DeviceAdd) -> Answer<()> {
    let tree = Tree::of(control);
    if cpu_model(&command.driver).is_some() {
        return add_processor(control, command);
    }
    let entry = driver(&tree.types, &command.driver)?;
    let bus = bus_for(control, &tree, entry, command.bus.as_deref())?;
    check_name(control, command.id.as_ref())?;
    let (known, mut typed) = (entry.properties(), Vec::new());
    let of_type = tree.types.find(entry.name).map(|ty| tree.types.properties(ty)).unwrap_or_default();
    let mut own = Vec::new();
    for (name, value) in &command.properties {
        let text = text_of(name, value)?;
        typed.push((name.clone(), text.clone()));
        match known.iter().find(|property| property.name == name) {
            Some(property) => {
                check_source(control, entry, name, &text)?;
                check_reference(control, entry, property, &text)?;
                own.push((name.clone(), text));
            }
            None if of_type.iter().any(|property| property.setting && property.name == *name) => {
                check_board_property(entry, name, &text)?;
            }
            None => return Err(Error::new(format!("Property '{}.{name}' not found", entry.name))),
        }
    }
    entry.check(&own).map_err(|why| wrong(entry, &known, why))?;
    let lacks_drive =
        |property: &&Property| property.kind == Kind::Drive && !own.iter().any(|(name, _)| name == property.name);
    if entry.part_bus().is_none() && known.iter().any(|property| lacks_drive(&property)) {
        return Err(Error::new("drive property not set"));
    }
    if entry.name == DimmConfig::NAME {
        let device = placed(entry, command.id, typed);
        check_backend(control, &device)?;
        return control.plug_module(device).map_err(refused);
    }
    if entry.part_bus() == Some(PartBus::VirtioSerial) {
        let console = tree.bus(&bus).and_then(|at| tree.device_of_bus(at));
        let console = console.ok_or_else(|| Error::new(format!("Bus '{bus}' not found")))?;
        typed.retain(|(name, _)| name != "bus");
        typed.push(("bus".to_owned(), bus.clone()));
        return control.plug_port(placed(entry, command.id, typed), console, &bus).map_err(refused);
    }
    if !entry.is_pci() {
        return Err(Error::new(format!("Bus '{bus}' does not support hotplugging")));
    }
    typed.extend(command.bus.map(|bus| ("bus".to_owned(), bus)));
    control.plug(placed(entry, command.id, typed), &bus).map_err(refused)
}

/// A device's name has to be one, and no other device's.
fn check_name(control: &Control, id: Option<&String>) -> Answer<()> {
    match id {
        Some(id) if !is_identifier(id) => Err(Error::expects("id", "an identifier")),
        Some(id) if control.config.devices.iter().any(|device| device.id.as_ref() == Some(id)) => {
            Err(Error::new(format!("Duplicate device ID '{id}'")))
        }
        Some(_) | None => Ok(()),
    }
}

/// A processor has nothing to set but its place.
fn add_processor(control: &mut Control, command: DeviceAdd) -> Answer<()> {
    let driver = command.driver;
    if let Some(bus) = &command.bus {
        return Err(Error::new(format!("Bus '{bus}' not found")));
    }
    check_name(control, command.id.as_ref())?;
    let mut properties = Vec::new();
    for (name, value) in &command.properties {
        if !is_place(name) {
            return Err(Error::new(format!("Property '{driver}.{name}' not found")));
        }
        let text = text_of(name, value)?;
        if text != "-1" && number(&text).is_none() {
            return Err(Error::mistyped(name, "integer"));
        }
        properties.push((name.clone(), text));
    }
    let origin = format!("device_add {driver}");
    let device = DeviceConfig { driver, id: command.id, origin, properties };
    control.plug_processor(device).map_err(refused)
}

fn placed(entry: &Entry, id: Option<String>, properties: Vec<(String, String)>) -> DeviceConfig {
    let origin = format!("device_add {}", entry.name);
    DeviceConfig { driver: entry.name.into(), id, origin, properties }
}

/// What a memory module names as its backend has to be one.
fn check_backend(control: &Control, device: &DeviceConfig) -> Answer<()> {
    const NAME: &str = "memdev";
    let Some(id) = device.property(NAME) else { return Ok(()) };
    match control.objects.find(id) {
        None => Err(Error::device_not_found(id)),
        Some(object) if !object.kind.ty.starts_with("memory-backend-") => Err(Error::mistyped(NAME, "memory-backend")),
        Some(_) => Ok(()),
    }
}

/// What an entropy device names as its source has to be one.
fn check_source(control: &mut Control, entry: &Entry, name: &str, id: &str) -> Answer<()> {
    const NAME: &str = "rng";
    if entry.name != RngConfig::NAME || name != NAME || id.is_empty() {
        return Ok(());
    }
    if control.objects.find(id).is_some_and(|object| object.kind.ty.starts_with("rng-")) {
        return Ok(());
    }
    // The machine's own memory is among the objects too.
    match Tree::of(control).resolve(&format!("/objects/{id}")) {
        Ok(_) => Err(Error::new(format!("Invalid parameter type for '{NAME}', expected: rng-backend"))),
        Err(_) => Err(Error::device_not_found(id)),
    }
}

fn refused(why: PlugError) -> Error {
    Error::new(why.to_string())
}

/// The bus that a device goes on, by its name.
fn bus_for(control: &Control, tree: &Tree, entry: &Entry, asked: Option<&str>) -> Answer<String> {
    let wanted = match entry.part_bus() {
        Some(bus) => bus.name(),
        None if tree.types.named_is_a(entry.name, "pci-device") => "PCI",
        None if tree.types.named_is_a(entry.name, "isa-device") => "ISA",
        None => "System",
    };
    let at = match asked {
        Some(name) if wanted == "PCI" && control.board.has_pci_bus(name) => return Ok(name.into()),
        Some(name) => tree.bus(name).ok_or_else(|| Error::new(format!("Bus '{name}' not found")))?,
        None => tree
            .bus_of_type(wanted)
            .ok_or_else(|| Error::new(format!("No '{wanted}' bus found for device '{}'", entry.name)))?,
    };
    let Node { name, ty, .. } = tree.node(at);
    if ty != wanted {
        return Err(Error::new(format!("Device '{}' can't go on {ty} bus", entry.name)));
    }
    Ok(if ty == "System" { "main-system-bus".into() } else { name.clone() })
}

/// A value as it would be typed.
fn text_of(name: &str, value: &Value) -> Answer<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(on) => Ok(if *on { "on" } else { "off" }.into()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(Error::mistyped(name, "string")),
    }
}

/// What a property names has to be there.
fn check_reference(control: &Control, entry: &Entry, property: &Property, text: &str) -> Answer<()> {
    let config = &control.config;
    let there = match property.kind {
        Kind::Chardev if config.chardev(text).is_some_and(|chardev| !chardev.mux) && used(control, text) => {
            let property = format!("{}.{}", entry.name, property.name);
            return Err(Error::new(format!("Property '{property}' can't take value '{text}', it's in use")));
        }
        Kind::Chardev => config.chardev(text).is_some(),
        Kind::Drive => {
            config.drives.iter().any(|drive| drive.id == text) || config.nodes.iter().any(|node| node.name == text)
        }
        Kind::Number(_) | Kind::Switch | Kind::OnOffAuto | Kind::Text => true,
    };
    if there {
        return Ok(());
    }
    Err(Error::new(format!("Property '{}.{}' can't find value '{text}'", entry.name, property.name)))
}

/// Properties that the board reads.
fn check_board_property(entry: &Entry, name: &str, text: &str) -> Answer<()> {
    let good = match name {
        "addr" => crate::board::slot_and_function(text).is_some(),
        "multifunction" => lockstep_devices::properties::switch(text).is_some(),
        "werror" => ["auto", "report", "ignore", "enospc", "stop"].contains(&text),
        "rerror" => ["auto", "report", "ignore", "stop"].contains(&text),
        _ => true,
    };
    match (good, name) {
        (true, _) => Ok(()),
        (false, "multifunction") => Err(Error::expects(name, "'on' or 'off'")),
        (false, "addr") => Err(Error::new(format!("Property '{}.addr' doesn't take value '{text}'", entry.name))),
        (false, _) => Err(Error::not_accepted(name, text)),
    }
}

/// What the device says of its properties, in QEMU's words.
fn wrong(entry: &Entry, known: &[Property], why: PropertyError) -> Error {
    let PropertyError::Value { name, value, wanted } = why else { return Error::new(why.to_string()) };
    match known.iter().find(|property| property.name == name).map(|property| property.kind) {
        Some(Kind::Number(_)) if wanted.starts_with("use a number") => Error::expects(name, "integer"),
        Some(Kind::Switch) => Error::expects(name, "'on' or 'off'"),
        Some(Kind::OnOffAuto) => Error::not_accepted(name, &value),
        _ => Error::new(format!("Property '{}.{name}' doesn't take value '{value}'", entry.name)),
    }
}

/// The guest is asked to let go of a device.
pub(crate) fn remove_device(control: &mut Control, command: DeviceDel) -> Answer<()> {
    let id = command.id;
    let tree = Tree::of(control);
    let path = if id.starts_with('/') { id.clone() } else { format!("/machine/peripheral/{id}") };
    let at = resolve(&tree, &path).map_err(|_| Error::device_not_found(&id))?;
    let node = tree.node(at);
    if let What::Device(Placed { id: Some(id), .. }) = &node.what
        && let Some(outcome) = control.unplug_port(id)
    {
        return outcome.map_err(refused);
    }
    let of_bus = || match node.bus.map(|bus| tree.node(bus)) {
        Some(bus) if bus.ty == "System" => Error::new("Bus 'main-system-bus' does not support hotplugging"),
        Some(bus) if bus.ty == "PCI" => Error::new(format!("Device '{}' does not support hotplugging", node.ty)),
        Some(bus) => Error::new(format!("Bus '{}' does not support hotplugging", bus.name)),
        None => Error::new(format!("Device '{}' does not support hotplugging", node.ty)),
    };
    match &node.what {
        What::Cpu(number) => control.unplug_processor(*number as u8).map_err(refused),
        What::Device(placed) => match placed.device.filter(|device| control.board.machine.can_go(*device)) {
            Some(device) => control.unplug(device).map_err(refused),
            None => Err(of_bus()),
        },
        _ => Err(Error::new(format!("{id} is not a hotpluggable device"))),
    }
}
