//! The two 8237A DMA controllers with the page registers, as in PIIX3.
//!
//! Source: Intel 8237A data sheet; PIIX3 data sheet for the page registers. A device behind a channel moves its bytes by
//! [`IsaDma`], a run at a time.
//!
//! Channels 0 to 3 move bytes, 5 to 7 words; 4 is the cascade.

use crate::ports::ports;
use bitflags::bitflags;
use lockstep_fabric::{Cx, Device, DmaRun, IsaDma, Reg, RegionSpec, Width};
use serde::{Deserialize, Serialize};

const CHANNELS_0_TO_3: u8 = 0;
const PAGES: u8 = 1;
const CHANNELS_4_TO_7: u8 = 2;

/// The page register of each channel, by offset from 80h.
const PAGE_OF_CHANNEL: [usize; 8] = [0x7, 0x3, 0x1, 0x2, 0xf, 0xb, 0x9, 0xa];

const COMMAND: u64 = 0x8;
const REQUEST: u64 = 0x9;
const SINGLE_MASK: u64 = 0xa;
const MODE: u64 = 0xb;
const CLEAR_FLIP_FLOP: u64 = 0xc;
const MASTER_CLEAR: u64 = 0xd;
const CLEAR_MASK: u64 = 0xe;
const ALL_MASK: u64 = 0xf;

bitflags! {
    /// A channel's mode register, but for the bits that choose the channel.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Mode: u8 {
        /// The transfer writes to memory.
        const TO_MEMORY = 1 << 2;
        /// The transfer reads from memory.
        const FROM_MEMORY = 1 << 3;
        /// Address and count start over at the end.
        const AUTO_INIT = 1 << 4;
        /// Addresses count down.
        const DOWN = 1 << 5;
        /// One transfer for each request.
        const SINGLE = 1 << 6;
        /// The whole block for one request; with [`Mode::SINGLE`]: cascade.
        const BLOCK = 1 << 7;
    }
}

/// Which way a transfer goes; neither: a verify, which counts and moves nothing.
const DIRECTIONS: Mode = Mode::TO_MEMORY.union(Mode::FROM_MEMORY);
const CASCADE: Mode = Mode::SINGLE.union(Mode::BLOCK);

/// How a channel is programmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Address as programmed: in bytes, or in words on channels 4 to 7.
    pub base_address: u16,
    /// Transfers as programmed, less one.
    pub base_count: u16,
    /// Address of the next transfer.
    pub address: u16,
    /// Transfers left, less one.
    pub count: u16,
    /// Direction and kind of transfer.
    pub mode: Mode,
}

/// One 8237A.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Controller {
    channels: [Channel; 4],
    command: u8,
    /// Low half: channels that reached their count; high half: channels with a request.
    status: u8,
    /// Requests made by software.
    requests: u8,
    mask: u8,
    /// The next byte of an address or count is its high one.
    high_next: bool,
}

impl Controller {
    fn cleared(channels: [Channel; 4]) -> Self {
        Self { channels, mask: 0x0f, ..Self::default() }
    }

    fn takes_high(&mut self) -> bool {
        self.high_next = !self.high_next;
        !self.high_next
    }

    fn read(&mut self, register: u64) -> u8 {
        match register {
            0..8 => {
                let channel = self.channels[register as usize >> 1 & 3];
                let value = if register & 1 == 0 { channel.address } else { channel.count };
                value.to_le_bytes()[usize::from(self.takes_high())]
            }
            COMMAND => {
                let status = self.status;
                self.status &= 0xf0;
                status
            }
            ALL_MASK => self.mask,
            // What is left is for writing, but for the temporary register, which only memory-to-memory moves fill.
            _ => 0,
        }
    }

