//! The IDE function as its drivers see it: a disk and a CD drive on the primary channel.

mod cd;
mod disk;
mod dma;
mod storm;

use super::registers::Status;
use super::{PLACE, Piix3Ide, Piix3IdeConfig, REGIONS};
use crate::drive::DriveInfo;
use crate::fixture::{Bench, FakeDrive};
use lockstep_fabric::{Input, Medium, Width};

const DISK_SECTORS: u64 = 20 * 16 * 63;
const CD_BLOCKS: u64 = 600;

const DATA: u16 = 0x1f0;
const COMMAND: u16 = 0x1f7;
const CONTROL: u16 = 0x3f6;
const BUS_MASTER: u16 = 0xc000;
/// The table of physical regions in the bench's memory.
const TABLE: u64 = 0x1000;

const DISK: u8 = 0xe0;
const CD: u8 = 0xf0;

struct Ide {
    bench: Bench,
    drives: [FakeDrive; 2],
}

fn config() -> Piix3IdeConfig {
    let disk = DriveInfo::disk(DISK_SECTORS * 512).with_serial("A-1");
    let cd = DriveInfo::cd(Some(CD_BLOCKS * 2048));
    Piix3IdeConfig { preset: false, drives: [Some(disk), Some(cd), None, None] }
}

fn ide() -> Ide {
    with(config())
}

fn with(config: Piix3IdeConfig) -> Ide {
    let mut bench = Bench::new(Piix3Ide::new(config), &REGIONS);
    bench.add_ram();
    bench.config_write(0x20, Width::Dword, BUS_MASTER.into());
    bench.config_write(0x04, Width::Word, 5);
    let drives = [FakeDrive::of(DISK_SECTORS as usize * 512), FakeDrive::of(CD_BLOCKS as usize * 2048)];
    Ide { bench, drives }
}

impl Ide {
    /// Features, count and LBA of 28 bits, then a command.
    fn command(&mut self, device: u8, features: u8, count: u8, lba: u32, command: u8) {
        let [low, mid, high, top] = lba.to_le_bytes();
        self.bench.outb(0x1f6, device | top);
        for (register, value) in (0x1f1..).zip([features, count, low, mid, high]) {
            self.bench.outb(register, value);
        }
        self.bench.outb(COMMAND, command);
    }

    /// Count and LBA of 48 bits, then a command.
    fn extended(&mut self, device: u8, count: u16, lba: u64, command: u8) {
        self.bench.outb(0x1f6, device);
        let [b0, b1, b2, b3, b4, b5, ..] = lba.to_le_bytes();
        let [c0, c1] = count.to_le_bytes();
        for (register, value) in [(2, c1), (3, b3), (4, b4), (5, b5), (2, c0), (3, b0), (4, b1), (5, b2)] {
            self.bench.outb(0x1f0 + register, value);
        }
        self.bench.outb(COMMAND, command);
    }

    fn packet(&mut self, dma: bool, limit: u16, packet: &[u8]) {
        self.command(CD, dma.into(), 0, u32::from(limit) << 8, 0xa0);
        let mut bytes = packet.to_vec();
        bytes.resize(12, 0);
        self.give(&bytes);
        self.serve();
    }

    fn serve(&mut self) {
        self.bench.serve(&mut self.drives);
    }

    fn alternate(&mut self) -> Status {
        Status::from_bits_retain(self.bench.inb(CONTROL))
    }

    /// Whether the line is up; and then takes the interrupt back by reading the status.
    fn interrupted(&mut self) -> bool {
        let level = self.bench.level(0);
        self.bench.inb(COMMAND);
        level
    }

    fn take(&mut self, bytes: usize) -> Vec<u8> {
        (0..bytes / 2).flat_map(|_| self.bench.inw(DATA).to_le_bytes()).collect()
    }

    fn give(&mut self, bytes: &[u8]) {
        bytes.chunks(2).for_each(|pair| self.bench.outw(DATA, u16::from_le_bytes([pair[0], pair[1]])));
    }

    /// The data of a packet command by the data register, with the lengths of their blocks.
    fn packet_data(&mut self) -> (Vec<u8>, Vec<usize>) {
        let (mut data, mut blocks) = (Vec::new(), Vec::new());
        while self.alternate().contains(Status::DRQ) {
            assert!(self.interrupted(), "each block is announced");
            assert_eq!(self.bench.inb(0x1f2) & 3, 2, "data for the host");
            let len = usize::from(self.bench.inb(0x1f4)) | usize::from(self.bench.inb(0x1f5)) << 8;
            data.extend(self.take(len));
            blocks.push(len);
            self.serve();
        }
        (data, blocks)
    }

