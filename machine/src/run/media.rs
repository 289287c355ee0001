//! Media of removable drives: taken out and put in by the operator, through the gate, so that a recording can be repeated.

use super::{Control, Denied};
use crate::block::{DriveError, DriveInfo, Insertion};
use crate::board::{FDC, IDE};
use crate::commandline::{Access, ImageConfig, ImageFormat, Media, RecordReplay};
use lockstep_devices::ide::{Piix3Ide, TrayState};
use lockstep_fabric::{DeviceId, Input, Outside};
use serde::Deserialize;
use std::path::PathBuf;

/// Why a medium was not changed.
#[derive(Debug, thiserror::Error)]
pub enum MediumError {
    /// There is no such drive.
    #[error("Device '{0}' not found")]
    NoDrive(String),
    /// The drive's medium cannot be taken out.
    #[error("Device '{0}' is not removable")]
    Fixed(String),
    /// The guest keeps the tray shut; it was asked to let go.
    #[error("Device '{0}' is locked and force was not specified, wait for tray to open and try again")]
    Locked(String),
    /// The image cannot be used.
    #[error(transparent)]
    Image(#[from] DriveError),
    /// Nothing reaches the guest now.
    #[error(transparent)]
    Denied(#[from] Denied),
}

/// What is to be put into a drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMedium {
    /// The file.
    pub path: PathBuf,
    /// Its format; `None` looks at its first bytes.
    pub format: Option<ImageFormat>,
    /// Whether it may be written; `None`: as the medium before.
    pub access: Option<Access>,
}

/// A drive of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriveState {
    /// The device that it is attached to.
    pub device: DeviceId,
    /// Its number there.
    pub slot: u8,
    /// What is known of it.
    pub info: DriveInfo,
    /// Its medium can be taken out.
    pub removable: bool,
    /// Its tray, if it has one.
    pub tray: Option<TrayState>,
}

impl Control {
    /// All drives.
    pub fn drives(&mut self) -> Vec<DriveState> {
        let drives = self.board.machine.drives();
        drives.into_iter().map(|(device, slot, info)| self.drive_state(device, slot, info)).collect()
    }

    fn drive_state(&mut self, device: DeviceId, slot: u8, info: DriveInfo) -> DriveState {
        let bus = &mut self.board.machine.bus;
        let state = (bus.name(device) == IDE).then(|| bus.with(device, |device, _| device.save().ok()).flatten());
        let tray = state.flatten().and_then(|state| Piix3Ide::deserialize(&state).ok()?.tray(slot));
        let removable = tray.is_some() || info.media == Media::Cdrom || bus.name(device) == FDC;
        DriveState { device, slot, info, removable, tray }
    }

    /// The image that was put into a drive last, as far as the command line or the operator named it.
    fn image_before(&self, id: &str) -> Option<&ImageConfig> {
        let named = self.config.drives.iter().find(|drive| drive.id == id);
        named.and_then(|drive| drive.image.as_ref())
    }

    /// Takes the medium out of a drive (`None`) or puts another one in. With `force` a guest that keeps the tray shut is not
    /// asked; without, it is asked to let go and has the say.
    pub fn change_medium(&mut self, id: &str, new: Option<NewMedium>, force: bool) -> Result<(), MediumError> {
        let drives = self.drives();
        let drive = drives.into_iter().find(|drive| drive.info.id == id);
        let drive = drive.ok_or_else(|| MediumError::NoDrive(id.to_owned()))?;
        if !drive.removable {
            return Err(MediumError::Fixed(id.to_owned()));
        }
        if !force && drive.tray.is_some_and(|tray| tray.locked && !tray.open) {
            self.input(drive.device, Input::EjectRequest { drive: drive.slot })?;
            return Err(MediumError::Locked(id.to_owned()));
        }
        let insertion = match new {
            Some(new) => {
                let image = self.image_for(&drive, new);
                let repeatable = *self.record_replay() != RecordReplay::Off;
                Some(Insertion::open(&image, &drive.info, repeatable)?)
            }
            None => None,
        };
        let (insertion, loaded) = insertion.unzip();
        let image = insertion.as_ref().and_then(|insertion| serde_json::to_string(insertion).ok());
        self.board.machine.load_medium(loaded);
        self.enter(Outside::Medium { device: drive.device, drive: drive.slot, image })?;
        if let Some(drive) = self.config.drives.iter_mut().find(|drive| drive.id == id)
            && let Some(insertion) = insertion
        {
            drive.image = Some(insertion.image);
        }
        Ok(())
    }

    /// How a new image is opened: as the one before, but for what is said of it.
    fn image_for(&self, drive: &DriveState, new: NewMedium) -> ImageConfig {
        let usual = match drive.info.media {
            Media::Cdrom => Access::ReadOnly,
            Media::Disk => Access::Auto,
        };
        let before = self.image_before(&drive.info.id);
        let fresh = ImageConfig::at(new.path);
        let access = match drive.info.media {
            Media::Cdrom => Access::ReadOnly,
            Media::Disk => new.access.or(before.map(|image| image.access)).unwrap_or(usual),
        };
        let Some(before) = before else { return ImageConfig { format: new.format, access, ..fresh } };
        ImageConfig { path: fresh.path, format: new.format, access, backing: fresh.backing, ..before.clone() }
    }
}
