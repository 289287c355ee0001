//! A machine with one of everything that `-device` adds.

use crate::program::scratch;
use lockstep_devices::catalog::{CATALOG, Entry};
use lockstep_devices::parts::PARTS;
use std::path::PathBuf;

/// As long as a floppy disk: an image fits every kind of drive.
const IMAGE_LEN: usize = 1_474_560;

/// The arguments that add everything, and the images of its drives; what is written goes with the machine.
pub struct WholeCatalog {
    files: Vec<PathBuf>,
    /// The arguments: to a machine with `-nodefaults` and a slot for a module of memory.
    pub arguments: Vec<String>,
}

impl WholeCatalog {
    /// Makes the images, under names of this test's own.
    ///
    /// # Panics
    /// If they cannot be written.
    pub fn new(name: &str) -> Self {
        let mut whole = Self { files: Vec::new(), arguments: Vec::new() };
        // No fault of the guest's ends the machine.
        whole.add("-object memory-backend-ram,id=module,size=2M");
        whole.add("-chardev null,id=lost -chardev null,id=port -action panic=none,watchdog=none");
        for entry in CATALOG.iter().chain(PARTS) {
            let drive = whole.drive(name, entry);
            // Clear of the devices that the board has already.
            let place = match entry.name {
                "isa-serial" => ",index=2,chardev=lost",
                "isa-debugcon" => ",iobase=0x402",
                "pc-dimm" => ",memdev=module",
                "pci-bridge" => ",chassis_nr=1,id=bridge",
                "virtserialport" => ",chardev=port",
                _ => "",
            };
            whole.add(&format!("-device {}{place}{drive}", entry.name));
        }
        whole.add("-device virtio-rng-pci,bus=bridge,addr=3");
        whole
    }

    fn add(&mut self, words: &str) {
        self.arguments.extend(words.split_whitespace().map(str::to_owned));
    }

    /// The drive behind a device that has one.
    fn drive(&mut self, name: &str, entry: &Entry) -> String {
        if !entry.properties().iter().any(|property| property.name == "drive") {
            return String::new();
        }
        let file = scratch(&format!("{name}-{}.raw", entry.name), &vec![0; IMAGE_LEN]);
        let media = if entry.name == "ide-cd" { ",media=cdrom" } else { "" };
        let id = format!("drive-{}", entry.name);
        self.add(&format!("-drive file={},format=raw,if=none,id={id},snapshot=on{media}", file.display()));
        self.files.push(file);
        format!(",drive={id}")
    }
}

impl Drop for WholeCatalog {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
    }
}
