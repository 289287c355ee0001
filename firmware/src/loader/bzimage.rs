//! Linux bzImages, by the Linux/x86 boot protocol (Documentation/arch/x86/boot.rst and zero-page.rst).
//!
//! The kernel's real-mode part is skipped: `boot_params` is filled in here and the protected-mode part is entered directly, by its
//! 64-bit entry point where it has one.

use crate::memory_map::{FOUR_GIB, ONE_MIB};

use super::arena::Arena;
use super::entry::{self, EntryMode, EntryState};
use super::error::LoadError;
use super::fields::{c_string, low32, put, slice, u8_at, u16_at, u32_at, u64_at};
use super::{BootPlan, BootRequest, KernelKind, Segment};

/// Offsets of the setup header's fields, the same in the file and in `boot_params`.
mod setup {
    pub(super) const SETUP_SECTS: usize = 0x1f1;
    pub(super) const HEAP_END_PTR: usize = 0x224;
    pub(super) const VID_MODE: usize = 0x1fa;
    pub(super) const BOOT_FLAG: usize = 0x1fe;
    /// The offset of the jump instruction at 0x200, which gives the header's end.
    pub(super) const JUMP_OFFSET: usize = 0x201;
    pub(super) const HEADER: usize = 0x202;
    pub(super) const VERSION: usize = 0x206;
    pub(super) const TYPE_OF_LOADER: usize = 0x210;
    pub(super) const LOADFLAGS: usize = 0x211;
    pub(super) const CODE32_START: usize = 0x214;
    pub(super) const RAMDISK_IMAGE: usize = 0x218;
    pub(super) const RAMDISK_SIZE: usize = 0x21c;
    pub(super) const CMD_LINE_PTR: usize = 0x228;
    pub(super) const INITRD_ADDR_MAX: usize = 0x22c;
    pub(super) const RELOCATABLE_KERNEL: usize = 0x234;
    pub(super) const XLOADFLAGS: usize = 0x236;
    pub(super) const CMDLINE_SIZE: usize = 0x238;
    pub(super) const SETUP_DATA: usize = 0x250;
    pub(super) const PREF_ADDRESS: usize = 0x258;
    pub(super) const INIT_SIZE: usize = 0x260;
    /// The end of the largest header that fits in front of the EDD area of `boot_params`.
    pub(super) const LAST: usize = 0x290;
}

/// Offsets in `boot_params` outside the setup header.
mod zero_page {
    pub(super) const SIZE: usize = 0x1000;
    pub(super) const ACPI_RSDP_ADDR: usize = 0x070;
    pub(super) const ALT_MEM_K: usize = 0x1e0;
    pub(super) const E820_ENTRIES: usize = 0x1e8;
    pub(super) const E820_TABLE: usize = 0x2d0;
    pub(super) const E820_MAX: usize = 128;
}

const BOOT_FLAG: u16 = 0xaa55;
const MAGIC: &[u8] = b"HdrS";
const SECTOR: u64 = 512;
/// What `setup_sects` means when it is zero.
const DEFAULT_SETUP_SECTS: u8 = 4;
/// `loadflags`: the protected-mode part loads at 1 MiB.
const LOADED_HIGH: u8 = 1 << 0;
/// `loadflags`: `heap_end_ptr` is valid.
const CAN_USE_HEAP: u8 = 1 << 7;
/// `loadflags`: segment registers are set up by the loader when this is clear.
const KEEP_SEGMENTS: u8 = 1 << 6;
/// `xloadflags`: there is a 64-bit entry point.
const XLF_KERNEL_64: u16 = 1 << 0;
/// Where the 64-bit entry point lies from the start of the protected-mode part.
const STARTUP_64: u64 = 0x200;
/// `type_of_loader`: one without an assigned number.
const UNDEFINED_LOADER: u8 = 0xff;
/// `vid_mode`: normal.
const NORMAL_VGA: u16 = 0xffff;
/// Before 2.03, which brought `initrd_addr_max`: its fixed value.
const OLD_INITRD_ADDR_MAX: u32 = 0x37ff_ffff;
/// Before 2.06, which brought `cmdline_size`: its fixed value.
const OLD_CMDLINE_SIZE: u32 = 255;
const PAGE: u64 = 0x1000;

