//! Firmware images for `-bios`, assembled by the test: the smallest guests there are.

use crate::program::scratch;
use iced_x86::IcedError;
use iced_x86::code_asm::CodeAssembler;

const LEN: usize = 64 << 10;
const RESET_VECTOR: usize = 0xfff0;
/// JMP F000:0000.
const TO_START: [u8; 5] = [0xea, 0, 0, 0, 0xf0];

/// A piece of an image: where it lies in segment F000h, and its bytes.
pub type Piece = (u16, Vec<u8>);

/// Real-mode code at an offset.
///
/// # Panics
/// If it cannot be assembled.
pub fn code(at: u16, program: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>) -> Piece {
    let mut assembler = CodeAssembler::new(16).expect("an assembler");
    program(&mut assembler).expect("a program");
    (at, assembler.assemble(at.into()).expect("code"))
}

/// Writes an image of these pieces, which starts at F000:0000 in real mode, and names the file.
///
/// # Panics
/// If a piece does not fit or the file cannot be written.
pub fn write(name: &str, pieces: &[Piece]) -> String {
    let mut image = vec![0xf4; LEN];
    for (at, bytes) in pieces {
        image[usize::from(*at)..][..bytes.len()].copy_from_slice(bytes);
    }
    image[RESET_VECTOR..][..TO_START.len()].copy_from_slice(&TO_START);
    scratch(&format!("{name}.bin"), &image).display().to_string()
}
