//! `device_add` and `device_del`: devices that come and go.

use super::error::CommandError;
use super::expression::Arguments;
use super::{Answer, Desk};
use crate::commandline::Suboptions;
use crate::control::{add_device, remove_device};
use crate::run::Control;
use lockstep_qmp::commands::qdev::{DeviceAdd, DeviceDel};

/// `device_add DRIVER[,PROPERTY=VALUE...]`.
pub(super) fn add(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let mut options = Suboptions::parse(arguments.expect_word("DRIVER")?, Some("driver"));
    arguments.finish()?;
    let driver = options.text("driver").ok_or(CommandError::Missing("DRIVER"))?;
    let (bus, id) = (options.text("bus"), options.text("id"));
    let properties = options.rest().into_iter().map(|(name, value)| (name, value.into())).collect();
    add_device(control, DeviceAdd { driver, bus, id, properties }).map_err(|why| CommandError::Host(why.desc))?;
    Ok(String::new())
}

/// `device_del ID`.
pub(super) fn remove(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let id = arguments.expect_word("ID")?.to_owned();
    arguments.finish()?;
    remove_device(control, DeviceDel { id }).map_err(|why| CommandError::Host(why.desc))?;
    Ok(String::new())
}
