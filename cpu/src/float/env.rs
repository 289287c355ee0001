//! Control and status of one floating-point operation.

use bitflags::bitflags;

bitflags! {
    /// Exception flags in the bit order of MXCSR and the x87 status word, and C1 where the status word has it.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Flags: u32 {
        /// Invalid operation.
        const IE = 1 << 0;
        /// Denormal operand.
        const DE = 1 << 1;
        /// Division of a finite number by zero.
        const ZE = 1 << 2;
        /// Overflow.
        const OE = 1 << 3;
        /// Underflow.
        const UE = 1 << 4;
        /// Inexact result.
        const PE = 1 << 5;
        /// x87 C1: the last rounding was away from zero.
        const C1 = 1 << 9;
        /// The six exceptions.
        const EXCEPTIONS = 0x3f;
        /// Those found before anything is computed; unmasked, they stop the operation.
        const BEFORE = 0x07;
    }
}

/// Rounding mode, numbered as the RC fields are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Rounding {
    /// To nearest, ties to even.
    Nearest = 0,
    /// Towards minus infinity.
    Down = 1,
    /// Towards plus infinity.
    Up = 2,
    /// Towards zero.
    Zero = 3,
}

impl Rounding {
    /// From the low two bits of an RC field.
    #[inline]
    pub const fn from_bits(bits: u32) -> Self {
        match bits & 3 {
            0 => Self::Nearest,
            1 => Self::Down,
            2 => Self::Up,
            _ => Self::Zero,
        }
    }
}

/// x87 precision control: the significand width of add, subtract, multiply, divide and square root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 24 bits.
    Single,
    /// 53 bits.
    Double,
    /// 64 bits; the reserved encoding 1 behaves so as well.
    Extended,
}

impl Precision {
    /// Significand bits kept.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Single => 24,
            Self::Double => 53,
            Self::Extended => 64,
        }
    }
}

/// One control word and the flags raised under it.
///
/// The control word is kept in MXCSR's layout whichever unit it is for, with the x87's own fields above bit 16, so
/// that making an `Env` costs a move for SSE and three shifts for the x87.
#[derive(Clone, Copy, Debug)]
pub struct Env {
    control: u32,
    raised: Flags,
}

const DAZ: u32 = 1 << 6;
const MASKS_SHIFT: u32 = 7;
const RC_SHIFT: u32 = 13;
const FTZ: u32 = 1 << 15;
const PC_SHIFT: u32 = 16;
const X87: u32 = 1 << 20;
const RC_FIELD: u32 = 3 << RC_SHIFT;
const PC_FIELD: u32 = 3 << PC_SHIFT;
const ALL_MASKED: u32 = 0x3f << MASKS_SHIFT;

impl Env {
    /// SSE: the control fields and the sticky flags come from MXCSR.
    #[inline]
    pub const fn from_mxcsr(mxcsr: u32) -> Self {
        Self { control: mxcsr & 0xffff, raised: Flags::empty() }
    }

    /// x87: from the control word.
    #[inline]
    pub const fn from_fcw(fcw: u16) -> Self {
        let fcw = fcw as u32;
        let control = (fcw & 0x3f) << MASKS_SHIFT | (fcw & 0xc00) << 3 | (fcw & 0x300) << 8 | X87;
        Self { control, raised: Flags::empty() }
    }

    /// What the operations since construction raised.
    #[inline]
    pub const fn raised(&self) -> Flags {
        self.raised
    }

    /// Raised exceptions that are not masked: not empty means that a fault (#XM, or #MF at the next instruction) is due.
    #[inline]
    pub fn unmasked(&self) -> Flags {
        self.raised & Flags::EXCEPTIONS & !self.masks()
    }

    /// Forgets what was raised, for the next lane of a packed operation.
    #[inline]
    pub fn take_raised(&mut self) -> Flags {
        core::mem::replace(&mut self.raised, Flags::empty())
    }

    /// Adds flags.
    #[inline]
    pub fn raise(&mut self, flags: Flags) {
        self.raised |= flags;
    }

    /// The exception masks.
    #[inline]
    pub const fn masks(&self) -> Flags {
        Flags::from_bits_truncate(self.control >> MASKS_SHIFT & 0x3f)
    }

    /// True when every flag of `flags` is masked.
    #[inline]
    pub fn masked(&self, flags: Flags) -> bool {
        self.masks().contains(flags)
    }

    /// The rounding mode.
    #[inline]
    pub const fn rounding(&self) -> Rounding {
        Rounding::from_bits(self.control >> RC_SHIFT)
    }

    /// The same environment under another rounding mode.
    #[inline]
    #[must_use]
    pub const fn with_rounding(self, rounding: Rounding) -> Self {
        Self { control: self.control & !RC_FIELD | (rounding as u32) << RC_SHIFT, ..self }
    }

    /// The same environment at full x87 precision.
    #[inline]
    #[must_use]
    pub const fn with_full_precision(self) -> Self {
        Self { control: self.control | PC_FIELD, ..self }
    }

    /// x87 precision control; always extended for SSE, whose formats have a width of their own.
    #[inline]
    pub const fn precision(&self) -> Precision {
        match (self.control & X87 != 0, self.control >> PC_SHIFT & 3) {
            (true, 0) => Precision::Single,
            (true, 2) => Precision::Double,
            _ => Precision::Extended,
        }
    }

    /// Denormal operands count as zeros.
    #[inline]
    pub const fn daz(&self) -> bool {
        self.control & DAZ != 0
    }

    /// Tiny results become zeros; only while underflow is masked.
    #[inline]
    pub const fn ftz(&self) -> bool {
        self.control & FTZ != 0
    }

    /// True for the x87 unit: its NaN rules, its biased unmasked results.
    #[inline]
    pub const fn is_x87(&self) -> bool {
        self.control & X87 != 0
    }

    /// SSE short-path guard: nearest, all masked, and inexact results already on record.
    #[inline(always)]
    pub(super) const fn is_plain_sse(&self) -> bool {
        self.control & (RC_FIELD | ALL_MASKED) == ALL_MASKED && (self.control | self.raised.bits()) & 0x20 != 0
    }

    /// x87 short-path guard: nearest at full precision.
    #[inline(always)]
    pub(super) const fn is_plain_x87(&self) -> bool {
        self.control & (RC_FIELD | PC_FIELD) == PC_FIELD
    }
}
