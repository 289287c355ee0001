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
}

impl DriveInfo {
    /// A hard disk that can be written.
    pub fn disk(bytes: u64) -> Self {
        Self { kind: DriveKind::Disk, medium: Some(Medium { bytes, read_only: false }), serial: String::new() }
    }

    /// A CD drive with a disc of so many bytes, or none.
    pub fn cd(bytes: Option<u64>) -> Self {
        let medium = bytes.map(|bytes| Medium { bytes, read_only: true });
        Self { kind: DriveKind::Cd, medium, serial: String::new() }
    }

    /// A floppy drive with a disk of so many bytes, or none.
    pub fn floppy(bytes: Option<u64>) -> Self {
        let medium = bytes.map(|bytes| Medium { bytes, read_only: false });
        Self { kind: DriveKind::Floppy, medium, serial: String::new() }
    }

    /// The same drive with another serial number.
    pub fn with_serial(self, serial: &str) -> Self {
        Self { serial: serial.into(), ..self }
    }
}
