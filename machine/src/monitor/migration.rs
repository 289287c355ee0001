//! Migration: asked for, and what there is to be told of it. The machine does not move.

use super::error::CommandError;
use super::expression::{Arguments, STRING};
use super::{Answer, Desk};
use crate::control;
use crate::run::Control;
use lockstep_qmp::commands::migration::{
    Migrate, MigrateCancel, MigrateSetCapabilities, MigrationCapability, MigrationCapabilityStatus, QueryMigrate,
    QueryMigrateCapabilities,
};
use std::fmt::Write;

/// `migrate [-d] [-b] [-i] [-r] URI`.
pub(super) fn migrate(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let flags = arguments.flags("dbir")?;
    let uri = arguments.expect_text(STRING)?;
    arguments.finish()?;
    let has = |flag| Some(flags.contains(flag));
    let command = Migrate { uri, blk: has('b'), inc: has('i'), detach: has('d'), resume: has('r') };
    control::migrate(control, command)?;
    Ok(String::new())
}

/// `migrate_cancel`.
pub(super) fn cancel(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    control::migrate_cancel(control, MigrateCancel {})?;
    Ok(String::new())
}

/// `migrate_set_capability CAPABILITY on|off`.
pub(super) fn set_capability(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let name = arguments.expect_text(STRING)?;
    let state = arguments.switch()?;
    arguments.finish()?;
    let known = MigrationCapability::ALL.iter().find(|capability| capability.name() == name);
    let capability = *known.ok_or(CommandError::InvalidValue(name))?;
    let capabilities = vec![MigrationCapabilityStatus { capability, state }];
    control::migrate_set_capabilities(control, MigrateSetCapabilities { capabilities })?;
    Ok(String::new())
}

/// `info migrate`.
pub(super) fn show(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let info = control::query_migrate(control, QueryMigrate {})?;
    let mut text = String::new();
    if let Some(reasons) = info.blocked_reasons.filter(|reasons| !reasons.is_empty()) {
        let _ = writeln!(text, "Outgoing migration blocked:\n  {}", reasons.join("\n  "));
    }
    if let Some(status) = info.status {
        let _ = writeln!(text, "Migration status: {}", status.name());
    }
    Ok(text)
}

/// `info migrate_capabilities`.
pub(super) fn capabilities(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let capabilities = control::query_migrate_capabilities(control, QueryMigrateCapabilities {})?;
    let line = |MigrationCapabilityStatus { capability, state }: &MigrationCapabilityStatus| {
        format!("{}: {}\n", capability.name(), if *state { "on" } else { "off" })
    };
    Ok(capabilities.iter().map(line).collect())
}
