//! Drives that come and go, and their media: `drive_add`, `drive_del`, `change`, `eject`, `block_resize` and
//! `block_set_io_throttle`.

use super::error::CommandError;
use super::expression::{Arguments, DRIVE, FILE, STRING};
use super::{Answer, Desk};
use crate::block::limits;
use crate::commandline::{self, Access, Config, DriveInterface, ImageFormat, NodeConfig, SpareDrive};
use crate::control::{add_node, blockdev_del};
use crate::run::{Control, MediumError, NewMedium};
use lockstep_fabric::ThrottleLimits;
use lockstep_qmp::Error;
use lockstep_qmp::commands::nodes::BlockdevDel;

/// `eject [-f] DRIVE`.
pub(super) fn eject(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let force = !arguments.flags("f")?.is_empty();
    let drive = arguments.expect_text(DRIVE)?;
    arguments.finish()?;
    control.change_medium(&drive, None, force).map_err(refused)?;
    Ok(String::new())
}

/// The long-run limits of a drive, in the order in which they are told.
const RATES: [&str; 6] = ["bps-total", "bps-read", "bps-write", "iops-total", "iops-read", "iops-write"];

/// What a size without a suffix counts.
const MIB: u64 = 1 << 20;

/// `block_resize DRIVE SIZE`: without a suffix the size is in MiB.
pub(super) fn resize(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let drive = arguments.expect_text(DRIVE)?;
    let size = arguments.word().and_then(|size| commandline::size(size, MIB)).ok_or(CommandError::NoSize)?;
    arguments.finish()?;
    control.resize(&drive, size).map_err(|why| match why {
        MediumError::NoDrive(drive) => CommandError::Host(format!("Cannot find device='{drive}' nor node-name=''")),
        why => refused(why),
    })?;
    Ok(String::new())
}

/// `block_set_io_throttle DRIVE BPS BPS_RD BPS_WR IOPS IOPS_RD IOPS_WR`: 0 means no limit.
pub(super) fn throttle(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let drive = arguments.expect_text(DRIVE)?;
    let mut limits = ThrottleLimits::default();
    for name in RATES {
        let number = arguments.number(&|_| None)?;
        limits::member(&mut limits, name).into_iter().for_each(|limit| *limit = number);
    }
    arguments.finish()?;
    control.throttle_drive(&drive, None, limits).map_err(refused)?;
    Ok(String::new())
}

/// `change DRIVE [-f] FILE [FORMAT [read-only|read-write|retain]]`; the flag may come first too.
pub(super) fn change(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let mut flags = arguments.flags("f")?;
    let drive = arguments.expect_text(DRIVE)?;
    flags.push_str(&arguments.flags("f")?);
    let path = arguments.expect_text(FILE)?.into();
    let format = arguments.word().map(format).transpose()?;
    let access = match arguments.word() {
        None | Some("retain") => None,
        Some("read-only") => Some(Access::ReadOnly),
        Some("read-write") => Some(Access::ReadWrite),
        Some(other) => return Err(CommandError::InvalidValue(other.to_owned())),
    };
    arguments.finish()?;
    control.change_medium(&drive, Some(NewMedium { path, format, access }), !flags.is_empty()).map_err(refused)?;
    Ok(String::new())
}

/// QEMU's number of what a drive hangs on, by which it names it in a refusal.
fn number(interface: DriveInterface) -> u8 {
    match interface {
        DriveInterface::None => 0,
        DriveInterface::Ide => 1,
        DriveInterface::Floppy => 3,
        DriveInterface::Virtio => 7,
    }
}

/// `drive_add PLACE OPTIONS`: a drive for a device that is plugged in later. Where it was to be is of no interest, as in QEMU.
pub(super) fn add(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.flags("")?;
    arguments.expect_text(STRING)?;
    let text = arguments.expect_text(STRING)?;
    arguments.finish()?;
    let described = commandline::spare_drive(&text).map_err(|why| CommandError::Host(why.to_string()))?;
    let SpareDrive { id, interface, image } = described;
    if interface != DriveInterface::None {
        return Err(CommandError::Plain(format!("Can't hot-add drive to type {}", number(interface))));
    }
    let id = id.ok_or_else(|| CommandError::from(Error::missing("id")))?;
    let Config { nodes, drives, .. } = &control.config;
    if nodes.iter().any(|node| node.name == id) || drives.iter().any(|drive| drive.id == id) {
        return Err(CommandError::Plain(format!("Duplicate ID '{id}' for drive")));
    }
    let image = image.ok_or_else(|| CommandError::from(Error::missing("file")))?;
    add_node(control, NodeConfig { origin: format!("drive_add {id}"), name: id, is_file: false, image })?;
    Ok("OK".to_owned())
}

/// `drive_del DRIVE`: one that no device has.
pub(super) fn remove(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let name = arguments.expect_text(DRIVE)?;
    arguments.finish()?;
    if !control.config.nodes.iter().any(|node| node.name == name) {
        return Err(CommandError::Plain(MediumError::NoDrive(name).to_string()));
    }
    blockdev_del(control, BlockdevDel { node_name: name })?;
    Ok(String::new())
}

fn format(name: &str) -> Result<ImageFormat, CommandError> {
    match name {
        "raw" => Ok(ImageFormat::Raw),
        "qcow2" => Ok(ImageFormat::Qcow2),
        other => Err(CommandError::Host(format!("Unknown driver '{other}'"))),
    }
}

fn refused(why: MediumError) -> CommandError {
    match why {
        MediumError::Denied(why) => why.into(),
        why => CommandError::Host(why.to_string()),
    }
}
