//! The formats of floppy disks, told by their sizes.

use lockstep_fabric::Medium;

/// Bytes in a sector: all formats of PCs have N = 2.
pub(super) const SECTOR: u64 = 512;

/// Cylinders, heads and sectors on each track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Cylinders.
    pub cylinders: u8,
    /// Heads.
    pub heads: u8,
    /// Sectors on a track.
    pub sectors: u8,
}

const fn format(cylinders: u8, heads: u8, sectors: u8) -> Format {
    Format { cylinders, heads, sectors }
}

/// By size, smallest first.
const FORMATS: [Format; 11] = [
    format(40, 1, 8),
    format(40, 1, 9),
    format(40, 2, 8),
    format(40, 2, 9),
    format(80, 2, 8),
    format(80, 2, 9),
    format(80, 2, 15),
    format(80, 2, 18),
    format(80, 2, 21),
    format(82, 2, 21),
    format(80, 2, 36),
];

/// A drive's kind, as CMOS byte 10h knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FloppyType {
    /// 5.25 inches, 360 KiB.
    Double5 = 1,
    /// 5.25 inches, 1.2 MiB.
    High5 = 2,
    /// 3.5 inches, 1.44 MB.
    High3 = 4,
    /// 3.5 inches, 2.88 MB.
    Extra3 = 5,
}

impl Format {
    /// How many bytes a disk of this format holds.
    pub const fn bytes(self) -> u64 {
        self.cylinders as u64 * self.heads as u64 * self.sectors as u64 * SECTOR
    }

    /// The smallest format that holds a disk of so many bytes, or the largest there is.
    pub fn of(bytes: u64) -> Self {
        FORMATS.into_iter().find(|f| f.bytes() >= bytes).unwrap_or(FORMATS[FORMATS.len() - 1])
    }
}

impl FloppyType {
    /// The drive that suits a disk; an empty drive is for 1.44 MB.
    pub fn of(medium: Option<Medium>) -> Self {
        match medium.map(|m| Format::of(m.bytes)) {
            Some(Format { sectors: 36, .. }) => Self::Extra3,
            Some(Format { sectors: 15, .. }) => Self::High5,
            Some(Format { cylinders: 40, .. }) => Self::Double5,
            _ => Self::High3,
        }
    }
}
