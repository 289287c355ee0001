//! Trusted platform modules: there are none.

use crate::run::Control;
use lockstep_qmp::commands::tpm::{QueryTpm, QueryTpmModels, QueryTpmTypes, TPMInfo, TpmModel, TpmType};
use lockstep_qmp::registry::{Answer, Registry};

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(query_tpm).on(query_tpm_models).on(query_tpm_types);
}

fn query_tpm(_: &mut Control, _: QueryTpm) -> Answer<Vec<TPMInfo>> {
    Ok(Vec::new())
}

fn query_tpm_models(_: &mut Control, _: QueryTpmModels) -> Answer<Vec<TpmModel>> {
    Ok(Vec::new())
}

fn query_tpm_types(_: &mut Control, _: QueryTpmTypes) -> Answer<Vec<TpmType>> {
    Ok(Vec::new())
}
