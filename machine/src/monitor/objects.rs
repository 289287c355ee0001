//! Objects: made and removed, and their properties looked at and set.

use super::error::CommandError;
use super::expression::{Arguments, STRING};
use super::{Answer, Desk};
use crate::commandline::Suboptions;
use crate::control;
use crate::run::Control;
use lockstep_qmp::Error;
use lockstep_qmp::commands::qom::{ObjectDel, ObjectPropertyInfo, QomGet, QomList, QomSet};

/// `object_add TYPE,id=ID[,PROPERTY=VALUE...]`.
pub(super) fn add(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let mut options = Suboptions::parse(&arguments.expect_text(STRING)?, Some("qom-type"));
    arguments.finish()?;
    let mut needed = |name| options.text(name).ok_or_else(|| CommandError::from(Error::missing(name)));
    let (ty, id) = (needed("qom-type")?, needed("id")?);
    let given = options.rest().into_iter().map(|(name, text)| (name, text.into())).collect();
    control::object_add_typed(control, &ty, &id, &given)?;
    Ok(String::new())
}

/// `object_del ID`.
pub(super) fn remove(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let id = arguments.expect_text(STRING)?;
    arguments.finish()?;
    control::object_del(control, ObjectDel { id })?;
    Ok(String::new())
}

/// `qom-list [PATH]`; without a path, where paths begin.
pub(super) fn list(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let path = arguments.text()?;
    arguments.finish()?;
    let Some(path) = path else { return Ok("/".to_owned()) };
    let properties = control::qom_list(control, QomList { path })?;
    let line = |ObjectPropertyInfo { name, ty, .. }: ObjectPropertyInfo| format!("{name} ({ty})\n");
    Ok(properties.into_iter().map(line).collect())
}

/// `qom-get PATH PROPERTY`: the value as JSON.
pub(super) fn get(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let (path, property) = (arguments.expect_text(STRING)?, arguments.expect_text(STRING)?);
    arguments.finish()?;
    Ok(format!("{:#}", control::qom_get(control, QomGet { path, property })?))
}

/// `qom-set [-j] PATH PROPERTY VALUE`: the value as it would be typed for an option, or as JSON.
pub(super) fn set(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let as_json = arguments.flags("j")?.contains('j');
    let (path, property) = (arguments.expect_text(STRING)?, arguments.expect_text(STRING)?);
    let text = arguments.expect_text(STRING)?;
    arguments.finish()?;
    let value = if as_json {
        serde_json::from_str(&text).map_err(|why| CommandError::Host(format!("JSON parse error, {why}")))?
    } else {
        control::typed_value(control, &path, &property, &text)?
    };
    control::qom_set(control, QomSet { path, property, value })?;
    Ok(String::new())
}
