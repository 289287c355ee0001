//! Dumps of a guest that runs on and stores all over its memory.

use super::*;
use crate::bare_guest::BareGuest;
use crate::board::Board;
use crate::digest::{Digest, Digester};
use lockstep_devices::vmcoreinfo::FILE;
use lockstep_dump::codec::Codec;
use lockstep_dump::read::Dump;
use lockstep_dump::{Format, Range};
use lockstep_fabric::memory::PAGE_SIZE;
use lockstep_fabric::{Input, Tick};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

/// Fills 64 KiB at 10000h, 20000h and so on up to 80000h with a number, and again with the next one:
/// `again: inc bp; mov ax, 1000h; mov es, ax; segment: xor di, di; mov cx, 8000h; mov ax, bp; rep stosw; mov ax, es;
/// add ax, 1000h; mov es, ax; cmp ax, 9000h; jb segment; jmp again`.
const FILLER: [u8; 29] = [
    0x45, 0xb8, 0x00, 0x10, 0x8e, 0xc0, 0x31, 0xff, 0xb9, 0x00, 0x80, 0x89, 0xe8, 0xf3, 0xab, 0x8c, 0xc0, 0x05, 0x00,
    0x10, 0x8e, 0xc0, 0x3d, 0x00, 0x90, 0x72, 0xeb, 0xeb, 0xe3,
];
/// When dumps begin: the filler is in its second round.
const BEGIN: Tick = 300_000;
const SLICE: Tick = 1_000;

fn filling(name: &str, more: &str) -> (BareGuest, Board) {
    let guest = BareGuest::new(name);
    guest.program(&FILLER);
    let board = guest.board(&guest.config(more));
    (guest, board)
}

fn begin(board: &mut Board, options: &Options, target: Target) -> Result<LiveDump, DumpError> {
    LiveDump::begin(&mut board.machine, options, target, Arc::default(), None)
}

/// Runs the guest until its dump has ended.
fn run_through(board: &mut Board, mut live: LiveDump) -> Result<Summary, DumpError> {
    loop {
        let until = board.machine.now() + SLICE;
        board.machine.run_through(until);
        if let Some(ended) = live.serve(&mut board.machine.bus.memory) {
            return ended;
        }
    }
}

/// All that a dump can hold, as the guest has it now.
fn present(board: &Board) -> Vec<(Range, Vec<u8>)> {
    let memory = StoppedMemory::of(&board.machine.bus.memory);
    let ranges = lockstep_dump::PhysicalMemory::ranges(&memory).into_iter();
    let read = |range: Range| {
        let mut bytes = vec![0; range.len as usize];
        board.machine.bus.memory.read_bytes(range.start, &mut bytes);
        (range, bytes)
    };
    ranges.map(read).collect()
}

fn assert_holds(path: &Path, expected: &[(Range, Vec<u8>)], name: &str) {
    let dump = Dump::open(path).expect("a dump");
    for (range, bytes) in expected {
        if !dump.pages().iter().any(|held| held.holds(range.start)) {
            assert!(dump.header().is_some() && range.start >= 1 << 20, "{name}: only kdump leaves out the ROM");
            continue;
        }
        for (at, page) in (range.start..).step_by(PAGE_SIZE as usize).zip(bytes.chunks(PAGE_SIZE as usize)) {
            let mut held = vec![0; page.len()];
            assert!(dump.read_physical(at, &mut held), "{name}: {at:#x} cannot be read");
            assert!(held == page, "{name}: the page at {at:#x} differs");
        }
    }
}

fn digest(board: &mut Board) -> Digest {
    Digester::default().digest(&mut board.machine).expect("a digest")
}

