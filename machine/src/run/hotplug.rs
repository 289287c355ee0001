//! Devices that the operator plugs in and asks back while the machine runs.

use super::{Control, Denied};
use crate::board::SerialPort;
use crate::commandline::{DeviceConfig, RecordReplay};
use crate::object_model::{Tree, What};
use crate::plug::{Change, Module, Plug, Plugged, Processor};
use lockstep_fabric::{Cpu, DeviceId, Input, ModuleChange, Outside, ProcessorChange, SlotChange, Tick};
use lockstep_qmp::commands::qdev::DeviceDeleted;

/// How long a guest that was asked for a device is not asked for it again, in nanoseconds of its time.
const PATIENCE: u64 = 5_000_000_000;

/// Why a device was not plugged in or asked back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlugError {
    /// It cannot be.
    #[error("{0}")]
    Refused(String),
    /// Nothing reaches the guest now.
    #[error(transparent)]
    Denied(#[from] Denied),
}

/// A device that the guest was asked to let go of, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    device: DeviceId,
    at: Tick,
}

impl Control {
    /// Plugs a device into a PCI bus. It is there at once, and the guest is told.
    pub fn plug(&mut self, mut device: DeviceConfig, bus: &str) -> Result<(), PlugError> {
        if self.board.machine.slot_controller().is_none() {
            return Err(PlugError::Refused(format!("Bus '{bus}' does not support hotplugging")));
        }
        self.apply_globals(&mut device);
        let mut plug = self.board.plan(&self.config, device, bus).map_err(PlugError::Refused)?;
        let nodes = self.config.nodes.iter();
        let node = plug.drive.as_ref().and_then(|name| nodes.clone().find(|node| node.name == *name));
        plug.node = node.filter(|node| !self.board.machine.has_spare_drive(&node.name)).cloned();
        let machine = &mut self.board.machine;
        if machine.bus.find(&plug.name).is_some() {
            return Err(PlugError::Refused(format!("Duplicate device ID '{}'", plug.name)));
        }
        let known = machine.drive_files().len();
        machine.check_plug(&plug).map_err(PlugError::Refused)?;
        if self.config.icount.record_replay != RecordReplay::Off {
            plug.files = self.board.machine.drive_files().get(known..).unwrap_or_default().to_vec();
        }
        self.enter_plugged(&Plugged::Function(Box::new(plug)))
    }

    /// Plugs a memory module into a slot. It is there at once, and the guest is told.
    pub fn plug_module(&mut self, mut device: DeviceConfig) -> Result<(), PlugError> {
        self.apply_globals(&mut device);
        let backends = self.objects.memory();
        let module = self.board.plan_module(&self.config, &backends, device).map_err(PlugError::Refused)?;
        if self.board.machine.bus.find(&module.name).is_some() {
            return Err(PlugError::Refused(format!("Duplicate device ID '{}'", module.name)));
        }
        self.enter_plugged(&Plugged::Module(Box::new(module)))
    }

    /// Plugs a processor into its place. It is there at once, and the guest is told.
    pub fn plug_processor(&mut self, mut device: DeviceConfig) -> Result<(), PlugError> {
        self.apply_globals(&mut device);
        let processor = self.board.plan_processor(&self.config, device).map_err(PlugError::Refused)?;
        self.enter_plugged(&Plugged::Processor(Box::new(processor)))
    }

    /// Plugs a port into the bus of a console device, which is called `bus`. It is there at once, and the guest is told.
    pub fn plug_port(&mut self, mut device: DeviceConfig, console: DeviceId, bus: &str) -> Result<(), PlugError> {
        self.apply_globals(&mut device);
        let (port, plugged) = self.board.plan_port(&self.config, console, bus, &device).map_err(PlugError::Refused)?;
        self.input(console, plugged)?;
        self.board.serial_ports.push(port);
        self.config.devices.push(device);
        Ok(())
    }

    /// Takes away the port with this `id=`, if there is one; that needs no consent.
    pub fn unplug_port(&mut self, id: &str) -> Option<Result<(), PlugError>> {
        let at = self.board.serial_ports.iter().position(|port| port.id.as_deref() == Some(id))?;
        let SerialPort { device, number, .. } = self.board.serial_ports[at];
        if let Err(denied) = self.input(device, Input::PortUnplugged { port: number }) {
            return Some(Err(denied.into()));
        }
        self.board.serial_ports.remove(at);
        self.config.devices.retain(|other| other.id.as_deref() != Some(id));
        self.tell(&DeviceDeleted { device: Some(id.into()), path: format!("/machine/peripheral/{id}") });
        Some(Ok(()))
    }

    /// Asks the guest to let go of a processor. It does so in its own time or not at all; a reset takes the processor out.
    pub fn unplug_processor(&mut self, number: u8) -> Result<(), PlugError> {
        let refused = |why: &str| Err(PlugError::Refused(why.into()));
        match self.board.machine.processor_controller() {
            _ if number == 0 => refused("Boot CPU is unpluggable"),
            None => refused("CPU hot unplug not supported without ACPI"),
            Some(controller) => {
                let input = Input::Processor { cpu: Cpu(number), change: ProcessorChange::Wanted };
                Ok(self.input(controller, input)?)
            }
        }
    }

    fn enter_plugged(&mut self, plugged: &Plugged) -> Result<(), PlugError> {
        let device = serde_json::to_string(plugged).map_err(|why| PlugError::Refused(why.to_string()))?;
        self.enter(Outside::Plug { device })?;
        self.follow_plugging();
        Ok(())
    }

