//! Migration: a machine that does not move.

use crate::run::Control;
use lockstep_qmp::Error;
use lockstep_qmp::commands::migration::{
    Migrate, MigrateCancel, MigrateSetCapabilities, MigrationCapability, MigrationCapabilityStatus, MigrationInfo,
    MigrationParameters, QueryMigrate, QueryMigrateCapabilities, QueryMigrateParameters,
};
use lockstep_qmp::registry::{Answer, Registry};

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(migrate).on(migrate_set_capabilities);
    registry.on(query_migrate).on(query_migrate_capabilities).on(query_migrate_parameters).on(migrate_cancel);
}

const BLOCKED: &str = "Lockstep does not migrate";

pub(crate) fn migrate(_: &mut Control, _: Migrate) -> Answer<()> {
    Err(Error::new(BLOCKED))
}

/// Clients may ask to be told how a migration goes, which then is nothing. All else would be a promise.
pub(crate) fn migrate_set_capabilities(control: &mut Control, command: MigrateSetCapabilities) -> Answer<()> {
    let harmless = |status: &&MigrationCapabilityStatus| status.capability == MigrationCapability::Events;
    let (events, others): (Vec<_>, Vec<_>) = command.capabilities.iter().partition(harmless);
    if let Some(wanted) = others.iter().find(|status| status.state) {
        return Err(Error::new(format!("Capability '{}' is not supported", wanted.capability.name())));
    }
    if let Some(status) = events.last() {
        control.migration_events = status.state;
    }
    Ok(())
}

pub(crate) fn query_migrate(_: &mut Control, _: QueryMigrate) -> Answer<MigrationInfo> {
    let blocked_reasons = Some(vec![BLOCKED.to_owned()]);
    Ok(MigrationInfo {
        status: None,
        total_time: None,
        downtime: None,
        setup_time: None,
        error_desc: None,
        blocked_reasons,
    })
}

pub(crate) fn query_migrate_capabilities(
    control: &mut Control,
    _: QueryMigrateCapabilities,
) -> Answer<Vec<MigrationCapabilityStatus>> {
    let state = control.migration_events;
    Ok(vec![MigrationCapabilityStatus { capability: MigrationCapability::Events, state }])
}

fn query_migrate_parameters(_: &mut Control, _: QueryMigrateParameters) -> Answer<MigrationParameters> {
    Ok(MigrationParameters {
        announce_initial: None,
        announce_max: None,
        announce_rounds: None,
        announce_step: None,
        max_bandwidth: None,
        downtime_limit: None,
        multifd_channels: None,
    })
}

pub(crate) fn migrate_cancel(_: &mut Control, _: MigrateCancel) -> Answer<()> {
    Ok(())
}
