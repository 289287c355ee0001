//! Dumps of the machine: its memory and its vCPUs, as the writers of `lockstep-dump` want to see them.

mod info;
mod view;

pub use info::info;
pub use view::{Cpus, StoppedMemory};

use crate::machine::Machine;
use lockstep_dump::{DumpError, Guest, Options, Progress, Summary, Target};

/// Writes a dump of a machine between two runs.
pub fn dump(machine: &Machine, options: &Options, target: Target, progress: &Progress) -> Result<Summary, DumpError> {
    let memory = StoppedMemory::of(&machine.bus.memory);
    let processors = Cpus::of(&machine.cpus);
    let guest = Guest { memory: &memory, processors: &processors, vmcoreinfo: None };
    lockstep_dump::write(&guest, options, target, progress)
}
