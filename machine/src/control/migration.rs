//! Migration: a machine that does not move.

use crate::run::Control;
use lockstep_qmp::commands::migration::{
    MigrateCancel, MigrationCapabilityStatus, MigrationInfo, MigrationParameters, QueryMigrate,
    QueryMigrateCapabilities, QueryMigrateParameters,
};
use lockstep_qmp::registry::{Answer, Registry};

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(query_migrate).on(query_migrate_capabilities).on(query_migrate_parameters).on(migrate_cancel);
}

fn query_migrate(_: &mut Control, _: QueryMigrate) -> Answer<MigrationInfo> {
    let blocked_reasons = Some(vec!["Lockstep does not migrate".to_owned()]);
    Ok(MigrationInfo {
        status: None,
        total_time: None,
        downtime: None,
        setup_time: None,
        error_desc: None,
        blocked_reasons,
    })
}

fn query_migrate_capabilities(_: &mut Control, _: QueryMigrateCapabilities) -> Answer<Vec<MigrationCapabilityStatus>> {
    Ok(Vec::new())
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

fn migrate_cancel(_: &mut Control, _: MigrateCancel) -> Answer<()> {
    Ok(())
}
