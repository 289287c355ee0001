//! Guests in disorder: random registers, random configuration, random bytes in the rings, drives that answer when they
//! like. Nothing panics or hangs, and a copy loaded at a random moment goes on alike.

use super::drive::finish;
use super::guest::{CONFIG, Guest, LEGACY, MODERN, MSIX, NOTIFY, RAM_LEN};
use super::ring::GuestRing;
use super::{blk, console};
use crate::virtio::balloon::{Balloon, BalloonConfig};
use crate::virtio::rng::{Rng, RngConfig};
use crate::virtio::{Class, Feature, VirtioPci};
use lockstep_fabric::{BalloonOrder, BlockError, BlockOperation, Input, Space, Width};

const ROUNDS: u32 = 3000;
const SEEDS: u64 = 10;

/// The same numbers for the same seed (xorshift64*).
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 16) % end.max(1)
    }

    fn width(&mut self) -> Width {
        [Width::Byte, Width::Word, Width::Dword, Width::Qword][self.below(4) as usize]
    }

    /// Numbers that mean something to a ring are as likely as any.
    fn value(&mut self) -> u64 {
        match self.below(5) {
            0 => self.next(),
            1 => self.below(16),
            2 => 1 << self.below(64),
            3 => 0x1_0000 + self.below(RAM_LEN - 0x1_0000),
            _ => [0x8000_0000_0000_0000, u64::MAX, 0xffff, 0x0080, 0x8080, 0x8081][self.below(6) as usize],
        }
    }
}

/// A driver that starts out well, so that what follows gets deep into the device.
fn start(guest: &mut Guest, dice: &mut Dice, queues: u16) -> Vec<GuestRing> {
    guest.forget_allocations();
    let rings = [Feature::INDIRECT_DESC, Feature::EVENT_IDX, Feature::RING_PACKED, Feature::IN_ORDER];
    let chosen = rings.iter().filter(|_| dice.below(2) == 0).fold(Feature::VERSION_1, |all, f| all | *f);
    let wanted = guest.offered() & (chosen.bits() | 0xff_ffff);
    guest.negotiate(wanted);
    let rings = (0..queues).map(|queue| guest.queue(queue, 8)).collect();
    guest.ready();
    rings
}

/// A buffer as a driver in order would send it, or nearly so.
fn send(guest: &mut Guest, dice: &mut Dice, rings: &mut [GuestRing]) {
    let ring = &mut rings[dice.below(rings.len() as u64) as usize];
    let mut words = [[0, 1, 4, 8, 11, 13][dice.below(6) as usize], dice.below(40), dice.below(600), dice.below(4)];
    if dice.below(4) == 0 {
        words[dice.below(4) as usize] = dice.value();
    }
    let bytes: Vec<_> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let header = guest.place(&bytes[..[8, 16, 32][dice.below(3) as usize]]);
    let data = (guest.allocate(4096), [0, 1, 512, 1024, 4096][dice.below(5) as usize]);
    let status = guest.place(&[0xee]);
    match dice.below(4) {
        0 => ring.add(guest, &[], &[data, status]),
        1 => ring.add(guest, &[header], &[status]),
        2 => ring.add(guest, &[header], &[data, status]),
        _ => ring.add(guest, &[header, data], &[status]),
    };
    guest.notify(ring.queue);
}

/// Plausible descriptors in the ring, then some disorder in it.
fn scribble(guest: &mut Guest, dice: &mut Dice, rings: &[GuestRing]) {
    let ring = &rings[dice.below(rings.len() as u64) as usize];
    let areas = [(ring.descriptors, 128), (ring.driver, 32), (ring.device, 80)];
    let (base, len) = areas[dice.below(3) as usize];
    if len == 128 && dice.below(2) == 0 {
        for at in 0..8 {
            let len = [0, 1, 8, 16, 512, 513, 4096, u64::from(u32::MAX)][dice.below(8) as usize];
            let flags = dice.below(8) | [0, 0x80, 0x8000][dice.below(3) as usize];
            let next = dice.below(9);
            // Flags of both kinds of ring.
            let fourth = if dice.below(2) == 0 { next } else { flags };
            let address = 0x1_0000 + dice.below(RAM_LEN / 2);
            guest.store(base + 16 * at, Width::Qword, address);
            guest.store(base + 16 * at + 8, Width::Qword, len | flags << 32 | fourth << 48);
        }
    } else {
        let (at, width, value) = (base + dice.below(len), dice.width(), dice.value());
        guest.store(at, width, value & width.mask());
    }
}