#[test]
fn the_dump_is_of_the_tick_of_the_command_and_the_run_is_as_without_it() {
    for format in [Format::Elf, Format::Kdump { codec: Codec::Zlib, raw: false }] {
        let (guest, mut board) = filling(&format!("live-{}", format.name()), "");
        board.machine.run_through(BEGIN);
        let expected = present(&board);
        let path = guest.folder.join("dump");
        let options = Options { format, paging: false, only: None };
        let live = begin(&mut board, &options, Target::create(&path).expect("a file")).expect("a dump");
        // A round of the filler before the first page is handed out.
        board.machine.run_through(BEGIN + 300_000);
        assert_eq!(board.machine.bus.memory.kept_pages(), 8 * 16, "the guest has run over all of it");
        assert_ne!(present(&board), expected);
        let summary = run_through(&mut board, live).expect("written");
        assert_holds(&path, &expected, format.name());
        assert_eq!(summary.file, path.metadata().expect("a file").len());
        assert_eq!((board.machine.bus.memory.holds(), board.machine.bus.memory.kept_pages()), (false, 0));

        let end = board.machine.now().next_multiple_of(1 << 20);
        board.machine.run_through(end);
        let (_folder, mut twin) = filling("live-twin", "");
        twin.machine.run_through(end);
        assert_eq!(digest(&mut board), digest(&mut twin), "{}", format.name());
    }
}

