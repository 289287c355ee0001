//! Transfers by the bus master.

use super::*;

const ACTIVE: u8 = 1;
const INTERRUPT: u8 = 4;

#[test]
fn a_read_is_laid_over_the_regions_of_the_table() {
    let mut ide = ide();
    ide.regions(&[(0x4000, 0x300), (0x8001, 0x500)]);
    ide.command(DISK, 0, 4, 9, 0xc8);
    ide.start_master(true);
    assert_eq!(ide.bench.inb(BUS_MASTER + 2) & ACTIVE, ACTIVE);
    ide.serve();
    let expected = ide.drives[0].bytes[9 * 512..][..2048].to_vec();
    assert_eq!([ide.memory(0x4000, 0x300), ide.memory(0x8000, 0x500)].concat(), expected);
    assert_eq!(ide.bench.inb(BUS_MASTER + 2) & 7, INTERRUPT, "done, and the table with it");
    assert!(ide.interrupted());
    assert_eq!(ide.alternate(), Status::DRDY | Status::DSC);
    ide.bench.outb(BUS_MASTER + 2, INTERRUPT);
    assert_eq!(ide.bench.inb(BUS_MASTER + 2) & INTERRUPT, 0);
}

#[test]
fn a_write_is_gathered_and_the_drive_waits_for_the_bus_master() {
    let mut ide = ide();
    let data: Vec<u8> = (0..1024).map(|i| (i % 253) as u8).collect();
    ide.bench.bus.memory.write_bytes(0x4000, &data);
    ide.regions(&[(0x4000, 0x200), (0x4200, 0x0)]);
    ide.extended(DISK, 2, 33, 0x35);
    ide.serve();
    assert_eq!(ide.drives[0].asked.len(), 0);
    ide.start_master(false);
    ide.serve();
    assert_eq!(ide.drives[0].bytes[33 * 512..][..1024], data);
    assert_eq!(ide.bench.inb(BUS_MASTER + 2) & 7, INTERRUPT | ACTIVE, "the table goes on beyond the transfer");
}

#[test]
fn the_command_register_of_the_function_must_permit_it() {
    let mut ide = ide();
    ide.bench.config_write(0x04, Width::Word, 1);
    ide.regions(&[(0x4000, 0x200)]);
    ide.command(DISK, 0, 1, 9, 0xc8);
    ide.start_master(true);
    ide.serve();
    assert_eq!(ide.memory(0x4000, 4), [0; 4]);
    ide.bench.config_write(0x04, Width::Word, 5);
    assert_eq!(ide.memory(0x4000, 512), ide.drives[0].bytes[9 * 512..][..512]);
}

#[test]
fn a_table_that_is_too_short_ends_the_transfer_without_an_interrupt() {
    let mut ide = ide();
    ide.regions(&[(0x4000, 0x100)]);
    ide.command(DISK, 0, 1, 9, 0xc8);
    ide.start_master(true);
    ide.serve();
    assert_eq!(ide.bench.inb(BUS_MASTER + 2) & 7, 0);
    assert!(!ide.bench.level(0));
    assert!(!ide.alternate().contains(Status::BSY));
}

#[test]
fn a_table_without_an_end_or_beyond_all_memory_harms_nothing() {
    for table in [0xffff_fffc, 0xf000_0000, 0x2000] {
        let mut ide = ide();
        ide.bench.outl(BUS_MASTER + 4, table);
        ide.extended(DISK, 4000, 9, 0x25);
        ide.start_master(true);
        ide.serve();
        assert!(!ide.alternate().contains(Status::BSY), "table at {table:#x}");
    }
}

#[test]
fn discarded_ranges_are_forgotten_one_by_one() {
    let mut ide = ide();
    let mut ranges = [0; 512];
    ranges[..8].copy_from_slice(&(10u64 | 4 << 48).to_le_bytes());
    ranges[16..24].copy_from_slice(&(100u64 | 1 << 48).to_le_bytes());
    ide.bench.bus.memory.write_bytes(0x4000, &ranges);
    ide.regions(&[(0x4000, 0x200)]);
    ide.bench.outb(0x1f1, 1);
    ide.extended(DISK, 1, 0, 0x06);
    ide.start_master(false);
    ide.serve();
    assert_eq!(ide.drives[0].asked, ["discard 5120+2048", "discard 51200+512"]);
    assert!(ide.interrupted());
}

#[test]
fn a_disc_is_read_by_the_bus_master_too() {
    let mut ide = ide();
    ide.regions(&[(0x4000, 0x1000)]);
    ide.start_master(true);
    ide.packet(true, 0, &[0x28, 0, 0, 0, 0, 20, 0, 0, 2]);
    assert_eq!(ide.memory(0x4000, 4096), ide.drives[1].bytes[20 * 2048..][..4096]);
    assert!(ide.interrupted());
    assert_eq!(ide.bench.inb(0x1f2) & 3, 3);
}
