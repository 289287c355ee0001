//! The ROM as firmware sees it. What the services do is specified on a real card, where the machine is.

use super::*;
use iced_x86::{Decoder, DecoderOptions, Mnemonic};

#[test]
fn the_image_is_an_expansion_rom_for_the_card() {
    let rom = image().unwrap();
    assert_eq!(rom[..2], [0x55, 0xaa]);
    assert_eq!(rom.len(), usize::from(rom[2]) * 512);
    assert_eq!(rom.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)), 0);
    let data = &rom[usize::from(u16::from_le_bytes([rom[0x18], rom[0x19]]))..];
    assert_eq!((&data[..4], &data[4..8]), (&b"PCIR"[..], &[0x34, 0x12, 0x11, 0x11][..]));
    assert_eq!(data[0xd..0x10], [0, 0, 3], "a VGA-compatible display controller");
    assert_eq!((u16::from_le_bytes([data[0x10], data[0x11]]) as usize * 512, data[0x15]), (rom.len(), 0x80));
}

#[test]
fn the_entry_leads_to_initialization_which_sets_the_vector_to_the_handler() {
    let rom = image().unwrap();
    let entry = Decoder::with_ip(16, &rom[3..], 3, DecoderOptions::NONE).decode();
    let start = usize::from(entry.near_branch16());
    let vector = Decoder::with_ip(16, &rom[start..0x200], 0, DecoderOptions::NONE)
        .into_iter()
        .find(|i| i.mnemonic() == Mnemonic::Mov && i.memory_displacement32() == 0x40)
        .expect("the vector's offset");
    let handler = usize::from(vector.immediate16());
    let mut code = Decoder::with_ip(16, &rom[handler..start], handler as u64, DecoderOptions::NONE).into_iter();
    assert_eq!(code.next().map(|i| i.mnemonic()), Some(Mnemonic::Cli));
    assert_eq!(code.last().map(|i| (i.mnemonic(), i.next_ip())), Some((Mnemonic::Iret, start as u64)));
}

#[test]
fn registers_pass_the_mailbox_unchanged() {
    let words = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
    let regs = Registers::from_words(words);
    assert_eq!((regs.di, regs.ax, regs.cs), (1, 8, 11));
    assert_eq!(regs.words(), words);
}

#[test]
fn services_name_the_memory_that_they_read() {
    let write_string = Registers { ax: 0x1303, cx: 5, es: 0x1000, bp: 0x20, ..Registers::default() };
    assert_eq!(wants(&write_string), Some(Span { segment: 0x1000, offset: 0x20, len: 10 }));
    assert_eq!(wants(&Registers { ax: 0x0e41, ..Registers::default() }), None);
}
