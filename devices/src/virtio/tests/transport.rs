use super::blk;
use super::guest::{Guest, MODERN, MSIX};
use crate::pci::config::{Command, offset};
use crate::virtio::blk::BlkDrive;
use crate::virtio::rng::{Rng, RngConfig};
use crate::virtio::{Blk, BlkConfig, Feature, OnOffAuto, VirtioError};
use lockstep_fabric::Width;

const BASE: u64 = Feature::VERSION_1.bits();

fn rng(config: &RngConfig) -> Guest {
    Guest::new(Rng::function(config, 1).expect("an entropy device"))
}

/// An entropy device with a buffer of 16 bytes in the ring, not yet notified of.
fn with_buffer() -> (Guest, super::ring::GuestRing) {
    let mut guest = rng(&RngConfig::default());
    assert!(guest.negotiate(BASE));
    let mut ring = guest.queue(0, 8);
    guest.ready();
    let buffer = guest.place(&[0; 16]);
    ring.add(&mut guest, &[], &[buffer]);
    (guest, ring)
}

#[test]
fn interfaces_show_in_the_identity() {
    let modern = RngConfig { disable_legacy: OnOffAuto::On, ..RngConfig::default() };
    let legacy = RngConfig { disable_modern: true, ..RngConfig::default() };
    let identity = |config: &RngConfig| {
        let mut guest = rng(config);
        let bars = [0, 1, 4].map(|bar| guest.config(offset::BAR0 + 4 * bar, Width::Dword) & 0xf);
        (guest.config(0, Width::Dword), guest.config(8, Width::Byte), guest.config(0x2e, Width::Word), bars)
    };
    assert_eq!(identity(&RngConfig::default()), (0x1005_1af4, 0, 4, [1, 0, 0xc]));
    assert_eq!(identity(&modern), (0x1044_1af4, 1, 0x1100, [0, 0, 0xc]));
    assert_eq!(identity(&legacy), (0x1005_1af4, 0, 4, [1, 0, 0]));
    let none = RngConfig { disable_modern: true, ..modern };
    assert_eq!(Rng::function(&none, 1).err(), Some(VirtioError::NoInterface));
}

#[test]
fn properties_that_make_no_device_are_refused() {
    let make = |config: BlkConfig| Blk::function(&config, &BlkDrive::default()).err();
    assert_eq!(make(BlkConfig { queue_size: 100, ..BlkConfig::default() }), Some(VirtioError::QueueSize(100)));
    assert_eq!(make(BlkConfig { queue_size: 2048, ..BlkConfig::default() }), Some(VirtioError::QueueSize(2048)));
    assert_eq!(make(BlkConfig { num_queues: Some(0), ..BlkConfig::default() }), Some(VirtioError::Queues(0, 256)));
    assert_eq!(make(BlkConfig { logical_block_size: 4096, ..BlkConfig::default() }), Some(VirtioError::BlockOrder));
    assert_eq!(make(BlkConfig { vectors: Some(4000), ..BlkConfig::default() }), Some(VirtioError::Vectors(4000)));
    let named = serde_json::json!({ "num-queues": 2, "disable-legacy": "on", "iothread": "io0", "packed": true });
    let named: BlkConfig = serde_json::from_value(named).expect("properties by their names");
    assert_eq!((named.num_queues, named.disable_legacy, named.packed), (Some(2), OnOffAuto::On, true));
    assert!(serde_json::from_value::<BlkConfig>(serde_json::json!({ "no-such": 1 })).is_err());
}

#[test]
fn features_are_agreed_on_only_if_they_were_offered() {
    let mut guest = rng(&RngConfig::default());
    let offered = guest.offered();
    assert_eq!(offered & Feature::RING_PACKED.bits(), 0);
    assert_eq!(offered & Feature::ANY_LAYOUT.bits(), 0, "only legacy drivers are told");
    assert!(guest.negotiate(offered));
    assert!(!guest.negotiate(offered | Feature::RING_PACKED.bits()));
    assert!(!guest.negotiate(0), "a modern driver has to say that it is one");
    assert_ne!(guest.inp(0, Width::Dword) & Feature::ANY_LAYOUT.bits(), 0);
}

#[test]
fn nothing_is_served_before_the_driver_is_ready() {
    let mut guest = rng(&RngConfig::default());
    assert!(guest.negotiate(BASE));
    let mut ring = guest.queue(0, 8);
    let buffer = guest.place(&[0; 16]);
    ring.send(&mut guest, &[], &[buffer]);
    assert_eq!(ring.used(&mut guest), None);
    guest.ready();
    guest.notify(0);
    assert_eq!(ring.used(&mut guest), Some((0, 16)));
}

