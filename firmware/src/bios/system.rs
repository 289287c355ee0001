//! INT 15h: memory, A20, waiting, and what kind of machine this is.

use super::frame::Frame;
use super::low_memory::{EBDA, inb, outb};
use super::{Action, Bios, Board};
use crate::memory_map::{MemoryMap, MemoryRange, ONE_MIB, e820_entry};
use crate::platform;
use crate::rom::CONFIGURATION_TABLE;

/// "Function not supported" in AH.
const UNSUPPORTED: u8 = 0x86;
/// Port 92h, and the keyboard controller's output port: both gates of A20.
const PORT_92: u16 = 0x92;
const FAST_A20: u8 = 1 << 1;
const FAST_RESET: u8 = 1 << 0;
const KEYBOARD_COMMAND: u16 = 0x64;
const KEYBOARD_DATA: u16 = 0x60;
const WRITE_OUTPUT_PORT: u8 = 0xd1;
const OUTPUT_A20: u8 = 0xdf;
const OUTPUT_NO_A20: u8 = 0xdd;
/// "SMAP".
const SMAP: u32 = 0x534d_4150;

impl Bios {
    /// INT 15h.
    pub(super) fn system(&mut self, board: &mut dyn Board, f: &mut Frame) -> Action {
        match f.ah() {
            0x24 => a20(board, f),
            // The keyboard's intercept: the key is taken as it is.
            0x4f => f.set_carry(true),
            // Devices opened and closed, busy and done: hooks that do nothing by themselves.
            0x80..=0x82 | 0x90 | 0x91 => {
                f.set_ah(0);
                f.set_carry(false);
            }
            0x86 => return self.wait(board, f),
            0x87 => block_move(board, f),
            0x88 => {
                // At most 63 MiB: a caller may take a larger number for one with a sign.
                const MOST: u64 = 63 << 10;
                let kib = self.config.platform.ram.below_4g.saturating_sub(ONE_MIB) / 1024;
                f.set_ax(kib.min(MOST) as u16);
                f.set_carry(false);
            }
            0xc0 => {
                f.es = 0xf000;
                f.set_bx(CONFIGURATION_TABLE as u16);
                f.set_ah(0);
                f.set_carry(false);
            }
            0xc1 => {
                f.es = EBDA;
                f.set_carry(false);
            }
            0xe8 => self.large_memory(board, f),
            _ => unsupported(f),
        }
        Action::Done
    }

    /// AH=86h: waits CX:DX microseconds.
    fn wait(&mut self, board: &mut dyn Board, f: &mut Frame) -> Action {
        let now = board.now();
        let micros = u64::from(f.cx()) << 16 | u64::from(f.dx());
        if now >= *self.wait_until.get_or_insert(now + micros * 1000) {
            self.wait_until = None;
            f.set_carry(false);
            return Action::Done;
        }
        Action::Yield
    }

    fn large_memory(&self, board: &mut dyn Board, f: &mut Frame) {
        match f.al() {
            0x01 => {
                let (low, high) = self.e801();
                (f.eax, f.ebx, f.ecx, f.edx) = (low.into(), high.into(), low.into(), high.into());
                f.set_carry(false);
            }
            0x20 if f.edx == SMAP => self.e820(board, f),
            0x81 => {
                let (low, high) = self.e801();
                (f.eax, f.ebx, f.ecx, f.edx) = (low.into(), high.into(), low.into(), high.into());
                f.set_carry(false);
            }
            _ => unsupported(f),
        }
    }

    /// KiB from 1 to 16 MiB, and blocks of 64 KiB from there to the hole.
    fn e801(&self) -> (u16, u16) {
        const SIXTEEN_MIB: u64 = 16 << 20;
        let map = self.memory_map();
        let end = map.ram().find(|r| r.start == ONE_MIB).map_or(ONE_MIB, MemoryRange::end);
        let low = (end.min(SIXTEEN_MIB) - ONE_MIB) / 1024;
        let high = end.saturating_sub(SIXTEEN_MIB) >> 16;
        (low as u16, high as u16)
    }

    fn memory_map(&self) -> MemoryMap {
        platform::place(&self.config.platform).memory
    }

    /// AX=E820h: one line of the map, EBX says which.
    fn e820(&self, board: &mut dyn Board, f: &mut Frame) {
        const ENTRY: u32 = 20;
        const WITH_ATTRIBUTES: u32 = 24;
        const ENABLED: u32 = 1;
        let map = self.memory_map();
        let Some(range) = map.ranges.get(f.ebx as usize).filter(|_| f.ecx >= ENTRY) else {
            return unsupported(f);
        };
        let mut entry = e820_entry(range);
        f.ecx = if f.ecx >= WITH_ATTRIBUTES { WITH_ATTRIBUTES } else { ENTRY };
        if f.ecx == WITH_ATTRIBUTES {
            entry.extend(ENABLED.to_le_bytes());
        }
        board.write(f.es_di(), &entry);
        f.eax = SMAP;
        f.ebx = if f.ebx as usize + 1 < map.ranges.len() { f.ebx + 1 } else { 0 };
        f.set_carry(false);
    }
}

fn unsupported(f: &mut Frame) {
    f.set_ah(UNSUPPORTED);
    f.set_carry(true);
}

/// AH=24h.
fn a20(board: &mut dyn Board, f: &mut Frame) {
    const BY_KEYBOARD_OR_PORT_92: u16 = 3;
    let al = f.al();
    match al {
        0x00 | 0x01 => set_a20(board, al == 1),
        0x02 => f.set_al(u8::from(inb(board, PORT_92) & FAST_A20 != 0)),
        0x03 => f.set_bx(BY_KEYBOARD_OR_PORT_92),
        _ => return unsupported(f),
    }
    f.set_ah(0);
    f.set_carry(false);
}

/// Opens or closes both gates.
pub(super) fn set_a20(board: &mut dyn Board, open: bool) {
    outb(board, KEYBOARD_COMMAND, WRITE_OUTPUT_PORT);
    outb(board, KEYBOARD_DATA, if open { OUTPUT_A20 } else { OUTPUT_NO_A20 });
    let control = inb(board, PORT_92) & !(FAST_A20 | FAST_RESET);
    outb(board, PORT_92, control | if open { FAST_A20 } else { 0 });
}

/// AH=87h: CX words between the segments that the third and fourth descriptor at ES:SI describe.
fn block_move(board: &mut dyn Board, f: &mut Frame) {
    const SOURCE: u64 = 0x10;
    const TARGET: u64 = 0x18;
    const MOST_WORDS: u16 = 0x8000;
    let table = super::frame::linear(f.es, f.esi as u16);
    let base = |board: &mut dyn Board, at: u64| {
        let mut descriptor = [0; 8];
        board.read(at, &mut descriptor);
        u32::from_le_bytes([descriptor[2], descriptor[3], descriptor[4], descriptor[7]])
    };
    if f.cx() > MOST_WORDS {
        f.set_ah(0x02);
        return f.set_carry(true);
    }
    let (from, to) = (base(board, table + SOURCE), base(board, table + TARGET));
    let mut bytes = vec![0; 2 * usize::from(f.cx())];
    board.read(from.into(), &mut bytes);
    board.write(to.into(), &bytes);
    f.set_ah(0);
    f.set_carry(false);
    f.set_zero(true);
}
