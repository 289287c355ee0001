use super::drive::{Drive, finish};
use super::guest::{CONFIG, Guest, LEGACY};
use super::ring::{GuestRing, Part};
use crate::virtio::blk::{BlkDrive, BlkFeature};
use crate::virtio::{Blk, BlkConfig, Feature, OnOffAuto, VirtioPci};
use lockstep_fabric::{BlockError, Width};

const DISK: usize = 256 << 10;
const SECTORS: u64 = DISK as u64 / 512;

pub(super) fn function(config: &BlkConfig) -> VirtioPci<Blk> {
    let drive = BlkDrive { bytes: DISK as u64, read_only: false, serial: "disk-1".into() };
    Blk::function(config, &drive).expect("a disk")
}

pub(super) fn everything() -> BlkConfig {
    BlkConfig { packed: true, in_order: true, num_queues: Some(2), ..BlkConfig::default() }
}

const BASE: Feature = Feature::VERSION_1;

/// A disk, and the first queue set up with these features.
fn disk(features: Feature, size: u16) -> (Guest, GuestRing, Drive) {
    let mut guest = Guest::new(function(&everything()));
    assert!(guest.negotiate(features.bits() | BlkFeature::FLUSH.bits()));
    let ring = guest.queue(0, size);
    guest.ready();
    (guest, ring, Drive::new(DISK))
}

fn header(guest: &mut Guest, kind: u32, sector: u64) -> Part {
    let mut bytes = u64::from(kind).to_le_bytes().to_vec();
    bytes.extend_from_slice(&sector.to_le_bytes());
    guest.place(&bytes)
}

/// A request in the ring, and where its status will be.
struct Request {
    id: u16,
    data: u64,
    status: u64,
}

fn read(guest: &mut Guest, ring: &mut GuestRing, sector: u64, len: u32) -> Request {
    let (header, data) = (header(guest, 0, sector), guest.allocate(len.into()));
    let status = guest.place(&[0xee]);
    // In two parts, neither of whole sectors.
    let id = ring.send(guest, &[header], &[(data, len - 100), (data + u64::from(len) - 100, 100), status]);
    Request { id, data, status: status.0 }
}

fn write(guest: &mut Guest, ring: &mut GuestRing, sector: u64, bytes: &[u8]) -> Request {
    let (header, data, status) = (header(guest, 1, sector), guest.place(bytes), guest.place(&[0xee]));
    let id = ring.send(guest, &[header, data], &[status]);
    Request { id, data: data.0, status: status.0 }
}

fn other(guest: &mut Guest, ring: &mut GuestRing, kind: u32, more: &[Part]) -> Request {
    let (header, status) = (header(guest, kind, 0), guest.place(&[0xee]));
    let parts: Vec<_> = [header].into_iter().chain(more.iter().copied()).collect();
    let id = ring.send(guest, &parts, &[status]);
    Request { id, data: 0, status: status.0 }
}

fn range(guest: &mut Guest, sector: u64, sectors: u32, flags: u32) -> Part {
    let raw = u128::from(sector) | u128::from(sectors) << 64 | u128::from(flags) << 96;
    guest.place(&raw.to_le_bytes())
}

impl Request {
    fn status(&self, guest: &Guest) -> u8 {
        guest.bytes(self.status, 1)[0]
    }
}

/// Every kind of ring that can be agreed on.
fn rings() -> Vec<Feature> {
    let mut rings = vec![BASE, BASE | Feature::RING_PACKED];
    for more in [Feature::INDIRECT_DESC, Feature::EVENT_IDX, Feature::IN_ORDER] {
        rings.extend(rings.clone().into_iter().map(|ring| ring | more));
    }
    rings
}

#[test]
fn what_is_written_is_read_back_over_every_kind_of_ring_many_times_around() {
    for features in rings() {
        let (mut guest, mut ring, mut drive) = disk(features, 8);
        for round in 0..20_u8 {
            let sector = u64::from(round) * 3;
            let wrote = write(&mut guest, &mut ring, sector, &[round ^ 0x5a; 1024]);
            drive.complete_all(&mut guest);
            assert_eq!(ring.all_used(&mut guest), [(wrote.id, 1)], "{features:?}, round {round}");
            let got = read(&mut guest, &mut ring, sector, 1024);
            drive.complete_all(&mut guest);
            assert_eq!(ring.all_used(&mut guest), [(got.id, 1025)], "{features:?}, round {round}");
            assert_eq!((wrote.status(&guest), got.status(&guest)), (0, 0));
            assert_eq!(guest.bytes(got.data, 1024), [round ^ 0x5a; 1024]);
        }
        assert_eq!(guest.status(), 0xf);
    }
}

