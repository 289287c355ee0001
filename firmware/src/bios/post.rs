//! From reset to INT 19h: what the ROM's start code asks for, phase by phase ([`Phase`]).

use super::disk::DISKETTE_TABLE;
use super::frame::{Frame, linear};
use super::geometry::{Geometry, SECTOR, floppy_media};
use super::keyboard::ENHANCED;
use super::low_memory::{
    DATA_AREA_SIZE, DISK_COUNT, EBDA, EBDA_SEGMENT, EQUIPMENT, FLOPPY_MEDIA, KEY_BUFFER, KEY_BUFFER_END,
    KEY_BUFFER_END_AT, KEY_BUFFER_START_AT, KEY_HEAD, KEY_TAIL, KEYBOARD_MODE, MEMORY_KIB, inb, outb, put_byte,
    put_word, word,
};
use super::pci::{Function, functions, register};
use super::{Action, Bios, Board, DriveKind, Phase, boot, clock, firmware_files, option_rom, serial, tables, video};
use crate::acpi::generation;
use crate::layout::Layout;
use crate::memory_map::{CONVENTIONAL_END, EBDA_START, F_SEGMENT, FOUR_GIB};
use crate::platform;
use crate::rom;

/// Where a boot sector will be: free until then.
const SCRATCH: u32 = 0x7c00;

/// The host bridge's PAM registers: the F segment's, and those of C0000h to EFFFFh with two 16-KiB pieces each.
const HOST_BRIDGE: Function = Function(0);
const PAM0: u8 = 0x59;
/// Writes go to RAM; reads still come from ROM, from which the caller's code runs.
const PAM_F_SEGMENT_COPYING: u8 = 0x20;
const PAM_F_SEGMENT_RAM: u8 = 0x30;
const PAM_F_SEGMENT_READ_ONLY: u8 = 0x10;
const PAM_LOW_RAM: u8 = 0x03;
const PAM_HIGH_RAM: u8 = 0x30;
/// The 8259s.
const MASTER: u16 = 0x20;
const SLAVE: u16 = 0xa0;
const MASTER_VECTOR: u8 = 0x08;
const SLAVE_VECTOR: u8 = 0x70;
/// Timer, keyboard and the slave may interrupt.
const MASTER_MASK: u8 = 0xf8;
const SLAVE_MASK: u8 = 0xff;
/// The 8254: counter 0 gives a square wave of 18.2 Hz.
const PIT_CONTROL: u16 = 0x43;
const PIT_COUNTER_0: u16 = 0x40;
const SQUARE_WAVE: u8 = 0x36;
/// Keyboard controller.
const KEYBOARD_DATA: u16 = 0x60;
const KEYBOARD_COMMAND: u16 = 0x64;
const SELF_TEST: u8 = 0xaa;
const WRITE_MODE: u8 = 0x60;
const ENABLE_KEYBOARD: u8 = 0xae;
/// Keyboard's interrupt, tested, mouse off, translation to set 1.
const KEYBOARD_SETTING: u8 = 0x65;
/// Fixed disk parameter tables for INT 41h and 46h, in the extended data area.
const DISK_TABLES: u16 = 0x40;

impl Bios {
    /// AX says which [`Phase`].
    pub(super) fn post(&mut self, board: &mut dyn Board, f: &mut Frame) -> Action {
        const SHADOW: u16 = Phase::Shadow as u16;
        const DEVICES: u16 = Phase::Devices as u16;
        const OPTION_ROM: u16 = Phase::OptionRom as u16;
        const FINISH: u16 = Phase::Finish as u16;
        const RESUME: u16 = Phase::Resume as u16;
        match f.ax() {
            SHADOW => self.open_shadow(board),
            DEVICES => self.set_up_devices(board),
            OPTION_ROM => return self.next_option_rom(board, f),
            FINISH => return self.finish_post(board),
            RESUME => return self.resume(board, f),
            _ => {}
        }
        Action::Done
    }

