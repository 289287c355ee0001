//! The types of objects, each with the type that it is a kind of.

use super::backends::{self, Kind as BackendKind};
use super::property::Property;
use lockstep_cpu::cpuid::{CpuModel, Features};
use lockstep_devices::catalog::{Creatable, Entry};
use lockstep_devices::dimm::DimmConfig;
use lockstep_devices::parts::PartBus;
use lockstep_devices::properties::Kind;
use serde_json::json;

/// A type of objects.
#[derive(Clone, Debug)]
pub struct Type {
    /// Its name.
    pub name: String,
    /// The type that it is a kind of; nothing only for `object`.
    pub parent: Option<&'static str>,
    /// There is no object of just this type.
    pub is_abstract: bool,
    /// Interfaces that it has besides.
    pub interfaces: &'static [&'static str],
    has: Has,
}

/// Where the properties come from that its parent has not.
#[derive(Clone, Copy, Debug)]
enum Has {
    Nothing,
    Device,
    PciDevice,
    Machine,
    Cpu,
    Configuration(&'static Entry),
    Backend(&'static BackendKind),
}

/// The type's name of the machine that there is.
pub const fn machine_type() -> &'static str {
    "pc-i440fx-7.2-machine"
}

/// The type's name of the machine that is none.
pub const NO_MACHINE: &str = "none-machine";

/// The type of a model's processors.
pub fn cpu_type(model: &str) -> String {
    format!("{model}-x86_64-cpu")
}

/// Types that stand for themselves: name, parent, abstract, interfaces.
type Row = (&'static str, &'static str, bool, &'static [&'static str], Has);

const NONE: &[&str] = &[];
const PCI_CARD: &[&str] = &["conventional-pci-device"];
const USERS: &[&str] = &["user-creatable"];

const ROWS: &[Row] = &[
    ("accel", "object", true, NONE, Has::Nothing),
    ("tcg-accel", "accel", false, NONE, Has::Nothing),
    ("container", "object", false, NONE, Has::Nothing),
    ("bus", "object", true, NONE, Has::Nothing),
    ("PCI", "bus", false, &["hotplug-handler"], Has::Nothing),
    ("ISA", "bus", false, NONE, Has::Nothing),
    ("IDE", "bus", false, NONE, Has::Nothing),
    ("System", "bus", false, NONE, Has::Nothing),
    ("floppy-bus", "bus", false, NONE, Has::Nothing),
    ("virtio-serial-bus", "bus", false, NONE, Has::Nothing),
    ("machine", "object", true, NONE, Has::Machine),
    ("x86-machine", "machine", true, &["nmi"], Has::Nothing),
    ("generic-pc-machine", "x86-machine", true, &["hotplug-handler"], Has::Nothing),
    (machine_type(), "generic-pc-machine", false, NONE, Has::Nothing),
    (NO_MACHINE, "machine", false, NONE, Has::Nothing),
    ("device", "object", true, &["vmstate-if"], Has::Device),
    ("cpu", "device", true, NONE, Has::Nothing),
    ("x86_64-cpu", "cpu", true, NONE, Has::Cpu),
    ("sys-bus-device", "device", true, NONE, Has::Nothing),
    ("isa-device", "device", true, NONE, Has::Nothing),
    ("pci-device", "device", true, NONE, Has::PciDevice),
    ("virtio-pci", "pci-device", true, PCI_CARD, Has::Nothing),
    ("virtio-device", "device", true, NONE, Has::Nothing),
    ("virtio-blk-device", "virtio-device", false, NONE, Has::Nothing),
    ("ide-device", "device", true, NONE, Has::Nothing),
    ("virtio-serial-port", "device", true, NONE, Has::Nothing),
    ("i440FX-pcihost", "sys-bus-device", false, NONE, Has::Nothing),
    ("i440FX", "pci-device", false, PCI_CARD, Has::Nothing),
    ("PIIX3", "pci-device", false, PCI_CARD, Has::Nothing),
    ("PIIX4_PM", "pci-device", false, &["conventional-pci-device", "hotplug-handler"], Has::Nothing),
    ("acpi-pci-hotplug", "device", false, NONE, Has::Nothing),
    ("acpi-memory-hotplug", "device", false, NONE, Has::Nothing),
    ("acpi-cpu-hotplug", "device", false, NONE, Has::Nothing),
    ("piix3-ide", "pci-device", false, PCI_CARD, Has::Nothing),
    ("apic", "device", false, NONE, Has::Nothing),
    ("ioapic", "sys-bus-device", false, NONE, Has::Nothing),
    ("hpet", "sys-bus-device", false, NONE, Has::Nothing),
    ("fw_cfg", "sys-bus-device", false, NONE, Has::Nothing),
    ("isa-i8259", "isa-device", false, NONE, Has::Nothing),
    ("isa-pit", "isa-device", false, NONE, Has::Nothing),
    ("isa-fdc", "isa-device", false, NONE, Has::Nothing),
    ("i8042", "isa-device", false, NONE, Has::Nothing),
    ("i8257", "isa-device", false, NONE, Has::Nothing),
    ("mc146818rtc", "isa-device", false, NONE, Has::Nothing),
    ("port80", "isa-device", false, NONE, Has::Nothing),
    ("port92", "isa-device", false, NONE, Has::Nothing),
    ("coprocessor-error", "isa-device", false, NONE, Has::Nothing),
    ("bios-services", "isa-device", false, NONE, Has::Nothing),
    ("vga-services", "isa-device", false, NONE, Has::Nothing),
    ("chardev", "object", true, NONE, Has::Nothing),
    ("chardev-fd", "chardev", true, NONE, Has::Nothing),
    ("chardev-file", "chardev-fd", false, NONE, Has::Nothing),
    ("chardev-pipe", "chardev-fd", false, NONE, Has::Nothing),
    ("chardev-pty", "chardev", false, NONE, Has::Nothing),
    ("chardev-serial", "chardev-fd", false, NONE, Has::Nothing),
    ("chardev-stdio", "chardev-fd", false, NONE, Has::Nothing),
    ("chardev-null", "chardev", false, NONE, Has::Nothing),
    ("chardev-ringbuf", "chardev", false, NONE, Has::Nothing),
    ("chardev-socket", "chardev", false, NONE, Has::Nothing),
    ("memory-backend", "object", true, USERS, Has::Nothing),
    ("rng-backend", "object", true, USERS, Has::Nothing),
    ("secret_common", "object", true, USERS, Has::Nothing),
];

