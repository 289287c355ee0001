//! The graphics card on the board: its memory, its ROM, and the services that the ROM asks for.

use super::for_board::ForBoard;
use super::pc::Parts;
use super::slots::BusAt;
use super::{BoardError, functions, record};
use crate::commandline::{Config, DEFAULT_CARD, DeviceConfig, Image, OptionError};
use crate::record::BootedFile;
use lockstep_devices::catalog::{Creatable, configured};
use lockstep_devices::pci::Rom;
use lockstep_devices::vga::{self, Vga, VgaConfig, window};
use lockstep_fabric::memory::{Backing, Block, PAGE_SIZE, Region};
use lockstep_fabric::{Bus, Cx, Device, DeviceId, Reg, RegionSpec, Space, Width};
use lockstep_firmware::vgabios::{self, Host, Registers, Span, mailbox};
use serde::{Deserialize, Serialize};

/// The card's name on the bus.
pub const CARD: &str = "vga";

const WINDOW_RAM_PRIORITY: i32 = vga::WINDOW_PRIORITY + 1;
const WINDOW_RAM_LEN: u64 = 64 << 10;
const FRAME_BUFFER_PRIORITY: i32 = 1;
/// The largest expansion ROM that is taken.
const LARGEST_ROM: usize = 16 << 20;

/// A card to be put on the board.
pub(super) struct Card {
    /// What asks for it.
    device: DeviceConfig,
    memory: u64,
    rom: Vec<u8>,
    /// The ROM is the built-in one, which asks for services.
    services: bool,
    /// Where the ROM came from, if from a file.
    pub(super) file: Option<BootedFile>,
}

/// The card that the configuration asks for, if any.
pub(super) fn plan(config: &Config) -> Result<Option<Card>, BoardError> {
    let mut cards = config.devices.iter().filter(|device| is_card(device));
    let Some(card) = cards.next() else { return Ok(None) };
    if let Some(second) = cards.next() {
        return Err(OptionError::refused(&second.origin, "there is already a graphics card").into());
    }
    let refused =
        |why: lockstep_devices::properties::PropertyError| OptionError::refused(&card.origin, why.to_string());
    let (_, own) = ForBoard::split(card)?;
    let config: VgaConfig = configured(&own).map_err(refused)?;
    let memory = config.memory().map_err(refused)?;
    let built_in = || Ok(Card { device: card.clone(), memory, rom: vgabios::image()?, services: true, file: None });
    config.romfile.map_or_else(built_in, |path| foreign_rom(card, memory, &path)).map(Some)
}

/// Whether a device is a graphics card.
pub(super) fn is_card(device: &DeviceConfig) -> bool {
    device.driver == VgaConfig::NAME
}

fn foreign_rom(device: &DeviceConfig, memory: u64, path: &str) -> Result<Card, BoardError> {
    let device = device.clone();
    if path.is_empty() {
        return Ok(Card { device, memory, rom: Vec::new(), services: false, file: None });
    }
    let image = Image::read(format!("-device VGA,romfile={path}"), path.into())?;
    if image.bytes.is_empty() || image.bytes.len() > LARGEST_ROM {
        let why = format!("an expansion ROM has 1 byte to 16 MiB; this file has {}", image.bytes.len());
        return Err(image.refused(why).into());
    }
    let file = Some(record("romfile", &image));
    Ok(Card { device, memory, rom: image.bytes, services: false, file })
}

impl Card {
    fn rom_len(&self) -> u64 {
        let len = Rom::for_image(self.rom.len() as u64, vga::OPTION_ROM).size.next_multiple_of(PAGE_SIZE);
        if self.rom.is_empty() { 0 } else { len }
    }

    /// Room that the card takes in the arena.
    pub(super) fn arena_len(&self) -> u64 {
        self.memory.next_multiple_of(PAGE_SIZE) + self.rom_len()
    }

    /// Whether no `-device` asks for it.
    pub(super) fn is_default(&self) -> bool {
        self.device.origin == DEFAULT_CARD
    }

    /// Puts the card into its slot.
    pub(super) fn install(&self, parts: &mut Parts, config: &Config) -> Result<(), BoardError> {
        let (board, _) = ForBoard::split(&self.device)?;
        let (bus, at) = functions::find_place(parts, config, &self.device, &board)?;
        if bus != BusAt::ROOT {
            // The ports and memory of old that bridges pass on if told so are on the board's own bus here.
            let why = "a graphics card behind a bridge is not built in this version of Lockstep";
            return Err(OptionError::refused(&self.device.origin, why).into());
        }
        let bytes = self.arena_len();
        let no_room = || BoardError::Memory { bytes, why: std::io::ErrorKind::OutOfMemory.into() };
        let id = self.add(&mut parts.bus).ok_or_else(no_room)?;
        parts.pci.settle(bus, at, id);
        Ok(())
    }

