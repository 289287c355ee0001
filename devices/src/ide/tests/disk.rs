//! The hard disk.

use super::*;
use lockstep_fabric::BlockError;

/// Identify's words.
fn words(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
}

fn text(words: &[u16]) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}

#[test]
fn identify_tells_size_geometry_and_names() {
    let mut ide = ide();
    ide.command(DISK, 0, 0, 0, 0xec);
    assert!(ide.interrupted());
    let bytes = ide.take(512);
    assert_eq!(bytes.iter().fold(0u8, |sum, b| sum.wrapping_add(*b)), 0, "its integrity word makes the sum zero");
    let words = words(&bytes);
    assert_eq!([words[1], words[3], words[6]], [20, 16, 63]);
    assert_eq!([words[4], words[5]], [63 * 512, 512], "bytes of a track and of a sector, by which old BIOSes read");
    assert_eq!(u32::from(words[60]) | u32::from(words[61]) << 16, DISK_SECTORS as u32);
    assert_eq!(u64::from(words[100]) | u64::from(words[101]) << 16, DISK_SECTORS);
    assert_eq!((text(&words[10..20]), text(&words[27..47])), ("A-1".into(), "LOCKSTEP HARDDISK".into()));
    assert_eq!(words[83] & 1 << 10, 1 << 10, "48-bit addresses");
    assert!(!ide.alternate().intersects(Status::DRQ | Status::BSY));
    assert!(!ide.bench.level(0), "no interrupt after the last block");
}

#[test]
fn sectors_are_read_block_by_block_with_an_interrupt_for_each() {
    let mut ide = ide();
    ide.command(DISK, 0, 3, 100, 0x20);
    assert_eq!(ide.alternate(), Status::BSY);
    ide.serve();
    for sector in 100..103 {
        assert!(ide.interrupted());
        assert_eq!(ide.alternate(), Status::DRDY | Status::DSC | Status::DRQ);
        let bytes = ide.take(512);
        assert_eq!(bytes, ide.drives[0].bytes[sector * 512..][..512], "sector {sector}");
        if sector < 102 {
            assert_eq!(ide.alternate(), Status::BSY, "a moment between blocks");
        }
        ide.serve();
    }
    assert_eq!(ide.alternate(), Status::DRDY | Status::DSC);
    assert!(!ide.bench.level(0));
    assert_eq!(ide.drives[0].asked, ["read 51200+1536"]);
    assert_eq!(
        [2, 3, 4, 5].map(|r| ide.bench.inb(0x1f0 + r)),
        [0, 102, 0, 0],
        "the last sector is left in the registers"
    );
}

#[test]
fn a_sector_has_three_kinds_of_address() {
    let mut ide = ide();
    // Cylinder 2, head 3, sector 5 of 16 heads and 63 sectors.
    let sector = (2 * 16 + 3) * 63 + 4;
    ide.command(0xa3, 0, 1, 5 | 2 << 8, 0x20);
    ide.serve();
    ide.take(512);
    ide.command(DISK, 0, 1, sector, 0x20);
    ide.serve();
    ide.take(512);
    ide.extended(DISK, 1, sector.into(), 0x24);
    ide.serve();
    ide.take(512);
    let read = format!("read {}+512", sector * 512);
    assert_eq!(ide.drives[0].asked, [&read[..]; 3]);
    // Other heads and sectors, by INITIALIZE DEVICE PARAMETERS.
    ide.command(0xa7, 0, 32, 0, 0x91);
    ide.command(0xa3, 0, 1, 5 | 2 << 8, 0x20);
    ide.serve();
    assert_eq!(ide.drives[0].asked[3], format!("read {}+512", ((2 * 8 + 3) * 32 + 4) * 512));
}

#[test]
fn written_sectors_reach_the_drive_and_a_flush_makes_sure() {
    let mut ide = ide();
    let data: Vec<u8> = (0..1024).map(|i| (i % 251) as u8).collect();
    ide.command(DISK, 0, 2, 7, 0x30);
    assert!(!ide.bench.level(0), "the first block is asked for without an interrupt");
    assert!(ide.alternate().contains(Status::DRQ));
    ide.give(&data[..512]);
    ide.serve();
    assert!(ide.interrupted());
    ide.give(&data[512..]);
    assert_eq!(ide.alternate(), Status::BSY);
    ide.serve();
    assert!(ide.interrupted());
    assert_eq!(ide.alternate(), Status::DRDY | Status::DSC);
    assert_eq!(ide.drives[0].bytes[7 * 512..][..1024], data);
    ide.command(DISK, 0, 0, 0, 0xe7);
    assert_eq!(ide.alternate(), Status::BSY);
    ide.serve();
    assert!(ide.interrupted());
    assert_eq!(ide.drives[0].asked, ["write 3584+1024", "flush"]);
}

#[test]
fn multiple_sectors_go_in_blocks_as_set() {
    let mut ide = ide();
    ide.command(DISK, 0, 3, 0, 0xc6);
    assert!(ide.alternate().contains(Status::ERR), "only powers of two");
    ide.command(DISK, 0, 4, 0, 0xc6);
    ide.command(DISK, 0, 6, 10, 0xc4);
    ide.serve();
    let mut bytes = ide.take(4 * 512);
    assert_eq!(ide.alternate(), Status::BSY);
    ide.serve();
    bytes.extend(ide.take(2 * 512));
    assert_eq!(ide.alternate(), Status::DRDY | Status::DSC);
    assert_eq!(bytes, ide.drives[0].bytes[5120..][..6 * 512]);
}

