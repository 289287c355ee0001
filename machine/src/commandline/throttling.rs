//! `-drive throttling.*` and its older spellings: how fast a drive may be.

use super::error::Reason;
use super::storage_config::ThrottleConfig;
use super::suboptions::Suboptions;
use crate::block::limits;
use lockstep_fabric::ThrottleLimits;

/// What the limits were called before they had a prefix.
const OLDER: [(&str, &str); 13] = [
    ("iops", "iops-total"),
    ("iops_rd", "iops-read"),
    ("iops_wr", "iops-write"),
    ("bps", "bps-total"),
    ("bps_rd", "bps-read"),
    ("bps_wr", "bps-write"),
    ("iops_max", "iops-total-max"),
    ("iops_rd_max", "iops-read-max"),
    ("iops_wr_max", "iops-write-max"),
    ("bps_max", "bps-total-max"),
    ("bps_rd_max", "bps-read-max"),
    ("bps_wr_max", "bps-write-max"),
    ("iops_size", "iops-size"),
];

/// Takes a drive's limits out of its suboptions. Without any it is in no group, even if one is named, as with QEMU.
pub(super) fn throttling(options: &mut Suboptions, drive: &str) -> Result<Option<ThrottleConfig>, Reason> {
    let mut given = options.group("throttling");
    let (older, newer) = (options.text("group"), given.text("group"));
    let group = newer.or(older).unwrap_or_else(|| drive.to_owned());
    let mut limits = ThrottleLimits::default();
    for name in limits::NAMES {
        let older = OLDER.iter().find(|(_, newer)| *newer == name).map(|(older, _)| options.number(older));
        let value = given.number(name)?.or(older.transpose()?.flatten());
        if let (Some(value), Some(limit)) = (value, limits::member(&mut limits, name)) {
            *limit = value;
        }
    }
    given.finish()?;
    limits::check(&limits).map_err(|why| Reason::refused(why.to_string()))?;
    Ok(limits.limit().then_some(ThrottleConfig { group, limits }))
}
