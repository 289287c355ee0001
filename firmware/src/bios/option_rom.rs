//! Expansion ROMs: found, copied below 1 MiB and called (PCI Firmware Specification 3.0, chapter 5; PnP BIOS 1.0A, chapter 3).

use serde::{Deserialize, Serialize};

use super::frame::Frame;
use super::low_memory::{byte, word};
use super::pci::{Function, all_functions, is_bridge, register};
use super::{Action, Bios, Board};

/// Where expansion ROMs lie.
const FIRST: u64 = 0xc_0000;
const END: u64 = 0xf_0000;
const STEP: u64 = 0x800;
const SIGNATURE: u16 = 0xaa55;
const UNIT: u64 = 512;
/// ROM BAR: decode.
const ENABLE: u32 = 1;
const DISPLAY_CLASS: u32 = 0x03;
/// In a ROM's header: where its PCI data are; in those: the image's length, its code type, and whether it is the last.
const DATA_POINTER: u64 = 0x18;
const DATA_SIGNATURE: u32 = u32::from_le_bytes(*b"PCIR");
const DATA_LENGTH: u64 = 0x10;
const DATA_CODE_TYPE: u64 = 0x14;
const DATA_INDICATOR: u64 = 0x15;
const LAST: u8 = 0x80;
const CODE_TYPE_PC: u8 = 0;
const MOST_IMAGES: usize = 8;

/// How far the search for ROMs has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scan {
    /// ROMs that lie below 1 MiB already: address and length.
    fixed: Vec<(u64, u64)>,
    /// Functions whose ROMs are to be copied.
    waiting: Option<Vec<u16>>,
    /// The function whose ROM BAR is open.
    open: Option<u16>,
    /// Where the next one goes.
    next: u64,
    /// The one that was called last.
    called: Option<u64>,
}

/// Finds ROMs that are there already, and returns the 16-KiB pieces from C0000h on that are free of them.
pub(super) fn free_pieces(board: &mut dyn Board, scan: &mut Scan) -> Vec<bool> {
    const PIECE: u64 = 0x4000;
    let mut at = FIRST;
    scan.fixed.clear();
    while at < END {
        let len = rom_length(board, at).filter(|len| at + len <= END);
        if let Some(len) = len {
            scan.fixed.push((at, len));
        }
        at += len.map_or(STEP, |len| len.next_multiple_of(STEP));
    }
    let fixed = &scan.fixed;
    (0..(END - FIRST) / PIECE)
        .map(|i| FIRST + i * PIECE)
        .map(|start| !fixed.iter().any(|(at, len)| *at < start + PIECE && start < at + len))
        .collect()
}

/// The length of the ROM at `at`, if there is one whose sum is right.
fn rom_length(board: &mut dyn Board, at: u64) -> Option<u64> {
    let len = u64::from(byte(board, at + 2)) * UNIT;
    if word(board, at) != SIGNATURE || len == 0 {
        return None;
    }
    let mut bytes = vec![0; len as usize];
    board.read(at, &mut bytes);
    let sum = bytes.iter().fold(0_u8, |sum, b| sum.wrapping_add(*b));
    (sum == 0).then_some(len)
}

impl Bios {
    /// The next ROM to call: its segment in BX, its function's address in AX. BX is 0 when there are no more.
    pub(super) fn next_option_rom(&mut self, board: &mut dyn Board, f: &mut Frame) -> Action {
        if let Some(called) = self.roms.called.take() {
            // A ROM may have given part of its space back.
            let len = u64::from(byte(board, called + 2)) * UNIT;
            self.roms.next = self.roms.next.max(called + len.next_multiple_of(STEP));
        }
        if self.roms.waiting.is_none() {
            self.roms.next = FIRST;
            self.roms.waiting = Some(functions_with_roms(board));
        }
        if let Some(open) = self.roms.open.take() {
            let function = Function(open);
            let copied = self.copy_rom(board, function);
            let register = rom_register(board, function);
            let bar = function.dword(board, register);
            function.put_dword(board, register, bar & !ENABLE);
            if let Some(at) = copied {
                self.roms.called = Some(at);
                f.set_ax(open);
                f.set_bx((at >> 4) as u16);
                return Action::Done;
            }
        }
        if let Some(function) = self.roms.waiting.as_mut().filter(|w| !w.is_empty()).map(|w| Function(w.remove(0))) {
            let register = rom_register(board, function);
            let bar = function.dword(board, register);
            function.put_dword(board, register, bar | ENABLE);
            self.roms.open = Some(function.0);
            // The ROM is seen once this access is over.
            return Action::Again;
        }
        let fixed = if self.roms.fixed.is_empty() { None } else { Some(self.roms.fixed.remove(0).0) };
        f.set_ax(0);
        f.set_bx(fixed.map_or(0, |at| (at >> 4) as u16));
        Action::Done
    }

    /// Copies the image for PCs out of a function's ROM; where it is now.
    fn copy_rom(&mut self, board: &mut dyn Board, function: Function) -> Option<u64> {
        let register = rom_register(board, function);
        let mut image = u64::from(function.dword(board, register) & !0x7ff);
        for _ in 0..MOST_IMAGES {
            if word(board, image) != SIGNATURE {
                return None;
            }
            let data = image + u64::from(word(board, image + DATA_POINTER));
            let has_data = super::low_memory::dword(board, data) == DATA_SIGNATURE;
            if has_data && byte(board, data + DATA_CODE_TYPE) != CODE_TYPE_PC {
                if byte(board, data + DATA_INDICATOR) & LAST != 0 {
                    return None;
                }
                image += u64::from(word(board, data + DATA_LENGTH)).max(1) * UNIT;
                continue;
            }
            let len = u64::from(byte(board, image + 2)) * UNIT;
            let at = self.room(len)?;
            let mut bytes = vec![0; len as usize];
            board.read(image, &mut bytes);
            board.write(at, &bytes);
            return (word(board, at) == SIGNATURE).then_some(at);
        }
        None
    }

    /// Where so many bytes fit between the ROMs that are there.
    fn room(&mut self, len: u64) -> Option<u64> {
        let mut at = self.roms.next.next_multiple_of(STEP);
        while let Some((start, taken)) = self.roms.fixed.iter().find(|(s, l)| *s < at + len && at < s + l) {
            at = (start + taken).next_multiple_of(0x4000);
        }
        (at + len <= END && len > 0).then_some(at)
    }
}

fn rom_register(board: &mut dyn Board, function: Function) -> u8 {
    if is_bridge(board, function) { register::BRIDGE_ROM } else { register::ROM }
}

/// Functions with a ROM that has an address; the display's first, since the others may want to show something.
fn functions_with_roms(board: &mut dyn Board) -> Vec<u16> {
    let mut all: Vec<_> = all_functions(board)
        .into_iter()
        .filter(|f| {
            let register = rom_register(board, *f);
            f.dword(board, register) & !0x7ff != 0
        })
        .collect();
    all.sort_by_key(|f| f.dword(board, register::CLASS) >> 24 != DISPLAY_CLASS);
    all.into_iter().map(|f| f.0).collect()
}
