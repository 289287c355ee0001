//! x87, MMX and SSE state.

use serde::{Deserialize, Serialize};

/// A vector register, room for 256 bits; lane 0 is the lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[repr(C, align(32))]
pub struct Vector(pub [u64; 4]);

impl Vector {
    /// The low 128 bits (XMM).
    #[inline(always)]
    pub fn xmm(&self) -> u128 {
        u128::from(self.0[0]) | u128::from(self.0[1]) << 64
    }

    /// Replaces the low 128 bits and leaves the others, as legacy SSE does.
    #[inline(always)]
    pub fn set_xmm(&mut self, value: u128) {
        self.0[0] = value as u64;
        self.0[1] = (value >> 64) as u64;
    }
}

/// The x87 FPU (SDM volume 1, chapter 8). Physical register `i` is the pair `significand[i]`, `sign_exponent[i]`;
/// MMi is `significand[i]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fpu {
    /// Significands with their integer bits.
    pub significand: [u64; 8],
    /// Sign in bit 15, biased exponent below.
    pub sign_exponent: [u16; 8],
    /// Bit i set: physical register i holds something (its tag is not "empty").
    pub valid: u8,
    /// TOP: the physical register that is ST(0).
    pub top: u8,
    /// Control word.
    pub control: u16,
    /// Status word without TOP.
    pub status: u16,
    /// Last instruction's opcode (11 bits).
    pub opcode: u16,
    /// Last instruction's segment.
    pub instruction_segment: u16,
    /// Last instruction's offset.
    pub instruction: u64,
    /// Last operand's segment.
    pub operand_segment: u16,
    /// Last operand's offset.
    pub operand: u64,
    /// FERR#: an error waits and CR0.NE is clear; the board turns this into IRQ 13.
    pub ferr: bool,
    /// FERR# as it is now has been told by [`Fpu::take_error`].
    pub ferr_told: bool,
    /// IGNNE#: the board lets the guest go on in spite of the error (port F0h).
    pub ignne: bool,
}

impl Default for Fpu {
    /// The state after FNINIT.
    fn default() -> Self {
        Self {
            significand: [0; 8],
            sign_exponent: [0; 8],
            valid: 0,
            top: 0,
            control: 0x037f,
            status: 0,
            opcode: 0,
            instruction_segment: 0,
            instruction: 0,
            operand_segment: 0,
            operand: 0,
            ferr: false,
            ferr_told: false,
            ignne: false,
        }
    }
}

impl Fpu {
    /// Whether FERR# was asserted since the last call: true once for each error. Asserting it ends the engine's run.
    pub fn take_error(&mut self) -> bool {
        let news = self.ferr && !self.ferr_told;
        self.ferr_told = self.ferr;
        news
    }

    /// The board asserts IGNNE#, which it can while FERR# is.
    pub fn ignore_error(&mut self) {
        self.ignne = self.ferr;
    }
}

/// MXCSR after reset: all exceptions masked, nearest.
pub const MXCSR_RESET: u32 = 0x1f80;
