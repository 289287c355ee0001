use super::*;
use crate::pci::i440fx::{self, I440Fx};
use crate::pci::tests::{CARD_REGIONS, Card};
use lockstep_fabric::{Bus, Clock, Cpu, Memory};

/// A bridge in slot 4 with a card in its slot 1 and a bridge in its slot 2, which has a card in its slot 5.
struct Tree {
    bus: Bus,
}

const OUTER: (u8, u8) = (0, 4);
const NEAR: (u8, u8) = (1, 1);
const INNER: (u8, u8) = (1, 2);
const FAR: (u8, u8) = (2, 5);

impl Tree {
    fn new() -> Self {
        let mut bus = Bus::new(Memory::new(1 << 16).expect("memory for a test"), Clock::new(0));
        let bridge = |chassis_nr| PciBridge::new(&BridgeConfig { chassis_nr, ..BridgeConfig::default() });
        let [near, far] = ["near", "far"].map(|name| {
            let card = bus.add(name, Box::new(Card::new()));
            CARD_REGIONS.into_iter().for_each(|region| bus.map(card, region));
            card
        });
        let mut inner = bridge(2).expect("a bridge");
        inner.attach(DevFn::new(FAR.1, 0), far, true);
        let inner = bus.add("inner", Box::new(inner));
        let mut outer = bridge(1).expect("a bridge");
        outer.attach(DevFn::new(NEAR.1, 0), near, false);
        outer.attach(DevFn::new(INNER.1, 0), inner, false);
        let outer = bus.add("outer", Box::new(outer));
        let mut host = I440Fx::new();
        host.attach(DevFn::new(OUTER.1, 0), outer, false);
        let host = bus.add("host", Box::new(host));
        bus.map(host, i440fx::REGION);
        for (device, bridge) in [(near, outer), (inner, outer), (far, inner)] {
            bus.put_behind(device, bridge);
        }
        bus.reset();
        Self { bus }
    }

    /// The same with its buses numbered.
    fn numbered() -> Self {
        let mut tree = Self::new();
        tree.configure(OUTER, 0x18, Width::Dword, 0x02_0100);
        tree.configure(INNER, 0x18, Width::Dword, 0x02_0201);
        tree
    }

    fn select(&mut self, at: (u8, u8), register: u16) -> u64 {
        let place = u64::from(at.0) << 16 | u64::from(DevFn::new(at.1, 0).0) << 8;
        let address = 1 << 31 | place | u64::from(register & 0xfc);
        self.bus.write(Space::Io, 0xcf8, Width::Dword, address, Cpu(0)).expect("the host bridge");
        0xcfc + u64::from(register & 3)
    }

    fn config(&mut self, at: (u8, u8), register: u16, width: Width) -> u64 {
        let port = self.select(at, register);
        self.bus.read(Space::Io, port, width, Cpu(0)).expect("the host bridge")
    }

    fn configure(&mut self, at: (u8, u8), register: u16, width: Width, value: u64) {
        let port = self.select(at, register);
        self.bus.write(Space::Io, port, width, value, Cpu(0)).expect("the host bridge");
    }

    /// The number of the region that answers, which is what the cards' registers read as.
    fn port(&mut self, at: u64) -> Option<u64> {
        self.bus.read(Space::Io, at, Width::Byte, Cpu(0)).ok()
    }

    fn memory(&mut self, at: u64) -> Option<u64> {
        self.bus.read(Space::Memory, at, Width::Byte, Cpu(0)).ok()
    }
}

const CARD_ID: u64 = 0x5678_1234;
const BRIDGE_ID: u64 = 0x0001_1b36;
const NOTHING: u64 = 0xffff_ffff;

#[test]
fn cycles_go_where_the_bus_numbers_say() {
    let mut tree = Tree::new();
    assert_eq!(tree.config(OUTER, 0, Width::Dword), BRIDGE_ID);
    assert_eq!(tree.config(OUTER, 0x0a, Width::Word), 0x0604);
    assert_eq!(tree.config(OUTER, 0x0e, Width::Byte), 1, "a bridge's header");
    assert_eq!([NEAR, INNER, FAR].map(|at| tree.config(at, 0, Width::Dword)), [NOTHING; 3], "no bus has a number");
    tree.configure(OUTER, 0x18, Width::Dword, 0x01_0100);
    assert_eq!(tree.config(NEAR, 0, Width::Dword), CARD_ID);
    assert_eq!(tree.config((1, 3), 0, Width::Dword), NOTHING, "an empty slot");
    tree.configure(INNER, 0x18, Width::Dword, 0x02_0201);
    assert_eq!(tree.config(FAR, 0, Width::Dword), NOTHING, "the outer bridge does not lead there");
    tree.configure(OUTER, 0x1a, Width::Byte, 2);
    assert_eq!(tree.config(FAR, 0, Width::Dword), CARD_ID);
    assert_eq!(tree.config(FAR, 0x3c, Width::Word), 0x100);
    tree.configure(FAR, 0x3c, Width::Byte, 0x0b);
    assert_eq!(tree.config(FAR, 0x3c, Width::Word), 0x10b);
    assert_eq!((tree.config(FAR, 0x0e, Width::Byte), tree.config(FAR, 0x0c, Width::Dword)), (0x80, 0x80_0000));
    assert_eq!(tree.config(NEAR, 0x0e, Width::Byte), 0, "the board said nothing of several functions");
    // Other numbers, and circles.
    tree.configure(OUTER, 0x18, Width::Dword, 0x0a_0800);
    assert_eq!(tree.config((8, NEAR.1), 0, Width::Dword), CARD_ID);
    tree.configure((8, INNER.1), 0x18, Width::Dword, 0xff_0008);
    assert_eq!(tree.config((9, FAR.1), 0, Width::Dword), NOTHING);
}