#[test]
fn requests_end_in_the_order_in_which_the_drive_completes_them() {
    for features in [BASE | Feature::INDIRECT_DESC, BASE | Feature::INDIRECT_DESC | Feature::RING_PACKED] {
        let (mut guest, mut ring, mut drive) = disk(features, 8);
        let requests: Vec<_> = (0..5).map(|n| read(&mut guest, &mut ring, n, 512)).collect();
        assert_eq!(guest.requests.len(), 5, "all are in flight");
        assert_eq!(ring.all_used(&mut guest), []);
        let mut waiting = std::mem::take(&mut guest.requests);
        for n in [3, 0, 2, 1, 0] {
            let request = waiting.remove(n);
            drive.complete(&mut guest, &request);
        }
        let order: Vec<_> = [3, 0, 4, 2, 1].map(|n: usize| (requests[n].id, 513)).to_vec();
        assert_eq!(ring.all_used(&mut guest), order);
        assert_eq!(guest.bytes(requests[4].data, 512), drive.bytes[4 * 512..5 * 512]);
    }
}

#[test]
fn in_order_buffers_come_back_in_the_order_they_went() {
    let (mut guest, mut ring, mut drive) = disk(BASE | Feature::INDIRECT_DESC | Feature::IN_ORDER, 8);
    let ids: Vec<_> = (0..3).map(|n| read(&mut guest, &mut ring, n, 512).id).collect();
    let waiting = std::mem::take(&mut guest.requests);
    drive.complete(&mut guest, &waiting[2]);
    drive.complete(&mut guest, &waiting[1]);
    assert_eq!(ring.all_used(&mut guest), []);
    drive.complete(&mut guest, &waiting[0]);
    assert_eq!(ring.all_used(&mut guest).iter().map(|used| used.0).collect::<Vec<_>>(), ids);
}

#[test]
fn the_event_index_says_which_used_entry_interrupts() {
    for ring_kind in [Feature::empty(), Feature::RING_PACKED] {
        let features = BASE | Feature::INDIRECT_DESC | Feature::EVENT_IDX | ring_kind;
        let (mut guest, mut ring, mut drive) = disk(features, 8);
        ring.ask_for_interrupt_at(&mut guest, 2);
        let mut interrupts = Vec::new();
        for n in 0..5 {
            read(&mut guest, &mut ring, n, 512);
            drive.complete_all(&mut guest);
            interrupts.push(guest.line());
            guest.isr();
        }
        assert_eq!(interrupts, [false, false, true, false, false], "{ring_kind:?}");
    }
}

#[test]
fn a_driver_can_ask_not_to_be_interrupted() {
    let (mut guest, mut ring, mut drive) = disk(BASE, 8);
    guest.store(ring.driver, Width::Word, 1);
    read(&mut guest, &mut ring, 0, 512);
    drive.complete_all(&mut guest);
    assert!(!guest.line());
    guest.store(ring.driver, Width::Word, 0);
    read(&mut guest, &mut ring, 0, 512);
    drive.complete_all(&mut guest);
    assert!(guest.line());
    assert_eq!((guest.isr(), guest.line(), guest.isr()), (1, false, 0), "reading acknowledges");
}

