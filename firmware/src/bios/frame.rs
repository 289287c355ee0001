//! The registers of a caller, as a stub left them on the guest's stack.

use super::Board;

/// Bytes of a frame.
pub const SIZE: usize = 48;

/// EFLAGS' carry, zero and interrupt flags.
const CARRY: u16 = 1 << 0;
const ZERO: u16 = 1 << 6;
const INTERRUPT: u16 = 1 << 9;

/// A caller's registers. In memory, from the frame's address on: what PUSHAD pushed, DS, ES, the vector, the chain address (IP, CS),
/// and what INT pushed (IP, CS, FLAGS).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Frame {
    /// Linear address.
    pub at: u32,
    pub edi: u32,
    pub esi: u32,
    pub ebp: u32,
    pub esp: u32,
    pub ebx: u32,
    pub edx: u32,
    pub ecx: u32,
    pub eax: u32,
    pub ds: u16,
    pub es: u16,
    /// Which stub it was.
    pub vector: u16,
    /// Where [`super::Action::Chain`] leads: offset, segment.
    pub chain: (u16, u16),
    pub ip: u16,
    pub cs: u16,
    pub flags: u16,
}

macro_rules! parts {
    ($($word:ident, $set_word:ident, $high:ident, $set_high:ident, $low:ident, $set_low:ident, $whole:ident;)*) => {
        #[allow(missing_docs)]
        impl Frame {
            $(
                pub fn $word(&self) -> u16 { self.$whole as u16 }
                pub fn $high(&self) -> u8 { (self.$whole >> 8) as u8 }
                pub fn $low(&self) -> u8 { self.$whole as u8 }
                pub fn $set_word(&mut self, value: u16) { self.$whole = self.$whole & 0xffff_0000 | u32::from(value); }
                pub fn $set_high(&mut self, value: u8) { self.$whole = self.$whole & !0xff00 | u32::from(value) << 8; }
                pub fn $set_low(&mut self, value: u8) { self.$whole = self.$whole & !0xff | u32::from(value); }
            )*
        }
    };
}

parts! {
    ax, set_ax, ah, set_ah, al, set_al, eax;
    bx, set_bx, bh, set_bh, bl, set_bl, ebx;
    cx, set_cx, ch, set_ch, cl, set_cl, ecx;
    dx, set_dx, dh, set_dh, dl, set_dl, edx;
}

impl Frame {
    /// Reads the frame at a linear address.
    pub fn load(board: &mut dyn Board, at: u32) -> Self {
        let mut bytes = [0; SIZE];
        board.read(at.into(), &mut bytes);
        let dword = |i: usize| u32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
        let word = |i: usize| u16::from_le_bytes([bytes[i], bytes[i + 1]]);
        Self {
            at,
            edi: dword(0),
            esi: dword(4),
            ebp: dword(8),
            esp: dword(12),
            ebx: dword(16),
            edx: dword(20),
            ecx: dword(24),
            eax: dword(28),
            ds: word(32),
            es: word(34),
            vector: word(36),
            chain: (word(38), word(40)),
            ip: word(42),
            cs: word(44),
            flags: word(46),
        }
    }

    /// Writes the frame back to where it was read from.
    pub fn store(&self, board: &mut dyn Board) {
        let dwords = [self.edi, self.esi, self.ebp, self.esp, self.ebx, self.edx, self.ecx, self.eax];
        let words = [self.ds, self.es, self.vector, self.chain.0, self.chain.1, self.ip, self.cs, self.flags];
        let mut bytes = Vec::with_capacity(SIZE);
        bytes.extend(dwords.iter().flat_map(|v| v.to_le_bytes()));
        bytes.extend(words.iter().flat_map(|v| v.to_le_bytes()));
        board.write(self.at.into(), &bytes);
    }

    /// Says by CF whether the call failed.
    pub fn set_carry(&mut self, failed: bool) {
        self.flags = self.flags & !CARRY | if failed { CARRY } else { 0 };
    }

    /// Whether CF is set.
    #[must_use]
    pub fn carry(&self) -> bool {
        self.flags & CARRY != 0
    }

    /// Sets or clears ZF.
    pub fn set_zero(&mut self, zero: bool) {
        self.flags = self.flags & !ZERO | if zero { ZERO } else { 0 };
    }

    /// Whether ZF is set.
    #[must_use]
    pub fn zero(&self) -> bool {
        self.flags & ZERO != 0
    }

    /// Lets interrupts in when the stub returns.
    pub fn enable_interrupts(&mut self) {
        self.flags |= INTERRUPT;
    }

    /// Where the stub returns to.
    pub fn go_to(&mut self, segment: u16, offset: u16) {
        (self.cs, self.ip) = (segment, offset);
    }

    /// ES:BX as a linear address, and so on.
    #[must_use]
    pub fn es_bx(&self) -> u64 {
        linear(self.es, self.bx())
    }

    /// DS:SI as a linear address.
    #[must_use]
    pub fn ds_si(&self) -> u64 {
        linear(self.ds, self.esi as u16)
    }

    /// ES:DI as a linear address.
    #[must_use]
    pub fn es_di(&self) -> u64 {
        linear(self.es, self.edi as u16)
    }
}

/// A real-mode address as a linear one.
#[must_use]
pub fn linear(segment: u16, offset: u16) -> u64 {
    u64::from(segment) * 16 + u64::from(offset)
}
