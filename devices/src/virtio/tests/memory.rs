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
    let state = guest.bus.with(guest.device, |d, _| d.save()).expect("the device").expect("its state");
    let told: VirtioPci<Balloon> = serde_json::from_value(state).expect("its state");
    assert_eq!(told.class().statistics().0, [Statistic { tag: 4, value: 123_456 }]);
}

#[test]
fn free_pages_are_taken_note_of() {
    let mut guest = Guest::new(balloon());
    assert!(guest.negotiate(BASE | 1 << 5));
    let mut reporting = guest.queue(3, 8);
    guest.ready();
    reporting.send(&mut guest, &[], &[(0x8_0000, 0x4000)]);
    assert_eq!(reporting.used(&mut guest), Some((0, 0)));
}
