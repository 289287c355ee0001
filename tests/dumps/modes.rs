//! Dumps of processors in every mode and of memories of every shape: small programs as firmware, in guests that run nothing else.

use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, cr0, cr3, cr4, eax, ebp, ecx, edx, rbp};
use lockstep::commandline::DeviceConfig;
use lockstep::dump;
use lockstep::object_model::Store;
use lockstep::plug::Plugged;
use lockstep_dump::read::{Dump, Layout};
use lockstep_dump::{Format, Options, PhysicalMemory, Progress, Range, Target};
use lockstep_fabric::Outside;
use lockstep_tests::folder::Folder;
use lockstep_tests::guest::{Guest, config};
use std::path::PathBuf;

const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The firmware's image, where it lies below 1 MiB, and what is where in it.
const IMAGE_LEN: usize = 64 << 10;
const IMAGE: u64 = 0xf_0000;
const RESET_VECTOR: usize = IMAGE_LEN - 16;
const GDT: usize = 0x200;
const TAIL: usize = 0x100;
/// Flat segments: nothing, 32-bit code, data, 64-bit code.
const DESCRIPTORS: [u64; 4] = [0, 0x00cf_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0x00af_9b00_0000_ffff];
const CODE_32: u16 = 0x08;
const CODE_64: u16 = 0x18;
/// What RBP holds in the end, as far as it is wide.
const SIGN: u64 = 0x1122_3344_5566_7788;
/// The physical page that tables map at [`Mode::mapped`], and what it holds.
const MARKED: u64 = 0x7000;
const MARK: &[u8] = b"a page that the tables map";

const PE: u32 = 1;
const PG: u32 = 1 << 31;
const PSE: u32 = 1 << 4;
const PAE: u32 = 1 << 5;
const LA57: u32 = 1 << 12;
const LME: u32 = 1 << 8;

/// How a processor is set up.
#[derive(Clone, Copy, Debug)]
struct Mode {
    name: &'static str,
    cr0: u32,
    cr3: u32,
    cr4: u32,
    efer: u32,
    /// Bits of the code that runs then.
    bits: u32,
    /// The page tables' entries, with their addresses; of 8 bytes each, or of 4.
    tables: &'static [(u64, u64)],
    /// Where they map [`MARKED`].
    mapped: Option<u64>,
}

const REAL: Mode = Mode { name: "real", cr0: 0, cr3: 0, cr4: 0, efer: 0, bits: 16, tables: &[], mapped: None };
const PROTECTED: Mode = Mode { name: "protected", cr0: PE, bits: 32, ..REAL };
const LEGACY: Mode = Mode {
    name: "legacy paging",
    cr0: PE | PG,
    cr3: 0x1000,
    cr4: PSE,
    tables: &[(0x1000, 0x83), (0x1000 + 4 * 0x300, 0x2003), (0x2000 + 4 * 5, MARKED | 3)],
    mapped: Some(0xc000_5000),
    ..PROTECTED
};
const PAE_PAGING: Mode = Mode {
    name: "PAE",
    cr4: PAE,
    tables: &[(0x1000, 0x2001), (0x1018, 0x3001), (0x2000, 0x83), (0x3000, 0x4003), (0x4028, MARKED | 3)],
    ..LEGACY
};
const LONG: Mode = Mode {
    name: "long",
    efer: LME,
    bits: 64,
    tables: &[
        (0x1000, 0x2003),
        (0x1ff8, 0x3003),
        (0x2000, 0x4003),
        (0x4000, 0x83),
        (0x3ff0, 0x5003),
        (0x5000, 0x6003),
        (0x6028, MARKED | 3),
    ],
    mapped: Some(0xffff_ffff_8000_5000),
    ..PAE_PAGING
};
const FIVE_LEVELS: Mode = Mode {
    name: "5-level",
    cr3: 0x8000,
    cr4: PAE | LA57,
    tables: &[
        (0x8000, 0x1003),
        (0x8800, 0x9003),
        (0x9000, 0x3003),
        (0x1000, 0x2003),
        (0x2000, 0x4003),
        (0x4000, 0x83),
        (0x3ff0, 0x5003),
        (0x5000, 0x6003),
        (0x6028, MARKED | 3),
    ],
    // Not canonical where addresses have 48 bits.
    mapped: Some(0xff00_007f_8000_5000),
    ..LONG
};
const MODES: [Mode; 6] = [REAL, PROTECTED, LEGACY, PAE_PAGING, LONG, FIVE_LEVELS];

