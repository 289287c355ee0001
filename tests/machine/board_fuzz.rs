//! The whole board with one of everything in the catalog, under its own firmware, and a hand that reaches into all devices at
//! random: nothing panics or hangs, and a copy saved and loaded at a random moment goes on alike.

use lockstep::snapshot::Snapshot;
use lockstep_devices::catalog::CATALOG;
use lockstep_fabric::memory::{Backing, Region};
use lockstep_fabric::{Cpu, DeviceId, Input, MouseMotion, Outside, PinId, Space, Width};
use lockstep_tests::guest::Guest;
use lockstep_tests::random::Random;
use lockstep_tests::whole_catalog::WholeCatalog;
use std::collections::BTreeSet;

const ROUNDS: u32 = 6_000;
const SEEDS: u64 = 3;
const SEEDS_OF_LONG_RUNS: u64 = 60;
/// By then the firmware has placed the PCI functions.
const PLACED: u64 = 30_000_000;

#[derive(Clone)]
struct Numbers(Random);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0.next()
    }

    fn below(&mut self, end: usize) -> usize {
        self.0.below(end as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, these: &[T]) -> Option<T> {
        these.get(self.below(these.len())).copied()
    }

    /// What means something to some register is as likely as anything.
    fn value(&mut self) -> u64 {
        match self.below(4) {
            0 => self.next(),
            // Commands of drives and controllers, and bits that start something.
            1 => self.one_of(&[0, 1, 2, 7, 0x20, 0x30, 0xa0, 0xa1, 0xc8, 0xca, 0xec, 0x46, 0xe6, 0x0f]).unwrap_or(0),
            2 => 1 << self.below(64),
            _ => self.next() & 0xff,
        }
    }
}

/// Where a device answers: the spaces that have registers, and no memory.
fn registers(guest: &Guest, device: DeviceId) -> Vec<(Space, Region)> {
    let bus = &guest.board.machine.bus;
    let of = |space: Space| bus.space(space).regions().iter().map(move |region| (space, region));
    let all = [Space::Memory, Space::Io, Space::Private].into_iter().flat_map(of);
    let its = |region: &Region| matches!(region.backing, Backing::Device(owner, _) if owner == device);
    all.filter(|(_, region)| its(region) && region.base.is_some()).map(|(space, r)| (space, r.clone())).collect()
}

fn input(numbers: &mut Numbers) -> Input {
    match numbers.below(10) {
        0 => Input::Key(numbers.next() as u16 & 0xe0ff, numbers.below(2) == 0),
        1 => Input::Bytes((0..numbers.below(40)).map(|i| i as u8).collect()),
        2 => Input::PowerButton,
        3 => Input::EjectRequest { drive: numbers.below(5) as u8 },
        4 => {
            let buttons = Some(numbers.next() as u8);
            Input::Mouse(MouseMotion { right: numbers.next() as i16, up: numbers.next() as i16, wheel: 1, buttons })
        }
        5 => Input::PortOpen { port: numbers.below(4) as u32, open: numbers.below(2) == 0 },
        6 => Input::Break,
        7 => {
            let port = numbers.below(34) as u32;
            let console = numbers.below(2) == 0;
            Input::PortPlugged { port, console, name: Some("late".into()), open: numbers.below(2) == 0 }
        }
        8 => Input::PortUnplugged { port: numbers.below(34) as u32 },
        _ => Input::Pin { pin: PinId(numbers.below(32) as u16), level: numbers.below(2) == 0 },
    }
}

/// Lets time pass, and starts the machine again when it is over.
fn go_on(guest: &mut Guest, ticks: u64) {
    let end = guest.board.machine.now() + ticks;
    while guest.run_to(end).is_some() {
        guest.board.machine.enter(Outside::Reset).expect("an open gate");
    }
}

/// One random thing to one random device; what could be seen of it.
fn step(guest: &mut Guest, numbers: &mut Numbers, reached: &mut BTreeSet<DeviceId>) -> String {
    let devices: Vec<_> = guest.board.machine.bus.devices().collect();
    let device = numbers.one_of(&devices).expect("a device");
    let seen = match numbers.below(20) {
        0..12 => access(guest, device, numbers, reached),
        12..14 => {
            let offset = 4 * numbers.below(64) as u16;
            let value = numbers.value() as u32;
            let configured = guest.board.machine.bus.with(device, |device, cx| {
                let function = device.pci()?;
                function.config_write(cx, offset, Width::Dword, value);
                Some(function.config_read(cx, offset, Width::Dword))
            });
            format!("{configured:?}")
        }
        14..16 => {
            let input = input(numbers);
            assert!(guest.board.machine.arrive(device, input), "an open gate");
            String::new()
        }
        _ => {
            let order = numbers.below(19);
            let ticks = numbers.below(1 << order) as u64;
            go_on(guest, ticks);
            String::new()
        }
    };
    go_on(guest, 0);
    format!("{seen} {}", guest.board.machine.now())
}

