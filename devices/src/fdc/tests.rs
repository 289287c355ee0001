//! The floppy controller as its drivers see it: a 1.44 MB disk in A:, and an empty B:.

use super::*;
use crate::dma8237::Dma;
use crate::fixture::{Bench, FakeDrive};
use lockstep_fabric::BlockError;

const BYTES: u64 = 1_474_560;
const SECTOR: usize = 512;

const READ: u8 = 0xe6;
const WRITE: u8 = 0xc5;
const OK_RESULTS: usize = 7;

struct Floppy {
    bench: Bench,
    drives: [FakeDrive; 2],
}

fn with(bytes: Option<u64>) -> Floppy {
    // The bench has the subject, its probe, and then the DMA controller.
    let dma = DeviceId(2);
    let drives = [Some(DriveInfo::floppy(bytes)), Some(DriveInfo::floppy(None))];
    let mut bench = Bench::new(Fdc::new(FdcConfig { dma: Some(dma), drives }), &REGIONS);
    assert_eq!(bench.bus.add("dma", Box::new(Dma::new())), dma);
    for region in Dma::regions() {
        bench.bus.map(dma, region);
    }
    bench.add_ram();
    let mut floppy = Floppy { bench, drives: [FakeDrive::of(bytes.unwrap_or(0) as usize), FakeDrive::default()] };
    floppy.bench.outb(0x3f2, 0x1c);
    floppy.bench.advance(1_000_000);
    for _ in 0..4 {
        floppy.ask(&[0x08]);
    }
    floppy.ask(&[0x03, 0xaf, 0x02]);
    floppy
}

fn floppy() -> Floppy {
    with(Some(BYTES))
}

impl Floppy {
    /// Does a command: its results.
    fn ask(&mut self, command: &[u8]) -> Vec<u8> {
        self.send(command);
        self.results()
    }

    fn send(&mut self, command: &[u8]) {
        for byte in command {
            assert_eq!(self.bench.inb(0x3f4) & 0xc0, 0x80, "ready for the command");
            self.bench.outb(0x3f5, *byte);
        }
        self.bench.serve(&mut self.drives);
    }

    fn results(&mut self) -> Vec<u8> {
        let mut results = Vec::new();
        while self.bench.inb(0x3f4) & 0x50 == 0x50 {
            results.push(self.bench.inb(0x3f5));
        }
        results
    }

    /// Seeks, and senses the end of it.
    fn seek(&mut self, drive: u8, cylinder: u8) {
        self.send(&[0x0f, drive, cylinder]);
        self.bench.advance(100_000_000);
        assert!(self.bench.level(0));
        assert_eq!(self.ask(&[0x08]), [0x20 | drive, cylinder]);
    }

    /// Programs channel 2 for so many bytes at 4000h.
    fn channel(&mut self, mode: u8, len: usize) {
        let count = (len - 1) as u16;
        self.bench.outb(0x0c, 0);
        self.bench.outb(0x0b, 0x42 | mode);
        for (port, value) in [(0x04, 0x4000_u16), (0x05, count)] {
            value.to_le_bytes().iter().for_each(|byte| self.bench.outb(port, *byte));
        }
        self.bench.outb(0x81, 0);
        self.bench.outb(0x0a, 2);
    }

    fn memory(&self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.bench.bus.memory.read_bytes(0x4000, &mut bytes);
        bytes
    }

    fn sectors(&self, first: usize, count: usize) -> Vec<u8> {
        self.drives[0].bytes[first * SECTOR..][..count * SECTOR].to_vec()
    }
}

#[test]
fn after_a_reset_one_interrupt_tells_of_four_drives() {
    let mut f = floppy();
    f.bench.outb(0x3f2, 0x18);
    assert_eq!(f.bench.inb(0x3f4), 0, "held in reset");
    f.bench.outb(0x3f2, 0x1c);
    f.bench.advance(1_000_000);
    assert!(f.bench.level(0));
    for drive in 0..4 {
        assert_eq!(f.ask(&[0x08]), [0xc0 | drive, 0]);
        assert!(!f.bench.level(0));
    }
    assert_eq!(f.ask(&[0x08]), [0x80], "no more news");
    f.bench.outb(0x3f4, 0x80);
    f.bench.advance(1_000_000);
    assert_eq!(f.ask(&[0x08]), [0xc0, 0], "the data rate register's reset ends by itself");
}

#[test]
fn sectors_are_read_by_dma_up_to_the_terminal_count() {
    let mut f = floppy();
    f.channel(0x04, 3 * SECTOR);
    f.send(&[READ, 0, 0, 0, 4, 2, 18, 0x1b, 0xff]);
    assert!(f.bench.level(0));
    assert_eq!(f.results(), [0, 0, 0, 0, 0, 7, 2], "the next sector");
    assert!(!f.bench.level(0));
    assert_eq!(f.memory(3 * SECTOR), f.sectors(3, 3));
}

