//! SSE arithmetic with a short path: ordinary operands under the usual MXCSR go to the host's own IEEE arithmetic.
//!
//! The short path is taken when rounding is to nearest, every exception is masked, an inexact result is already on
//! record, and operands and result are normal numbers away from the underflow boundary. Then the host's `f32`/`f64`
//! operation gives the same bits on every host and no flag can change.

use super::{Env, arith};

macro_rules! short_paths {
    ($bits:ty, $float:ty, $normal:ident, $add:ident, $sub:ident, $mul:ident, $div:ident, $sqrt:ident) => {
        /// True for normal numbers other than the smallest, which may have been rounded up from a tiny value.
        #[inline(always)]
        fn $normal(x: $bits) -> bool {
            const MIN: $bits = <$float>::MIN_POSITIVE.to_bits();
            const INF: $bits = <$float>::INFINITY.to_bits();
            (x & (<$bits>::MAX >> 1)).wrapping_sub(MIN + 1) < INF - MIN - 1
        }

        /// `a + b`.
        #[inline]
        pub fn $add(a: $bits, b: $bits, env: &mut Env) -> $bits {
            let r = (<$float>::from_bits(a) + <$float>::from_bits(b)).to_bits();
            // The difference of equal numbers is a zero that cannot have underflowed.
            if env.is_plain_sse() && $normal(a) && $normal(b) && ($normal(r) || r == 0) {
                return r;
            }
            slow(a, b, env, arith::add)
        }

        /// `a - b`.
        #[inline]
        pub fn $sub(a: $bits, b: $bits, env: &mut Env) -> $bits {
            let r = (<$float>::from_bits(a) - <$float>::from_bits(b)).to_bits();
            if env.is_plain_sse() && $normal(a) && $normal(b) && ($normal(r) || r == 0) {
                return r;
            }
            slow(a, b, env, arith::sub)
        }

        /// `a * b`.
        #[inline]
        pub fn $mul(a: $bits, b: $bits, env: &mut Env) -> $bits {
            let r = (<$float>::from_bits(a) * <$float>::from_bits(b)).to_bits();
            if env.is_plain_sse() && $normal(a) && $normal(b) && $normal(r) {
                return r;
            }
            slow(a, b, env, arith::mul)
        }

        /// `a / b`.
        #[inline]
        pub fn $div(a: $bits, b: $bits, env: &mut Env) -> $bits {
            let r = (<$float>::from_bits(a) / <$float>::from_bits(b)).to_bits();
            if env.is_plain_sse() && $normal(a) && $normal(b) && $normal(r) {
                return r;
            }
            slow(a, b, env, arith::div)
        }

        /// Square root.
        #[inline]
        pub fn $sqrt(a: $bits, env: &mut Env) -> $bits {
            if env.is_plain_sse() && $normal(a) && a >> (<$bits>::BITS - 1) == 0 {
                return <$float>::from_bits(a).sqrt().to_bits();
            }
            arith::sqrt(a, env)
        }
    };
}

short_paths!(u32, f32, is_normal_f32, add_f32, sub_f32, mul_f32, div_f32, sqrt_f32);
short_paths!(u64, f64, is_normal_f64, add_f64, sub_f64, mul_f64, div_f64, sqrt_f64);

#[inline(never)]
fn slow<T>(a: T, b: T, env: &mut Env, op: fn(T, T, &mut Env) -> T) -> T {
    op(a, b, env)
}

/// CVTSS2SD.
#[inline]
pub fn f32_to_f64(a: u32, env: &mut Env) -> u64 {
    // Widening a normal is exact.
    if is_normal_f32(a) {
        return f64::from(f32::from_bits(a)).to_bits();
    }
    super::convert::convert(a, env)
}

/// CVTSD2SS.
#[inline]
pub fn f64_to_f32(a: u64, env: &mut Env) -> u32 {
    let r = (f64::from_bits(a) as f32).to_bits();
    if env.is_plain_sse() && is_normal_f64(a) && is_normal_f32(r) {
        return r;
    }
    super::convert::convert(a, env)
}
