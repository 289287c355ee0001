//! The balloon.

use super::denied;
use crate::run::Control;
use lockstep_qmp::Error;
use lockstep_qmp::commands::memory::{self, BalloonInfo, QueryBalloon};
use lockstep_qmp::registry::{Answer, Registry};

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(query_balloon).on(balloon);
}

fn absent() -> Error {
    Error::device_not_active("balloon")
}

fn query_balloon(control: &mut Control, _: QueryBalloon) -> Answer<BalloonInfo> {
    Ok(BalloonInfo { actual: control.memory_left().ok_or_else(absent)? as i64 })
}

fn balloon(control: &mut Control, command: memory::Balloon) -> Answer<()> {
    // Without a balloon that is what is wrong, whatever the value.
    control.memory_left().ok_or_else(absent)?;
    let target = u64::try_from(command.value).ok().filter(|target| *target > 0);
    let target = target.ok_or_else(|| Error::expects("value", "a size"))?;
    control.set_memory_left(target).ok_or_else(absent)?.map_err(denied)
}