#[test]
fn a_transfer_goes_on_over_both_heads_to_the_next_cylinder() {
    let mut f = floppy();
    f.seek(0, 5);
    f.channel(0x04, 36 * SECTOR);
    assert_eq!(f.ask(&[READ, 0, 5, 0, 1, 2, 18, 0x1b, 0xff]), [0, 0, 0, 6, 0, 1, 2]);
    assert_eq!(f.memory(36 * SECTOR), f.sectors(5 * 36, 36));
    assert_eq!(f.drives[0].asked.len(), 1, "a whole cylinder is one request");
}

#[test]
fn a_transfer_that_nobody_ends_ends_at_the_last_sector_with_an_error() {
    let mut f = floppy();
    f.channel(0x04, 8 * SECTOR);
    assert_eq!(f.ask(&[0x46, 0, 0, 0, 17, 2, 18, 0x1b, 0xff])[..3], [0x40, 0x80, 0]);
    assert_eq!(f.memory(2 * SECTOR), f.sectors(16, 2));
    f.bench.outb(0x0a, 6);
    assert_eq!(f.ask(&[0x46, 0, 0, 0, 17, 2, 18, 0x1b, 0xff])[..3], [0x40, 0x10, 0], "a masked channel overruns");
}

#[test]
fn sectors_are_written_by_dma() {
    let mut f = floppy();
    let data: Vec<u8> = (0..1024).map(|i| (i % 249) as u8).collect();
    f.bench.bus.memory.write_bytes(0x4000, &data);
    f.seek(0, 1);
    f.channel(0x08, 1024);
    assert_eq!(f.ask(&[WRITE, 4, 1, 1, 2, 2, 18, 0x1b, 0xff]), [4, 0, 0, 1, 1, 4, 2]);
    assert_eq!(f.sectors(36 + 18 + 1, 2), data);
}

#[test]
fn without_dma_the_guest_moves_each_byte() {
    let mut f = floppy();
    f.ask(&[0x03, 0xaf, 0x03]);
    f.send(&[0x46, 0, 0, 0, 18, 2, 18, 0x1b, 0xff]);
    let mut bytes = Vec::new();
    while f.bench.inb(0x3f4) & 0x20 != 0 {
        assert_eq!(f.bench.inb(0x3f4) & 0xc0, 0xc0);
        bytes.push(f.bench.inb(0x3f5));
    }
    assert_eq!(bytes, f.sectors(17, 1));
    assert_eq!(f.results()[..3], [0x40, 0x80, 0], "no terminal count without DMA");
    f.send(&[0x45, 0, 0, 0, 3, 2, 3, 0x1b, 0xff]);
    (0..SECTOR).for_each(|i| f.bench.outb(0x3f5, i as u8));
    f.bench.serve(&mut f.drives);
    assert_eq!(f.results().len(), OK_RESULTS);
    assert_eq!(f.sectors(2, 1)[..4], [0, 1, 2, 3]);
}

#[test]
fn what_cannot_be_read_is_told_in_the_status_registers() {
    let mut f = floppy();
    f.channel(0x04, SECTOR);
    let read = |drive, c, h, r, n| [0x46, drive, c, h, r, n, 18, 0x1b, 0xff];
    assert_eq!(f.ask(&read(0, 1, 0, 1, 2))[..3], [0x40, 0x04, 0x10], "the head is on another cylinder");
    assert_eq!(f.ask(&read(0, 0, 0, 19, 2))[..3], [0x40, 0x04, 0], "no such sector");
    assert_eq!(f.ask(&read(0, 0, 0, 1, 3))[..3], [0x40, 0x04, 0], "no sectors of that size");
    assert_eq!(f.ask(&read(1, 0, 0, 1, 2))[..3], [0x41, 0x01, 0], "no disk");
    assert_eq!(f.ask(&read(2, 0, 0, 1, 2))[..3], [0x42, 0x01, 0], "no drive");
    f.drives[0].failing = Some(BlockError::Io);
    assert_eq!(f.ask(&read(0, 0, 0, 1, 2))[..3], [0x40, 0x20, 0x20]);
    f.bench.input(&Input::Medium { drive: 0, medium: Some(Medium { bytes: BYTES, read_only: true }) });
    f.channel(0x08, SECTOR);
    assert_eq!(f.ask(&[WRITE, 0, 0, 0, 1, 2, 18, 0x1b, 0xff])[..3], [0x40, 0x02, 0]);
    assert_eq!(f.ask(&[0x04, 0]), [0x78], "write protected, on track 0");
}

