//! `-device`, `-global` and the network options that say there is none.

use super::config::{DeviceConfig, Global};
use super::draft::{Draft, Flow, Handled};
use super::error::Reason;
use super::suboptions::Suboptions;
use super::vocabulary::{check, driver_help};
use lockstep_cpu::cpuid::CpuModel;
use lockstep_devices::properties::Kind;

pub(super) fn device(draft: &mut Draft<'_>, argument: &str) -> Handled {
    if matches!(argument, "help" | "?") {
        return Ok(Flow::Print(draft.vocabulary.device_help()));
    }
    let mut options = Suboptions::parse_or_json(argument, Some("driver"))?;
    let name = options.required("driver")?;
    if cpu_model(&name).is_some() {
        return processor(draft, name, options);
    }
    let Some(driver) = draft.vocabulary.driver(&name) else {
        return Err(Reason::not_built(format!("device '{name}'")));
    };
    let id = options.text("id");
    if let Some(id) = &id
        && draft.config.devices.iter().any(|device| device.id.as_ref() == Some(id))
    {
        return Err(Reason::refused(format!("Duplicate ID '{id}' for device")));
    }
    let properties = options.rest();
    if properties.iter().any(|(key, value)| key == "help" && value == "on") {
        return Ok(Flow::Print(driver_help(driver)));
    }
    check(driver, &properties)?;
    let known = driver.properties();
    for (key, value) in &properties {
        if known.iter().any(|p| p.name == key && p.kind == Kind::Chardev) {
            draft.refer(value);
        }
    }
    draft.config.devices.push(DeviceConfig {
        driver: driver.name.to_owned(),
        id,
        origin: draft.current.clone(),
        properties,
    });
    Ok(Flow::Next)
}

/// How the type of a model's processors ends.
const CPU_TYPE: &str = "-x86_64-cpu";
/// Where a processor sits, which is all that can be set on it: what it is `-cpu` says for all.
const PLACES: [&str; 6] = ["socket-id", "die-id", "core-id", "thread-id", "apic-id", "node-id"];

/// The model of a type of processors.
pub(crate) fn cpu_model(driver: &str) -> Option<&str> {
    driver.strip_suffix(CPU_TYPE).filter(|model| CpuModel::names().any(|name| name == *model))
}

/// Whether a processor's place can be described by this.
pub(crate) fn is_place(property: &str) -> bool {
    PLACES.contains(&property)
}

/// `-device MODEL-x86_64-cpu,socket-id=...`.
fn processor(draft: &mut Draft<'_>, driver: String, mut options: Suboptions) -> Handled {
    let id = options.text("id");
    if let Some(id) = &id
        && draft.config.devices.iter().any(|device| device.id.as_ref() == Some(id))
    {
        return Err(Reason::refused(format!("Duplicate ID '{id}' for device")));
    }
    let properties = options.rest();
    if let Some((name, _)) = properties.iter().find(|(name, _)| !is_place(name)) {
        return Err(Reason::refused(format!("Property '{driver}.{name}' not found")));
    }
    let numeric = |value: &str| value == "-1" || super::values::number(value).is_some();
    if let Some((name, value)) = properties.iter().find(|(_, value)| !numeric(value)) {
        return Err(Reason::refused(format!("'{value}' is no value for '{name}': use a number")));
    }
    draft.config.devices.push(DeviceConfig { driver, id, origin: draft.current.clone(), properties });
    Ok(Flow::Next)
}

/// `-global driver.property=value` or `-global driver=d,property=p,value=v`. One for a driver that is not here is kept
/// and has no effect, as in QEMU: scripts set them for devices that a machine may or may not have.
pub(super) fn global(draft: &mut Draft<'_>, argument: &str) -> Handled {
    const SYNTAX: Reason = Reason::Expected("DRIVER.PROPERTY=VALUE");
    let (left, right) = argument.split_once('=').ok_or(SYNTAX)?;
    let global = match left.split_once('.') {
        Some((driver, property)) if !driver.is_empty() && !property.is_empty() => {
            Global { driver: driver.to_owned(), property: property.to_owned(), value: right.to_owned() }
        }
        Some(_) => return Err(SYNTAX),
        None => {
            let mut options = Suboptions::parse(argument, None);
            let global = Global {
                driver: options.required("driver")?,
                property: options.required("property")?,
                value: options.required("value")?,
            };
            options.finish()?;
            global
        }
    };
    draft.config.globals.push(global);
    Ok(Flow::Next)
}

/// `-net none` and `-nic none`: the machine has no network card, so this is how it is.
pub(super) fn no_network(_draft: &mut Draft<'_>, argument: &str) -> Handled {
    match argument {
        "none" => Ok(Flow::Next),
        _ => Err(Reason::not_built("a network card")),
    }
}

/// `-audiodev`: with the driver `none` what is played goes nowhere, and nothing here plays.
pub(super) fn audio(_draft: &mut Draft<'_>, argument: &str) -> Handled {
    let mut options = Suboptions::parse_or_json(argument, Some("driver"))?;
    let (driver, _) = (options.required("driver")?, options.required("id")?);
    if driver != "none" {
        return Err(Reason::not_built(format!("audio driver '{driver}'")));
    }
    options.text("timer-period");
    options.group("in");
    options.group("out");
    options.finish()?;
    Ok(Flow::Next)
}
