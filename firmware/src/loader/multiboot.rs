//! Multiboot 1 (Multiboot Specification 0.6.96): ELF kernels, and raw images that carry their addresses in the header.

use crate::memory_map::{FOUR_GIB, ONE_MIB};

use super::arena::Arena;
use super::elf::{ElfFile, is_elf};
use super::entry::{self, EntryMode, EntryState};
use super::error::LoadError;
use super::fields::{c_string, low32, put, slice, u32_at};
use super::pvh::load_segments;
use super::{BootPlan, BootRequest, KernelKind, Module, Segment};

const HEADER_MAGIC: u32 = 0x1bad_b002;
/// What EAX holds at the kernel's first instruction.
const LOADER_MAGIC: u64 = 0x2bad_b002;
/// The header lies in the first 8 KiB.
const SEARCH: usize = 8192;
const HEADER_SIZE: u64 = 12;
const ADDRESSES_SIZE: u64 = 20;
const LOADER_NAME: &str = "Lockstep";
const PAGE: u64 = 0x1000;

/// Header flags: page-aligned modules, memory information, a video mode, and addresses in the header.
const ALIGN_MODULES: u32 = 1 << 0;
const MEMORY_INFO: u32 = 1 << 1;
const VIDEO_MODE: u32 = 1 << 2;
const ADDRESSES: u32 = 1 << 16;
/// A loader that does not know one of these must refuse the kernel.
const MANDATORY: u32 = 0xffff;
/// The video mode is a wish: a kernel learns from the information that there is none.
const KNOWN: u32 = ALIGN_MODULES | MEMORY_INFO | VIDEO_MODE;

/// The information structure: its length, its flags and the offsets of its fields.
mod info {
    pub(super) const SIZE: usize = 116;
    pub(super) const MEMORY: u32 = 1 << 0;
    pub(super) const COMMAND_LINE: u32 = 1 << 2;
    pub(super) const MODULES: u32 = 1 << 3;
    pub(super) const MEMORY_MAP: u32 = 1 << 6;
    pub(super) const LOADER_NAME: u32 = 1 << 9;
    pub(super) const MEM_LOWER_AT: usize = 4;
    pub(super) const MEM_UPPER_AT: usize = 8;
    pub(super) const COMMAND_LINE_AT: usize = 16;
    pub(super) const MODULE_COUNT_AT: usize = 20;
    pub(super) const MODULES_AT: usize = 24;
    pub(super) const MAP_LENGTH_AT: usize = 44;
    pub(super) const MAP_AT: usize = 48;
    pub(super) const LOADER_NAME_AT: usize = 64;
}

/// The offset of the Multiboot header, if the file has one.
#[must_use]
pub fn find_header(kernel: &[u8]) -> Option<usize> {
    let window = &kernel[..kernel.len().min(SEARCH)];
    window.chunks_exact(4).position(|word| u32_at(word, 0) == HEADER_MAGIC).and_then(|first| {
        // The magic number may occur by chance before the header: the checksum decides.
        (first..window.len() / 4).map(|word| word * 4).find(|&at| {
            let sum = [0, 4, 8].iter().fold(0_u32, |sum, field| sum.wrapping_add(u32_at(window, at + field)));
            at + HEADER_SIZE as usize <= window.len() && u32_at(window, at) == HEADER_MAGIC && sum == 0
        })
    })
}

/// One module of a comma-separated list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleName {
    /// The file.
    pub path: String,
    /// The file and what follows it, as the kernel will see it.
    pub command_line: String,
}

/// Splits a list of modules "FILE ARGUMENTS,FILE,...". A doubled comma stands for one that belongs to a name.
#[must_use]
pub fn parse_modules(list: &str) -> Vec<ModuleName> {
    let mut lines = vec![String::new()];
    let mut rest = list.chars().peekable();
    while let Some(next) = rest.next() {
        match (next, lines.last_mut()) {
            (',', _) if rest.peek() != Some(&',') => lines.push(String::new()),
            (',', Some(line)) => {
                rest.next();
                line.push(',');
            }
            (other, Some(line)) => line.push(other),
            (_, None) => {}
        }
    }
    let module = |line: String| {
        let path = line.split(' ').next().unwrap_or_default().to_owned();
        ModuleName { path, command_line: line }
    };
    lines.into_iter().filter(|line| !line.is_empty()).map(module).collect()
}

