//! Video memory as the processor sees it through the window at A0000h (PS/2 reference, "Video Memory Read and Write
//! Operations").
//!
//! Video memory interleaves the planes: byte `4 * offset + plane`. So what chain-4, odd/even and the Bochs banks reach lies
//! as a linear frame buffer shows it.

use super::Vga;
use super::registers::{gfx, seq};
use lockstep_fabric::Cx;

/// First address of the window.
pub const BASE: u64 = 0xa_0000;
/// Bytes that can be decoded at [`BASE`].
pub const LEN: u64 = 0x2_0000;

/// One bit for each plane, spread to a byte for each.
fn spread(planes: u8) -> u32 {
    (0..4).fold(0, |all, plane| all | (u32::from(planes >> plane & 1) * 0xff) << (8 * plane))
}

/// A byte for each plane, the same for all.
fn replicate(byte: u8) -> u32 {
    u32::from(byte) * 0x0101_0101
}

/// Where an access lands.
enum Place {
    /// A byte of video memory, as it lies.
    Linear(u64),
    /// A byte of one plane; reads too.
    Chained { at: u64, plane: u8 },
    /// One byte in each plane.
    Planar(u64),
}

impl Vga {
    /// The offset in the chosen part of the window; `None` where nothing is decoded.
    fn decoded(&self, offset: u64) -> Option<u64> {
        let (first, len) = match self.gfx.get(gfx::MISC) >> 2 & 3 {
            0 => (0, LEN),
            1 => (0, 0x1_0000),
            2 => (0x1_0000, 0x8000),
            _ => (0x1_8000, 0x8000),
        };
        offset.checked_sub(first).filter(|at| *at < len)
    }

    fn chain4(&self) -> bool {
        self.seq.get(seq::MEMORY_MODE) & seq::MEMORY_CHAIN4 != 0
    }

    fn place(&self, offset: u64) -> Option<Place> {
        let at = self.decoded(offset)?;
        let banked = at + self.dispi.bank_offset();
        if self.dispi.enabled() && self.dispi.depth() > 4 {
            return Some(Place::Linear(banked));
        }
        if self.chain4() {
            return Some(Place::Chained { at: banked, plane: banked as u8 & 3 });
        }
        if self.gfx.get(gfx::MODE) & gfx::MODE_ODD_EVEN != 0 {
            let plane = self.gfx.get(gfx::READ_MAP) & 2 | at as u8 & 1;
            return Some(Place::Chained { at: (banked & !1) << 1 | u64::from(plane), plane });
        }
        Some(Place::Planar(banked * 4))
    }

    /// Where in video memory the first 64 KiB of the window lie while accesses need no more than that.
    pub(super) fn plain_window(&self) -> Option<u64> {
        let whole = self.gfx.get(gfx::MISC) >> 2 & 3 < 2;
        let linear = self.dispi.enabled() && self.dispi.depth() > 4;
        let chained = self.chain4() && self.seq.get(seq::MAP_MASK) & 0xf == 0xf;
        let offset = self.dispi.bank_offset();
        (whole && (linear || chained)).then_some(offset)
    }

    pub(super) fn window_read(&mut self, cx: &Cx<'_>, offset: u64) -> u8 {
        match self.place(offset) {
            None => 0xff,
            Some(Place::Linear(at) | Place::Chained { at, .. }) => cx.load(self.memory, at),
            Some(Place::Planar(at)) => {
                self.latch = cx.load(self.memory, at);
                if self.gfx.get(gfx::MODE) & 8 == 0 {
                    return self.latch.to_le_bytes()[usize::from(self.gfx.get(gfx::READ_MAP) & 3)];
                }
                let wanted = spread(self.gfx.get(gfx::COLOR_COMPARE));
                let differs = (self.latch ^ wanted) & spread(self.gfx.get(gfx::COLOR_DONT_CARE));
                !differs.to_le_bytes().into_iter().fold(0, |any, plane| any | plane)
            }
        }
    }

    pub(super) fn window_write(&mut self, cx: &mut Cx<'_>, offset: u64, value: u8) {
        let enabled = self.seq.get(seq::MAP_MASK);
        match self.place(offset) {
            None => {}
            Some(Place::Linear(at)) => cx.store(self.memory, at, value),
            Some(Place::Chained { at, plane }) if enabled >> plane & 1 != 0 => cx.store(self.memory, at, value),
            Some(Place::Chained { .. }) => {}
            Some(Place::Planar(at)) => {
                let mask = spread(enabled & 0xf);
                let planes = self.composed(value);
                let held: u32 = cx.load(self.memory, at);
                cx.store(self.memory, at, held & !mask | planes & mask);
            }
        }
    }

    /// What a write of `value` brings to the four planes, by write mode.
    fn composed(&self, value: u8) -> u32 {
        let set_reset = spread(self.gfx.get(gfx::SET_RESET));
        let rotated = value.rotate_right(u32::from(self.gfx.get(gfx::ROTATE) & 7));
        let bit_mask = self.gfx.get(gfx::BIT_MASK);
        let (planes, mask) = match self.gfx.get(gfx::MODE) & 3 {
            0 => {
                let forced = spread(self.gfx.get(gfx::ENABLE_SET_RESET));
                (replicate(rotated) & !forced | set_reset & forced, bit_mask)
            }
            1 => return self.latch,
            2 => (spread(value), bit_mask),
            _ => (set_reset, bit_mask & rotated),
        };
        let combined = match self.gfx.get(gfx::ROTATE) >> 3 & 3 {
            0 => planes,
            1 => planes & self.latch,
            2 => planes | self.latch,
            _ => planes ^ self.latch,
        };
        let mask = replicate(mask);
        combined & mask | self.latch & !mask
    }
}
