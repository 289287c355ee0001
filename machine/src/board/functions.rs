//! The PCI functions that the command line adds: those of `-device`, and a virtio disk for each `-drive if=virtio`.

use super::boot_order::BootDevice;
use super::drives::EMPTY;
use super::for_board::ForBoard;
use super::pc::Parts;
use super::serial_ports::{self, PlannedPort};
use super::slots::{Bridge, BusAt, Candidate};
use super::{BoardError, buses, video};
use crate::block::{Drive, DriveInfo};
use crate::commandline::{Config, DeviceConfig, DriveInterface, OptionError};
use crate::plug::Plug;
use lockstep_devices::catalog::{Creatable, Entry, Made, Surroundings, configured};
use lockstep_devices::pci::DevFn;
use lockstep_devices::pci::bridge::{BridgeConfig, PciBridge};
use lockstep_devices::properties::{Kind, Property};
use lockstep_devices::virtio::{BalloonConfig, BlkConfig, BlkDrive, ConsoleConfig, RngConfig, transport};
use lockstep_fabric::{DeviceId, Input};

/// The pin by which a slot's only function asks for an interrupt.
pub(super) const INTX_A: u8 = 0;

/// What the path of a disk's function is called, and the disk in it.
const DISK_KIND: &str = "scsi";
const DISK_IN_IT: &str = "/disk@0,0";

/// Whether a `-device` goes into a slot; the graphics card has its own way.
pub(super) fn needs_slot(device: &DeviceConfig) -> bool {
    !video::is_card(device) && Entry::find(&device.driver).is_some_and(Entry::is_pci)
}

/// Puts all functions of the command line on their buses, `-device` first, then drives in their order, as QEMU does.
pub(super) fn install(
    parts: &mut Parts,
    config: &Config,
    isa: DeviceId,
    card: Option<&video::Card>,
) -> Result<(), BoardError> {
    serial_ports::check(config)?;
    if let Some(card) = card.filter(|card| card.is_default()) {
        card.install(parts, config)?;
    }
    for device in &config.devices {
        if let Some(card) = card.filter(|card| video::is_card(device) && !card.is_default()) {
            card.install(parts, config)?;
        } else if device.driver == BridgeConfig::NAME {
            add_bridge(parts, config, device)?;
        } else if needs_slot(device) {
            let drive = take_drive(parts, device)?;
            let console = device.driver == ConsoleConfig::NAME;
            let ports = if console { serial_ports::of(config, device)? } else { Vec::new() };
            Function { device, drive, ports }.install(parts, config, isa)?;
        }
    }
    for (bus, unit) in parts.drives.places(DriveInterface::Virtio) {
        let Some(drive) = parts.drives.at(DriveInterface::Virtio, bus, unit) else { continue };
        let name = drive.info().id.clone();
        let origin = config.drives.iter().find(|drive| drive.id == name).map(|drive| drive.origin.clone());
        let globals = config.globals.iter().filter(|global| global.driver == BlkConfig::NAME);
        let globals = globals.map(|global| (global.property.clone(), global.value.clone()));
        let device = DeviceConfig {
            driver: BlkConfig::NAME.into(),
            id: Some(name.clone()),
            origin: origin.unwrap_or_default(),
            properties: globals.chain([("drive".into(), name)]).collect(),
        };
        Function { device: &device, drive: Some(drive), ports: Vec::new() }.install(parts, config, isa)?;
    }
    settle_bridges(parts);
    Ok(())
}

/// Finds a place for a bridge, and makes the bus behind it known.
fn add_bridge(parts: &mut Parts, config: &Config, device: &DeviceConfig) -> Result<(), BoardError> {
    let refused = |why: String| OptionError::refused(&device.origin, why);
    let (board, own) = ForBoard::split(device)?;
    let settings: BridgeConfig = configured(&own).map_err(|why| refused(why.to_string()))?;
    if settings.chassis_nr == 0 {
        let why = "Bridge chassis not specified. Each bridge is required to be assigned a unique chassis id > 0.";
        return Err(refused(why.into()).into());
    }
    let made = PciBridge::new(&settings).map_err(|why| refused(why.to_string()))?;
    let (above, at) = find_place(parts, config, device, &board)?;
    let name = match &device.id {
        Some(_) => parts.name_for(device)?,
        None => format!("pci-bridge#{}", parts.pci.behind_bridges().count()),
    };
    parts.pci.add_bus(device.id.as_deref(), Bridge { name, above, at, device: made });
    Ok(())
}

/// Puts the bridges on the board: they have to know what is behind them.
fn settle_bridges(parts: &mut Parts) {
    let buses: Vec<_> = parts.pci.behind_bridges().map(|(bus, bridge)| (bus, bridge.clone())).collect();
    for (bus, Bridge { name, above, at, mut device }) in buses {
        let behind: Vec<_> = parts.pci.functions(bus).collect();
        behind.iter().for_each(|(at, function, multifunction)| device.attach(*at, *function, *multifunction));
        let id = parts.bus.add(&name, Box::new(device));
        parts.pci.settle(above, at, id);
        behind.iter().for_each(|(_, function, _)| parts.bus.put_behind(*function, id));
    }
}

/// The drive that a device's property names; a device that has such a property cannot be without.
fn take_drive(parts: &mut Parts, device: &DeviceConfig) -> Result<Option<Drive>, BoardError> {
    let properties = Entry::find(&device.driver).map(Entry::properties).unwrap_or_default();
    let Some(Property { name, .. }) = properties.into_iter().find(|p| p.kind == Kind::Drive) else { return Ok(None) };
    let Some(reference) = device.property(name) else {
        return Err(OptionError::refused(&device.origin, "drive property not set").into());
    };
    Ok(Some(parts.drives.take(reference)?))
}

