//! ELF notes, in ELF files and in kdump files alike: the registers of each processor, and what Linux says of itself.

mod prstatus;
mod qemu;

use crate::record::Record;
use crate::{Architecture, Registers};

/// The name of a note that a kernel or debugger of the system itself defines.
pub const CORE: &str = "CORE";
/// The name of the notes that QEMU defined.
pub const QEMU: &str = "QEMU";
/// The name of the note that Linux keeps for readers of its memory.
pub const VMCOREINFO: &str = "VMCOREINFO";
/// `NT_PRSTATUS` (elf.h).
pub const NT_PRSTATUS: u32 = 1;

/// Notes one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    pub(crate) bytes: Vec<u8>,
    /// Where in the bytes the text of VMCOREINFO lies, and its length.
    pub(crate) vmcoreinfo: Option<(usize, usize)>,
}

impl Notes {
    /// The notes of a dump: `NT_PRSTATUS` of each processor, QEMU's of each, VMCOREINFO.
    pub(crate) fn of(architecture: Architecture, processors: &[Registers], vmcoreinfo: Option<&[u8]>) -> Self {
        let mut record = Record::default();
        for (number, registers) in (1..).zip(processors) {
            let status = prstatus::status(architecture, number, registers);
            append(&mut record, CORE, NT_PRSTATUS, &status);
        }
        for registers in processors {
            append(&mut record, QEMU, 0, &qemu::state(registers));
        }
        let vmcoreinfo = vmcoreinfo.map(|text| {
            let at = append(&mut record, VMCOREINFO, 0, text);
            (at, text.len())
        });
        Self { bytes: record.finish(), vmcoreinfo }
    }
}

/// Appends a note; gives where its descriptor begins.
fn append(record: &mut Record, name: &str, kind: u32, descriptor: &[u8]) -> usize {
    record.u32(name.len() as u32 + 1).u32(descriptor.len() as u32).u32(kind);
    record.bytes(name.as_bytes()).zeroes(1).align(4);
    let at = record.len();
    record.bytes(descriptor).align(4);
    at
}
