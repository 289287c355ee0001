//! The ROM image: header, PCI data structure, the code, and the fonts.

use super::glyphs;
use super::mailbox;
use crate::rom::RomError;
use iced_x86::IcedError;
use iced_x86::code_asm::*;

/// What the card answers to, for the PCI data structure.
const VENDOR: u16 = 0x1234;
const DEVICE: u16 = 0x1111;
/// A VGA-compatible display controller.
const CLASS: [u8; 3] = [0x00, 0x00, 0x03];

const ENTRY: usize = 3;
const PCI_POINTER: usize = 0x18;
const PCI_DATA: usize = 0x1c;
const PCI_DATA_LEN: u16 = 0x18;
const IDENTITY: usize = 0x40;
/// Offset of the table of what the card can do (INT 10h, AH=1Bh).
pub(super) const FUNCTIONALITY: u16 = 0x60;
/// Every mode, 200, 350 and 400 lines, two of eight fonts at once, and all services of a VGA.
const FUNCTIONALITY_TABLE: [u8; 16] = [0xff, 0xe0, 0x0f, 0, 0, 0, 0, 0x07, 0x02, 0x08, 0xff, 0x0e, 0, 0, 0, 0];
/// Offset of the INT 10h handler.
const CODE: usize = 0x80;
const CODE_END: usize = 0x200;
/// Offset of the 8x16 font.
pub const FONT_8X16: u16 = CODE_END as u16;
/// Offset of the 8x14 font.
pub const FONT_8X14: u16 = FONT_8X16 + 16 * 256;
/// Offset of the 8x8 font.
pub const FONT_8X8: u16 = FONT_8X14 + 14 * 256;
const END: usize = FONT_8X8 as usize + 8 * 256;
const BLOCK: usize = 512;

const VECTOR_10: u32 = 0x10 * 4;

/// Assembles the ROM, a multiple of 512 bytes.
///
/// # Errors
/// Never with the code as it stands; the tests build it.
pub fn image() -> Result<Vec<u8>, RomError> {
    let mut rom = vec![0; (END + 1).next_multiple_of(BLOCK)];
    let blocks = rom.len() / BLOCK;
    rom[..ENTRY].copy_from_slice(&[0x55, 0xaa, blocks as u8]);
    let mut code = handler()?;
    // A near jump over the header and the handler to the initialization.
    rom[ENTRY] = 0xe9;
    rom[ENTRY + 1..ENTRY + 3].copy_from_slice(&((CODE + code.len() - ENTRY - 3) as u16).to_le_bytes());
    code.extend(initialization()?);
    rom[PCI_POINTER..PCI_POINTER + 2].copy_from_slice(&(PCI_DATA as u16).to_le_bytes());
    rom[PCI_DATA..PCI_DATA + usize::from(PCI_DATA_LEN)].copy_from_slice(&pci_data(blocks as u16));
    let identity = b"IBM VGA compatible; Lockstep";
    rom[IDENTITY..IDENTITY + identity.len()].copy_from_slice(identity);
    let functionality = usize::from(FUNCTIONALITY);
    rom[functionality..functionality + FUNCTIONALITY_TABLE.len()].copy_from_slice(&FUNCTIONALITY_TABLE);
    let room = CODE_END - CODE;
    if code.len() > room {
        return Err(RomError::TooLarge { part: "video handler", size: code.len(), room });
    }
    rom[CODE..CODE + code.len()].copy_from_slice(&code);
    let fonts = [
        (FONT_8X16, glyphs::eight_by_sixteen()),
        (FONT_8X14, glyphs::eight_by_fourteen()),
        (FONT_8X8, glyphs::eight_by_eight()),
    ];
    for (at, font) in fonts {
        rom[usize::from(at)..usize::from(at) + font.len()].copy_from_slice(&font);
    }
    let sum = rom.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    if let Some(last) = rom.last_mut() {
        *last = sum.wrapping_neg();
    }
    Ok(rom)
}

