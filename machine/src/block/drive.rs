//! A drive as devices see it, and the image behind it.

use super::image::{Facts, Image, Opened};
use super::medium::Loaded;
use super::statistics::Statistics;
use super::worker::{Handling, Worker};
use crate::commandline::{DriveConfig, ErrorPolicy, ImageConfig, Media};
use lockstep_fabric::{BlockError, BlockOperation};
use std::io;

/// What a device must know of its drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriveInfo {
    /// The drive's or node's name on the command line.
    pub id: String,
    /// Length of the medium in bytes, a multiple of 512; zero without one.
    pub len: u64,
    /// Writes are refused.
    pub read_only: bool,
    /// What kind of medium.
    pub media: Media,
    /// The serial number that was given.
    pub serial: Option<String>,
    /// There is a medium.
    pub present: bool,
}

/// What requests that the host could not do become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Reads.
    pub read: ErrorPolicy,
    /// Everything else.
    pub write: ErrorPolicy,
}

/// What one failed request becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Report,
    Ignore,
    Stop,
}

impl Default for Policy {
    /// QEMU's: reads are reported, writes stop the machine when there is no space and are reported otherwise.
    fn default() -> Self {
        Policy { read: ErrorPolicy::Report, write: ErrorPolicy::StopOnNoSpace }
    }
}

impl Policy {
    /// For runs that are recorded or replayed: a guest that saw an error of the host could not be replayed.
    pub const STRICT: Self = Policy { read: ErrorPolicy::Stop, write: ErrorPolicy::Stop };

    pub(super) fn judge(self, operation: &BlockOperation, error: BlockError) -> Verdict {
        let policy = if matches!(operation, BlockOperation::Read { .. }) { self.read } else { self.write };
        match policy {
            ErrorPolicy::Report => Verdict::Report,
            ErrorPolicy::Ignore => Verdict::Ignore,
            ErrorPolicy::Stop => Verdict::Stop,
            ErrorPolicy::StopOnNoSpace if error == BlockError::NoSpace => Verdict::Stop,
            ErrorPolicy::StopOnNoSpace => Verdict::Report,
        }
    }
}

/// How the last requests went, as far as it stops the machine when they fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoStatus {
    /// Well, or the machine has gone on since.
    Ok,
    /// The machine stopped because the host could not do one.
    Failed,
    /// The machine stopped because the host had no space.
    NoSpace,
}

/// A drive, to be attached to a device of a machine.
pub struct Drive {
    info: DriveInfo,
    pub(super) policy: Policy,
    /// The run is recorded or replayed, and the policy is [`Policy::STRICT`] whatever a device says.
    strict: bool,
    pub(super) worker: Option<Worker>,
    /// What the image says of itself.
    facts: Option<Facts>,
    /// Why the machine stands still, if that is because of this drive.
    pub(super) stopped_by: Option<BlockError>,
    /// What was asked of it since it is there.
    pub(super) statistics: Statistics,
    /// The group of throttled drives that it is in.
    pub(super) throttle: Option<String>,
    /// The group that what is in it is in.
    filter: Option<String>,
}

/// The longest request. Longer ones are refused, so that no guest can make the host run out of memory.
pub const MOST_BYTES: u64 = 256 << 20;

impl Drive {
    /// A drive with `image` in it.
    pub fn with(info: DriveInfo, policy: Policy, image: Box<dyn Image>, config: &ImageConfig) -> io::Result<Self> {
        let info = DriveInfo { len: image.len(), present: true, ..info };
        let worker = Worker::start(&info.id, image, Handling::of(config, info.read_only))?;
        let filter = config.throttle_group.clone();
        Ok(Self { worker: Some(worker), policy, filter, ..Self::of(info) })
    }

    /// The drive with what its image says of itself.
    pub(super) fn described(self, facts: Facts) -> Self {
        Self { facts: Some(facts), ..self }
    }

    /// What its image says of itself, if there is one.
    pub fn facts(&self) -> Option<&Facts> {
        self.facts.as_ref()
    }

    /// An opened image, on its way into the drive that `info` is about.
    pub(super) fn load(info: &DriveInfo, config: &ImageConfig, opened: Opened) -> io::Result<Loaded> {
        let read_only = info.media == Media::Cdrom || opened.read_only;
        let len = opened.image.len();
        let worker = Worker::start(&info.id, opened.image, Handling::of(config, read_only))?;
        let filter = config.throttle_group.clone();
        Ok(Loaded { len, read_only, worker, facts: opened.facts, filter })
    }

    /// Puts another image into the drive, or none. What the one before was asked it still does, before it is closed.
    pub(super) fn exchange(&mut self, loaded: Option<Loaded>) {
        self.info.present = loaded.is_some();
        self.info.len = loaded.as_ref().map_or(0, |loaded| loaded.len);
        self.info.read_only = loaded.as_ref().map_or(self.info.media == Media::Cdrom, |loaded| loaded.read_only);
        self.filter = loaded.as_ref().and_then(|loaded| loaded.filter.clone());
        (self.worker, self.facts) = loaded.map(|loaded| (loaded.worker, loaded.facts)).unzip();
    }

