//! Packed BCD: eighteen digits in nine bytes, the sign in the tenth (FBLD, FBSTP).

use super::convert::from_i64;
use super::integral::to_integer;
use super::{Env, F80, Flags, Format};

/// Smallest magnitude that has no packed BCD form.
const LIMIT: u64 = 1_000_000_000_000_000_000;
/// The packed BCD indefinite.
pub const INDEFINITE: [u8; 10] = [0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff];

/// FBLD. Digits above nine count by their value, as the hardware adds them up.
pub fn load(bytes: [u8; 10]) -> F80 {
    let magnitude = bytes[..9]
        .iter()
        .rev()
        .fold(0u64, |sum, b| sum.wrapping_mul(100).wrapping_add(u64::from(b >> 4) * 10 + u64::from(b & 15)));
    let value: F80 = from_i64(magnitude as i64, &mut Env::from_fcw(0x37f));
    if bytes[9] & 0x80 != 0 { value.negated() } else { value }
}

/// FBSTP: rounds by RC; what has no BCD form raises IE and gives the indefinite.
pub fn store(a: F80, env: &mut Env) -> [u8; 10] {
    let x = a.unpack();
    let int = if x.is_finite() { to_integer(&x, env.rounding()) } else { None };
    let Some(int) = int.filter(|int| int.magnitude < LIMIT) else {
        env.raise(Flags::IE);
        return INDEFINITE;
    };
    if int.inexact {
        env.raise(Flags::PE);
    }
    if int.up {
        env.raise(Flags::C1);
    }
    let mut bytes = [0u8; 10];
    let mut rest = int.magnitude;
    for byte in &mut bytes[..9] {
        *byte = (((rest / 10 % 10) << 4) | (rest % 10)) as u8;
        rest /= 100;
    }
    bytes[9] = u8::from(x.sign) << 7;
    bytes
}