    /// Adds the card to the board. `None` if the arena has no room.
    fn add(&self, bus: &mut Bus) -> Option<DeviceId> {
        let memory = bus.memory.allocate_block(self.memory)?;
        let rom = (!self.rom.is_empty()).then_some(self.rom.len() as u64);
        let card = bus.add(CARD, Box::new(Vga::new(memory, rom)));
        for region in vga::REGIONS {
            bus.map(card, region);
        }
        map_memory(bus, card, memory);
        if rom.is_some() {
            let at = bus.memory.allocate(self.rom_len())?;
            bus.memory.fill(at, &self.rom);
            let len = Rom::for_image(self.rom.len() as u64, vga::OPTION_ROM).size;
            bus.memory.add_region(region(card, vga::OPTION_ROM, None, len, FRAME_BUFFER_PRIORITY, Backing::Rom(at)));
        }
        if self.services {
            let services = bus.add("vga-services", Box::new(VideoServices::new(card)));
            bus.map(services, VideoServices::REGION);
        }
        Some(card)
    }
}

fn region(owner: DeviceId, index: u8, base: Option<u64>, len: u64, priority: i32, backing: Backing) -> Region {
    Region { owner, index, base, len, priority, reads: true, writes: true, backing }
}

/// The frame buffer, to be placed by the guest, and the RAM that the card lays over its window.
fn map_memory(bus: &mut Bus, card: DeviceId, memory: Block) {
    let backing = Backing::Ram(memory.at);
    bus.memory.add_region(region(card, vga::FRAME_BUFFER, None, memory.len, FRAME_BUFFER_PRIORITY, backing));
    let window = region(card, vga::WINDOW_RAM, Some(window::BASE), WINDOW_RAM_LEN, WINDOW_RAM_PRIORITY, backing);
    bus.memory.add_region(Region { reads: false, writes: false, ..window });
}

/// The device behind the ROM's mailbox: it performs the services of [`vgabios::serve`] on the card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoServices {
    card: DeviceId,
    /// Words of the request, then of the answer.
    words: Vec<u16>,
    /// Words of the answer that were read.
    read: usize,
    /// What the handler is still to be told.
    steps: Vec<u16>,
    /// What the service reads of the caller's memory: how long it is, and what has come.
    wanted: usize,
    input: Vec<u8>,
    /// What the caller's memory gets, the last byte first.
    output: Vec<u8>,
    served: bool,
}

impl VideoServices {
    /// The region to map on the bus.
    pub const REGION: RegionSpec = RegionSpec {
        space: Space::Io,
        index: 0,
        base: Some(mailbox::PORT as u64),
        len: mailbox::LEN as u64,
        priority: 0,
        widest: Width::Word,
    };

    /// Services on this card.
    pub fn new(card: DeviceId) -> Self {
        Self {
            card,
            words: Vec::new(),
            read: 0,
            steps: Vec::new(),
            wanted: 0,
            input: Vec::new(),
            output: Vec::new(),
            served: false,
        }
    }

    fn registers(&self) -> Registers {
        let mut words = [0; mailbox::REGISTERS];
        for (to, from) in words.iter_mut().zip(&self.words) {
            *to = *from;
        }
        Registers::from_words(words)
    }

    /// A word of the request; the last one says what to do.
    fn take_word(&mut self, word: u16) {
        if self.words.len() >= mailbox::REGISTERS {
            *self = Self::new(self.card);
        }
        self.words.push(word);
        if self.words.len() == mailbox::REGISTERS
            && let Some(span) = vgabios::wants(&self.registers())
        {
            self.wanted = span.len.into();
            self.tell(mailbox::FROM_GUEST, span);
        }
    }

    /// Adds a step, its first word last.
    fn tell(&mut self, step: u16, span: Span) {
        self.steps = vec![span.offset, span.segment, span.len, step];
    }

    /// The next word of steps. When all that the service reads is there, it is performed.
    fn next_step(&mut self, cx: &mut Cx<'_>) -> u16 {
        if let Some(word) = self.steps.pop() {
            return word;
        }
        if self.words.len() == mailbox::REGISTERS && !self.served {
            self.serve(cx);
        }
        self.steps.pop().unwrap_or(mailbox::DONE)
    }

