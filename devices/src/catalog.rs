//! The catalog: every device that `-device` can add, a line each.

use crate::debug_exit::DebugExitConfig;
use crate::debugcon::DebugconConfig;
use crate::dimm::DimmConfig;
use crate::edu::EduConfig;
use crate::fw_cfg::FwCfgItem;
use crate::parts::{PARTS, PartBus};
use crate::pc_testdev::PcTestdevConfig;
use crate::pci::bridge::BridgeConfig;
use crate::pci_testdev::PciTestdevConfig;
use crate::properties::{Configuration, Property, PropertyError};
use crate::pvpanic::{PvpanicConfig, PvpanicPciConfig};
use crate::uart16550::Uart16550Config;
use crate::vga::VgaConfig;
use crate::virtio::{BalloonConfig, BlkConfig, BlkDrive, ConsoleConfig, PortConfig, PortKind, RngConfig};
use crate::vmcoreinfo::VmCoreInfoConfig;
use crate::vmgenid::VmGenIdConfig;
use crate::watchdog::i6300esb::I6300EsbConfig;
use crate::watchdog::ib700::Ib700Config;
use lockstep_fabric::{Device, PinId, RegionSpec};
use std::collections::BTreeMap;

/// The devices, by name. What goes on their buses is in [`PARTS`].
pub const CATALOG: &[Entry] = &[
    entry::<BalloonConfig>(),
    entry::<BlkConfig>(),
    entry::<BridgeConfig>(),
    entry::<ConsoleConfig>(),
    entry::<DebugExitConfig>(),
    entry::<DebugconConfig>(),
    entry::<DimmConfig>(),
    entry::<EduConfig>(),
    entry::<I6300EsbConfig>(),
    entry::<Ib700Config>(),
    entry::<PcTestdevConfig>(),
    entry::<PciTestdevConfig>(),
    entry::<PvpanicConfig>(),
    entry::<PvpanicPciConfig>(),
    entry::<RngConfig>(),
    entry::<Uart16550Config>(),
    entry::<VgaConfig>(),
    entry::<VmCoreInfoConfig>(),
    entry::<VmGenIdConfig>(),
];

/// Short names that QEMU takes for devices of a PC.
const ALIASES: [(&str, &str); 4] = [
    ("virtio-balloon", BalloonConfig::NAME),
    ("virtio-blk", BlkConfig::NAME),
    ("virtio-rng", RngConfig::NAME),
    ("virtio-serial", ConsoleConfig::NAME),
];

/// A configuration that makes a device by itself.
pub trait Creatable: Configuration {
    /// The name that `-device` takes.
    const NAME: &'static str;
    /// One line about it.
    const ABOUT: &'static str;
    /// The device, and what the board must connect it to.
    fn make(self) -> Result<Made, PropertyError>;
    /// The device, if it depends on what it is put into.
    fn make_within(self, _surroundings: &Surroundings) -> Result<Made, PropertyError> {
        self.make()
    }
}

/// What some devices have to know of the machine that they are put into.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The machine's random seed.
    pub seed: u64,
    /// Bytes of RAM.
    pub ram: u64,
    /// Drives, by their ids.
    pub drives: BTreeMap<String, BlkDrive>,
    /// The ports on the device's own bus, in order (`virtconsole`, `virtserialport`).
    pub ports: Vec<(PortKind, PortConfig)>,
}

/// A device that was made, and what it needs of the board.
pub struct Made {
    /// The device.
    pub device: Box<dyn Device>,
    /// Its regions.
    pub regions: Vec<RegionSpec>,
    /// Its output pins that are ISA interrupts, and which.
    pub irqs: Vec<(PinId, u8)>,
    /// The id of the character device behind it.
    pub chardev: Option<String>,
    /// The id of the drive behind it, its drive number 0.
    pub drive: Option<String>,
    /// The numbers of its ports, each with the id of the character device behind it.
    pub ports: Vec<(u32, String)>,
    /// Files for the firmware configuration device; the device learns of what the guest writes to them.
    pub files: Vec<FwCfgItem>,
    /// Its output pins that are ACPI's general-purpose events, and which.
    pub events: Vec<(PinId, u8)>,
}

