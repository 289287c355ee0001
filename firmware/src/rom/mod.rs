//! The built-in firmware: a 64 KiB ROM, assembled when it is asked for.
//!
//! It is mapped twice, at F0000h and so that it ends at 4 GiB. Reset starts it in real mode, where it asks the services of
//! [`crate::bios`] to set the machine up and to boot. With nothing to boot it goes to flat 32-bit protected mode, and is a monitor
//! on COM1 from then on. Kernels that are started directly never run it, but find the anchors of the platform tables in its first
//! [`TABLE_WINDOW`] bytes.
//!
//! Layout: the table window, the monitor's data (descriptor tables, texts, command table) from [`DATA`] and its 32-bit code from
//! [`CODE`], the BIOS from [`VECTORS`] on, the monitor's real-mode entry at [`ENTRY`], the reset vector at [`RESET_VECTOR`]. Tables
//! of the BIOS that software has been known to find by their addresses have those.

mod bios;
mod bios32;
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
/// Offset of a table of [`VECTOR_COUNT`] words: the handlers of the interrupt vectors, in this segment (0: none).
pub const VECTORS: usize = 0xe000;
/// How many vectors the table has.
pub const VECTOR_COUNT: usize = 0x78;
/// Offset of the BIOS's code, which begins with what reset starts.
pub const START: usize = 0xe100;
/// Offset of INT 15h AH=C0h's table.
pub const CONFIGURATION_TABLE: usize = 0xe6f5;
/// Offset of INT 1Eh's table of floppy parameters.
pub const DISKETTE_TABLE: usize = 0xefc7;
/// Offset of the BIOS32 service directory's 32-bit entry.
pub const BIOS32_ENTRY: usize = 0xf000;
/// Offset of the Plug and Play entry, in real mode and in 16-bit protected mode.
pub const PNP_ENTRY: usize = 0xf100;
/// The same for protected mode.
pub const PNP_PROTECTED_ENTRY: usize = PNP_ENTRY;
/// Offset of the monitor's real-mode entry.
pub const ENTRY: usize = 0xfe00;
/// Offset of an IRET, where vectors point that do nothing.
pub const DUMMY_HANDLER: usize = 0xff53;
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
    place(&mut rom, CODE..VECTORS, "code", &code)?;
    let bios = bios::assemble()?;
    place(&mut rom, VECTORS..START, "vectors", &bios.vectors)?;
    place(&mut rom, START..CONFIGURATION_TABLE, "BIOS", &bios.code)?;
    place(&mut rom, CONFIGURATION_TABLE..DISKETTE_TABLE, "configuration table", &bios::CONFIGURATION)?;
    place(&mut rom, DISKETTE_TABLE..BIOS32_ENTRY, "floppy parameters", &bios::FLOPPY_PARAMETERS)?;
    place(&mut rom, BIOS32_ENTRY..PNP_ENTRY, "BIOS32", &bios32::assemble()?)?;
    place(&mut rom, PNP_ENTRY..ENTRY, "Plug and Play", &bios::PLUG_AND_PLAY)?;
    place(&mut rom, ENTRY..DUMMY_HANDLER, "entry", &entry::real_mode()?)?;
    place(&mut rom, DUMMY_HANDLER..RESET_VECTOR, "dummy handler", &bios::DUMMY)?;
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
        assert_eq!((jump.far_branch_selector(), usize::from(jump.far_branch16())), (0xf000, START));
    }

    #[test]
    fn the_real_mode_entry_ends_in_a_jump_to_flat_code() {
        let rom = image().unwrap();
        let decoder = Decoder::with_ip(16, &rom[ENTRY..DUMMY_HANDLER], ENTRY as u64, DecoderOptions::NONE);
        let jump = decoder.into_iter().find(|i| i.code() == Code::Jmp_ptr1632).expect("a far jump");
        assert_eq!((jump.far_branch_selector(), jump.far_branch32()), (0x08, BASE + CODE as u32));
    }

    #[test]
    fn all_code_decodes_and_stays_inside_the_rom() {
        let rom = image().unwrap();
        let end = rom[CODE..VECTORS].iter().rposition(|byte| *byte != 0xff).unwrap() + 1;
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
            assert!((BASE + CODE as u32..BASE + VECTORS as u32).contains(&offset));
        }
    }
}
