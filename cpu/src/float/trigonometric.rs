//! FSIN, FCOS, FSINCOS, FPTAN and FPATAN.
//!
//! The argument is reduced exactly, modulo the 66-bit pi that Intel documents (SDM volume 1, 8.3.8); the functions
//! themselves are series in 128-bit fixed point, so that the result is the correctly rounded one but for rare near-ties.

use super::fixed::{Big, ONE, mul_high, reciprocal};
use super::format::Num;
use super::{Class, Env, F80, Flags, Format};

/// pi * 2^64, as the hardware has it.
const PI_66: u128 = 0x3_243f_6a88_85a3_08d3;
/// Arguments from 2^63 on are left alone and C2 is set.
const OUT_OF_RANGE: i32 = 63;

/// FSINCOS's two results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinCos {
    /// Replaces ST(0).
    pub sin: F80,
    /// Pushed on top.
    pub cos: F80,
}

/// An argument inside the range: `quadrant * pi/2 + rest`, `|rest| <= pi/4`.
struct Reduced {
    quadrant: u8,
    rest: Big,
}

fn reduce(x: &Num) -> Reduced {
    let whole = Big::from_sig(x.sign, x.exp, x.sig);
    if x.exp < -2 {
        return Reduced { quadrant: 0, rest: whole };
    }
    // In units of 2^-65, so that PI_66 is pi/2.
    let units = u128::from(x.sig) << (x.exp + 2);
    let (quotient, rest) = (units / PI_66, units % PI_66);
    let above = rest * 2 > PI_66;
    let rest = if above { Big::from_fixed(true, PI_66 - rest, 65) } else { Big::from_fixed(false, rest, 65) };
    let quadrant = (quotient as u8).wrapping_add(u8::from(above)) & 3;
    if x.sign {
        return Reduced { quadrant: quadrant.wrapping_neg() & 3, rest: rest.negate_if(true) };
    }
    Reduced { quadrant, rest }
}

const TERMS: usize = 12;

/// `1/((2k + first)(2k + first + 1))`, k from 0.
const fn factors(first: u128) -> [u128; TERMS] {
    let mut table = [0; TERMS];
    let mut k = 0;
    while k < TERMS {
        let n = 2 * k as u128 + first;
        table[k] = reciprocal(n * (n + 1));
        k += 1;
    }
    table
}

const SIN_FACTORS: [u128; TERMS] = factors(2);
const COS_FACTORS: [u128; TERMS] = factors(1);

/// `1 - s f0 (1 - s f1 (1 - ...))` in Q127, kept below one: neither series is ever exact.
fn series(square: u128, factors: &[u128; TERMS]) -> u128 {
    factors.iter().rev().fold(ONE, |sum, f| ONE - mul_high(mul_high(square, *f), sum).max(1))
}

fn sine(rest: Big) -> Big {
    let r = rest.to_fixed(128);
    rest.mul_q127(series(mul_high(r, r), &SIN_FACTORS))
}

fn cosine(rest: Big) -> Big {
    let r = rest.to_fixed(128);
    Big::from_fixed(false, series(mul_high(r, r), &COS_FACTORS), 127)
}

impl Reduced {
    fn sin(&self) -> Big {
        let value = if self.quadrant & 1 == 0 { sine(self.rest) } else { cosine(self.rest) };
        value.negate_if(self.quadrant & 2 != 0)
    }

    fn cos(&self) -> Big {
        let value = if self.quadrant & 1 == 0 { cosine(self.rest) } else { sine(self.rest) };
        value.negate_if(matches!(self.quadrant, 1 | 2))
    }
}

/// What a trigonometric instruction finds before it computes.
enum Argument {
    /// The same special result for every output.
    Special(F80),
    /// A signed zero.
    Zero(bool),
    /// C2.
    OutOfRange,
    /// Compute.
    Reduced(Reduced),
}

