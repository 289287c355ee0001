//! The whole machine at a tick: state as JSON, RAM as pages, overlays of drives as clusters.

use crate::block::image::Contents;
use crate::machine::Machine;
use lockstep_fabric::memory::PAGE_SIZE;
use lockstep_fabric::{DeviceId, StateError};
use serde_json::Value;

/// A saved machine.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// All state but RAM.
    pub state: Value,
    /// Arena pages that are not all zeroes, by page number.
    pub pages: Vec<(u64, Box<[u8]>)>,
    /// What drives with `snapshot=on` hold over their bases. Images that are written in place are no part of it.
    pub overlays: Vec<(DeviceId, u8, Contents)>,
}

impl Snapshot {
    /// Saves a machine between two runs.
    pub fn of(machine: &Machine) -> Result<Self, StateError> {
        let memory = &machine.bus.memory;
        let page = |number: u64| {
            let bytes = memory.arena().bytes(number * PAGE_SIZE, PAGE_SIZE as usize)?;
            bytes.iter().any(|b| *b != 0).then(|| (number, bytes.into()))
        };
        Ok(Self {
            state: machine.save_state()?,
            pages: memory.pages().filter_map(page).collect(),
            overlays: machine.blocks.overlays()?,
        })
    }

    /// Loads it into a machine of the same parts.
    pub fn restore(&self, machine: &mut Machine) -> Result<(), StateError> {
        // The overlays' drives are behind devices that have to be there first.
        machine.match_parts(&self.state)?;
        let zeroes = [0; PAGE_SIZE as usize];
        let mut saved = self.pages.iter().peekable();
        for number in machine.bus.memory.pages() {
            let bytes: &[u8] = match saved.next_if(|(n, _)| *n == number) {
                Some((_, bytes)) => bytes,
                None => &zeroes,
            };
            let at = number * PAGE_SIZE;
            let same = machine.bus.memory.arena().bytes(at, PAGE_SIZE as usize).is_some_and(|held| held == bytes);
            if !same {
                machine.bus.memory.fill(at, bytes);
            }
        }
        machine.blocks.replace_overlays(&self.overlays)?;
        machine.load_state(&self.state)
    }
}
