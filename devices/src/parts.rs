//! Parts: what `-device` puts on the bus of another device and is none of its own on the board. The board gathers
//! them, and makes the device whose bus they are on with them.

use crate::catalog::Entry;
use crate::properties::{BootIndex, DriveName, configuration};
use crate::virtio::PortConfig;

/// The buses that parts go on. Their names are what QEMU calls the types of bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartBus {
    /// A channel of the IDE controller.
    Ide,
    /// The floppy controller's.
    Floppy,
    /// The ports of a virtio console device.
    VirtioSerial,
}

impl PartBus {
    /// The name of the type of bus.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ide => "IDE",
            Self::Floppy => "floppy-bus",
            Self::VirtioSerial => "virtio-serial-bus",
        }
    }
}

/// The parts, by name.
pub const PARTS: &[Entry] = &[
    Entry::part::<FloppyConfig>("floppy", "floppy drive", PartBus::Floppy),
    Entry::part::<IdeConfig>("ide-cd", "IDE CD drive", PartBus::Ide),
    Entry::part::<IdeConfig>("ide-hd", "IDE hard disk", PartBus::Ide),
    Entry::part::<PortConfig>("virtconsole", "console port of a virtio console device", PartBus::VirtioSerial),
    Entry::part::<PortConfig>("virtserialport", "named port of a virtio console device", PartBus::VirtioSerial),
];

configuration! {
    /// How a drive of the IDE controller is set up (`ide-hd`, `ide-cd`).
    pub struct IdeConfig {
        /// Name of the drive behind it; a CD drive without one is empty.
        pub drive: Option<DriveName> = None,
        /// Master (0) or slave (1); the first that is free, if not given.
        pub unit: Option<u32> = None,
        /// Its serial number, of which 20 characters count; the drive's own, if not given.
        pub serial: Option<String> = None,
        /// What it calls itself, of which 40 characters count.
        pub model: Option<String> = None,
        /// Its firmware's version, of which 8 characters count.
        pub ver: Option<String> = None,
        /// Place in the order of booting.
        pub bootindex: BootIndex = BootIndex(None),
    }
}

configuration! {
    /// How a floppy drive is set up.
    pub struct FloppyConfig {
        /// Name of the drive behind it; without one it is empty.
        pub drive: Option<DriveName> = None,
        /// A: (0) or B: (1); the first that is free, if not given.
        pub unit: Option<u32> = None,
        /// Place in the order of booting.
        pub bootindex: BootIndex = BootIndex(None),
    }
}