/// A raw image: where the header says that file and memory meet.
fn load_raw<'a>(
    kernel: &'a [u8],
    at: usize,
    arena: &mut Arena,
    segments: &mut Vec<Segment<'a>>,
) -> Result<(u64, u64), LoadError> {
    let addresses = slice(kernel, at as u64 + HEADER_SIZE, ADDRESSES_SIZE, "the Multiboot address fields")?;
    let field = |index: usize| u64::from(u32_at(addresses, index * 4));
    let (header, load, load_end, bss_end, entry) = (field(0), field(1), field(2), field(3), field(4));
    let before = header.checked_sub(load).ok_or(LoadError::BadField { field: "load_addr", value: load })?;
    let start = (at as u64).checked_sub(before).ok_or(LoadError::BadField { field: "header_addr", value: header })?;
    let length = match load_end {
        0 => kernel.len() as u64 - start,
        end => end.checked_sub(load).ok_or(LoadError::BadField { field: "load_end_addr", value: end })?,
    };
    let bytes = slice(kernel, start, length, "the Multiboot image")?;
    let end = (load + length).max(bss_end);
    arena.claim(load, end, "the kernel")?;
    segments.push(Segment { address: load, bytes: bytes.into(), zeroes: end - load - length });
    Ok((entry, end))
}

/// Places all modules behind the kernel, in order, and returns the entries of their list.
fn place_modules<'a>(
    modules: &[Module<'a>],
    from: u64,
    arena: &mut Arena,
    segments: &mut Vec<Segment<'a>>,
) -> Result<Vec<u8>, LoadError> {
    let mut list = Vec::new();
    for module in modules {
        let size = module.bytes.len() as u64;
        let address = arena.lowest(from, size.max(1), PAGE, "a module")?;
        segments.push(Segment::new(address, module.bytes));
        let line = c_string(module.command_line);
        let line_at = arena.lowest(from, line.len() as u64, 4, "a module's command line")?;
        segments.push(Segment::new(line_at, line));
        for field in [address, address + size, line_at, 0] {
            list.extend_from_slice(&low32(field));
        }
    }
    Ok(list)
}

/// Plans the boot of a Multiboot kernel.
///
/// # Errors
/// When the file is bad, demands what is not there, or something does not fit.
pub fn plan<'a>(request: &BootRequest<'a>) -> Result<BootPlan<'a>, LoadError> {
    let kernel = request.kernel;
    let at = find_header(kernel).ok_or(LoadError::NotAKernel)?;
    let flags = u32_at(kernel, at + 4);
    if flags & MANDATORY & !KNOWN != 0 {
        return Err(LoadError::UnsupportedFlags { flags: flags & MANDATORY & !KNOWN });
    }
    let mut arena = Arena::new(request.memory);
    let mut segments = Vec::new();
    let (entry_point, kernel_end) = if flags & ADDRESSES == 0 && is_elf(kernel) {
        let elf = ElfFile::parse(kernel)?;
        let end = load_segments(&elf, &mut arena, &mut segments)?;
        (elf.physical_entry(), end)
    } else if flags & ADDRESSES != 0 {
        load_raw(kernel, at, &mut arena, &mut segments)?
    } else {
        return Err(LoadError::BadField { field: "flags (no ELF file, and no addresses)", value: u64::from(flags) });
    };
    if entry_point >= FOUR_GIB {
        return Err(LoadError::BadField { field: "the entry point", value: entry_point });
    }

    // Everything goes behind the kernel, where a kernel that lays out low memory by itself does not run over it.
    let from = kernel_end.max(ONE_MIB);
    let module_list = place_modules(request.modules, from, &mut arena, &mut segments)?;
    let command_line = match (request.kernel_name, request.command_line) {
        ("", line) | (line, "") => c_string(line),
        (name, line) => c_string(&format!("{name} {line}")),
    };
    let mut low = |bytes: Vec<u8>, what| -> Result<u64, LoadError> {
        let address = arena.lowest(0, bytes.len() as u64, 16, what)?;
        segments.push(Segment::new(address, bytes));
        Ok(address)
    };
    let module_list = low(module_list, "the module list")?;
    let command_line = low(command_line, "the command line")?;
    let map = memory_map(request);
    let map_length = map.len() as u64;
    let map = low(map, "the memory map")?;
    let name = low(c_string(LOADER_NAME), "the loader's name")?;
    let gdt = low(entry::gdt(EntryMode::Protected32), "the GDT")?;

    let mut block = vec![0; info::SIZE];
    let mut present = info::MEMORY | info::COMMAND_LINE | info::MEMORY_MAP | info::LOADER_NAME;
    if !request.modules.is_empty() {
        present |= info::MODULES;
        put(&mut block, info::MODULE_COUNT_AT, &(request.modules.len() as u32).to_le_bytes());
        put(&mut block, info::MODULES_AT, &low32(module_list));
    }
    put(&mut block, 0, &present.to_le_bytes());
    put(&mut block, info::MEM_LOWER_AT, &low32(ram_from(request, 0)));
    put(&mut block, info::MEM_UPPER_AT, &low32(ram_from(request, ONE_MIB)));
    put(&mut block, info::COMMAND_LINE_AT, &low32(command_line));
    put(&mut block, info::MAP_LENGTH_AT, &low32(map_length));
    put(&mut block, info::MAP_AT, &low32(map));
    put(&mut block, info::LOADER_NAME_AT, &low32(name));
    let block = low(block, "the Multiboot information")?;

    let mut state = EntryState::protected(entry_point, gdt);
    state.gprs[entry::RAX] = LOADER_MAGIC;
    state.gprs[entry::RBX] = block;
    Ok(BootPlan { kind: KernelKind::Multiboot, segments, entry: state })
}

