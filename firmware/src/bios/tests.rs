//! The services as specifications.

use super::fixture::Machine;
use super::frame::Frame;
use super::keyboard::push_key;
use super::{BootSettings, DriveKind, DriveOperation};

const DISK: (DriveKind, u64) = (DriveKind::HardDisk, 20 << 20);
const FLOPPY: (DriveKind, u64) = (DriveKind::Floppy, 1440 << 10);
const CD: (DriveKind, u64) = (DriveKind::Cdrom, 1 << 20);

#[test]
fn sectors_are_read_by_cylinder_head_and_sector() {
    let mut machine = Machine::with(&[FLOPPY, DISK]);
    let done = machine.call(0x13, &Frame { eax: 0x0203, ebx: 0x9000, ecx: 0x0002, edx: 0x0180, ..Frame::default() });
    assert_eq!((done.ah(), done.al(), done.carry()), (0, 3, false));
    assert_eq!(machine.board.requests[0].operation, DriveOperation::Read { offset: 64 * 512, len: 3 * 512 });
    assert_eq!((machine.board.memory[0x9000], machine.board.memory[0x9000 + 1024]), (64, 66));
}

#[test]
fn what_is_beyond_the_end_or_not_there_is_refused_without_a_request() {
    let mut machine = Machine::with(&[FLOPPY]);
    let beyond = machine.call(0x13, &Frame { eax: 0x0201, ecx: 0x5001, ..Frame::default() });
    assert_eq!((beyond.ah(), beyond.carry()), (0x04, true));
    let absent = machine.call(0x13, &Frame { eax: 0x0201, ecx: 0x0001, edx: 0x80, ..Frame::default() });
    assert_eq!((absent.ah(), absent.carry()), (0x01, true));
    assert_eq!(machine.board.requests, []);
}

#[test]
fn a_cd_is_read_by_packets_of_its_own_sectors_and_never_written() {
    let mut machine = Machine::with(&[CD]);
    let packet = [0x10, 0, 2, 0, 0, 0x90, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0];
    machine.board.memory[0x600..0x610].copy_from_slice(&packet);
    let frame = Frame { eax: 0x4200, esi: 0x600, edx: 0xe0, ..Frame::default() };
    assert!(!machine.call(0x13, &frame).carry());
    assert_eq!(machine.board.requests[0].operation, DriveOperation::Read { offset: 3 * 2048, len: 2 * 2048 });
    let refused = machine.call(0x13, &Frame { eax: 0x4300, ..frame });
    assert_eq!((refused.ah(), refused.carry()), (0x03, true));
}

#[test]
fn the_memory_map_is_handed_out_line_by_line() {
    let mut machine = Machine::with(&[]);
    let (mut next, mut lines, mut ram) = (0, 0, 0);
    loop {
        let ask = Frame { eax: 0xe820, ebx: next, ecx: 20, edx: 0x534d_4150, edi: 0x600, ..Frame::default() };
        let line = machine.call(0x15, &ask);
        assert_eq!((line.carry(), line.eax, line.ecx), (false, 0x534d_4150, 20));
        let at = &machine.board.memory[0x600..0x614];
        if at[16] == 1 {
            ram += u64::from_le_bytes(at[8..16].try_into().unwrap());
        }
        (next, lines) = (line.ebx, lines + 1);
        if next == 0 {
            break;
        }
    }
    assert!(lines > 5 && ram > 60 << 20 && ram < 64 << 20);
}

#[test]
fn blocks_are_moved_between_the_segments_of_a_table() {
    let mut machine = Machine::with(&[]);
    machine.board.memory[0x8000..0x8004].copy_from_slice(b"abcd");
    machine.board.memory[0x610 + 2..0x610 + 5].copy_from_slice(&[0x00, 0x80, 0x00]);
    machine.board.memory[0x618 + 2..0x618 + 5].copy_from_slice(&[0x00, 0x00, 0x10]);
    let done = machine.call(0x15, &Frame { eax: 0x8700, ecx: 2, esi: 0x600, ..Frame::default() });
    assert!(!done.carry());
    assert_eq!(&machine.board.memory[0x10_0000..0x10_0004], b"abcd");
}

