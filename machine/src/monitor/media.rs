//! `change`, `eject` and `info block`: the media of removable drives.

use super::error::CommandError;
use super::expression::Arguments;
use super::{Answer, Desk};
use crate::commandline::{self, Access, ImageFormat};
use crate::run::{Control, DriveState, MediumError, NewMedium};
use std::fmt::Write;

/// `eject [-f] DRIVE`.
pub(super) fn eject(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let (force, drive) = forced(arguments)?;
    arguments.finish()?;
    control.change_medium(drive, None, force).map_err(refused)?;
    Ok(String::new())
}

/// What a size without a suffix counts.
const MIB: u64 = 1 << 20;

/// `block_resize DRIVE SIZE`: without a suffix the size is in MiB.
pub(super) fn resize(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let drive = arguments.expect_word("DRIVE")?;
    let word = arguments.expect_word("SIZE")?;
    arguments.finish()?;
    let expected = || CommandError::Expected { what: "a size", found: word.to_owned() };
    let bytes = commandline::size(word, MIB).ok_or_else(expected)?;
    control.resize(drive, bytes).map_err(refused)?;
    Ok(String::new())
}

/// `change [-f] DRIVE FILE [FORMAT [read-only|read-write|retain]]`.
pub(super) fn change(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let (force, drive) = forced(arguments)?;
    let path = arguments.expect_word("FILE")?.into();
    let format = arguments.word().map(format).transpose()?;
    let access = match arguments.word() {
        None | Some("retain") => None,
        Some("read-only") => Some(Access::ReadOnly),
        Some("read-write") => Some(Access::ReadWrite),
        Some(other) => {
            let found = other.to_owned();
            return Err(CommandError::Expected { what: "retain, read-only or read-write", found });
        }
    };
    arguments.finish()?;
    control.change_medium(drive, Some(NewMedium { path, format, access }), force).map_err(refused)?;
    Ok(String::new())
}

/// `info block`.
pub(super) fn show(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let mut text = String::new();
    for DriveState { info, removable, tray, .. } in control.drives() {
        let image = control.config.drives.iter().find(|drive| drive.id == info.id).and_then(|d| d.image.as_ref());
        let path = image.map(|image| image.path.display().to_string()).unwrap_or_default();
        let _ = match (info.present, info.read_only) {
            (false, _) => writeln!(text, "{}: [not inserted]", info.id),
            (true, true) => writeln!(text, "{}: {path} ({} bytes, read-only)", info.id, info.len),
            (true, false) => writeln!(text, "{}: {path} ({} bytes)", info.id, info.len),
        };
        if removable {
            let locked = if tray.is_some_and(|tray| tray.locked) { "locked" } else { "not locked" };
            let open = if tray.is_some_and(|tray| tray.open) { "open" } else { "closed" };
            let _ = writeln!(text, "    Removable device: {locked}, tray {open}");
        }
    }
    Ok(text)
}

fn forced<'a>(arguments: &mut Arguments<'a>) -> Result<(bool, &'a str), CommandError> {
    match arguments.expect_word("DRIVE")? {
        "-f" => Ok((true, arguments.expect_word("DRIVE")?)),
        drive => Ok((false, drive)),
    }
}

fn format(name: &str) -> Result<ImageFormat, CommandError> {
    match name {
        "raw" => Ok(ImageFormat::Raw),
        "qcow2" => Ok(ImageFormat::Qcow2),
        other => Err(CommandError::Expected { what: "raw or qcow2", found: other.to_owned() }),
    }
}

fn refused(why: MediumError) -> CommandError {
    match why {
        MediumError::Denied(why) => why.into(),
        why => CommandError::Host(why.to_string()),
    }
}
