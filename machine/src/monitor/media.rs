//! `change`, `eject` and `info block`: the media of removable drives.

use super::error::CommandError;
use super::expression::Arguments;
use super::{Answer, Desk};
use crate::block::limits;
use crate::commandline::{self, Access, ImageFormat};
use crate::run::{Control, DriveState, MediumError, NewMedium};
use lockstep_fabric::ThrottleLimits;
use std::fmt::Write;

/// `eject [-f] DRIVE`.
pub(super) fn eject(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let (force, drive) = forced(arguments)?;
    arguments.finish()?;
    control.change_medium(drive, None, force).map_err(refused)?;
    Ok(String::new())
}

/// The long-run limits of a drive, in the order in which they are told.
const RATES: [(&str, &str); 6] = [
    ("bps-total", "BPS"),
    ("bps-read", "BPS_RD"),
    ("bps-write", "BPS_WR"),
    ("iops-total", "IOPS"),
    ("iops-read", "IOPS_RD"),
    ("iops-write", "IOPS_WR"),
];

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

/// `block_set_io_throttle DRIVE BPS BPS_RD BPS_WR IOPS IOPS_RD IOPS_WR`: 0 means no limit.
pub(super) fn throttle(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let drive = arguments.expect_word("DRIVE")?;
    let mut limits = ThrottleLimits::default();
    for (name, what) in RATES {
        let word = arguments.expect_word(what)?;
        let expected = || CommandError::Expected { what: "a number", found: word.to_owned() };
        let number = commandline::number(word).ok_or_else(expected)?;
        limits::member(&mut limits, name).into_iter().for_each(|limit| *limit = number);
    }
    arguments.finish()?;
    control.throttle_drive(drive, None, limits).map_err(refused)?;
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
        if let Some((group, limits)) = control.drive_throttle(&info.id) {
            let _ = writeln!(text, "    I/O throttling:   {} group={group}", told(limits));
        }
    }
    Ok(text)
}

/// Limits as QEMU's monitor tells them.
fn told(mut limits: ThrottleLimits) -> String {
    let mut told = String::new();
    for unit in ["bps", "iops"] {
        for (suffix, part) in [("", ""), ("-max", "_max")] {
            for (name, of) in [("total", ""), ("read", "_rd"), ("write", "_wr")] {
                let value = limits::member(&mut limits, &format!("{unit}-{name}{suffix}")).copied().unwrap_or_default();
                let _ = write!(told, "{unit}{of}{part}={value} ");
            }
        }
    }
    let _ = write!(told, "iops_size={}", limits.iops_size);
    told
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
