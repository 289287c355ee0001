//! Requests of a device that does nothing but ask, against images that may be slow or fail.

mod placing;

use super::image::{Contents, Image, Overlay};
use super::{Drive, DriveInfo, Drives, IoStatus, Policy, latency};
use crate::bare_guest::BareGuest;
use crate::board::Board;
use crate::commandline::{DriveInterface, ErrorPolicy, ImageConfig, Media};
use crate::digest::Digester;
use crate::machine::Stop;
use crate::snapshot::Snapshot;
use lockstep_fabric::{
    BlockError, BlockOperation, BlockRequest, Cx, Device, DeviceId, Input, Nanos, Outside, Rate, Reg, ThrottleLimits,
    Tick, TimerId, Width,
};
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

const LEN: u64 = 1 << 20;

/// An image in memory, with what can go wrong.
#[derive(Default)]
struct Ram {
    bytes: Vec<u8>,
    slow: bool,
    /// How many writes and flushes still fail.
    full: Arc<AtomicU32>,
}

impl Ram {
    fn new() -> Self {
        let bytes = (0..LEN).map(|at| (at / 512 * 7 + at) as u8).collect();
        Self { bytes, ..Self::default() }
    }

    fn change(&self) -> io::Result<()> {
        if self.slow {
            std::thread::sleep(Duration::from_millis(1));
        }
        let failing = self.full.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        if failing { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Image for Ram {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        into.copy_from_slice(&self.bytes[offset as usize..][..into.len()]);
        Ok(())
    }
    fn write(&mut self, offset: u64, from: &[u8]) -> io::Result<()> {
        self.change()?;
        self.bytes[offset as usize..][..from.len()].copy_from_slice(from);
        Ok(())
    }
    fn write_zeroes(&mut self, offset: u64, len: u64, _unmap: bool) -> io::Result<()> {
        self.write(offset, &vec![0; len as usize])
    }
    fn flush(&mut self) -> io::Result<()> {
        self.change()
    }
}

/// What a request came to: when, which drive and tag, and the hash of what was read.
type Done = (Nanos, u8, u64, Result<u64, BlockError>);

/// Asks for something random every now and then, and notes what comes of it.
#[derive(Default, Serialize, Deserialize)]
struct Asker {
    random: u64,
    /// It asks for nothing by itself.
    quiet: bool,
    asked: u64,
    done: Vec<Done>,
    /// Where what is read goes.
    spans: Option<Vec<(u64, u64)>>,
}

impl Asker {
    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }

    fn ask(&mut self, cx: &mut Cx<'_>) {
        let (offset, len) = (self.below(LEN / 512) * 512, (self.below(100) + 1) * 512);
        let operation = match self.below(8) {
            0 => BlockOperation::Flush,
            1 => BlockOperation::WriteZeroes { offset, len, unmap: true },
            2 => BlockOperation::Discard { offset, len },
            3 | 4 => BlockOperation::Write { offset, data: vec![self.asked as u8; len as usize] },
            _ => BlockOperation::Read { offset, len },
        };
        let drive = self.below(3) as u8;
        cx.submit(BlockRequest { drive, tag: self.asked, operation });
        self.asked += 1;
    }
}

impl Device for Asker {
    fn kind(&self) -> &'static str {
        "asker"
    }
    fn read(&mut self, _cx: &mut Cx<'_>, _at: Reg, _width: Width) -> u64 {
        0
    }
    fn write(&mut self, _cx: &mut Cx<'_>, _at: Reg, _width: Width, _value: u64) {}
    fn reset(&mut self, cx: &mut Cx<'_>) {
        if !self.quiet {
            cx.arm(TimerId(0), cx.now() + 1);
        }
    }
    fn placement(&self, _drive: u8, _tag: u64) -> Option<Vec<(u64, u64)>> {
        self.spans.clone()
    }
    fn timer(&mut self, cx: &mut Cx<'_>, id: TimerId) {
        for _ in 0..=self.below(3) {
            self.ask(cx);
        }
        let pause = self.below(200_000);
        cx.arm(id, cx.now() + pause);
    }
    fn input(&mut self, cx: &mut Cx<'_>, input: &Input) {
        if let Input::Block(done) = input {
            let result = done.result.as_ref().map(|data| xxh3_64(data)).map_err(|error| *error);
            self.done.push((cx.now(), done.drive, done.tag, result));
            // What a completion leads to is asked at the same tick.
            if !self.quiet && self.below(2) == 0 {
                self.ask(cx);
            }
        }
    }
}

fn info(id: &str) -> DriveInfo {
    DriveInfo { id: id.into(), len: 0, read_only: false, media: Media::Disk, serial: None, present: false }
}

fn drive(policy: Policy, image: Box<dyn Image>) -> Drive {
    let config = ImageConfig { unmap: true, ..ImageConfig::at("memory") };
    Drive::with(info("disk"), policy, image, &config).expect("a thread")
}

fn overlaid(slow: bool) -> Drive {
    drive(Policy::default(), Box::new(Overlay::new(Box::new(Ram { slow, ..Ram::new() }))))
}

/// A machine with an asker that has two disks and asks for a third.
struct Asking {
    board: Board,
    asker: DeviceId,
}

impl Asking {
    fn new(guest: &BareGuest, disks: [Drive; 2], shift: u8) -> Self {
        Self::with(guest, disks, shift, Asker { random: 0x1234_5678_9abc, ..Asker::default() })
    }

