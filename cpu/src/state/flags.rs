//! RFLAGS, with the status flags kept as the last result until someone asks.

use bitflags::bitflags;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

bitflags! {
    /// RFLAGS (SDM volume 1, section 3.4.3).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Rflags: u64 {
        /// Carry.
        const CF = 1 << 0;
        /// Always one.
        const FIXED = 1 << 1;
        /// Parity of the result's low byte.
        const PF = 1 << 2;
        /// Carry out of bit 3.
        const AF = 1 << 4;
        /// Zero.
        const ZF = 1 << 6;
        /// Sign.
        const SF = 1 << 7;
        /// Trap after each instruction.
        const TF = 1 << 8;
        /// Maskable interrupts are taken.
        const IF = 1 << 9;
        /// String instructions go down.
        const DF = 1 << 10;
        /// Signed overflow.
        const OF = 1 << 11;
        /// I/O privilege level.
        const IOPL = 3 << 12;
        /// Nested task.
        const NT = 1 << 14;
        /// Resume: no instruction breakpoint on the next instruction.
        const RF = 1 << 16;
        /// Virtual-8086 mode.
        const VM = 1 << 17;
        /// Alignment check, and with SMAP: supervisor access to user pages.
        const AC = 1 << 18;
        /// Virtual interrupt flag.
        const VIF = 1 << 19;
        /// Virtual interrupt pending.
        const VIP = 1 << 20;
        /// CPUID can be used.
        const ID = 1 << 21;
        /// The six flags that arithmetic sets.
        const STATUS = Self::CF.bits() | Self::PF.bits() | Self::AF.bits() | Self::ZF.bits() | Self::SF.bits()
            | Self::OF.bits();
    }
}

/// RFLAGS in use. Arithmetic stores its result and its carries, which is cheaper than the six flags themselves.
///
/// - ZF: `zero == 0`. SF: bit 63 of `sign`. PF: parity of `sign`'s low byte.
/// - CF: bit 63 of `carries`. OF: bit 63 xor bit 62 of `carries`. AF: bit 3 of `carries`.
///
/// `carries` holds the carry out of each bit of the operation, its top two moved to bits 63 and 62.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    zero: u64,
    sign: u64,
    carries: u64,
    /// The flags that are not status flags.
    system: u64,
}

impl Default for Flags {
    fn default() -> Self {
        Self { zero: 1, sign: 1, carries: 0, system: Rflags::FIXED.bits() }
    }
}

const TOP: u64 = 1 << 63;

/// Aligns carries of a `BITS` wide operation: the top two to bits 63 and 62, bit 3 stays.
#[inline(always)]
fn aligned<const BITS: u32>(carries: u64) -> u64 {
    if BITS == 64 { carries } else { carries << (64 - BITS) | (carries & 8) }
}

/// Sign-extends a `BITS` wide value.
#[inline(always)]
fn extended<const BITS: u32>(value: u64) -> u64 {
    ((value << (64 - BITS)) as i64 >> (64 - BITS)) as u64
}

impl Flags {
    /// After `a + b (+ carry) = result`, all zero-extended from `BITS`.
    #[inline(always)]
    pub fn after_add<const BITS: u32>(&mut self, a: u64, b: u64, result: u64) {
        self.set_result::<BITS>(result);
        self.carries = aligned::<BITS>((a & b) | ((a | b) & !result));
    }

    /// After `a - b (- borrow) = result`, all zero-extended from `BITS`.
    #[inline(always)]
    pub fn after_sub<const BITS: u32>(&mut self, a: u64, b: u64, result: u64) {
        self.set_result::<BITS>(result);
        self.carries = aligned::<BITS>((!a & b) | ((!a | b) & result));
    }

    /// After a bitwise operation: CF, OF and AF are clear.
    #[inline(always)]
    pub fn after_logic<const BITS: u32>(&mut self, result: u64) {
        self.set_result::<BITS>(result);
        self.carries = 0;
    }

    /// After `a + 1 = result`: CF stays.
    #[inline(always)]
    pub fn after_inc<const BITS: u32>(&mut self, a: u64, result: u64) {
        let carry = self.carries & TOP;
        self.after_add::<BITS>(a, 1, result);
        self.keep_carry(carry);
    }

