//! PCI configuration space by mechanism 1.

use super::{Board, PortWidth};

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
const ENABLE: u32 = 1 << 31;

/// Registers of configuration space.
pub(super) mod register {
    pub(in super::super) const ID: u8 = 0x00;
    pub(in super::super) const COMMAND: u8 = 0x04;
    pub(in super::super) const CLASS: u8 = 0x08;
    pub(in super::super) const HEADER: u8 = 0x0e;
    pub(in super::super) const BAR0: u8 = 0x10;
    pub(in super::super) const PRIMARY_BUS: u8 = 0x18;
    pub(in super::super) const SECONDARY_BUS: u8 = 0x19;
    pub(in super::super) const SUBORDINATE_BUS: u8 = 0x1a;
    pub(in super::super) const IO_BASE: u8 = 0x1c;
    pub(in super::super) const MEMORY_BASE: u8 = 0x20;
    pub(in super::super) const PREFETCHABLE_BASE: u8 = 0x24;
    pub(in super::super) const ROM: u8 = 0x30;
    pub(in super::super) const BRIDGE_ROM: u8 = 0x38;
    pub(in super::super) const INTERRUPT_LINE: u8 = 0x3c;
    pub(in super::super) const INTERRUPT_PIN: u8 = 0x3d;
}

/// A function: bus in the high byte, device and function in the low one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Function(pub(super) u16);

impl Function {
    pub(super) fn new(bus: u8, device: u8, function: u8) -> Self {
        Self(u16::from(bus) << 8 | u16::from(device & 31) << 3 | u16::from(function & 7))
    }

    pub(super) fn bus(self) -> u8 {
        (self.0 >> 8) as u8
    }

    pub(super) fn device(self) -> u8 {
        (self.0 >> 3) as u8 & 31
    }

    fn select(self, board: &mut dyn Board, register: u8) {
        let address = ENABLE | u32::from(self.0) << 8 | u32::from(register & !3);
        board.port_write(ADDRESS, PortWidth::Dword, address);
    }

    /// Reads a register; `register` is aligned to `width`.
    pub(super) fn read(self, board: &mut dyn Board, register: u8, width: PortWidth) -> u32 {
        self.select(board, register);
        board.port_read(DATA + u16::from(register & 3), width)
    }

    /// Writes a register; `register` is aligned to `width`.
    pub(super) fn write(self, board: &mut dyn Board, register: u8, width: PortWidth, value: u32) {
        self.select(board, register);
        board.port_write(DATA + u16::from(register & 3), width, value);
    }

    pub(super) fn byte(self, board: &mut dyn Board, register: u8) -> u8 {
        self.read(board, register, PortWidth::Byte) as u8
    }

    pub(super) fn put_byte(self, board: &mut dyn Board, register: u8, value: u8) {
        self.write(board, register, PortWidth::Byte, value.into());
    }

    pub(super) fn dword(self, board: &mut dyn Board, register: u8) -> u32 {
        self.read(board, register, PortWidth::Dword)
    }

    pub(super) fn put_dword(self, board: &mut dyn Board, register: u8, value: u32) {
        self.write(board, register, PortWidth::Dword, value);
    }

    /// Whether there is such a function.
    pub(super) fn present(self, board: &mut dyn Board) -> bool {
        !matches!(self.dword(board, register::ID) as u16, 0 | 0xffff)
    }
}

/// The functions on a bus.
pub(super) fn functions(board: &mut dyn Board, bus: u8) -> Vec<Function> {
    const MULTI_FUNCTION: u8 = 0x80;
    let mut found = Vec::new();
    for device in 0..32 {
        let first = Function::new(bus, device, 0);
        if !first.present(board) {
            continue;
        }
        found.push(first);
        if first.byte(board, register::HEADER) & MULTI_FUNCTION != 0 {
            found.extend((1..8).map(|f| Function::new(bus, device, f)).filter(|f| f.present(board)));
        }
    }
    found
}

/// Whether a function is a bridge to another PCI bus.
pub(super) fn is_bridge(board: &mut dyn Board, function: Function) -> bool {
    function.byte(board, register::HEADER) & 0x7f == 1
}

/// Every function that can be reached: bus 0 and the buses behind bridges.
pub(super) fn all_functions(board: &mut dyn Board) -> Vec<Function> {
    let mut found = functions(board, 0);
    let mut at = 0;
    while let Some(function) = found.get(at).copied() {
        if is_bridge(board, function) {
            let bus = function.byte(board, register::SECONDARY_BUS);
            // Bridges lead to higher numbers, or a guest could send us in circles.
            if bus > function.bus() {
                found.extend(functions(board, bus));
            }
        }
        at += 1;
    }
    found
}
