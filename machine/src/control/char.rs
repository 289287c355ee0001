//! Character devices.

use crate::commandline::Backend;
use crate::monitor::backend_name;
use crate::run::Control;
use lockstep_qmp::commands::char::{ChardevBackendInfo, ChardevInfo, QueryChardev, QueryChardevBackends};
use lockstep_qmp::registry::{Answer, Registry};

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(query_chardev).on(query_chardev_backends);
}

fn query_chardev(control: &mut Control, _: QueryChardev) -> Answer<Vec<ChardevInfo>> {
    let config = &control.config;
    let used = |id: &str| {
        config.monitors.iter().any(|other| other == id)
            || config.qmp.iter().any(|qmp| qmp.chardev == id)
            || control.board.ports.iter().any(|(_, other)| other == id)
    };
    Ok(config
        .chardevs
        .iter()
        .map(|chardev| ChardevInfo {
            label: chardev.id.clone(),
            filename: backend_name(&chardev.backend),
            frontend_open: used(&chardev.id),
        })
        .collect())
}

fn query_chardev_backends(_: &mut Control, _: QueryChardevBackends) -> Answer<Vec<ChardevBackendInfo>> {
    Ok(Backend::NAMES.iter().map(|name| ChardevBackendInfo { name: (*name).to_owned() }).collect())
}