    /// RAM for all that is below 1 MiB and no ROM.
    fn open_shadow(&mut self, board: &mut dyn Board) {
        let free = option_rom::free_pieces(board, &mut self.roms);
        HOST_BRIDGE.put_byte(board, PAM0, PAM_F_SEGMENT_COPYING);
        for (register, pair) in (PAM0 + 1..).zip(free.chunks_exact(2)) {
            let low = if pair[0] { PAM_LOW_RAM } else { 0 };
            let high = if pair[1] { PAM_HIGH_RAM } else { 0 };
            HOST_BRIDGE.put_byte(board, register, low | high);
        }
    }

    fn set_up_devices(&mut self, board: &mut dyn Board) {
        let mut image = vec![0; rom::SIZE];
        board.read(FOUR_GIB - rom::SIZE as u64, &mut image);
        board.write(F_SEGMENT, &image);
        HOST_BRIDGE.put_byte(board, PAM0, PAM_F_SEGMENT_RAM);
        let placed = platform::place(&self.config.platform);
        if let Some(address) = placed.vm_generation {
            firmware_files::write(board, SCRATCH, generation::ADDRESS_FILE, &address.to_le_bytes());
        }
        for segment in placed.segments {
            board.write(segment.address, &segment.bytes);
        }
        set_up_vectors(board, &image);
        self.set_up_data_area(board);
        set_up_interrupts(board);
        set_up_keyboard(board);
        clock::start(board);
        self.set_up_pci(board);
        for (address, table) in tables::build(&self.config.platform, &interrupting_pins(board)) {
            board.write(address, &table);
        }
    }

    fn set_up_data_area(&mut self, board: &mut dyn Board) {
        const FLOPPY: u16 = 1 << 0;
        const FPU: u16 = 1 << 1;
        const COLOR_80: u16 = 2 << 4;
        board.write(0x400, &[0; DATA_AREA_SIZE]);
        board.write(EBDA_START, &[0; (CONVENTIONAL_END - EBDA_START) as usize]);
        put_byte(board, EBDA_START, ((CONVENTIONAL_END - EBDA_START) >> 10) as u8);
        put_word(board, EBDA_SEGMENT, EBDA);
        put_word(board, MEMORY_KIB, (EBDA_START >> 10) as u16);
        for (pointer, value) in [
            (KEY_BUFFER_START_AT, KEY_BUFFER),
            (KEY_BUFFER_END_AT, KEY_BUFFER_END),
            (KEY_HEAD, KEY_BUFFER),
            (KEY_TAIL, KEY_BUFFER),
        ] {
            put_word(board, pointer, value);
        }
        put_byte(board, KEYBOARD_MODE, ENHANCED);
        let serial_ports = serial::start(board, self.config.platform.serial_ports);
        let floppies = self.disks.of_kind(DriveKind::Floppy).to_vec();
        let floppy_bits = match floppies.len() as u16 {
            0 => 0,
            n => FLOPPY | (n.min(4) - 1) << 6,
        };
        put_word(board, EQUIPMENT, floppy_bits | FPU | COLOR_80 | serial_ports << 9);
        for (at, index) in (FLOPPY_MEDIA..).zip(floppies.into_iter().take(2)) {
            put_byte(board, at, floppy_media(self.disks.drives[index].bytes));
        }
        self.set_up_disk_tables(board);
        video::set_text_mode(board);
    }

    fn set_up_disk_tables(&mut self, board: &mut dyn Board) {
        let disks = self.disks.of_kind(DriveKind::HardDisk).to_vec();
        put_byte(board, DISK_COUNT, disks.len() as u8);
        for (i, (index, vector)) in disks.into_iter().zip([0x41_u16, 0x46]).enumerate() {
            const MORE_THAN_8_HEADS: u8 = 1 << 3;
            let bytes = self.disks.drives[index].bytes;
            let g = Geometry::of_disk(bytes / SECTOR * SECTOR);
            let mut table = Layout::default();
            table.u16(g.cylinders).u8(g.heads as u8).u16(0).u16(u16::MAX).u8(0).u8(MORE_THAN_8_HEADS).zeroes(3);
            table.u16(g.cylinders).u8(g.sectors as u8).u8(0);
            let offset = DISK_TABLES + 16 * i as u16;
            board.write(linear(EBDA, offset), &table.0);
            set_vector(board, vector, EBDA, offset);
        }
    }

