//! What the three formats have in common: taking a bit pattern apart and putting one together.

use super::{Env, F80, Flags};

/// Kind of a value. The order matters: everything from `QNan` up has no numeric value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Signed zero.
    Zero,
    /// Denormal, or pseudo-denormal in F80.
    Denormal,
    /// Normal number.
    Normal,
    /// Infinity.
    Inf,
    /// Quiet NaN.
    QNan,
    /// Signalling NaN.
    SNan,
    /// F80 encodings the 80387 and later refuse: pseudo-NaN, pseudo-infinity, unnormal.
    Unsupported,
}

/// A value taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Num {
    /// What it is.
    pub class: Class,
    /// True if negative.
    pub sign: bool,
    /// Unbiased exponent of the leading bit, for finite nonzero values.
    pub exp: i32,
    /// Significand with the leading bit at bit 63, for finite nonzero values and NaNs; zero for zeros.
    pub sig: u64,
}

/// Integer bit of an aligned significand.
pub const TOP: u64 = 1 << 63;
/// Quiet bit of an aligned NaN.
pub const QUIET: u64 = 1 << 62;

impl Num {
    /// Zero, denormal or normal.
    #[inline]
    pub fn is_finite(&self) -> bool {
        self.class < Class::Inf
    }

    /// Not a number, or not a supported encoding.
    #[inline]
    pub fn is_nan(&self) -> bool {
        self.class >= Class::QNan
    }
}

/// An encoding. Implemented for `u32` (binary32), `u64` (binary64) and [`F80`].
pub trait Format: Copy + Eq {
    /// Significand bits including the integer bit.
    const PRECISION: u32;
    /// Exponent bias, which is also the greatest exponent.
    const BIAS: i32;

    /// Takes a bit pattern apart.
    fn unpack(self) -> Num;
    /// From sign, biased exponent and aligned significand (integer bit at bit 63, clear for denormals and zeros).
    fn pack(sign: bool, biased: u32, sig: u64) -> Self;

    /// Greatest biased exponent: infinities and NaNs.
    const SPECIAL: u32 = 2 * Self::BIAS as u32 + 1;
    /// Exponent of the smallest normal.
    const EMIN: i32 = 1 - Self::BIAS;

    /// Signed zero.
    fn zero(sign: bool) -> Self {
        Self::pack(sign, 0, 0)
    }
    /// Signed infinity.
    fn infinity(sign: bool) -> Self {
        Self::pack(sign, Self::SPECIAL, TOP)
    }
    /// The default NaN, "real indefinite".
    fn indefinite() -> Self {
        Self::pack(true, Self::SPECIAL, TOP | QUIET)
    }
    /// A NaN, quieted.
    fn quiet(nan: &Num) -> Self {
        Self::pack(nan.sign, Self::SPECIAL, nan.sig | TOP | QUIET)
    }
}

/// Takes apart a format with `FRACTION` stored bits below a hidden integer bit.
#[inline]
fn unpack_hidden<F: Format>(sign: bool, biased: u32, fraction: u64) -> Num {
    // The fraction is aligned just below bit 63.
    if biased == F::SPECIAL {
        let class = match fraction {
            0 => Class::Inf,
            f if f & QUIET != 0 => Class::QNan,
            _ => Class::SNan,
        };
        return Num { class, sign, exp: 0, sig: TOP | fraction };
    }
    if biased == 0 {
        return denormal::<F>(sign, fraction);
    }
    Num { class: Class::Normal, sign, exp: biased as i32 - F::BIAS, sig: TOP | fraction }
}

#[inline]
fn denormal<F: Format>(sign: bool, sig: u64) -> Num {
    if sig == 0 {
        return Num { class: Class::Zero, sign, exp: 0, sig: 0 };
    }
    let shift = sig.leading_zeros();
    Num { class: Class::Denormal, sign, exp: F::EMIN - shift as i32, sig: sig << shift }
}