    /// Does a packet command by the data register: its data, or the sense key, code and qualifier.
    fn asked(&mut self, packet: &[u8]) -> Result<Vec<u8>, [u8; 3]> {
        self.packet(false, 0xfffe, packet);
        let (data, _) = self.packet_data();
        assert!(self.interrupted(), "the end is announced");
        assert_eq!(self.bench.inb(0x1f2) & 3, 3, "the status, for the host");
        if !self.alternate().contains(Status::ERR) {
            return Ok(data);
        }
        let key = self.bench.inb(0x1f1) >> 4;
        self.packet(false, 0xfffe, &[0x03, 0, 0, 0, 18]);
        let (sense, _) = self.packet_data();
        assert_eq!(sense[2], key);
        self.interrupted();
        Err([key, sense[12], sense[13]])
    }

    /// Lays a table of physical regions and points the primary bus master to it.
    fn regions(&mut self, regions: &[(u32, u16)]) {
        for (i, (address, count)) in regions.iter().enumerate() {
            let last = u64::from(i + 1 == regions.len()) << 63;
            let entry = u64::from(*address) | u64::from(*count) << 32 | last;
            self.bench.bus.memory.write_bytes(TABLE + 8 * i as u64, &entry.to_le_bytes());
        }
        self.bench.outl(BUS_MASTER + 4, TABLE as u32);
    }

    fn start_master(&mut self, to_memory: bool) {
        self.bench.outb(BUS_MASTER + 2, 0x06);
        self.bench.outb(BUS_MASTER, u8::from(to_memory) << 3 | 1);
    }

    fn memory(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.bench.bus.memory.read_bytes(at, &mut bytes);
        bytes
    }
}

#[test]
fn after_a_reset_each_device_shows_what_it_is_and_an_absent_one_nothing() {
    let mut ide = ide();
    for _ in 0..2 {
        for (device, status, signature) in [(DISK, 0x50, [1, 1, 0, 0]), (CD, 0x00, [1, 1, 0x14, 0xeb])] {
            ide.bench.outb(0x1f6, device);
            assert_eq!(ide.bench.inb(COMMAND), status);
            assert_eq!([2, 3, 4, 5].map(|r| ide.bench.inb(0x1f0 + r)), signature);
            assert_eq!(ide.bench.inb(0x1f1), 1, "the diagnostic passed");
        }
        assert_eq!((ide.bench.inb(0x177), ide.bench.inb(0x376)), (0, 0));
        ide.bench.outb(CONTROL, 4);
        assert_eq!(ide.alternate(), Status::BSY);
        ide.bench.outb(CONTROL, 0);
    }
}

#[test]
fn diagnostics_are_done_by_both_devices_and_told_by_the_first() {
    let mut ide = ide();
    ide.command(CD, 0, 7, 0x123456, 0x90);
    assert!(ide.interrupted());
    assert_eq!(ide.bench.inb(0x1f6) & 0x10, 0, "device 0 is selected");
    assert_eq!([1, 4, 5].map(|r| ide.bench.inb(0x1f0 + r)), [1, 0, 0]);
}

#[test]
fn the_function_is_found_by_its_class_and_its_bus_masters_by_bar_4() {
    let mut ide = ide();
    let mut config = |at, width| {
        ide.bench.bus.with(ide.bench.device, |d, cx| d.pci().map(|f| f.config_read(cx, at, width))).flatten()
    };
    assert_eq!(config(0x00, Width::Dword), Some(0x7010_8086));
    assert_eq!(config(0x08, Width::Dword), Some(0x0101_8000));
    assert_eq!(config(0x20, Width::Dword), Some(u32::from(BUS_MASTER) | 1));
    assert_eq!((PLACE.device(), PLACE.function()), (1, 1));
    for base in [BUS_MASTER, BUS_MASTER + 8] {
        ide.bench.outl(base + 4, 0x1234_5677);
        assert_eq!(ide.bench.inw(base + 4), 0x5674, "the table lies on a dword");
        ide.bench.outb(base + 2, 0x60);
        assert_eq!(ide.bench.inb(base + 2), 0x60);
    }
}

#[test]
fn a_disabled_interrupt_waits_until_it_is_enabled() {
    let mut ide = ide();
    ide.bench.outb(CONTROL, 2);
    ide.command(DISK, 0, 0, 0, 0xe1);
    assert!(!ide.bench.level(0));
    ide.bench.outb(CONTROL, 0);
    assert!(ide.bench.level(0));
    ide.alternate();
    assert!(ide.bench.level(0), "the alternate status leaves it");
    assert!(ide.interrupted());
    assert!(!ide.bench.level(0));
}