    /// The console, write protection, and a first word.
    fn finish_post(&mut self, board: &mut dyn Board) -> Action {
        const VIDEO: u16 = 0x10;
        if std::mem::replace(&mut self.boot.greeted, true) {
            return Action::Done;
        }
        let (offset, segment) = vector(board, VIDEO);
        let own = segment == 0xf000;
        if own || self.config.serial_console {
            self.console.start((!own).then_some((offset, segment)));
            let mut entry = [0; 2];
            board.read(F_SEGMENT + rom::VECTORS as u64 + 2 * u64::from(VIDEO), &mut entry);
            set_vector(board, VIDEO, 0xf000, u16::from_le_bytes(entry));
        }
        HOST_BRIDGE.put_byte(board, PAM0, PAM_F_SEGMENT_READ_ONLY);
        boot::print(board, concat!("Lockstep BIOS (version ", env!("CARGO_PKG_VERSION"), ")\r\n\r\n"))
    }
}

fn vector(board: &mut dyn Board, number: u16) -> (u16, u16) {
    let at = 4 * u64::from(number);
    (word(board, at), word(board, at + 2))
}

fn set_vector(board: &mut dyn Board, number: u16, segment: u16, offset: u16) {
    let at = 4 * u64::from(number);
    put_word(board, at, offset);
    put_word(board, at + 2, segment);
}

/// The vectors that the ROM lists, and pointers to tables.
fn set_up_vectors(board: &mut dyn Board, image: &[u8]) {
    const DISKETTE: u16 = 0x1e;
    let listed = image.get(rom::VECTORS..).unwrap_or_default().chunks_exact(2).take(rom::VECTOR_COUNT);
    board.write(0, &[0; 0x400]);
    for (number, offset) in (0..).zip(listed) {
        let offset = u16::from_le_bytes([offset[0], offset[1]]);
        if offset != 0 {
            set_vector(board, number, 0xf000, offset);
        }
    }
    set_vector(board, DISKETTE, 0xf000, DISKETTE_TABLE);
}

fn set_up_interrupts(board: &mut dyn Board) {
    const ICW1: u8 = 0x11;
    const ICW4: u8 = 0x01;
    for (chip, vector, cascade) in [(MASTER, MASTER_VECTOR, 1 << 2), (SLAVE, SLAVE_VECTOR, 2)] {
        outb(board, chip, ICW1);
        outb(board, chip + 1, vector);
        outb(board, chip + 1, cascade);
        outb(board, chip + 1, ICW4);
    }
    outb(board, MASTER + 1, MASTER_MASK);
    outb(board, SLAVE + 1, SLAVE_MASK);
    outb(board, PIT_CONTROL, SQUARE_WAVE);
    outb(board, PIT_COUNTER_0, 0);
    outb(board, PIT_COUNTER_0, 0);
}

fn set_up_keyboard(board: &mut dyn Board) {
    outb(board, KEYBOARD_COMMAND, SELF_TEST);
    inb(board, KEYBOARD_DATA);
    outb(board, KEYBOARD_COMMAND, WRITE_MODE);
    outb(board, KEYBOARD_DATA, KEYBOARD_SETTING);
    outb(board, KEYBOARD_COMMAND, ENABLE_KEYBOARD);
}

/// Slot, pin (0 to 3) and interrupt of every function on bus 0 that has one, each pin once.
fn interrupting_pins(board: &mut dyn Board) -> Vec<(u8, u8, u8)> {
    let mut pins: Vec<_> = functions(board, 0)
        .into_iter()
        .filter_map(|function| {
            let pin = function.byte(board, register::INTERRUPT_PIN);
            let line = function.byte(board, register::INTERRUPT_LINE);
            (1..=4).contains(&pin).then(|| (function.device(), pin - 1, line))
        })
        .collect();
    pins.sort_unstable();
    pins.dedup_by_key(|(slot, pin, _)| (*slot, *pin));
    pins
}
