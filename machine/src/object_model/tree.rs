//! The tree of the objects that there are, put together from the command line and the board when someone asks.

use super::types::{NO_MACHINE, Types, cpu_type, machine_type};
use crate::commandline::{Backend, Config, DEFAULT_CARD, DeviceConfig, DriveInterface, MachineKind, Media, cpu_model};
use crate::run::Control;
use lockstep_devices::catalog::{Creatable, Entry};
use lockstep_devices::parts::PartBus;
use lockstep_devices::properties::number;
use lockstep_devices::virtio::BlkConfig;
use lockstep_fabric::DeviceId;
use serde_json::Value;
use std::collections::BTreeSet;

/// An object.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name within its parent; the root's is empty.
    pub name: String,
    /// Its type.
    pub ty: String,
    /// What it is made of.
    pub what: What,
    parent: Option<usize>,
    /// The bus that it is on.
    pub bus: Option<usize>,
}

/// What stands behind an object.
#[derive(Clone, Debug)]
pub enum What {
    /// Only what is in it.
    Container,
    /// The machine.
    Machine,
    /// A bus.
    Bus,
    /// A processor, by its number.
    Cpu(usize),
    /// A device.
    Device(Placed),
    /// An object that a user made, by its name.
    Object(String),
    /// The machine's memory.
    Memory,
    /// A character device, by its name.
    Chardev(String),
}

/// A device in the tree.
#[derive(Clone, Debug, Default)]
pub struct Placed {
    /// Its number on the board's bus; a part of another device has none.
    pub device: Option<DeviceId>,
    /// Its `id=`.
    pub id: Option<String>,
    /// What was set on it, in order.
    pub typed: Vec<(String, String)>,
    /// Where it is on its PCI bus.
    pub devfn: Option<u8>,
}

/// Why a path leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// There is no such object.
    Absent,
    /// There are several.
    Ambiguous,
}

/// All objects.
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    /// The object that memory comes from, if it is a user's.
    memory_backend: Option<String>,
    /// The types.
    pub types: Types,
}

/// The part of a virtio disk that has the drive, under the name that clients look for.
pub(crate) const DISK_BEHIND: &str = "virtio-backend";

const ROOT: usize = 0;
/// The board's name for the host bridge, whose state knows where PCI functions are.
const HOST_BRIDGE: &str = "i440fx";
const ROOT_PCI_BUS: &str = "pci.0";
const ISA_BUS: &str = "isa.0";

/// Where the board's devices hang, while the tree is put together.
struct Places {
    peripheral: usize,
    anonymous: usize,
    unattached: usize,
    host: usize,
    pci: usize,
    system: usize,
}

impl Tree {
    /// The objects of a machine.
    pub fn of(control: &mut Control) -> Self {
        let memory_backend = control.config.machine.memory_backend.clone();
        let mut tree = Self { nodes: Vec::new(), memory_backend, types: Types::new() };
        tree.nodes.push(Node {
            name: String::new(),
            ty: "container".into(),
            what: What::Container,
            parent: None,
            bus: None,
        });
        let none = control.config.machine.kind == MachineKind::None;
        let machine_type = if none { NO_MACHINE } else { machine_type() };
        let machine = tree.add(ROOT, "machine", machine_type, What::Machine);
        for (name, ids) in [("objects", true), ("chardevs", false)] {
            let folder = tree.add(ROOT, name, "container", What::Container);
            if ids { tree.objects(folder, control) } else { tree.chardevs(folder, &control.config) }
        }
        tree.add(ROOT, "backend", "container", What::Container);
        let [unattached, peripheral, anonymous] = ["unattached", "peripheral", "peripheral-anon"]
            .map(|name| tree.add(machine, name, "container", What::Container));
        if none {
            return tree;
        }
        let host = tree.add(machine, HOST_BRIDGE, "i440FX-pcihost", What::Device(Placed::default()));
        let pci = tree.add(host, ROOT_PCI_BUS, "PCI", What::Bus);
        let cpu = cpu_type(&control.config.cpu.model);
        for vcpu in &control.board.machine.cpus {
            let path = crate::control::qom_path(control.board.machine.processor(vcpu.index), vcpu.index);
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let parents = [(peripheral, "/machine/peripheral"), (anonymous, "/machine/peripheral-anon")];
            let parent = parents.into_iter().find(|(_, path)| *path == folder).map_or(unattached, |(at, _)| at);
            tree.add(parent, name, &cpu, What::Cpu(vcpu.index.into()));
        }
        let system = tree.add(unattached, "sysbus", "System", What::Bus);
        tree.nodes[host].bus = Some(system);
        let places = Places { peripheral, anonymous, unattached, host, pci, system };
        tree.devices(&places, control);
        tree
    }