fn argument(a: F80, env: &mut Env) -> Argument {
    let x = env.unpack(a);
    if x.is_nan() {
        return Argument::Special(env.nan1(&x));
    }
    match x.class {
        Class::Inf => return Argument::Special(env.invalid()),
        Class::Zero => return Argument::Zero(x.sign),
        _ => {}
    }
    if x.exp >= OUT_OF_RANGE {
        return Argument::OutOfRange;
    }
    if env.denormals(x.class == Class::Denormal) {
        return Argument::Special(a);
    }
    Argument::Reduced(reduce(&x))
}

/// FSIN; `None` when the argument is out of range (C2).
pub fn fsin(a: F80, env: &mut Env) -> Option<F80> {
    match argument(a, env) {
        Argument::Special(r) => Some(r),
        Argument::Zero(sign) => Some(F80::zero(sign)),
        Argument::OutOfRange => None,
        Argument::Reduced(r) => Some(r.sin().round(env)),
    }
}

/// FCOS; `None` when the argument is out of range (C2).
pub fn fcos(a: F80, env: &mut Env) -> Option<F80> {
    match argument(a, env) {
        Argument::Special(r) => Some(r),
        Argument::Zero(_) => Some(F80::ONE),
        Argument::OutOfRange => None,
        Argument::Reduced(r) => Some(r.cos().round(env)),
    }
}

/// FSINCOS; `None` when the argument is out of range (C2). C1 tells of the cosine, which is rounded last.
pub fn fsincos(a: F80, env: &mut Env) -> Option<SinCos> {
    match argument(a, env) {
        Argument::Special(r) => Some(SinCos { sin: r, cos: r }),
        Argument::Zero(sign) => Some(SinCos { sin: F80::zero(sign), cos: F80::ONE }),
        Argument::OutOfRange => None,
        Argument::Reduced(r) => {
            let mut first = *env;
            let sin = r.sin().round(&mut first);
            let cos = r.cos().round(env);
            env.raise(first.raised() - Flags::C1);
            Some(SinCos { sin, cos })
        }
    }
}

/// FPTAN's two results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialTangent {
    /// Replaces ST(0).
    pub tangent: F80,
    /// Pushed on top: 1, or the NaN that `tangent` is.
    pub one: F80,
}

/// FPTAN; `None` when the argument is out of range (C2).
pub fn fptan(a: F80, env: &mut Env) -> Option<PartialTangent> {
    match argument(a, env) {
        Argument::Special(r) => Some(PartialTangent { tangent: r, one: r }),
        Argument::Zero(sign) => Some(PartialTangent { tangent: F80::zero(sign), one: F80::ONE }),
        Argument::OutOfRange => None,
        Argument::Reduced(r) => {
            let tangent = tangent(&r).round(env);
            Some(PartialTangent { tangent, one: F80::ONE })
        }
    }
}

fn tangent(r: &Reduced) -> Big {
    // Below 2^-40 the cubic term is under half a unit of the last place kept; the value still lies above its argument.
    if r.quadrant & 1 == 0 && r.rest.exp < -60 {
        return r.rest;
    }
    r.sin().div(r.cos())
}

/// atan(i/16) in Q128.
const ATAN: [u128; 17] = [
    0x0000_0000_0000_0000_0000_0000_0000_0000,
    0x0ffa_addb_967e_f4e3_6cb2_792d_c0e2_e0d5,
    0x1fd5_ba9a_ac2f_6dc6_5912_f313_e7d1_11df,
    0x2f72_f697_9cb6_044d_1ec2_d3e2_0727_1d22,
    0x3eb6_ebf2_5901_bac5_5b71_e7bd_7de8_85f9,
    0x4d89_dcdc_1faf_2f34_e2d5_da4c_693d_7994,
    0x5bd8_6507_937b_c239_c551_9091_6e7f_2242,
    0x6993_bb0f_308f_f2db_213e_4af4_800f_389b,
    0x76b1_9c15_86ed_3da2_b7f2_22f6_5e1d_4682,
    0x832b_f4a6_d986_7e2a_4b6a_09cb_61a5_15c1,
    0x8f00_5d5e_f7f5_9f9b_5c83_5e16_65c4_3748,
    0x9a2f_80e6_71bd_da20_4226_f8e2_204f_f3bd,
    0xa4bc_7d19_34f7_0924_19a8_7f2a_457d_ac9f,
    0xaeac_4c38_b4d8_c080_1472_5e2f_3e52_070a,
    0xb805_3e2b_c231_9e73_cb2d_a552_10a4_443d,
    0xc0ce_85b8_ac52_6640_89dd_62c4_6e92_fa25,
    0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1,
];