#[test]
fn a_long_command_goes_in_several_requests() {
    let mut ide = ide();
    ide.extended(DISK, 1500, 3, 0x24);
    let mut bytes = Vec::new();
    for _ in 0..1500 {
        ide.serve();
        bytes.extend(ide.take(512));
    }
    assert_eq!(bytes, ide.drives[0].bytes[1536..][..1500 * 512]);
    assert_eq!(ide.drives[0].asked.len(), 2);
    assert_eq!(ide.alternate(), Status::DRDY | Status::DSC);
}

#[test]
fn what_cannot_be_done_is_told_in_the_error_register() {
    let mut ide = ide();
    let mut error = |device, count, lba, command| {
        ide.command(device, 0, count, lba, command);
        ide.serve();
        let failed = ide.interrupted() && ide.alternate().contains(Status::ERR);
        (failed, ide.bench.inb(0x1f1))
    };
    assert_eq!(error(DISK, 2, DISK_SECTORS as u32 - 1, 0x20), (true, 0x10), "the second sector does not exist");
    assert_eq!(error(0xa0, 1, 0, 0x20), (true, 0x10), "sectors count from one");
    assert_eq!(error(DISK, 1, 0, 0x00), (true, 0x04), "NOP");
    assert_eq!(error(DISK, 1, 0, 0xfe), (true, 0x04), "no such command");
    assert_eq!(error(DISK, 1, 0, 0xa1), (true, 0x04), "no packet device");
    ide.drives[0].failing = Some(BlockError::Io);
    for (command, bits) in [(0x20, 0x40), (0x40, 0x40), (0xe7, 0x40)] {
        ide.command(DISK, 0, 2, 5, command);
        ide.serve();
        assert!(ide.interrupted());
        assert_eq!((ide.alternate().contains(Status::ERR), ide.bench.inb(0x1f1)), (true, bits), "{command:#x}");
    }
    ide.drives[0].failing = Some(BlockError::NoSpace);
    ide.command(DISK, 0, 1, 5, 0x30);
    ide.give(&[0; 512]);
    ide.serve();
    assert!(ide.interrupted());
    assert_eq!((ide.bench.inb(0x1f1), ide.bench.inb(0x1f3)), (0x04, 5), "where it failed");
}

#[test]
fn a_read_only_disk_aborts_writes() {
    let mut info = DriveInfo::disk(1 << 20);
    info.medium = Some(Medium { bytes: 1 << 20, read_only: true });
    let mut ide = with(Piix3IdeConfig { preset: false, drives: [Some(info), None, None, None] });
    ide.command(DISK, 0, 1, 5, 0x30);
    assert_eq!((ide.alternate().contains(Status::ERR), ide.bench.inb(0x1f1)), (true, 4));
}

#[test]
fn a_software_reset_abandons_a_command_and_its_late_completion_disturbs_nothing() {
    let mut ide = ide();
    ide.command(DISK, 0, 1, 100, 0x20);
    let late = ide.bench.completions(&mut ide.drives);
    ide.bench.outb(CONTROL, 4);
    ide.bench.outb(CONTROL, 0);
    ide.command(DISK, 0, 1, 200, 0x20);
    late.iter().for_each(|completion| ide.bench.input(completion));
    assert_eq!(ide.alternate(), Status::BSY, "the second command's data are not here yet");
    ide.serve();
    let bytes = ide.take(512);
    assert_eq!(bytes, ide.drives[0].bytes[200 * 512..][..512]);
}

#[test]
fn a_state_saved_with_a_request_in_flight_goes_on_when_it_completes() {
    let mut ide = ide();
    ide.command(DISK, 0, 2, 100, 0x20);
    let completions = ide.bench.completions(&mut ide.drives);
    let saved = ide.bench.bus.save().expect("a state");
    let mut other = super::ide();
    other.bench.bus.load(&saved).expect("the same devices");
    completions.iter().for_each(|completion| other.bench.input(completion));
    let mut bytes = other.take(512);
    other.serve();
    bytes.extend(other.take(512));
    assert_eq!(bytes, other.drives[0].bytes[51200..][..1024]);
}

#[test]
fn smaller_commands_tell_what_they_should() {
    let mut ide = ide();
    ide.command(DISK, 0, 0, 0, 0xe5);
    assert_eq!(ide.bench.inb(0x1f2), 0xff, "the power mode is active");
    ide.command(DISK, 0, 0, 0, 0xf8);
    let last = DISK_SECTORS as u32 - 1;
    assert_eq!([3, 4, 5].map(|r| ide.bench.inb(0x1f0 + r)), last.to_le_bytes()[..3]);
    ide.command(DISK, 3, 0x22, 0, 0xef);
    assert!(!ide.alternate().contains(Status::ERR), "multiword DMA mode 2");
    ide.command(DISK, 0, 0, 0, 0xec);
    assert_eq!(words(&ide.take(512))[63], 0x0407);
    ide.command(DISK, 0xd0, 1, 0xc2_4f00, 0xb0);
    assert_eq!(ide.take(512).iter().fold(0u8, |sum, b| sum.wrapping_add(*b)), 0);
    ide.command(DISK, 0xda, 0, 0xc2_4f00, 0xb0);
    assert_eq!([4, 5].map(|r| ide.bench.inb(0x1f0 + r)), [0x4f, 0xc2], "SMART: all is well");
}

#[test]
fn another_length_is_found_by_who_asks_and_nobody_is_told() {
    let mut ide = ide();
    ide.bench.input(&Input::Capacity { drive: 0, bytes: 2 * DISK_SECTORS * 512 });
    assert!(!ide.interrupted());
    ide.command(DISK, 0, 0, 0, 0xec);
    assert!(ide.interrupted());
    let words = words(&ide.take(512));
    assert_eq!(u64::from(words[100]) | u64::from(words[101]) << 16, 2 * DISK_SECTORS);
    assert_eq!([words[1], words[3], words[6]], [20, 16, 63], "its geometry stays");
}
