//! Cylinders, heads and sectors.

use serde::{Deserialize, Serialize};

/// Bytes of a sector of disks and floppies.
pub(super) const SECTOR: u64 = 512;

/// A geometry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Geometry {
    pub(super) cylinders: u16,
    pub(super) heads: u16,
    /// Sectors of a track, which count from 1.
    pub(super) sectors: u16,
}

/// A kind of floppy: bytes, geometry, drive type as CMOS and INT 13h AH=08h tell it, media state byte (40:90).
struct FloppyKind(u64, Geometry, u8, u8);

const fn floppy_geometry(cylinders: u16, heads: u16, sectors: u16) -> Geometry {
    Geometry { cylinders, heads, sectors }
}

const FLOPPIES: [FloppyKind; 8] = [
    FloppyKind(160 << 10, floppy_geometry(40, 1, 8), 1, 0x93),
    FloppyKind(180 << 10, floppy_geometry(40, 1, 9), 1, 0x93),
    FloppyKind(320 << 10, floppy_geometry(40, 2, 8), 1, 0x93),
    FloppyKind(360 << 10, floppy_geometry(40, 2, 9), 1, 0x93),
    FloppyKind(720 << 10, floppy_geometry(80, 2, 9), 3, 0x97),
    FloppyKind(1200 << 10, floppy_geometry(80, 2, 15), 2, 0x15),
    FloppyKind(1440 << 10, floppy_geometry(80, 2, 18), 4, 0x17),
    FloppyKind(2880 << 10, floppy_geometry(80, 2, 36), 5, 0xd7),
];
const FLOPPY_1440: usize = 6;

impl Geometry {
    /// A hard disk's: that of an IDE disk where 1,024 cylinders are enough, otherwise with more heads ("LBA assist").
    pub(super) fn of_disk(bytes: u64) -> Self {
        const TRACK: u64 = 63;
        let total = bytes / SECTOR;
        let heads = match total.div_ceil(TRACK * 1024) {
            0..=16 => 16,
            17..=32 => 32,
            33..=64 => 64,
            65..=128 => 128,
            _ => 255,
        };
        let cylinders = (total / (heads * TRACK)).clamp(1, 1024);
        Self { cylinders: cylinders as u16, heads: heads as u16, sectors: TRACK as u16 }
    }

    /// A floppy's by its length; one of unusual length is taken for a 1.44M one.
    pub(super) fn of_floppy(bytes: u64) -> Self {
        floppy_kind(bytes).1
    }

    /// The geometry in the first partition's end (El Torito 1.0, 2.2: hard disk emulation).
    pub(super) fn of_partition_table(sector: &[u8]) -> Option<Self> {
        const END_HEAD: usize = 0x1be + 5;
        let [head, sector, cylinder] = *sector.get(END_HEAD..END_HEAD + 3)?.first_chunk()?;
        let cylinders = (u16::from(sector & 0xc0) << 2 | u16::from(cylinder)) + 1;
        let sectors = u16::from(sector & 0x3f);
        (sectors != 0).then_some(Self { cylinders, heads: u16::from(head) + 1, sectors })
    }

    /// How many sectors there are.
    pub(super) fn total(self) -> u64 {
        u64::from(self.cylinders) * u64::from(self.heads) * u64::from(self.sectors)
    }

    /// The number of a sector in CX and DH as INT 13h takes them.
    pub(super) fn sector_number(self, cx: u16, dh: u8) -> Option<u64> {
        let (sector, cylinder) = (cx & 0x3f, cx >> 8 | (cx & 0xc0) << 2);
        let within = sector != 0 && sector <= self.sectors && u16::from(dh) < self.heads && cylinder < self.cylinders;
        let track = u64::from(cylinder) * u64::from(self.heads) + u64::from(dh);
        within.then(|| track * u64::from(self.sectors) + u64::from(sector) - 1)
    }

    /// CX as INT 13h AH=08h returns it: the last cylinder and the last sector.
    pub(super) fn last_cylinder_and_sector(self) -> u16 {
        let cylinder = self.cylinders.saturating_sub(1);
        (cylinder & 0xff) << 8 | (cylinder >> 2) & 0xc0 | self.sectors & 0x3f
    }
}

/// The drive type of a floppy by its length.
pub(super) fn floppy_type(bytes: u64) -> u8 {
    floppy_kind(bytes).2
}

/// The media state byte of a floppy by its length.
pub(super) fn floppy_media(bytes: u64) -> u8 {
    floppy_kind(bytes).3
}

fn floppy_kind(bytes: u64) -> &'static FloppyKind {
    FLOPPIES.iter().find(|kind| kind.0 == bytes).unwrap_or(&FLOPPIES[FLOPPY_1440])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_more_heads_the_larger_it_is_but_never_more_than_1024_cylinders() {
        let of = |mib: u64| {
            let g = Geometry::of_disk(mib << 20);
            (g.cylinders, g.heads, g.sectors)
        };
        assert_eq!(of(20), (40, 16, 63));
        assert_eq!(of(504), (1024, 16, 63));
        assert_eq!(of(1000), (1015, 32, 63));
        assert_eq!(of(100 << 10), (1024, 255, 63));
    }

    #[test]
    fn sectors_count_from_one_within_head_within_cylinder() {
        let floppy = Geometry::of_floppy(1440 << 10);
        assert_eq!(floppy.sector_number(0x0001, 0), Some(0));
        assert_eq!(floppy.sector_number(0x0012, 1), Some(35));
        assert_eq!(floppy.sector_number(0x4f12, 1), Some(2879));
        assert_eq!(floppy.sector_number(0x0000, 0), None);
        assert_eq!(floppy.sector_number(0x0013, 0), None);
        assert_eq!(floppy.sector_number(0x5001, 0), None);
    }

    #[test]
    fn ten_bits_of_cylinder_are_spread_over_two_bytes() {
        let disk = Geometry { cylinders: 1024, heads: 255, sectors: 63 };
        assert_eq!(disk.last_cylinder_and_sector(), 0xffff);
        assert_eq!(disk.sector_number(0xffff, 254), Some(disk.total() - 1));
    }
}