/// The protocol's versions that change something here.
const OLDEST: u16 = 0x0202;
const HAS_INITRD_ADDR_MAX: u16 = 0x0203;
const HAS_RELOCATABLE: u16 = 0x0205;
const HAS_CMDLINE_SIZE: u16 = 0x0206;
const HAS_PREF_ADDRESS: u16 = 0x020a;
const HAS_XLOADFLAGS: u16 = 0x020c;

/// Whether the file has a boot sector with the setup header's magic number.
#[must_use]
pub fn is_bzimage(kernel: &[u8]) -> bool {
    u16_at(kernel, setup::BOOT_FLAG) == BOOT_FLAG && kernel.get(setup::HEADER..).is_some_and(|at| at.starts_with(MAGIC))
}

/// What the setup header says, with the defaults of older protocols filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SetupHeader {
    /// Where the protected-mode part begins in the file.
    payload: u64,
    /// Where the header ends in the file and in `boot_params`.
    end: usize,
    /// Where the payload is loaded.
    load: u64,
    /// What the kernel needs in memory before it can read the map: up to here, from `load`.
    needs: u64,
    initrd_addr_max: u32,
    cmdline_size: u32,
    loadflags: u8,
    long: bool,
}

impl SetupHeader {
    fn parse(kernel: &[u8]) -> Result<Self, LoadError> {
        // The fields of the oldest supported protocol end here.
        slice(kernel, 0, setup::INITRD_ADDR_MAX as u64, "the setup header")?;
        let version = u16_at(kernel, setup::VERSION);
        if version < OLDEST {
            return Err(LoadError::OldProtocol { major: (version >> 8) as u8, minor: version as u8 });
        }
        let since = |newer: u16| version >= newer;
        let loadflags = u8_at(kernel, setup::LOADFLAGS);
        if loadflags & LOADED_HIGH == 0 {
            return Err(LoadError::NotLoadedHigh);
        }
        let end = setup::HEADER + usize::from(u8_at(kernel, setup::JUMP_OFFSET));
        let end = end.min(setup::LAST);
        slice(kernel, 0, end as u64, "the setup header")?;

        let setup_sects = match u8_at(kernel, setup::SETUP_SECTS) {
            0 => DEFAULT_SETUP_SECTS,
            sectors => sectors,
        };
        let payload = (u64::from(setup_sects) + 1) * SECTOR;
        let payload_size = (kernel.len() as u64).saturating_sub(payload);
        if payload_size == 0 {
            return Err(LoadError::Truncated {
                what: "the protected-mode kernel",
                offset: payload,
                needed: 1,
                size: kernel.len() as u64,
            });
        }

        let relocatable = since(HAS_RELOCATABLE) && u8_at(kernel, setup::RELOCATABLE_KERNEL) != 0;
        let preferred = if since(HAS_PREF_ADDRESS) { u64_at(kernel, setup::PREF_ADDRESS) } else { ONE_MIB };
        if !(ONE_MIB..FOUR_GIB).contains(&preferred) {
            return Err(LoadError::BadField { field: "pref_address", value: preferred });
        }
        let load = if relocatable { ONE_MIB } else { preferred };
        let init_size = if since(HAS_PREF_ADDRESS) { u64::from(u32_at(kernel, setup::INIT_SIZE)) } else { 0 };
        Ok(Self {
            payload,
            end,
            load,
            needs: (load + payload_size).max(preferred + init_size),
            initrd_addr_max: if since(HAS_INITRD_ADDR_MAX) {
                u32_at(kernel, setup::INITRD_ADDR_MAX)
            } else {
                OLD_INITRD_ADDR_MAX
            },
            cmdline_size: if since(HAS_CMDLINE_SIZE) { u32_at(kernel, setup::CMDLINE_SIZE) } else { OLD_CMDLINE_SIZE },
            loadflags,
            long: since(HAS_XLOADFLAGS) && u16_at(kernel, setup::XLOADFLAGS) & XLF_KERNEL_64 != 0,
        })
    }
}

/// Where the pieces beside the kernel went.
struct Placed {
    boot_params: u64,
    command_line: u64,
    /// Address and length.
    initrd: Option<(u64, u64)>,
}