    /// What `-global` says of a device's driver comes before what is typed for it.
    fn apply_globals(&self, device: &mut DeviceConfig) {
        let globals = self.config.globals.iter().filter(|global| global.driver == device.driver);
        let globals = globals.map(|global| (global.property.clone(), global.value.clone()));
        device.properties = globals.chain(std::mem::take(&mut device.properties)).collect();
    }

    /// Asks the guest to let go of a device. It does so in its own time or not at all; a reset takes the device out.
    pub fn unplug(&mut self, device: DeviceId) -> Result<(), PlugError> {
        if let Some(Module { slot, .. }) = self.board.machine.module(device) {
            let (slot, change) = (*slot, ModuleChange::Wanted);
            let controller = self.board.machine.memory_controller();
            return Ok(controller.map_or(Ok(()), |id| self.input(id, Input::Module { slot, change }))?);
        }
        let machine = &self.board.machine;
        let (part, controller) = (machine.part(device), machine.slot_controller());
        let (Some(Plug { bridge, at, .. }), Some(controller)) = (part, controller) else {
            let name = self.board.machine.bus.name(device);
            return Err(PlugError::Refused(format!("Device '{name}' does not support hotplugging")));
        };
        let (bridge, slot, name) = (*bridge, at.device(), machine.bus.name(device));
        let now = machine.now();
        let patience = PATIENCE >> machine.bus.clock.shift();
        if self.asked_back.iter().any(|request| request.device == device && now < request.at + patience) {
            return Err(PlugError::Refused(format!("Device {name} is already in the process of unplug")));
        }
        self.input(controller, Input::Slot { bridge, slot, change: SlotChange::Wanted })?;
        self.asked_back.retain(|request| request.device != device);
        self.asked_back.push(Request { device, at: now });
        Ok(())
    }

    /// Takes note of the devices that came and went, and tells QMP's clients; whether any went.
    pub fn follow_plugging(&mut self) -> bool {
        let mut any = false;
        for change in self.board.machine.take_changes() {
            match &change {
                Change::Came(_, plug) => {
                    // Drives of the command line come with devices that are not among these.
                    let listed = plug.device.origin.starts_with("-drive") || self.config.devices.contains(&plug.device);
                    if !listed {
                        self.config.devices.push(plug.device.clone());
                    }
                }
                Change::ModuleCame(_, Module { device, .. }) => {
                    if !self.config.devices.contains(device) {
                        self.config.devices.push(device.clone());
                    }
                }
                Change::ModuleWent(_, module) => {
                    self.forget_module(module);
                    any = true;
                }
                Change::ProcessorCame(Processor { device, .. }) => {
                    if !self.config.devices.contains(device) {
                        self.config.devices.push(device.clone());
                    }
                }
                Change::ProcessorWent(number, processor) => {
                    self.forget_processor(*number, processor.as_ref());
                    any = true;
                }
                Change::Went(id, plug) => {
                    self.forget_ports(*id, plug);
                    self.forget_device(plug);
                    self.asked_back.retain(|request| request.device != *id);
                    any = true;
                }
            }
            self.board.note(&change);
        }
        any
    }

    fn forget_processor(&mut self, number: u8, processor: Option<&Processor>) {
        let path = crate::control::qom_path(processor, number);
        if let Some(processor) = processor {
            self.config.devices.retain(|device| *device != processor.device);
        }
        self.tell(&DeviceDeleted { device: processor.and_then(|processor| processor.device.id.clone()), path });
    }

    fn forget_module(&mut self, module: &Module) {
        let id = module.device.id.clone();
        let path = match &id {
            Some(id) => format!("/machine/peripheral/{id}"),
            None => self.path_of(&module.device).unwrap_or_else(|| "/machine/peripheral-anon/device[0]".into()),
        };
        self.config.devices.retain(|device| *device != module.device);
        self.tell(&DeviceDeleted { device: id, path });
    }

    /// The ports on the bus of a console device go with it.
    fn forget_ports(&mut self, device: DeviceId, plug: &Plug) {
        let ports = self.board.serial_ports.iter().filter(|port| port.device == device);
        let ids: Vec<_> = ports.filter_map(|port| port.id.clone()).collect();
        let bus = plug.device.id.as_ref().map(|id| format!("{id}.0"));
        for id in ids {
            self.config.devices.retain(|other| other.id.as_ref() != Some(&id));
            let path = format!("/machine/peripheral/{id}");
            self.tell(&DeviceDeleted { device: Some(id), path });
        }
        self.config.devices.retain(|other| bus.is_none() || other.property("bus") != bus.as_deref());
    }

    fn forget_device(&mut self, plug: &Plug) {
        let id = plug.device.id.clone();
        let listed = self.config.devices.iter().position(|device| *device == plug.device);
        let path = match (&id, listed) {
            (Some(id), Some(_)) => format!("/machine/peripheral/{id}"),
            _ => self.path_of(&plug.device).unwrap_or_else(|| "/machine/peripheral-anon/device[0]".into()),
        };
        if let Some(at) = listed {
            self.config.devices.remove(at);
        }
        self.tell(&DeviceDeleted { device: id.filter(|_| listed.is_some()), path });
    }

    /// The path of a device that is listed, but no longer on the bus.
    fn path_of(&mut self, device: &DeviceConfig) -> Option<String> {
        let tree = Tree::of(self);
        tree.nodes().find_map(|(at, node)| match &node.what {
            What::Device(placed)
                if placed.device.is_none() && node.ty == device.driver && placed.typed == device.properties =>
            {
                Some(tree.path(at))
            }
            _ => None,
        })
    }
}