/// KiB of RAM without a gap from `start`.
fn ram_from(request: &BootRequest<'_>, start: u64) -> u64 {
    let found = request.memory.ram().find(|range| range.start <= start && range.end() > start);
    found.map_or(0, |range| (range.end().min(FOUR_GIB) - start) >> 10)
}

/// The map in Multiboot's entries: the size of what follows, then an E820 entry.
fn memory_map(request: &BootRequest<'_>) -> Vec<u8> {
    let entries = request.memory.e820_bytes();
    entries.chunks_exact(20).flat_map(|entry| [&20_u32.to_le_bytes(), entry].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loader::fixtures::{elf, memory, multiboot_header, raw_multiboot, request};
    use crate::loader::plan as plan_any;

    fn bytes_at<'a>(plan: &'a BootPlan<'_>, address: u32) -> &'a [u8] {
        &plan.segments.iter().find(|segment| segment.address == u64::from(address)).expect("a segment there").bytes
    }

    #[test]
    fn an_elf_kernel_gets_magic_map_modules_and_names() {
        let (kernel, memory) = (elf(false, 3, &multiboot_header(3)), memory(64));
        let modules = [
            Module { bytes: &[1; 5000], command_line: "first a=b" },
            Module { bytes: &[2; 10], command_line: "second" },
        ];
        let plan = plan_any(&BootRequest { modules: &modules, ..request(&kernel, &memory) }).unwrap();
        assert_eq!((plan.kind, plan.entry.gprs[entry::RAX]), (KernelKind::Multiboot, LOADER_MAGIC));
        assert_eq!(plan.entry.rip, 0x20_0000, "a virtual entry point becomes a physical one");
        let block = bytes_at(&plan, plan.entry.gprs[entry::RBX] as u32);
        assert_eq!(u32_at(block, 0), 0x24d);
        assert_eq!((u32_at(block, 4), u32_at(block, 8)), (639, 63 * 1024));
        assert_eq!(bytes_at(&plan, u32_at(block, 16)), b"vmlinuz console=ttyS0\0");
        assert_eq!(u32_at(block, 20), 2);
        let list = bytes_at(&plan, u32_at(block, 24));
        assert_eq!(u32_at(list, 0) % 0x1000, 0);
        assert_eq!(u32_at(list, 4) - u32_at(list, 0), 5000);
        assert_eq!(bytes_at(&plan, u32_at(list, 16)), [2; 10]);
        assert_eq!(bytes_at(&plan, u32_at(list, 24)), b"second\0");
        assert_eq!(u32_at(block, 44) as usize, memory.ranges.len() * 24);
        assert_eq!(bytes_at(&plan, u32_at(block, 64)), b"Lockstep\0");
    }

    #[test]
    fn file_headers_in_the_way_of_the_firmware_are_left_out() {
        let (mut kernel, memory) = (elf(false, 3, &multiboot_header(3)), memory(64));
        // The note's program header becomes a PT_LOAD of the file's headers at FF000h.
        let headers = 52 + 2 * 32;
        for (at, value) in [(0, 1_u32), (4, 0), (12, 0xf_f000), (16, headers), (20, headers)] {
            put(&mut kernel, 52 + 32 + at, &value.to_le_bytes());
        }
        let plan = plan_any(&request(&kernel, &memory)).unwrap();
        assert_eq!(plan.segments[0].address, 0x20_0000);
        assert!(plan.segments.iter().all(|segment| segment.address != 0xf_f000));
    }

    #[test]
    fn a_raw_image_lies_where_its_header_says() {
        let (kernel, memory) = (raw_multiboot(), memory(64));
        let plan = plan_any(&request(&kernel, &memory)).unwrap();
        assert_eq!(plan.entry.rip, 0x10_0010);
        assert_eq!(plan.segments[0].address, 0x10_0000);
        assert_eq!(plan.segments[0].bytes.len(), 0x80);
        assert_eq!(plan.segments[0].zeroes, 0x1000 - 0x80);
    }

    #[test]
    fn unknown_demands_are_refused() {
        let memory = memory(64);
        let kernel = elf(false, 3, &multiboot_header(0x80));
        assert_eq!(plan_any(&request(&kernel, &memory)).unwrap_err(), LoadError::UnsupportedFlags { flags: 0x80 });
    }

    #[test]
    fn a_list_of_modules_is_split_at_single_commas() {
        let names = parse_modules("a.bin x=1,,2,b,,c");
        let expected = [("a.bin", "a.bin x=1,2"), ("b,c", "b,c")];
        let expected = expected.map(|(path, line)| ModuleName { path: path.into(), command_line: line.into() });
        assert_eq!(names, expected);
        assert_eq!(parse_modules(""), []);
    }
}