/// Plans the boot of a bzImage.
///
/// # Errors
/// When the header is bad or something does not fit.
pub fn plan<'a>(request: &BootRequest<'a>) -> Result<BootPlan<'a>, LoadError> {
    let kernel = request.kernel;
    let header = SetupHeader::parse(kernel)?;
    let initrd = check(request, &header)?;
    let mut arena = Arena::new(request.memory);
    arena.claim(header.load, header.needs, "the kernel")?;
    let payload = kernel.get(header.payload as usize..).unwrap_or_default();
    let mut segments = vec![Segment::new(header.load, payload)];
    let mut low = |bytes: Vec<u8>, align: u64, what| -> Result<u64, LoadError> {
        let address = arena.lowest(0, bytes.len() as u64, align, what)?;
        segments.push(Segment::new(address, bytes));
        Ok(address)
    };
    let mode = if header.long { EntryMode::Long64 } else { EntryMode::Protected32 };
    let gdt = low(entry::gdt(mode), 16, "the GDT")?;
    let command_line = low(c_string(request.command_line), 16, "the command line")?;
    let page_tables = match mode {
        EntryMode::Long64 => Some(arena.lowest(0, entry::PAGE_TABLES_SIZE, PAGE, "the page tables")?),
        EntryMode::Protected32 | EntryMode::Real16 => None,
    };
    segments.extend(page_tables.map(|base| Segment::new(base, entry::identity_page_tables(base))));
    let boot_params = arena.lowest(0, zero_page::SIZE as u64, PAGE, "boot_params")?;
    let initrd = match initrd {
        Some(bytes) if !bytes.is_empty() => {
            let window = (header.needs, (u64::from(header.initrd_addr_max) + 1).min(FOUR_GIB));
            let address = arena.highest(window, bytes.len() as u64, PAGE, "the initrd")?;
            segments.push(Segment::new(address, bytes));
            Some((address, bytes.len() as u64))
        }
        _ => None,
    };
    let placed = Placed { boot_params, command_line, initrd };
    segments.push(Segment::new(boot_params, zero_page(request, &header, &placed)));

    let mut entry = match page_tables {
        Some(cr3) => EntryState::long(header.load + STARTUP_64, gdt, cr3),
        None => EntryState::protected(header.load, gdt),
    };
    entry.gprs[entry::RSI] = placed.boot_params;
    Ok(BootPlan { kind: KernelKind::BzImage, segments, entry })
}

/// Where the real-mode part goes under firmware, its command line, and its stack pointer: the heap ends where the boot sector's
/// length below the command line is left for the stack.
pub(super) const REAL_MODE_AT: u64 = 0x1_0000;
pub(super) const COMMAND_LINE_AT: u64 = 0x2_0000;
pub(super) const REAL_MODE_STACK: u16 = 0xfff0;
const HEAP_END: u16 = 0xfe00;
/// The most of it that leaves room for heap and stack.
const SETUP_MAX: u64 = 0x8000;

/// A bzImage in the pieces in which firmware starts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FirmwareLayout {
    /// The real-mode part, completed.
    pub(super) setup: Vec<u8>,
    /// The command line with its zero.
    pub(super) command_line: Vec<u8>,
    /// The protected-mode part.
    pub(super) kernel: Vec<u8>,
    pub(super) kernel_at: u64,
    /// Empty if there is none.
    pub(super) initrd: Vec<u8>,
    pub(super) initrd_at: u64,
}

/// Plans the boot of a bzImage by its real-mode entry.
pub(super) fn plan_for_firmware(request: &BootRequest<'_>) -> Result<FirmwareLayout, LoadError> {
    let header = SetupHeader::parse(request.kernel)?;
    let initrd = check(request, &header)?.unwrap_or_default();
    if header.payload > SETUP_MAX {
        return Err(LoadError::BadField { field: "setup_sects", value: header.payload / SECTOR - 1 });
    }
    let mut arena = Arena::new(request.memory);
    arena.claim(header.load, header.needs, "the kernel")?;
    let initrd_at = match initrd.len() as u64 {
        0 => 0,
        length => {
            let window = (header.needs, (u64::from(header.initrd_addr_max) + 1).min(FOUR_GIB));
            arena.highest(window, length, PAGE, "the initrd")?
        }
    };
    let (setup, kernel) = request.kernel.split_at_checked(header.payload as usize).unwrap_or_default();
    let mut setup = setup.to_vec();
    if let Some(mode) = video_mode(request.command_line) {
        put(&mut setup, setup::VID_MODE, &mode.to_le_bytes());
    }
    put(&mut setup, setup::TYPE_OF_LOADER, &[UNDEFINED_LOADER]);
    put(&mut setup, setup::LOADFLAGS, &[header.loadflags & !KEEP_SEGMENTS | CAN_USE_HEAP]);
    put(&mut setup, setup::CODE32_START, &low32(header.load));
    put(&mut setup, setup::HEAP_END_PTR, &HEAP_END.to_le_bytes());
    put(&mut setup, setup::CMD_LINE_PTR, &low32(COMMAND_LINE_AT));
    put(&mut setup, setup::RAMDISK_IMAGE, &low32(initrd_at));
    put(&mut setup, setup::RAMDISK_SIZE, &low32(initrd.len() as u64));
    Ok(FirmwareLayout {
        setup,
        command_line: c_string(request.command_line),
        kernel: kernel.to_vec(),
        kernel_at: header.load,
        initrd: initrd.to_vec(),
        initrd_at,
    })
}

