//! Files of the firmware configuration device, as code of the guest would write them: by a DMA descriptor.

use super::{Board, PortWidth};

const SELECTOR: u16 = 0x510;
const DATA: u16 = 0x511;
const DMA_LOW: u16 = 0x518;
/// The item that lists the files.
const DIRECTORY: u32 = 0x19;
/// An entry of the list: length and key, big-endian, and a name of so many bytes.
const NAME_LEN: usize = 56;
/// No list is longer.
const FILES_MOST: u32 = 0x1000;
const SELECT: u32 = 1 << 3;
const WRITE: u32 = 1 << 4;

/// Writes to the beginning of a file; `scratch` is where descriptor and bytes may lie. A file that is not there is left alone.
pub(super) fn write(board: &mut dyn Board, scratch: u32, name: &str, bytes: &[u8]) {
    const DESCRIPTOR_LEN: u32 = 16;
    let Some(key) = key_of(board, name) else { return };
    let mut descriptor = (key << 16 | SELECT | WRITE).to_be_bytes().to_vec();
    descriptor.extend((bytes.len() as u32).to_be_bytes());
    descriptor.extend(u64::from(scratch + DESCRIPTOR_LEN).to_be_bytes());
    board.write(scratch.into(), &descriptor);
    board.write(u64::from(scratch + DESCRIPTOR_LEN), bytes);
    board.port_write(DMA_LOW, PortWidth::Dword, scratch.swap_bytes());
}

/// A file's key.
fn key_of(board: &mut dyn Board, name: &str) -> Option<u32> {
    board.port_write(SELECTOR, PortWidth::Word, DIRECTORY);
    let files = number(board, 4).min(FILES_MOST);
    for _ in 0..files {
        let (_len, key, _reserved) = (number(board, 4), number(board, 2), number(board, 2));
        let field: Vec<u8> = (0..NAME_LEN).map(|_| number(board, 1) as u8).collect();
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(NAME_LEN);
        if &field[..end] == name.as_bytes() {
            return Some(key);
        }
    }
    None
}

/// The next bytes of the selected item, big-endian.
fn number(board: &mut dyn Board, bytes: u32) -> u32 {
    (0..bytes).fold(0, |value, _| value << 8 | board.port_read(DATA, PortWidth::Byte) & 0xff)
}
