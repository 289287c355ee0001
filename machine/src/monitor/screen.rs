//! `screendump` and `info screen`: what a person in front of the machine would see.

use super::error::CommandError;
use super::expression::{Arguments, FILE, STRING};
use super::{Answer, Desk};
use crate::run::Control;
use crate::screen::{self, Format, Screen, ScreenError};
use lockstep_qmp::Error;
use std::path::Path;

/// `info screen`: the rows of characters, or what kind of picture there is.
pub(super) fn show(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let screen = Screen::of(&mut control.board).map_err(|why| refused(&why))?;
    let frame = &screen.frame;
    Ok(screen.text.unwrap_or_else(|| format!("graphics, {}x{}", frame.width, frame.height)))
}

/// `screendump FILE [-f png|ppm] [DEVICE [HEAD]]`: the picture to a file; PPM unless asked for PNG, by the option or by the
/// file's name.
pub(super) fn dump(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let file = arguments.expect_text(FILE)?;
    let file = Path::new(&file);
    let named = if file.extension().is_some_and(|e| e.eq_ignore_ascii_case("png")) { Format::Png } else { Format::Ppm };
    let asked = !arguments.flags("f")?.is_empty();
    let format = match asked.then(|| arguments.expect_word(STRING)).transpose()? {
        None => named,
        Some("png") => Format::Png,
        Some("ppm") => Format::Ppm,
        Some(other) => return Err(CommandError::InvalidValue(other.to_owned())),
    };
    let (device, head) = (arguments.text()?, arguments.plain_number()?);
    arguments.finish()?;
    if let Some(device) = device
        && (control.board.screen.is_none() || control.board.machine.bus.find(&device) != control.board.screen)
    {
        return Err(Error::device_not_found(&device).into());
    }
    if let Some(head @ 1..) = head {
        return Err(CommandError::Range { what: "head", value: head });
    }
    let screen = Screen::now(&mut control.board).map_err(|why| refused(&why))?;
    screen::dump(&screen.frame, format, file).map_err(|why| refused(&why))?;
    Ok(String::new())
}

fn refused(why: &ScreenError) -> CommandError {
    CommandError::Host(why.to_string())
}
