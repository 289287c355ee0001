//! Commands that say whether and how the machine runs.

use super::error::CommandError;
use super::expression::{Arguments, STRING};
use super::{Answer, Desk};
use crate::chardev::QuitCause;
use crate::run::Control;
use lockstep_fabric::actions::UnknownAction;

pub(super) fn stop(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    control.stop()?;
    Ok(String::new())
}

pub(super) fn cont(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    control.resume()?;
    Ok(String::new())
}

pub(super) fn reset(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    control.reset()?;
    Ok(String::new())
}

pub(super) fn powerdown(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    control.press_power_button()?;
    Ok(String::new())
}

pub(super) fn wakeup(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    control.wake_up()?;
    Ok(String::new())
}

pub(super) fn nmi(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    control.inject_nmi()?;
    Ok(String::new())
}

pub(super) fn watchdog_action(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let word = arguments.expect_word(STRING)?;
    arguments.finish()?;
    control.set_watchdog_action(word.parse().map_err(|_: UnknownAction| CommandError::InvalidValue(word.into()))?)?;
    Ok(String::new())
}

pub(super) fn quit(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    control.quit(QuitCause::Monitor);
    Ok(String::new())
}

pub(super) fn cpu(control: &mut Control, desk: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let index = arguments.number(&|_| None)?;
    arguments.finish()?;
    let index = usize::try_from(index).ok().filter(|index| control.board.machine.cpu(*index).is_some());
    desk.selected = index.ok_or(CommandError::NoCpu)?;
    Ok(String::new())
}
