//! INT 1Ah AH=B1h: the PCI BIOS (PCI BIOS Specification 2.1), in real mode and, by the mailbox, in protected mode.

use super::frame::Frame;
use super::pci::{Function, all_functions, register};
use super::{Bios, Board, PortWidth, tables};

const PRESENT: u8 = 0x01;
const FIND_DEVICE: u8 = 0x02;
const FIND_CLASS: u8 = 0x03;
const READ_BYTE: u8 = 0x08;
const WRITE_DWORD: u8 = 0x0d;
const ROUTING_OPTIONS: u8 = 0x0e;
/// "PCI " in EDX.
const SIGNATURE: u32 = 0x2049_4350;
const VERSION: u16 = 0x0210;
const MECHANISM_1: u8 = 0x01;
/// Return codes.
const SUCCESSFUL: u8 = 0x00;
const UNSUPPORTED: u8 = 0x81;
const DEVICE_NOT_FOUND: u8 = 0x86;
const BAD_REGISTER: u8 = 0x87;
const BUFFER_TOO_SMALL: u8 = 0x89;

impl Bios {
    /// AH=B1h, AL says what.
    pub(super) fn pci_bios(&self, board: &mut dyn Board, f: &mut Frame) {
        // Bit 7 marks calls of the 32-bit interface in some callers.
        let function = f.al() & 0x7f;
        let code = match function {
            PRESENT => {
                f.edx = SIGNATURE;
                f.set_al(MECHANISM_1);
                f.set_bx(VERSION);
                let last = all_functions(board).iter().map(|f| f.bus()).max().unwrap_or(0);
                f.set_cl(last);
                SUCCESSFUL
            }
            FIND_DEVICE => {
                let wanted = u32::from(f.cx()) << 16 | u32::from(f.dx());
                find(board, f, |board, function| function.dword(board, register::ID) == wanted)
            }
            FIND_CLASS => {
                let wanted = f.ecx & 0xff_ffff;
                find(board, f, |board, function| function.dword(board, register::CLASS) >> 8 == wanted)
            }
            READ_BYTE..=WRITE_DWORD => configuration(board, f, function - READ_BYTE),
            ROUTING_OPTIONS => routing(board, f),
            _ => UNSUPPORTED,
        };
        f.set_ah(code);
        f.set_carry(code != SUCCESSFUL);
    }
}

/// The SI-th function that fits, its address in BX.
fn find(board: &mut dyn Board, f: &mut Frame, fits: impl Fn(&mut dyn Board, Function) -> bool) -> u8 {
    let mut left = f.esi as u16;
    for function in all_functions(board) {
        if fits(board, function) {
            if left == 0 {
                f.set_bx(function.0);
                return SUCCESSFUL;
            }
            left -= 1;
        }
    }
    DEVICE_NOT_FOUND
}

/// Reads and writes of a byte, word or dword of the function in BX at DI, by ECX.
fn configuration(board: &mut dyn Board, f: &mut Frame, function: u8) -> u8 {
    let (width, mask) = match function % 3 {
        0 => (PortWidth::Byte, 0),
        1 => (PortWidth::Word, 1),
        _ => (PortWidth::Dword, 3),
    };
    let register = f.edi as u16;
    if register & mask != 0 || register > 0xff {
        return BAD_REGISTER;
    }
    let (device, register) = (Function(f.bx()), register as u8);
    if function >= 3 {
        device.write(board, register, width, f.ecx);
        return SUCCESSFUL;
    }
    let value = device.read(board, register, width);
    match width {
        PortWidth::Byte => f.set_cl(value as u8),
        PortWidth::Word => f.set_cx(value as u16),
        PortWidth::Dword => f.ecx = value,
    }
    SUCCESSFUL
}

/// AL=0Eh: the routing table at DS:... of the buffer that ES:DI describes (real mode only: size, then a far pointer).
fn routing(board: &mut dyn Board, f: &mut Frame) -> u8 {
    if f.at == 0 {
        return UNSUPPORTED;
    }
    let table = tables::routing_slots();
    let at = f.es_di();
    let mut head = [0; 6];
    board.read(at, &mut head);
    let size = usize::from(u16::from_le_bytes([head[0], head[1]]));
    board.write(at, &(table.len() as u16).to_le_bytes());
    if size < table.len() {
        return BUFFER_TOO_SMALL;
    }
    let (offset, segment) = (u16::from_le_bytes([head[2], head[3]]), u16::from_le_bytes([head[4], head[5]]));
    board.write(super::frame::linear(segment, offset), &table);
    f.set_bx(tables::EXCLUSIVE_IRQS);
    SUCCESSFUL
}