fn step(guest: &mut Guest, dice: &mut Dice, rings: &mut Vec<GuestRing>, queues: u16) -> String {
    let mut seen = String::new();
    match dice.below(100) {
        0..40 => send(guest, dice, rings),
        40..50 => scribble(guest, dice, rings),
        50..55 => {
            let driver = rings[dice.below(rings.len() as u64) as usize].driver;
            let index = guest.load(driver + 2, Width::Word) + dice.below(3);
            guest.store(driver + 2, Width::Word, index & 0xffff);
            guest.notify(dice.below(queues.into()) as u16);
        }
        55..60 => {
            let (base, len) = [(MODERN, 0x40), (CONFIG, 0x40), (MSIX, 0x1000), (NOTIFY, 0x20)][dice.below(4) as usize];
            let (at, width, value) = (base + dice.below(len), dice.width(), dice.value());
            guest.store(at, width, value & width.mask());
        }
        60..65 => {
            let (at, width) = (MODERN + dice.below(0x4000), dice.width());
            seen = format!("{:?}", guest.load(at, width));
        }
        65..68 => {
            let (at, width, value) = (dice.below(0x80), dice.width(), dice.value());
            guest.out(at, width, value & width.mask());
            seen = format!("{:?}", guest.bus.read(Space::Io, LEGACY + at, width, lockstep_fabric::Cpu(0)));
        }
        68..72 => {
            // Not the base addresses, or nothing would be reached any more.
            let at = [0x04, 0x40 + (dice.below(0xc0) & !3)][dice.below(2) as usize] as u16;
            guest.configure(at, Width::Dword, dice.value() as u32);
            seen = format!("{:x}", guest.config(at, Width::Dword));
            guest.configure(4, Width::Word, 7);
        }
        72..85 => complete(guest, dice),
        85..92 => guest.input(&input(dice)),
        92..95 => {
            let order = dice.below(34);
            guest.advance(dice.below(1 << order));
        }
        95..99 => *rings = start(guest, dice, queues),
        _ => {
            guest.bus.reset();
            guest.place_function();
            *rings = start(guest, dice, queues);
        }
    }
    // A device that is lost has no more to show, and RAM is not without end.
    let lost = guest.status() & 0x40 != 0;
    if lost && dice.below(8) == 0 || guest.heap_left() < 0x1_0000 {
        *rings = start(guest, dice, queues);
    }
    let requests = guest.requests.len();
    format!("{seen} {requests} {:?} {:?}", guest.port_bytes.drain(..), guest.notices.drain(..))
}

fn complete(guest: &mut Guest, dice: &mut Dice) {
    if guest.requests.is_empty() {
        return;
    }
    let request = guest.requests.remove(dice.below(guest.requests.len() as u64) as usize);
    let result = match request.operation {
        _ if dice.below(4) == 0 => Err(BlockError::Io),
        BlockOperation::Read { len, .. } => Ok(vec![0x5a; len as usize]),
        _ => Ok(Vec::new()),
    };
    finish(guest, &request, result);
}

fn input(dice: &mut Dice) -> Input {
    let port = dice.below(4) as u32;
    match dice.below(8) {
        6 => Input::PortPlugged { port, console: dice.below(2) == 0, name: Some("late".into()), open: true },
        7 => Input::PortUnplugged { port },
        0..2 => Input::PortBytes { port, bytes: vec![b'x'; dice.below(2000) as usize] },
        2 => Input::PortOpen { port, open: dice.below(2) == 0 },
        3 => Input::PortSize { port, columns: dice.next() as u16, rows: 25 },
        4 => Input::Balloon(BalloonOrder::Target(dice.next())),
        _ => Input::Balloon(BalloonOrder::Poll(dice.below(3) as u32)),
    }
}

fn fuzz<C: Class>(make: fn() -> VirtioPci<C>, queues: u16) {
    let mut served = 0;
    for seed in 0..SEEDS {
        let mut dice = Dice::new(seed);
        let mut guest = Guest::new(make());
        let mut rings = start(&mut guest, &mut dice, queues);
        let copied_at = dice.below(ROUNDS.into()) as u32;
        let mut copy = None;
        for round in 0..ROUNDS {
            if round == copied_at {
                copy = Some((guest.copy_into(make()), rings.clone()));
            }
            let mut same = dice.clone();
            let seen = step(&mut guest, &mut dice, &mut rings, queues);
            served += u32::from(guest.isr() == 1);
            if let Some((copy, rings)) = &mut copy {
                let echoed = step(copy, &mut same, rings, queues);
                copy.isr();
                assert_eq!(echoed, seen, "{}, seed {seed}, round {round}", C::KIND);
            }
        }
        let (copy, _) = copy.expect("a copy");
        let ends = [copy, guest].map(|g| (g.bus.save().expect("a state"), g.bytes(0, RAM_LEN as usize)));
        assert!(ends[0] == ends[1], "{}, seed {seed}: copies end alike", C::KIND);
    }
    assert!(served > 100, "{}: {served} buffers used are too few to have been in the device's depths", C::KIND);
}

#[test]
fn a_disk_survives_any_guest() {
    fuzz(|| blk::function(&blk::everything()), 2);
}

#[test]
fn a_console_survives_any_guest() {
    fuzz(console::function, 6);
}

#[test]
fn an_entropy_device_survives_any_guest() {
    fuzz(
        || {
            let config =
                RngConfig { packed: true, in_order: true, max_bytes: 10_000, period: 1, ..RngConfig::default() };
            Rng::function(&config, 1).expect("an entropy device")
        },
        1,
    );
}

#[test]
fn a_balloon_survives_any_guest() {
    fuzz(
        || {
            let config = BalloonConfig { packed: true, free_page_reporting: true, ..BalloonConfig::default() };
            Balloon::function(&config, 1 << 30).expect("a balloon")
        },
        4,
    );
}