fn access(guest: &mut Guest, device: DeviceId, numbers: &mut Numbers, reached: &mut BTreeSet<DeviceId>) -> String {
    let regions = registers(guest, device);
    let Some((space, region)) = regions.get(numbers.below(regions.len())) else { return String::new() };
    let width = numbers.one_of(&[Width::Byte, Width::Byte, Width::Word, Width::Dword, Width::Qword]).expect("one");
    let at = region.base.unwrap_or(0).wrapping_add(numbers.next() % region.len.max(1));
    let cpu = Cpu(numbers.below(2) as u8);
    reached.insert(device);
    let bus = &mut guest.board.machine.bus;
    match numbers.below(5) {
        0..2 => format!("{:?}", bus.read(*space, at, width, cpu)),
        _ => format!("{:?}", bus.write(*space, at, width, numbers.value() & width.mask(), cpu)),
    }
}

fn start(whole: &WholeCatalog) -> Guest {
    let fixed = "-m 16,slots=1,maxmem=1G -smp 2 -seed 1 -rtc base=2026-01-01 -nographic -nodefaults -serial null";
    let fixed: Vec<String> = fixed.split(' ').map(str::to_owned).collect();
    let more: Vec<&str> = whole.arguments.iter().map(String::as_str).collect();
    Guest::start(&fixed, &more)
}

fn fuzz(seed: u64) {
    let whole = WholeCatalog::new(&format!("fuzz-{seed}"));
    let mut numbers = Numbers(Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1));
    let mut guest = start(&whole);
    let bus = &mut guest.board.machine.bus;
    let kinds: BTreeSet<_> = bus.devices().filter_map(|id| bus.with(id, |device, _| device.kind())).collect();
    let absent: Vec<_> = CATALOG.iter().map(|entry| entry.name).filter(|name| !kinds.contains(name)).collect();
    assert_eq!(absent, [""; 0], "not on the board");
    go_on(&mut guest, PLACED);
    let places: Vec<_> =
        guest.board.machine.bus.devices().filter(|device| !registers(&guest, *device).is_empty()).collect();
    let mut reached = BTreeSet::new();
    let copied_at = numbers.below(ROUNDS as usize) as u32;
    let mut copy: Option<(Guest, Numbers)> = None;
    for round in 0..ROUNDS {
        if round == copied_at {
            let saved = Snapshot::of(&guest.board.machine).expect("it can be saved");
            let mut fresh = start(&whole);
            go_on(&mut fresh, numbers.next() % PLACED);
            saved.restore(&mut fresh.board.machine).expect("it can be loaded");
            assert_eq!(fresh.board.machine.save_state().expect("a state"), saved.state, "seed {seed}");
            fresh.console.clone_from(&guest.console);
            copy = Some((fresh, numbers.clone()));
        }
        let seen = step(&mut guest, &mut numbers, &mut reached);
        if let Some((copy, numbers)) = &mut copy {
            let echoed = step(copy, numbers, &mut BTreeSet::new());
            assert_eq!(echoed, seen, "seed {seed}, round {round}");
        }
    }
    let (mut copy, _) = copy.expect("a copy");
    let states = [&guest, &copy].map(|guest| guest.board.machine.save_state().expect("a state"));
    assert_eq!(states[0], states[1], "seed {seed}");
    assert_eq!((copy.digest(), &copy.console), (guest.digest(), &guest.console), "seed {seed}");
    let bus = &guest.board.machine.bus;
    let missed: Vec<_> = places.iter().filter(|device| !reached.contains(device)).map(|d| bus.name(*d)).collect();
    assert_eq!(missed, [""; 0], "never reached");
}

#[test]
fn whatever_is_done_to_its_devices_the_board_lives_and_a_loaded_copy_goes_on_alike() {
    let seeds = if std::env::var_os("LOCKSTEP_LONG").is_some() { SEEDS_OF_LONG_RUNS } else { SEEDS };
    (0..seeds).for_each(fuzz);
}
