//! Dumps of the machine: its memory and its vCPUs, as the writers of `lockstep-dump` want to see them.

mod info;
mod live;
#[cfg(test)]
mod tests;
mod view;

pub use info::info;
pub use live::LiveDump;
pub use view::{Cpus, StoppedMemory};

use crate::machine::Machine;
use lockstep_devices::catalog::Creatable;
use lockstep_devices::vmcoreinfo::{ELF_NOTE, VmCoreInfo, VmCoreInfoConfig};
use lockstep_dump::{DumpError, Guest, Options, Progress, Summary, Target};

/// A note that a guest has registered is no longer than this; what is longer is looked for elsewhere.
const MOST_NOTE: u32 = 1 << 17;

/// Writes a dump of a machine between two runs, which stands still meanwhile.
pub fn dump(machine: &Machine, options: &Options, target: Target, progress: &Progress) -> Result<Summary, DumpError> {
    let note = registered_note(machine);
    let memory = StoppedMemory::of(&machine.bus.memory);
    let processors = Cpus::of(&machine.cpus);
    let guest = Guest { memory: &memory, processors: &processors, vmcoreinfo: note.as_deref() };
    lockstep_dump::write(&guest, options, target, progress)
}

/// The ELF note that the guest's kernel has shown the vmcoreinfo device, whatever it may hold.
fn registered_note(machine: &Machine) -> Option<Vec<u8>> {
    let saved = machine.bus.save().ok()?;
    let device = saved["devices"].as_object()?.values().find(|device| device["kind"] == VmCoreInfoConfig::NAME)?;
    let device: VmCoreInfo = serde_json::from_value(device["state"].clone()).ok()?;
    let note = device.note().filter(|note| note.format == ELF_NOTE && note.len <= MOST_NOTE)?;
    let mut bytes = vec![0; note.len as usize];
    machine.bus.memory.read_bytes(note.address, &mut bytes);
    Some(bytes)
}
