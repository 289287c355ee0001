//! Memory modules that come and go.

use super::{Change, Parts, malformed};
use crate::commandline::DeviceConfig;
use crate::machine::Machine;
use lockstep_devices::dimm::Dimm;
use lockstep_fabric::memory::{Backing, Region};
use lockstep_fabric::{DeviceId, Input, MemoryModule, ModuleChange, StateError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The region of a module's memory.
const MEMORY: u8 = 0;

/// A memory module and its place: all that it takes to put it there again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// What was asked for.
    pub device: DeviceConfig,
    /// Its name on the machine's bus.
    pub name: String,
    /// The name of the backend behind it.
    pub backend: String,
    /// The slot that it is in.
    pub slot: u32,
    /// Its first physical address.
    pub address: u64,
    /// Bytes.
    pub size: u64,
    /// The NUMA node that it belongs to.
    pub node: u32,
    /// Where its bytes are in the arena.
    pub arena: u64,
    /// It came while the machine ran.
    pub hotplugged: bool,
}

impl Module {
    /// What the guest can tell it by.
    fn facts(&self) -> (&str, u32, u64, u64, u32) {
        (&self.name, self.slot, self.address, self.size, self.node)
    }

    fn described(&self, device: DeviceId) -> MemoryModule {
        MemoryModule { device, address: self.address, size: self.size, node: self.node }
    }

    /// The first address behind it.
    pub fn end(&self) -> u64 {
        self.address.saturating_add(self.size)
    }
}

impl Machine {
    /// The modules there are, by their devices.
    pub fn modules(&self) -> impl Iterator<Item = (DeviceId, &Module)> {
        self.parts.iter().flat_map(|parts| parts.modules.iter().map(|(id, module)| (*id, module)))
    }

    /// A module.
    pub fn module(&self, device: DeviceId) -> Option<&Module> {
        self.parts.as_ref()?.modules.get(&device)
    }

    /// The device that tells the guest of its slots for memory.
    pub fn memory_controller(&self) -> Option<DeviceId> {
        self.parts.as_ref()?.slots.memory
    }

    /// Fits a module that is there from the start.
    pub fn fit_module(&mut self, module: Module) -> Result<(), String> {
        self.add_module(module, ModuleChange::There).map(drop)?;
        // It is no news to those who look at changes.
        self.take_changes();
        Ok(())
    }

    /// Plugs a module, and tells the guest.
    pub(crate) fn plug_module(&mut self, module: Module) -> Result<DeviceId, String> {
        self.add_module(module, ModuleChange::Plugged)
    }

    fn add_module(&mut self, module: Module, change: fn(MemoryModule) -> ModuleChange) -> Result<DeviceId, String> {
        let controller = self.memory_controller().ok_or("this machine has no slots for memory")?;
        let id = self.bus.next_id();
        let (slot, described) = (module.slot, module.described(id));
        self.put_in_module(id, module)?;
        self.bus.input(controller, &Input::Module { slot, change: change(described) });
        Ok(id)
    }

    fn put_in_module(&mut self, id: DeviceId, module: Module) -> Result<(), String> {
        let Some(parts) = &mut self.parts else { return Ok(()) };
        if !self.bus.memory.take_module(module.arena, module.size) {
            return Err(format!("there is no memory for '{}'", module.name));
        }
        if !self.bus.add_as(id, &module.name, Box::new(Dimm {})) {
            self.bus.memory.give_back_module(module.arena);
            return Err(format!("device number {} is taken", id.0));
        }
        self.bus.memory.add_region(Region {
            owner: id,
            index: MEMORY,
            base: Some(module.address),
            len: module.size,
            priority: 0,
            reads: true,
            writes: true,
            backing: Backing::Ram(module.arena),
        });
        parts.modules.insert(id, module.clone());
        parts.changes.push(Change::ModuleCame(id, module));
        Ok(())
    }

    /// Takes a module out; false if the device is none.
    pub(super) fn take_out_module(&mut self, id: DeviceId) -> bool {
        let Some(module) = self.parts.as_mut().and_then(|parts| parts.modules.remove(&id)) else { return false };
        self.bus.remove(id);
        self.bus.memory.give_back_module(module.arena);
        self.parts.iter_mut().for_each(|parts| parts.changes.push(Change::ModuleWent(id, module.clone())));
        true
    }

    /// Makes the modules those of a saved state.
    pub(super) fn match_modules(&mut self, wanted: BTreeMap<DeviceId, Module>) -> Result<(), StateError> {
        let same = |parts: &Parts, id: &DeviceId| {
            parts.modules.get(id).map(Module::facts) == wanted.get(id).map(Module::facts)
        };
        let Some(parts) = &self.parts else { return Ok(()) };
        let extra: Vec<_> = parts.modules.keys().filter(|id| !same(parts, id)).copied().collect();
        for id in extra {
            self.take_out_module(id);
        }
        for (id, module) in wanted {
            if self.module(id).is_none() {
                self.put_in_module(id, module).map_err(|why| malformed(&why))?;
            }
        }
        Ok(())
    }
}