impl Made {
    /// A device that needs nothing but its regions.
    pub fn new(device: impl Device + 'static, regions: &[RegionSpec]) -> Self {
        let regions = regions.to_vec();
        Self {
            device: Box::new(device),
            regions,
            irqs: Vec::new(),
            chardev: None,
            drive: None,
            ports: Vec::new(),
            files: Vec::new(),
            events: Vec::new(),
        }
    }
}

/// A line of the catalog.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The name that `-device` takes.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    properties: fn() -> Vec<Property>,
    making: Making,
}

/// What becomes of a line of the catalog.
#[derive(Clone, Copy, Debug)]
enum Making {
    Device(Maker),
    Part(PartBus, Checker),
}

/// Says whether a part can have the properties typed.
type Checker = fn(&[(String, String)]) -> Result<(), PropertyError>;

/// Makes a device from the properties typed, in their order.
type Maker = fn(&[(String, String)], &Surroundings) -> Result<Made, PropertyError>;

const fn entry<C: Creatable>() -> Entry {
    Entry {
        name: C::NAME,
        about: C::ABOUT,
        properties: C::properties,
        making: Making::Device(|typed, within| configured::<C>(typed)?.make_within(within)),
    }
}

/// A configuration with these properties set, in order: the last mention of a name counts.
pub fn configured<C: Configuration>(typed: &[(String, String)]) -> Result<C, PropertyError> {
    let mut config = C::default();
    typed.iter().try_for_each(|(name, value)| config.set(name, value))?;
    Ok(config)
}

impl Entry {
    pub(crate) const fn part<C: Configuration>(name: &'static str, about: &'static str, bus: PartBus) -> Self {
        let making = Making::Part(bus, |typed| configured::<C>(typed).map(drop));
        Self { name, about, properties: C::properties, making }
    }

