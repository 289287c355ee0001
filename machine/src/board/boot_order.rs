//! What the command line says of the order of booting by `bootindex=`, and the names by which firmware knows the devices:
//! Open Firmware device paths, as QEMU spells them.

use crate::commandline::OptionError;

/// Where the path of every device begins: the root PCI bus.
pub(super) const ROOT: &str = "/pci@i0cf8";

/// A device with a place in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootDevice {
    /// The place: the lower is tried the earlier.
    pub index: u32,
    /// The device's path: `/pci@i0cf8/ide@1,1/drive@0/disk@0`.
    pub path: String,
    /// The drive behind it, by its name on the command line.
    pub drive: String,
}

/// The devices that have a place, sorted by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootOrder(Vec<BootDevice>);

impl BootOrder {
    /// Gives a device a place.
    pub(super) fn add(&mut self, option: &str, device: BootDevice) -> Result<(), OptionError> {
        let index = device.index;
        match self.0.binary_search_by_key(&index, |other| other.index) {
            Ok(_) => Err(OptionError::refused(option, format!("The bootindex {index} has already been used"))),
            Err(place) => {
                self.0.insert(place, device);
                Ok(())
            }
        }
    }

    /// The devices in the order of their places: what fw_cfg's file `bootorder` lists, a path to a line.
    pub fn devices(&self) -> &[BootDevice] {
        &self.0
    }

    /// The file `bootorder`: `first`, then the devices' paths, a line each, and a zero. `strict` says that nothing else is to be
    /// tried.
    pub(super) fn file(&self, first: Option<&str>, strict: bool) -> Vec<u8> {
        const NOTHING_ELSE: &str = "HALT";
        let mut lines: Vec<&str> = first.into_iter().chain(self.0.iter().map(|device| device.path.as_str())).collect();
        if lines.is_empty() {
            return Vec::new();
        }
        lines.extend(strict.then_some(NOTHING_ELSE));
        [lines.join("\n").as_bytes(), b"\0"].concat()
    }

    /// The place of the device with this drive.
    pub fn of_drive(&self, name: &str) -> Option<u32> {
        self.0.iter().find(|device| device.drive == name).map(|device| device.index)
    }
}

/// The path of a drive on a channel of the IDE controller.
pub(super) fn ide_path(channel: u8, unit: u8) -> String {
    format!("{ROOT}/ide@1,1/drive@{channel}/disk@{unit}")
}

/// The path of a floppy drive.
pub(super) fn floppy_path(unit: u8) -> String {
    format!("{ROOT}/isa@1/fdc@03f0/floppy@{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_listed_by_their_places_and_each_place_is_given_once() {
        let mut order = BootOrder::default();
        let device = |index, drive: &str| BootDevice { index, path: ide_path(1, 0), drive: drive.into() };
        for (index, drive) in [(7, "c"), (0, "a"), (3, "b")] {
            order.add("-device x", device(index, drive)).expect("a free place");
        }
        let names: Vec<_> = order.devices().iter().map(|device| device.drive.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!((order.of_drive("b"), order.of_drive("d")), (Some(3), None));
        let path = "/pci@i0cf8/ide@1,1/drive@1/disk@0";
        assert_eq!(order.file(None, false), format!("{path}\n{path}\n{path}\0").into_bytes());
        assert_eq!(BootOrder::default().file(Some("/rom@x"), true), b"/rom@x\nHALT\0");
        assert!(BootOrder::default().file(None, true).is_empty());
        let error = order.add("-device x,bootindex=3", device(3, "d")).expect_err("taken").to_string();
        assert_eq!(error, "-device x,bootindex=3: The bootindex 3 has already been used");
    }
}
