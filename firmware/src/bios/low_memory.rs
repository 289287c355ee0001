//! The BIOS data area at 40:0, the extended one, and reading and writing fields of guest memory.

use super::{Board, PortWidth};
use crate::memory_map::EBDA_START;

/// The BIOS data area.
const DATA_AREA: u64 = 0x400;
/// Ports of COM1 to COM4.
pub(super) const SERIAL_PORTS: u64 = DATA_AREA;
pub(super) const EBDA_SEGMENT: u64 = DATA_AREA + 0x0e;
pub(super) const EQUIPMENT: u64 = DATA_AREA + 0x10;
pub(super) const MEMORY_KIB: u64 = DATA_AREA + 0x13;
pub(super) const KEY_FLAGS: u64 = DATA_AREA + 0x17;
pub(super) const KEYS_HELD: u64 = DATA_AREA + 0x18;
pub(super) const ALT_DIGITS: u64 = DATA_AREA + 0x19;
pub(super) const KEY_HEAD: u64 = DATA_AREA + 0x1a;
pub(super) const KEY_TAIL: u64 = DATA_AREA + 0x1c;
pub(super) const KEY_BUFFER: u16 = 0x1e;
pub(super) const KEY_BUFFER_END: u16 = 0x3e;
pub(super) const FLOPPY_STATUS: u64 = DATA_AREA + 0x41;
pub(super) const VIDEO_MODE: u64 = DATA_AREA + 0x49;
pub(super) const COLUMNS: u64 = DATA_AREA + 0x4a;
pub(super) const PAGE_BYTES: u64 = DATA_AREA + 0x4c;
/// Column and row of the cursor in each of eight pages.
pub(super) const CURSORS: u64 = DATA_AREA + 0x50;
pub(super) const CURSOR_SHAPE: u64 = DATA_AREA + 0x60;
pub(super) const ACTIVE_PAGE: u64 = DATA_AREA + 0x62;
pub(super) const CRTC_PORT: u64 = DATA_AREA + 0x63;
pub(super) const TICKS: u64 = DATA_AREA + 0x6c;
pub(super) const MIDNIGHT: u64 = DATA_AREA + 0x70;
pub(super) const DISK_STATUS: u64 = DATA_AREA + 0x74;
pub(super) const DISK_COUNT: u64 = DATA_AREA + 0x75;
pub(super) const SERIAL_TIMEOUTS: u64 = DATA_AREA + 0x7c;
pub(super) const KEY_BUFFER_START_AT: u64 = DATA_AREA + 0x80;
pub(super) const KEY_BUFFER_END_AT: u64 = DATA_AREA + 0x82;
pub(super) const LAST_ROW: u64 = DATA_AREA + 0x84;
pub(super) const CHARACTER_HEIGHT: u64 = DATA_AREA + 0x85;
pub(super) const FLOPPY_MEDIA: u64 = DATA_AREA + 0x90;
pub(super) const KEYBOARD_MODE: u64 = DATA_AREA + 0x96;
/// Length of the BIOS data area with what follows it up to 500h.
pub(super) const DATA_AREA_SIZE: usize = 0x100;

/// In the extended data area: a text for [`super::Action::Print`], ending in a zero.
pub const TEXT: u64 = EBDA_START + TEXT_OFFSET as u64;
/// The text's offset in the extended data area.
pub const TEXT_OFFSET: u16 = 0x100;
/// The longest text with its zero.
pub(super) const TEXT_MAX: usize = 0x200;
/// The extended data area's segment.
pub const EBDA: u16 = (EBDA_START >> 4) as u16;

/// Where boot sectors go.
pub(super) const BOOT_SECTOR: u64 = 0x7c00;

pub(super) fn byte(board: &mut dyn Board, address: u64) -> u8 {
    let mut bytes = [0];
    board.read(address, &mut bytes);
    bytes[0]
}

pub(super) fn word(board: &mut dyn Board, address: u64) -> u16 {
    let mut bytes = [0; 2];
    board.read(address, &mut bytes);
    u16::from_le_bytes(bytes)
}

pub(super) fn dword(board: &mut dyn Board, address: u64) -> u32 {
    let mut bytes = [0; 4];
    board.read(address, &mut bytes);
    u32::from_le_bytes(bytes)
}

pub(super) fn put_byte(board: &mut dyn Board, address: u64, value: u8) {
    board.write(address, &[value]);
}

pub(super) fn put_word(board: &mut dyn Board, address: u64, value: u16) {
    board.write(address, &value.to_le_bytes());
}

pub(super) fn put_dword(board: &mut dyn Board, address: u64, value: u32) {
    board.write(address, &value.to_le_bytes());
}

/// Reads a byte-wide port.
pub(super) fn inb(board: &mut dyn Board, port: u16) -> u8 {
    board.port_read(port, PortWidth::Byte) as u8
}

/// Writes a byte-wide port.
pub(super) fn outb(board: &mut dyn Board, port: u16, value: u8) {
    board.port_write(port, PortWidth::Byte, value.into());
}

/// Reads a byte of the RTC's memory.
pub(super) fn cmos(board: &mut dyn Board, at: u8) -> u8 {
    outb(board, 0x70, at);
    inb(board, 0x71)
}

/// Writes a byte of the RTC's memory.
pub(super) fn put_cmos(board: &mut dyn Board, at: u8, value: u8) {
    outb(board, 0x70, at);
    outb(board, 0x71, value);
}