#[test]
fn nothing_is_served_off_the_bus() {
    let (mut guest, mut ring) = with_buffer();
    guest.configure(offset::COMMAND, Width::Word, (Command::MEMORY | Command::IO).bits().into());
    guest.notify(0);
    assert_eq!(ring.used(&mut guest), None);
    guest.configure(offset::COMMAND, Width::Word, (Command::MEMORY | Command::MASTER).bits().into());
    assert_eq!(ring.used(&mut guest), Some((0, 16)), "what waited is served");
}

#[test]
fn intx_has_a_level_a_disable_bit_and_a_status_bit() {
    const STATUS_INTERRUPT: u32 = 8;
    let (mut guest, _ring) = with_buffer();
    guest.notify(0);
    assert!(guest.line());
    assert_eq!(guest.config(offset::STATUS, Width::Word) & STATUS_INTERRUPT, STATUS_INTERRUPT);
    let command = Command::MEMORY | Command::MASTER;
    guest.configure(offset::COMMAND, Width::Word, (command | Command::INTX_DISABLE).bits().into());
    assert!(!guest.line());
    assert_eq!(guest.config(offset::STATUS, Width::Word) & STATUS_INTERRUPT, STATUS_INTERRUPT);
    guest.configure(offset::COMMAND, Width::Word, command.bits().into());
    assert!(guest.line());
    assert_eq!((guest.isr(), guest.line()), (1, false));
    assert_eq!(guest.config(offset::STATUS, Width::Word) & STATUS_INTERRUPT, 0);
}

#[test]
fn msix_sends_each_queues_own_message() {
    let (mut guest, _ring) = with_buffer();
    guest.enable_msix(2);
    guest.store(MODERN + 0x16, Width::Word, 0);
    guest.store(MODERN + 0x1a, Width::Word, 1);
    guest.notify(0);
    assert_eq!((guest.messages(), guest.line()), (vec![0x41], false));
    guest.store(MODERN + 0x1a, Width::Word, 2);
    assert_eq!(guest.load(MODERN + 0x1a, Width::Word), 0xffff, "there is no such vector");
}

#[test]
fn a_masked_vector_is_pending_until_it_is_unmasked() {
    const PBA: u64 = MSIX + 0x800;
    let (mut guest, mut ring) = with_buffer();
    guest.enable_msix(2);
    guest.store(MODERN + 0x1a, Width::Word, 1);
    guest.store(MSIX + 16 + 12, Width::Dword, 1);
    guest.notify(0);
    assert_eq!((guest.messages(), guest.load(PBA, Width::Dword)), (vec![], 2));
    guest.store(MSIX + 16 + 12, Width::Dword, 0);
    assert_eq!((guest.messages(), guest.load(PBA, Width::Dword)), (vec![0x41], 0));
    let control = guest.capability(0x11, |_, _| true) + 2;
    guest.configure(control, Width::Word, 0xc000);
    let buffer = guest.place(&[0; 16]);
    ring.send(&mut guest, &[], &[buffer]);
    assert_eq!((guest.messages(), guest.load(PBA, Width::Qword)), (vec![], 2), "the whole function is masked");
    guest.configure(control, Width::Word, 0x8000);
    assert_eq!((guest.messages(), guest.load(PBA, Width::Qword)), (vec![0x41], 0));
}

#[test]
fn registers_can_be_reached_by_the_window_in_configuration_space() {
    let mut guest = Guest::new(blk::function(&BlkConfig::default()));
    let window = guest.capability(9, |guest, at| guest.config(at + 3, Width::Byte) == 5);
    let point = |guest: &mut Guest, at: u32, len: u32| {
        guest.configure(window + 4, Width::Byte, 4);
        guest.configure(window + 8, Width::Dword, at);
        guest.configure(window + 12, Width::Dword, len);
    };
    point(&mut guest, 0x2000, 4);
    assert_eq!(guest.config(window + 16, Width::Dword), 512);
    point(&mut guest, 0x14, 1);
    guest.configure(window + 16, Width::Byte, 3);
    assert_eq!((guest.config(window + 16, Width::Byte), guest.status()), (3, 3));
    for (at, len) in [(0x3ffe, 4), (0xffff_fffc, 4), (1, 2), (0, 3), (0, 0xffff_ffff)] {
        point(&mut guest, at, len);
        guest.configure(window + 16, Width::Dword, 0);
        guest.config(window + 16, Width::Dword);
    }
    assert_eq!(guest.status(), 3, "nothing was reached");
}

