//! `log`: what is logged of the vCPUs' doings, changed while the machine runs.

use super::error::CommandError;
use super::expression::{Arguments, FILE, STRING};
use super::{Answer, Desk};
use crate::chardev::host_words;
use crate::commandline::{LOG_ITEMS, LogConfig, is_log_item};
use crate::run::Control;
use crate::trace;

/// `logfile FILE`: the log goes to a new file from now on.
pub(super) fn logfile(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let file = arguments.expect_text(FILE)?;
    arguments.finish()?;
    let log = LogConfig { items: control.config.log.items.clone(), file: Some(file.clone().into()) };
    trace::start(&log, &mut control.board.machine)
        .map_err(|why| CommandError::Plain(format!("Error opening logfile {file}: {}", host_words(&why))))?;
    control.config.log = log;
    Ok(String::new())
}

/// What can be logged: what QEMU says to an item that is none.
fn known() -> String {
    let items = [("none", "nothing from now on")].iter().chain(&LOG_ITEMS);
    let lines: String = items.map(|(name, about)| format!("{name:<15} {about}\n")).collect();
    format!("Log items (comma separated):\n{lines}")
}

/// `log ITEM[,ITEM...]`: a word that is none is answered by those that are.
pub(super) fn log(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let items = arguments.expect_word(STRING)?;
    arguments.finish()?;
    let items: Vec<String> = match items {
        "none" => Vec::new(),
        items => items.split(',').map(str::to_owned).collect(),
    };
    if !items.iter().all(|item| is_log_item(item)) {
        return Ok(known());
    }
    let log = LogConfig { items, file: control.config.log.file.clone() };
    trace::change(&log, &mut control.board.machine).map_err(|error| CommandError::Host(error.to_string()))?;
    control.config.log = log;
    Ok(String::new())
}
