//! The environment in memory: FSTENV's 14- and 28-byte images, in their real-address and protected forms
//! (SDM volume 1, 8.1.10).

use crate::float::F80;
use crate::state::Fpu;

/// Which of the four layouts an instruction uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// 32-bit operand size: 28 bytes, else 14.
    pub wide: bool,
    /// Protected mode: selectors and offsets, else 20-bit linear addresses.
    pub protected: bool,
}

impl Layout {
    /// Bytes of the image.
    pub(super) fn size(self) -> usize {
        if self.wide { 28 } else { 14 }
    }
}

impl Fpu {
    /// The environment as words of the image, lowest first: seven, each stored in two or four bytes.
    fn environment(&self, layout: Layout) -> [u32; 7] {
        let (ip, dp) = (self.instruction as u32, self.operand as u32);
        let opcode = u32::from(self.opcode & 0x7ff);
        let tail = if layout.protected {
            let cs = u32::from(self.instruction_segment);
            let second = if layout.wide { cs | opcode << 16 } else { cs };
            [ip, second, dp, u32::from(self.operand_segment)]
        } else {
            let ip = ip.wrapping_add(u32::from(self.instruction_segment) << 4);
            let dp = dp.wrapping_add(u32::from(self.operand_segment) << 4);
            if layout.wide {
                [ip & 0xffff, ip >> 16 << 12 | opcode, dp & 0xffff, dp >> 16 << 12]
            } else {
                [ip & 0xffff, (ip >> 16 & 0xf) << 12 | opcode, dp & 0xffff, (dp >> 16 & 0xf) << 12]
            }
        };
        let [a, b, c, d] = tail;
        // The upper halves of the wide image read as ones, but for the offsets and the opcode.
        let ones = 0xffff_0000;
        let (last, offsets) = match (layout.wide, layout.protected) {
            (true, true) => (d | ones, [a, c]),
            (true, false) => (d, [a | ones, c | ones]),
            (false, _) => (d, [a, c]),
        };
        [
            u32::from(self.control) | ones,
            u32::from(self.status_word()) | ones,
            u32::from(self.tag_word()) | ones,
            offsets[0],
            b,
            offsets[1],
            last,
        ]
    }

    /// Writes the image to the start of `bytes`, which holds at least [`Layout::size`].
    pub(super) fn save_environment(&self, layout: Layout, bytes: &mut [u8]) {
        let words = self.environment(layout);
        let width = if layout.wide { 4 } else { 2 };
        for (chunk, word) in bytes.chunks_exact_mut(width).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes()[..width]);
        }
    }

    /// Reads the image back.
    pub(super) fn load_environment(&mut self, layout: Layout, bytes: &[u8]) {
        let width = if layout.wide { 4 } else { 2 };
        let mut w = [0u32; 7];
        for (word, chunk) in w.iter_mut().zip(bytes.chunks_exact(width)) {
            *word = chunk.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        }
        let [control, status, tags, a, b, c, d] = w;
        self.set_tag_word(tags as u16);
        self.control = control as u16 & 0x1f3f | 0x0040;
        self.set_status_word(status as u16);
        let high = |word: u32| if layout.wide { word >> 12 & 0xffff } else { word >> 12 & 0xf };
        if layout.protected {
            self.instruction = u64::from(a);
            self.instruction_segment = b as u16;
            self.operand = u64::from(c);
            self.operand_segment = d as u16;
        } else {
            self.instruction = u64::from(a & 0xffff | high(b) << 16);
            self.instruction_segment = 0;
            self.operand = u64::from(c & 0xffff | high(d) << 16);
            self.operand_segment = 0;
        }
        if layout.wide && layout.protected {
            self.opcode = (b >> 16) as u16 & 0x7ff;
        } else if !layout.protected {
            self.opcode = b as u16 & 0x7ff;
        }
    }
}

impl Fpu {
    /// Bytes of the registers in FSAVE's image, which follow the environment.
    pub(super) const REGISTERS: usize = 80;

    /// Writes ST(0)..ST(7).
    pub(super) fn save_registers(&self, bytes: &mut [u8]) {
        for (i, chunk) in (0u8..8).zip(bytes.chunks_exact_mut(10)) {
            chunk.copy_from_slice(&self.st(i).to_le_bytes());
        }
    }

    /// Reads ST(0)..ST(7) back; tags are not touched.
    pub(super) fn load_registers(&mut self, bytes: &[u8]) {
        let valid = self.valid;
        for (i, chunk) in (0u8..8).zip(bytes.chunks_exact(10)) {
            let mut value = [0; 10];
            value.copy_from_slice(chunk);
            self.put(i, F80::from_le_bytes(value));
        }
        self.valid = valid;
    }
}
