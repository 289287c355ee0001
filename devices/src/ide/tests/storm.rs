//! Drivers gone mad: commands that mean something, in any order, with any data.

use super::*;
use lockstep_fabric::BlockError;

const COMMANDS: [u8; 34] = [
    0x00, 0x06, 0x08, 0x10, 0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39, 0x40, 0x42, 0x70, 0x90, 0x91, 0xa0, 0xa0,
    0xa0, 0xa1, 0xb0, 0xc4, 0xc5, 0xc6, 0xc8, 0xca, 0xe5, 0xe7, 0xea, 0xec, 0xef, 0xf8, 0x27,
];
const PACKETS: [u8; 22] = [
    0x00, 0x03, 0x12, 0x1b, 0x1e, 0x25, 0x28, 0x2b, 0x42, 0x43, 0x46, 0x4a, 0x51, 0x52, 0x5a, 0xa8, 0xa8, 0xb9, 0xbb,
    0xbd, 0xbe, 0xbe,
];

/// The same numbers for the same seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % end
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

fn step(ide: &mut Ide, numbers: &mut Numbers) {
    let small = [0, 1, 2, 3, 16, 255];
    match numbers.below(12) {
        0..4 => {
            let device = numbers.of(&[DISK, CD, 0xa0, 0xb1]);
            let (features, count) = (numbers.of(&[0, 1, 2, 3, 0xd0, 0xd8, 0x82]), numbers.of(&small));
            let lba = numbers.of(&[0, 1, 599, 20159, 0xc2_4f00, 0x7ff, 0xff_ffff]);
            ide.command(device, features, count, lba, numbers.of(&COMMANDS));
        }
        4 => {
            let words = numbers.below(1500);
            (0..words).for_each(|_| _ = ide.bench.inw(DATA));
        }
        5 => {
            let words = numbers.below(1500);
            (0..words).for_each(|_| ide.bench.outl(DATA, numbers.below(1 << 32) as u32));
        }
        6..8 => {
            let mut packet = [0; 12];
            packet.iter_mut().for_each(|byte| *byte = numbers.of(&small));
            packet[0] = numbers.of(&PACKETS);
            (packet[2], packet[3], packet[4]) = (numbers.of(&[0, 0x2a, 0x3f]), 0, numbers.of(&small));
            ide.give(&packet);
        }
        8 => {
            let count = numbers.of(&[0, 2, 510, 2048, 0xfffe]);
            let base = numbers.of(&[0, 0x1000, 0x4001, 0xffff_fff0]);
            ide.regions(&[(base, count), (0x8000, 0)]);
            ide.start_master(numbers.below(2) == 0);
        }
        9 => ide.bench.outb(BUS_MASTER, 0),
        10 => {
            let why = numbers.of(&[None, None, Some(BlockError::Io), Some(BlockError::NoMedium)]);
            ide.drives[usize::from(numbers.below(2) == 0)].failing = why;
            let bytes = numbers.of(&[0, 2048, CD_BLOCKS * 2048]);
            let medium = (numbers.below(3) != 0).then_some(Medium { bytes, read_only: true });
            ide.bench.input(&Input::Medium { drive: 1, medium });
            ide.bench.input(&Input::Tray { drive: 1, open: numbers.below(2) == 0 });
        }
        _ => ide.bench.outb(CONTROL, numbers.of(&[0, 0, 0, 2, 4, 0x80])),
    }
    if numbers.below(2) == 0 {
        ide.serve();
    }
}

#[test]
fn after_any_commands_a_reset_brings_a_disk_that_reads() {
    for seed in 0..40 {
        let mut ide = ide();
        let mut numbers = Numbers(seed);
        (0..300).for_each(|_| step(&mut ide, &mut numbers));
        ide.drives[0].failing = None;
        ide.bench.outb(BUS_MASTER, 0);
        ide.bench.outb(CONTROL, 4);
        ide.bench.outb(CONTROL, 0);
        ide.serve();
        ide.command(DISK, 0, 1, 77, 0x20);
        ide.serve();
        let bytes = ide.take(512);
        assert_eq!(bytes, ide.drives[0].bytes[77 * 512..][..512], "seed {seed}");
    }
}