    fn add(&mut self, parent: usize, name: &str, ty: &str, what: What) -> usize {
        self.nodes.push(Node { name: name.into(), ty: ty.into(), what, parent: Some(parent), bus: None });
        self.nodes.len() - 1
    }

    /// Adds one of those that are only numbered.
    fn add_numbered(&mut self, parent: usize, ty: &str, what: What) -> usize {
        let numbered = |(_, node): &(usize, &Node)| node.name.starts_with("device[");
        let number = self.children(parent).filter(numbered).count();
        self.add(parent, &format!("device[{number}]"), ty, what)
    }

    fn objects(&mut self, folder: usize, control: &Control) {
        let machine = &control.config.machine;
        if machine.kind != MachineKind::None && machine.memory_backend.is_none() {
            self.add(folder, "pc.ram", "memory-backend-ram", What::Memory);
        }
        for object in control.objects.iter() {
            self.add(folder, &object.id, object.kind.ty, What::Object(object.id.clone()));
        }
    }

    fn chardevs(&mut self, folder: usize, config: &Config) {
        for chardev in config.chardevs.iter().filter(|chardev| !chardev.is_gone()) {
            let ty = match chardev.backend {
                Backend::Null => "chardev-null",
                Backend::Ring { .. } => "chardev-ringbuf",
                Backend::Stdio { .. } => "chardev-stdio",
                Backend::File { .. } => "chardev-file",
                Backend::Socket { .. } => "chardev-socket",
                Backend::Pty => "chardev-pty",
                Backend::Pipe { .. } => "chardev-pipe",
                Backend::Udp { .. } => "chardev-udp",
                Backend::SerialLine { .. } => "chardev-serial",
            };
            self.add(folder, &chardev.id, ty, What::Chardev(chardev.id.clone()));
        }
    }

    /// The board's devices, those of the command line under their names, and their parts.
    fn devices(&mut self, places: &Places, control: &mut Control) {
        let functions = pci_places(control);
        let bus = &mut control.board.machine.bus;
        let mut on_bus: Vec<_> = bus
            .devices()
            .map(|id| {
                let name = bus.name(id).to_owned();
                let kind = bus.with(id, |device, _| device.kind()).unwrap_or("device");
                (id, name, kind)
            })
            .collect();
        let mut claimed = BTreeSet::new();
        let mut configured = Vec::new();
        let processor = |device: &&DeviceConfig| cpu_model(&device.driver).is_some();
        for device in control.config.devices.iter().filter(|device| !processor(device)) {
            let found = on_bus.iter().find(|(id, name, kind)| {
                !claimed.contains(id)
                    && *kind == device.driver
                    && device
                        .id
                        .as_ref()
                        .map_or_else(|| is_made_up(name, *id) || is_card(kind), |id| id == name || is_card(kind))
            });
            let id = found.map(|(id, ..)| *id);
            claimed.extend(id);
            configured.push((device.clone(), id));
        }
        on_bus.retain(|(id, ..)| !claimed.contains(id));
        for (id, name, kind) in on_bus {
            let placed = |typed| Placed { device: Some(id), id: None, typed, devfn: functions.devfn(id) };
            let parent =
                if Entry::find(kind).is_some_and(Entry::is_pci) { places.anonymous } else { places.unattached };
            let typed = of_the_board(&control.config, &name, kind);
            let node = if name == HOST_BRIDGE {
                self.add(places.pci, "child[0]", kind, What::Device(placed(typed)))
            } else {
                self.add_numbered(parent, kind, What::Device(placed(typed)))
            };
            self.add_buses(node, kind, Some(&name));
        }
        for (device, id) in configured {
            self.configured(places, device, id, &functions);
        }
        self.board_drives(places, control);
        self.connect(places);
    }

