//! The entropy device and the balloon.

use super::guest::{CONFIG, Guest};
use crate::virtio::balloon::{Balloon, BalloonConfig, Statistic};
use crate::virtio::rng::{Rng, RngConfig};
use crate::virtio::{Feature, VirtioPci};
use lockstep_fabric::{BalloonOrder, Input, Notice, Width};

const BASE: u64 = Feature::VERSION_1.bits();
const RAM: u64 = 64 << 20;

fn entropy(seed: u64, len: usize) -> Vec<u8> {
    let mut guest = Guest::new(Rng::function(&RngConfig::default(), seed).expect("an entropy device"));
    assert!(guest.negotiate(BASE));
    let mut ring = guest.queue(0, 8);
    guest.ready();
    let buffer = guest.place(&vec![0; len]);
    ring.send(&mut guest, &[], &[buffer]);
    assert_eq!(ring.used(&mut guest), Some((0, len as u32)));
    guest.bytes(buffer.0, len)
}

#[test]
fn entropy_follows_from_the_seed() {
    assert_eq!(entropy(1, 1000), entropy(1, 1000));
    assert_ne!(entropy(1, 1000), entropy(2, 1000));
    assert!((0..=255).all(|byte| entropy(1, 4000).contains(&byte)));
}

#[test]
fn entropy_is_given_at_the_rate_configured() {
    let config = RngConfig { max_bytes: 100, period: 10, ..RngConfig::default() };
    let mut guest = Guest::new(Rng::function(&config, 1).expect("an entropy device"));
    assert!(guest.negotiate(BASE));
    let mut ring = guest.queue(0, 8);
    guest.ready();
    let buffer = guest.place(&[0; 80]);
    for _ in 0..3 {
        ring.send(&mut guest, &[], &[buffer]);
    }
    assert_eq!(ring.all_used(&mut guest), [(0, 80), (1, 20)]);
    guest.advance(9_999_000);
    assert_eq!(ring.used(&mut guest), None);
    guest.advance(1_000);
    assert_eq!(ring.all_used(&mut guest), [(2, 80)]);
}

fn balloon() -> VirtioPci<Balloon> {
    let config = BalloonConfig { free_page_reporting: true, ..BalloonConfig::default() };
    Balloon::function(&config, RAM).expect("a balloon")
}

#[test]
fn the_target_is_told_and_the_guests_answer_is_news() {
    let mut guest = Guest::new(balloon());
    assert!(guest.negotiate(BASE));
    let mut inflate = guest.queue(0, 8);
    guest.ready();
    guest.input(&Input::Balloon(BalloonOrder::Target(RAM - 8192)));
    assert_eq!((guest.isr(), guest.load(CONFIG, Width::Dword)), (2, 2));
    let pages = guest.place(&[1, 0, 0, 0, 2, 0, 0, 0]);
    inflate.send(&mut guest, &[pages], &[]);
    assert_eq!(inflate.used(&mut guest), Some((0, 0)));
    guest.store(CONFIG + 4, Width::Dword, 2);
    assert_eq!(guest.notices, [Notice::Balloon(RAM - 8192)]);
}

#[test]
fn statistics_are_asked_for_every_so_often() {
    let mut guest = Guest::new(balloon());
    assert!(guest.negotiate(BASE | 1 << 1));
    let mut stats = guest.queue(2, 8);
    guest.ready();
    let mut message = 4_u16.to_le_bytes().to_vec();
    message.extend_from_slice(&123_456_u64.to_le_bytes());
    let buffer = guest.place(&message);
    stats.send(&mut guest, &[buffer], &[]);
    assert_eq!(stats.used(&mut guest), None, "the device keeps the buffer to ask with");
    guest.input(&Input::Balloon(BalloonOrder::Poll(2)));
    assert_eq!(stats.used(&mut guest), Some((0, 0)));
    stats.send(&mut guest, &[buffer], &[]);
    assert_eq!(stats.used(&mut guest), None);
    guest.advance(2_000_000_000);
    assert_eq!(stats.used(&mut guest), Some((1, 0)));
    assert_eq!(told(&mut guest).0, [Statistic { tag: 4, value: 123_456 }]);
}

/// The statistics that the device knows, and of when.
fn told(guest: &mut Guest) -> (Vec<Statistic>, u64) {
    let state = guest.bus.with(guest.device, |d, _| d.save()).expect("the device").expect("its state");
    let told: VirtioPci<Balloon> = serde_json::from_value(state).expect("its state");
    let (statistics, at) = told.class().statistics();
    (statistics.to_vec(), at)
}

#[test]
fn statistics_told_before_the_driver_is_ready_are_taken_when_it_is() {
    let mut guest = Guest::new(balloon());
    guest.input(&Input::Balloon(BalloonOrder::Poll(1)));
    assert!(guest.negotiate(BASE | 1 << 1));
    let mut stats = guest.queue(2, 8);
    let buffer = guest.place(&[4, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
    stats.send(&mut guest, &[buffer], &[]);
    guest.advance(500_000_000);
    guest.ready();
    assert_eq!(told(&mut guest), ([Statistic { tag: 4, value: 9 }].to_vec(), 500_000_000));
    assert_eq!(stats.used(&mut guest), None);
    guest.advance(1_000_000_000);
    assert_eq!(stats.used(&mut guest), Some((0, 0)), "the device asks for the next");
}

const FREE: u64 = 0x8_0000;

/// Four pages that hold something, from [`FREE`] on.
fn filled(guest: &mut Guest) {
    guest.fill(FREE, &[0xaa; 4 * 4096]);
}

/// Which of the four pages are zeroes as a whole.
fn forgotten(guest: &Guest) -> [bool; 4] {
    [0, 1, 2, 3].map(|page| guest.bytes(FREE + page * 4096, 4096).iter().all(|byte| *byte == 0))
}

#[test]
fn pages_in_the_balloon_are_zeroes() {
    let mut guest = Guest::new(balloon());
    assert!(guest.negotiate(BASE));
    let (mut inflate, mut deflate) = (guest.queue(0, 8), guest.queue(1, 8));
    guest.ready();
    filled(&mut guest);
    // Downwards, beyond all RAM, and half a number.
    let numbers = [0x82_u32, 0x81, 0xffff_ffff, 0x83];
    let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).chain([0x80, 0]).collect();
    let numbers = guest.place(&numbers);
    inflate.send(&mut guest, &[numbers], &[]);
    assert_eq!((inflate.used(&mut guest), forgotten(&guest)), (Some((0, 0)), [false, true, true, true]));
    let number = guest.place(&0x80_u32.to_le_bytes());
    deflate.send(&mut guest, &[number], &[]);
    assert_eq!((deflate.used(&mut guest), forgotten(&guest)[0]), (Some((0, 0)), false), "a page taken back");
}

#[test]
fn pages_reported_free_are_zeroes_unless_they_are_filled_with_something_else() {
    for (poison, expected) in [(0, [true, true, false, false]), (0xaaaa_aaaa, [false; 4])] {
        let mut guest = Guest::new(balloon());
        assert!(guest.negotiate(BASE | 1 << 4 | 1 << 5));
        let mut reporting = guest.queue(3, 8);
        guest.store(CONFIG + 12, Width::Dword, poison);
        guest.ready();
        filled(&mut guest);
        reporting.send(&mut guest, &[], &[(FREE, 0x1000), (FREE + 0x1000, 0x1800)]);
        assert_eq!((reporting.used(&mut guest), forgotten(&guest)), (Some((0, 0)), expected), "{poison:#x}");
    }
}