#[test]
fn what_the_guest_overwrites_while_it_is_looked_for_is_found_as_it_was() {
    let (guest, mut board) = filling("live-search", "-m 16M");
    let text = "OSRELEASE=then\n";
    let mut note: Vec<u8> = [11, text.len() as u32, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
    note.extend(b"VMCOREINFO\0\0");
    note.extend(text.as_bytes());
    // At the beginning of a page, and, where only a look at all of memory finds it, in the middle of one.
    for at in [0x80_0000, 0x80_0040] {
        board.machine.bus.memory.write_bytes(at, &note);
        let expected = present(&board);
        let path = guest.folder.join("dump");
        let options = Options { format: Format::Kdump { codec: Codec::Snappy, raw: true }, paging: false, only: None };
        let live = begin(&mut board, &options, Target::create(&path).expect("a file")).expect("a dump");
        board.machine.bus.memory.write_bytes(at, &[0; 64]);
        board.machine.bus.memory.write_bytes(0xfff0_0000, &[1; 64]);
        run_through(&mut board, live).expect("written");
        assert_eq!(Dump::open(&path).expect("a dump").vmcoreinfo(), Some(text), "{at:#x}");
        assert_holds(&path, &expected, "searched");
    }
}

#[test]
fn a_part_of_memory_that_begins_anywhere_is_exact_too() {
    let (guest, mut board) = filling("live-part", "");
    board.machine.run_through(BEGIN);
    let only = Range { start: 0x1_2345, len: 0x6_5432 };
    let mut expected = vec![0; only.len as usize];
    board.machine.bus.memory.read_bytes(only.start, &mut expected);
    let path = guest.folder.join("dump");
    let options = Options { format: Format::Elf, paging: false, only: Some(only) };
    let live = begin(&mut board, &options, Target::create(&path).expect("a file")).expect("a dump");
    run_through(&mut board, live).expect("written");
    let mut held = vec![0; expected.len()];
    assert!(Dump::open(&path).expect("a dump").read_physical(only.start, &mut held));
    assert!(held == expected);
}

#[test]
fn a_guest_that_stores_faster_than_is_written_waits() {
    let (guest, mut board) = filling("live-waits", "-m 64M");
    let path = guest.folder.join("dump");
    let options = Options { format: Format::Kdump { codec: Codec::Zlib, raw: true }, paging: false, only: None };
    let mut live = begin(&mut board, &options, Target::create(&path).expect("a file")).expect("a dump");
    let memory = &mut board.machine.bus.memory;
    assert_eq!(LiveDump::slice(memory, 1 << 15), 2048, "a bound on pages is a bound on ticks");
    // From the top, where the dump comes last.
    for page in (0x100..0x3000).rev().map(|page| page * PAGE_SIZE).take(4096) {
        memory.write_bytes(page, &[1]);
    }
    assert_eq!((memory.kept_pages(), LiveDump::slice(memory, 1 << 15)), (4096, 64));
    let mut waited = 0;
    let ended = loop {
        if let Some(ended) = live.serve(memory) {
            break ended;
        }
        waited += usize::from(live.is_waited_for());
        assert!(live.is_waited_for() || memory.kept_pages() <= 2048);
    };
    ended.expect("written");
    assert!(waited > 0 && !memory.holds());
    let mut page = [1; 1];
    assert!(Dump::open(&path).expect("a dump").read_physical(0x2fff << 12, &mut page));
    assert_eq!(page, [0]);
    assert_eq!(LiveDump::slice(memory, 1 << 15), 1 << 15);
}

#[test]
fn what_is_given_up_leaves_nothing_and_the_guest_goes_on() {
    let (guest, mut board) = filling("live-given-up", "");
    let options = Options { format: Format::Elf, paging: false, only: None };
    let folder = guest.folder.join("dumps");
    std::fs::create_dir(&folder).expect("a folder");
    let target = Target::create(&folder.join("dump")).expect("a file");
    let mut live = begin(&mut board, &options, target).expect("a dump");
    assert!(live.serve(&mut board.machine.bus.memory).is_none_or(|ended| ended.is_ok()));
    live.cancel(&mut board.machine.bus.memory);
    assert!(!board.machine.bus.memory.holds());

    // A reader that takes its time, and one that leaves.
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let mut live = begin(&mut board, &options, Target::descriptor(ours.into()).expect("a socket")).expect("a dump");
    theirs.set_nonblocking(true).expect("a socket");
    let mut magic = [0; 4];
    while theirs.read(&mut magic).is_err() {
        assert!(live.serve(&mut board.machine.bus.memory).is_none(), "it has not even begun");
        std::thread::yield_now();
    }
    assert_eq!(&magic, b"\x7fELF");
    for _ in 0..100 {
        assert!(live.serve(&mut board.machine.bus.memory).is_none(), "nobody reads");
        board.machine.run_through(board.machine.now() + SLICE);
    }
    drop(theirs);
    assert!(matches!(run_through(&mut board, live), Err(DumpError::Io { .. })));
    assert!(!board.machine.bus.memory.holds());

    let kdump = Options { format: Format::Kdump { codec: Codec::Lzo, raw: true }, ..options };
    let (ours, _theirs) = UnixStream::pair().expect("a pair");
    let refused = begin(&mut board, &kdump, Target::descriptor(ours.into()).expect("a socket"));
    assert!(matches!(refused, Err(DumpError::NotSeekable)));
    assert!(!board.machine.bus.memory.holds());
    let end = board.machine.now().next_multiple_of(1 << 20);
    board.machine.run_through(end);
    let (_folder, mut twin) = filling("live-undisturbed", "");
    twin.machine.run_through(end);
    assert_eq!(digest(&mut board), digest(&mut twin));
}

#[test]
fn the_note_that_the_guest_registered_comes_before_any_that_is_found() {
    let (guest, mut board) = filling("registered-note", "-device vmcoreinfo,id=info");
    let note = |release: &str| {
        let text = format!("OSRELEASE={release}\n");
        let mut note = Vec::new();
        [11, text.len() as u32, 0].iter().for_each(|word| note.extend(word.to_le_bytes()));
        note.extend(b"VMCOREINFO\0\0");
        note.extend(text.as_bytes());
        note
    };
    board.machine.bus.memory.write_bytes(0x1000, &note("found"));
    board.machine.bus.memory.write_bytes(0x2345, &note("registered"));
    let path = guest.folder.join("dump");
    let options = Options { format: Format::Elf, paging: false, only: None };
    let dumped = |board: &mut Board| {
        let target = Target::create(&path).expect("a file");
        dump(&board.machine, &options, target, &Progress::default()).expect("a dump");
        Dump::open(&path).expect("a dump").vmcoreinfo().expect("a note").to_owned()
    };
    assert_eq!(dumped(&mut board), "OSRELEASE=found\n");
    let device = board.machine.bus.find("info").expect("a device");
    let register = |board: &mut Board, format: u16, len: u32, address: u64| {
        let mut bytes = vec![1, 0];
        bytes.extend(format.to_le_bytes());
        bytes.extend(len.to_le_bytes());
        bytes.extend(address.to_le_bytes());
        board.machine.bus.input(device, &Input::File { name: FILE.into(), bytes });
    };
    register(&mut board, 1, note("registered").len() as u32, 0x2345);
    assert_eq!(dumped(&mut board), "OSRELEASE=registered\n");
    for (format, len, address) in [(2, 64, 0x2345), (1, u32::MAX, 0x2345), (1, 64, u64::MAX - 3), (1, 3, 0x2345)] {
        register(&mut board, format, len, address);
        assert_eq!(dumped(&mut board), "OSRELEASE=found\n", "what makes no sense is not believed");
    }
}
