//! The services under random calls, inputs and times: they never panic, and a copy made by saving and loading at a random
//! moment goes on exactly as the original does.

use super::*;
use lockstep_devices::i8042::I8042;
use lockstep_devices::i8254::Pit;
use lockstep_devices::mc146818::{Rtc, RtcConfig};
use lockstep_fabric::memory::{Backing, Region};
use lockstep_fabric::{BlockCompletion, Clock, Cpu, DeviceId, Medium, Memory, Output};
use lockstep_firmware::bios::{BootSettings, vector};
use lockstep_firmware::platform::PlatformConfig;
use std::collections::VecDeque;

const RAM: u64 = 2 << 20;
const ROUNDS: u64 = 1500;
const SEEDS: u64 = 6;
/// What the ROM calls, and one vector that it does not.
const VECTORS: [u16; 15] =
    [0x10, 0x11, 0x12, 0x13, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, vector::POST, vector::SCAN_CODE];

/// The same numbers for the same seed (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 16) % end
    }
}

enum Step {
    /// A frame's bytes, and where it lies.
    Call(Vec<u8>, u32),
    Action,
    Mailbox(Option<u32>),
    Complete(bool),
    Medium(u8, Option<Medium>),
    Key(u16),
    Poke(u64, u8),
    Advance(u64),
    Reset,
}

impl Step {
    fn choose(numbers: &mut Numbers) -> Self {
        match numbers.below(40) {
            0..20 => {
                let mut frame: Vec<u8> = (0..6).flat_map(|_| numbers.next().to_le_bytes()).collect();
                // Functions and drives that exist are as likely as all others.
                if numbers.below(2) == 0 {
                    frame[28] = numbers.below(9) as u8;
                    frame[29] = [2, 3, 4, 0x42, 0x43, numbers.below(0x60) as u8][numbers.below(6) as usize];
                    frame[20..22].copy_from_slice(&[[0, 1, 0x80, 0x81, 0xe0][numbers.below(5) as usize], 0]);
                    frame[24..26].copy_from_slice(&[numbers.below(20) as u8, 0]);
                }
                frame[36..38].copy_from_slice(&VECTORS[numbers.below(15) as usize].to_le_bytes());
                Self::Call(frame, if numbers.below(20) == 0 { numbers.next() as u32 } else { 0x7000 })
            }
            20..23 => Self::Action,
            23..26 => Self::Mailbox((numbers.below(3) != 0).then(|| numbers.next() as u32)),
            26..32 => Self::Complete(numbers.below(4) != 0),
            32 => {
                let medium = Medium { bytes: numbers.below(1 << 22), read_only: numbers.below(2) == 0 };
                Self::Medium(numbers.below(5) as u8, (numbers.below(2) == 0).then_some(medium))
            }
            33 => Self::Key(numbers.next() as u16),
            34..37 => Self::Poke(0x400 + numbers.below(0x200), numbers.next() as u8),
            37..39 => Self::Advance(numbers.below(1 << 26)),
            _ => Self::Reset,
        }
    }
}

struct Bench {
    bus: Bus,
    services: DeviceId,
    keyboard: DeviceId,
    asked: VecDeque<BlockRequest>,
}

impl Bench {
    fn new() -> Self {
        let mut memory = Memory::new(RAM).expect("memory for a test");
        let ram = memory.allocate(RAM).expect("room for it");
        memory.add_region(Region {
            owner: DeviceId(u16::MAX),
            index: 0,
            base: Some(0),
            len: RAM,
            priority: 0,
            reads: true,
            writes: true,
            backing: Backing::Ram(ram),
        });
        let mut bus = Bus::new(memory, Clock::new(0));
        let drive = |kind, drive, bytes| BiosDrive { kind, drive, bytes, read_only: false, boot_order: None };
        let config = BiosConfig {
            platform: PlatformConfig::pc(1, RAM),
            drives: vec![
                drive(DriveKind::Floppy, 0, 1_474_560),
                drive(DriveKind::HardDisk, 1, 20 << 20),
                drive(DriveKind::Cdrom, 2, 1 << 20),
            ],
            serial_console: true,
            floppy_signature_check: true,
            boot: BootSettings::default(),
        };
        let rtc = RtcConfig { base: 1_767_225_600, ..RtcConfig::default() };
        let services = bus.add("bios", Box::new(BiosServices::new(config)));
        let keyboard = bus.add("i8042", Box::new(I8042::new()));
        let pit = bus.add("pit", Box::new(Pit::new()));
        let clock = bus.add("rtc", Box::new(Rtc::new(&rtc)));
        BiosServices::regions().into_iter().for_each(|region| bus.map(services, region));
        I8042::regions().into_iter().for_each(|region| bus.map(keyboard, region));
        Pit::regions().into_iter().for_each(|region| bus.map(pit, region));
        Rtc::regions().into_iter().for_each(|region| bus.map(clock, region));
        bus.reset();
        Self { bus, services, keyboard, asked: VecDeque::new() }
    }