const ATAN_TERMS: usize = 11;

const ODD_RECIPROCALS: [u128; ATAN_TERMS] = {
    let mut table = [0; ATAN_TERMS];
    let mut k = 0;
    while k < ATAN_TERMS {
        // Q127.
        table[k] = reciprocal(2 * k as u128 + 1) >> 1;
        k += 1;
    }
    table
};

/// atan of a ratio of at most 1/32: `w (1 - w^2/3 + w^4/5 - ...)`.
fn small_atan(w: Big) -> Big {
    if w.sig == 0 {
        return w;
    }
    let fixed = w.to_fixed(128);
    let square = mul_high(fixed, fixed);
    let sum = ODD_RECIPROCALS.iter().rev().fold(0, |sum, r| r - mul_high(square, sum).max(1));
    w.mul_q127(sum)
}

/// atan of a positive ratio of at most 1.
fn first_octant(z: Big) -> Big {
    if z.exp < -5 {
        return small_atan(z);
    }
    let fixed = z.to_fixed(127);
    let nearest = (fixed + (1 << 122)) >> 123;
    let step = nearest << 123;
    // atan z = atan c + atan((z - c)/(1 + z c))
    let above = fixed >= step;
    let numerator = Big::from_fixed(!above, fixed.abs_diff(step), 127);
    let denominator = Big::from_fixed(false, (ONE >> 1) + mul_high(fixed, step), 126);
    let base = Big::from_fixed(false, ATAN[(nearest as usize).min(16)], 128);
    if numerator.sig == 0 { base } else { base.add(small_atan(numerator.div(denominator))) }
}

/// FPATAN: the angle of the point `(x, y)`; `y` is ST(1), `x` ST(0).
pub fn fpatan(y: F80, x: F80, env: &mut Env) -> F80 {
    let (b, a) = (env.unpack(y), env.unpack(x));
    if a.is_nan() || b.is_nan() {
        return env.nan2(&a, &b);
    }
    if env.denormals(a.class == Class::Denormal || b.class == Class::Denormal) {
        return y;
    }
    let vertical = |env: &mut Env| Big::HALF_PI.negate_if(b.sign).round(env);
    let flat = |env: &mut Env| if a.sign { Big::PI.negate_if(b.sign).round(env) } else { F80::zero(b.sign) };
    match (b.class, a.class) {
        (Class::Inf, Class::Inf) => {
            let quarter = Big { exp: -1, ..Big::PI };
            let angle = if a.sign { Big::HALF_PI.add(quarter) } else { quarter };
            angle.negate_if(b.sign).round(env)
        }
        (Class::Inf, _) => vertical(env),
        (_, Class::Inf) | (Class::Zero, _) => flat(env),
        (_, Class::Zero) => vertical(env),
        _ => angle(&b, &a).negate_if(b.sign).round(env),
    }
}

fn angle(y: &Num, x: &Num) -> Big {
    let (v, h) = (Big::from_sig(false, y.exp, y.sig), Big::from_sig(false, x.exp, x.sig));
    let steep = (y.exp, y.sig) > (x.exp, x.sig);
    let octant = if steep { first_octant(h.div(v)) } else { first_octant(v.div(h)) };
    let quadrant = if steep { Big::HALF_PI.add(octant.negate_if(true)) } else { octant };
    if x.sign { Big::PI.add(quadrant.negate_if(true)) } else { quadrant }
}
