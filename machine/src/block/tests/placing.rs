//! Reads of what the host has in its cache.

use super::*;
use crate::block::page_cache::Cached;

/// Bytes of the image.
const IMAGE: usize = 256 << 10;
/// A read that is worth placing.
const READ: u64 = 64 << 10;
/// When one that is asked at tick 0 is due.
const DUE: Tick = latency::ACCESS + READ;
/// Where it goes, last part first.
const SPANS: [(u64, u64); 3] = [(0x4_0000, 0xf000), (0x2_0ffd, 0xffd), (0x3_0000, 3)];

fn content() -> Vec<u8> {
    (0..IMAGE as u32).map(|at| (at * 7 + at / 300) as u8).collect()
}

struct Placing {
    machine: Asking,
    /// The host says what it has in its cache: some of its file systems do not.
    told: bool,
}

impl Placing {
    fn new(guest: &BareGuest, spans: &[(u64, u64)]) -> Self {
        let disk = guest.folder.join("disk");
        std::fs::write(&disk, content()).expect("a file");
        let line = format!("-drive if=none,id=d,format=raw,file={}", disk.display());
        let mut drives = Drives::open(&guest.config(&line)).expect("drives");
        let asker = Asker { quiet: true, spans: Some(spans.to_vec()), ..Asker::default() };
        let drives = [drives.take("d").expect("a drive"), Drive::empty(info("empty"))];
        let file = std::fs::File::open(&disk).expect("the file");
        let told = Cached::of(&file).is_some_and(|cached| cached.read(0, &mut [&mut [0; IMAGE]]));
        Self { machine: Asking::with(guest, drives, 0, asker), told }
    }

    fn read(&mut self, tag: u64, offset: u64) {
        self.machine.submit(0, tag, BlockOperation::Read { offset, len: READ });
    }

    /// What lies in guest memory where reads go.
    fn placed(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for (address, len) in SPANS {
            let mut part = vec![0; len as usize];
            self.machine.board.machine.bus.memory.read_bytes(address, &mut part);
            all.extend(part);
        }
        all
    }

    /// What came with a completion is nothing, because it was placed, or what belongs there.
    fn assert_comes(&mut self, tag: u64, bytes: &[u8], placed: bool) {
        let expected = if placed { &[] } else { bytes };
        assert_eq!(result_of(&mut self.machine, tag), Some(Ok(xxh3_64(expected))));
        if placed {
            assert!(self.placed() == bytes);
        }
    }
}

#[test]
fn the_bytes_go_where_the_device_says_when_they_are_due() {
    let guest = BareGuest::new("block-placing");
    let mut placing = Placing::new(&guest, &SPANS);
    placing.read(1, 512);
    placing.machine.run_to(DUE - 1);
    assert!(placing.placed().iter().all(|byte| *byte == 0), "not before");
    placing.machine.run_to(DUE);
    let told = placing.told;
    placing.assert_comes(1, &content()[512..][..READ as usize], told);
}

#[test]
fn they_come_with_the_completion_if_the_device_names_no_such_place() {
    let twice = [(0x4_0000, READ / 2), (0x4_0000, READ / 2)];
    for spans in [&twice[..], &[(0x4_0000, READ - 1)], &[(0x4_0000, READ + 1)], &[(1 << 50, READ)], &[]] {
        let guest = BareGuest::new("block-no-place");
        let mut placing = Placing::new(&guest, spans);
        placing.read(1, 0);
        placing.machine.run_to(DUE);
        placing.assert_comes(1, &content()[..READ as usize], false);
    }
}

#[test]
fn what_is_written_later_does_not_overtake_them() {
    let changes = [
        BlockOperation::Write { offset: 0, data: vec![0x55; 2 * READ as usize] },
        BlockOperation::WriteZeroes { offset: 0, len: READ, unmap: true },
        BlockOperation::Discard { offset: 0, len: READ },
    ];
    for change in changes {
        let guest = BareGuest::new("block-overtaking");
        let mut placing = Placing::new(&guest, &SPANS);
        placing.read(1, 0);
        placing.machine.submit(0, 2, change);
        placing.machine.run_to(20 * DUE);
        placing.assert_comes(1, &content()[..READ as usize], false);
        let Some(Ok(_)) = result_of(&mut placing.machine, 2) else { panic!("the change is done") };
    }
}

#[test]
fn a_disk_that_is_cut_meanwhile_has_given_them_already() {
    let guest = BareGuest::new("block-cut");
    let mut placing = Placing::new(&guest, &SPANS);
    placing.read(1, 0);
    placing.machine.run_to(1);
    let asker = placing.machine.asker;
    placing.machine.board.machine.resize_image(asker, 0, 512).expect("an image that can be cut");
    placing.machine.run_to(DUE);
    placing.assert_comes(1, &content()[..READ as usize], false);
}

#[test]
fn a_machine_saved_before_they_are_due_has_them_where_it_is_loaded() {
    let guest = BareGuest::new("block-place-saved");
    let mut first = Placing::new(&guest, &SPANS);
    first.read(1, 1024);
    first.machine.run_to(DUE / 2);
    let snapshot = Snapshot::of(&first.machine.board.machine).expect("it can be saved");
    let elsewhere = BareGuest::new("block-place-loaded");
    let mut second = Placing::new(&elsewhere, &SPANS);
    std::fs::write(elsewhere.folder.join("disk"), vec![0; IMAGE]).expect("the file");
    snapshot.restore(&mut second.machine.board.machine).expect("it can be loaded");
    second.machine.run_to(DUE);
    second.assert_comes(1, &content()[1024..][..READ as usize], false);
    let told = first.told;
    first.machine.run_to(DUE);
    first.assert_comes(1, &content()[1024..][..READ as usize], told);
}
