//! Which drives the board's controllers have, and what CMOS memory says of them (IBM AT Technical Reference; Ralf
//! Brown's CMOS list).

use super::BoardError;
use super::boot_order::{BootDevice, BootOrder, floppy_path, ide_path};
use super::buses;
use super::for_board::ForBoard;
use super::pc::{FDC, IDE};
use crate::block::{self, Drive, Drives};
use crate::commandline::{Config, DeviceConfig, DriveInterface, Media, OptionError};
use lockstep_devices::catalog::{Entry, configured};
use lockstep_devices::drive::{DriveInfo, DriveKind};
use lockstep_devices::parts::{FloppyConfig, IdeConfig, PartBus};
use lockstep_devices::properties::{Configuration, DriveName};
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
/// Drives on one channel.
const UNITS: u32 = 2;
/// The driver of CD drives; other drives of the IDE controller are disks.
const CD_DRIVER: &str = "ide-cd";

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
    /// Takes the drives of the board's own controllers: those of `-drive`, then those of `-device`.
    pub(super) fn of(
        config: &Config,
        drives: &mut Drives,
        order: &mut BootOrder,
    ) -> Result<(Self, Vec<Held>), BoardError> {
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
                    *place = Some(described(drive.info(), kind_at(interface, drive.info().media)));
                    held.push((name, slot, drive));
                }
            }
        }
        for device in &config.devices {
            let bus = Entry::find(&device.driver).and_then(Entry::part_bus);
            let Some(bus @ (PartBus::Ide | PartBus::Floppy)) = bus else { continue };
            let (board, own) = ForBoard::split(device)?;
            let plugged = if bus == PartBus::Ide {
                table.plug_ide(config, device, &board, configuration(device, &own)?, drives)?
            } else {
                table.plug_floppy(config, device, &board, configuration(device, &own)?, drives)?
            };
            if let Some(index) = board.boot_index {
                let drive = plugged.held.2.info().id.clone();
                order.add(&device.origin, BootDevice { index, path: plugged.path, drive })?;
            }
            held.push(plugged.held);
        }
        Ok((table, held))
    }

    /// A drive of `-device ide-hd` or `ide-cd`.
    fn plug_ide(
        &mut self,
        config: &Config,
        device: &DeviceConfig,
        board: &ForBoard,
        settings: IdeConfig,
        drives: &mut Drives,
    ) -> Result<Plugged, BoardError> {
        let refused = |why: String| OptionError::refused(&device.origin, why);
        let channel = match board.bus.as_deref() {
            Some("ide.0") => 0,
            // As QEMU does it, the bus that was made last is asked first.
            None | Some("ide.1") => 1,
            Some(other) => return Err(buses::refuse(config, device, other).into()),
        };
        let first = usize::from(channel) * UNITS as usize;
        let unit = settings.unit.unwrap_or_else(|| self.ide[first].is_some().into());
        if unit >= UNITS {
            return Err(refused(format!("Can't create IDE unit {unit}, bus supports only {UNITS} units")).into());
        }
        let place = &mut self.ide[first + unit as usize];
        if place.is_some() {
            return Err(refused(format!("IDE unit {unit} is in use")).into());
        }
        let (kind, media) =
            if device.driver == CD_DRIVER { (DriveKind::Cd, Media::Cdrom) } else { (DriveKind::Disk, Media::Disk) };
        let name = format!("ide{channel}-unit{unit}");
        let drive = taken(device, settings.drive, name, media, drives)?;
        if kind == DriveKind::Disk && !drive.info().present {
            let why = if device.property("drive").is_none() { NO_DRIVE } else { EMPTY };
            return Err(refused(why.into()).into());
        }
        let info = described(drive.info(), kind);
        *place = Some(DriveInfo {
            serial: settings.serial.unwrap_or(info.serial),
            model: settings.model.unwrap_or_default(),
            version: settings.ver.unwrap_or_default(),
            ..info
        });
        let drive = drive.with_policies(board.write_errors, board.read_errors);
        let unit = unit as u8;
        Ok(Plugged { held: (IDE, channel * UNITS as u8 + unit, drive), path: ide_path(channel, unit) })
    }

    /// A drive of `-device floppy`.
    fn plug_floppy(
        &mut self,
        config: &Config,
        device: &DeviceConfig,
        board: &ForBoard,
        settings: FloppyConfig,
        drives: &mut Drives,
    ) -> Result<Plugged, BoardError> {
        let refused = |why: String| OptionError::refused(&device.origin, why);
        if let Some(other) = board.bus.as_deref().filter(|bus| *bus != buses::FLOPPY) {
            return Err(buses::refuse(config, device, other).into());
        }
        let free = || self.floppies.iter().position(Option::is_none).unwrap_or(fdc::DRIVES);
        let unit = settings.unit.map_or_else(free, |unit| unit as usize);
        let Some(place) = self.floppies.get_mut(unit) else {
            let units = fdc::DRIVES;
            return Err(refused(format!("Can't create floppy unit {unit}, bus supports only {units} units")).into());
        };
        if place.is_some() {
            return Err(refused(format!("Floppy unit {unit} is in use")).into());
        }
        let drive = taken(device, settings.drive, format!("floppy-unit{unit}"), Media::Disk, drives)?;
        *place = Some(described(drive.info(), DriveKind::Floppy));
        let unit = unit as u8;
        Ok(Plugged { held: (FDC, unit, drive), path: floppy_path(unit) })
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

/// A drive in its place, and its path.
struct Plugged {
    held: Held,
    path: String,
}

/// What QEMU says of disks without a medium.
const NO_DRIVE: &str = "No drive specified";
pub(super) const EMPTY: &str = "Device needs media, but drive is empty";

fn configuration<C: Configuration>(device: &DeviceConfig, own: &[(String, String)]) -> Result<C, OptionError> {
    configured(own).map_err(|why| OptionError::refused(&device.origin, why.to_string()))
}

/// The drive that a device's property names, or an empty one under this name.
fn taken(
    device: &DeviceConfig,
    reference: Option<DriveName>,
    name: String,
    media: Media,
    drives: &mut Drives,
) -> Result<Drive, BoardError> {
    let id = device.id.clone().unwrap_or(name);
    let drive = match reference {
        Some(DriveName(reference)) => drives.take(&reference)?,
        None => Drive::empty(block::DriveInfo { id, len: 0, read_only: false, media, serial: None, present: false }),
    };
    Ok(drive.for_media(media))
}

fn kind_at(interface: DriveInterface, media: Media) -> DriveKind {
    match (interface, media) {
        (DriveInterface::Floppy, _) => DriveKind::Floppy,
        (_, Media::Cdrom) => DriveKind::Cd,
        (_, Media::Disk) => DriveKind::Disk,
    }
}

/// A drive as its controller sees it.
fn described(info: &block::DriveInfo, kind: DriveKind) -> DriveInfo {
    let medium = info.present.then_some(Medium { bytes: info.len, read_only: info.read_only });
    let serial = info.serial.clone().unwrap_or_default();
    DriveInfo { serial, ..DriveInfo::new(kind, medium) }
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
