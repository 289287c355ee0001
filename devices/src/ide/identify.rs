//! IDENTIFY DEVICE and IDENTIFY PACKET DEVICE (ATA/ATAPI-6, sections 8.15 and 8.16).

use super::unit::{MULTIPLE_MOST, Unit};

/// What disks call themselves.
const DISK_MODEL: &str = "LOCKSTEP HARDDISK";
/// What CD drives call themselves.
const CD_MODEL: &str = "LOCKSTEP CD-ROM";
const FIRMWARE: &str = "1.0";

/// Bytes of a sector, and so many times those of a track: words 5 and 4 of ATA-1's IDENTIFY DRIVE.
const SECTOR_BYTES: u16 = 512;
/// PIO cycle times in ns, words 65 to 68.
const CYCLE_NS: u16 = 120;
/// Multiword DMA modes 0 to 2, Ultra DMA modes 0 to 5.
const MULTIWORD_MODES: u16 = 0x07;
const ULTRA_MODES: u16 = 0x3f;
/// ATA-1 to ATA/ATAPI-6.
const MAJOR_VERSIONS: u16 = 0x7e;
/// Bit 14 set and bit 15 clear: the word holds something.
const VALID: u16 = 1 << 14;

const CAPABLE_DMA: u16 = 1 << 8;
const CAPABLE_LBA: u16 = 1 << 9;
const CAPABLE_IORDY: u16 = 3 << 10;

const SET_SMART: u16 = 1 << 0;
const SET_REMOVABLE: u16 = 1 << 1;
const SET_POWER: u16 = 1 << 3;
const SET_PACKET: u16 = 1 << 4;
const SET_WRITE_CACHE: u16 = 1 << 5;
const SET_LOOK_AHEAD: u16 = 1 << 6;
const SET_DEVICE_RESET: u16 = 1 << 9;
const SET_NOP: u16 = 1 << 14;
const SET2_LBA48: u16 = 1 << 10;
const SET2_FLUSH: u16 = 1 << 12;
const SET2_FLUSH_EXT: u16 = 1 << 13;

/// 256 words.
struct Words([u16; 256]);

impl Words {
    fn put(&mut self, at: usize, value: u16) {
        if let Some(word) = self.0.get_mut(at) {
            *word = value;
        }
    }

    fn put_long(&mut self, at: usize, value: u64, words: usize) {
        (0..words).for_each(|i| self.put(at + i, (value >> (16 * i)) as u16));
    }

    /// Text stands with the first character in the high byte, padded by spaces.
    fn put_text(&mut self, at: usize, words: usize, text: &str) {
        let mut bytes = text.bytes().map(|b| if b.is_ascii_graphic() { b } else { b' ' });
        for i in 0..words {
            let mut next = || u16::from(bytes.next().unwrap_or(b' '));
            let high = next() << 8;
            self.put(at + i, high | next());
        }
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|w| w.to_le_bytes()).collect()
    }
}

fn serial(unit: &Unit) -> String {
    if unit.info.serial.is_empty() { format!("LS{:05}", unit.drive + 1) } else { unit.info.serial.clone() }
}

/// What both kinds of device tell alike.
fn of_any(unit: &Unit, usual_model: &str) -> Words {
    let mut words = Words([0; 256]);
    let told = |text: &str, usual: &str| if text.is_empty() { usual.to_owned() } else { text.to_owned() };
    words.put_text(10, 10, &serial(unit));
    words.put_text(23, 4, &told(&unit.info.version, FIRMWARE));
    words.put_text(27, 20, &told(&unit.info.model, usual_model));
    words.put(49, CAPABLE_DMA | CAPABLE_LBA | CAPABLE_IORDY);
    words.put(51, 0x200);
    words.put(53, 0x07);
    words.put(63, MULTIWORD_MODES | u16::from(unit.multiword_mode) << 8);
    words.put(64, 0x03);
    (65..69).for_each(|at| words.put(at, CYCLE_NS));
    words.put(80, MAJOR_VERSIONS);
    words.put(88, ULTRA_MODES | u16::from(unit.ultra_mode) << 8);
    // The hardware reset's result: an 80-conductor cable, device 0 or 1 found by its jumper.
    words.put(93, VALID | 1 << 13 | if unit.drive & 1 == 0 { 0x0b } else { 0x0b00 });
    words
}

/// IDENTIFY DEVICE: 512 bytes.
pub(super) fn disk(unit: &Unit) -> Vec<u8> {
    let mut words = of_any(unit, DISK_MODEL);
    let (told, now, sectors) = (unit.geometry, unit.translation, unit.sectors());
    words.put(0, 0x0040);
    words.put(1, told.cylinders);
    words.put(3, told.heads.into());
    // Obsolete since ATA-2, but Bochs's BIOS takes a sector's length from here.
    words.put(4, u16::from(told.sectors).wrapping_mul(SECTOR_BYTES));
    words.put(5, SECTOR_BYTES);
    words.put(6, told.sectors.into());
    words.put(47, 0x8000 | u16::from(MULTIPLE_MOST));
    words.put(48, 1);
    words.put(50, VALID);
    words.put(54, now.cylinders);
    words.put(55, now.heads.into());
    words.put(56, now.sectors.into());
    words.put_long(57, now.capacity().min(sectors), 2);
    words.put(59, u16::from(unit.multiple) | u16::from(unit.multiple != 0) << 8);
    words.put_long(60, sectors.min(0x0fff_ffff), 2);
    let supported = SET_SMART | SET_POWER | SET_WRITE_CACHE | SET_LOOK_AHEAD | SET_NOP;
    let switch = |on: bool, bit: u16| if on { bit } else { 0 };
    let enabled = SET_POWER
        | SET_NOP
        | switch(unit.smart, SET_SMART)
        | switch(unit.write_cache, SET_WRITE_CACHE)
        | switch(unit.look_ahead, SET_LOOK_AHEAD);
    let supported2 = VALID | SET2_LBA48 | SET2_FLUSH | SET2_FLUSH_EXT;
    words.put(82, supported);
    words.put(83, supported2);
    words.put(84, VALID);
    words.put(85, enabled);
    words.put(86, supported2 & !VALID);
    words.put(87, VALID);
    words.put_long(100, sectors, 4);
    // DATA SET MANAGEMENT's TRIM, one block of ranges at a time.
    words.put(105, 1);
    words.put(169, 1);
    words.put(217, 1);
    let mut bytes = words.bytes();
    // The integrity word: a signature, and what makes the sum of all bytes zero.
    bytes[510] = 0xa5;
    let sum = bytes.iter().fold(0u8, |sum, b| sum.wrapping_add(*b));
    bytes[511] = sum.wrapping_neg();
    bytes
}

/// IDENTIFY PACKET DEVICE: 512 bytes.
pub(super) fn packet(unit: &Unit) -> Vec<u8> {
    let mut words = of_any(unit, CD_MODEL);
    // An ATAPI CD-ROM drive, removable, that asks for its packet within 50 us; packets of 12 bytes.
    words.put(0, 0x85c0);
    let set = SET_REMOVABLE | SET_POWER | SET_PACKET | SET_DEVICE_RESET | SET_NOP;
    words.put(82, set);
    words.put(83, VALID);
    words.put(84, VALID);
    words.put(85, set);
    words.put(87, VALID);
    words.bytes()
}
