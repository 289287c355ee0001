//! Media of removable drives: taken out and put in by the operator, through the gate, so that a recording can be repeated.

use super::{Control, Denied};
use crate::block::limits::LimitsError;
use crate::block::{DriveError, DriveInfo, Insertion};
use crate::board::{FDC, IDE};
use crate::commandline::{Access, ImageConfig, ImageFormat, Media, NodeConfig, RecordReplay};
use crate::machine::CutOff;
use lockstep_devices::ide::{Piix3Ide, TrayState};
use lockstep_fabric::{DeviceId, Input, Outside};
use lockstep_qmp::commands::block::DeviceTrayMoved;
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
    /// The drive has no tray.
    #[error("Device '{0}' does not have a tray")]
    NoTray(String),
    /// A medium is exchanged in an open tray only.
    #[error("Tray of device '{0}' is not open")]
    Closed(String),
    /// There is one in it.
    #[error("There already is a medium in device '{0}'")]
    Full(String),
    /// The image cannot be used.
    #[error(transparent)]
    Image(#[from] DriveError),
    /// There is none in it.
    #[error("Device '{0}' has no medium")]
    Empty(String),
    /// Limits that make no sense.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// The image cannot be written.
    #[error("Block node is read-only")]
    ReadOnly,
    /// The image cannot be made longer or shorter.
    #[error("{0}")]
    Length(std::io::Error),
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

    /// A drive by its name, if its medium can be taken out.
    fn removable(&mut self, id: &str) -> Result<DriveState, MediumError> {
        let drive = self.drives().into_iter().find(|drive| drive.info.id == id);
        let drive = drive.ok_or_else(|| MediumError::NoDrive(id.to_owned()))?;
        if drive.removable { Ok(drive) } else { Err(MediumError::Fixed(id.to_owned())) }
    }

    /// A removable drive whose tray, if it has one, is open.
    fn open_drive(&mut self, id: &str) -> Result<DriveState, MediumError> {
        let drive = self.removable(id)?;
        if drive.tray.is_some_and(|tray| !tray.open) { Err(MediumError::Closed(id.to_owned())) } else { Ok(drive) }
    }

    /// Takes the medium out of a drive (`None`) or puts another one in. With `force` a guest that keeps the tray shut is not
    /// asked; without, it is asked to let go and has the say. An empty tray is left open.
    pub fn change_medium(&mut self, id: &str, new: Option<NewMedium>, force: bool) -> Result<(), MediumError> {
        let drive = self.removable(id)?;
        self.ask_for_medium(&drive, force)?;
        let image = new.map(|new| self.image_for(&drive, new));
        let full = image.is_some();
        self.exchange(&drive, image)?;
        if let Some(tray) = drive.tray {
            let moves = [(!tray.open, true), (full, false)];
            moves.into_iter().filter(|(moves, _)| *moves).for_each(|(_, open)| self.tell_tray(id, open));
        }
        Ok(())
    }

    /// A guest that keeps a tray shut has the say, unless it is forced; it is asked to let go.
    fn ask_for_medium(&mut self, drive: &DriveState, force: bool) -> Result<(), MediumError> {
        if !force && drive.tray.is_some_and(|tray| tray.locked && !tray.open) {
            self.input(drive.device, Input::EjectRequest { drive: drive.slot })?;
            return Err(MediumError::Locked(drive.info.id.clone()));
        }
        Ok(())
    }

    /// Opens a drive's tray; see [`Control::change_medium`].
    pub fn open_tray(&mut self, id: &str, force: bool) -> Result<(), MediumError> {
        let drive = self.removable(id)?;
        if drive.tray.is_none() {
            return Err(MediumError::NoTray(id.to_owned()));
        }
        self.ask_for_medium(&drive, force)?;
        self.move_tray(&drive, true)
    }

    /// Closes a drive's tray.
    pub fn close_tray(&mut self, id: &str) -> Result<(), MediumError> {
        let drive = self.removable(id)?;
        self.move_tray(&drive, false)
    }

    /// Makes the medium in a drive longer or shorter. A virtio disk's driver is told; an IDE disk's has to ask.
    pub fn resize(&mut self, id: &str, bytes: u64) -> Result<(), MediumError> {
        let drive = self.drives().into_iter().find(|drive| drive.info.id == id);
        let drive = drive.ok_or_else(|| MediumError::NoDrive(id.to_owned()))?;
        if drive.info.read_only {
            return Err(MediumError::ReadOnly);
        }
        if matches!(self.record_replay(), RecordReplay::Replay(_)) {
            // The image is changed before the gate is asked, which would refuse.
            return Err(Denied::CutOff(CutOff).into());
        }
        let (device, slot) = (drive.device, drive.slot);
        let bytes = self.board.machine.resize_image(device, slot, bytes).map_err(MediumError::Length)?;
        self.enter(Outside::Resize { device, drive: slot, bytes })?;
        Ok(())
    }

    fn move_tray(&mut self, drive: &DriveState, open: bool) -> Result<(), MediumError> {
        let id = &drive.info.id;
        let tray = drive.tray.ok_or_else(|| MediumError::NoTray(id.clone()))?;
        if tray.open != open {
            self.input(drive.device, Input::Tray { drive: drive.slot, open })?;
            self.tell_tray(id, open);
        }
        Ok(())
    }

    /// Tells QMP's clients that a drive's tray has moved.
    pub(super) fn tell_tray(&mut self, id: &str, open: bool) {
        let path = crate::control::device_of_drive(self, id).unwrap_or_default();
        let device = if self.config.drives.iter().any(|drive| drive.id == id) { id } else { "" };
        self.tell(&DeviceTrayMoved { device: device.to_owned(), id: path, tray_open: open });
    }

    /// Takes the medium out of an open drive, if there is one.
    pub fn remove_medium(&mut self, id: &str) -> Result<(), MediumError> {
        let drive = self.open_drive(id)?;
        if drive.info.present { self.exchange(&drive, None) } else { Ok(()) }
    }

    /// Puts what a node shows into an open drive without a medium. The tray stays open.
    pub fn insert_medium(&mut self, id: &str, node: &NodeConfig) -> Result<(), MediumError> {
        let drive = self.open_drive(id)?;
        if drive.info.present {
            return Err(MediumError::Full(id.to_owned()));
        }
        self.exchange(&drive, Some(node.image.clone()))?;
        self.nodes_in_drives.insert(id.to_owned(), node.name.clone());
        if drive.tray.is_some() {
            self.input(drive.device, Input::Tray { drive: drive.slot, open: true })?;
        }
        Ok(())
    }

    fn exchange(&mut self, drive: &DriveState, image: Option<ImageConfig>) -> Result<(), MediumError> {
        let repeatable = *self.record_replay() != RecordReplay::Off;
        let insertion = image.map(|image| Insertion::open(&image, &drive.info, repeatable)).transpose()?;
        let (insertion, loaded) = insertion.unzip();
        let image = insertion.as_ref().and_then(|insertion| serde_json::to_string(insertion).ok());
        self.board.machine.load_medium(loaded);
        self.enter(Outside::Medium { device: drive.device, drive: drive.slot, image })?;
        self.nodes_in_drives.remove(&drive.info.id);
        if let Some(drive) = self.config.drives.iter_mut().find(|other| other.id == drive.info.id)
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
