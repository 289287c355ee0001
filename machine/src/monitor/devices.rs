//! `device_add` and `device_del`: devices that come and go; and `info qdm`: the drivers that there are.

use super::error::CommandError;
use super::expression::{Arguments, STRING};
use super::{Answer, Desk};
use crate::commandline::Suboptions;
use crate::control::{add_device, remove_device};
use crate::object_model::Types;
use crate::run::Control;
use lockstep_devices::catalog::Entry;
use lockstep_qmp::Error;
use lockstep_qmp::commands::qdev::{DeviceAdd, DeviceDel};

/// `device_add DRIVER[,PROPERTY=VALUE...]`.
pub(super) fn add(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let mut options = Suboptions::parse(&arguments.text()?.unwrap_or_default(), Some("driver"));
    arguments.finish()?;
    let driver = options.text("driver").ok_or_else(|| CommandError::from(Error::missing("driver")))?;
    let (bus, id) = (options.text("bus"), options.text("id"));
    let properties = options.rest().into_iter().map(|(name, value)| (name, value.into())).collect();
    add_device(control, DeviceAdd { driver, bus, id, properties })?;
    Ok(String::new())
}

/// `device_del ID`.
pub(super) fn remove(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let id = arguments.expect_text(STRING)?;
    arguments.finish()?;
    remove_device(control, DeviceDel { id })?;
    Ok(String::new())
}

/// `info qdm`: the drivers, the bus that each needs, and what they are.
pub(super) fn drivers(_: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let types = Types::new();
    let line = |entry: &Entry| {
        let bus = match entry.part_bus() {
            Some(bus) => format!(", bus {}", bus.name()),
            None if types.named_is_a(entry.name, "pci-device") => ", bus PCI".to_owned(),
            None if types.named_is_a(entry.name, "isa-device") => ", bus ISA".to_owned(),
            None => String::new(),
        };
        format!("name \"{}\"{bus}, desc \"{}\"\n", entry.name, entry.about)
    };
    Ok(Entry::all().map(line).collect())
}
