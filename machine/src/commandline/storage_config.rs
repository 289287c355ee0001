//! What the command line says of drives and images, as plain data.

use lockstep_fabric::ThrottleLimits;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One `-drive`, or an option that stands for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriveConfig {
    /// What `-device ...,drive=` calls it; made up as QEMU does (`ide0-hd0`, `virtio0`) if none was given.
    pub id: String,
    /// The option that asked for it, for messages: `-hda disk.img`.
    pub origin: String,
    /// What it hangs on.
    pub interface: DriveInterface,
    /// Which bus of that kind.
    pub bus: u8,
    /// Which place on the bus.
    pub unit: u8,
    /// What kind of medium.
    pub media: Media,
    /// What is in it; `None` is an empty drive.
    pub image: Option<ImageConfig>,
    /// The serial number that the guest reads.
    pub serial: Option<String>,
    /// `werror=`: what a write that the host could not do becomes.
    pub write_errors: ErrorPolicy,
    /// `rerror=`: what a read that the host could not do becomes.
    pub read_errors: ErrorPolicy,
    /// How fast it may be.
    #[serde(default)]
    pub throttle: Option<ThrottleConfig>,
}

/// A drive's place in a group of throttled drives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThrottleConfig {
    /// The group; the drive's own name if it was not put into one.
    pub group: String,
    /// What the group may do. Of several drives in a group the last one's limits hold.
    pub limits: ThrottleLimits,
}

/// One node of `-blockdev`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeConfig {
    /// Its `node-name`; a node defined inside another one has none and cannot be referred to.
    pub name: String,
    /// The option that defined it.
    pub origin: String,
    /// It is a file without a format: what the `file` of another node may be.
    pub is_file: bool,
    /// What it shows.
    pub image: ImageConfig,
}

/// What a drive hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DriveInterface {
    /// The IDE channels, two drives on each.
    Ide,
    /// The floppy controller.
    Floppy,
    /// A virtio-blk function of its own.
    Virtio,
    /// Nothing, until a `-device` takes it.
    None,
}

/// Kinds of medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Media {
    /// A hard disk or floppy.
    Disk,
    /// A CD or DVD: never written.
    Cdrom,
}

/// An image and how it is accessed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// The file or block device.
    pub path: PathBuf,
    /// Its format; `None` looks at its first bytes.
    pub format: Option<ImageFormat>,
    /// Whether it may be written.
    pub access: Access,
    /// Writes go to a temporary overlay and are forgotten at the end.
    pub snapshot: bool,
    /// What a guest discards is given back to the host; otherwise discards change nothing.
    pub unmap: bool,
    /// Which promises are kept to the guest.
    pub cache: Cache,
    /// What becomes of zeroes that are written as data.
    pub detect_zeroes: DetectZeroes,
    /// What lies behind a qcow2 image.
    pub backing: Backing,
    /// Keep other processes from writing to the file.
    pub lock: bool,
    /// The group of throttled drives that it is in, by a node of driver `throttle` over it.
    #[serde(default)]
    pub throttle_group: Option<String>,
    /// The part of a raw image that is the disk; all of it without.
    #[serde(default)]
    pub part: Option<Part>,
    /// There is no file: a disk of so many bytes that reads as zeroes and forgets what is written.
    #[serde(default)]
    pub null: Option<u64>,
}

/// A part of a raw image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its first byte.
    pub offset: u64,
    /// How many bytes, a multiple of 512; up to the end without.
    pub size: Option<u64>,
}

/// Formats of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageFormat {
    /// The file's bytes are the disk's.
    Raw,
    /// QEMU's copy-on-write format, versions 2 and 3.
    Qcow2,
}

/// Whether an image may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// It must be writable.
    ReadWrite,
    /// It is writable if the host lets it be.
    Auto,
    /// It is only read.
    ReadOnly,
}

/// When written data is on stable storage. The host's page cache is used in every mode: bypassing it (`cache.direct`)
/// changes no promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cache {
    /// When the guest flushes.
    Writeback,
    /// When a write completes.
    Writethrough,
    /// Some time: flushes do nothing.
    Unsafe,
}

/// What becomes of zeroes that are written as data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DetectZeroes {
    /// They are data.
    Off,
    /// They are written as a range of zeroes.
    On,
    /// They are written as a range of zeroes whose space is given back.
    Unmap,
}

/// What lies behind a qcow2 image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backing {
    /// What its header names, if anything.
    AsHeader,
    /// Nothing, whatever its header says.
    Nothing,
    /// This image.
    Image(Box<ImageConfig>),
}

/// What a request becomes that the host could not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorPolicy {
    /// An error of the drive.
    Report,
    /// A success; what was to be read reads as zeroes.
    Ignore,
    /// The machine stops; when it goes on the request is tried again.
    Stop,
    /// As `Stop` when the host has no space left, as `Report` otherwise.
    StopOnNoSpace,
}

impl std::str::FromStr for ErrorPolicy {
    type Err = &'static str;

    /// Reads QEMU's name of it; the error says what there is.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "report" => Ok(ErrorPolicy::Report),
            "ignore" => Ok(ErrorPolicy::Ignore),
            "stop" => Ok(ErrorPolicy::Stop),
            "enospc" => Ok(ErrorPolicy::StopOnNoSpace),
            _ => Err("use report, ignore, stop or enospc"),
        }
    }
}

impl ImageConfig {
    /// An image at `path`, probed, writable, with every setting as QEMU has it by default.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        ImageConfig {
            path: path.into(),
            format: None,
            access: Access::ReadWrite,
            snapshot: false,
            unmap: false,
            cache: Cache::Writeback,
            detect_zeroes: DetectZeroes::Off,
            backing: Backing::AsHeader,
            lock: true,
            throttle_group: None,
            part: None,
            null: None,
        }
    }

    /// Whether a run leaves the image as it was.
    pub fn is_kept(&self) -> bool {
        self.snapshot || self.access == Access::ReadOnly
    }
}
