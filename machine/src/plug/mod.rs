//! Parts of a machine that come and go while it runs: PCI functions in their slots, memory modules,
//! processors.

mod modules;
mod processors;

pub use modules::Module;
pub use processors::{Processor, ProcessorPlaces};

use crate::block::{Drive, DriveInfo, Drives};
use crate::commandline::{DeviceConfig, ErrorPolicy, NodeConfig};
use crate::machine::Machine;
use crate::record::BootedFile;
use lockstep_devices::catalog::Made;
use lockstep_devices::pci::DevFn;
use lockstep_devices::virtio::{PortConfig, PortKind, transport};
use lockstep_fabric::{DeviceId, Input, PinId, Sink, SlotChange, StateError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A function and its place: all that it takes to put it there again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plug {
    /// What was asked for.
    pub device: DeviceConfig,
    /// Its name on the machine's bus.
    pub name: String,
    /// The bridge that its PCI bus is behind.
    pub bridge: DeviceId,
    /// Its regions answer only where the bridge's windows are open.
    pub behind: bool,
    /// Its place on that bus.
    pub at: DevFn,
    /// Its device has several functions.
    pub several: bool,
    /// The pin that its interrupt arrives at.
    pub interrupt: PinId,
    /// The seed of its randomness.
    pub seed: u64,
    /// Bytes of RAM in the machine.
    pub ram: u64,
    /// The drive behind it.
    pub drive: Option<String>,
    /// The node that is its drive, if it was defined while the machine ran and no device has had it yet.
    #[serde(default)]
    pub node: Option<NodeConfig>,
    /// What becomes of write errors, if not as the drive says.
    pub write_errors: Option<ErrorPolicy>,
    /// What becomes of read errors, if not as the drive says.
    pub read_errors: Option<ErrorPolicy>,
    /// The image files of its drive, where a run is recorded.
    pub files: Vec<BootedFile>,
    /// The ports on its own bus. What is plugged at run time has none.
    #[serde(skip)]
    pub ports: Vec<(PortKind, PortConfig)>,
}

/// What is plugged, as it passes the gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plugged {
    /// A PCI function.
    Function(Box<Plug>),
    /// A memory module.
    Module(Box<Module>),
    /// A processor.
    Processor(Box<Processor>),
}

/// Makes the function that a plug describes, with what is known of its drive.
pub type Maker = fn(&Plug, Option<&DriveInfo>) -> Result<Made, String>;

/// What came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is there.
    Came(DeviceId, Plug),
    /// It is gone.
    Went(DeviceId, Plug),
    /// A memory module is there.
    ModuleCame(DeviceId, Module),
    /// A memory module is gone.
    ModuleWent(DeviceId, Module),
    /// A processor is there.
    ProcessorCame(Processor),
    /// The processor of this number is gone, and what it was plugged in as, if it was.
    ProcessorWent(u8, Option<Processor>),
}

/// What the board knows of its slots.
pub struct Slots {
    /// The device that tells the guest; none: the guest is told nothing.
    pub controller: Option<DeviceId>,
    /// The same for memory; none: there are no slots for it.
    pub memory: Option<DeviceId>,
    /// The places of processors.
    pub places: ProcessorPlaces,
    /// The device that interrupts of slots arrive at.
    pub interrupts: DeviceId,
    /// Makes functions.
    pub make: Maker,
    /// Drives that no device has.
    pub spare: Drives,
    /// The functions of the command line.
    pub originals: BTreeMap<DeviceId, Plug>,
}

/// What can come and go, and is there.
pub(crate) struct Parts {
    slots: Slots,
    present: BTreeMap<DeviceId, Plug>,
    modules: BTreeMap<DeviceId, Module>,
    processors: BTreeMap<u8, Processor>,
    changes: Vec<Change>,
}

/// The functions there are, in a saved state: those of the command line by their numbers, since their words may differ
/// between machines that are the same.
#[derive(Serialize, Deserialize)]
struct Saved {
    originals: Vec<DeviceId>,
    plugged: Vec<(DeviceId, Plug)>,
    modules: Vec<(DeviceId, Module)>,
    processors: BTreeMap<u8, Processor>,
}

impl Machine {
    /// Says which functions can come and go.
    pub fn set_slots(&mut self, slots: Slots) {
        let present = slots.originals.clone();
        let processors = slots.places.originals.clone();
        self.parts = Some(Parts { slots, present, modules: BTreeMap::new(), processors, changes: Vec::new() });
    }