/// A BIOS with this to say of booting, its keyboard buffer empty.
fn booting(drives: &[(DriveKind, u64, Option<u32>)], boot: BootSettings) -> Machine {
    let kinds: Vec<_> = drives.iter().map(|(kind, bytes, _)| (*kind, *bytes)).collect();
    let mut config = Machine::config(&kinds);
    config.boot = boot;
    for (drive, (_, _, order)) in config.drives.iter_mut().zip(drives) {
        drive.boot_order = *order;
    }
    let mut machine = Machine::of(config);
    machine.board.memory[0x41a..0x41e].copy_from_slice(&[0x1e, 0, 0x1e, 0]);
    machine
}

#[test]
fn drives_with_a_place_come_first_and_strictly_nothing_behind_them() {
    let drives = [(DISK.0, DISK.1, None), (FLOPPY.0, FLOPPY.1, Some(7)), (CD.0, CD.1, Some(3))];
    for (strict, expected) in [
        (true, &["Booting from DVD/CD...\r\n", "Booting from Floppy...\r\n", "No bootable device.\r\n"][..]),
        (false, &["Booting from DVD/CD...\r\n", "Booting from Floppy...\r\n", "Booting from Hard Disk...\r\n"]),
    ] {
        let mut machine = booting(&drives, BootSettings { strict, ..BootSettings::default() });
        let mut said = vec![machine.boots_to_text()];
        for _ in 0..2 {
            machine.call(0x18, &Frame::default());
            said.push(machine.text());
        }
        assert_eq!(said, expected);
    }
}

#[test]
fn the_menu_is_offered_for_its_time() {
    let drives = [(DISK.0, DISK.1, None), (CD.0, CD.1, None)];
    let settings = BootSettings { menu_wait: Some(2500), ..BootSettings::default() };
    let mut machine = booting(&drives, settings);
    assert_eq!(machine.boots_to_text(), "Press ESC for boot menu.\r\n\r\n");
    assert_eq!(machine.boots_to_text(), "Booting from Hard Disk...\r\n");
    assert!((2_500_000_000..2_600_000_000).contains(&machine.board.now));
}

#[test]
fn escape_and_a_digit_choose_a_drive() {
    let drives = [(DISK.0, DISK.1, None), (CD.0, CD.1, None)];
    let settings = BootSettings { menu_wait: Some(2500), ..BootSettings::default() };
    let mut machine = booting(&drives, settings);
    machine.boots_to_text();
    push_key(&mut machine.board, 0x011b);
    let list = "Select boot device:\r\n\r\n1. Hard Disk 0 (20 MiB)\r\n2. DVD/CD 0 (1 MiB)\r\n\r\n";
    assert_eq!(machine.boots_to_text(), list);
    for key in [0x0a39, 0x0332] {
        push_key(&mut machine.board, key);
    }
    assert_eq!(machine.boots_to_text(), "Booting from DVD/CD...\r\n", "there is no ninth drive");
}

#[test]
fn with_nothing_to_boot_the_machine_is_reset_if_that_is_wanted() {
    let mut machine = booting(&[], BootSettings { fail_wait: Some(5000), ..BootSettings::default() });
    assert_eq!(machine.boots_to_text(), "No bootable device.\r\n");
    assert_eq!(machine.boots_to_text(), "Retrying in 5 seconds.\r\n");
    machine.board.ends_at = Some((0xcf9, 6));
    machine.call(0x19, &Frame::default());
    assert!((5_000_000_000..5_100_000_000).contains(&machine.board.now));
}

#[test]
fn a_wait_takes_its_time() {
    let mut machine = Machine::with(&[]);
    machine.call(0x15, &Frame { eax: 0x8600, ecx: 0, edx: 20_000, ..Frame::default() });
    assert!((20_000_000..22_000_000).contains(&machine.board.now));
}

#[test]
fn no_registers_of_a_caller_do_harm() {
    let mut machine = Machine::with(&[FLOPPY, DISK, CD]);
    for vector in [0x10, 0x11, 0x12, 0x13, 0x14, 0x17, 0x1a] {
        for eax in 0..=0xffff_u32 {
            let noise = eax.wrapping_mul(0x9e37_79b9);
            let (ecx, edx) = (noise & 0xff1f, noise >> 16);
            let frame = Frame { at: 0x7000, vector, eax, ecx, edx, ebx: noise, esi: 0xfff0, ..Frame::default() };
            frame.store(&mut machine.board);
            machine.bios.call(&mut machine.board, frame.at);
            machine.board.requests.clear();
        }
    }
}
