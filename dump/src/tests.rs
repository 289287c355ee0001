//! Dumps written and read again.

use crate::codec::Codec;
use crate::fixture::{Fixed, Lent, Noise, Sparse};
use crate::read::{Bytes, Dump, Layout, Source, report};
use crate::{
    DumpError, Format, Guest, Options, PAGE_SIZE, PhysicalMemory, Processors, Progress, Range, Registers, Target, write,
};
use proptest::prelude::*;
use std::path::{Path, PathBuf};

const GIB: u64 = 1 << 30;

/// A guest with holes, memory above 4 GiB, and pages that are zero, noise, text and nearly empty.
fn guest() -> (Sparse, Fixed) {
    let mut memory = Sparse::new(&[(0, 0xa_0000), (0x10_0000, 0x7f_0000), (4 * GIB, 0x20_0000)]);
    let mut noise = Noise::new(7);
    for page in [0u64, 3, 0x101, 0x102, 0x180, 0x10_0000, 0x10_01ff] {
        let mut bytes = [0; PAGE_SIZE as usize];
        noise.fill(&mut bytes);
        memory.put(page * PAGE_SIZE, &bytes);
    }
    for page in 0x200u64..0x260 {
        let text = format!("page {page} of a text that goes on and on; ").repeat(150);
        memory.put(page * PAGE_SIZE, &text.as_bytes()[..PAGE_SIZE as usize - 7]);
    }
    memory.put(0x30_0fff, &[1]);
    (memory, Fixed(vec![long_mode(0xffff_ffff_8100_0000), long_mode(0x7fff_0000)]))
}

fn long_mode(rip: u64) -> Registers {
    let mut registers = Registers { rip, efer: 1 << 8 | 1 << 10, ..Registers::default() };
    registers.cr[0] = 1 << 31 | 1;
    registers.cr[4] = 1 << 5;
    registers.cr[3] = 0x4000;
    registers.segments[1].flags = 1 << 21;
    registers
}

fn plain(format: Format) -> Options {
    Options { format, paging: false, only: None }
}

/// Writes a dump into a folder of its own.
fn written(
    memory: &dyn PhysicalMemory,
    processors: &dyn Processors,
    options: &Options,
) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump");
    let guest = Guest { memory, processors, vmcoreinfo: None };
    let progress = Progress::default();
    let summary = write(&guest, options, Target::create(&path).unwrap(), &progress).unwrap();
    assert_eq!((progress.completed(), progress.total()), (summary.memory, summary.memory));
    assert_eq!(path.metadata().unwrap().len(), summary.file);
    (folder, path)
}

/// Every page of `memory` is in the dump, and no other.
fn assert_same(dump: &Dump, memory: &Sparse) {
    assert_eq!(dump.pages(), crate::pages::ranges(memory));
    for range in dump.pages() {
        for number in range.start / PAGE_SIZE..range.end() / PAGE_SIZE {
            let mut page = vec![0x5a; PAGE_SIZE as usize];
            assert!(dump.read_physical(number * PAGE_SIZE, &mut page), "{number:#x}");
            assert!(page == memory.page(number), "page {number:#x} differs");
        }
    }
    assert!(!dump.read_physical(0xa_0000, &mut [0]), "a hole");
}