    /// After `a - 1 = result`: CF stays.
    #[inline(always)]
    pub fn after_dec<const BITS: u32>(&mut self, a: u64, result: u64) {
        let carry = self.carries & TOP;
        self.after_sub::<BITS>(a, 1, result);
        self.keep_carry(carry);
    }

    /// Replaces CF alone, leaving OF and AF.
    #[inline(always)]
    fn keep_carry(&mut self, carry: u64) {
        let flip = (self.carries ^ carry) & TOP;
        self.carries ^= flip | flip >> 1;
    }

    /// Sets ZF, SF and PF by a result zero-extended from `BITS`; leaves CF, OF and AF.
    #[inline(always)]
    pub fn set_result<const BITS: u32>(&mut self, result: u64) {
        let result = extended::<BITS>(result);
        self.zero = result;
        self.sign = result;
    }

    /// Sets CF and OF, leaves AF.
    #[inline(always)]
    pub fn set_carry_overflow(&mut self, carry: bool, overflow: bool) {
        self.carries = self.carries & 8 | u64::from(carry) << 63 | u64::from(carry ^ overflow) << 62;
    }

    /// Sets CF alone.
    #[inline(always)]
    pub fn set_carry(&mut self, carry: bool) {
        self.keep_carry(u64::from(carry) << 63);
    }

    /// Sets ZF alone.
    #[inline(always)]
    pub fn set_zero(&mut self, zero: bool) {
        self.zero = u64::from(!zero);
    }

    /// Sets AF alone.
    #[inline(always)]
    pub fn set_adjust(&mut self, adjust: bool) {
        self.carries = self.carries & !8 | u64::from(adjust) << 3;
    }

    /// CF.
    #[inline(always)]
    pub fn cf(&self) -> bool {
        self.carries & TOP != 0
    }

    /// OF.
    #[inline(always)]
    pub fn of(&self) -> bool {
        (self.carries ^ self.carries << 1) & TOP != 0
    }

    /// AF.
    #[inline(always)]
    pub fn af(&self) -> bool {
        self.carries & 8 != 0
    }

    /// ZF.
    #[inline(always)]
    pub fn zf(&self) -> bool {
        self.zero == 0
    }

    /// SF.
    #[inline(always)]
    pub fn sf(&self) -> bool {
        self.sign & TOP != 0
    }

    /// SF xor OF: signed less.
    #[inline(always)]
    pub fn less(&self) -> bool {
        (self.sign ^ self.carries ^ self.carries << 1) & TOP != 0
    }

    /// PF.
    #[inline(always)]
    pub fn pf(&self) -> bool {
        (self.sign as u8).count_ones().is_multiple_of(2)
    }

    /// One of the sixteen conditions by its encoding (SDM volume 2, appendix B.1.4.7).
    #[inline(always)]
    pub fn condition<const CC: u8>(&self) -> bool {
        let holds = match CC >> 1 {
            0 => self.of(),
            1 => self.cf(),
            2 => self.zf(),
            3 => self.cf() || self.zf(),
            4 => self.sf(),
            5 => self.pf(),
            6 => self.less(),
            _ => self.zf() || self.less(),
        };
        holds ^ (CC & 1 != 0)
    }

    /// Whether a system flag (not one of the six status flags) is set.
    #[inline(always)]
    pub fn has(&self, flag: Rflags) -> bool {
        self.system & flag.bits() != 0
    }

    /// Sets or clears system flags (not the six status flags). `Vcpu` caches some of them: use its methods where they exist.
    #[inline(always)]
    pub fn set(&mut self, flag: Rflags, on: bool) {
        let bits = flag.difference(Rflags::STATUS).bits();
        if on { self.system |= bits } else { self.system &= !bits }
    }

    /// The I/O privilege level.
    pub fn iopl(&self) -> u8 {
        (self.system >> 12 & 3) as u8
    }

