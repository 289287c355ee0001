//! What a controller must know of a drive that the board attaches to it.

use lockstep_fabric::Medium;
use serde::{Deserialize, Serialize};

/// What a drive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriveKind {
    /// A hard disk.
    Disk,
    /// A CD-ROM or DVD-ROM drive.
    Cd,
    /// A floppy drive.
    Floppy,
}

/// A drive and what lies in it at power-on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriveInfo {
    /// What it is.
    pub kind: DriveKind,
    /// What lies in it; a disk without one is of length zero.
    pub medium: Option<Medium>,
    /// The serial number that it tells, up to 20 printable ASCII characters.
    pub serial: String,
    /// What it calls itself, up to 40 printable ASCII characters; empty: by the name of its kind.
    pub model: String,
    /// Its firmware's version, up to 8 printable ASCII characters; empty: some version.
    pub version: String,
}

impl DriveInfo {
    /// A drive of this kind with this in it, and no name of its own.
    pub fn new(kind: DriveKind, medium: Option<Medium>) -> Self {
        Self { kind, medium, serial: String::new(), model: String::new(), version: String::new() }
    }

    /// A hard disk that can be written.
    pub fn disk(bytes: u64) -> Self {
        Self::new(DriveKind::Disk, Some(Medium { bytes, read_only: false }))
    }

    /// A CD drive with a disc of so many bytes, or none.
    pub fn cd(bytes: Option<u64>) -> Self {
        Self::new(DriveKind::Cd, bytes.map(|bytes| Medium { bytes, read_only: true }))
    }

    /// A floppy drive with a disk of so many bytes, or none.
    pub fn floppy(bytes: Option<u64>) -> Self {
        Self::new(DriveKind::Floppy, bytes.map(|bytes| Medium { bytes, read_only: false }))
    }

    /// The same drive with another serial number.
    pub fn with_serial(self, serial: &str) -> Self {
        Self { serial: serial.into(), ..self }
    }
}
