//! The mouse: what an operator does with it, and `info mice`.

use super::error::CommandError;
use super::expression::Arguments;
use super::{Answer, Desk};
use crate::run::Control;
use lockstep_fabric::MouseMotion;

/// The buttons that there are.
const BUTTONS: u8 = 0x1f;

/// `mouse_move DX DY [DZ]`: to the right, down, and the wheel towards the user.
pub(super) fn mouse_move(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let right = counts(arguments.expect_word("DX")?)?;
    let down = counts(arguments.expect_word("DY")?)?;
    let wheel = arguments.word().map_or(Ok(0), counts)?;
    arguments.finish()?;
    let up = down.checked_neg().unwrap_or(i16::MAX);
    control.move_mouse(MouseMotion { right, up, wheel, buttons: None })?;
    Ok(String::new())
}

/// `mouse_button STATE`: the buttons that are down from now on.
pub(super) fn mouse_button(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let state = arguments.number("STATE", &|_| None)?;
    arguments.finish()?;
    let buttons = u8::try_from(state).ok().filter(|buttons| buttons & !BUTTONS == 0);
    let buttons = buttons.ok_or(CommandError::Range { what: "STATE", value: state })?;
    control.move_mouse(MouseMotion { buttons: Some(buttons), ..MouseMotion::default() })?;
    Ok(String::new())
}

/// `info mice`.
pub(super) fn mice(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    Ok(match control.board.keyboard {
        Some(_) => "* Mouse #1: PS/2 mouse".to_owned(),
        None => "No mouse devices connected".to_owned(),
    })
}

/// A number with or without a sign.
fn counts(word: &str) -> Result<i16, CommandError> {
    word.parse().map_err(|_| CommandError::Expected { what: "a number from -32768 to 32767", found: word.to_owned() })
}