    fn serve(&mut self, cx: &mut Cx<'_>) {
        self.served = true;
        let mut registers = self.registers();
        let mut host = CardHost { cx, card: self.card };
        let output = vgabios::serve(&mut host, &mut registers, &self.input);
        self.words = registers.words().to_vec();
        if let Some((segment, offset, bytes)) = output.filter(|(.., bytes)| !bytes.is_empty()) {
            let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
            self.output = bytes.into_iter().take(len.into()).rev().collect();
            self.tell(mailbox::TO_GUEST, Span { segment, offset, len });
        }
    }

    fn answer(&mut self) -> u16 {
        let word = self.words.get(self.read).copied().unwrap_or(0);
        self.read += 1;
        if self.read >= mailbox::REGISTERS {
            *self = Self::new(self.card);
        }
        word
    }
}

const STEPS: u64 = (mailbox::STEPS - mailbox::PORT) as u64;
const DATA: u64 = (mailbox::DATA - mailbox::PORT) as u64;

impl Device for VideoServices {
    fn kind(&self) -> &'static str {
        "vga-services"
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Reg, width: Width) -> u64 {
        match (at.offset, width) {
            (0, Width::Word) => self.answer().into(),
            (STEPS, Width::Word) => self.next_step(cx).into(),
            (DATA, Width::Byte) => self.output.pop().unwrap_or(0).into(),
            _ => u64::MAX,
        }
    }

    fn write(&mut self, _cx: &mut Cx<'_>, at: Reg, width: Width, value: u64) {
        match (at.offset, width) {
            (0, Width::Word) => self.take_word(value as u16),
            (DATA, Width::Byte) if self.input.len() < self.wanted => self.input.push(value as u8),
            _ => {}
        }
    }

    fn reset(&mut self, _cx: &mut Cx<'_>) {
        *self = Self::new(self.card);
    }
}

/// The card as the services reach it: by its own registers, as a guest does.
struct CardHost<'a, 'b> {
    cx: &'a mut Cx<'b>,
    card: DeviceId,
}

impl CardHost<'_, '_> {
    fn read(&mut self, space: Space, address: u64, width: Width) -> u64 {
        let Some(at) = vga::register(space, address) else { return u64::MAX };
        self.cx.with_peer(self.card, |card, cx| card.read(cx, at, width)).unwrap_or(u64::MAX)
    }

    fn write(&mut self, space: Space, address: u64, width: Width, value: u64) {
        if let Some(at) = vga::register(space, address) {
            self.cx.with_peer(self.card, |card, cx| card.write(cx, at, width, value));
        }
    }
}

impl Host for CardHost<'_, '_> {
    fn port_in(&mut self, port: u16) -> u8 {
        self.read(Space::Io, port.into(), Width::Byte) as u8
    }

    fn port_out(&mut self, port: u16, value: u8) {
        self.write(Space::Io, port.into(), Width::Byte, value.into());
    }

    fn dispi_in(&mut self, register: u16) -> u16 {
        self.write(Space::Io, vga::DISPI_INDEX, Width::Word, register.into());
        self.read(Space::Io, vga::DISPI_DATA, Width::Word) as u16
    }

    fn dispi_out(&mut self, register: u16, value: u16) {
        self.write(Space::Io, vga::DISPI_INDEX, Width::Word, register.into());
        self.write(Space::Io, vga::DISPI_DATA, Width::Word, value.into());
    }

    fn video_read(&mut self, address: u32) -> u8 {
        self.read(Space::Memory, address.into(), Width::Byte) as u8
    }

    fn video_write(&mut self, address: u32, value: u8) {
        self.write(Space::Memory, address.into(), Width::Byte, value.into());
    }

    fn low_read(&mut self, address: u32) -> u8 {
        let mut byte = [0];
        self.cx.dma_read(address.into(), &mut byte);
        byte[0]
    }

    fn low_write(&mut self, address: u32, value: u8) {
        self.cx.dma_write(address.into(), &[value]);
    }

    fn frame_buffer(&mut self) -> u32 {
        const BAR0: u16 = 0x10;
        let read = |card: &mut dyn Device, cx: &mut Cx<'_>| card.pci().map(|f| f.config_read(cx, BAR0, Width::Dword));
        self.cx.with_peer(self.card, read).flatten().unwrap_or(0) & !0xf
    }
}

#[cfg(test)]
mod tests;
