//! The built-in firmware: a 64 KiB ROM, assembled when it is asked for.
//!
//! It is mapped twice, at F0000h and so that it ends at 4 GiB. Reset starts it in real mode; it goes to flat 32-bit protected mode
//! and stays there. With nothing to boot it is a monitor on COM1. Kernels that are started directly never run it, but find the
//! anchors of the platform tables in its first [`TABLE_WINDOW`] bytes.
//!
//! Layout: the table window, data (descriptor tables, texts, command table) from [`DATA`], 32-bit code from [`CODE`], the real-mode
//! entry at [`ENTRY`], the reset vector at [`RESET_VECTOR`].

mod commands;
mod cpu;
mod entry;
mod fw_cfg;
mod interrupts;
mod memory;
mod monitor;
mod pci;
mod program;
mod ram;
mod serial;
mod text;

use iced_x86::IcedError;
use thiserror::Error;

use program::Program;

/// Bytes of the ROM.
pub const SIZE: usize = 0x1_0000;
/// Where the ROM lies below 1 MiB, and where its code thinks it lies.
pub const BASE: u32 = 0xf_0000;
/// Bytes at the ROM's start that are left free for the anchors of ACPI and SMBIOS.
pub const TABLE_WINDOW: usize = 0x1000;
/// Offset of the data.
pub const DATA: usize = TABLE_WINDOW;
/// Offset of the 32-bit code.
pub const CODE: usize = 0x4000;
/// Offset of the real-mode code.
pub const ENTRY: usize = 0xff00;
/// Offset of the first instruction after reset.
pub const RESET_VECTOR: usize = 0xfff0;

/// Why the ROM could not be built: a defect of this crate, never of its input.
#[derive(Debug, Error)]
pub enum RomError {
    /// The assembler refused an instruction.
    #[error("the built-in firmware does not assemble: {0}")]
    Assemble(#[from] IcedError),
    /// A part has outgrown its place.
    #[error("the built-in firmware's {part} takes {size} bytes, {room} are free")]
    TooLarge {
        /// Which part.
        part: &'static str,
        /// How long it is.
        size: usize,
        /// How long it may be.
        room: usize,
    },
}

/// Assembles the ROM.
///
/// # Errors
/// Never with the code as it stands; the tests build it.
pub fn image() -> Result<Vec<u8>, RomError> {
    let mut program = Program::new()?;
    entry::emit(&mut program)?;
    interrupts::emit(&mut program)?;
    serial::emit(&mut program)?;
    text::emit(&mut program)?;
    fw_cfg::emit(&mut program)?;
    memory::emit(&mut program)?;
    cpu::emit(&mut program)?;
    pci::emit(&mut program)?;
    commands::emit(&mut program)?;
    monitor::emit(&mut program)?;
    interrupts::fill_idt(&mut program);
    commands::fill_table(&mut program);
    let (data, code) = program.finish()?;

    let mut rom = vec![0xff; SIZE];
    rom[..TABLE_WINDOW].fill(0);
    place(&mut rom, DATA..CODE, "data", &data)?;
    place(&mut rom, CODE..ENTRY, "code", &code)?;
    place(&mut rom, ENTRY..RESET_VECTOR, "entry", &entry::real_mode()?)?;
    place(&mut rom, RESET_VECTOR..SIZE, "reset vector", &entry::reset_vector())?;
    Ok(rom)
}

fn place(rom: &mut [u8], at: std::ops::Range<usize>, part: &'static str, bytes: &[u8]) -> Result<(), RomError> {
    let room = at.len();
    match rom.get_mut(at).and_then(|place| place.get_mut(..bytes.len())) {
        Some(place) => {
            place.copy_from_slice(bytes);
            Ok(())
        }
        None => Err(RomError::TooLarge { part, size: bytes.len(), room }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Code, Decoder, DecoderOptions, Mnemonic};

    fn contains(bytes: &[u8], text: &str) -> bool {
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    }

    #[test]
    fn the_reset_vector_jumps_into_the_f_segment() {
        let rom = image().unwrap();
        assert_eq!(rom.len(), SIZE);
        let jump = Decoder::with_ip(16, &rom[RESET_VECTOR..], 0xfff0, DecoderOptions::NONE).decode();
        assert_eq!(jump.code(), Code::Jmp_ptr1616);
        assert_eq!((jump.far_branch_selector(), usize::from(jump.far_branch16())), (0xf000, ENTRY));
    }

    #[test]
    fn the_real_mode_entry_ends_in_a_jump_to_flat_code() {
        let rom = image().unwrap();
        let decoder = Decoder::with_ip(16, &rom[ENTRY..RESET_VECTOR], ENTRY as u64, DecoderOptions::NONE);
        let jump = decoder.into_iter().find(|i| i.code() == Code::Jmp_ptr1632).expect("a far jump");
        assert_eq!((jump.far_branch_selector(), jump.far_branch32()), (0x08, BASE + CODE as u32));
    }

    #[test]
    fn all_code_decodes_and_stays_inside_the_rom() {
        let rom = image().unwrap();
        let end = rom[CODE..ENTRY].iter().rposition(|byte| *byte != 0xff).unwrap() + 1;
        let start = u64::from(BASE) + CODE as u64;
        for instruction in Decoder::with_ip(32, &rom[CODE..CODE + end], start, DecoderOptions::NONE) {
            assert!(!instruction.is_invalid(), "{:#x}", instruction.ip());
            if matches!(instruction.mnemonic(), Mnemonic::Call | Mnemonic::Jmp) && instruction.near_branch_target() != 0
            {
                assert!((start..start + end as u64).contains(&instruction.near_branch_target()));
            }
        }
    }

    #[test]
    fn its_texts_are_there_and_the_table_window_is_free() {
        let rom = image().unwrap();
        for text in ["Lockstep firmware ", env!("CARGO_PKG_VERSION"), "> ", "peek", "poke", "Host bridge"] {
            assert!(contains(&rom, text), "{text}");
        }
        assert!(rom[..TABLE_WINDOW].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn every_interrupt_gate_leads_into_the_code() {
        let rom = image().unwrap();
        let idt = &rom[DATA + entry::GDT_SIZE..][..interrupts::GATES * 8];
        for gate in idt.chunks_exact(8) {
            let offset = u32::from(u16::from_le_bytes([gate[0], gate[1]])) | u32::from(gate[6]) << 16;
            assert_eq!((gate[2], gate[5], gate[7]), (0x08, 0x8e, 0));
            assert!((BASE + CODE as u32..BASE + ENTRY as u32).contains(&offset));
        }
    }
}
