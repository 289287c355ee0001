//! Any file gets an answer: whole dumps of every format, broken where it hurts. What is broken follows from a case's number
//! alone, so that a case that fails can be run again (`LOCKSTEP_FUZZ_CASE`). A test binary of its own, since it looks at how much
//! memory its process takes.

use lockstep_dump::codec::Codec;
use lockstep_dump::read::{Bytes, Dump, report};
use lockstep_dump::{
    Format, Guest, Options, PAGE_SIZE, PhysicalMemory, Processors, Progress, Range, Registers, Target, write,
};
use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Cases in the normal run, and with LOCKSTEP_LONG.
const CASES: u64 = 20_000;
const CASES_LONG: u64 = 1_000_000;
/// How long a case may take on a busy host.
const LIMIT: Duration = Duration::from_secs(120);
/// What reading files of less than 200 KB may take: notes are read up to 64 MiB, and holes of a flattened file are free.
const MOST_MEMORY_MIB: u64 = 320;

struct Memory(Vec<u8>);

/// Two ranges with a hole.
const LOW: u64 = 0x6000;
const HIGH: Range = Range { start: 0x10_0000, len: 0x4000 };

impl PhysicalMemory for Memory {
    fn ranges(&self) -> Vec<Range> {
        vec![Range { start: 0, len: LOW }, HIGH]
    }

    fn read(&self, address: u64, len: usize) -> Cow<'_, [u8]> {
        let at = if address >= HIGH.start { address - HIGH.start + LOW } else { address } as usize;
        self.0.get(at..at + len).unwrap_or_default().into()
    }
}

struct Two;

impl Processors for Two {
    fn registers(&self) -> Vec<Registers> {
        let one = Registers { efer: 1 << 8 | 1 << 10, cr: [1 << 31 | 1, 0, 0, 0x3000, 1 << 5], ..Registers::default() };
        vec![one.clone(), one]
    }
}

/// Random numbers that follow from a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        all.get(self.below(all.len())).copied()
    }
}

/// A number in a file.
#[derive(Clone, Copy)]
struct Field {
    at: usize,
    width: usize,
    /// As the flattened layout has its numbers.
    big_endian: bool,
}

fn little(at: usize, width: usize) -> Field {
    Field { at, width, big_endian: false }
}

impl Field {
    fn get(self, bytes: &[u8]) -> u64 {
        let Some(held) = bytes.get(self.at..self.at + self.width) else { return 0 };
        let digit = |value, byte: &u8| value << 8 | u64::from(*byte);
        if self.big_endian { held.iter().fold(0, digit) } else { held.iter().rev().fold(0, digit) }
    }

    fn set(self, bytes: &mut [u8], value: u64) {
        let Some(into) = bytes.get_mut(self.at..self.at + self.width) else { return };
        let digits = value.to_le_bytes();
        for (index, byte) in into.iter_mut().enumerate() {
            *byte = digits[if self.big_endian { self.width - 1 - index } else { index }];
        }
    }
}

/// A whole dump, and where its numbers are.
struct Whole {
    bytes: Vec<u8>,
    fields: Vec<Field>,
    flattened: bool,
}