impl Format for u32 {
    const PRECISION: u32 = 24;
    const BIAS: i32 = 127;

    #[inline]
    fn unpack(self) -> Num {
        unpack_hidden::<Self>(self >> 31 != 0, self >> 23 & 0xff, u64::from(self & 0x7f_ffff) << 40)
    }
    #[inline]
    fn pack(sign: bool, biased: u32, sig: u64) -> Self {
        u32::from(sign) << 31 | biased << 23 | (sig << 1 >> 41) as u32
    }
}

impl Format for u64 {
    const PRECISION: u32 = 53;
    const BIAS: i32 = 1023;

    #[inline]
    fn unpack(self) -> Num {
        unpack_hidden::<Self>(self >> 63 != 0, (self >> 52) as u32 & 0x7ff, (self & ((1 << 52) - 1)) << 11)
    }
    #[inline]
    fn pack(sign: bool, biased: u32, sig: u64) -> Self {
        u64::from(sign) << 63 | u64::from(biased) << 52 | sig << 1 >> 12
    }
}

impl Format for F80 {
    const PRECISION: u32 = 64;
    const BIAS: i32 = 16383;

    #[inline]
    fn unpack(self) -> Num {
        let (sign, biased, sig) = (self.sign(), u32::from(self.biased()), self.sig);
        if biased == 0 {
            return denormal::<Self>(sign, sig);
        }
        if sig & TOP == 0 {
            return Num { class: Class::Unsupported, sign, exp: 0, sig };
        }
        if biased == Self::SPECIAL {
            return unpack_hidden::<Self>(sign, biased, sig & !TOP);
        }
        Num { class: Class::Normal, sign, exp: biased as i32 - Self::BIAS, sig }
    }
    #[inline]
    fn pack(sign: bool, biased: u32, sig: u64) -> Self {
        Self::new(u16::from(sign) << 15 | biased as u16, sig)
    }
}

impl Env {
    /// Takes an operand apart, honouring DAZ.
    #[inline]
    pub(super) fn unpack<F: Format>(&self, value: F) -> Num {
        let num = value.unpack();
        if self.daz() && num.class == Class::Denormal {
            return Num { class: Class::Zero, exp: 0, sig: 0, ..num };
        }
        num
    }

    /// Raises IE; the masked response is the indefinite.
    #[cold]
    pub(super) fn invalid<F: Format>(&mut self) -> F {
        self.raise(Flags::IE);
        F::indefinite()
    }

    /// The result of a one-operand operation on a NaN.
    #[cold]
    pub(super) fn nan1<F: Format>(&mut self, x: &Num) -> F {
        match x.class {
            Class::Unsupported => return self.invalid(),
            Class::SNan => self.raise(Flags::IE),
            _ => {}
        }
        F::quiet(x)
    }

    /// The result of a two-operand operation on at least one NaN (SDM volume 1, table 4-7).
    #[cold]
    pub(super) fn nan2<F: Format>(&mut self, x: &Num, y: &Num) -> F {
        if x.class.max(y.class) == Class::Unsupported {
            return self.invalid();
        }
        if x.class.max(y.class) == Class::SNan {
            self.raise(Flags::IE);
        }
        let first = match (x.is_nan(), y.is_nan()) {
            (true, false) => true,
            (false, _) => false,
            (true, true) if !self.is_x87() => true,
            // A quiet NaN goes before a signalling one, then the larger significand, then the positive.
            (true, true) if x.class != y.class => x.class == Class::QNan,
            (true, true) => x.sig > y.sig || x.sig == y.sig && !x.sign,
        };
        F::quiet(if first { x } else { y })
    }

    /// Raises DE for denormal operands. True if the operation must stop because DE is unmasked.
    #[inline]
    pub(super) fn denormals(&mut self, any: bool) -> bool {
        if any {
            self.raise(Flags::DE);
        }
        any && !self.masked(Flags::DE)
    }
}
