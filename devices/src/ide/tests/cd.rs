//! The CD drive.

use super::*;
use lockstep_fabric::{BlockError, Notice, Output};

const NOT_READY_CLOSED: [u8; 3] = [2, 0x3a, 1];
const NOT_READY_OPEN: [u8; 3] = [2, 0x3a, 2];
const CHANGED: [u8; 3] = [6, 0x28, 0];
const TEST_UNIT_READY: [u8; 1] = [0];

#[test]
fn identify_is_met_by_a_signature_and_identify_packet_by_an_answer() {
    let mut ide = ide();
    ide.command(CD, 0, 0, 0, 0xec);
    assert!(ide.alternate().contains(Status::ERR));
    assert_eq!([4, 5].map(|r| ide.bench.inb(0x1f0 + r)), [0x14, 0xeb]);
    ide.command(CD, 0, 0, 0, 0xa1);
    let bytes = ide.take(512);
    assert_eq!(u16::from_le_bytes([bytes[0], bytes[1]]), 0x85c0);
}

#[test]
fn inquiry_tells_a_removable_cd_drive_and_is_cut_to_what_was_asked() {
    let mut ide = ide();
    let answer = ide.asked(&[0x12, 0, 0, 0, 36]).expect("an answer");
    assert_eq!((answer.len(), &answer[..2], &answer[8..24]), (36, &[5, 0x80][..], &b"LOCKSTEPCD-ROM  "[..]));
    assert_eq!(ide.asked(&[0x12, 0, 0, 0, 6]).expect("an answer").len(), 6);
}

#[test]
fn blocks_are_read_in_pieces_of_the_byte_count() {
    let mut ide = ide();
    ide.packet(false, 1000, &[0x28, 0, 0, 0, 0, 7, 0, 0, 2]);
    let (data, blocks) = ide.packet_data();
    assert_eq!(data, ide.drives[1].bytes[7 * 2048..][..4096]);
    assert_eq!(blocks, [1000, 1000, 1000, 1000, 96]);
    assert!(ide.interrupted());
    ide.packet(false, 2048, &[0xa8, 0, 0, 0, 0, 9, 0, 0, 1, 0x2c]);
    let (data, blocks) = ide.packet_data();
    assert_eq!(data, ide.drives[1].bytes[9 * 2048..][..300 * 2048], "more than one request takes");
    assert_eq!(blocks.len(), 300);
}

#[test]
fn what_is_not_on_the_disc_or_not_known_is_checked_with_its_sense() {
    let mut ide = ide();
    assert_eq!(ide.asked(&[0x28, 0, 0, 0, 2, 0x58, 0, 0, 1]), Err([5, 0x21, 0]));
    assert_eq!(ide.asked(&[0xee]), Err([5, 0x20, 0]));
    assert_eq!(ide.asked(&[0x5a, 0, 0xea, 0, 0, 0, 0, 0, 64]), Err([5, 0x39, 0]));
    ide.drives[1].failing = Some(BlockError::Io);
    assert_eq!(ide.asked(&[0x28, 0, 0, 0, 0, 0, 0, 0, 1]), Err([3, 0x11, 0]));
}

#[test]
fn capacity_and_table_of_contents_tell_the_discs_end() {
    let mut ide = ide();
    assert_eq!(ide.asked(&[0x25]).expect("an answer"), [0, 0, 2, 0x57, 0, 0, 8, 0]);
    let toc = ide.asked(&[0x43, 0, 0, 0, 0, 0, 0, 0, 64]).expect("an answer");
    assert_eq!(toc, [0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xaa, 0, 0, 0, 2, 0x58]);
    let msf = ide.asked(&[0x43, 2, 0, 0, 0, 0, 0xaa, 0, 64]).expect("an answer");
    assert_eq!(msf, [0, 10, 1, 1, 0, 0x14, 0xaa, 0, 0, 0, 10, 0]);
    let session = ide.asked(&[0x43, 0, 1, 0, 0, 0, 0, 0, 12]).expect("an answer");
    assert_eq!(session, [0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0]);
}

#[test]
fn a_disc_can_be_locked_ejected_and_loaded() {
    let mut ide = ide();
    assert_eq!(ide.asked(&[0x1e, 0, 0, 0, 1]), Ok(vec![]));
    assert_eq!(ide.asked(&[0x1b, 0, 0, 0, 2]), Err([5, 0x53, 2]));
    ide.asked(&[0x1e, 0, 0, 0, 0]).expect("unlocked");
    ide.asked(&[0x1b, 0, 0, 0, 2]).expect("ejected");
    assert_eq!(ide.asked(&TEST_UNIT_READY), Err(NOT_READY_OPEN));
    ide.asked(&[0x1b, 0, 0, 0, 3]).expect("loaded");
    assert_eq!(ide.asked(&TEST_UNIT_READY), Err(CHANGED));
    assert_eq!(ide.asked(&TEST_UNIT_READY), Ok(vec![]));
}

#[test]
fn a_changed_disc_is_told_once_and_as_an_event() {
    let mut ide = ide();
    let media_event = [0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8];
    ide.bench.input(&Input::Medium { drive: 1, medium: None });
    assert_eq!(ide.asked(&media_event).expect("an answer")[4..6], [3, 1]);
    assert_eq!(ide.asked(&TEST_UNIT_READY), Err(NOT_READY_OPEN), "an empty tray is left open");
    ide.asked(&[0x1b, 0, 0, 0, 3]).expect("shut");
    assert_eq!(ide.asked(&TEST_UNIT_READY), Err(NOT_READY_CLOSED));
    let medium = Some(Medium { bytes: 100 * 2048, read_only: true });
    ide.bench.input(&Input::Medium { drive: 1, medium });
    assert_eq!(ide.asked(&media_event).expect("an answer")[4..6], [2, 2]);
    assert_eq!(ide.asked(&media_event).expect("an answer")[4..6], [0, 2]);
    assert_eq!(ide.asked(&TEST_UNIT_READY), Err(CHANGED));
    assert_eq!(ide.asked(&[0x25]).expect("an answer")[3], 99);
}

