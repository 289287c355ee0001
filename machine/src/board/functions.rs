//! The PCI functions that the command line adds: those of `-device`, and a virtio disk for each `-drive if=virtio`.

use super::pc::Parts;
use super::slots::{self, ForBoard};
use super::{BoardError, video};
use crate::block::Drive;
use crate::commandline::{Config, DeviceConfig, DriveInterface, OptionError};
use lockstep_devices::catalog::{Creatable, Entry, Surroundings};
use lockstep_devices::pci::{DevFn, piix3};
use lockstep_devices::properties::{Kind, Property};
use lockstep_devices::virtio::{BlkConfig, BlkDrive, transport};
use lockstep_fabric::DeviceId;

/// The pin by which a slot's only function asks for an interrupt.
const INTX_A: u8 = 0;

/// Functions that were put on the bus, and where the host bridge has to find them.
pub(super) type Installed = Vec<(DevFn, DeviceId)>;

/// Whether a `-device` goes into a slot; the graphics card has its own way.
pub(super) fn needs_slot(device: &DeviceConfig) -> bool {
    !video::is_card(device) && Entry::find(&device.driver).is_some_and(Entry::is_pci)
}

/// Puts all functions of the command line on the bus, `-device` first, then drives in their order, as QEMU does.
pub(super) fn install(
    parts: &mut Parts,
    config: &Config,
    isa: DeviceId,
    mut taken: Vec<DevFn>,
) -> Result<Installed, BoardError> {
    let mut installed = Installed::new();
    let mut add = |parts: &mut Parts, function: Function<'_>| -> Result<(), BoardError> {
        let (place, id) = function.install(parts, config, isa, &taken)?;
        taken.push(place);
        installed.push((place, id));
        Ok(())
    };
    for device in config.devices.iter().filter(|device| needs_slot(device)) {
        let option = format!("-device {}", device.driver);
        let (board, own) = ForBoard::split(&option, &device.properties)?;
        let name = device.id.clone().unwrap_or_else(|| format!("device{}", parts.bus.devices().count()));
        let drive = take_drive(parts, device, &option)?;
        add(parts, Function { driver: &device.driver, name, option, board, own, drive })?;
    }
    for (bus, unit) in parts.drives.places(DriveInterface::Virtio) {
        let Some(drive) = parts.drives.at(DriveInterface::Virtio, bus, unit) else { continue };
        let name = drive.info().id.clone();
        let option = format!("-drive if=virtio,index={unit}");
        let driver = BlkConfig::NAME;
        let typed = config.globals.iter().filter(|global| global.driver == driver);
        let typed: Vec<_> = typed.map(|global| (global.property.clone(), global.value.clone())).collect();
        let (board, mut own) = ForBoard::split(&option, &typed)?;
        own.push(("drive".into(), name.clone()));
        add(parts, Function { driver, name, option, board, own, drive: Some(drive) })?;
    }
    Ok(installed)
}

/// The drive that a device's property names; a device that has such a property cannot be without.
fn take_drive(parts: &mut Parts, device: &DeviceConfig, option: &str) -> Result<Option<Drive>, BoardError> {
    let properties = Entry::find(&device.driver).map(Entry::properties).unwrap_or_default();
    let Some(Property { name, .. }) = properties.into_iter().find(|p| p.kind == Kind::Drive) else { return Ok(None) };
    let Some(reference) = device.property(name) else {
        return Err(OptionError::refused(option, format!("{name}= has to name a drive")).into());
    };
    Ok(Some(parts.drives.take(reference)?))
}

/// A function to be added.
struct Function<'a> {
    driver: &'a str,
    /// Its name on the bus.
    name: String,
    /// The option to blame.
    option: String,
    board: ForBoard,
    /// Its own properties.
    own: Vec<(String, String)>,
    drive: Option<Drive>,
}

impl Function<'_> {
    fn install(
        self,
        parts: &mut Parts,
        config: &Config,
        isa: DeviceId,
        taken: &[DevFn],
    ) -> Result<(DevFn, DeviceId), BoardError> {
        let refused = |why: &str| OptionError::refused(&self.option, why);
        let place = slots::choose(&self.option, self.board.slot, taken)?;
        let entry = Entry::find(self.driver).ok_or_else(|| refused("there is no such device"))?;
        if parts.bus.find(&self.name).is_some() {
            return Err(refused(&format!("there is already a device '{}'", self.name)).into());
        }
        if self.drive.is_none() && (self.board.write_errors.is_some() || self.board.read_errors.is_some()) {
            return Err(refused("only disks have werror and rerror").into());
        }
        let surroundings = self.surroundings(config, place)?;
        let made = entry.make_within(&self.own, &surroundings).map_err(|why| refused(&why.to_string()))?;
        let id = parts.bus.add(&self.name, made.device);
        for region in made.regions {
            parts.bus.map(id, region);
        }
        parts.connect(id, transport::INTA, isa, piix3::pin_intx(place.device(), INTX_A));
        if let Some(drive) = self.drive {
            let drive = drive.with_policies(self.board.write_errors, self.board.read_errors);
            parts.attached.push((id, 0, drive));
        }
        Ok((place, id))
    }

    fn surroundings(&self, config: &Config, place: DevFn) -> Result<Surroundings, OptionError> {
        let mut surroundings = Surroundings {
            // Each function has a sequence of its own.
            seed: config.seed.unwrap_or(0) ^ u64::from(place.0) << 56,
            ram: config.memory.size,
            ..Surroundings::default()
        };
        if let Some(drive) = &self.drive {
            let info = drive.info();
            if !info.present {
                return Err(OptionError::refused(&self.option, format!("drive '{}' has no medium", info.id)));
            }
            let serial = info.serial.clone().unwrap_or_default();
            let behind = BlkDrive { bytes: info.len, read_only: info.read_only, serial };
            surroundings.drives.insert(info.id.clone(), behind);
        }
        Ok(surroundings)
    }
}