#[test]
fn capabilities_tell_where_the_registers_are() {
    let mut guest = Guest::new(blk::function(&BlkConfig::default()));
    let places = [1, 3, 4, 2].map(|kind| {
        let at = guest.capability(9, |guest, at| guest.config(at + 3, Width::Byte) == kind);
        (guest.config(at + 4, Width::Byte), guest.config(at + 8, Width::Dword), guest.config(at + 12, Width::Dword))
    });
    assert_eq!(places, [(4, 0, 0x3c), (4, 0x1000, 1), (4, 0x2000, 60), (4, 0x3000, 0x1000)]);
}

/// What a driver in disorder may put into a ring, by what the device makes of it.
#[test]
fn a_ring_that_makes_no_sense_stops_the_device_until_it_is_reset() {
    const NEEDS_RESET: u8 = 0x40;
    type Disorder = fn(&mut Guest, &super::ring::GuestRing);
    let disorders: [(&str, Disorder); 6] = [
        ("an index far ahead", |guest, ring| guest.store(ring.driver + 2, Width::Word, 100)),
        ("a head beyond the table", |guest, ring| guest.store(ring.driver + 4, Width::Word, 8)),
        ("a circle", |guest, ring| {
            guest.store(ring.descriptors + 12, Width::Dword, 3);
        }),
        ("a next beyond the table", |guest, ring| {
            guest.store(ring.descriptors + 12, Width::Dword, 0x9000_0003);
        }),
        ("a table that was not agreed on", |guest, ring| guest.store(ring.descriptors + 12, Width::Dword, 4)),
        ("what is read after what is written", |guest, ring| {
            guest.store(ring.descriptors + 12, Width::Dword, 0x1_0003);
            guest.store(ring.descriptors + 28, Width::Dword, 0);
        }),
    ];
    for (what, disorder) in disorders {
        let (mut guest, ring) = with_buffer();
        disorder(&mut guest, &ring);
        guest.notify(0);
        assert_eq!(guest.status() & NEEDS_RESET, NEEDS_RESET, "{what}");
        assert_eq!((guest.isr(), guest.bytes(ring.device, 4)), (2, vec![0; 4]), "{what}: told as a change");
        guest.notify(0);
        assert!(guest.negotiate(BASE), "{what}");
        let mut ring = guest.queue(0, 8);
        guest.ready();
        let buffer = guest.place(&[0; 16]);
        ring.send(&mut guest, &[], &[buffer]);
        assert_eq!(ring.used(&mut guest), Some((0, 16)), "{what}: then as new");
    }
}

#[test]
fn tables_of_any_length_but_a_tables_are_refused() {
    for len in [0, 8, 17, 16 * 1025, u32::MAX] {
        for packed in [false, true] {
            let config = RngConfig { packed, ..RngConfig::default() };
            let mut guest = rng(&config);
            let packed = if packed { Feature::RING_PACKED.bits() } else { 0 };
            assert!(guest.negotiate(BASE | packed | Feature::INDIRECT_DESC.bits()));
            let mut ring = guest.queue(0, 8);
            guest.ready();
            let buffer = guest.place(&[0; 16]);
            ring.add(&mut guest, &[], &[buffer]);
            guest.store(ring.descriptors + 8, Width::Dword, len.into());
            guest.notify(0);
            assert_eq!(guest.status() & 0x40, 0x40, "{len}");
        }
    }
}

#[test]
fn a_queue_of_a_size_that_cannot_be_is_not_enabled() {
    let mut guest = rng(&RngConfig::default());
    assert!(guest.negotiate(BASE));
    guest.queue(0, 6);
    assert_eq!(guest.status() & 0x40, 0x40);
}

#[test]
fn buffers_over_the_ring_and_over_nothing_do_no_harm() {
    let (mut guest, mut ring) = with_buffer();
    let (driver, device, table) = (ring.driver, ring.device, ring.descriptors);
    ring.send(&mut guest, &[], &[(driver, 64), (device, 64), (table, 128)]);
    let (mut guest, mut ring) = with_buffer();
    ring.send(&mut guest, &[], &[(u64::MAX - 8, 64), (MSIX, 64), (0xfff0_0000_0000, 64)]);
    assert_eq!(guest.status(), 0xf);
    assert_eq!(ring.all_used(&mut guest).last(), Some(&(1, 192)));
}
