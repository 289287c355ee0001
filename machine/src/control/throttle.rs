//! Limits of drives, as QMP's clients name them.

use super::block_query::drive_by;
use crate::block::limits::member;
use crate::run::{Control, MediumError};
use lockstep_fabric::{Rate, ThrottleLimits};
use lockstep_qmp::Error;
use lockstep_qmp::commands::block::BlockSetIoThrottle;
use lockstep_qmp::commands::nodes::BlockDeviceInfo;
use lockstep_qmp::registry::{Answer, Registry};

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(block_set_io_throttle);
}

fn block_set_io_throttle(control: &mut Control, command: BlockSetIoThrottle) -> Answer<()> {
    let drive = drive_by(control, command.device.as_deref(), command.id.as_deref())?;
    // As in QEMU a device's own name is the group's if neither a group nor a drive is named.
    let group = command.group.clone().or_else(|| control.drive_throttle(&drive).map(|(group, _)| group));
    let group = group.or_else(|| command.id.clone());
    control.throttle_drive(&drive, group.as_deref(), limits(&command)).map_err(|why| match why {
        MediumError::NoDrive(id) => Error::device_not_found(&id),
        why => Error::new(why.to_string()),
    })
}

fn limits(command: &BlockSetIoThrottle) -> ThrottleLimits {
    let BlockSetIoThrottle { bps, bps_rd, bps_wr, iops, iops_rd, iops_wr, .. } = *command;
    let BlockSetIoThrottle { bps_max, bps_rd_max, bps_wr_max, iops_max, iops_rd_max, iops_wr_max, .. } = *command;
    let BlockSetIoThrottle { bps_max_length, bps_rd_max_length, bps_wr_max_length, .. } = *command;
    let BlockSetIoThrottle { iops_max_length, iops_rd_max_length, iops_wr_max_length, iops_size, .. } = *command;
    let mut limits = ThrottleLimits::default();
    for (name, value) in [
        ("bps-total", Some(bps)),
        ("bps-read", Some(bps_rd)),
        ("bps-write", Some(bps_wr)),
        ("iops-total", Some(iops)),
        ("iops-read", Some(iops_rd)),
        ("iops-write", Some(iops_wr)),
        ("bps-total-max", bps_max),
        ("bps-read-max", bps_rd_max),
        ("bps-write-max", bps_wr_max),
        ("iops-total-max", iops_max),
        ("iops-read-max", iops_rd_max),
        ("iops-write-max", iops_wr_max),
        ("bps-total-max-length", bps_max_length),
        ("bps-read-max-length", bps_rd_max_length),
        ("bps-write-max-length", bps_wr_max_length),
        ("iops-total-max-length", iops_max_length),
        ("iops-read-max-length", iops_rd_max_length),
        ("iops-write-max-length", iops_wr_max_length),
        ("iops-size", iops_size),
    ] {
        if let (Some(limit), Some(value)) = (member(&mut limits, name), value) {
            // A negative number is too large then.
            *limit = value.cast_unsigned();
        }
    }
    limits
}

/// What is known of a medium, with the limits of the drive that it is in.
pub(super) fn limited(info: BlockDeviceInfo, group: String, limits: &ThrottleLimits) -> BlockDeviceInfo {
    let average = |rate: &Rate| rate.average.cast_signed();
    let max = |rate: &Rate| (rate.max > 0).then_some(rate.max.cast_signed());
    let length = |rate: &Rate| (rate.max > 0).then_some(rate.max_length.cast_signed());
    BlockDeviceInfo {
        bps: average(&limits.bps_total),
        bps_rd: average(&limits.bps_read),
        bps_wr: average(&limits.bps_write),
        iops: average(&limits.iops_total),
        iops_rd: average(&limits.iops_read),
        iops_wr: average(&limits.iops_write),
        bps_max: max(&limits.bps_total),
        bps_rd_max: max(&limits.bps_read),
        bps_wr_max: max(&limits.bps_write),
        iops_max: max(&limits.iops_total),
        iops_rd_max: max(&limits.iops_read),
        iops_wr_max: max(&limits.iops_write),
        bps_max_length: length(&limits.bps_total),
        bps_rd_max_length: length(&limits.bps_read),
        bps_wr_max_length: length(&limits.bps_write),
        iops_max_length: length(&limits.iops_total),
        iops_rd_max_length: length(&limits.iops_read),
        iops_wr_max_length: length(&limits.iops_write),
        iops_size: (limits.iops_size > 0).then_some(limits.iops_size.cast_signed()),
        group: Some(group),
        ..info
    }
}
