//! The balloon.

use super::denied;
use crate::run::Control;
use lockstep_devices::virtio::{Balloon, Class};
use lockstep_fabric::{BalloonOrder, DeviceId, Input};
use lockstep_qmp::Error;
use lockstep_qmp::commands::memory::{self, BalloonInfo, QueryBalloon};
use lockstep_qmp::registry::{Answer, Registry};
use serde_json::Value;

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(query_balloon).on(balloon);
}

/// The balloon and its state, if the machine has one.
fn find(control: &Control) -> Answer<(DeviceId, Value)> {
    let bus = &control.board.machine.bus;
    let saved = bus.save().map_err(|why| Error::new(why.to_string()))?;
    let found = bus.devices().find_map(|device| {
        let entry = saved.get("devices")?.get(bus.name(device))?;
        (entry.get("kind")? == Balloon::KIND).then(|| (device, entry.get("state").cloned().unwrap_or_default()))
    });
    found.ok_or_else(|| Error::device_not_active("balloon"))
}

/// Bytes of a page of the balloon, whatever the guest's pages are.
const PAGE: i64 = 4096;

fn query_balloon(control: &mut Control, _: QueryBalloon) -> Answer<BalloonInfo> {
    let (_, state) = find(control)?;
    let pages = state.pointer("/class/actual").and_then(Value::as_i64).unwrap_or(0);
    Ok(BalloonInfo { actual: control.config.memory.size as i64 - pages * PAGE })
}

fn balloon(control: &mut Control, command: memory::Balloon) -> Answer<()> {
    let (device, _) = find(control)?;
    let target = u64::try_from(command.value).ok().filter(|target| *target > 0);
    let target = target.ok_or_else(|| Error::expects("value", "a size"))?;
    let target = target.min(control.config.memory.size);
    control.input(device, Input::Balloon(BalloonOrder::Target(target))).map_err(denied)
}