/// The PCI data structure (PCI Firmware 3.0, section 5.1.2).
fn pci_data(blocks: u16) -> [u8; PCI_DATA_LEN as usize] {
    const PC_AT: u8 = 0;
    const LAST_IMAGE: u8 = 0x80;
    let mut data = [0; PCI_DATA_LEN as usize];
    data[..4].copy_from_slice(b"PCIR");
    data[4..6].copy_from_slice(&VENDOR.to_le_bytes());
    data[6..8].copy_from_slice(&DEVICE.to_le_bytes());
    data[0xa..0xc].copy_from_slice(&PCI_DATA_LEN.to_le_bytes());
    data[0xd..0x10].copy_from_slice(&CLASS);
    data[0x10..0x12].copy_from_slice(&blocks.to_le_bytes());
    data[0x14] = PC_AT;
    data[0x15] = LAST_IMAGE;
    data
}

/// What firmware calls: takes the interrupt vector and shows an empty text screen.
fn initialization() -> Result<Vec<u8>, IcedError> {
    let mut asm = CodeAssembler::new(16)?;
    asm.pushf()?;
    asm.pusha()?;
    asm.push(ds)?;
    asm.xor(ax, ax)?;
    asm.mov(ds, ax)?;
    asm.mov(word_ptr(VECTOR_10), CODE as u32)?;
    asm.mov(word_ptr(VECTOR_10 + 2), cs)?;
    asm.pop(ds)?;
    asm.mov(ax, 0x0003)?;
    asm.int(0x10)?;
    asm.popa()?;
    asm.popf()?;
    asm.retf()?;
    asm.assemble(0)
}

/// The INT 10h handler, at [`CODE`]; see [`mailbox`].
fn handler() -> Result<Vec<u8>, IcedError> {
    let mut asm = CodeAssembler::new(16)?;
    let mut step = asm.create_label();
    let mut to_guest = asm.create_label();
    let mut done = asm.create_label();
    let words = mailbox::REGISTERS as u32;
    // Another service in the middle of this one would mix up their words.
    asm.cli()?;
    asm.push(cs)?;
    asm.push(ds)?;
    asm.push(es)?;
    asm.pusha()?;
    asm.cld()?;
    asm.mov(ax, ss)?;
    asm.mov(ds, ax)?;
    asm.mov(si, sp)?;
    asm.mov(cx, words)?;
    asm.mov(dx, u32::from(mailbox::PORT))?;
    asm.rep().outsw()?;

    asm.set_label(&mut step)?;
    asm.mov(dx, u32::from(mailbox::STEPS))?;
    asm.in_(ax, dx)?;
    asm.mov(bx, ax)?;
    asm.test(bx, bx)?;
    asm.jz(done)?;
    asm.in_(ax, dx)?;
    asm.mov(cx, ax)?;
    asm.in_(ax, dx)?;
    asm.mov(es, ax)?;
    asm.mov(ds, ax)?;
    asm.in_(ax, dx)?;
    asm.mov(di, ax)?;
    asm.mov(si, ax)?;
    asm.mov(dx, u32::from(mailbox::DATA))?;
    asm.cmp(bx, u32::from(mailbox::TO_GUEST))?;
    asm.je(to_guest)?;
    asm.rep().outsb()?;
    asm.jmp(step)?;
    asm.set_label(&mut to_guest)?;
    asm.rep().insb()?;
    asm.jmp(step)?;

    asm.set_label(&mut done)?;
    asm.mov(ax, ss)?;
    asm.mov(es, ax)?;
    asm.mov(di, sp)?;
    asm.mov(cx, words)?;
    asm.mov(dx, u32::from(mailbox::PORT))?;
    asm.rep().insw()?;
    asm.popa()?;
    asm.pop(es)?;
    asm.pop(ds)?;
    // What was pushed for CS goes; flags stay for IRET to restore.
    asm.add(sp, 2)?;
    asm.iret()?;
    asm.assemble(CODE as u64)
}