#[test]
fn slots_of_the_chassis_are_numbered() {
    let mut tree = Tree::numbered();
    assert_eq!(tree.config(OUTER, 0x34, Width::Byte), 0x40);
    assert_eq!(tree.config(OUTER, 0x40, Width::Dword), 0x0120_0004);
    assert_eq!(tree.config(INNER, 0x40, Width::Dword), 0x0220_0004);
    assert!(PciBridge::new(&BridgeConfig { shpc: true, ..BridgeConfig::default() }).is_err());
}

#[test]
fn what_is_behind_answers_only_within_the_windows() {
    let mut tree = Tree::numbered();
    tree.configure(NEAR, 0x10, Width::Dword, 0xc040);
    tree.configure(NEAR, 0x14, Width::Dword, 0xe010_0000);
    tree.configure(NEAR, 4, Width::Word, 7);
    assert_eq!((tree.port(0xc040), tree.memory(0xe010_0000)), (None, None), "no window is open");
    tree.configure(OUTER, 0x1c, Width::Word, 0xc0c0);
    tree.configure(OUTER, 0x20, Width::Dword, 0xe010_e010);
    assert_eq!((tree.port(0xc040), tree.memory(0xe010_0000)), (None, None), "the bridge decodes nothing");
    tree.configure(OUTER, 4, Width::Word, 1);
    assert_eq!((tree.port(0xc040), tree.memory(0xe010_0000)), (Some(0), None));
    tree.configure(OUTER, 4, Width::Word, 3);
    assert_eq!((tree.port(0xc05f), tree.memory(0xe010_0fff)), (Some(0), Some(1)));
    assert_eq!((tree.port(0xc060), tree.memory(0xe010_1000)), (None, None), "beyond the card");
    // The windows move away, and half over a card.
    tree.configure(OUTER, 0x1c, Width::Word, 0xd0d0);
    tree.configure(OUTER, 0x20, Width::Dword, 0xe010_e020);
    assert_eq!((tree.port(0xc040), tree.memory(0xe010_0000)), (None, None), "a limit below the base closes a window");
    // The card moves into the window.
    tree.configure(NEAR, 0x10, Width::Dword, 0xd000);
    assert_eq!((tree.port(0xd000), tree.port(0xc040)), (Some(0), None));
    // A card of 4 GiB, of which the prefetchable window passes on the middle.
    tree.configure(NEAR, 0x18, Width::Dword, 0xc);
    tree.configure(NEAR, 0x1c, Width::Dword, 0x20);
    tree.configure(OUTER, 0x24, Width::Dword, 0x9ff1_1001);
    tree.configure(OUTER, 0x28, Width::Dword, 0x20);
    tree.configure(OUTER, 0x2c, Width::Dword, 0x20);
    let answers = [0x20_0fff_ffff, 0x20_1000_0000, 0x20_9fff_ffff, 0x20_a000_0000].map(|at| tree.memory(at));
    assert_eq!(answers, [None, Some(2), Some(2), None]);
}

#[test]
fn two_bridges_pass_on_what_both_pass_on() {
    let mut tree = Tree::numbered();
    tree.configure(FAR, 0x14, Width::Dword, 0xe030_0000);
    tree.configure(FAR, 4, Width::Word, 2);
    tree.configure(INNER, 0x20, Width::Dword, 0xe030_e030);
    tree.configure(INNER, 4, Width::Word, 2);
    assert_eq!(tree.memory(0xe030_0000), None);
    tree.configure(OUTER, 0x20, Width::Dword, 0xe03f_e030);
    tree.configure(OUTER, 4, Width::Word, 2);
    assert_eq!(tree.memory(0xe030_0000), Some(1));
    tree.configure(OUTER, 0x20, Width::Dword, 0xe02f_e020);
    assert_eq!(tree.memory(0xe030_0000), None);
}