/// The firmware that goes into a mode, shows its sign, and stays where it is.
fn image(mode: &Mode) -> Vec<u8> {
    let code = |bits, ip, write: &dyn Fn(&mut CodeAssembler) -> Result<(), IcedError>| {
        let mut assembler = CodeAssembler::new(bits).expect("known");
        write(&mut assembler).expect("instructions");
        assembler.assemble(ip).expect("it assembles")
    };
    let start = code(16, 0, &|a| enter(a, mode));
    let in_mode = if mode.bits == 16 { TAIL as u64 } else { IMAGE + TAIL as u64 };
    let tail = code(mode.bits, in_mode, &|a| {
        if mode.bits == 64 {
            a.mov(rbp, SIGN)?;
        } else {
            a.mov(ebp, SIGN as u32)?;
        }
        let mut here = a.create_label();
        a.set_label(&mut here)?;
        a.jmp(here)
    });
    assert!(start.len() <= TAIL);
    let mut image = vec![0; IMAGE_LEN];
    image[..start.len()].copy_from_slice(&start);
    image[TAIL..TAIL + tail.len()].copy_from_slice(&tail);
    for (at, descriptor) in (GDT..).step_by(8).zip(DESCRIPTORS) {
        image[at..at + 8].copy_from_slice(&descriptor.to_le_bytes());
    }
    // What LGDT reads follows the table itself.
    let pseudo = GDT + 8 * DESCRIPTORS.len();
    image[pseudo..pseudo + 2].copy_from_slice(&(8 * DESCRIPTORS.len() as u16 - 1).to_le_bytes());
    image[pseudo + 2..pseudo + 6].copy_from_slice(&(IMAGE as u32 + GDT as u32).to_le_bytes());
    // jmp F000:0000
    image[RESET_VECTOR..RESET_VECTOR + 5].copy_from_slice(&[0xea, 0, 0, 0, 0xf0]);
    image
}

fn enter(a: &mut CodeAssembler, mode: &Mode) -> Result<(), IcedError> {
    a.cli()?;
    if mode.bits == 16 {
        // jmp F000:tail
        return a.db(&[0xea, TAIL as u8, (TAIL >> 8) as u8, 0, 0xf0]);
    }
    let pseudo = (GDT + 8 * DESCRIPTORS.len()) as u16;
    // lgdt cs:[pseudo], with 32 bits of base
    a.db(&[0x2e, 0x66, 0x0f, 0x01, 0x16, pseudo as u8, (pseudo >> 8) as u8])?;
    a.mov(eax, mode.cr4)?;
    a.mov(cr4, eax)?;
    a.mov(eax, mode.cr3)?;
    a.mov(cr3, eax)?;
    if mode.efer != 0 {
        a.mov(ecx, 0xc000_0080u32)?;
        a.mov(eax, mode.efer)?;
        a.xor(edx, edx)?;
        a.wrmsr()?;
    }
    a.mov(eax, mode.cr0 | 0x10)?;
    a.mov(cr0, eax)?;
    // jmp code:tail, with 32 bits of offset
    let mut far = vec![0x66, 0xea];
    far.extend((IMAGE as u32 + TAIL as u32).to_le_bytes());
    far.extend((if mode.bits == 64 { CODE_64 } else { CODE_32 }).to_le_bytes());
    a.db(&far)
}

/// A guest that is in a mode, with its tables and its marked page.
fn in_mode(mode: &Mode, folder: &Folder, more: &[&str]) -> Guest {
    let firmware = folder.file("firmware");
    std::fs::write(&firmware, image(mode)).expect("an image");
    let bios = firmware.display().to_string();
    let arguments = ["-bios", &bios, "-cpu", "max", "-seed", "1", "-rtc", "base=2026-01-01T00:00:00"];
    let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
    let more = [&["-nographic", "-nodefaults", "-serial", "null"], more].concat();
    let mut guest = Guest::start(&arguments, &more);
    let memory = &mut guest.board.machine.bus.memory;
    let width = if mode.name == LEGACY.name { 4 } else { 8 };
    for (at, entry) in mode.tables {
        memory.write_bytes(*at, &entry.to_le_bytes()[..width]);
    }
    memory.write_bytes(MARKED, MARK);
    assert!(guest.run_to(1_000).is_none());
    let sign = if mode.bits == 64 { SIGN } else { SIGN & 0xffff_ffff };
    assert_eq!(guest.board.machine.cpus[0].gpr[5], sign, "{}: it is not there", mode.name);
    guest
}

