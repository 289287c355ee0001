//! Whether the run is recorded or repeated, and where a replay stops.

use super::error::CommandError;
use super::expression::Arguments;
use super::{Answer, Desk};
use crate::control;
use crate::run::Control;
use lockstep_qmp::Error;
use lockstep_qmp::commands::replay::{QueryReplay, ReplayBreak, ReplayDeleteBreak, ReplayMode, ReplaySeek};

/// `info replay`.
pub(super) fn show(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let info = control::query_replay(control, QueryReplay {})?;
    let doing = match info.mode {
        ReplayMode::None => return Ok("Record/replay is not active".to_owned()),
        ReplayMode::Record => "Recording",
        ReplayMode::Play => "Replaying",
    };
    let file = info.filename.unwrap_or_default();
    Ok(format!("{doing} execution '{file}': instruction count = {}", info.icount))
}

fn refused(why: Error) -> CommandError {
    CommandError::Plain(why.desc)
}

/// The tick that is named.
fn tick(arguments: &mut Arguments<'_>) -> Result<i64, CommandError> {
    let tick = arguments.number(&|_| None)?.cast_signed();
    arguments.finish()?;
    Ok(tick)
}

/// `replay_break ICOUNT`.
pub(super) fn set_break(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let icount = tick(arguments)?;
    control::replay_break(control, ReplayBreak { icount }).map_err(refused)?;
    Ok(String::new())
}

/// `replay_delete_break`.
pub(super) fn delete_break(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    control::replay_delete_break(control, ReplayDeleteBreak {}).map_err(refused)?;
    Ok(String::new())
}

/// `replay_seek ICOUNT`.
pub(super) fn seek(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let icount = tick(arguments)?;
    control::replay_seek(control, ReplaySeek { icount }).map_err(refused)?;
    Ok(String::new())
}