    /// The groups of throttled drives whose limits a request has to wait for, in that order.
    pub(super) fn throttles(&self) -> impl Iterator<Item = &str> {
        [&self.throttle, &self.filter].into_iter().flatten().map(String::as_str)
    }

    /// The group of throttled drives that it is in, whatever is in it.
    pub fn throttle(&self) -> Option<&str> {
        self.throttle.as_deref()
    }

    /// Changes the length of the image; what devices see stays until [`Drive::resized`]. Gives the length that it has now.
    pub(super) fn resize_image(&self, bytes: u64) -> io::Result<u64> {
        match &self.worker {
            Some(worker) => worker.resize(bytes),
            None => Err(io::Error::other("Device has no medium")),
        }
    }

    /// Takes note of another length.
    pub(super) fn resized(&mut self, bytes: u64) {
        self.info.len = bytes;
        if let Some(facts) = &mut self.facts {
            facts.len = bytes;
        }
    }

    /// An empty drive.
    pub fn empty(info: DriveInfo) -> Self {
        Self::of(DriveInfo { len: 0, present: false, ..info })
    }

    fn of(info: DriveInfo) -> Self {
        Self {
            info,
            policy: Policy::default(),
            strict: false,
            worker: None,
            facts: None,
            stopped_by: None,
            statistics: Statistics::default(),
            throttle: None,
            filter: None,
        }
    }

    /// The drive in a group of throttled drives, or in none.
    pub(super) fn throttled(self, group: Option<String>) -> Self {
        Self { throttle: group, ..self }
    }

    /// The drive as a device for this kind of medium has it: a CD drive writes nothing, whatever the image would take.
    pub fn for_media(mut self, media: Media) -> Self {
        self.info.media = media;
        self.info.read_only |= media == Media::Cdrom;
        self
    }

    /// The drive with the policies that a device's own `werror=` and `rerror=` ask for, where they are given.
    pub fn with_policies(mut self, write: Option<ErrorPolicy>, read: Option<ErrorPolicy>) -> Self {
        if !self.strict {
            self.policy = Policy { read: read.unwrap_or(self.policy.read), write: write.unwrap_or(self.policy.write) };
        }
        self
    }

    /// The drive as it must be in a run that can be repeated.
    pub(super) fn strict(self) -> Self {
        Self { policy: Policy::STRICT, strict: true, ..self }
    }

    /// How the last requests went; `None` if errors never stop the machine.
    pub fn io_status(&self) -> Option<IoStatus> {
        let stops = |policy| matches!(policy, ErrorPolicy::Stop | ErrorPolicy::StopOnNoSpace);
        (stops(self.policy.read) || stops(self.policy.write)).then_some(match self.stopped_by {
            None => IoStatus::Ok,
            Some(BlockError::NoSpace) => IoStatus::NoSpace,
            Some(_) => IoStatus::Failed,
        })
    }

    /// What was asked of it so far.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// What its device must know.
    pub fn info(&self) -> &DriveInfo {
        &self.info
    }

    /// Why a request cannot be made at all, whatever the host does.
    pub(super) fn refuses(&self, operation: &BlockOperation) -> Option<BlockError> {
        if !self.info.present {
            return Some(BlockError::NoMedium);
        }
        let (offset, len, writes) = match operation {
            BlockOperation::Read { offset, len } => (*offset, *len, false),
            BlockOperation::Write { offset, data } => (*offset, data.len() as u64, true),
            // Nothing is moved, so these may be of any length.
            BlockOperation::WriteZeroes { offset, len, .. } | BlockOperation::Discard { offset, len } => {
                let inside = offset.checked_add(*len).is_some_and(|end| end <= self.info.len);
                return match (self.info.read_only, inside) {
                    (true, _) => Some(BlockError::ReadOnly),
                    (_, false) => Some(BlockError::OutOfRange),
                    _ => None,
                };
            }
            BlockOperation::Flush => return None,
        };
        if writes && self.info.read_only {
            return Some(BlockError::ReadOnly);
        }
        let inside = len <= MOST_BYTES && offset.checked_add(len).is_some_and(|end| end <= self.info.len);
        (!inside).then_some(BlockError::OutOfRange)
    }
}

impl DriveInfo {
    /// Of a drive that the command line asks for, before its medium is known.
    pub(super) fn of(config: &DriveConfig) -> Self {
        DriveInfo {
            id: config.id.clone(),
            len: 0,
            read_only: config.media == Media::Cdrom,
            media: config.media,
            serial: config.serial.clone(),
            present: false,
        }
    }
}