#[test]
fn ports_of_isa_cards_pass_a_bridge_by_if_told_so() {
    let mut tree = Tree::numbered();
    tree.configure(OUTER, 0x1c, Width::Word, 0xc0c0);
    tree.configure(OUTER, 4, Width::Word, 1);
    tree.configure(NEAR, 4, Width::Word, 1);
    tree.configure(OUTER, 0x3e, Width::Word, 4);
    for (base, answers) in [(0xc0e0, true), (0xc100, false), (0xc3e0, false), (0xc400, true)] {
        tree.configure(NEAR, 0x10, Width::Dword, base);
        assert_eq!(tree.port(base).is_some(), answers, "{base:#x}");
    }
}

#[test]
fn a_reset_of_the_secondary_bus_reaches_everything_behind() {
    let mut tree = Tree::numbered();
    for at in [NEAR, FAR] {
        tree.configure(at, 0x3c, Width::Byte, 0x55);
    }
    tree.configure(OUTER, 0x3e, Width::Word, 0x40);
    assert_eq!(tree.config(NEAR, 0, Width::Dword), NOTHING, "held in reset");
    tree.configure(OUTER, 0x3e, Width::Word, 0);
    assert_eq!(tree.config(OUTER, 0x18, Width::Dword), 0x02_0100, "the bridge itself goes on");
    assert_eq!(tree.config(NEAR, 0x3c, Width::Byte), 0);
    assert_eq!(tree.config(INNER, 0x18, Width::Dword), 0, "the inner one has lost its numbers");
    tree.configure(INNER, 0x18, Width::Dword, 0x02_0201);
    assert_eq!(tree.config(FAR, 0x3c, Width::Byte), 0);
}

#[test]
fn windows_are_saved_with_the_bus() {
    let mut tree = Tree::numbered();
    tree.configure(NEAR, 0x14, Width::Dword, 0xe010_0000);
    tree.configure(NEAR, 4, Width::Word, 2);
    tree.configure(OUTER, 0x20, Width::Dword, 0xe010_e010);
    tree.configure(OUTER, 4, Width::Word, 2);
    let mut other = Tree::new();
    other.bus.load(&tree.bus.save().expect("a state")).expect("the same board");
    assert_eq!(other.memory(0xe010_0000), Some(1));
    other.configure(OUTER, 4, Width::Word, 0);
    assert_eq!(other.memory(0xe010_0000), None);
    other.bus.load(&tree.bus.save().expect("a state")).expect("the same board");
    assert_eq!(other.memory(0xe010_0000), Some(1), "whatever it was before");
}

/// A xorshift generator: the same numbers in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }

    /// Values that open windows over each other are as likely as any.
    fn value(&mut self) -> u64 {
        match self.below(4) {
            0 => self.below(8),
            1 => [0x02_0100, 0x02_0201, 0xc0c0, 0xd0c0, 0xe010_e010, 0xe02f_e010, 0xe010_0000][self.below(7) as usize],
            2 => 1 << self.below(32),
            _ => self.below(1 << 32),
        }
    }

    /// Does something at random; what is seen of it.
    fn step(&mut self, tree: &mut Tree) -> Option<u64> {
        const REGISTERS: [u16; 12] = [0x04, 0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x28, 0x2c, 0x3c, 0x3e, 0x40];
        let at = [OUTER, NEAR, INNER, FAR, (0, 0), (self.below(4) as u8, self.below(8) as u8)][self.below(6) as usize];
        let register = REGISTERS[self.below(12) as usize];
        let width = if register & 2 == 0 && self.below(4) != 0 { Width::Dword } else { Width::Word };
        let value = self.value() & width.mask();
        match self.below(8) {
            0..4 => {
                tree.configure(at, register, width, value);
                None
            }
            4 => Some(tree.config(at, register, width)),
            5 => tree.port([0xc000, 0xc0ff, 0xd001, value & 0xffff][self.below(4) as usize] & 0xfbff),
            6 => tree.memory([0xe010_0000, 0xe02f_f000, value][self.below(3) as usize]),
            _ if self.below(200) == 0 => {
                tree.bus.reset();
                None
            }
            _ => None,
        }
    }
}

#[test]
fn whatever_is_written_a_loaded_copy_goes_on_alike() {
    for seed in 1..=20 {
        let (mut dice, mut tree, mut other) = (Dice(0x9e37_79b9_7f4a_7c15 ^ seed), Tree::numbered(), Tree::new());
        for _ in 0..2_000 {
            dice.step(&mut tree);
            // Elsewhere, so that all that it was must go.
            dice.step(&mut other);
        }
        other.bus.load(&tree.bus.save().expect("a state")).expect("the same board");
        let mut same = Dice(dice.0);
        for round in 0..2_000 {
            assert_eq!(dice.step(&mut tree), same.step(&mut other), "seed {seed}, round {round}");
        }
        assert_eq!(tree.bus.save().expect("a state"), other.bus.save().expect("a state"), "seed {seed}");
    }
}