    /// The drives that options other than `-device` put on the board's own controllers.
    fn board_drives(&mut self, places: &Places, control: &Control) {
        let on_board = control.board.machine.drives();
        for drive in &control.config.drives {
            let ty = match (drive.interface, drive.media) {
                (DriveInterface::Ide, Media::Cdrom) => "ide-cd",
                (DriveInterface::Ide, Media::Disk) => "ide-hd",
                (DriveInterface::Floppy, _) => "floppy",
                (DriveInterface::Virtio | DriveInterface::None, _) => continue,
            };
            if on_board.iter().all(|(.., info)| info.id != drive.id) {
                continue;
            }
            let mut typed = vec![("drive".to_owned(), drive.id.clone()), ("unit".to_owned(), drive.unit.to_string())];
            if drive.interface == DriveInterface::Ide {
                typed.push(("bus".to_owned(), format!("ide.{}", drive.bus)));
            }
            self.add_numbered(places.unattached, ty, What::Device(Placed { typed, ..Placed::default() }));
        }
    }

    /// A device of the command line.
    fn configured(&mut self, places: &Places, device: DeviceConfig, id: Option<DeviceId>, functions: &Functions) {
        let DeviceConfig { driver, id: name, properties: typed, origin } = device;
        let devfn = id.and_then(|id| functions.devfn(id));
        let what = What::Device(Placed { device: id, id: name.clone(), typed, devfn });
        let node = match &name {
            Some(name) => self.add(places.peripheral, name, &driver, what),
            None if origin == DEFAULT_CARD => self.add_numbered(places.unattached, &driver, what),
            None => self.add_numbered(places.anonymous, &driver, what),
        };
        self.add_buses(node, &driver, name.as_deref());
    }

    /// The buses that a device has.
    fn add_buses(&mut self, node: usize, kind: &str, id: Option<&str>) {
        let own = match id {
            Some(id) => format!("{id}.0"),
            None => self.next_bus_name(PartBus::VirtioSerial.name()),
        };
        let buses: &[(&str, &str)] = match kind {
            "PIIX3" => &[(ISA_BUS, "ISA")],
            "piix3-ide" => &[("ide.0", "IDE"), ("ide.1", "IDE")],
            "isa-fdc" => &[("floppy-bus.0", "floppy-bus")],
            "virtio-serial-pci" => &[(&own, PartBus::VirtioSerial.name())],
            _ => &[],
        };
        for (name, ty) in buses {
            self.add(node, name, ty, What::Bus);
        }
        if kind == BlkConfig::NAME {
            self.add(node, DISK_BEHIND, "virtio-blk-device", What::Container);
        }
    }

    /// What the bus of a device without a name is called: its type and how many there are before it.
    fn next_bus_name(&self, ty: &str) -> String {
        let unnamed = |node: &&Node| {
            matches!(node.what, What::Bus) && node.name.strip_prefix(ty).is_some_and(|rest| rest.starts_with('.'))
        };
        format!("{ty}.{}", self.nodes.iter().filter(unnamed).count())
    }

    /// Finds each device's bus, now that all are there.
    fn connect(&mut self, places: &Places) {
        let isa = self.bus(ISA_BUS);
        for at in 0..self.nodes.len() {
            let node = &self.nodes[at];
            let What::Device(placed) = &node.what else { continue };
            if at == places.host {
                continue;
            }
            let bus = match Entry::find(&node.ty).and_then(Entry::part_bus) {
                Some(part) => self.part_bus(part, placed),
                None if self.types.named_is_a(&node.ty, "pci-device") => Some(places.pci),
                None if self.types.named_is_a(&node.ty, "isa-device") => isa,
                None if self.types.named_is_a(&node.ty, "sys-bus-device") => Some(places.system),
                None => None,
            };
            self.nodes[at].bus = bus;
        }
    }

    fn part_bus(&self, part: PartBus, placed: &Placed) -> Option<usize> {
        let typed = placed.typed.iter().rev().find(|(name, _)| name == "bus");
        typed.and_then(|(_, name)| self.bus(name)).or_else(|| {
            let of_type = |node: &Node| matches!(node.what, What::Bus) && node.ty == part.name();
            self.nodes.iter().position(of_type)
        })
    }