fn wholes() -> Vec<Whole> {
    let mut memory = Memory(vec![0; (LOW + HIGH.len) as usize]);
    let text = b"some text, some text, some text, some text; ".repeat(60);
    for page in [1, 2, 7] {
        memory.0[page * 0x1000..][..text.len()].copy_from_slice(&text);
    }
    let mut noise = Dice(1);
    memory.0[0x6000..0x7000].fill_with(|| noise.next() as u8);
    // A table whose first entry maps the lowest 2 MiB, through two others.
    for (at, entry) in [(0x3000, 0x4001u64), (0x4000, 0x5001), (0x5000, 0x81)] {
        memory.0[at..at + 8].copy_from_slice(&entry.to_le_bytes());
    }
    let note = b"OSRELEASE=6.1.0\nPAGESIZE=4096\nKERNELOFFSET=0\n";
    let mut vmcoreinfo = [11, note.len() as u32, 0].map(u32::to_le_bytes).concat();
    vmcoreinfo.extend_from_slice(b"VMCOREINFO\0\0");
    vmcoreinfo.extend_from_slice(note);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump");
    let guest = Guest { memory: &memory, processors: &Two, vmcoreinfo: Some(&vmcoreinfo) };
    let mut wholes = Vec::new();
    for (format, paging) in Format::ALL.into_iter().map(|f| (f, false)).chain([(Format::Elf, true)]) {
        let options = Options { format, paging, only: None };
        write(&guest, &options, Target::create(&path).unwrap(), &Progress::default()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let raw = match format {
            Format::Kdump { codec, raw: false } => {
                let options = Options { format: Format::Kdump { codec, raw: true }, ..options };
                write(&guest, &options, Target::create(&path).unwrap(), &Progress::default()).unwrap();
                std::fs::read(&path).unwrap()
            }
            _ => bytes.clone(),
        };
        let flattened = matches!(format, Format::Kdump { raw: false, .. });
        let fields = if format == Format::Elf { elf_fields(&raw) } else { kdump_fields(&raw) };
        wholes.push(Whole { bytes: if flattened { raw } else { bytes }, fields, flattened });
    }
    wholes
}

fn note_fields(bytes: &[u8], mut at: usize, end: usize, fields: &mut Vec<Field>) {
    while at + 12 <= end {
        fields.extend([0, 4, 8].map(|field| little(at + field, 4)));
        let len = |field| little(at + field, 4).get(bytes) as usize;
        at += 12 + len(0).next_multiple_of(4) + len(4).next_multiple_of(4);
    }
}

fn elf_fields(bytes: &[u8]) -> Vec<Field> {
    let mut fields = vec![little(4, 1), little(5, 1), little(16, 2), little(18, 2), little(32, 8), little(40, 8)];
    fields.extend([52, 54, 56, 58, 60, 62].map(|at| little(at, 2)));
    let count = little(56, 2).get(bytes) as usize;
    for header in (64..).step_by(56).take(count) {
        fields.extend([0, 4].map(|field| little(header + field, 4)));
        fields.extend([8, 16, 24, 32, 40, 48].map(|field| little(header + field, 8)));
        if little(header, 4).get(bytes) == 4 {
            let (at, len) = (little(header + 8, 8).get(bytes), little(header + 32, 8).get(bytes));
            note_fields(bytes, at as usize, (at + len) as usize, &mut fields);
        }
    }
    fields
}

fn kdump_fields(bytes: &[u8]) -> Vec<Field> {
    let mut fields = vec![little(8, 4)];
    fields.extend((424..464).step_by(4).map(|at| little(at, 4)));
    let sub = 4096;
    fields.extend([8, 12].map(|at| little(sub + at, 4)));
    fields.extend([0, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96].map(|at| little(sub + at, 8)));
    let (notes, len) = (little(sub + 48, 8).get(bytes) as usize, little(sub + 56, 8).get(bytes) as usize);
    note_fields(bytes, notes, notes + len, &mut fields);
    let (blocks, bitmaps) = (little(432, 4).get(bytes) as usize, little(436, 4).get(bytes) as usize);
    // The bitmaps' first words, which say what pages there are.
    fields.extend([0, 32].map(|at| little((1 + blocks) * 4096 + at, 8)));
    fields.extend([0, 32].map(|at| little((1 + blocks + bitmaps / 2) * 4096 + at, 8)));
    let descriptors = (1 + blocks + bitmaps) * 4096;
    for at in (descriptors..).step_by(24).take(((LOW + HIGH.len) / PAGE_SIZE) as usize) {
        fields.extend([little(at, 8), little(at + 8, 4), little(at + 12, 4), little(at + 16, 8)]);
    }
    fields
}

/// A number that is likely to be taken wrongly.
fn awkward(dice: &mut Dice, held: u64, len: usize) -> u64 {
    let near = dice.next() % 9;
    let base = match dice.below(12) {
        0 => 0,
        1 => u64::MAX,
        2 => i64::MAX as u64,
        3 => u64::from(u32::MAX),
        4 => 1 << dice.below(64),
        5 => len as u64,
        6 => (len as u64).wrapping_sub(held),
        7 => held.wrapping_mul(2),
        8 => dice.next() >> dice.below(64),
        9 => 64 << 20,
        _ => held,
    };
    base.wrapping_add(near).wrapping_sub(4)
}

/// Breaks one thing.
fn damage(dice: &mut Dice, bytes: &mut Vec<u8>, fields: &[Field]) {
    let Some(field) = dice.of(fields) else { return };
    match dice.below(10) {
        0 => {
            // A place that another number names, or one of its neighbours.
            let other = dice.of(fields).map_or(0, |other| other.get(bytes));
            field.set(bytes, other.wrapping_add(dice.next() % 3));
        }
        1 => {
            let at = dice.below(bytes.len());
            bytes[at..].iter_mut().take(16).for_each(|byte| *byte ^= dice.next() as u8);
        }
        2 => bytes.truncate(field.at + dice.below(field.width + 2)),
        3 => {
            let keep = bytes.len() - dice.below(bytes.len() / 8);
            bytes.truncate(keep);
        }
        4 => {
            let value = dice.of(&[0, 0xff, 0x80]).unwrap_or(0);
            let at = dice.below(bytes.len());
            bytes[at..].iter_mut().take(1 << dice.below(14)).for_each(|byte| *byte = value);
        }
        _ => {
            let value = awkward(dice, field.get(bytes), bytes.len());
            field.set(bytes, value);
        }
    }
    if bytes.is_empty() {
        bytes.push(0);
    }
}

/// The file in segments of the flattened layout, and where their numbers are.
fn flattened(dice: &mut Dice, file: &[u8]) -> (Vec<u8>, Vec<Field>) {
    let mut stream = vec![0; 4096];
    stream[..12].copy_from_slice(b"makedumpfile");
    (stream[23], stream[31]) = (1, 1);
    let number = |at| Field { at, width: 8, big_endian: true };
    let mut fields = vec![number(16), number(24)];
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < file.len() {
        let most = 1 << (4 + dice.below(14));
        let len = (1 + dice.below(most)).min(file.len() - at);
        pieces.push((at, len));
        at += len;
    }
    if dice.one_in(3) {
        let (one, other) = (dice.below(pieces.len()), dice.below(pieces.len()));
        pieces.swap(one, other);
    }
    for (at, len) in pieces {
        fields.extend([number(stream.len()), number(stream.len() + 8)]);
        stream.extend((at as u64).to_be_bytes());
        stream.extend((len as u64).to_be_bytes());
        stream.extend(&file[at..at + len]);
    }
    fields.extend([number(stream.len()), number(stream.len() + 8)]);
    stream.extend([0xff; 16]);
    (stream, fields)
}

fn broken(case: u64, wholes: &[Whole]) -> Vec<u8> {
    let mut dice = Dice(case);
    let whole = &wholes[dice.below(wholes.len())];
    let mut bytes = whole.bytes.clone();
    // What is broken inside of a flattened file shows only if the segments are whole, and the other way round.
    let outside = whole.flattened && dice.one_in(2);
    if !outside {
        for _ in 0..=dice.below(4) {
            damage(&mut dice, &mut bytes, &whole.fields);
        }
    }
    if whole.flattened {
        let (stream, fields) = flattened(&mut dice, &bytes);
        bytes = stream;
        for _ in 0..if outside { 1 + dice.below(3) } else { 0 } {
            damage(&mut dice, &mut bytes, &fields);
        }
    }
    bytes
}

/// Asks for everything that can be asked for.
fn ask(bytes: Vec<u8>) {
    let Ok(dump) = Dump::of(Box::new(Bytes(bytes))) else { return };
    for thorough in [false, true] {
        let verdict = dump.verify(thorough, &Progress::default()).unwrap();
        assert!(report(&dump, &verdict).len() < 1 << 20, "a report is for people");
    }
    for range in dump.pages().into_iter().take(20) {
        let mut some = vec![0; range.len.min(0x3000) as usize];
        dump.read_physical(range.start, &mut some);
        dump.read_physical(range.end().wrapping_sub(3), &mut [0; 8]);
    }
    dump.read_physical(u64::MAX - 3, &mut [0; 8]);
    dump.registers();
}

/// Peak of the process's memory in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap() / 1024
}

