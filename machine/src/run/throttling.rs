//! Drives that the operator makes slower or faster, through the gate: how long they take is guest time.

use super::{Control, Denied, MediumError};
use crate::block::limits;
use lockstep_fabric::{Outside, ThrottleLimits};

impl Control {
    /// Limits a drive, in the group named here, or the one that it is in, or one of its own; without any limit it is taken out of
    /// its group. A group's limits are those that any of its drives was given last.
    pub fn throttle_drive(&mut self, id: &str, group: Option<&str>, limits: ThrottleLimits) -> Result<(), MediumError> {
        let drive = self.drives().into_iter().find(|drive| drive.info.id == id);
        let drive = drive.ok_or_else(|| MediumError::NoDrive(id.to_owned()))?;
        if !drive.info.present {
            return Err(MediumError::Empty(id.to_owned()));
        }
        limits::check(&limits)?;
        let (device, slot) = (drive.device, drive.slot);
        let current = self.board.machine.drive(device, slot).and_then(|drive| drive.throttle()).map(str::to_owned);
        let wanted = limits.limit().then(|| group.or(current.as_deref()).unwrap_or(id).to_owned());
        if wanted != current {
            self.enter(Outside::ThrottleDrive { device, drive: slot, group: wanted.clone() })?;
        }
        if let Some(group) = wanted {
            self.throttle_group(&group, limits)?;
            if let Some(object) = self.objects.find_mut(&group) {
                object.set_throttle_limits(limits);
            }
        }
        Ok(())
    }

    /// Says what a group of drives may do.
    pub fn throttle_group(&mut self, group: &str, limits: ThrottleLimits) -> Result<(), Denied> {
        self.enter(Outside::Throttle { group: group.to_owned(), limits }).map(drop)
    }

    /// The group of a drive, and what it may do.
    pub fn drive_throttle(&self, id: &str) -> Option<(String, ThrottleLimits)> {
        let machine = &self.board.machine;
        let (device, slot, _) = machine.drives().into_iter().find(|(.., info)| info.id == id)?;
        let group = machine.drive(device, slot)?.throttle()?;
        Some((group.to_owned(), machine.throttle_limits(group)?))
    }

    /// Whether any drive or node is in a group.
    pub fn throttles(&self, group: &str) -> bool {
        let machine = &self.board.machine;
        let drives = machine.drives();
        let mut of_drives = drives.iter().filter_map(|(device, slot, _)| machine.drive(*device, *slot)?.throttle());
        let mut of_nodes = self.config.nodes.iter().filter_map(|node| node.image.throttle_group.as_deref());
        of_drives.any(|other| other == group) || of_nodes.any(|other| other == group)
    }
}
