//! Vectors as lanes: one definition of an operation for MMX (`[u64; 1]`) and XMM (`[u64; 2]`).
//!
//! A vector is its 64-bit words, the lowest first, as the register file keeps it. AVX works on 128-bit halves one by one,
//! so a 256-bit form is the 128-bit operation on both halves.

use bytemuck::Pod;

/// An XMM register's value.
pub(crate) type Xmm = [u64; 2];
/// An MMX register's value.
pub(crate) type Mm = [u64; 1];

/// An element of a vector.
pub(crate) trait Lane: Pod + Copy + Default + PartialEq {
    /// Between the host's byte order and little-endian, either way.
    fn le(self) -> Self;
}

macro_rules! lanes {
    ($($t:ty),*) => {$(
        impl Lane for $t {
            #[inline(always)]
            fn le(self) -> Self { self.to_le() }
        }
    )*};
}
lanes!(u8, u16, u32, u64, i8, i16, i32, i64);

/// Lanes of type `T` in a vector of `N` words.
#[inline(always)]
pub(crate) const fn count<T, const N: usize>() -> usize {
    N * 8 / size_of::<T>()
}

/// Lane `i`. An index out of range wraps.
#[inline(always)]
pub(crate) fn get<T: Lane, const N: usize>(v: [u64; N], i: usize) -> T {
    let words = v.map(u64::to_le);
    bytemuck::cast_slice::<u64, T>(&words)[i & (count::<T, N>() - 1)].le()
}

/// The vector with lane `i` replaced. An index out of range wraps.
#[inline(always)]
pub(crate) fn with<T: Lane, const N: usize>(v: [u64; N], i: usize, value: T) -> [u64; N] {
    let mut words = v.map(u64::to_le);
    bytemuck::cast_slice_mut::<u64, T>(&mut words)[i & (count::<T, N>() - 1)] = value.le();
    words.map(u64::from_le)
}

/// The vector whose lane `i` is `f(i)`.
#[inline(always)]
pub(crate) fn build<T: Lane, const N: usize>(mut f: impl FnMut(usize) -> T) -> [u64; N] {
    let mut words = [0u64; N];
    for (i, lane) in bytemuck::cast_slice_mut::<u64, T>(&mut words).iter_mut().enumerate() {
        *lane = f(i).le();
    }
    words.map(u64::from_le)
}

/// Lane by lane.
#[inline(always)]
pub(crate) fn map<T: Lane, const N: usize>(a: [u64; N], f: impl Fn(T) -> T) -> [u64; N] {
    let mut words = a.map(u64::to_le);
    for lane in bytemuck::cast_slice_mut::<u64, T>(&mut words) {
        *lane = f(lane.le()).le();
    }
    words.map(u64::from_le)
}

/// Lane by lane of two vectors.
#[inline(always)]
pub(crate) fn zip<T: Lane, const N: usize>(a: [u64; N], b: [u64; N], f: impl Fn(T, T) -> T) -> [u64; N] {
    let mut words = a.map(u64::to_le);
    let b = b.map(u64::to_le);
    for (x, y) in bytemuck::cast_slice_mut::<u64, T>(&mut words).iter_mut().zip(bytemuck::cast_slice::<u64, T>(&b)) {
        *x = f(x.le(), y.le()).le();
    }
    words.map(u64::from_le)
}

/// From a 128-bit value.
#[inline(always)]
pub(crate) fn words(value: u128) -> Xmm {
    [value as u64, (value >> 64) as u64]
}

/// As a 128-bit value.
#[inline(always)]
pub(crate) fn wide(v: Xmm) -> u128 {
    u128::from(v[0]) | u128::from(v[1]) << 64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lane_zero_is_the_lowest() {
        let v = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        assert_eq!(get::<u8, 2>(v, 9), 9);
        assert_eq!(get::<u16, 2>(v, 4), 0x0908);
        assert_eq!(get::<u32, 2>(v, 1), 0x0706_0504);
        assert_eq!(with::<u16, 2>(v, 7, 0xaaaa)[1], 0xaaaa_0d0c_0b0a_0908);
        assert_eq!(build::<u8, 2>(|i| i as u8), v);
    }
}