fn dumped(guest: &Guest, folder: &Folder, options: Options) -> (PathBuf, Dump) {
    let path = folder.file(&format!("{}{}", options.format.name(), if options.paging { "-paging" } else { "" }));
    let target = Target::create(&path).expect("a file");
    dump::dump(&guest.board.machine, &options, target, &Progress::default()).expect("a dump");
    let dump = Dump::open(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    (path, dump)
}

/// All formats, and ELF by page tables.
fn all_options() -> Vec<Options> {
    let plain = Format::ALL.into_iter().map(|format| Options { format, paging: false, only: None });
    plain.chain([Options { format: Format::Elf, paging: true, only: None }]).collect()
}

/// The memory that a dump of this format should have.
fn expected(guest: &Guest, format: Format) -> Vec<Range> {
    let memory = dump::StoppedMemory::of(&guest.board.machine.bus.memory);
    let end = if format == Format::Elf { None } else { memory.ram_end() };
    let mut joined: Vec<Range> = Vec::new();
    for range in memory.ranges().into_iter().filter(|range| end.is_none_or(|end| range.start < end)) {
        match joined.last_mut() {
            Some(last) if last.end() == range.start => last.len += range.len,
            _ => joined.push(range),
        }
    }
    joined
}

fn assert_page(guest: &Guest, dump: &Dump, at: u64, name: &str) {
    let (mut ours, mut theirs) = ([0; PAGE as usize], [0; PAGE as usize]);
    guest.board.machine.bus.memory.read_bytes(at, &mut theirs);
    assert!(dump.read_physical(at, &mut ours), "{name}: {at:#x} cannot be read");
    assert!(ours == theirs, "{name}: the page at {at:#x} differs");
}

fn assert_all(guest: &Guest, dump: &Dump, options: Options, name: &str) {
    assert_eq!(dump.pages(), expected(guest, options.format), "{name}");
    for range in dump.pages() {
        for at in (range.start..range.end()).step_by(PAGE as usize) {
            assert_page(guest, dump, at, name);
        }
    }
    let verdict = dump.verify(true, &Progress::default()).expect("nobody cancels");
    assert_eq!(verdict.faults, [""; 0], "{name}");
}

/// What the notes say of each processor is what it is.
fn assert_processors(guest: &Guest, dump: &Dump, wide: bool, name: &str) {
    let mask = if wide { u64::MAX } else { 0xffff_ffff };
    let cpus = &guest.board.machine.cpus;
    let noted = dump.registers();
    assert_eq!(noted.len(), cpus.len(), "{name}");
    for (noted, cpu) in noted.iter().zip(cpus) {
        assert_eq!((noted.rip, noted.general[5]), (cpu.ip & mask, cpu.gpr[5] & mask), "{name}");
        let controls = [cpu.cr0.bits(), 0, cpu.cr2, cpu.cr3, cpu.cr4.bits()];
        assert_eq!(noted.cr, controls.map(|control| control & mask), "{name}");
        assert_eq!(noted.segments[1].base, cpu.seg[1].base & mask, "{name}");
        assert_eq!(noted.long_mode(), cpu.efer.bits() >> 10 & 1 != 0, "{name}");
    }
    let statuses = dump.notes().iter().filter(|note| note.name == "CORE").count();
    assert_eq!(statuses, cpus.len(), "{name}: a status each");
    if let Some(header) = dump.header() {
        assert_eq!(header.processors as usize, cpus.len(), "{name}");
    }
}

#[test]
fn a_processor_in_any_mode_is_dumped_in_every_format() {
    for mode in MODES {
        let folder = Folder::new("modes");
        let guest = in_mode(&mode, &folder, &["-m", "1M"]);
        let wide = mode.bits == 64;
        for options in all_options() {
            let (path, dump) = dumped(&guest, &folder, options);
            let name = format!("{}, {}", mode.name, path.display());
            assert_all(&guest, &dump, options, &name);
            assert_processors(&guest, &dump, wide, &name);
            match dump.header() {
                Some(header) => {
                    let machine = if wide { "x86_64" } else { "i686" };
                    assert_eq!((header.wide, header.utsname[4].as_str()), (wide, machine), "{name}");
                }
                None => {
                    assert_eq!(dump.layout(), Layout::Elf { wide }, "{name}");
                    assert_eq!(dump.machine(), Some(if wide { 62 } else { 3 }), "{name}");
                }
            }
            if let (true, Some(mapped)) = (options.paging, mode.mapped) {
                let found = dump.segments().into_iter().find(|(at, range)| mapped.wrapping_sub(*at) < range.len);
                let (at, range) = found.unwrap_or_else(|| panic!("{name}: nothing at {mapped:#x}"));
                assert_eq!(range.start + (mapped - at), MARKED, "{name}");
            }
        }
    }
}

#[test]
fn eight_processors_are_dumped_in_their_order() {
    for mode in [PROTECTED, LONG] {
        let folder = Folder::new("eight");
        let mut guest = in_mode(&mode, &folder, &["-m", "2M", "-smp", "8"]);
        for (number, cpu) in (1..).zip(&mut guest.board.machine.cpus[1..]) {
            cpu.gpr[5] = number * 0x0101_0101;
        }
        for options in all_options() {
            let (path, dump) = dumped(&guest, &folder, options);
            let name = format!("{}, {}", mode.name, path.display());
            // One in long mode makes the file one of x86-64.
            assert_processors(&guest, &dump, mode.bits == 64, &name);
            assert_all(&guest, &dump, options, &name);
        }
    }
}

/// Tables that go in circles and map much more than there is, and a root that is nowhere.
#[test]
fn hostile_page_tables_make_a_dump_of_all_memory_in_bounded_time() {
    let options = Options { format: Format::Elf, paging: true, only: None };
    for (number, mode) in [LEGACY, PAE_PAGING, LONG, FIVE_LEVELS].into_iter().enumerate() {
        let folder = Folder::new("hostile");
        let mut guest = in_mode(&mode, &folder, &["-m", "16M"]);
        let root = u64::from(mode.cr3);
        // Every entry of the root is the root itself, so that each level is the same table.
        let entry = (root | 3).to_le_bytes();
        let entry = if number == 0 { &entry[..4] } else { &entry[..] };
        guest.board.machine.bus.memory.write_bytes(root, &entry.repeat(PAGE as usize / entry.len()));
        let (path, dump) = dumped(&guest, &folder, options);
        assert_all(&guest, &dump, options, mode.name);
        assert!(dump.segments().len() < 1 << 20, "{}: {} segments", mode.name, dump.segments().len());
        assert!(path.metadata().expect("a dump").len() < 64 * MIB, "{}", mode.name);

        // Every entry is another: pages backwards, so that no two can be one segment.
        let backwards: Vec<u8> = (0..512u64).rev().flat_map(|page| (page << 12 | 3).to_le_bytes()).collect();
        guest.board.machine.bus.memory.write_bytes(root, &backwards);
        let (_, dump) = dumped(&guest, &folder, options);
        assert_all(&guest, &dump, options, mode.name);

        for nowhere in [0x0000_ffff_ffff_f000, 0xa_0000, 0xffff_f000] {
            guest.board.machine.cpus[0].cr3 = nowhere;
            let (_, dump) = dumped(&guest, &folder, options);
            assert_all(&guest, &dump, options, mode.name);
        }
    }
}

/// Where memory is that is no RAM.
const ROM: [std::ops::Range<u64>; 2] = [0xa_0000..MIB, 4 * GIB - 256 * MIB..4 * GIB];

/// A guest with so much memory, and pages that hold their addresses: the first and the last of each piece of RAM and some between.
fn marked(memory: &str, mode: &Mode, folder: &Folder) -> (Guest, Vec<u64>) {
    let mut guest = in_mode(mode, folder, &["-m", memory]);
    let ram = dump::StoppedMemory::of(&guest.board.machine.bus.memory).ranges();
    let mut marks = Vec::new();
    for range in ram.into_iter().filter(|range| !ROM.iter().any(|rom| rom.contains(&range.start))) {
        let first = range.start.max(0x1_0000);
        marks.extend([first, range.end() - PAGE]);
        marks.extend((first..range.end()).step_by((256 * MIB) as usize).skip(1));
    }
    for at in &marks {
        guest.board.machine.bus.memory.write_bytes(*at, &at.to_le_bytes());
        let mut back = [0; 8];
        guest.board.machine.bus.memory.read_bytes(*at, &mut back);
        assert_eq!(back, at.to_le_bytes(), "{at:#x} is RAM");
    }
    (guest, marks)
}

fn assert_marks(guest: &Guest, marks: &[u64], format: Format, folder: &Folder) -> Dump {
    let options = Options { format, paging: false, only: None };
    let (path, dump) = dumped(guest, folder, options);
    let name = path.display().to_string();
    assert_eq!(dump.pages(), expected(guest, format), "{name}");
    for at in marks {
        assert_page(guest, &dump, *at, &name);
    }
    let verdict = dump.verify(false, &Progress::default()).expect("nobody cancels");
    assert_eq!(verdict.faults, [""; 0], "{name}");
    let _ = std::fs::remove_file(path);
    dump
}

#[test]
fn holes_and_memory_above_4_gib_are_where_they_are() {
    use lockstep_dump::codec::Codec;
    let folder = Folder::new("above");
    let (guest, marks) = marked("4608M", &LONG, &folder);
    assert!(marks.iter().any(|mark| *mark >= 4 * GIB), "memory above 4 GiB");
    for format in [Format::Elf, Format::Kdump { codec: Codec::Lzo, raw: true }] {
        let dump = assert_marks(&guest, &marks, format, &folder);
        assert!(!dump.read_physical(0xfee0_0000, &mut [0]), "registers are a hole");
        assert!(!dump.read_physical(4 * GIB - 256 * MIB, &mut [0]), "the hole for PCI");
        assert!(!dump.read_physical(5 * GIB + 512 * MIB, &mut [0]), "nothing after the end");
    }

    // A guest of 32 bits that has memory above 4 GiB: the registers of i386 in a file with 64-bit addresses.
    let (guest, marks) = marked("4608M", &PROTECTED, &folder);
    let dump = assert_marks(&guest, &marks, Format::Elf, &folder);
    assert_eq!((dump.layout(), dump.machine()), (Layout::Elf { wide: true }, Some(3)));
    assert_processors(&guest, &dump, false, "i386 above 4 GiB");
}

#[test]
fn a_module_that_was_plugged_in_is_dumped_in_every_format() {
    let folder = Folder::new("module");
    let memory = ["-m", "16M,slots=2,maxmem=1G"];
    let mut guest = in_mode(&LONG, &folder, &memory);
    let backends = [("m".to_owned(), Store { bytes: 4 * MIB, is_file: false })].into();
    let properties = vec![("memdev".to_owned(), "m".to_owned())];
    let device = DeviceConfig { driver: "pc-dimm".into(), id: Some("d".into()), origin: String::new(), properties };
    let config = config(&memory.map(str::to_owned));
    let module = guest.board.plan_module(&config, &backends, device).expect("a free slot");
    let start = module.address;
    let device = serde_json::to_string(&Plugged::Module(Box::new(module))).expect("text");
    guest.board.machine.enter(Outside::Plug { device }).expect("the gate is open");
    for at in [start, start + 4 * MIB - PAGE] {
        guest.board.machine.bus.memory.write_bytes(at, b"in the module");
    }
    for options in all_options() {
        let (path, dump) = dumped(&guest, &folder, options);
        let name = path.display().to_string();
        // It begins where the firmware's ROM ends, and may be one range with it.
        let ends = |range: &Range| range.start <= start && range.end() == start + 4 * MIB;
        assert!(dump.pages().iter().any(ends), "{name}: {start:x} in {:x?}", dump.pages());
        assert_all(&guest, &dump, options, &name);
    }
}

#[test]
fn a_large_and_empty_memory_makes_a_small_file() {
    use lockstep_dump::codec::Codec;
    use std::os::unix::fs::MetadataExt;
    let folder = Folder::new("large");
    let (guest, marks) = marked("16G", &LONG, &folder);
    let format = Format::Kdump { codec: Codec::Zlib, raw: false };
    let dump = assert_marks(&guest, &marks, format, &folder);
    assert!(dump.header().is_some_and(|header| header.max_mapnr > 16 * GIB / PAGE));
    let options = Options { format: Format::Elf, paging: false, only: None };
    let (path, dump) = dumped(&guest, &folder, options);
    assert_eq!(dump.pages(), expected(&guest, Format::Elf));
    marks.iter().for_each(|at| assert_page(&guest, &dump, *at, "elf"));
    let file = path.metadata().expect("a dump");
    assert!(
        file.len() > 16 * GIB - MIB && file.blocks() * 512 < GIB,
        "{} bytes in {} blocks",
        file.len(),
        file.blocks()
    );
}