#[test]
fn a_disc_put_into_an_open_tray_is_seen_once_the_tray_is_shut_and_only_the_guests_own_moves_are_told() {
    let mut ide = ide();
    let media_event = [0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8];
    let moves = |ide: &mut Ide, operation: u8| -> Vec<(u8, bool)> {
        ide.command(CD, 0, 0, 0xfffe << 8, 0xa0);
        ide.give(&[0x1b, 0, 0, 0, operation, 0, 0, 0, 0, 0, 0, 0]);
        let output = ide.bench.bus.take_output();
        let tray = |output| match output {
            Output::Notice(Notice::Tray { drive, open }) => Some((drive, open)),
            _ => None,
        };
        output.into_iter().filter_map(|(_, output)| tray(output)).collect()
    };
    ide.bench.input(&Input::Medium { drive: 1, medium: Some(Medium { bytes: 100 * 2048, read_only: true }) });
    ide.bench.input(&Input::Tray { drive: 1, open: true });
    assert_eq!(ide.asked(&media_event).expect("an answer")[4..6], [3, 1]);
    assert_eq!(ide.asked(&TEST_UNIT_READY), Err(NOT_READY_OPEN));
    ide.bench.input(&Input::Tray { drive: 1, open: false });
    assert_eq!(ide.asked(&media_event).expect("an answer")[4..6], [2, 2]);
    assert_eq!(ide.asked(&TEST_UNIT_READY), Err(CHANGED));
    assert_eq!(ide.asked(&[0x25]).expect("an answer")[3], 99);
    assert_eq!(moves(&mut ide, 2), [(1, true)]);
    assert_eq!(moves(&mut ide, 2), [], "it stands open already");
    assert_eq!(moves(&mut ide, 3), [(1, false)]);
}

#[test]
fn whoever_asks_for_the_disc_is_heard_as_an_event() {
    let mut ide = ide();
    let media_event = [0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8];
    ide.asked(&[0x1e, 0, 0, 0, 1]).expect("locked");
    ide.bench.input(&Input::EjectRequest { drive: 1 });
    assert_eq!(ide.asked(&media_event).expect("an answer")[4..6], [1, 2]);
    assert_eq!(ide.asked(&media_event).expect("an answer")[4..6], [0, 2], "told once");
    assert_eq!(ide.asked(&TEST_UNIT_READY), Ok(vec![]), "the disc stays until the guest lets go");
}

#[test]
fn the_profile_follows_the_discs_size() {
    for (bytes, profile) in [(Some(600 << 20), 0x08), (Some(4 << 30), 0x10), (None, 0)] {
        let drives = [None, Some(DriveInfo::cd(bytes)), None, None];
        let mut ide = with(Piix3IdeConfig { preset: false, drives });
        let answer = ide.asked(&[0x46, 0, 0, 0, 0, 0, 0, 0, 8]).expect("an answer");
        assert_eq!(answer[7], profile);
    }
    let mut ide = ide();
    let all = ide.asked(&[0x46, 0, 0, 0, 0, 0, 0, 1, 0]).expect("an answer");
    assert_eq!(u32::from_be_bytes([all[0], all[1], all[2], all[3]]) as usize, all.len() - 4);
}

#[test]
fn mode_pages_have_the_lengths_that_they_tell() {
    let mut ide = ide();
    let capabilities = ide.asked(&[0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 0xff]).expect("an answer");
    assert_eq!((capabilities.len(), capabilities[1], capabilities[8], capabilities[9]), (28, 26, 0x2a, 18));
    let all = ide.asked(&[0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 0xff]).expect("an answer");
    let mut at = 8;
    while at < all.len() {
        at += 2 + usize::from(all[at + 1]);
    }
    assert_eq!(at, all.len());
}

#[test]
fn raw_sectors_have_sync_header_and_room_for_correction() {
    let mut ide = ide();
    ide.packet(false, 0xfffe, &[0xbe, 0, 0, 0, 0, 5, 0, 0, 2, 0xf8]);
    let (data, _) = ide.packet_data();
    assert_eq!(data.len(), 2 * 2352);
    assert_eq!(data[2352..][..16], [0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 2, 6, 1]);
    assert_eq!(data[2352 + 16..][..2048], ide.drives[1].bytes[6 * 2048..][..2048]);
    assert_eq!(ide.asked(&[0xbe, 0, 0, 0, 0, 5, 0, 0, 1, 0x10]).expect("an answer").len(), 2048);
}

#[test]
fn a_device_reset_works_while_the_drive_is_busy() {
    let mut ide = ide();
    ide.command(CD, 0, 0, 2048 << 8, 0xa0);
    ide.give(&[0x28, 0, 0, 0, 0, 7, 0, 0, 2, 0, 0, 0]);
    assert_eq!(ide.alternate(), Status::BSY);
    ide.bench.outb(COMMAND, 0x08);
    assert_eq!(ide.alternate(), Status::empty());
    assert_eq!(ide.bench.inb(0x1f5), 0xeb);
    ide.serve();
    assert_eq!(ide.alternate(), Status::empty());
}
