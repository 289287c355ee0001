//! `log`: what is logged of the vCPUs' doings, changed while the machine runs.

use super::error::CommandError;
use super::expression::Arguments;
use super::{Answer, Desk};
use crate::commandline::{LogConfig, is_log_item};
use crate::run::Control;
use crate::trace;

/// `logfile FILE`: the log goes to a new file from now on.
pub(super) fn logfile(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let file = arguments.expect_word("FILE")?;
    arguments.finish()?;
    let log = LogConfig { items: control.config.log.items.clone(), file: Some(file.into()) };
    trace::start(&log, &mut control.board.machine).map_err(|error| CommandError::Host(error.to_string()))?;
    control.config.log = log;
    Ok(String::new())
}

pub(super) fn log(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let items = arguments.expect_word("ITEMS")?;
    arguments.finish()?;
    let items: Vec<String> = match items {
        "none" => Vec::new(),
        items => items.split(',').map(str::to_owned).collect(),
    };
    if let Some(unknown) = items.iter().find(|item| !is_log_item(item)) {
        return Err(CommandError::UnknownLogItem(unknown.clone()));
    }
    let log = LogConfig { items, file: control.config.log.file.clone() };
    trace::change(&log, &mut control.board.machine).map_err(|error| CommandError::Host(error.to_string()))?;
    control.config.log = log;
    Ok(String::new())
}