/// All types.
#[derive(Clone, Debug)]
pub struct Types(Vec<Type>);

impl Default for Types {
    fn default() -> Self {
        Self::new()
    }
}

impl Types {
    /// Every type that this program knows.
    pub fn new() -> Self {
        let root = Type { name: "object".into(), parent: None, is_abstract: true, interfaces: NONE, has: Has::Nothing };
        let fixed = ROWS.iter().map(|(name, parent, is_abstract, interfaces, has)| Type {
            name: (*name).into(),
            parent: Some(parent),
            is_abstract: *is_abstract,
            interfaces,
            has: *has,
        });
        let plain = |name: String, parent, interfaces, has| Type {
            name,
            parent: Some(parent),
            is_abstract: false,
            interfaces,
            has,
        };
        let devices = Entry::all().map(|entry| {
            let interfaces = if entry.is_pci() { PCI_CARD } else { NONE };
            plain(entry.name.into(), device_parent(entry), interfaces, Has::Configuration(entry))
        });
        let cpus =
            CpuModel::names().chain(["base"]).map(|model| plain(cpu_type(model), "x86_64-cpu", NONE, Has::Nothing));
        let backends = backends::KINDS.iter().map(|kind| plain(kind.ty.into(), kind.parent, USERS, Has::Backend(kind)));
        Self([root].into_iter().chain(fixed).chain(devices).chain(cpus).chain(backends).collect())
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Type> {
        self.0.iter()
    }

    /// The type of this name.
    pub fn find(&self, name: &str) -> Option<&Type> {
        self.0.iter().find(|ty| ty.name == name)
    }

    /// A type and all that it is a kind of, upwards.
    fn line<'a>(&'a self, ty: &'a Type) -> impl Iterator<Item = &'a Type> {
        std::iter::successors(Some(ty), |ty| self.find(ty.parent?))
    }

    /// Whether a type is of another, or has an interface of this name.
    pub fn is_a(&self, ty: &Type, name: &str) -> bool {
        self.line(ty).any(|ty| ty.name == name || ty.interfaces.contains(&name))
    }

    /// The same by name; nothing is of a type that there is not.
    pub fn named_is_a(&self, ty: &str, name: &str) -> bool {
        self.find(ty).is_some_and(|ty| self.is_a(ty, name))
    }

    /// What objects of a type have, the most general first.
    pub fn properties(&self, ty: &Type) -> Vec<Property> {
        let mut line: Vec<_> = self.line(ty).collect();
        line.reverse();
        let own = line.into_iter().flat_map(|ty| own_properties(ty.has));
        [Property::new("type", "string")].into_iter().chain(own).collect()
    }
}

/// What a device of the catalog is a kind of.
fn device_parent(entry: &Entry) -> &'static str {
    const ON_SYSTEM_BUS: [&str; 3] = ["vmgenid", "vmcoreinfo", "pc-dimm"];
    match entry.part_bus() {
        Some(PartBus::Ide) => "ide-device",
        Some(PartBus::Floppy) => "device",
        Some(PartBus::VirtioSerial) => "virtio-serial-port",
        None if entry.name.starts_with("virtio-") => "virtio-pci",
        None if entry.is_pci() => "pci-device",
        None if ON_SYSTEM_BUS.contains(&entry.name) => "device",
        None => "isa-device",
    }
}

