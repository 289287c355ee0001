//! The machine's drives: attached, exchanged, resized, throttled.

use super::Machine;
use crate::block::{Drive, DriveInfo, Loaded};
use lockstep_fabric::{DeviceId, Input, ThrottleLimits};

impl Machine {
    /// Whether a drive has a request in hand that its limits do not hold back: the time until it is done is the host's disk's to
    /// take, not to be slept, whatever timer comes before.
    pub fn awaits_drive(&self) -> bool {
        self.blocks.awaits_host(self.now())
    }

    /// Puts a drive behind a device, as its drive number `slot`, in place of one that was there.
    pub fn attach_drive(&mut self, device: DeviceId, slot: u8, drive: Drive) {
        self.blocks.attach(device, slot, drive);
    }

    /// Lets a device reach a drive that is attached to another one, as its own drive number `slot`.
    pub fn share_drive(&mut self, device: DeviceId, slot: u8, of: (DeviceId, u8)) {
        self.blocks.share(device, slot, of);
    }

    /// Keeps an opened image for the next [`Outside::Medium`], which must be about the same; nothing: the drive is left empty.
    pub fn load_medium(&mut self, loaded: Option<Loaded>) {
        self.loaded = loaded;
    }

    pub(super) fn exchange_medium(&mut self, device: DeviceId, drive: u8) {
        let loaded = self.loaded.take();
        let medium = loaded.as_ref().map(Loaded::medium);
        self.blocks.exchange(device, drive, loaded);
        for (device, drive) in self.blocks.reached_by(device, drive) {
            self.bus.input(device, &Input::Medium { drive, medium });
        }
    }

    /// Changes the length of the image in a drive, before the [`Outside::Resize`] that tells the guest; gives the length that
    /// it has now.
    pub fn resize_image(&mut self, device: DeviceId, slot: u8, bytes: u64) -> std::io::Result<u64> {
        self.blocks.resize_image(device, slot, bytes)
    }

    pub(super) fn resized(&mut self, device: DeviceId, drive: u8, bytes: u64) {
        self.blocks.resized(device, drive, bytes);
        for (device, drive) in self.blocks.reached_by(device, drive) {
            self.bus.input(device, &Input::Capacity { drive, bytes });
        }
    }

    /// Every drive: the device that it is attached to, its number there, and what is known of it.
    pub fn drives(&self) -> Vec<(DeviceId, u8, DriveInfo)> {
        self.blocks.drives().map(|(device, slot, drive)| (device, slot, drive.info().clone())).collect()
    }

    /// A device's drive.
    pub fn drive(&self, device: DeviceId, slot: u8) -> Option<&Drive> {
        self.blocks.drive(device, slot)
    }

    /// What is known of a device's drive.
    pub fn drive_info(&self, device: DeviceId, slot: u8) -> Option<&DriveInfo> {
        self.blocks.info(device, slot)
    }

    /// Says what a group of throttled drives may do, before the machine has run; later by [`Outside::Throttle`].
    pub fn throttle(&mut self, group: &str, limits: ThrottleLimits) {
        self.blocks.throttle(&self.bus.clock, group, limits);
    }

    /// What a group of throttled drives may do, if there is one of this name.
    pub fn throttle_limits(&self, group: &str) -> Option<ThrottleLimits> {
        self.blocks.throttles().get(group).map(|group| *group.limits())
    }
}
