//! Whether the run is recorded or repeated.

use crate::commandline::RecordReplay;
use crate::run::Control;
use lockstep_qmp::commands::replay::{QueryReplay, ReplayInfo, ReplayMode};
use lockstep_qmp::registry::{Answer, Registry};

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(query_replay);
}

fn query_replay(control: &mut Control, _: QueryReplay) -> Answer<ReplayInfo> {
    let (mode, path) = match control.record_replay() {
        RecordReplay::Off => (ReplayMode::None, None),
        RecordReplay::Record(path) => (ReplayMode::Record, Some(path)),
        RecordReplay::Replay(path) => (ReplayMode::Play, Some(path)),
    };
    let filename = path.map(|path| path.display().to_string());
    Ok(ReplayInfo { mode, filename, icount: control.board.machine.now() as i64 })
}
