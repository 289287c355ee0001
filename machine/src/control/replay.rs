//! Whether the run is recorded or repeated, and where a replay stops.

use crate::commandline::RecordReplay;
use crate::run::Control;
use lockstep_fabric::Tick;
use lockstep_qmp::Error;
use lockstep_qmp::commands::replay::{QueryReplay, ReplayBreak, ReplayDeleteBreak, ReplayInfo, ReplayMode, ReplaySeek};
use lockstep_qmp::registry::{Answer, Registry};

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(query_replay).on(replay_break).on(replay_delete_break).on(replay_seek);
}

pub(crate) fn query_replay(control: &mut Control, _: QueryReplay) -> Answer<ReplayInfo> {
    let (mode, path) = match control.record_replay() {
        RecordReplay::Off => (ReplayMode::None, None),
        RecordReplay::Record(path) => (ReplayMode::Record, Some(path)),
        RecordReplay::Replay(path) => (ReplayMode::Play, Some(path)),
    };
    let filename = path.map(|path| path.display().to_string());
    Ok(ReplayInfo { mode, filename, icount: control.board.machine.now() as i64 })
}

/// A tick that a replay has not come to yet.
fn ahead(control: &Control, icount: i64, refused: [&str; 2]) -> Answer<Tick> {
    let [not_replayed, past] = refused;
    if !matches!(control.record_replay(), RecordReplay::Replay(_)) {
        return Err(Error::new(not_replayed));
    }
    let tick = Tick::try_from(icount).map_err(|_| Error::expects("icount", "a number of ticks"))?;
    if tick > control.board.machine.now() { Ok(tick) } else { Err(Error::new(past)) }
}

pub(crate) fn replay_break(control: &mut Control, command: ReplayBreak) -> Answer<()> {
    let refused =
        ["setting the breakpoint is allowed only in play mode", "cannot set breakpoint at the instruction in the past"];
    control.replay_break = Some(ahead(control, command.icount, refused)?);
    Ok(())
}

pub(crate) fn replay_delete_break(control: &mut Control, _: ReplayDeleteBreak) -> Answer<()> {
    if !matches!(control.record_replay(), RecordReplay::Replay(_)) {
        return Err(Error::new("replay breakpoints are allowed only in play mode"));
    }
    control.replay_break = None;
    Ok(())
}

/// A replay goes forward only: there are no snapshots that it could go back to.
pub(crate) fn replay_seek(control: &mut Control, command: ReplaySeek) -> Answer<()> {
    let refused = ["replay must be enabled to seek", "cannot seek to the specified instruction count"];
    control.replay_break = Some(ahead(control, command.icount, refused)?);
    control.resume().map_err(super::denied)
}
