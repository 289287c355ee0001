//! The number by which a guest sees that it was taken back to an earlier state.

use crate::run::Control;
use lockstep_devices::vmgenid::VmGenId;
use lockstep_qmp::Error;
use lockstep_qmp::commands::memory::{GuidInfo, QueryVmGenerationId};
use lockstep_qmp::registry::{Answer, Registry};
use serde::Deserialize;

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(query_vm_generation_id);
}

pub(crate) fn query_vm_generation_id(control: &mut Control, _: QueryVmGenerationId) -> Answer<GuidInfo> {
    let bus = &mut control.board.machine.bus;
    let state = bus.devices().find_map(|id| {
        bus.with(id, |device, _| (device.kind() == "vmgenid").then(|| device.save().ok())).flatten().flatten()
    });
    let device = state.and_then(|state| VmGenId::deserialize(&state).ok());
    let device = device.ok_or_else(|| Error::new("VM Generation ID device not found"))?;
    Ok(GuidInfo { guid: uuid_text(device.guid()) })
}

/// A UUID as it is written, from how it lies in memory: its first three fields are little-endian there.
fn uuid_text([a, b, c, d, e, f, g, h, rest @ ..]: [u8; 16]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("{}-{}-{}-{}-{}", hex(&[d, c, b, a]), hex(&[f, e]), hex(&[h, g]), hex(&rest[..2]), hex(&rest[2..]))
}