/// The mode that `vga=` asks the real-mode part for.
fn video_mode(command_line: &str) -> Option<u16> {
    const EXTENDED_VGA: u16 = 0xfffe;
    const ASK_VGA: u16 = 0xfffd;
    match command_line.split_ascii_whitespace().find_map(|word| word.strip_prefix("vga="))? {
        "normal" => Some(NORMAL_VGA),
        "ext" => Some(EXTENDED_VGA),
        "ask" => Some(ASK_VGA),
        number => match number.strip_prefix("0x") {
            Some(digits) => u16::from_str_radix(digits, 16).ok(),
            None => number.parse().ok(),
        },
    }
}

/// Checks what the header limits; the initrd, if there is one.
fn check<'a>(request: &BootRequest<'a>, header: &SetupHeader) -> Result<Option<&'a [u8]>, LoadError> {
    let length = request.command_line.len() as u64;
    if length > u64::from(header.cmdline_size) {
        return Err(LoadError::CommandLineTooLong { length, limit: u64::from(header.cmdline_size) });
    }
    match request.modules {
        [] => Ok(None),
        [initrd] => Ok(Some(initrd.bytes)),
        more => Err(LoadError::TooManyModules { count: more.len() }),
    }
}

/// `struct boot_params`: the kernel's own header, completed, with the memory map beside it.
fn zero_page(request: &BootRequest<'_>, header: &SetupHeader, placed: &Placed) -> Vec<u8> {
    let mut page = vec![0; zero_page::SIZE];
    if let Some(copy) = request.kernel.get(setup::SETUP_SECTS..header.end) {
        put(&mut page, setup::SETUP_SECTS, copy);
    }
    put(&mut page, setup::VID_MODE, &NORMAL_VGA.to_le_bytes());
    put(&mut page, setup::TYPE_OF_LOADER, &[UNDEFINED_LOADER]);
    put(&mut page, setup::LOADFLAGS, &[header.loadflags & !KEEP_SEGMENTS]);
    put(&mut page, setup::CODE32_START, &low32(header.load));
    put(&mut page, setup::CMD_LINE_PTR, &low32(placed.command_line));
    let (image, size) = placed.initrd.unwrap_or((0, 0));
    put(&mut page, setup::RAMDISK_IMAGE, &low32(image));
    put(&mut page, setup::RAMDISK_SIZE, &low32(size));
    if header.end > setup::SETUP_DATA {
        put(&mut page, setup::SETUP_DATA, &0_u64.to_le_bytes());
    }

    put(&mut page, zero_page::ACPI_RSDP_ADDR, &request.rsdp.to_le_bytes());
    let extended = request.memory.ram().find(|range| range.start <= ONE_MIB && range.end() > ONE_MIB);
    let extended_kib = extended.map_or(0, |range| (range.end() - ONE_MIB) >> 10);
    put(&mut page, zero_page::ALT_MEM_K, &low32(extended_kib));
    let mut map = request.memory.e820_bytes();
    map.truncate(zero_page::E820_MAX * 20);
    put(&mut page, zero_page::E820_ENTRIES, &[(map.len() / 20) as u8]);
    put(&mut page, zero_page::E820_TABLE, &map);
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loader::fixtures::{bzimage, memory, request};
    use crate::loader::{Module, plan as plan_any};

    fn piece<'a>(plan: &'a BootPlan<'_>, address: u64) -> &'a [u8] {
        &plan.segments.iter().find(|segment| segment.address == address).expect("a segment there").bytes
    }

    #[test]
    fn a_64_bit_kernel_is_entered_in_long_mode_behind_its_32_bit_entry() {
        let (kernel, memory) = (bzimage(), memory(256));
        let plan = plan_any(&request(&kernel, &memory)).unwrap();
        assert_eq!(plan.kind, KernelKind::BzImage);
        assert_eq!((plan.entry.mode, plan.entry.rip), (EntryMode::Long64, 0x10_0200));
        assert_eq!(piece(&plan, 0x10_0000), &kernel[1024..]);
        let params = piece(&plan, plan.entry.gprs[entry::RSI]);
        assert_eq!(params.len(), 4096);
        assert_eq!(&params[0x202..0x206], b"HdrS");
        assert_eq!(params[0x210], 0xff);
        assert_eq!(u64_at(params, 0x70), 0xf_0000);
        assert_eq!(usize::from(params[0x1e8]), memory.ranges.len());
        assert_eq!(piece(&plan, u64::from(u32_at(params, 0x228))), b"console=ttyS0\0");
        assert_eq!(params[0x1ef], 0, "the sentinel must stay clear");
    }

    #[test]
    fn the_page_tables_and_gdt_lie_where_the_registers_point() {
        let (kernel, memory) = (bzimage(), memory(256));
        let plan = plan_any(&request(&kernel, &memory)).unwrap();
        assert_eq!(piece(&plan, plan.entry.cr3), entry::identity_page_tables(plan.entry.cr3));
        assert_eq!(piece(&plan, plan.entry.gdtr.base), entry::gdt(EntryMode::Long64));
    }

    #[test]
    fn without_a_64_bit_entry_the_kernel_is_entered_in_protected_mode() {
        let (mut kernel, memory) = (bzimage(), memory(256));
        kernel[setup::XLOADFLAGS] = 0;
        let plan = plan_any(&request(&kernel, &memory)).unwrap();
        assert_eq!((plan.entry.mode, plan.entry.rip, plan.entry.cr0), (EntryMode::Protected32, 0x10_0000, 0x11));
    }

    #[test]
    fn the_initrd_lies_as_high_as_the_kernel_and_ram_allow() {
        let (kernel, initrd) = (bzimage(), vec![7; 5000]);
        for (mib, top) in [(256, 256 << 20), (3072, 0x8000_0000)] {
            let memory = memory(mib);
            let modules = [Module { bytes: &initrd, command_line: "" }];
            let plan = plan_any(&BootRequest { modules: &modules, ..request(&kernel, &memory) }).unwrap();
            let params = piece(&plan, plan.entry.gprs[entry::RSI]).to_vec();
            assert_eq!(u64::from(u32_at(&params, 0x218)), top - 0x2000);
            assert_eq!(u32_at(&params, 0x21c), 5000);
            assert_eq!(piece(&plan, top - 0x2000), initrd);
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let (kernel, initrd) = (bzimage(), vec![7; 20 << 20]);
        let small = memory(16);
        let refusal = plan_any(&request(&kernel, &small)).unwrap_err();
        assert!(refusal.to_string().starts_with("the kernel does not fit"), "{refusal}");
        let modules = [Module { bytes: &initrd, command_line: "" }];
        let memory = memory(40);
        let refusal = plan_any(&BootRequest { modules: &modules, ..request(&kernel, &memory) }).unwrap_err();
        assert!(refusal.to_string().starts_with("no room for the initrd"), "{refusal}");
        let line = "x".repeat(3000);
        let refusal = plan_any(&BootRequest { command_line: &line, ..request(&kernel, &memory) }).unwrap_err();
        assert_eq!(refusal, LoadError::CommandLineTooLong { length: 3000, limit: 2047 });
    }

    #[test]
    fn old_and_low_kernels_are_refused() {
        let (mut kernel, memory) = (bzimage(), memory(256));
        kernel[setup::LOADFLAGS] = 0;
        assert_eq!(plan_any(&request(&kernel, &memory)).unwrap_err(), LoadError::NotLoadedHigh);
        kernel[setup::VERSION..][..2].copy_from_slice(&[0x01, 0x02]);
        assert_eq!(plan_any(&request(&kernel, &memory)).unwrap_err(), LoadError::OldProtocol { major: 2, minor: 1 });
    }
}
