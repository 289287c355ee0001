//! Which drives the board's controllers have, and what CMOS memory says of them (IBM AT Technical Reference; Ralf
//! Brown's CMOS list).

use super::pc::{FDC, IDE};
use crate::block::{self, Drive, Drives};
use crate::commandline::{DriveInterface, Media};
use lockstep_devices::drive::{DriveInfo, DriveKind};
use lockstep_devices::{fdc, ide};
use lockstep_fabric::Medium;

const FLOPPY_TYPES: u8 = 0x10;
const DISK_TYPES: u8 = 0x12;
/// The types of disks C: and D: where byte 12h says that there is more to them.
const EXTENDED_TYPES: [u8; 2] = [0x19, 0x1a];
/// Type 47: the parameters follow at these bytes.
const TYPE_USER: u8 = 47;
const PARAMETERS: [u8; 2] = [0x1b, 0x24];
/// Two bits for each IDE drive: how the BIOS translates its geometry. As QEMU tells SeaBIOS.
const TRANSLATIONS: u8 = 0x39;
const TRANSLATE_LBA: u8 = 1;
/// A disk of more cylinders needs translation for INT 13h.
const UNTRANSLATED_MOST: u16 = 1024;

/// The drives, by their places at the controllers.
#[derive(Clone, Debug, Default)]
pub(super) struct DriveTable {
    /// Primary master and slave, secondary master and slave.
    pub(super) ide: [Option<DriveInfo>; ide::DRIVES],
    /// A: and B:.
    pub(super) floppies: [Option<DriveInfo>; fdc::DRIVES],
}

/// A drive for a controller: the controller's name on the bus, and the drive's number there.
pub(super) type Held = (&'static str, u8, Drive);

impl DriveTable {
    /// Takes the drives of the board's own controllers.
    pub(super) fn of(drives: &mut Drives) -> (Self, Vec<Held>) {
        let mut table = Self::default();
        let mut held = Vec::new();
        for (interface, name) in [(DriveInterface::Ide, IDE), (DriveInterface::Floppy, FDC)] {
            for (bus, unit) in drives.places(interface) {
                let (places, per_bus) = match interface {
                    DriveInterface::Ide => (&mut table.ide[..], 2),
                    _ => (&mut table.floppies[..], fdc::DRIVES as u8),
                };
                let slot = bus.saturating_mul(per_bus).saturating_add(unit);
                if let Some(place) = places.get_mut(usize::from(slot))
                    && let Some(drive) = drives.at(interface, bus, unit)
                {
                    *place = Some(described(drive.info(), interface));
                    held.push((name, slot, drive));
                }
            }
        }
        (table, held)
    }

    /// The part of CMOS byte 14h that tells how many floppy drives there are.
    pub(super) fn equipment(&self) -> u8 {
        match self.floppies.iter().flatten().count() {
            0 => 0,
            drives => 1 | (drives as u8 - 1) << 6,
        }
    }

    /// The CMOS bytes that tell of drives.
    pub(super) fn cmos(&self) -> Vec<(u8, u8)> {
        let floppy = |at: usize| {
            let info = self.floppies.get(at).and_then(Option::as_ref);
            info.map_or(0, |info| fdc::FloppyType::of(info.medium) as u8)
        };
        let disks: Vec<_> = self.ide.iter().map(|info| info.as_ref().and_then(geometry)).collect();
        let mut bytes = vec![(FLOPPY_TYPES, floppy(0) << 4 | floppy(1))];
        let (mut types, mut translations) = (0, 0);
        for (at, geometry) in disks.into_iter().enumerate() {
            let Some(geometry) = geometry else { continue };
            if geometry.cylinders > UNTRANSLATED_MOST {
                translations |= TRANSLATE_LBA << (2 * at);
            }
            let (Some(extended), Some(parameters)) = (EXTENDED_TYPES.get(at), PARAMETERS.get(at)) else { continue };
            types |= if at == 0 { 0xf0 } else { 0x0f };
            bytes.push((*extended, TYPE_USER));
            bytes.extend((*parameters..).zip(user_type(geometry)));
        }
        bytes.extend([(DISK_TYPES, types), (TRANSLATIONS, translations)]);
        bytes
    }
}

/// A drive as its controller sees it.
fn described(info: &block::DriveInfo, interface: DriveInterface) -> DriveInfo {
    let kind = match (interface, info.media) {
        (DriveInterface::Floppy, _) => DriveKind::Floppy,
        (_, Media::Cdrom) => DriveKind::Cd,
        (_, Media::Disk) => DriveKind::Disk,
    };
    let medium = info.present.then_some(Medium { bytes: info.len, read_only: info.read_only });
    DriveInfo { kind, medium, serial: info.serial.clone().unwrap_or_default() }
}

fn geometry(info: &DriveInfo) -> Option<ide::Geometry> {
    let disk = info.medium.filter(|_| info.kind == DriveKind::Disk)?;
    Some(ide::Geometry::of(disk.bytes / 512))
}

/// Cylinders, heads, no write precompensation, control byte, landing zone, sectors.
fn user_type(geometry: ide::Geometry) -> [u8; 9] {
    let [low, high] = geometry.cylinders.to_le_bytes();
    let control = 0xc0 | u8::from(geometry.heads > 8) << 3;
    [low, high, geometry.heads, 0xff, 0xff, control, low, high, geometry.sectors]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cmos_tells_of_floppies_and_disks_where_firmware_looks() {
        let mut table = DriveTable::default();
        assert_eq!((table.equipment(), table.cmos()), (0, vec![(0x10, 0), (0x12, 0), (0x39, 0)]));
        table.floppies = [Some(DriveInfo::floppy(None)), Some(DriveInfo::floppy(Some(2_949_120)))];
        table.ide = [Some(DriveInfo::disk(4 << 30)), Some(DriveInfo::cd(None)), Some(DriveInfo::disk(4 << 20)), None];
        assert_eq!(table.equipment(), 0x41);
        let cmos = table.cmos();
        for byte in [(0x10, 0x45), (0x12, 0xf0), (0x19, 47), (0x1d, 16), (0x23, 63), (0x39, 1)] {
            assert!(cmos.contains(&byte), "{byte:x?} in {cmos:x?}");
        }
    }
}
