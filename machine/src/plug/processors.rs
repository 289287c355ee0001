//! vCPUs that come and go.

use super::{Change, malformed};
use crate::commandline::DeviceConfig;
use crate::machine::Machine;
use lockstep_cpu::Vcpu;
use lockstep_cpu::state::Activity;
use lockstep_fabric::{Cpu, DeviceId, Input, ProcessorChange, StateError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A vCPU to be plugged in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processor {
    /// What was asked for.
    pub device: DeviceConfig,
    /// Its number.
    pub cpu: u8,
    /// It came while the machine ran.
    pub hotplugged: bool,
}

/// What the board knows of the places of vCPUs.
#[derive(Clone, Debug)]
pub struct ProcessorPlaces {
    /// The device that tells the guest; none: nothing comes or goes.
    pub controller: Option<DeviceId>,
    /// The local APICs.
    pub apics: DeviceId,
    /// The devices that know how many there are.
    pub counting: Vec<DeviceId>,
    /// How many there can be.
    pub most: u8,
    /// The seed of their randomness.
    pub seed: u64,
    /// Those of the command line's devices.
    pub originals: BTreeMap<u8, Processor>,
}

impl Machine {
    /// The vCPU of this number, if it is there.
    pub fn cpu(&self, number: usize) -> Option<&Vcpu> {
        self.cpus.iter().find(|cpu| usize::from(cpu.index) == number)
    }

    /// What a vCPU was plugged in as, if it is one that was.
    pub fn processor(&self, number: u8) -> Option<&Processor> {
        self.parts.as_ref()?.processors.get(&number)
    }

    /// The device that tells the guest of its processors.
    pub fn processor_controller(&self) -> Option<DeviceId> {
        self.parts.as_ref()?.slots.places.controller
    }

    /// Plugs a vCPU, and tells the guest. It waits to be started.
    pub(crate) fn plug_processor(&mut self, processor: Processor) -> Result<(), String> {
        let Some(parts) = &mut self.parts else { return Err("this machine has no places for processors".into()) };
        let (number, places) = (processor.cpu, parts.slots.places.clone());
        let Err(at) = self.cpus.binary_search_by_key(&number, |cpu| cpu.index) else {
            return Err(format!("CPU {number} is there"));
        };
        let first = self.cpus.first().filter(|_| number < places.most);
        let model = first.ok_or("there is no such processor")?.model.clone();
        let mut cpu = Vcpu::new(number, model, places.seed);
        cpu.activity = Activity::WaitForStartup;
        self.cpus.insert(at, cpu);
        self.turn.inserted(at);
        parts.processors.insert(number, processor.clone());
        parts.changes.push(Change::ProcessorCame(processor));
        let input = Input::Processor { cpu: Cpu(number), change: ProcessorChange::Plugged };
        for device in std::iter::once(places.apics).chain(places.controller) {
            self.bus.input(device, &input);
        }
        self.tell_count(&places.counting);
        Ok(())
    }

    /// Takes a vCPU out.
    pub(crate) fn take_out_processor(&mut self, number: u8) {
        let Some(parts) = &mut self.parts else { return };
        let Ok(at) = self.cpus.binary_search_by_key(&number, |cpu| cpu.index) else { return };
        if at == 0 {
            return;
        }
        self.cpus.remove(at);
        self.turn.removed(at);
        let processor = parts.processors.remove(&number);
        parts.changes.push(Change::ProcessorWent(number, processor));
        let places = parts.slots.places.clone();
        self.bus.input(places.apics, &Input::Processor { cpu: Cpu(number), change: ProcessorChange::Gone });
        self.tell_count(&places.counting);
    }

    fn tell_count(&mut self, counting: &[DeviceId]) {
        let count = Input::ProcessorCount(self.cpus.len() as u8);
        counting.iter().for_each(|device| self.bus.input(*device, &count));
    }

    /// Takes the vCPUs of a saved state, which may be others than those that are there.
    pub(crate) fn match_processors(&mut self, cpus: Vec<Vcpu>) -> Result<(), StateError> {
        let most = self.parts.as_ref().map_or(self.cpus.len() as u8, |parts| parts.slots.places.most);
        let plugs = self.parts.as_ref().is_some_and(|parts| parts.slots.places.controller.is_some());
        let ordered = cpus.windows(2).all(|pair| pair[0].index < pair[1].index);
        let known = cpus.first().is_some_and(|cpu| cpu.index == 0) && cpus.iter().all(|cpu| cpu.index < most);
        if !ordered || !known || !plugs && cpus.len() != self.cpus.len() {
            return Err(malformed("the machine cannot have these vCPUs"));
        }
        self.cpus = cpus;
        Ok(())
    }

    /// Takes note of what the vCPUs of a saved state were plugged in as.
    pub(super) fn match_plugged(&mut self, wanted: BTreeMap<u8, Processor>) {
        let Some(parts) = &mut self.parts else { return };
        for (number, processor) in std::mem::take(&mut parts.processors) {
            if wanted.get(&number) != Some(&processor) {
                parts.changes.push(Change::ProcessorWent(number, Some(processor.clone())));
            }
            parts.processors.insert(number, processor);
        }
        let came = wanted.values().filter(|processor| parts.processors.get(&processor.cpu) != Some(processor));
        parts.changes.extend(came.cloned().map(Change::ProcessorCame));
        parts.processors = wanted;
    }
}
