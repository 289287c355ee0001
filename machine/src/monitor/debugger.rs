//! `gdbserver`: where a debugger is awaited.

use super::error::CommandError;
use super::expression::Arguments;
use super::{Answer, Desk};
use crate::commandline::USUAL_DEBUGGER_DEVICE;
use crate::run::Control;

/// `gdbserver [DEV|none]`.
pub(super) fn serve(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let device = arguments.word().unwrap_or(USUAL_DEBUGGER_DEVICE).to_owned();
    arguments.finish()?;
    match control.await_debugger(&device) {
        Ok(true) => Ok(format!("Waiting for gdb connection on device '{device}'")),
        Ok(false) => Ok("Disabled gdbserver".to_owned()),
        Err(why) => Err(CommandError::Host(format!("Could not open gdbserver on device '{device}': {why}"))),
    }
}