#[test]
fn every_format_gives_back_every_page_and_register() {
    let (memory, processors) = guest();
    for format in Format::ALL {
        assert_eq!(Format::named(format.name()), Some(format));
        let (_folder, path) = written(&memory, &processors, &plain(format));
        let dump = Dump::open(&path).unwrap();
        assert_same(&dump, &memory);
        assert_eq!(dump.registers(), processors.0, "{}", format.name());
        let verdict = dump.verify(true, &Progress::default()).unwrap();
        assert_eq!(verdict.faults, [""; 0]);
        assert_eq!(verdict, dump.verify(true, &Progress::default()).unwrap());
        assert_eq!(verdict.pages, (0xa_0000 + 0x7f_0000 + 0x20_0000) / PAGE_SIZE);
        if let Format::Kdump { codec, raw } = format {
            let header = dump.header().unwrap();
            assert_eq!((header.version, header.status, header.block_size), (6, codec.flag(), 4096));
            assert_eq!((header.processors, header.max_mapnr), (2, 0x10_0200));
            assert_eq!(header.sub.dump_level, 1);
            assert_eq!([&header.utsname[0], &header.utsname[4]], ["Linux", "x86_64"]);
            assert_eq!(raw, dump.layout() == Layout::Kdump);
            let stored = verdict.stored;
            let (pages, _) = stored.compressed[Codec::ALL.iter().position(|c| *c == codec).unwrap()];
            assert_eq!((stored.plain, pages), (7, 0x61), "noise is stored as it is");
            assert_eq!(stored.zero + stored.plain + pages, verdict.pages);
        }
        let text = report(&dump, &verdict);
        assert!(text.contains("processors: 2") && text.contains("0x000100000000 to 0x0001001fffff"), "{text}");
    }
}

#[test]
fn a_dump_is_the_same_every_time() {
    let (memory, processors) = guest();
    let options = plain(Format::Kdump { codec: Codec::Zlib, raw: false });
    let first = {
        let (_folder, path) = written(&memory, &processors, &options);
        std::fs::read(path).unwrap()
    };
    let (_folder, path) = written(&memory, &processors, &options);
    assert!(std::fs::read(path).unwrap() == first);
}

#[test]
fn memory_that_stands_still_and_is_known_gives_the_same_dump() {
    let (memory, processors) = guest();
    let lent = Lent::of(&memory);
    for format in Format::ALL {
        let dumps = [&memory as &dyn PhysicalMemory, &lent].map(|memory| {
            let (_folder, path) = written(memory, &processors, &plain(format));
            std::fs::read(path).unwrap()
        });
        assert!(dumps[0] == dumps[1], "{format:?}");
    }
}

#[test]
fn a_guest_without_long_mode_has_a_32_bit_file() {
    let memory = Sparse::new(&[(0, 0x10_0000)]);
    let processors = Fixed(vec![Registers { rip: 0xfff0, ..Registers::default() }]);
    for format in [Format::Elf, Format::Kdump { codec: Codec::Lzo, raw: true }] {
        let (_folder, path) = written(&memory, &processors, &plain(format));
        let dump = Dump::open(&path).unwrap();
        match dump.header() {
            Some(header) => assert_eq!((header.wide, header.utsname[4].as_str()), (false, "i686")),
            None => assert_eq!((dump.layout(), dump.machine()), (Layout::Elf { wide: false }, Some(3))),
        }
        assert_eq!(dump.notes()[0].descriptor.len(), 144);
        assert_eq!(dump.verify(true, &Progress::default()).unwrap().pages, 0x100);
    }
    let high = Sparse::new(&[(0, 0x10_0000), (4 * GIB, 0x1000)]);
    let (_folder, path) = written(&high, &processors, &plain(Format::Elf));
    let dump = Dump::open(&path).unwrap();
    assert_eq!((dump.layout(), dump.machine()), (Layout::Elf { wide: true }, Some(3)));
    assert_eq!(dump.notes()[0].descriptor.len(), 144);
}

#[test]
fn elf_with_paging_shows_what_the_guest_maps() {
    let (mut memory, processors) = guest();
    for (at, entry) in [(0x4000u64 + 8 * 511, 0x5000u64), (0x5000 + 8 * 510, 0x6000), (0x6000, 0x20_0000 | 1 << 7)] {
        memory.put_u64(at, entry | 1);
    }
    let options = Options { format: Format::Elf, paging: true, only: None };
    let (_folder, path) = written(&memory, &processors, &options);
    let dump = Dump::open(&path).unwrap();
    let mapped = (0xffff_ffff_8000_0000, Range { start: 0x20_0000, len: 0x20_0000 });
    assert_eq!(dump.segments()[0], mapped);
    assert_same(&dump, &memory);
}

