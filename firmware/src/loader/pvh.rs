//! Xen's PVH entry: an ELF file whose note names a 32-bit entry point (Xen's docs/misc/pvh.pandoc and
//! public/arch-x86/hvm/start_info.h).

use super::arena::Arena;
use super::elf::ElfFile;
use super::entry::{self, EntryMode, EntryState};
use super::error::LoadError;
use super::fields::{c_string, u32_at, u64_at};
use super::{BootPlan, BootRequest, KernelKind, Segment};

/// The note's owner and type, and what it holds: the physical entry point.
const NOTE_NAME: &[u8] = b"Xen\0";
const XEN_ELFNOTE_PHYS32_ENTRY: u32 = 18;
/// `hvm_start_info`: "xEn3" with the top bit set, and the version that has a memory map.
const MAGIC: u32 = 0x336e_c578;
const VERSION: u32 = 1;
/// Length of `hvm_start_info`.
const START_INFO_SIZE: u64 = 56;
/// Modules are handed over in whole pages.
const PAGE: u64 = 0x1000;

/// Claims and lists the PT_LOAD segments of an ELF kernel; returns the end of the highest. A segment of mere file headers, which end
/// up just below 1 MiB when the text is at 1 MiB, is left out where there is no RAM for it.
pub(super) fn load_segments<'a>(
    elf: &ElfFile<'a>,
    arena: &mut Arena,
    segments: &mut Vec<Segment<'a>>,
) -> Result<u64, LoadError> {
    let mut end = 0;
    for part in &elf.segments {
        let part_end = part.address.saturating_add(part.memory_size);
        match arena.claim(part.address, part_end, "an ELF segment") {
            Err(_) if part.headers_only => continue,
            claimed => claimed?,
        };
        let zeroes = part.memory_size - part.bytes.len() as u64;
        segments.push(Segment { address: part.address, bytes: part.bytes.into(), zeroes });
        end = end.max(part_end);
    }
    Ok(end)
}

/// The entry point in the file's notes.
fn entry_point(elf: &ElfFile<'_>) -> Result<u64, LoadError> {
    let note = elf.note(NOTE_NAME, XEN_ELFNOTE_PHYS32_ENTRY).ok_or(LoadError::NoEntryNote)?;
    let entry = match note.len() {
        4 => u64::from(u32_at(note, 0)),
        8 => u64_at(note, 0),
        length => return Err(LoadError::BadField { field: "PHYS32_ENTRY's length", value: length as u64 }),
    };
    match u32::try_from(entry) {
        Ok(entry) => Ok(u64::from(entry)),
        Err(_) => Err(LoadError::BadField { field: "PHYS32_ENTRY", value: entry }),
    }
}

/// Plans the boot of a PVH kernel.
///
/// # Errors
/// When the file is bad or something does not fit.
pub fn plan<'a>(request: &BootRequest<'a>) -> Result<BootPlan<'a>, LoadError> {
    let elf = ElfFile::parse(request.kernel)?;
    let entry_point = entry_point(&elf)?;
    let mut arena = Arena::new(request.memory);
    let mut segments = Vec::new();
    let kernel_end = load_segments(&elf, &mut arena, &mut segments)?;

    let mut module_list = Vec::new();
    for module in request.modules {
        let size = module.bytes.len() as u64;
        let address = arena.highest((kernel_end, u64::MAX), size.max(1), PAGE, "the initrd")?;
        segments.push(Segment::new(address, module.bytes));
        let line = match module.command_line {
            "" => 0,
            line => low(&mut arena, &mut segments, c_string(line), "a module's command line")?,
        };
        module_list.extend([address, size, line, 0].into_iter().flat_map(u64::to_le_bytes));
    }
    let modules = low(&mut arena, &mut segments, module_list, "the module list")?;
    let command_line = low(&mut arena, &mut segments, c_string(request.command_line), "the command line")?;
    let map = request.memory.ranges.iter().flat_map(|range| {
        let kind_and_padding = u64::from(range.kind as u32);
        [range.start, range.length, kind_and_padding].into_iter().flat_map(u64::to_le_bytes)
    });
    let map = low(&mut arena, &mut segments, map.collect(), "the memory map")?;
    let gdt = low(&mut arena, &mut segments, entry::gdt(EntryMode::Protected32), "the GDT")?;

    let mut info = Vec::with_capacity(START_INFO_SIZE as usize);
    for word in [MAGIC, VERSION, 0, request.modules.len() as u32] {
        info.extend_from_slice(&word.to_le_bytes());
    }
    for long in [modules, command_line, request.rsdp, map, request.memory.ranges.len() as u64] {
        info.extend_from_slice(&long.to_le_bytes());
    }
    let info = low(&mut arena, &mut segments, info, "hvm_start_info")?;

    let mut state = EntryState::protected(entry_point, gdt);
    state.gprs[entry::RBX] = info;
    Ok(BootPlan { kind: KernelKind::Pvh, segments, entry: state })
}

/// Places one small structure as low as possible.
fn low(
    arena: &mut Arena,
    segments: &mut Vec<Segment<'_>>,
    bytes: Vec<u8>,
    what: &'static str,
) -> Result<u64, LoadError> {
    let address = arena.lowest(0, bytes.len() as u64, 16, what)?;
    segments.push(Segment::new(address, bytes));
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loader::fixtures::{elf, memory, pvh_note, request};
    use crate::loader::{Module, plan as plan_any};

    #[test]
    fn the_kernel_starts_at_its_note_with_ebx_at_the_start_info() {
        for wide in [false, true] {
            let (kernel, memory) = (elf(wide, 62, &pvh_note(0x20_0123)), memory(64));
            let modules = [Module { bytes: b"initrd", command_line: "quiet" }];
            let plan = plan_any(&BootRequest { modules: &modules, ..request(&kernel, &memory) }).unwrap();
            assert_eq!(
                (plan.kind, plan.entry.mode, plan.entry.rip),
                (KernelKind::Pvh, EntryMode::Protected32, 0x20_0123)
            );
            let at = |address| &*plan.segments.iter().find(|s| s.address == address).unwrap().bytes;
            let info = at(plan.entry.gprs[entry::RBX]);
            assert_eq!(info.len() as u64, START_INFO_SIZE);
            assert_eq!((u32_at(info, 0), u32_at(info, 12)), (MAGIC, 1));
            assert_eq!(u64_at(info, 32), 0xf_0000);
            assert_eq!(at(u64_at(info, 24)), b"console=ttyS0\0");
            assert_eq!(u32_at(info, 48) as usize, memory.ranges.len());
            let list = at(u64_at(info, 16));
            assert_eq!(at(u64_at(list, 0)), b"initrd");
            assert_eq!(at(u64_at(list, 16)), b"quiet\0");
            assert_eq!(plan.segments[0].zeroes, 0x1000);
        }
    }

    #[test]
    fn an_elf_file_for_something_else_is_refused() {
        let memory = memory(64);
        let refusal = |kernel: &[u8]| plan_any(&request(kernel, &memory)).unwrap_err();
        assert_eq!(refusal(&elf(true, 183, &pvh_note(0x20_0000))), LoadError::WrongMachine { machine: 183 });
        assert_eq!(refusal(&elf(true, 62, &[])), LoadError::NoEntryNote);
        assert_eq!(refusal(b"#!/bin/sh"), LoadError::NotAKernel);
        assert!(matches!(refusal(b"\x7fELF"), LoadError::Truncated { .. }));
    }
}