    fn with(guest: &BareGuest, disks: [Drive; 2], shift: u8, asker: Asker) -> Self {
        let mut board = guest.board(&guest.config(&format!("-icount shift={shift}")));
        let machine = &mut board.machine;
        let asker = machine.bus.add("asker", Box::new(asker));
        for (slot, disk) in disks.into_iter().enumerate() {
            machine.attach_drive(asker, slot as u8, disk);
        }
        let bps_total = Rate { average: SLOW, ..Rate::default() };
        machine.throttle("slow", ThrottleLimits { bps_total, ..Default::default() });
        let slow = Outside::ThrottleDrive { device: asker, drive: 1, group: Some("slow".into()) };
        machine.enter(slow).expect("the gate is open");
        machine.bus.with(asker, |device, cx| device.reset(cx));
        Self { board, asker }
    }

    fn run_to(&mut self, tick: Tick) {
        loop {
            match self.board.machine.run_through(tick) {
                Stop::Reached => return,
                Stop::Output | Stop::Idle(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn state(&mut self) -> (Vec<Done>, String) {
        let asker = self.asker;
        let state = self.board.machine.bus.with(asker, |device, _| device.save()).expect("a device").expect("a state");
        let done = serde_json::from_value(state["done"].clone()).expect("a list");
        (done, Digester::default().digest(&mut self.board.machine).expect("a digest").to_string())
    }
}

const END: Tick = 8_000_000;
/// Bytes a second of the asker's second disk: some of its requests are over by the end, some are held back.
const SLOW: u64 = 4_000_000;

fn whole(guest: &BareGuest) -> (Vec<Done>, String) {
    let mut machine = Asking::new(guest, [overlaid(false), overlaid(false)], 0);
    machine.run_to(END);
    machine.state()
}

#[test]
fn a_run_repeats_however_slow_the_host_s_disk_and_however_it_is_sliced() {
    let guest = BareGuest::new("block-slices");
    let (done, digest) = whole(&guest);
    assert!(done.len() > 80, "{}", done.len());
    assert!(done.iter().any(|(at, drive, ..)| *drive == 1 && *at > END / 2), "the slow disk still works");
    assert!(done.iter().any(|(_, _, _, result)| *result == Err(BlockError::OutOfRange)));
    assert!(done.iter().all(|(_, drive, _, result)| (*drive == 2) == (*result == Err(BlockError::NoMedium))));
    let mut sliced = Asking::new(&guest, [overlaid(true), overlaid(true)], 0);
    let mut random = Asker { random: 99, ..Asker::default() };
    while sliced.board.machine.now() < END {
        let step = if random.below(4) == 0 { random.below(3) + 1 } else { random.below(150_000) };
        let to = sliced.board.machine.now() + step;
        sliced.run_to(to.min(END));
    }
    assert_eq!(sliced.state(), (done, digest));
}

#[test]
fn a_machine_saved_and_loaded_with_requests_in_flight_goes_on_as_if_nothing_had_been() {
    let guest = BareGuest::new("block-snapshots");
    let whole = whole(&guest);
    let mut random = Asker { random: 7, ..Asker::default() };
    let mut in_flight = 0;
    for _ in 0..6 {
        let mut first = Asking::new(&guest, [overlaid(true), overlaid(true)], 0);
        first.run_to(random.below(END));
        let snapshot = Snapshot::of(&first.board.machine).expect("it can be saved");
        in_flight += snapshot.state["blocks"]["requests"].as_array().map_or(0, Vec::len);
        // Into a machine that has run elsewhere and whose disks hold something else.
        let mut second = Asking::new(&guest, [overlaid(false), overlaid(false)], 0);
        second.run_to(random.below(END / 2));
        snapshot.restore(&mut second.board.machine).expect("it can be loaded");
        second.run_to(END);
        assert!(second.state() == whole);
        // And the first one has not noticed.
        first.run_to(END);
        assert!(first.state() == whole);
    }
    assert!(in_flight > 0);
}

/// A machine whose asker asks for nothing by itself.
fn quiet(guest: &BareGuest, disk: Drive, shift: u8) -> Asking {
    Asking::with(guest, [disk, Drive::empty(info("empty"))], shift, Asker { quiet: true, ..Asker::default() })
}

impl Asking {
    fn submit(&mut self, drive: u8, tag: u64, operation: BlockOperation) {
        let asker = self.asker;
        self.board.machine.bus.with(asker, |_, cx| cx.submit(BlockRequest { drive, tag, operation }));
    }

    /// What is done by `tick`: when, and which tag.
    fn done_by(&mut self, tick: Tick) -> Vec<(Nanos, u64)> {
        self.run_to(tick);
        self.state().0.iter().filter(|(at, ..)| *at <= tick).map(|(at, _, tag, _)| (*at, *tag)).collect()
    }
}

#[test]
fn requests_take_a_fixed_time_and_complete_in_the_order_of_asking() {
    let guest = BareGuest::new("block-latency");
    let mut machine = quiet(&guest, overlaid(false), 0);
    machine.submit(0, 1, BlockOperation::Read { offset: 0, len: 65536 });
    machine.submit(0, 2, BlockOperation::Read { offset: 0, len: 512 });
    machine.submit(0, 3, BlockOperation::Flush);
    machine.submit(1, 4, BlockOperation::Flush);
    let long = latency::ACCESS + 65536;
    let done = [(latency::ACCESS, 4), (long, 1), (long, 2), (latency::FLUSH, 3)];
    assert_eq!(machine.done_by(latency::FLUSH), done);
}

#[test]
fn what_is_due_when_idle_time_has_passed_comes_before_anything_from_outside() {
    let guest = BareGuest::new("block-idle");
    let mut machine = quiet(&guest, overlaid(false), 0);
    machine.submit(0, 1000, BlockOperation::Flush);
    machine.run_to(1);
    machine.board.machine.skip_to(latency::FLUSH);
    assert!(result_of(&mut machine, 1000).is_some());
}

#[test]
fn a_recording_names_its_images_by_their_content() {
    let guest = BareGuest::new("block-identity");
    let disk = guest.folder.join("disk");
    let files = |content: &[u8]| {
        std::fs::write(&disk, content).expect("a file");
        let line = format!("-icount shift=0,rr=record,rrfile=log -drive if=none,snapshot=on,file={}", disk.display());
        guest.board(&guest.config(&line)).files
    };
    let (a, b) = (files(b"one"), files(b"two"));
    assert_eq!(a.last().map(|file| &file.path), Some(&disk.display().to_string()));
    assert_eq!(a, files(b"one"));
    assert_ne!(a, b);
}

#[test]
fn drives_that_nothing_can_take_are_no_silent_loss() {
    let guest = BareGuest::new("block-unclaimed");
    let disk = guest.folder.join("disk");
    std::fs::write(&disk, [0; 512]).expect("a file");
    let config = guest.config(&format!("-drive if=virtio,format=raw,file={}", disk.display()));
    let mut drives = Drives::open(&config).expect("drives");
    assert_eq!(drives.unclaimed().map(|drive| drive.id.as_str()), Some("virtio0"));
    assert_eq!(drives.places(DriveInterface::Virtio), [(0, 0)]);
    let drive = drives.at(DriveInterface::Virtio, 0, 0).expect("a drive");
    assert_eq!((drive.info().len, drive.info().present, drive.info().read_only), (512, true, false));
    assert!(drives.unclaimed().is_none() && drives.at(DriveInterface::Virtio, 0, 0).is_none());
    assert!(drives.take("virtio0").is_err());
}

#[test]
fn nodes_are_opened_when_they_are_taken() {
    let guest = BareGuest::new("block-nodes");
    let disk = guest.folder.join("disk");
    let config =
        guest.config(&format!("-blockdev driver=raw,node-name=d,file.driver=file,file.filename={}", disk.display()));
    let mut drives = Drives::open(&config).expect("drives");
    let line = drives.take("d").err().map(|error| error.to_string()).unwrap_or_default();
    assert!(line.starts_with("-blockdev driver=raw") && line.ends_with("No such file or directory"), "{line}");
    std::fs::write(&disk, [0; 1024]).expect("a file");
    let mut drives = Drives::open(&config).expect("drives");
    assert_eq!(drives.take("d").expect("a drive").info().len, 1024);
    assert!(drives.take("d").is_err());
}

/// How many requests a second, all told.
fn iops_total(average: u64) -> ThrottleLimits {
    ThrottleLimits { iops_total: Rate { average, ..Rate::default() }, ..Default::default() }
}

const MS: Nanos = 1_000_000;

impl Asking {
    /// Puts the first disk into a group.
    fn group(&mut self, group: Option<&str>) {
        let device = self.asker;
        let group = group.map(str::to_owned);
        self.board.machine.enter(Outside::ThrottleDrive { device, drive: 0, group }).expect("the gate is open");
    }

    fn limit(&mut self, group: &str, limits: ThrottleLimits) {
        self.board.machine.enter(Outside::Throttle { group: group.into(), limits }).expect("the gate is open");
    }
}

#[test]
fn what_limits_hold_back_is_looked_at_anew_when_they_change() {
    let guest = BareGuest::new("block-throttle");
    let mut machine = quiet(&guest, overlaid(false), 0);
    let took = latency::ACCESS + 512;
    machine.limit("g", iops_total(10));
    machine.group(Some("g"));
    for tag in 0..6 {
        machine.submit(0, tag, BlockOperation::Read { offset: 0, len: 512 });
    }
    assert_eq!(machine.done_by(150 * MS), [(took, 0), (took, 1), (100 * MS + took, 2)]);
    // With a clean slate: two at once, and then one every fiftieth of a second.
    machine.limit("g", iops_total(50));
    let later = [(150 * MS + took, 3), (150 * MS + took, 4), (150 * MS + took, 5)];
    assert_eq!(machine.done_by(170 * MS)[3..], later);
    machine.limit("g", iops_total(1));
    for tag in 6..9 {
        machine.submit(0, tag, BlockOperation::Read { offset: 0, len: 512 });
    }
    assert_eq!(machine.done_by(180 * MS).len(), 7);
    machine.group(None);
    assert_eq!(machine.done_by(190 * MS)[7..], [(180 * MS + took, 7), (180 * MS + took, 8)]);
}

#[test]
fn what_waited_behind_a_long_request_takes_its_own_time_once_limits_change() {
    let guest = BareGuest::new("block-throttle-order");
    let mut machine = quiet(&guest, overlaid(false), 0);
    machine.limit("g", iops_total(2000));
    machine.group(Some("g"));
    // A tenth of a second's worth and two more; then a long one, and one that may start before that is done.
    let (long, last) = (202, 203);
    for tag in 0..=last {
        let len = if tag == long { LEN } else { 512 };
        machine.submit(0, tag, BlockOperation::Read { offset: 0, len });
    }
    machine.run_to(MS / 5);
    machine.limit("g", iops_total(10));
    let due = MS / 5 + 100 * MS + latency::ACCESS + 512;
    assert_eq!(machine.done_by(102 * MS).last(), Some(&(due, last)));
}

#[test]
fn reads_that_are_held_back_hold_neither_writes_nor_the_machine() {
    let guest = BareGuest::new("block-throttle-reads");
    let mut machine = quiet(&guest, overlaid(false), 0);
    let iops_read = Rate { average: 10, ..Rate::default() };
    machine.limit("g", ThrottleLimits { iops_read, ..Default::default() });
    machine.group(Some("g"));
    for tag in 0..3 {
        machine.submit(0, tag, BlockOperation::Read { offset: 0, len: 512 });
    }
    machine.submit(0, 3, BlockOperation::Write { offset: 0, data: vec![1; 512] });
    machine.run_to(1);
    assert!(machine.board.machine.awaits_drive());
    machine.run_to(MS);
    assert!(!machine.board.machine.awaits_drive(), "what is left is the guest's time");
    let took = latency::ACCESS + 512;
    assert_eq!(machine.done_by(MS), [(took, 0), (took, 1), (took, 3)]);
    assert_eq!(machine.done_by(101 * MS)[3..], [(100 * MS + took, 2)]);
}

#[test]
fn a_machine_saved_with_requests_held_back_goes_on_by_the_same_limits() {
    let guest = BareGuest::new("block-throttle-save");
    let mut machine = quiet(&guest, overlaid(false), 0);
    machine.limit("g", iops_total(10));
    machine.group(Some("g"));
    for tag in 0..5 {
        machine.submit(0, tag, BlockOperation::Read { offset: 0, len: 512 });
    }
    machine.run_to(50 * MS);
    let snapshot = Snapshot::of(&machine.board.machine).expect("it can be saved");
    let mut other = quiet(&guest, overlaid(false), 0);
    snapshot.restore(&mut other.board.machine).expect("it can be loaded");
    for machine in [&mut machine, &mut other] {
        machine.submit(0, 5, BlockOperation::Write { offset: 0, data: vec![1; 512] });
        machine.run_to(150 * MS);
        machine.limit("g", iops_total(20));
        machine.run_to(400 * MS);
    }
    assert_eq!(machine.state(), other.state());
    assert_eq!(machine.state().0.len(), 6);
}

#[test]
fn a_coarser_clock_rounds_up() {
    let guest = BareGuest::new("block-shift");
    let mut machine = quiet(&guest, overlaid(false), 10);
    machine.submit(0, 1, BlockOperation::Flush);
    let due = latency::FLUSH.div_ceil(1024);
    machine.run_to(due - 1);
    assert_eq!(machine.state().0, []);
    machine.run_to(due);
    assert_eq!(machine.state().0.first().map(|done| (done.0, done.2)), Some((due * 1024, 1)));
}

fn result_of(machine: &mut Asking, tag: u64) -> Option<Result<u64, BlockError>> {
    machine.state().0.iter().find(|done| done.2 == tag).map(|done| done.3)
}

#[test]
fn what_a_drive_cannot_do_it_refuses() {
    let guest = BareGuest::new("block-refusals");
    let config = ImageConfig::at("memory");
    let read_only = DriveInfo { read_only: true, ..info("disc") };
    let disc = Drive::with(read_only, Policy::default(), Box::new(Ram::new()), &config).expect("a thread");
    let mut machine = quiet(&guest, disc, 0);
    let cases = [
        (BlockOperation::Write { offset: 0, data: vec![1] }, BlockError::ReadOnly),
        (BlockOperation::Discard { offset: 0, len: 1 }, BlockError::ReadOnly),
        (BlockOperation::Read { offset: LEN, len: 1 }, BlockError::OutOfRange),
        (BlockOperation::Read { offset: u64::MAX, len: u64::MAX }, BlockError::OutOfRange),
        (BlockOperation::Read { offset: 0, len: u64::MAX }, BlockError::OutOfRange),
    ];
    for (tag, (operation, _)) in cases.iter().enumerate() {
        machine.submit(0, 1000 + tag as u64, operation.clone());
    }
    machine.run_to(latency::ACCESS);
    for (tag, (operation, error)) in cases.iter().enumerate() {
        assert_eq!(result_of(&mut machine, 1000 + tag as u64), Some(Err(*error)), "{operation:?}");
    }
}

impl Asking {
    /// How the requests to the first drive went.
    fn io_status(&self) -> Option<IoStatus> {
        self.board.machine.drive(self.asker, 0).expect("a drive").io_status()
    }
}

/// A board with a request in flight that stops the machine as often as this.
pub(crate) fn stopping_board(guest: &BareGuest, failures: u32) -> Board {
    on_full_host(guest, ErrorPolicy::Stop, failures).board
}

fn on_full_host(guest: &BareGuest, write: ErrorPolicy, failures: u32) -> Asking {
    let full = Arc::new(AtomicU32::new(failures));
    let disk = drive(Policy { read: ErrorPolicy::Report, write }, Box::new(Ram { full, ..Ram::new() }));
    let mut machine = quiet(guest, disk, 0);
    machine.submit(0, 1000, BlockOperation::Write { offset: 0, data: vec![0xaa; 512] });
    machine.submit(0, 1001, BlockOperation::Write { offset: 0, data: vec![0xbb; 512] });
    machine.submit(0, 1002, BlockOperation::Read { offset: 512, len: 512 });
    machine
}

#[test]
fn an_error_of_the_host_becomes_what_the_policy_says() {
    let guest = BareGuest::new("block-policies");
    let nothing = xxh3_64(&[]);
    for (policy, result) in [(ErrorPolicy::Report, Err(BlockError::NoSpace)), (ErrorPolicy::Ignore, Ok(nothing))] {
        let mut machine = on_full_host(&guest, policy, 1);
        machine.run_to(latency::FLUSH);
        assert_eq!(result_of(&mut machine, 1000), Some(result));
        assert_eq!(result_of(&mut machine, 1001), Some(Ok(nothing)));
    }
}

#[test]
fn a_device_may_choose_its_policies_unless_the_run_must_repeat() {
    use ErrorPolicy::{Ignore, Report, Stop};
    let disk = |policy| drive(policy, Box::new(Ram::new()));
    let usual = Policy { read: Report, write: Stop };
    assert_eq!(disk(usual).with_policies(Some(Ignore), None).policy, Policy { read: Report, write: Ignore });
    assert_eq!(disk(usual).strict().with_policies(Some(Ignore), Some(Report)).policy, Policy::STRICT);
}

#[test]
fn a_full_host_stops_the_machine_until_there_is_space_and_no_time_passes() {
    let guest = BareGuest::new("block-stop");
    for policy in [ErrorPolicy::Stop, ErrorPolicy::StopOnNoSpace] {
        let mut machine = on_full_host(&guest, policy, 3);
        let due = latency::ACCESS + 512;
        // The first time both writes fail: the second one is not reported, but tried again after the first.
        for _ in 0..2 {
            match machine.board.machine.run_through(END) {
                Stop::Fault(fault) => {
                    assert_eq!((fault.operation, fault.error), ("write", BlockError::NoSpace));
                    assert!(fault.to_string().starts_with("drive disk: write: "), "{fault}");
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(machine.board.machine.now(), due);
            assert_eq!(machine.state().0, []);
            assert_eq!(machine.io_status(), Some(IoStatus::NoSpace));
        }
        machine.run_to(due);
        assert_eq!(machine.io_status(), Some(IoStatus::Ok));
        assert_eq!(result_of(&mut machine, 1001), Some(Ok(xxh3_64(&[]))));
        machine.submit(0, 2000, BlockOperation::Read { offset: 0, len: 512 });
        machine.run_to(2 * due + END / 8);
        assert_eq!(result_of(&mut machine, 2000), Some(Ok(xxh3_64(&[0xbb; 512]))));
    }
}

#[test]
fn a_machine_stopped_by_a_fault_can_be_saved_and_tries_again_where_it_is_loaded() {
    let guest = BareGuest::new("block-stop-save");
    let mut machine = on_full_host(&guest, ErrorPolicy::Stop, u32::MAX);
    assert!(matches!(machine.board.machine.run_through(END), Stop::Fault(_)));
    let snapshot = Snapshot::of(&machine.board.machine).expect("it can be saved");
    let mut other = quiet(&guest, overlaid(false), 0);
    snapshot.restore(&mut other.board.machine).expect("it can be loaded");
    other.run_to(latency::ACCESS + 512);
    assert_eq!(result_of(&mut other, 1001), Some(Ok(xxh3_64(&[]))));
}

#[test]
fn a_reset_forgets_what_was_asked() {
    let guest = BareGuest::new("block-reset");
    let mut machine = quiet(&guest, overlaid(false), 0);
    machine.submit(0, 1000, BlockOperation::Flush);
    machine.run_to(1000);
    machine.board.machine.reset();
    machine.run_to(END);
    assert_eq!(result_of(&mut machine, 1000), None);
}

#[test]
fn overlays_are_saved_whole() {
    let mut overlay = Overlay::new(Box::new(Ram::new()));
    overlay.write(1000, &[5; 100_000]).expect("a write");
    overlay.write_zeroes(0, 65536, true).expect("zeroes");
    let saved: Contents = overlay.contents().expect("contents");
    assert_eq!(
        saved.clusters.iter().map(|(number, data)| (*number, data.is_some())).collect::<Vec<_>>(),
        [(0, false), (1, true)]
    );
    let mut other = Overlay::new(Box::new(Ram::new()));
    other.write(LEN - 512, &[1; 512]).expect("a write");
    other.replace(&saved).expect("contents");
    for offset in (0..LEN).step_by(512) {
        let (mut a, mut b) = ([0; 512], [0; 512]);
        overlay.read(offset, &mut a).expect("a read");
        other.read(offset, &mut b).expect("a read");
        assert_eq!(a, b, "{offset}");
    }
}

#[test]
fn a_disk_that_is_cut_and_grows_again_has_zeroes_where_it_was_cut() {
    let mut ram = Ram::new();
    ram.write(0, &[7; LEN as usize]).expect("a write");
    let mut overlay = Overlay::new(Box::new(ram));
    overlay.write(LEN - 1024, &[5; 1024]).expect("a write");
    let byte = |overlay: &mut Overlay, offset: u64| {
        let mut at = [0xaa; 512];
        overlay.read(offset, &mut at).expect("a read");
        at[0]
    };
    assert_eq!((byte(&mut overlay, LEN - 512), byte(&mut overlay, LEN / 2)), (5, 7));
    overlay.resize(LEN / 2 + 512).expect("a cut");
    assert_eq!(overlay.len(), LEN / 2 + 512);
    overlay.resize(2 * LEN).expect("growth");
    assert_eq!(overlay.len(), 2 * LEN);
    let seen = [LEN / 2, LEN / 2 + 512, LEN - 512, 2 * LEN - 512].map(|at| byte(&mut overlay, at));
    assert_eq!(seen, [7, 0, 0, 0]);
    let saved = overlay.contents().expect("contents");
    let mut other = Overlay::new(Box::new(Ram::new()));
    other.replace(&saved).expect("contents");
    assert_eq!((other.len(), byte(&mut other, LEN - 512)), (2 * LEN, 0));
}