    /// All that `-device` takes: the devices and the parts.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        CATALOG.iter().chain(PARTS)
    }

    /// The entry of this name, or of the name that this one is short for.
    pub fn find(name: &str) -> Option<&'static Self> {
        let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name);
        Self::all().find(|entry| entry.name == name)
    }

    /// The bus that it goes on, if it is a part of another device.
    pub fn part_bus(&self) -> Option<PartBus> {
        match self.making {
            Making::Device(_) => None,
            Making::Part(bus, _) => Some(bus),
        }
    }

    /// Whether it can be made with these properties.
    pub fn check(&self, properties: &[(String, String)]) -> Result<(), PropertyError> {
        match self.making {
            Making::Device(make) => make(properties, &Surroundings::default()).map(drop),
            Making::Part(_, check) => check(properties),
        }
    }

    /// What can be set.
    pub fn properties(&self) -> Vec<Property> {
        (self.properties)()
    }

    /// Whether the device is a PCI function.
    pub fn is_pci(&self) -> bool {
        self.make(&[]).is_ok_and(|mut made| made.device.pci().is_some())
    }

    /// Makes a device with these properties set, in order: the last mention of a name counts.
    pub fn make(&self, properties: &[(String, String)]) -> Result<Made, PropertyError> {
        self.make_within(properties, &Surroundings::default())
    }

    /// The same for a machine of which the device has to know.
    pub fn make_within(
        &self,
        properties: &[(String, String)],
        surroundings: &Surroundings,
    ) -> Result<Made, PropertyError> {
        match self.making {
            Making::Device(make) => make(properties, surroundings),
            Making::Part(..) => Err(PropertyError::Part),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::{Chardev, Kind};

    fn make(name: &str, typed: &[(&str, &str)]) -> Result<Made, PropertyError> {
        let typed: Vec<_> = typed.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Entry::find(name).expect("an entry").make(&typed)
    }

    #[test]
    fn every_entry_makes_its_device_with_the_defaults_that_it_tells() {
        for entry in CATALOG {
            let made = make(entry.name, &[]).unwrap_or_else(|why| panic!("{}: {why}", entry.name));
            assert_eq!(made.device.kind(), entry.name);
            let told: Vec<_> = entry.properties().into_iter().filter_map(|p| Some((p.name, p.default?))).collect();
            let told: Vec<_> = told.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let again = make(entry.name, &told).unwrap_or_else(|why| panic!("{}: {why}", entry.name));
            let bases = |made: &Made| made.regions.iter().map(|r| (r.base, r.len)).collect::<Vec<_>>();
            assert_eq!(bases(&again), bases(&made), "{}", entry.name);
            assert!(entry.properties().iter().all(|p| !p.about.is_empty()));
        }
    }

    #[test]
    fn what_is_typed_takes_the_declared_types() {
        let made = make("isa-debug-exit", &[("iobase", "1"), ("iobase", "0xf4"), ("iosize", "04")]).expect("a device");
        assert_eq!((made.regions[0].base, made.regions[0].len), (Some(0xf4), 4));
        let made = make("isa-serial", &[("index", "1"), ("chardev", "line")]).expect("a device");
        assert_eq!((made.regions[0].base, made.irqs[0].1, made.chardev.as_deref()), (Some(0x2f8), 3, Some("line")));
        let why = |name, typed: &[(&str, &str)]| make(name, typed).err().map(|e| e.to_string()).unwrap_or_default();
        assert_eq!(why("isa-debug-exit", &[("iobase", "zz")]), "'zz' is no value for 'iobase': use a number");
        assert_eq!(why("isa-debug-exit", &[("iobase", "0x10000")]), "'0x10000' is no value for 'iobase': too large");
        assert_eq!(why("isa-debug-exit", &[("port", "1")]), "unknown property 'port'");
        assert!(why("isa-serial", &[("irq", "16")]).contains("'irq'"));
    }

    #[test]
    fn what_a_device_is_put_into_decides_with_its_properties() {
        let stream = PortConfig { chardev: Some(Chardev("line".into())), ..PortConfig::default() };
        let drive = BlkDrive { bytes: 1 << 20, ..BlkDrive::default() };
        let surroundings = Surroundings {
            drives: [("d0".into(), drive)].into(),
            ports: vec![(PortKind::Console, PortConfig::default()), (PortKind::Serial, stream)],
            ..Surroundings::default()
        };
        let make = |name: &str, typed: &[(&str, &str)]| {
            let typed: Vec<_> = typed.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            Entry::find(name).expect("an entry").make_within(&typed, &surroundings)
        };
        let disk = make("virtio-blk-pci", &[("drive", "d0"), ("num-queues", "2")]).expect("a disk");
        assert_eq!(disk.drive.as_deref(), Some("d0"));
        assert_eq!(disk.device.save().expect("a state")["class"]["bytes"], 1 << 20);
        assert_eq!(make("virtio-serial-pci", &[]).expect("a console").ports, [(1, "line".to_owned())]);
        let why = |typed| make("virtio-blk-pci", typed).err().map(|e| e.to_string()).unwrap_or_default();
        assert_eq!(why(&[("queue-size", "3")]), "'3' is no value for 'queue-size': use a power of 2 from 4 to 1024");
        assert_eq!(why(&[("disable-legacy", "x")]), "'x' is no value for 'disable-legacy': use on, off or auto");
    }

    #[test]
    fn kinds_and_defaults_follow_from_the_fields() {
        let properties = Entry::find("isa-debugcon").expect("an entry").properties();
        let seen: Vec<_> = properties.iter().map(|p| (p.name, p.kind, p.default.as_deref())).collect();
        assert_eq!(
            seen,
            [
                ("iobase", Kind::Number(0xffff), Some("0xe9")),
                ("readback", Kind::Number(0xff), Some("0xe9")),
                ("chardev", Kind::Chardev, None)
            ]
        );
    }
}