#[test]
fn elf_of_a_part_holds_that_part() {
    let (memory, processors) = guest();
    let only = Some(Range { start: 0x9_f800, len: 0x6_1000 });
    let options = Options { format: Format::Elf, paging: false, only };
    let (_folder, path) = written(&memory, &processors, &options);
    let part = [Range { start: 0x9_f800, len: 0x800 }, Range { start: 0x10_0000, len: 0x800 }];
    assert_eq!(Dump::open(&path).unwrap().pages(), part);

    let nothing = Options { only: Some(Range { start: 0xa_0000, len: 0x1000 }), ..options };
    let guest = Guest { memory: &memory, processors: &processors, vmcoreinfo: None };
    let target = Target::create(&path).unwrap();
    let result = write(&guest, &nothing, target, &Progress::default());
    assert!(matches!(result, Err(DumpError::NothingThere { .. })));
    let compressed = Options { format: Format::Kdump { codec: Codec::Zlib, raw: false }, ..options };
    let result = write(&guest, &compressed, Target::create(&path).unwrap(), &Progress::default());
    assert!(matches!(result, Err(DumpError::WholeMemoryOnly)));
    assert_eq!(Dump::open(&path).unwrap().pages(), part, "what was there is there still");
}

#[test]
fn what_cannot_seek_takes_every_format_but_raw_ones() {
    let (memory, processors) = guest();
    let guest = Guest { memory: &memory, processors: &processors, vmcoreinfo: None };
    for format in Format::ALL {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            std::io::Read::read_to_end(&mut &theirs, &mut all).unwrap();
            all
        });
        let target = Target::descriptor(ours.into()).unwrap();
        let result = write(&guest, &plain(format), target, &Progress::default());
        let received = reader.join().unwrap();
        if let Format::Kdump { raw: true, .. } = format {
            assert!(matches!(result, Err(DumpError::NotSeekable)));
        } else {
            result.unwrap();
            assert_same(&Dump::of(Box::new(Bytes(received))).unwrap(), &memory);
        }
    }
}

#[test]
fn a_flattened_dump_rearranged_is_the_raw_one() {
    let (memory, processors) = guest();
    let bytes = |raw| {
        let (folder, path) = written(&memory, &processors, &plain(Format::Kdump { codec: Codec::Snappy, raw }));
        (std::fs::read(path).unwrap(), folder).0
    };
    let (raw, flattened) = (bytes(true), bytes(false));
    let mut rearranged = vec![0; raw.len()];
    let mut at = 4096;
    loop {
        let number = |at: usize| i64::from_be_bytes(flattened[at..at + 8].try_into().unwrap());
        let (offset, len) = (number(at), number(at + 8));
        at += 16;
        if offset < 0 {
            break;
        }
        rearranged[offset as usize..][..len as usize].copy_from_slice(&flattened[at..at + len as usize]);
        at += len as usize;
    }
    assert_eq!(at, flattened.len());
    assert!(rearranged == raw);
}

#[test]
fn a_cancelled_dump_leaves_nothing() {
    let (memory, processors) = guest();
    let folder = tempfile::tempdir().unwrap();
    let progress = Progress::default();
    progress.cancel();
    for format in Format::ALL {
        let target = Target::create(&folder.path().join("dump")).unwrap();
        let guest = Guest { memory: &memory, processors: &processors, vmcoreinfo: None };
        let result = write(&guest, &plain(format), target, &progress);
        assert!(matches!(result, Err(DumpError::Cancelled)));
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }
}

/// A small guest's dump, for breaking.
fn small(format: Format, paging: bool) -> Vec<u8> {
    let mut memory = Sparse::new(&[(0, 0x8000), (0x10_0000, 0x8000)]);
    memory.put(0x1000, b"some text, some text, some text, some text");
    memory.put_u64(0x4000, 0x5001);
    memory.put_u64(0x5000, 0x81);
    let mut noise = [0; PAGE_SIZE as usize];
    Noise::new(3).fill(&mut noise);
    memory.put(0x10_0000, &noise);
    let (_folder, path) = written(&memory, &Fixed(vec![long_mode(1)]), &Options { format, paging, only: None });
    std::fs::read(path).unwrap()
}