    fn write(&mut self, register: u64, value: u8) {
        let selected = usize::from(value & 3);
        match register {
            0..8 => {
                let high = usize::from(self.takes_high());
                let channel = &mut self.channels[register as usize >> 1 & 3];
                let (base, current) = if register & 1 == 0 {
                    (&mut channel.base_address, &mut channel.address)
                } else {
                    (&mut channel.base_count, &mut channel.count)
                };
                let mut bytes = base.to_le_bytes();
                bytes[high] = value;
                *base = u16::from_le_bytes(bytes);
                *current = *base;
            }
            COMMAND => self.command = value,
            REQUEST => set_bit(&mut self.requests, selected, value & 4 != 0),
            SINGLE_MASK => set_bit(&mut self.mask, selected, value & 4 != 0),
            MODE => self.channels[selected].mode = Mode::from_bits_truncate(value),
            CLEAR_FLIP_FLOP => self.high_next = false,
            MASTER_CLEAR => *self = Self::cleared(self.channels),
            CLEAR_MASK => self.mask = 0,
            _ => self.mask = value & 0x0f,
        }
    }
}

impl Controller {
    /// Moves a channel on by `count` transfers, at most as many as are left; whether it reached its terminal count.
    fn proceed(&mut self, at: usize, count: u32) -> bool {
        let channel = &mut self.channels[at & 3];
        let (left, step) = (u32::from(channel.count) + 1, count as u16);
        let down = channel.mode.contains(Mode::DOWN);
        channel.address = if down { channel.address.wrapping_sub(step) } else { channel.address.wrapping_add(step) };
        channel.count = channel.count.wrapping_sub(step);
        if count < left {
            return false;
        }
        if channel.mode.contains(Mode::AUTO_INIT) {
            (channel.address, channel.count) = (channel.base_address, channel.base_count);
        } else {
            set_bit(&mut self.mask, at, true);
        }
        set_bit(&mut self.status, at, true);
        true
    }
}

fn set_bit(register: &mut u8, bit: usize, set: bool) {
    *register = (*register & !(1 << bit)) | u8::from(set) << bit;
}

/// Both controllers and the page registers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dma {
    controllers: [Controller; 2],
    pages: [u8; 16],
}

impl Default for Dma {
    fn default() -> Self {
        let cleared = Controller::cleared([Channel::default(); 4]);
        Self { controllers: [cleared.clone(), cleared], pages: [0; 16] }
    }
}

impl Dma {
    /// Controllers as after power-on: every channel masked.
    pub fn new() -> Self {
        Self::default()
    }

    /// Channels 0 to 3 at 00h, page registers at 80h, channels 4 to 7 at C0h (a register every second port).
    pub fn regions() -> [RegionSpec; 3] {
        [ports(CHANNELS_0_TO_3, 0x00, 16), ports(PAGES, 0x80, 16), ports(CHANNELS_4_TO_7, 0xc0, 32)]
    }

    /// A channel's programming, its page register, and whether it may transfer. `None` if there is no such channel.
    pub fn channel(&self, number: usize) -> Option<(Channel, u8, bool)> {
        const DISABLED: u8 = 1 << 2;
        let page = self.pages[*PAGE_OF_CHANNEL.get(number)? & 0xf];
        let controller = &self.controllers[(number / 4) & 1];
        let open = controller.mask >> (number % 4) & 1 == 0 && controller.command & DISABLED == 0;
        Some((controller.channels[number % 4], page, open))
    }
}

impl Dma {
    /// Moves a run of `len` bytes on a channel in one of the directions, by `each` piece: its address and its range.
    fn run(&mut self, number: u8, len: usize, way: Mode, mut each: impl FnMut(u64, usize, usize)) -> DmaRun {
        let number = usize::from(number);
        let Some((channel, page, true)) = self.channel(number) else { return DmaRun::default() };
        let moves = channel.mode & DIRECTIONS == way;
        if channel.mode.contains(CASCADE) || !moves && !(channel.mode & DIRECTIONS).is_empty() {
            return DmaRun::default();
        }
        // Words of the second controller lie at even addresses, 128 KiB to a page.
        let word = usize::from(number > 3);
        let page = if word == 1 { u64::from(page & !1) << 16 } else { u64::from(page) << 16 };
        let count = ((len >> word) as u32).min(u32::from(channel.count) + 1);
        let down = channel.mode.contains(Mode::DOWN);
        let (mut address, mut done) = (u32::from(channel.address), 0);
        while done < count && moves {
            let piece = if down { 1 } else { (count - done).min(0x1_0000 - address) };
            each(page + (u64::from(address) << word), (done as usize) << word, (piece as usize) << word);
            address = if down { address.wrapping_sub(1) } else { address + piece } & 0xffff;
            done += piece;
        }
        let ended = count != 0 && self.controllers[(number / 4) & 1].proceed(number % 4, count);
        DmaRun { moved: (count as usize) << word, ended }
    }
}