#[test]
fn flush_reaches_the_drive_and_identifies_by_serial_number() {
    let (mut guest, mut ring, mut drive) = disk(BASE, 8);
    let flush = other(&mut guest, &mut ring, 4, &[]);
    assert_eq!(flush.status(&guest), 0xee);
    drive.complete_all(&mut guest);
    assert_eq!((flush.status(&guest), drive.flushes), (0, 1));
    let header = header(&mut guest, 8, 0);
    let (id, status) = (guest.place(&[0xee; 20]), guest.place(&[0xee]));
    ring.send(&mut guest, &[header], &[id, status]);
    assert_eq!(guest.bytes(id.0, 20), b"disk-1\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(guest.bytes(status.0, 1), [0]);
}

#[test]
fn without_a_word_about_flushing_every_write_is_flushed() {
    let mut guest = Guest::new(function(&BlkConfig::default()));
    let mut drive = Drive::new(DISK);
    assert!(guest.negotiate(BASE.bits()));
    let mut ring = guest.queue(0, 8);
    guest.ready();
    let wrote = write(&mut guest, &mut ring, 0, &[1; 512]);
    let request = guest.requests.remove(0);
    drive.complete(&mut guest, &request);
    assert_eq!((wrote.status(&guest), drive.flushes), (0xee, 0));
    drive.complete_all(&mut guest);
    assert_eq!((wrote.status(&guest), drive.flushes), (0, 1));
}

#[test]
fn the_driver_turns_the_write_cache_off_until_a_reset() {
    const WRITEBACK: u64 = CONFIG + 32;
    let (mut guest, _, mut drive) = disk(BASE, 8);
    assert!(guest.negotiate(BASE.bits() | (BlkFeature::FLUSH | BlkFeature::CONFIG_WCE).bits()));
    let mut ring = guest.queue(0, 8);
    guest.ready();
    write(&mut guest, &mut ring, 0, &[1; 512]);
    drive.complete_all(&mut guest);
    assert_eq!(drive.flushes, 0);
    guest.store(WRITEBACK, Width::Byte, 0);
    write(&mut guest, &mut ring, 0, &[1; 512]);
    drive.complete_all(&mut guest);
    assert_eq!((drive.flushes, guest.load(WRITEBACK, Width::Byte)), (1, 0));
    guest.set_status(0);
    assert_eq!(guest.load(WRITEBACK, Width::Byte), 1);
    let mut off = Guest::new(function(&BlkConfig { write_cache: OnOffAuto::Off, ..BlkConfig::default() }));
    assert_eq!(off.load(WRITEBACK, Width::Byte), 0);
}

#[test]
fn ranges_are_discarded_and_zeroed() {
    let (mut guest, mut ring, mut drive) = disk(BASE, 8);
    let first = range(&mut guest, 2, 2, 0);
    let discard = other(&mut guest, &mut ring, 11, &[first]);
    let second = range(&mut guest, 8, 1, 1);
    let zero = other(&mut guest, &mut ring, 13, &[second]);
    drive.complete_all(&mut guest);
    assert_eq!((discard.status(&guest), zero.status(&guest)), (0, 0));
    assert!(drive.bytes[2 * 512..4 * 512].iter().chain(&drive.bytes[8 * 512..9 * 512]).all(|b| *b == 0));
    assert_ne!(drive.bytes[4 * 512 + 1], 0);
}

#[test]
fn what_cannot_be_done_has_a_status() {
    let (mut guest, mut ring, mut drive) = disk(BASE, 8);
    let beyond = read(&mut guest, &mut ring, SECTORS - 1, 1024);
    let wraps = read(&mut guest, &mut ring, u64::MAX / 512, 1024);
    let odd = write(&mut guest, &mut ring, 0, &[0; 700]);
    let unknown = other(&mut guest, &mut ring, 99, &[]);
    let flagged = range(&mut guest, 0, 1, 2);
    let flagged = other(&mut guest, &mut ring, 13, &[flagged]);
    let far = range(&mut guest, SECTORS, 1, 0);
    let far = other(&mut guest, &mut ring, 11, &[far]);
    assert_eq!(guest.requests, []);
    let statuses = [beyond, wraps, odd, unknown, flagged, far].map(|r| r.status(&guest));
    assert_eq!(statuses, [1, 1, 1, 2, 2, 1]);
    for error in [BlockError::Io, BlockError::NoSpace, BlockError::NoMedium] {
        let got = read(&mut guest, &mut ring, 0, 512);
        let request = guest.requests.remove(0);
        finish(&mut guest, &request, Err(error));
        assert_eq!(got.status(&guest), 1);
    }
    drive.complete_all(&mut guest);
    assert_eq!(guest.status(), 0xf, "nothing of this stops the device");
}

#[test]
fn a_read_only_disk_is_not_written() {
    let drive = BlkDrive { bytes: DISK as u64, read_only: true, serial: String::new() };
    let mut guest = Guest::new(Blk::function(&BlkConfig::default(), &drive).expect("a disk"));
    let offered = BlkFeature::from_bits_truncate(guest.offered());
    assert!(offered.contains(BlkFeature::RO) && !offered.intersects(BlkFeature::DISCARD | BlkFeature::WRITE_ZEROES));
    assert!(guest.negotiate(BASE.bits()));
    let mut ring = guest.queue(0, 8);
    guest.ready();
    let wrote = write(&mut guest, &mut ring, 0, &[0; 512]);
    assert_eq!((wrote.status(&guest), guest.requests.len()), (1, 0));
}

#[test]
fn a_request_of_gigabytes_is_an_error() {
    let (mut guest, mut ring, _) = disk(BASE | Feature::INDIRECT_DESC, 8);
    let header = header(&mut guest, 1, 0);
    let status = guest.place(&[0xee]);
    ring.send(&mut guest, &[header, (0, u32::MAX), (0, u32::MAX)], &[status]);
    assert_eq!((guest.bytes(status.0, 1)[0], guest.requests.len()), (1, 0));
}

#[test]
fn the_configuration_tells_capacity_blocks_and_limits() {
    let config = BlkConfig { physical_block_size: 4096, num_queues: Some(3), ..BlkConfig::default() };
    let mut guest = Guest::new(function(&config));
    assert_eq!(guest.load(CONFIG, Width::Qword), SECTORS);
    assert_eq!(guest.load(CONFIG + 12, Width::Dword), 254);
    assert_eq!(guest.load(CONFIG + 20, Width::Dword), 512);
    assert_eq!(guest.load(CONFIG + 24, Width::Byte), 3);
    assert_eq!((guest.load(CONFIG + 32, Width::Byte), guest.load(CONFIG + 34, Width::Word)), (1, 3));
    assert_eq!(guest.load(CONFIG + 60, Width::Dword), 0, "beyond the end");
}

#[test]
fn a_reset_forgets_what_is_in_flight() {
    let (mut guest, mut ring, mut drive) = disk(BASE, 8);
    let got = read(&mut guest, &mut ring, 0, 512);
    guest.set_status(0);
    assert_eq!(guest.status(), 0);
    drive.complete_all(&mut guest);
    assert_eq!((ring.used(&mut guest), got.status(&guest)), (None, 0xee));
}

#[test]
fn one_queue_is_reset_and_the_other_goes_on() {
    let mut guest = Guest::new(function(&everything()));
    let mut drive = Drive::new(DISK);
    assert!(guest.negotiate((BASE | Feature::RING_RESET).bits() | BlkFeature::MQ.bits()));
    let (mut first, mut second) = (guest.queue(0, 8), guest.queue(1, 8));
    guest.ready();
    let lost = read(&mut guest, &mut first, 0, 512);
    let kept = read(&mut guest, &mut second, 0, 512);
    guest.store(super::guest::MODERN + 0x16, Width::Word, 0);
    guest.store(super::guest::MODERN + 0x3a, Width::Word, 1);
    assert_eq!(guest.load(super::guest::MODERN + 0x3a, Width::Word), 0, "done");
    assert_eq!(guest.load(super::guest::MODERN + 0x1c, Width::Word), 0, "not enabled");
    drive.complete_all(&mut guest);
    assert_eq!((lost.status(&guest), kept.status(&guest)), (0xee, 0));
    let mut again = guest.queue(0, 16);
    let got = read(&mut guest, &mut again, 0, 512);
    drive.complete_all(&mut guest);
    assert_eq!(got.status(&guest), 0);
}

#[test]
fn a_copy_loaded_with_requests_in_flight_goes_on_alike() {
    for features in rings() {
        let (mut guest, mut ring, mut drive) = disk(features, 32);
        let wrote = write(&mut guest, &mut ring, 0, &[0x11; 512]);
        let got = read(&mut guest, &mut ring, 4, 1024);
        let mut copy = guest.copy_into(function(&everything()));
        assert_eq!(copy.bus.save().expect("a state"), guest.bus.save().expect("a state"));
        let mut same = Drive::new(DISK);
        drive.complete_all(&mut guest);
        same.complete_all(&mut copy);
        assert_eq!((wrote.status(&copy), got.status(&copy)), (0, 0));
        assert_eq!(copy.bytes(0, 1 << 20), guest.bytes(0, 1 << 20));
        assert_eq!(copy.bus.save().expect("a state"), guest.bus.save().expect("a state"));
    }
}

#[test]
fn a_legacy_driver_reads_by_the_port_registers() {
    let mut guest = Guest::new(function(&BlkConfig::default()));
    let mut drive = Drive::new(DISK);
    assert_eq!(guest.config(2, Width::Word), 0x1001);
    assert_eq!((guest.config(8, Width::Byte), guest.config(0x2e, Width::Word)), (0, 2));
    guest.out(0x12, Width::Byte, 3);
    assert_eq!(guest.inp(0x14, Width::Dword), SECTORS);
    assert_ne!(guest.inp(0, Width::Dword) & BlkFeature::FLUSH.bits(), 0);
    guest.out(4, Width::Dword, BlkFeature::FLUSH.bits());
    guest.out(0xe, Width::Word, 0);
    let size = guest.inp(0xc, Width::Word) as u16;
    assert_eq!((size, guest.inp(8, Width::Dword)), (256, 0));
    let mut ring = GuestRing::legacy(&mut guest, 0, size);
    guest.out(8, Width::Dword, ring.descriptors / 4096);
    guest.out(0x12, Width::Byte, 7);
    let (header, data, status) = (header(&mut guest, 0, 3), guest.allocate(512), guest.place(&[0xee]));
    let id = ring.add(&mut guest, &[header], &[(data, 512), status]);
    guest.out(0x10, Width::Word, 0);
    drive.complete_all(&mut guest);
    assert_eq!(ring.all_used(&mut guest), [(id, 513)]);
    assert_eq!(guest.bytes(data, 512), drive.bytes[3 * 512..4 * 512]);
    assert!(guest.line());
    assert_eq!((guest.inp(0x13, Width::Byte), guest.line()), (1, false));
    assert_eq!(LEGACY & 0x7f, 0, "the registers and the configuration fit one base address");
}