fn own_properties(has: Has) -> Vec<Property> {
    let bool = |name: &str| Property::new(name, "bool");
    match has {
        Has::Nothing => Vec::new(),
        Has::Device => {
            vec![Property::new("parent_bus", "link<bus>"), bool("realized"), bool("hotplugged"), bool("hotpluggable")]
        }
        Has::PciDevice => vec![
            Property::setting("addr", "int32", Some(json!(-1)))
                .about("Slot and optional function number, example: 06.0 or 06"),
            Property::setting("multifunction", "bool", Some(json!(false))).about("The device has several functions"),
            Property::new("legacy-addr", "str"),
        ],
        Has::Machine => machine_properties(),
        Has::Cpu => cpu_properties(),
        Has::Backend(kind) => kind.properties(),
        Has::Configuration(entry) => {
            let own = entry.properties();
            let on_error = |name| Property::setting(name, "BlockdevOnError", Some(json!("auto")));
            let policies = own.iter().any(|p| p.kind == Kind::Drive) && entry.part_bus() != Some(PartBus::Floppy);
            let policies = policies.then(|| ["werror", "rerror"].map(on_error)).into_iter().flatten();
            let balloon = (entry.name == super::read::BALLOON).then(|| {
                [Property::new("guest-stats", "guest statistics"), Property::new("guest-stats-polling-interval", "int")]
            });
            let size = (entry.name == DimmConfig::NAME).then(|| Property::new("size", "uint64"));
            let balloon = balloon.into_iter().flatten().chain(size);
            own.iter().map(Property::of_device).chain(policies).chain(balloon).collect()
        }
    }
}

fn machine_properties() -> Vec<Property> {
    let rows = [
        ("kernel", "string", "Linux kernel image file"),
        ("initrd", "string", "Linux initial ramdisk file"),
        ("append", "string", "Linux kernel command line"),
        ("firmware", "string", "Firmware image"),
        ("boot", "BootConfiguration", "Boot configuration"),
        ("memory", "MemorySizeConfiguration", "Memory size configuration"),
        ("memory-backend", "link<memory-backend>", "Set RAM backend"),
        ("smp", "SMPConfiguration", "CPU topology"),
        ("graphics", "bool", "There is a graphics card"),
        ("usb", "bool", "There is a USB controller"),
        ("dump-guest-core", "bool", "Guest memory is in the host's core dumps"),
        ("mem-merge", "bool", "The host may merge equal pages"),
        ("acpi", "OnOffAuto", "There is ACPI"),
        ("smm", "OnOffAuto", "There is system management mode"),
        ("pit", "OnOffAuto", "There is an 8254"),
        ("hpet", "bool", "There is an HPET"),
        ("i8042", "bool", "There is an 8042"),
        ("hmat", "bool", "The guest is told how fast its nodes' memory is"),
        ("vmport", "OnOffAuto", "There is VMware's port"),
    ];
    rows.map(|(name, ty, about)| Property::new(name, ty).about(about)).into()
}

fn cpu_properties() -> Vec<Property> {
    const NUMBERS: [&str; 3] = ["family", "model", "stepping"];
    const PLACES: [&str; 6] = ["node-id", "socket-id", "die-id", "core-id", "thread-id", "apic-id"];
    let place = |name| {
        let ty = if name == "apic-id" { "uint32" } else { "int32" };
        let nowhere = if name == "apic-id" { json!(u32::MAX) } else { json!(-1) };
        Property::setting(name, ty, Some(nowhere))
    };
    let setting = |name, ty| Property::setting(name, ty, None);
    let told = [
        ("unavailable-features", "strList"),
        ("feature-words", "X86CPUFeatureWordInfo"),
        ("filtered-features", "X86CPUFeatureWordInfo"),
    ];
    NUMBERS
        .map(|name| setting(name, "int"))
        .into_iter()
        .chain([setting("vendor", "string"), setting("model-id", "string")])
        .chain([setting("level", "uint32"), setting("xlevel", "uint32"), setting("phys-bits", "uint32")])
        .chain(PLACES.map(place))
        .chain(told.map(|(name, ty)| Property::new(name, ty)))
        .chain(Features::names().iter().map(|name| setting(*name, "bool")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_type_has_one_name_and_a_line_of_parents_up_to_object() {
        let types = Types::new();
        let mut names = BTreeSet::new();
        for ty in types.all() {
            assert!(names.insert(&ty.name), "{} twice", ty.name);
            assert_eq!(types.line(ty).last().map(|ty| ty.name.as_str()), Some("object"), "{}", ty.name);
        }
    }

    #[test]
    fn no_type_has_two_properties_of_one_name() {
        let types = Types::new();
        for ty in types.all() {
            let mut names = BTreeSet::new();
            for property in types.properties(ty) {
                assert!(names.insert(property.name.clone()), "{}.{}", ty.name, property.name);
            }
        }
    }

    #[test]
    fn a_type_is_what_its_parents_are_and_what_interfaces_they_have() {
        let types = Types::new();
        for (ty, of) in [
            ("virtio-blk-pci", "virtio-pci"),
            ("virtio-blk-pci", "device"),
            ("virtio-blk-pci", "conventional-pci-device"),
            ("max-x86_64-cpu", "cpu"),
            ("memory-backend-file", "user-creatable"),
            (machine_type(), "machine"),
        ] {
            assert!(types.named_is_a(ty, of), "{ty} is no {of}");
        }
        assert!(!types.named_is_a("iothread", "device") && !types.named_is_a("nothing", "nothing"));
    }
}
