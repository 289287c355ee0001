//! Slots whose devices come and go while the machine runs: which there are, and where a new device goes.

use super::for_board::ForBoard;
use super::pc::Parts;
use super::slots::{BusAt, Candidate, PciBuses};
use super::{Board, functions};
use crate::commandline::{Config, DeviceConfig};
use crate::plug::{Change, Plug};
use lockstep_devices::catalog::Creatable;
use lockstep_devices::catalog::Entry;
use lockstep_devices::pci::bridge::BridgeConfig;
use lockstep_devices::pci::hotplug::{self, PciHotplug, PlugBus};
use lockstep_devices::pci::piix4_pm;
use lockstep_devices::properties::Kind;
use lockstep_fabric::{Bus, DeviceId};
use lockstep_firmware::platform::PlugSlots;

/// The name of the registers by which the guest learns of slots.
pub(super) const CONTROLLER: &str = "acpi-pci-hotplug";
/// The board's name for the host bridge.
const HOST_BRIDGE: &str = "i440fx";

/// The bridge that a bus is behind, once it is on the board.
pub(super) fn bridge_of(pci: &PciBuses, bus: &Bus, at: BusAt) -> Option<DeviceId> {
    bus.find(pci.bridge_name(at).unwrap_or(HOST_BRIDGE))
}

/// The buses in the order of their numbers in ACPI: a bus comes before those behind it.
fn numbered(pci: &PciBuses) -> Vec<BusAt> {
    let mut order = vec![BusAt::ROOT];
    let mut next = 0;
    while let Some(bus) = order.get(next).copied() {
        order.extend(pci.bridges_on(bus).into_iter().map(|(_, behind)| behind));
        next += 1;
    }
    order
}

/// Adds the registers to a board whose bridges are all there.
pub(super) fn add_controller(parts: &mut Parts, power: DeviceId) {
    let buses = numbered(&parts.pci)
        .into_iter()
        .filter_map(|at| Some(PlugBus::new(bridge_of(&parts.pci, &parts.bus, at)?, parts.pci.fixed(at))));
    let registers = PciHotplug::new(buses.collect());
    let controller = parts.bus.add(CONTROLLER, Box::new(registers));
    parts.bus.map(controller, hotplug::REGION);
    parts.connect(controller, hotplug::PIN_EVENT, power, piix4_pm::pin_gpe(hotplug::EVENT));
}

/// The same for the tables.
pub(super) fn slots(pci: &PciBuses) -> PlugSlots {
    describe(pci, &numbered(pci), BusAt::ROOT)
}

fn describe(pci: &PciBuses, order: &[BusAt], at: BusAt) -> PlugSlots {
    let number = order.iter().position(|bus| *bus == at).unwrap_or(0) as u32;
    let bridges = pci.bridges_on(at).into_iter().map(|(slot, behind)| (slot, describe(pci, order, behind)));
    PlugSlots { number, fixed: pci.fixed(at), bridges: bridges.collect() }
}

impl Board {
    /// Finds a place for a new function; nothing is changed.
    ///
    /// # Errors
    /// There is none, or not the one that was asked for: why, in QEMU's words.
    pub fn plan(&mut self, config: &Config, device: DeviceConfig, bus: &str) -> Result<Plug, String> {
        let (board, _) = ForBoard::split(&device).map_err(|why| why.reason.to_string())?;
        let at = self.slots.find(bus).ok_or_else(|| format!("Bus '{bus}' not found"))?;
        let driver = &device.driver;
        if driver == BridgeConfig::NAME || super::video::is_card(&device) {
            return Err(format!("Device '{driver}' does not support hotplugging"));
        }
        if board.boot_index.is_some() {
            return Err("Property 'bootindex' can only be set before the machine starts".into());
        }
        let candidate = Candidate {
            option: driver,
            model: driver,
            id: device.id.as_deref(),
            wanted: board.at,
            multifunction: board.multifunction,
        };
        let place = self.slots.clone().place(at, &candidate).map_err(|why| why.reason.to_string())?;
        if let Some(first) = self.slots.first_function(at, place).filter(|_| place.function() != 0) {
            return Err(format!(
                "PCI: slot {} function 0 already occupied by {first}, new func {driver} cannot be exposed to guest.",
                place.device()
            ));
        }
        functions::check_alone(&device, self.machine.parts().map(|plug| &plug.device))?;
        let machine = &self.machine;
        let bridge = bridge_of(&self.slots, &machine.bus, at).ok_or_else(|| format!("Bus '{bus}' not found"))?;
        let drive = Entry::find(driver).into_iter().flat_map(Entry::properties).find(|p| p.kind == Kind::Drive);
        let seed = functions::seed(config, at, place) ^ machine.now().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Ok(Plug {
            name: device.id.clone().unwrap_or_else(|| format!("device{}", machine.bus.next_id().0)),
            bridge,
            behind: at != BusAt::ROOT,
            at: place,
            several: board.multifunction,
            interrupt: self.slots.intx(at, place.device(), functions::INTX_A),
            seed,
            ram: config.memory.size,
            drive: drive.and_then(|property| device.property(property.name)).map(str::to_owned),
            node: None,
            write_errors: board.write_errors,
            read_errors: board.read_errors,
            files: Vec::new(),
            ports: Vec::new(),
            device,
        })
    }

    /// Whether there is a PCI bus of this name.
    pub fn has_pci_bus(&self, name: &str) -> bool {
        self.slots.find(name).is_some()
    }

    /// Takes note of a function that came or went.
    pub fn note(&mut self, change: &Change) {
        let (Change::Came(_, plug) | Change::Went(_, plug)) = change else { return };
        let bus = &self.machine.bus;
        let Some(at) = self.slots.behind(|at| bridge_of(&self.slots, bus, at) == Some(plug.bridge)) else { return };
        match change {
            Change::Came(id, plug) => {
                let candidate = Candidate {
                    option: &plug.device.origin,
                    model: &plug.device.driver,
                    id: plug.device.id.as_deref(),
                    wanted: Some(plug.at),
                    multifunction: plug.several,
                };
                if self.slots.place(at, &candidate).is_ok() {
                    self.slots.settle(at, plug.at, *id);
                    self.slots.set_pluggable(at, plug.at);
                }
            }
            Change::Went(id, plug) => {
                self.slots.vacate(at, plug.at);
                self.serial_ports.retain(|port| port.device != *id);
            }
            Change::ModuleCame(..) | Change::ModuleWent(..) | Change::ProcessorCame(..) | Change::ProcessorWent(..) => {
            }
        }
    }
}