/// Finds a place on a PCI bus for a device.
pub(super) fn find_place(
    parts: &mut Parts,
    config: &Config,
    device: &DeviceConfig,
    board: &ForBoard,
) -> Result<(BusAt, DevFn), OptionError> {
    let bus = match board.bus.as_deref() {
        None => BusAt::ROOT,
        Some(name) => parts.pci.find(name).ok_or_else(|| buses::refuse(config, device, name))?,
    };
    let candidate = Candidate {
        option: &device.origin,
        model: &device.driver,
        id: device.id.as_deref(),
        wanted: board.at,
        multifunction: board.multifunction,
    };
    Ok((bus, parts.pci.place(bus, &candidate)?))
}

/// A function to be added.
struct Function<'a> {
    device: &'a DeviceConfig,
    drive: Option<Drive>,
    /// What is on its bus, if it is a virtio console device.
    ports: Vec<PlannedPort>,
}

impl Function<'_> {
    fn install(self, parts: &mut Parts, config: &Config, isa: DeviceId) -> Result<(), BoardError> {
        let origin = &self.device.origin;
        let refused = |why: &str| OptionError::refused(origin, why);
        let (board, _) = ForBoard::split(self.device)?;
        check_source(config, self.device)?;
        let (bus, at) = find_place(parts, config, self.device, &board)?;
        let others = parts.pluggable.iter().map(|(_, _, plug)| &plug.device);
        check_alone(self.device, others).map_err(|why| refused(&why))?;
        let name = parts.name_for(self.device)?;
        let plug = Plug {
            device: self.device.clone(),
            name: name.clone(),
            // Not yet on the board.
            bridge: DeviceId(0),
            behind: bus != BusAt::ROOT,
            at,
            several: board.multifunction,
            interrupt: parts.pci.intx(bus, at.device(), INTX_A),
            seed: seed(config, bus, at),
            ram: config.memory.size,
            drive: self.drive.as_ref().map(|drive| drive.info().id.clone()),
            node: None,
            write_errors: board.write_errors,
            read_errors: board.read_errors,
            files: Vec::new(),
            ports: self.ports.iter().map(PlannedPort::for_catalog).collect(),
        };
        let made = make(&plug, self.drive.as_ref().map(Drive::info)).map_err(|why| refused(&why))?;
        let id = parts.bus.add(&name, made.device);
        for region in made.regions {
            parts.bus.map(id, region);
        }
        parts.pci.settle(bus, at, id);
        parts.pci.set_pluggable(bus, at);
        parts.connect(id, transport::INTA, isa, plug.interrupt);
        parts.pluggable.push((id, bus, plug));
        for number in self.ports.iter().filter_map(PlannedPort::closed) {
            parts.bus.input(id, &Input::PortOpen { port: number, open: false });
        }
        parts.serial_ports.extend(self.ports.into_iter().map(|port| port.on(id)));
        if let Some(index) = board.boot_index {
            let path = parts.pci.path(bus, at, DISK_KIND) + DISK_IN_IT;
            let drive = self.drive.as_ref().map_or(name, |drive| drive.info().id.clone());
            parts.order.add(origin, BootDevice { index, path, drive })?;
        }
        if let Some(drive) = self.drive {
            let drive = drive.with_policies(board.write_errors, board.read_errors);
            parts.attached.push((id, 0, drive));
        }
        Ok(())
    }
}

/// An entropy device's source has to be there, though what it gives is the machine's seed's.
fn check_source(config: &Config, device: &DeviceConfig) -> Result<(), OptionError> {
    let Some(id) = device.property("rng").filter(|id| device.driver == RngConfig::NAME && !id.is_empty()) else {
        return Ok(());
    };
    let why = match config.objects.iter().find(|object| object.id == id) {
        None => format!("Device '{id}' not found"),
        Some(object) if !object.ty.starts_with("rng-") => {
            "Invalid parameter type for 'rng', expected: rng-backend".into()
        }
        Some(_) => return Ok(()),
    };
    Err(OptionError::refused(&device.origin, why))
}

/// A machine has one balloon at most.
pub(super) fn check_alone<'a>(
    device: &DeviceConfig,
    mut others: impl Iterator<Item = &'a DeviceConfig>,
) -> Result<(), String> {
    if device.driver == BalloonConfig::NAME && others.any(|other| other.driver == BalloonConfig::NAME) {
        return Err("Only one balloon device is supported".into());
    }
    Ok(())
}

/// The seed of a function's randomness: each has a sequence of its own.
pub(super) fn seed(config: &Config, bus: BusAt, at: DevFn) -> u64 {
    config.seed.unwrap_or(0) ^ u64::from(at.0) << 56 ^ bus.number() << 48
}

/// Makes a function.
pub(super) fn make(plug: &Plug, drive: Option<&DriveInfo>) -> Result<Made, String> {
    let entry = Entry::find(&plug.device.driver).ok_or("there is no such device")?;
    let (_, own) = ForBoard::split(&plug.device).map_err(|why| why.reason.to_string())?;
    let mut surroundings =
        Surroundings { seed: plug.seed, ram: plug.ram, ports: plug.ports.clone(), ..Surroundings::default() };
    if let Some(info) = drive {
        if !info.present {
            return Err(EMPTY.into());
        }
        let serial = info.serial.clone().unwrap_or_default();
        let behind = BlkDrive { bytes: info.len, read_only: info.read_only, serial };
        surroundings.drives.insert(info.id.clone(), behind);
    }
    entry.make_within(&own, &surroundings).map_err(|why| why.to_string())
}