/// Asks for everything that can be asked for.
fn ask(bytes: Vec<u8>) {
    let Ok(dump) = Dump::of(Box::new(Bytes(bytes))) else { return };
    for thorough in [false, true] {
        let verdict = dump.verify(thorough, &Progress::default()).unwrap();
        let _ = report(&dump, &verdict);
    }
    for range in dump.pages().into_iter().take(100) {
        let mut some = vec![0; range.len.min(0x3000) as usize];
        dump.read_physical(range.start, &mut some);
    }
    dump.read_physical(u64::MAX - 3, &mut [0; 8]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Numbers in headers are worth most: damage is near the beginning more often than not.
    #[test]
    fn damaged_dumps_are_answered(
        format in 0usize..9, paging: bool, cut in 0usize..200_000,
        damage in prop::collection::vec((prop_oneof![0usize..0x400, 0x1000usize..0x1800, 0usize..200_000], prop_oneof![Just(0u8), Just(0xff), Just(0x80), any::<u8>()]), 1..12),
    ) {
        let mut bytes = small(Format::ALL[format], paging && format == 0);
        for (at, value) in damage {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        if cut % 3 == 0 {
            bytes.truncate(cut);
        }
        ask(bytes);
    }

    #[test]
    fn whole_fields_of_nonsense_are_answered(
        format in 0usize..9, at in prop_oneof![0usize..0x200, 0x1000usize..0x1100, 0x2000usize..0x2100, 0usize..200_000],
        value in prop_oneof![Just(u64::MAX), Just(i64::MAX as u64), Just(1u64 << 32), Just(u64::MAX - 4096), any::<u64>()],
    ) {
        let mut bytes = small(Format::ALL[format], format == 0);
        if let Some(field) = bytes.get_mut(at..at + 8) {
            field.copy_from_slice(&value.to_le_bytes());
        }
        ask(bytes);
    }

    #[test]
    fn any_bytes_are_answered(start in prop_oneof![Just(&b"\x7fELF\x02\x01\x01"[..]), Just(&b"\x7fELF\x01\x01\x01"[..]), Just(&b"KDUMP   "[..]), Just(&b"makedumpfile\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01"[..])], rest in prop::collection::vec(any::<u8>(), 0..9000)) {
        ask([start, &rest].concat());
    }
}

#[test]
fn what_is_no_dump_is_said_to_be_none() {
    for bytes in [&b""[..], b"\x7fEL", b"hello, world", b"KDUMP"] {
        assert!(Dump::of(Box::new(Bytes(bytes.to_vec()))).is_err());
    }
    assert!(Dump::open(Path::new("/nonexistent/dump")).is_err());
    assert_eq!(Bytes(vec![1, 2]).end().unwrap(), 2);
}

#[test]
fn a_damaged_page_is_found() {
    let mut bytes = small(Format::Kdump { codec: Codec::Zlib, raw: true }, false);
    let len = bytes.len();
    let dump = Dump::of(Box::new(Bytes(bytes.clone()))).unwrap();
    assert_eq!(dump.verify(true, &Progress::default()).unwrap().fault_count, 0);
    bytes.truncate(len - 1);
    let cut = Dump::of(Box::new(Bytes(bytes.clone()))).unwrap();
    assert_eq!(cut.verify(false, &Progress::default()).unwrap().fault_count, 1);
    bytes.push(0);
    // The first compressed page comes right after the zero page that others share.
    let header = dump.header().unwrap();
    let descriptors = (1 + header.sub_header_blocks + header.bitmap_blocks) as usize * 4096;
    bytes[descriptors + 16 * 24 + 4096..][..4].fill(0x5a);
    let verdict = Dump::of(Box::new(Bytes(bytes))).unwrap().verify(true, &Progress::default()).unwrap();
    assert_ne!(verdict.fault_count, 0);
}