    fn copy(&self) -> Self {
        let saved = self.bus.save().expect("a state");
        let mut copy = Self::new();
        copy.bus.load(&saved).expect("the same parts");
        assert_eq!(copy.bus.save().expect("a state"), saved);
        let ram = self.bus.memory.arena().bytes(0, RAM as usize).expect("the RAM");
        copy.bus.memory.fill(0, ram);
        copy.bus.take_output();
        Self { asked: self.asked.clone(), ..copy }
    }

    /// Does a step, and tells what could be seen of it.
    fn act(&mut self, step: &Step) -> String {
        let bus = &mut self.bus;
        let mut seen = None;
        match step {
            Step::Call(frame, at) => {
                bus.memory.write_bytes((*at).into(), frame);
                seen = bus.write(Space::Io, bios::PORT.into(), Width::Dword, (*at).into(), Cpu(0)).ok().map(|()| 0);
            }
            Step::Action => seen = bus.read(Space::Io, bios::PORT.into(), Width::Byte, Cpu(0)).ok(),
            Step::Mailbox(None) => seen = bus.read(Space::Io, bios::MAILBOX_PORT.into(), Width::Dword, Cpu(0)).ok(),
            Step::Mailbox(Some(value)) => {
                let port = bios::MAILBOX_PORT.into();
                seen = bus.write(Space::Io, port, Width::Dword, (*value).into(), Cpu(0)).ok().map(|()| 0);
            }
            Step::Complete(well) => {
                if let Some(request) = self.asked.pop_front() {
                    let result = if *well { Ok(answer(&request.operation)) } else { Err(BlockError::Io) };
                    let done = BlockCompletion { drive: request.drive, tag: request.tag, result };
                    bus.input(self.services, &Input::Block(done));
                }
            }
            Step::Medium(drive, medium) => {
                bus.input(self.services, &Input::Medium { drive: *drive, medium: *medium });
            }
            Step::Key(key) => bus.input(self.keyboard, &Input::Key(*key, true)),
            Step::Poke(at, byte) => bus.memory.write_bytes(*at, &[*byte]),
            Step::Advance(ticks) => {
                let end = bus.clock.now() + ticks;
                while bus.clock.next_deadline() <= end {
                    let due = bus.clock.next_deadline();
                    bus.advance(due);
                }
                bus.advance(end);
            }
            Step::Reset => bus.reset(),
        }
        let output = bus.take_output();
        self.asked
            .extend(output.iter().filter_map(|(_, o)| if let Output::Block(r) = o { Some(r.clone()) } else { None }));
        let mut frame = [0; 48];
        bus.memory.read_bytes(0x7000, &mut frame);
        format!("{seen:?} {output:?} {frame:?}")
    }
}

/// What a drive answers: less than was asked if that is much.
fn answer(operation: &BlockOperation) -> Vec<u8> {
    const MOST: u64 = 1 << 16;
    match operation {
        BlockOperation::Read { offset, len } => (0..(*len).min(MOST)).map(|i| (offset + i) as u8).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn random_calls_never_panic_and_a_loaded_copy_goes_on_alike() {
    for seed in 1..=SEEDS {
        let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut bench = Bench::new();
        let copied_at = numbers.below(ROUNDS);
        let mut copy = None;
        let mut served = 0;
        for round in 0..ROUNDS {
            if round == copied_at {
                copy = Some(bench.copy());
            }
            let step = Step::choose(&mut numbers);
            served += u32::from(matches!(step, Step::Complete(_)) && !bench.asked.is_empty());
            let seen = bench.act(&step);
            if let Some(copy) = &mut copy {
                assert_eq!(copy.act(&step), seen, "seed {seed}, round {round}");
            }
        }
        let ends = copy.map(|copy| copy.bus.save().expect("a state"));
        assert_eq!(ends, Some(bench.bus.save().expect("a state")), "seed {seed}: copies end alike");
        assert!(served > 0, "seed {seed}: drives were asked");
    }
}
