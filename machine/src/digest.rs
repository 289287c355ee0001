//! A hash of all guest-visible state.

use crate::machine::Machine;
use lockstep_fabric::memory::PAGE_SIZE;
use lockstep_fabric::{StateError, Tick};
use std::collections::BTreeMap;
use std::fmt;
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

/// The hash at a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// When.
    pub tick: Tick,
    /// Of what the guest could see then.
    pub hash: u128,
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x} at tick {}", self.hash, self.tick)
    }
}

/// Hashes a machine's state again and again; pages are hashed anew only when they were written in between.
#[derive(Debug, Default)]
pub struct Digester {
    pages: BTreeMap<u64, u128>,
    /// Sum of the pages' hashes, so that a changed page is replaced and not all are added again.
    sum: u128,
}

impl Digester {
    /// The digest of the machine's state now. One digester per machine: it takes the dirty marks.
    pub fn digest(&mut self, machine: &mut Machine) -> Result<Digest, StateError> {
        for page in machine.bus.memory.take_dirty() {
            let Some(bytes) = machine.bus.memory.arena().bytes(page * PAGE_SIZE, PAGE_SIZE as usize) else { continue };
            // A page of zeroes is as good as one never written.
            let hash = if bytes.iter().all(|b| *b == 0) { 0 } else { xxh3_128_with_seed(bytes, page + 1) };
            let old = self.pages.insert(page, hash).unwrap_or(0);
            self.sum = self.sum.wrapping_sub(old).wrapping_add(hash);
        }
        let mut state = machine.save_state()?;
        // What is cached of the page tables is saved, but no part of what the guest has computed.
        if let Some(cpus) = state.get_mut("cpus").and_then(serde_json::Value::as_array_mut) {
            for cpu in cpus.iter_mut().filter_map(serde_json::Value::as_object_mut) {
                cpu.remove("tlb");
            }
        }
        let mut all = state.to_string().into_bytes();
        all.extend(self.sum.to_le_bytes());
        Ok(Digest { tick: machine.now(), hash: xxh3_128(&all) })
    }
}