impl IsaDma for Dma {
    fn to_memory(&mut self, cx: &mut Cx<'_>, channel: u8, from: &[u8]) -> DmaRun {
        self.run(channel, from.len(), Mode::TO_MEMORY, |address, at, len| cx.dma_write(address, &from[at..at + len]))
    }

    fn copy_from_memory(&mut self, cx: &mut Cx<'_>, channel: u8, into: &mut [u8]) -> DmaRun {
        let len = into.len();
        self.run(channel, len, Mode::FROM_MEMORY, |address, at, len| cx.dma_read(address, &mut into[at..at + len]))
    }
}

impl Device for Dma {
    fn kind(&self) -> &'static str {
        "i8257"
    }

    fn read(&mut self, _cx: &mut Cx<'_>, at: Reg, _width: Width) -> u64 {
        match at.region {
            CHANNELS_0_TO_3 => self.controllers[0].read(at.offset & 0xf),
            PAGES => self.pages[at.offset as usize & 0xf],
            _ => self.controllers[1].read(at.offset >> 1 & 0xf),
        }
        .into()
    }

    fn write(&mut self, _cx: &mut Cx<'_>, at: Reg, _width: Width, value: u64) {
        match at.region {
            CHANNELS_0_TO_3 => self.controllers[0].write(at.offset & 0xf, value as u8),
            PAGES => self.pages[at.offset as usize & 0xf] = value as u8,
            _ => self.controllers[1].write(at.offset >> 1 & 0xf, value as u8),
        }
    }

    fn reset(&mut self, _cx: &mut Cx<'_>) {
        *self = Self::default();
    }

    fn isa_dma(&mut self) -> Option<&mut dyn IsaDma> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Bench;
    use lockstep_fabric::State;

    fn dma() -> Bench {
        Bench::new(Dma::new(), &Dma::regions())
    }

    fn state(b: &mut Bench) -> Dma {
        let saved = b.bus.with(b.device, |d, _| d.save()).expect("the device").expect("its state");
        let mut dma = Dma::new();
        dma.load(&saved).expect("the same state");
        dma
    }

    #[test]
    fn addresses_and_counts_read_back_byte_by_byte() {
        let mut b = dma();
        b.outb(0x0c, 0);
        for (port, value) in [(0x04, 0x34), (0x04, 0x12), (0x05, 0xff), (0x05, 0x01)] {
            b.outb(port, value);
        }
        assert_eq!([b.inb(0x04), b.inb(0x04), b.inb(0x05), b.inb(0x05)], [0x34, 0x12, 0xff, 0x01]);
        b.inb(0x04);
        b.outb(0x0c, 0);
        assert_eq!(b.inb(0x04), 0x34, "the flip-flop starts over");
        b.outb(0xd8, 0);
        b.outb(0xc8, 0x78);
        b.outb(0xc8, 0x56);
        assert_eq!([b.inb(0xc8), b.inb(0xc8)], [0x78, 0x56]);
    }

    #[test]
    fn a_channel_keeps_its_programming_for_the_device_behind_it() {
        let mut b = dma();
        for (port, value) in [(0x04, 0x00), (0x04, 0x80), (0x05, 0xff), (0x05, 0x01), (0x0b, 0x46), (0x81, 0x0a)] {
            b.outb(port, value);
        }
        let (channel, page, open) = state(&mut b).channel(2).expect("channel 2");
        assert_eq!((channel.address, channel.count, page, open), (0x8000, 0x1ff, 0x0a, false));
        assert_eq!(channel.mode, Mode::SINGLE | Mode::TO_MEMORY);
        b.outb(0x0a, 2);
        assert!(state(&mut b).channel(2).expect("channel 2").2);
        assert!(state(&mut b).channel(8).is_none());
    }

    fn programmed(mode: u8, address: u16, count: u16) -> Bench {
        let mut b = dma();
        b.add_ram();
        b.outb(0x0c, 0);
        for (port, value) in [(0x04, address), (0x05, count)] {
            value.to_le_bytes().iter().for_each(|byte| b.outb(port, *byte));
        }
        b.outb(0x0b, mode | 2);
        b.outb(0x0a, 2);
        b
    }

    fn to_memory(b: &mut Bench, from: &[u8]) -> DmaRun {
        let run = b.bus.with(b.device, |d, cx| d.isa_dma().map(|dma| dma.to_memory(cx, 2, from)));
        run.flatten().expect("a DMA controller")
    }

    #[test]
    fn a_run_moves_as_much_as_is_programmed_and_masks_its_channel() {
        let mut b = programmed(0x44, 0x4000, 5);
        assert_eq!(to_memory(&mut b, b"abcd"), DmaRun { moved: 4, ended: false });
        assert_eq!(to_memory(&mut b, b"efgh"), DmaRun { moved: 2, ended: true });
        let mut bytes = [0; 8];
        b.bus.memory.read_bytes(0x4000, &mut bytes);
        assert_eq!(&bytes, b"abcdef\0\0");
        assert_eq!((b.inb(0x08), b.inb(0x08), b.inb(0x0f) & 4), (4, 0, 4), "the terminal count is told once");
        assert_eq!(to_memory(&mut b, b"i"), DmaRun::default());
    }

    #[test]
    fn addresses_wrap_in_their_page_go_down_and_start_over_as_the_mode_says() {
        let mut b = programmed(0x44, 0xfffe, 3);
        to_memory(&mut b, b"abcd");
        let mut bytes = [0; 2];
        b.bus.memory.read_bytes(0, &mut bytes);
        assert_eq!(&bytes, b"cd");
        let mut b = programmed(0x74, 0x4003, 3);
        assert_eq!(to_memory(&mut b, b"abcd"), DmaRun { moved: 4, ended: true });
        let mut bytes = [0; 4];
        b.bus.memory.read_bytes(0x4000, &mut bytes);
        assert_eq!(&bytes, b"dcba");
        assert_eq!(to_memory(&mut b, b"e").moved, 1, "auto-initialized");
        let mut b = programmed(0x40, 0x4000, 3);
        assert_eq!(to_memory(&mut b, b"abcd"), DmaRun { moved: 4, ended: true }, "verify counts");
        b.bus.memory.read_bytes(0x4000, &mut bytes);
        assert_eq!(bytes, [0; 4]);
    }

    #[test]
    fn masks_are_set_singly_together_and_by_a_master_clear() {
        let mut b = dma();
        assert_eq!(b.inb(0x0f), 0x0f);
        b.outb(0x0e, 0);
        b.outb(0x0a, 0x05);
        assert_eq!(b.inb(0x0f), 0x02);
        b.outb(0x0f, 0x09);
        assert_eq!(b.inb(0x0f), 0x09);
        b.outb(0x0d, 0);
        assert_eq!((b.inb(0x0f), b.inb(0x08)), (0x0f, 0));
        b.outb(0xdc, 0);
        assert_eq!(b.inb(0xde), 0);
    }

    #[test]
    fn page_registers_are_sixteen_bytes_of_memory() {
        let mut b = dma();
        for i in 0..16 {
            b.outb(0x80 + i, 0xf0 | i as u8);
        }
        for i in 0..16 {
            assert_eq!(b.inb(0x80 + i), 0xf0 | i as u8);
        }
    }
}
