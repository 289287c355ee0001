//! The mouse: what an operator does with it, and `info mice`.

use super::error::CommandError;
use super::expression::{Arguments, STRING};
use super::{Answer, Desk};
use crate::control::query_mice;
use crate::run::Control;
use lockstep_fabric::MouseMotion;
use lockstep_qmp::commands::ui::{MouseInfo, QueryMice};
use std::fmt::Write;

/// The buttons that there are.
const BUTTONS: u8 = 0x1f;

/// `mouse_move DX DY [DZ]`: to the right, down, and the wheel towards the user.
pub(super) fn mouse_move(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let right = counts(arguments.expect_word(STRING)?)?;
    let down = counts(arguments.expect_word(STRING)?)?;
    let wheel = arguments.word().map_or(Ok(0), counts)?;
    arguments.finish()?;
    let up = down.checked_neg().unwrap_or(i16::MAX);
    control.move_mouse(MouseMotion { right, up, wheel, buttons: None })?;
    Ok(String::new())
}

/// `mouse_button STATE`: the buttons that are down from now on.
pub(super) fn mouse_button(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let state = arguments.number(&|_| None)?;
    arguments.finish()?;
    let buttons = u8::try_from(state).ok().filter(|buttons| buttons & !BUTTONS == 0);
    let buttons = buttons.ok_or(CommandError::Range { what: "STATE", value: state })?;
    control.move_mouse(MouseMotion { buttons: Some(buttons), ..MouseMotion::default() })?;
    Ok(String::new())
}

/// `mouse_set INDEX`: the mouse that is moved from now on; there is one to choose from.
pub(super) fn mouse_set(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let index = arguments.number(&|_| None)?;
    arguments.finish()?;
    let mice = query_mice(control, QueryMice {})?;
    let there = mice.iter().any(|mouse| mouse.index.unsigned_abs() == index);
    let absent = || CommandError::Plain(format!("Mouse at index '{index}' not found"));
    there.then(String::new).ok_or_else(absent)
}

/// `info mice`.
pub(super) fn mice(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let mut text = String::new();
    for MouseInfo { name, index, current, absolute } in query_mice(control, QueryMice {})? {
        let mark = if current { '*' } else { ' ' };
        let _ = writeln!(text, "{mark} Mouse #{index}: {name}{}", if absolute { " (absolute)" } else { "" });
    }
    Ok(if text.is_empty() { "No mouse devices connected".to_owned() } else { text })
}

/// A number with or without a sign.
fn counts(word: &str) -> Result<i16, CommandError> {
    word.parse().map_err(|_| CommandError::Expected { what: "a number from -32768 to 32767", found: word.to_owned() })
}
