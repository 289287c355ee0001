//! RCPSS and RSQRTSS: the one value this machine gives where the manual only bounds the error.
//!
//! The result is the reciprocal (root) correctly rounded to 12 significant bits, an error of at most 2^-12 against the
//! manual's 1.5 * 2^-12. Denormal operands count as zeros, tiny results become zeros, no exception is raised.

use super::{Class, Format};

/// Significand bits of a result.
const WIDTH: u32 = 12;

/// Rounds to [`WIDTH`] bits, half up, and narrows; tiny values become zeros.
fn coarse(value: f64) -> u32 {
    const DROP: u32 = 53 - WIDTH;
    let rounded = f64::from_bits((value.to_bits() + (1 << (DROP - 1))) >> DROP << DROP) as f32;
    if rounded.abs() < f32::MIN_POSITIVE { u32::zero(rounded.is_sign_negative()) } else { rounded.to_bits() }
}

/// RCPSS.
pub fn rcp(a: u32) -> u32 {
    let x = a.unpack();
    match x.class {
        Class::Zero | Class::Denormal => u32::infinity(x.sign),
        Class::Inf => u32::zero(x.sign),
        Class::Normal => coarse(1.0 / f64::from(f32::from_bits(a))),
        _ => u32::quiet(&x),
    }
}

/// RSQRTSS.
pub fn rsqrt(a: u32) -> u32 {
    let x = a.unpack();
    match x.class {
        Class::Zero | Class::Denormal => u32::infinity(x.sign),
        Class::QNan | Class::SNan | Class::Unsupported => u32::quiet(&x),
        _ if x.sign => u32::indefinite(),
        Class::Inf => u32::zero(false),
        Class::Normal => coarse(1.0 / f64::from(f32::from_bits(a)).sqrt()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_stays_within_the_manuals_bound() {
        const BOUND: f64 = 1.5 / 4096.0;
        for bits in (0x0080_0000u32..0x7e00_0000).step_by(99_991) {
            let x = f64::from(f32::from_bits(bits));
            assert!((f64::from(f32::from_bits(rcp(bits))) * x - 1.0).abs() <= BOUND, "rcp {bits:#x}");
            assert!((f64::from(f32::from_bits(rsqrt(bits))) * x.sqrt() - 1.0).abs() <= BOUND, "rsqrt {bits:#x}");
        }
    }

    #[test]
    fn special_values() {
        assert_eq!(rcp(0x8000_0000), 0xff80_0000);
        assert_eq!(rcp(0x0000_0001), 0x7f80_0000);
        assert_eq!(rcp(0xff80_0000), 0x8000_0000);
        assert_eq!(rcp(0x7f00_0001), 0);
        assert_eq!(rsqrt(0xbf80_0000), 0xffc0_0000);
        assert_eq!(rsqrt(0x7f80_0001), 0x7fc0_0001);
        assert_eq!(rsqrt(0x7f80_0000), 0);
    }
}