#[test]
fn whole_dumps_are_whole_before_they_are_broken() {
    let wholes = wholes();
    assert_eq!(wholes.len(), 2 + 2 * Codec::ALL.len());
    for whole in &wholes {
        let bytes = if whole.flattened { flattened(&mut Dice(5), &whole.bytes).0 } else { whole.bytes.clone() };
        assert!(bytes.len() < 200_000);
        let dump = Dump::of(Box::new(Bytes(bytes))).unwrap();
        assert_eq!(dump.verify(true, &Progress::default()).unwrap().faults, [""; 0]);
        assert_eq!(dump.registers().len(), 2);
        assert!(dump.vmcoreinfo().is_some());
        for field in &whole.fields {
            assert!(field.at + field.width <= whole.bytes.len());
        }
    }
}

#[test]
fn broken_dumps_of_every_format_get_an_answer() {
    let wholes = wholes();
    if let Some(case) = std::env::var("LOCKSTEP_FUZZ_CASE").ok().and_then(|case| case.parse().ok()) {
        return ask(broken(case, &wholes));
    }
    let cases = if std::env::var_os("LOCKSTEP_LONG").is_some() { CASES_LONG } else { CASES };
    let before = peak();
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let case = next.fetch_add(1, Ordering::Relaxed);
                    if case >= cases {
                        return;
                    }
                    let _told = Told(case);
                    let begun = Instant::now();
                    ask(broken(case, &wholes));
                    assert!(begun.elapsed() < LIMIT, "it took {:?}", begun.elapsed());
                }
            });
        }
    });
    let taken = peak() - before;
    assert!(taken < MOST_MEMORY_MIB, "{taken} MiB were taken");
}

/// Says which case it was that failed.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("LOCKSTEP_FUZZ_CASE={}", self.0);
        }
    }
}