    /// The functions that can be taken out.
    pub fn part(&self, device: DeviceId) -> Option<&Plug> {
        self.parts.as_ref()?.present.get(&device)
    }

    /// All functions that can be taken out.
    pub fn parts(&self) -> impl Iterator<Item = &Plug> {
        self.parts.iter().flat_map(|parts| parts.present.values())
    }

    /// Whether a device can be taken out.
    pub fn can_go(&self, device: DeviceId) -> bool {
        self.part(device).is_some() || self.module(device).is_some()
    }

    /// Whether a device was plugged in at run time.
    pub fn was_plugged(&self, device: DeviceId) -> bool {
        if let Some(module) = self.module(device) {
            return module.hotplugged;
        }
        let part = self.part(device);
        part.is_some_and(|part| {
            self.parts.as_ref().is_some_and(|parts| parts.slots.originals.get(&device) != Some(part))
        })
    }

    /// The device that tells the guest of its slots.
    pub fn slot_controller(&self) -> Option<DeviceId> {
        self.parts.as_ref()?.slots.controller
    }

    /// Takes what came and went since this was last asked, in order.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.parts.as_mut().map(|parts| std::mem::take(&mut parts.changes)).unwrap_or_default()
    }

    /// The image files that have been read for drives so far.
    pub fn drive_files(&self) -> &[BootedFile] {
        self.parts.as_ref().map_or(&[], |parts| parts.slots.spare.files())
    }

    /// Whether there is a drive or node of this name that a device can have.
    pub fn has_spare_drive(&self, name: &str) -> bool {
        self.parts.as_ref().is_some_and(|parts| parts.slots.spare.has(name))
    }

    /// Closes the image of a node that no device has.
    pub fn forget_drive(&mut self, name: &str) {
        if let Some(parts) = &mut self.parts {
            parts.slots.spare.forget(name);
        }
    }

    /// Why a function cannot be plugged; what is wrong with the place is the caller's to know. The files of its drive are
    /// open afterwards.
    pub fn check_plug(&mut self, plug: &Plug) -> Result<(), String> {
        let (_, drive) = self.prepare(plug)?;
        if let (Some(drive), Some(parts)) = (drive, &mut self.parts) {
            parts.slots.spare.put_back(drive);
        }
        Ok(())
    }

    fn prepare(&mut self, plug: &Plug) -> Result<(Made, Option<Drive>), String> {
        let Some(parts) = &mut self.parts else { return Err("this machine has no slots".into()) };
        if let Some(node) = plug.node.as_ref().filter(|node| !parts.slots.spare.has(&node.name)) {
            parts.slots.spare.define(node.clone());
        }
        let drive = match &plug.drive {
            Some(reference) if self.blocks.drives().any(|(_, _, drive)| drive.info().id == *reference) => {
                return Err(format!("Drive '{reference}' is already in use by another device"));
            }
            Some(reference) => Some(parts.slots.spare.take(reference).map_err(|why| why.to_string())?),
            None => None,
        };
        let files = parts.slots.spare.files();
        let as_before = plug.files.iter().all(|file| files.contains(file));
        let made = (parts.slots.make)(plug, drive.as_ref().map(Drive::info));
        match (made, drive) {
            (Ok(made), drive) if as_before => Ok((made, drive)),
            (made, drive) => {
                drive.into_iter().for_each(|drive| parts.slots.spare.put_back(drive));
                Err(made.err().unwrap_or_else(|| "the image is not as recorded".into()))
            }
        }
    }

    /// Plugs what the gate let in, in the words of [`Plugged`].
    pub(crate) fn plug_in(&mut self, device: &str) -> Result<(), String> {
        match serde_json::from_str(device).map_err(|why| why.to_string())? {
            Plugged::Function(plug) => self.plug(*plug).map(drop),
            Plugged::Module(module) => self.plug_module(*module).map(drop),
            Plugged::Processor(processor) => self.plug_processor(*processor),
        }
    }

    /// Plugs a function, and tells the guest.
    fn plug(&mut self, plug: Plug) -> Result<DeviceId, String> {
        let id = self.bus.next_id();
        // In a replay nothing else tells that a node of this name was deleted and another one defined.
        if let (Some(node), Some(parts)) = (&plug.node, &mut self.parts)
            && !parts.slots.spare.is_unused(&node.name)
        {
            parts.slots.spare.forget(&node.name);
        }
        let (bridge, slot) = (plug.bridge, plug.at.device());
        self.put_in(id, plug)?;
        if let Some(controller) = self.parts.as_ref().and_then(|parts| parts.slots.controller) {
            self.bus.input(controller, &Input::Slot { bridge, slot, change: SlotChange::Plugged });
        }
        Ok(id)
    }

    fn put_in(&mut self, id: DeviceId, plug: Plug) -> Result<(), String> {
        let (made, drive) = self.prepare(&plug)?;
        let Some(parts) = &mut self.parts else { return Ok(()) };
        if !self.bus.add_as(id, &plug.name, made.device) {
            return Err(format!("device number {} is taken", id.0));
        }
        for region in made.regions {
            self.bus.map(id, region);
        }
        self.bus.wire(id, transport::INTA, Sink::Device(parts.slots.interrupts, plug.interrupt));
        if plug.behind {
            self.bus.put_behind(id, plug.bridge);
        }
        let (at, several) = (plug.at.0, plug.several);
        self.bus.with(plug.bridge, |bridge, _| bridge.pci().map(|bridge| bridge.attach(at, id, several)));
        self.bus.with(id, |device, cx| device.reset(cx));
        if let Some(drive) = drive {
            self.blocks.attach(id, 0, drive.with_policies(plug.write_errors, plug.read_errors));
        }
        parts.present.insert(id, plug.clone());
        parts.changes.push(Change::Came(id, plug));
        Ok(())
    }

    /// Takes a device out, if it is one that can be.
    pub(crate) fn take_out(&mut self, id: DeviceId) {
        if self.take_out_module(id) {
            return;
        }
        let Some(parts) = &mut self.parts else { return };
        let Some(plug) = parts.present.remove(&id) else { return };
        self.bus.with(plug.bridge, |bridge, _| bridge.pci().map(|bridge| bridge.detach(id)));
        self.bus.remove(id);
        self.blocks.detach(id).into_iter().for_each(|(_, drive)| parts.slots.spare.take_back(drive));
        parts.changes.push(Change::Went(id, plug));
    }

    /// Which functions there are, for a saved state.
    pub(crate) fn saved_parts(&self) -> Result<Value, StateError> {
        let Some(parts) = &self.parts else { return Ok(Value::Null) };
        let (mut originals, mut plugged) = (Vec::new(), Vec::new());
        for (id, plug) in &parts.present {
            if parts.slots.originals.get(id) == Some(plug) {
                originals.push(*id);
            } else {
                plugged.push((*id, plug.clone()));
            }
        }
        let modules = parts.modules.iter().map(|(id, module)| (*id, module.clone())).collect();
        serde_json::to_value(Saved { originals, plugged, modules, processors: parts.processors.clone() })
            .map_err(|why| malformed(&why.to_string()))
    }

    /// Makes all of it what a saved state has, so that it can be loaded.
    pub(crate) fn match_parts(&mut self, from: &Value) -> Result<(), StateError> {
        let Some(parts) = &self.parts else { return Ok(()) };
        let saved = from.get("parts").ok_or_else(|| StateError::Missing { what: "parts".into() })?;
        let saved = Saved::deserialize(saved).map_err(|why| malformed(&why.to_string()))?;
        let mut wanted: BTreeMap<_, _> = saved.plugged.into_iter().collect();
        for id in saved.originals {
            let plug = parts.slots.originals.get(&id).ok_or_else(|| malformed("no such device"))?;
            wanted.insert(id, plug.clone());
        }
        let modules = saved.modules.into_iter().collect();
        let extra: Vec<_> = parts.present.iter().filter(|(id, plug)| wanted.get(id) != Some(plug)).collect();
        for id in extra.into_iter().map(|(id, _)| *id).collect::<Vec<_>>() {
            self.take_out(id);
        }
        self.match_modules(modules)?;
        self.match_plugged(saved.processors);
        for (id, plug) in wanted {
            if self.part(id).is_none() {
                self.put_in(id, plug).map_err(|why| malformed(&why))?;
            }
        }
        Ok(())
    }
}

fn malformed(why: &str) -> StateError {
    StateError::Malformed { what: "parts".into(), why: why.into() }
}
