//! Networks, of which none is built.

use super::error::CommandError;
use super::expression::{Arguments, STRING};
use super::{Answer, Desk};
use crate::commandline::Suboptions;
use crate::control;
use crate::run::Control;
use lockstep_qmp::Error;
use lockstep_qmp::commands::net::{NetdevAdd, NetdevDel, SetLink};

/// `info network`: there are no network devices, so there is nothing to say.
pub(super) fn show(_: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    Ok(String::new())
}

/// `set_link NAME on|off`.
pub(super) fn set_link(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let name = arguments.expect_text(STRING)?;
    let up = arguments.switch()?;
    arguments.finish()?;
    control::set_link(control, SetLink { name, up })?;
    Ok(String::new())
}

/// `netdev_add TYPE,id=ID[,PROPERTY=VALUE...]`.
pub(super) fn add_backend(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let mut options = Suboptions::parse(&arguments.expect_text(STRING)?, Some("type"));
    arguments.finish()?;
    let mut needed = |name| options.text(name).ok_or_else(|| CommandError::from(Error::missing(name)));
    let (ty, id) = (needed("type")?, needed("id")?);
    let properties = options.rest().into_iter().map(|(name, value)| (name, value.into())).collect();
    control::netdev_add(control, NetdevAdd { ty, id, properties })?;
    Ok(String::new())
}

/// `netdev_del ID`.
pub(super) fn remove_backend(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let id = arguments.expect_text(STRING)?;
    arguments.finish()?;
    control::netdev_del(control, NetdevDel { id })?;
    Ok(String::new())
}
