//! Drives as INT 13h sees them: bytes behind a number, whatever controller they hang on.

use serde::{Deserialize, Serialize};

/// What a drive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DriveKind {
    /// A floppy drive: 00h and 01h.
    Floppy,
    /// A hard disk: 80h and on.
    HardDisk,
    /// A CD or DVD drive: E0h and on.
    Cdrom,
}

/// A drive that the board offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BiosDrive {
    /// What it is.
    pub kind: DriveKind,
    /// What requests call it.
    pub drive: u8,
    /// Bytes of the medium; 0 is an empty drive.
    pub bytes: u64,
    /// The medium cannot be written.
    pub read_only: bool,
    /// Its place in the order of booting (fw_cfg's `bootorder`, `bootindex=`), the smallest first. Drives without one come behind
    /// those with one, by CMOS's order of kinds (`-boot order=`).
    pub boot_order: Option<u32>,
}

/// A request to a drive. Offsets and lengths are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriveRequest {
    /// The drive's [`BiosDrive::drive`].
    pub drive: u8,
    /// Handed back on completion.
    pub tag: u64,
    /// What is to be done.
    pub operation: DriveOperation,
}

/// What is asked of a drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DriveOperation {
    /// Reads `len` bytes at `offset`.
    Read {
        /// First byte.
        offset: u64,
        /// How many.
        len: u64,
    },
    /// Writes at `offset`.
    Write {
        /// First byte.
        offset: u64,
        /// What.
        data: Vec<u8>,
    },
}

/// Why a drive could not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DriveError {
    /// It could not be read or written.
    Io,
    /// It is write-protected.
    ReadOnly,
    /// The range lies beyond the medium's end.
    OutOfRange,
    /// There is no medium.
    NoMedium,
}