#[test]
fn a_changed_disk_is_told_until_the_head_steps() {
    let mut f = floppy();
    f.seek(0, 1);
    assert_eq!(f.bench.inb(0x3f7) & 0x80, 0);
    f.bench.input(&Input::Medium { drive: 0, medium: None });
    f.seek(0, 0);
    assert_eq!(f.bench.inb(0x3f7) & 0x80, 0x80, "no disk");
    f.bench.input(&Input::Medium { drive: 0, medium: Some(Medium { bytes: 737_280, read_only: false }) });
    assert_eq!(f.bench.inb(0x3f7) & 0x80, 0x80);
    f.seek(0, 1);
    assert_eq!(f.bench.inb(0x3f7) & 0x80, 0);
}

#[test]
fn sizes_tell_formats_and_drives() {
    let sectors = |bytes| Format::of(bytes).sectors;
    assert_eq!([737_280, 1_228_800, BYTES, 2_949_120, 1, u64::MAX].map(sectors), [9, 15, 18, 36, 8, 36]);
    let kind = |bytes| FloppyType::of(Some(Medium { bytes, read_only: false })) as u8;
    assert_eq!([368_640, 1_228_800, 737_280, BYTES, 2_949_120].map(kind), [1, 2, 4, 4, 5]);
    assert_eq!(FloppyType::of(None) as u8, 4);
    let mut f = with(Some(2_949_120));
    f.channel(0x04, SECTOR);
    f.ask(&[0x46, 0, 0, 0, 36, 2, 36, 0x1b, 0xff]);
    assert_eq!(f.memory(SECTOR), f.sectors(35, 1));
}

#[test]
fn ids_come_by_in_turn() {
    let mut f = floppy();
    let mut sector = || {
        f.send(&[0x4a, 4]);
        f.bench.advance(1_000_000);
        assert!(f.bench.level(0));
        f.results()
    };
    assert_eq!(sector(), [4, 0, 0, 0, 1, 1, 2]);
    assert_eq!(sector(), [4, 0, 0, 0, 1, 2, 2]);
}

#[test]
fn a_track_is_formatted_with_the_filler() {
    let mut f = floppy();
    let ids: Vec<u8> = (1..=18).flat_map(|r| [0, 1, r, 2]).collect();
    f.bench.bus.memory.write_bytes(0x4000, &ids);
    f.channel(0x08, ids.len());
    assert_eq!(f.ask(&[0x4d, 4, 2, 18, 0x54, 0xf6])[..3], [4, 0, 0]);
    assert_eq!(f.sectors(18, 18), vec![0xf6; 18 * SECTOR]);
    assert_ne!(f.sectors(17, 1), vec![0xf6; SECTOR]);
}

#[test]
fn settings_are_kept_by_a_lock_and_told_by_dumpreg() {
    let mut f = floppy();
    assert_eq!(f.ask(&[0x10]), [0x90]);
    f.ask(&[0x13, 0, 0x57, 0x11]);
    assert_eq!(f.ask(&[0x94]), [0x10]);
    f.ask(&[0x12, 0x84]);
    f.seek(0, 3);
    assert_eq!(f.ask(&[0x0e]), [3, 0, 0, 0, 0xaf, 0x02, 0, 0x84, 0x57, 0x11]);
    f.bench.outb(0x3f4, 0x80);
    f.bench.advance(1_000_000);
    assert_eq!(f.ask(&[0x0e])[8..], [0x57, 0x11]);
    assert_eq!(f.ask(&[0x14]), [0]);
    assert_eq!(f.ask(&[0x33]), [0x80], "an option command is not known");
}

#[test]
fn two_seeks_at_once_interrupt_twice() {
    let mut f = floppy();
    f.send(&[0x0f, 0, 10]);
    f.send(&[0x0f, 1, 10]);
    f.bench.advance(100_000_000);
    assert_eq!(f.bench.inb(0x3f4) & 3, 3);
    f.bench.edges();
    assert_eq!(f.ask(&[0x08]), [0x20, 10]);
    let levels: Vec<_> = f.bench.edges().iter().map(|e| e.level).collect();
    assert_eq!(levels, [false, true]);
    assert_eq!(f.ask(&[0x08]), [0x21, 10]);
    assert_eq!(f.bench.inb(0x3f4) & 3, 0);
}

#[test]
fn a_reset_abandons_a_read_and_a_state_saved_during_one_goes_on() {
    let mut f = floppy();
    f.channel(0x04, SECTOR);
    for byte in [0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff] {
        f.bench.outb(0x3f5, byte);
    }
    let completions = f.bench.completions(&mut f.drives);
    let saved = f.bench.bus.save().expect("a state");
    let mut other = floppy();
    other.bench.bus.load(&saved).expect("the same devices");
    completions.iter().for_each(|completion| other.bench.input(completion));
    assert_eq!(other.results(), [0, 0, 0, 0, 0, 2, 2]);
    assert_eq!(other.memory(SECTOR), other.sectors(0, 1));
    f.bench.outb(0x3f4, 0x80);
    completions.iter().for_each(|completion| f.bench.input(completion));
    assert_eq!((f.results().len(), f.memory(SECTOR)), (0, vec![0; SECTOR]));
}
