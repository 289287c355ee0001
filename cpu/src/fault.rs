//! Exceptions as small values: what an instruction that cannot retire returns.

use std::num::NonZeroU32;

/// Exception vectors (SDM volume 3, table 6-1).
pub mod vector {
    /// #DE, divide error.
    pub const DE: u8 = 0;
    /// #DB, debug.
    pub const DB: u8 = 1;
    /// NMI.
    pub const NMI: u8 = 2;
    /// #BP, breakpoint.
    pub const BP: u8 = 3;
    /// #OF, overflow.
    pub const OF: u8 = 4;
    /// #BR, BOUND range exceeded.
    pub const BR: u8 = 5;
    /// #UD, invalid opcode.
    pub const UD: u8 = 6;
    /// #NM, device not available.
    pub const NM: u8 = 7;
    /// #DF, double fault.
    pub const DF: u8 = 8;
    /// #TS, invalid TSS.
    pub const TS: u8 = 10;
    /// #NP, segment not present.
    pub const NP: u8 = 11;
    /// #SS, stack-segment fault.
    pub const SS: u8 = 12;
    /// #GP, general protection.
    pub const GP: u8 = 13;
    /// #PF, page fault.
    pub const PF: u8 = 14;
    /// #MF, x87 floating-point error.
    pub const MF: u8 = 16;
    /// #AC, alignment check.
    pub const AC: u8 = 17;
    /// #MC, machine check.
    pub const MC: u8 = 18;
    /// #XM, SIMD floating-point error.
    pub const XM: u8 = 19;
}

const HAS_ERROR: u32 = 1 << 24;
const INTERNAL: u32 = 1 << 25;
const TAG: u32 = 1 << 31;

/// Why an instruction did not retire: an exception (vector and error code; a page fault's address is in
/// `Vcpu::fault_address`), or one of two internal reasons. One register wide, and `Result<(), Fault>` is too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault(NonZeroU32);

impl Fault {
    /// #UD.
    pub const UD: Self = Self::plain(vector::UD);
    /// #NM.
    pub const NM: Self = Self::plain(vector::NM);
    /// #DE.
    pub const DE: Self = Self::plain(vector::DE);
    /// #BR.
    pub const BR: Self = Self::plain(vector::BR);
    /// #MF.
    pub const MF: Self = Self::plain(vector::MF);
    /// #XM.
    pub const XM: Self = Self::plain(vector::XM);
    /// #DB as a fault (instruction breakpoint, general detect). DR6 is set by who raises it.
    pub const DB: Self = Self::plain(vector::DB);
    /// #GP(0).
    pub const GP0: Self = Self::with_error(vector::GP, 0);
    /// #SS(0).
    pub const SS0: Self = Self::with_error(vector::SS, 0);
    /// #AC(0).
    pub const AC0: Self = Self::with_error(vector::AC, 0);
    /// The linear address is not canonical: becomes #SS(0) for a stack reference, else #GP(0).
    pub const NOT_CANONICAL: Self = Self::internal(1);
    /// The budget ran out between two iterations of a REP instruction; it goes on at the same RIP.
    pub const SUSPEND: Self = Self::internal(2);
    /// No fault at all: a conditional branch was taken out of the middle of its block, and RIP is its target.
    pub const TAKEN: Self = Self::internal(3);

    const fn plain(vector: u8) -> Self {
        Self::make((vector as u32) << 16)
    }

    const fn internal(which: u32) -> Self {
        Self::make(INTERNAL | which)
    }

    const fn make(bits: u32) -> Self {
        match NonZeroU32::new(bits | TAG) {
            Some(bits) => Self(bits),
            None => Self(NonZeroU32::MIN),
        }
    }

    /// An exception with an error code.
    pub const fn with_error(vector: u8, error: u16) -> Self {
        Self::make(HAS_ERROR | (vector as u32) << 16 | error as u32)
    }

    /// #GP with a selector as error code (RPL bits dropped).
    pub const fn gp(selector: u16) -> Self {
        Self::with_error(vector::GP, selector & !3)
    }

    /// #SS with a selector as error code (RPL bits dropped).
    pub const fn ss(selector: u16) -> Self {
        Self::with_error(vector::SS, selector & !3)
    }

    /// #NP with a selector as error code (RPL bits dropped).
    pub const fn np(selector: u16) -> Self {
        Self::with_error(vector::NP, selector & !3)
    }

    /// #TS with a selector as error code (RPL bits dropped).
    pub const fn ts(selector: u16) -> Self {
        Self::with_error(vector::TS, selector & !3)
    }

    /// #GP with an IDT entry as error code.
    pub(crate) const fn gate(vector: u8) -> Self {
        Self::with_error(vector::GP, Self::gate_error(vector))
    }

    /// The error code that names an IDT entry.
    pub(crate) const fn gate_error(vector: u8) -> u16 {
        (vector as u16) << 3 | 2
    }

    /// The same fault met while something from outside of the program was delivered: EXT set in the error code.
    pub(crate) const fn external(self) -> Self {
        match self.vector() {
            Some(vector::TS | vector::NP | vector::SS | vector::GP) => Self::make(self.0.get() | 1),
            _ => self,
        }
    }

    /// #PF; the address goes into `Vcpu::fault_address`.
    pub const fn pf(error: u16) -> Self {
        Self::with_error(vector::PF, error)
    }

    /// The fault as a number that is not zero.
    pub(crate) const fn bits(self) -> u32 {
        self.0.get()
    }

    /// The fault of [`Fault::bits`].
    pub(crate) fn from_bits(bits: u32) -> Option<Self> {
        NonZeroU32::new(bits).map(Self)
    }

    /// The exception's vector, or `None` for the internal reasons.
    pub const fn vector(self) -> Option<u8> {
        if self.0.get() & INTERNAL != 0 { None } else { Some((self.0.get() >> 16) as u8) }
    }

    /// The error code, if the exception pushes one.
    pub const fn error(self) -> Option<u16> {
        if self.0.get() & HAS_ERROR != 0 { Some(self.0.get() as u16) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_of_nothing_or_a_fault_fits_one_register() {
        assert_eq!(size_of::<Result<(), Fault>>(), 4);
    }

    #[test]
    fn selector_error_codes_drop_the_rpl() {
        assert_eq!(Fault::gp(0x1b).error(), Some(0x18));
        assert_eq!(Fault::gp(0x1b).vector(), Some(vector::GP));
        assert_eq!(Fault::UD.error(), None);
        assert_eq!(Fault::SUSPEND.vector(), None);
    }
}
