//! A boot sector that reads the next sector by INT 13h and says what is in it.

use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, ah, al, ax, bx, ch, cl, dh, ds, dx, es, si, sp, ss};

const SECTOR: usize = 512;
const BOOT: u64 = 0x7c00;
const BUFFER: u32 = 0x7e00;
const DEBUG_PORT: u32 = 0x402;

/// What the boot sector speaks with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// INT 10h.
    Screen,
    /// The debug console's port, where there is no VGA BIOS.
    DebugPort,
}

/// An image of `len` bytes that boots and says `said`, which has no zero in it and fits a sector.
pub fn image(said: &str, len: usize, voice: Voice) -> Vec<u8> {
    let mut assembler = CodeAssembler::new(16).expect("16-bit");
    boot_sector(&mut assembler, voice).expect("instructions");
    let code = assembler.assemble(BOOT).expect("it assembles");
    let mut bytes = vec![0; len];
    bytes[..code.len()].copy_from_slice(&code);
    bytes[SECTOR - 2..SECTOR].copy_from_slice(&[0x55, 0xaa]);
    bytes[SECTOR..SECTOR + said.len()].copy_from_slice(said.as_bytes());
    bytes
}

/// Reads sector 2 of the drive it came from, which is in DL, and says it up to its first zero.
fn boot_sector(a: &mut CodeAssembler, voice: Voice) -> Result<(), IcedError> {
    let mut next = a.create_label();
    let mut done = a.create_label();
    a.xor(ax, ax)?;
    a.mov(ds, ax)?;
    a.mov(es, ax)?;
    a.mov(ss, ax)?;
    a.mov(sp, BOOT as u32)?;
    a.mov(bx, BUFFER)?;
    a.mov(ax, 0x0201)?;
    a.mov(ch, 0)?;
    a.mov(cl, 2)?;
    a.mov(dh, 0)?;
    a.int(0x13)?;
    a.jc(done)?;
    a.mov(si, BUFFER)?;
    a.set_label(&mut next)?;
    a.lodsb()?;
    a.test(al, al)?;
    a.je(done)?;
    match voice {
        Voice::Screen => {
            a.mov(ah, 0x0e)?;
            a.xor(bx, bx)?;
            a.int(0x10)?;
        }
        Voice::DebugPort => {
            a.mov(dx, DEBUG_PORT)?;
            a.out(dx, al)?;
        }
    }
    a.jmp(next)?;
    a.set_label(&mut done)?;
    a.hlt()?;
    a.jmp(done)
}