    /// The bus of this name.
    pub fn bus(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| matches!(node.what, What::Bus) && node.name == name)
    }

    /// The device that a bus is of, if it is one of the board's own.
    pub fn device_of_bus(&self, bus: usize) -> Option<DeviceId> {
        match &self.node(self.node(bus).parent?).what {
            What::Device(placed) => placed.device,
            _ => None,
        }
    }

    /// The first bus of a type.
    pub fn bus_of_type(&self, ty: &str) -> Option<usize> {
        self.nodes.iter().position(|node| matches!(node.what, What::Bus) && node.ty == ty)
    }

    /// An object.
    pub fn node(&self, at: usize) -> &Node {
        &self.nodes[at]
    }

    /// All objects.
    pub fn nodes(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate()
    }

    /// All devices and where they are.
    pub fn devices_placed(&self) -> impl Iterator<Item = (usize, &Placed)> {
        self.nodes.iter().enumerate().filter_map(|(at, node)| match &node.what {
            What::Device(placed) => Some((at, placed)),
            _ => None,
        })
    }

    /// The path of the device of this number on the board's bus.
    pub fn path_of_device(&self, device: DeviceId) -> Option<String> {
        let (at, _) = self.devices_placed().find(|(_, placed)| placed.device == Some(device))?;
        Some(self.path(at))
    }

    /// The objects within another.
    pub fn children(&self, of: usize) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().filter(move |(_, node)| node.parent == Some(of))
    }

    /// The path from the root.
    pub fn path(&self, at: usize) -> String {
        match self.nodes[at].parent {
            None => "/".into(),
            Some(ROOT) => format!("/{}", self.nodes[at].name),
            Some(parent) => format!("{}/{}", self.path(parent), self.nodes[at].name),
        }
    }

    /// The object that a property of another one names: a part of it, or one that it points at.
    pub fn follow(&self, at: usize, property: &str) -> Option<usize> {
        let child = self.children(at).find(|(_, node)| node.name == property).map(|(child, _)| child);
        child.or_else(|| match (&self.nodes[at].what, property) {
            (_, "parent_bus") => self.nodes[at].bus,
            (What::Machine, "memory-backend") => self.nodes.iter().position(|node| match &node.what {
                What::Memory => true,
                What::Object(id) => self.memory_backend.as_ref() == Some(id),
                _ => false,
            }),
            _ => None,
        })
    }

    /// Finds the object of a path: with a slash in front from the root; without one, wherever it fits exactly once.
    ///
    /// # Errors
    /// It fits nowhere, or more than once.
    pub fn resolve(&self, path: &str) -> Result<usize, Unresolved> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if path.starts_with('/') {
            return self.walk(ROOT, &parts).ok_or(Unresolved::Absent);
        }
        let mut found = (0..self.nodes.len()).filter_map(|from| self.walk(from, &parts));
        match (found.next(), found.next()) {
            (Some(at), None) => Ok(at),
            (None, _) => Err(Unresolved::Absent),
            (Some(_), Some(_)) => Err(Unresolved::Ambiguous),
        }
    }

    fn walk(&self, from: usize, parts: &[&str]) -> Option<usize> {
        parts.iter().try_fold(from, |at, part| self.follow(at, part))
    }
}

/// The board's name for a device without an `id=`.
fn is_made_up(name: &str, id: DeviceId) -> bool {
    *name == format!("device{}", id.0)
}

/// The graphics card keeps one name on the board.
fn is_card(kind: &str) -> bool {
    kind == "VGA"
}

/// What is set on the devices that options other than `-device` make.
fn of_the_board(config: &Config, name: &str, kind: &str) -> Vec<(String, String)> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    match kind {
        "isa-serial" => {
            let index = name.strip_prefix("serial").unwrap_or_default();
            let chardev = number(index).and_then(|index| config.serial.get(index as usize)).cloned().flatten();
            [pair("index", index)].into_iter().chain(chardev.map(|id| pair("chardev", &id))).collect()
        }
        "virtio-blk-pci" => vec![pair("drive", name)],
        _ => Vec::new(),
    }
}

/// Which device is where on the root bus, as the host bridge's state has it.
struct Functions(Value);

impl Functions {
    fn devfn(&self, device: DeviceId) -> Option<u8> {
        let function = |(_, function): &(&String, &Value)| function["device"] == device.0;
        self.0.as_object()?.iter().find(function)?.0.parse().ok()
    }
}

fn pci_places(control: &mut Control) -> Functions {
    let bus = &mut control.board.machine.bus;
    let state = bus.find(HOST_BRIDGE).and_then(|host| bus.with(host, |device, _| device.save().ok()).flatten());
    Functions(state.map(|mut state| state["functions"].take()).unwrap_or_default())
}