    /// RFLAGS as the architecture lays it out.
    pub fn get(&self) -> Rflags {
        let mut all = Rflags::from_bits_retain(self.system);
        all.set(Rflags::CF, self.cf());
        all.set(Rflags::PF, self.pf());
        all.set(Rflags::AF, self.af());
        all.set(Rflags::ZF, self.zf());
        all.set(Rflags::SF, self.sf());
        all.set(Rflags::OF, self.of());
        all
    }

    /// Replaces all of RFLAGS.
    pub fn put(&mut self, value: Rflags) {
        self.system = value.difference(Rflags::STATUS).union(Rflags::FIXED).bits();
        self.put_status(value);
    }

    /// The status flags as translated code keeps them: OF in bit 0, and in the upper byte what LAHF gives.
    #[inline]
    pub(crate) fn packed(&self) -> u64 {
        let high = u64::from(self.cf())
            | 1 << 1
            | u64::from(self.pf()) << 2
            | u64::from(self.af()) << 4
            | u64::from(self.zf()) << 6
            | u64::from(self.sf()) << 7;
        u64::from(self.of()) | high << 8
    }

    /// Replaces the status flags by what [`Flags::packed`] gives.
    #[inline]
    pub(crate) fn unpack(&mut self, packed: u64) {
        let high = packed >> 8;
        self.zero = !high >> 6 & 1;
        self.sign = high >> 7 << 63 | !high >> 2 & 1;
        self.carries = high << 63 | ((high ^ packed) & 1) << 62 | (high >> 4 & 1) << 3;
    }

    /// Replaces the six status flags.
    pub fn put_status(&mut self, value: Rflags) {
        self.zero = u64::from(!value.contains(Rflags::ZF));
        self.sign = u64::from(value.contains(Rflags::SF)) << 63 | u64::from(!value.contains(Rflags::PF));
        self.carries = u64::from(value.contains(Rflags::AF)) << 3;
        self.set_carry_overflow(value.contains(Rflags::CF), value.contains(Rflags::OF));
    }
}

impl Serialize for Flags {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.get().bits().serialize(to)
    }
}

impl<'de> Deserialize<'de> for Flags {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut flags = Self::default();
        flags.put(Rflags::from_bits_retain(u64::deserialize(from)?));
        Ok(flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_of_status_flags_can_be_held() {
        let mut flags = Flags::default();
        for bits in 0..=Rflags::STATUS.bits() {
            let value = Rflags::from_bits_retain(bits) & Rflags::STATUS;
            flags.put_status(value);
            assert_eq!(flags.get() & Rflags::STATUS, value);
            let mut unpacked = Flags::default();
            unpacked.unpack(flags.packed());
            assert_eq!(unpacked.get() & Rflags::STATUS, value);
        }
    }

    #[test]
    fn addition_and_subtraction_of_bytes_set_the_manual_s_flags() {
        for a in 0..=255u64 {
            for b in 0..=255u64 {
                let mut flags = Flags::default();
                let sum = (a + b) & 0xff;
                flags.after_add::<8>(a, b, sum);
                assert_eq!(flags.cf(), a + b > 255);
                assert_eq!(flags.of(), i16::from(a as i8) + i16::from(b as i8) != i16::from(sum as i8));
                assert_eq!(flags.af(), (a & 15) + (b & 15) > 15);
                assert_eq!((flags.zf(), flags.sf()), (sum == 0, sum > 127));
                let difference = a.wrapping_sub(b) & 0xff;
                flags.after_sub::<8>(a, b, difference);
                assert_eq!(flags.cf(), a < b);
                assert_eq!(flags.of(), i16::from(a as i8) - i16::from(b as i8) != i16::from(difference as i8));
                assert_eq!(flags.af(), (a & 15) < (b & 15));
                assert_eq!(flags.less(), (a as i8) < (b as i8));
            }
        }
    }

    #[test]
    fn inc_and_dec_leave_the_carry() {
        let mut flags = Flags::default();
        flags.set_carry(true);
        flags.after_inc::<8>(0x7f, 0x80);
        assert!(flags.cf() && flags.of() && flags.sf());
        flags.set_carry(false);
        assert!(!flags.cf() && flags.of());
        flags.after_dec::<8>(0, 0xff);
        assert!(!flags.cf() && !flags.of() && flags.af());
    }
}
