//! `screendump` and `info screen`: what a person in front of the machine would see.

use super::error::CommandError;
use super::expression::Arguments;
use super::{Answer, Desk};
use crate::run::Control;
use crate::screen::{self, Format, Screen, ScreenError};
use std::path::Path;

/// `info screen`: the rows of characters, or what kind of picture there is.
pub(super) fn show(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let screen = Screen::of(&mut control.board).map_err(|why| refused(&why))?;
    let frame = &screen.frame;
    Ok(screen.text.unwrap_or_else(|| format!("graphics, {}x{}", frame.width, frame.height)))
}

/// `screendump FILE [-f png|ppm]`: the picture to a file; PPM unless asked for PNG, by the option or by the file's name.
pub(super) fn dump(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let file = Path::new(arguments.expect_word("FILE")?);
    let named = if file.extension().is_some_and(|e| e.eq_ignore_ascii_case("png")) { Format::Png } else { Format::Ppm };
    let format = match (arguments.word(), arguments.word()) {
        (None, _) => named,
        (Some("-f"), Some("png")) => Format::Png,
        (Some("-f"), Some("ppm")) => Format::Ppm,
        (Some("-f"), other) => {
            return Err(CommandError::Expected { what: "png or ppm", found: other.unwrap_or_default().to_owned() });
        }
        (Some(other), _) => return Err(CommandError::Unexpected(other.to_owned())),
    };
    arguments.finish()?;
    let screen = Screen::now(&mut control.board).map_err(|why| refused(&why))?;
    screen::dump(&screen.frame, format, file).map_err(|why| refused(&why))?;
    Ok(String::new())
}

fn refused(why: &ScreenError) -> CommandError {
    CommandError::Host(why.to_string())
}
