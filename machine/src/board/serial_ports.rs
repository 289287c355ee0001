//! The ports of virtio console devices: which of them a `-device virtconsole` or `virtserialport` goes on, as what number,
//! and who is at its host end.

use super::for_board::ForBoard;
use super::{Board, buses};
use crate::commandline::{Backend, Config, DeviceConfig, OptionError};
use lockstep_devices::catalog::{Creatable, Entry, configured};
use lockstep_devices::parts::PartBus;
use lockstep_devices::virtio::{Console, ConsoleConfig, PortConfig, PortKind};
use lockstep_fabric::{DeviceId, Input};

/// A port on the board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerialPort {
    /// The device that it is one of the ports of.
    pub device: DeviceId,
    /// Its number there.
    pub number: u32,
    /// Its `id=`: what events call it.
    pub id: Option<String>,
    /// The character device behind it.
    pub chardev: Option<String>,
    /// It is a console, which is open as long as there is a character device.
    pub console: bool,
}

/// A port that the command line asks for.
#[derive(Clone, Debug)]
pub(super) struct PlannedPort {
    kind: PortKind,
    config: PortConfig,
    number: u32,
    id: Option<String>,
    /// Nobody is at its host end before a client connects.
    awaits_client: bool,
}

/// Properties of ports that are looked at here.
const NUMBER: &str = "nr";
const BUS: &str = "bus";
const NO_PORT: &str = "there is no such port";

/// The driver of ports that are consoles.
const CONSOLE_DRIVER: &str = "virtconsole";

/// The ports on the bus of `console`, in order, with their numbers.
pub(super) fn of(config: &Config, console: &DeviceConfig) -> Result<Vec<PlannedPort>, OptionError> {
    let refused = |device: &DeviceConfig, why: String| OptionError::refused(&device.origin, why);
    let (_, own) = ForBoard::split(console)?;
    let settings: ConsoleConfig = configured(&own).map_err(|why| refused(console, why.to_string()))?;
    let mut model = Console::function(&settings).map_err(|why| refused(console, why.to_string()))?;
    let mut ports: Vec<PlannedPort> = Vec::new();
    for (at, device) in config.devices.iter().enumerate().filter(|(_, device)| is_port(device)) {
        if !std::ptr::eq(bus_of(config, at, device)?, console) {
            continue;
        }
        let (_, own) = ForBoard::split(device)?;
        let port: PortConfig = configured(&own).map_err(|why| refused(device, why.to_string()))?;
        let kind = if device.driver == CONSOLE_DRIVER { PortKind::Console } else { PortKind::Serial };
        let number = model.class_mut().add_port(kind, &port).map_err(|why| refused(device, why.to_string()))?;
        let backend = port.chardev.as_ref().and_then(|chardev| config.chardev(&chardev.0)).map(|c| &c.backend);
        let awaits_client = kind == PortKind::Serial && backend.is_some_and(Backend::has_visitors);
        ports.push(PlannedPort { kind, config: port, number, id: device.id.clone(), awaits_client });
    }
    Ok(ports)
}

/// The port that `device` is on a bus that has some already: `there` are those of its device, with the numbers that they have.
/// What cannot be is refused in a user's words.
fn plan(config: &Config, there: &[SerialPort], bus: &str, device: &DeviceConfig) -> Result<PlannedPort, String> {
    let mut config = config.clone();
    let known = |device: &DeviceConfig| there.iter().find(|port| port.id.is_some() && port.id == device.id);
    for device in config.devices.iter_mut().filter(|device| is_port(device)) {
        if let Some(port) = known(device) {
            device.properties.push((NUMBER.to_owned(), port.number.to_string()));
        }
    }
    let mut late = device.clone();
    late.properties.retain(|(name, _)| name != BUS);
    late.properties.push((BUS.to_owned(), bus.to_owned()));
    config.devices.push(late);
    let why = |error: OptionError| error.reason.to_string();
    let Some((late, before)) = config.devices.split_last() else { return Err(NO_PORT.to_owned()) };
    let console = bus_of(&config, before.len(), late).map_err(why)?;
    of(&config, console).map_err(why)?.pop().ok_or_else(|| NO_PORT.to_owned())
}

/// Checks that every port has a device to be on.
pub(super) fn check(config: &Config) -> Result<(), OptionError> {
    let mut ports = config.devices.iter().enumerate().filter(|(_, device)| is_port(device));
    ports.try_for_each(|(at, device)| bus_of(config, at, device).map(drop))
}

fn is_port(device: &DeviceConfig) -> bool {
    Entry::find(&device.driver).and_then(Entry::part_bus) == Some(PartBus::VirtioSerial)
}

/// The console device that the port `device`, number `at` on the command line, goes on: the one whose bus it names, or
/// as QEMU does it the one that came last.
fn bus_of<'a>(config: &'a Config, at: usize, device: &DeviceConfig) -> Result<&'a DeviceConfig, OptionError> {
    let mut consoles = config.devices.iter().take(at).filter(|device| device.driver == ConsoleConfig::NAME);
    let (board, _) = ForBoard::split(device)?;
    let Some(name) = board.bus else {
        let why = || format!("No '{}' bus found for device '{}'", PartBus::VirtioSerial.name(), device.driver);
        return consoles.next_back().ok_or_else(|| OptionError::refused(&device.origin, why()));
    };
    let unnamed = consoles.clone().filter(|console| console.id.is_none());
    let made_up = unnamed.enumerate().find(|(n, _)| format!("{}.{n}", PartBus::VirtioSerial.name()) == name);
    let mut named = consoles.filter(|console| console.id.as_deref().is_some_and(|id| format!("{id}.0") == name));
    made_up.map(|(_, console)| console).or(named.next()).ok_or_else(|| buses::refuse(config, device, &name))
}

impl Board {
    /// The port that `device` would be on the bus of the console device `console`, and what plugs it in.
    pub fn plan_port(
        &self,
        config: &Config,
        console: DeviceId,
        bus: &str,
        device: &DeviceConfig,
    ) -> Result<(SerialPort, Input), String> {
        let there: Vec<_> = self.serial_ports.iter().filter(|port| port.device == console).cloned().collect();
        let planned = plan(config, &there, bus, device)?;
        let plugged = Input::PortPlugged {
            port: planned.number,
            console: planned.kind == PortKind::Console,
            name: planned.config.name.clone(),
            open: planned.config.chardev.is_some() && !planned.awaits_client,
        };
        Ok((planned.on(console), plugged))
    }
}

impl PlannedPort {
    /// As the catalog takes it.
    pub(super) fn for_catalog(&self) -> (PortKind, PortConfig) {
        (self.kind, PortConfig { nr: Some(self.number), ..self.config.clone() })
    }

    /// The port's number, if its host end is not open at first.
    pub(super) fn closed(&self) -> Option<u32> {
        self.awaits_client.then_some(self.number)
    }

    /// The port on the board.
    pub(super) fn on(self, device: DeviceId) -> SerialPort {
        let chardev = self.config.chardev.map(|chardev| chardev.0);
        SerialPort { device, number: self.number, id: self.id, chardev, console: self.kind == PortKind::Console }
    }
}
