//! SSE4.2's string comparisons: PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (SDM volume 2, section 4.1).

use super::lanes::{Lane, Xmm, build, get};
use crate::fault::Fault;
use crate::op::{Op, Slot};
use crate::state::{Rflags, Vcpu};
use crate::table::{Row, Unit};
use iced_x86::Code;
use lockstep_fabric::Bus;

/// The immediate's fields (SDM volume 2, section 4.1).
#[derive(Clone, Copy)]
struct Control(u8);

/// How the strings are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aggregation {
    /// Which elements of the second string are in the set that the first lists.
    EqualAny,
    /// Which are in one of the first's ranges.
    Ranges,
    /// Which equal the first's at the same place.
    EqualEach,
    /// Where the first stands within the second.
    EqualOrdered,
}

impl Control {
    fn words(self) -> bool {
        self.0 & 1 != 0
    }
    fn signed(self) -> bool {
        self.0 & 2 != 0
    }
    fn aggregation(self) -> Aggregation {
        match self.0 >> 2 & 3 {
            0 => Aggregation::EqualAny,
            1 => Aggregation::Ranges,
            2 => Aggregation::EqualEach,
            _ => Aggregation::EqualOrdered,
        }
    }
    fn negative(self) -> bool {
        self.0 & 0x10 != 0
    }
    /// Negation leaves elements beyond the second string's end alone.
    fn masked(self) -> bool {
        self.0 & 0x20 != 0
    }
    /// The most significant index rather than the least; an element mask rather than a bit mask.
    fn output(self) -> bool {
        self.0 & 0x40 != 0
    }
    fn count(self) -> usize {
        if self.words() { 8 } else { 16 }
    }
    /// Element `i` as the signedness has it.
    fn element(self, v: Xmm, i: usize) -> i32 {
        match (self.words(), self.signed()) {
            (false, false) => get::<u8, 2>(v, i).into(),
            (false, true) => get::<i8, 2>(v, i).into(),
            (true, false) => get::<u16, 2>(v, i).into(),
            (true, true) => get::<i16, 2>(v, i).into(),
        }
    }
    /// Elements before the first zero.
    fn implicit_length(self, v: Xmm) -> usize {
        (0..self.count()).position(|i| self.element(v, i) == 0).unwrap_or(self.count())
    }
}

/// A string: its elements and how many of them count.
#[derive(Clone, Copy)]
struct Text {
    elements: Xmm,
    length: usize,
}

/// IntRes1 and IntRes2: one bit for each element.
fn compare(a: Text, b: Text, control: Control) -> u32 {
    let count = control.count();
    let element = |text: Text, i| control.element(text.elements, i);
    let hit = |j: usize| match control.aggregation() {
        Aggregation::EqualAny => j < b.length && (0..a.length).any(|i| element(a, i) == element(b, j)),
        Aggregation::Ranges => {
            let x = element(b, j);
            // Bounds come in pairs; one without its pair is no range.
            j < b.length && (0..a.length / 2).any(|pair| element(a, 2 * pair) <= x && x <= element(a, 2 * pair + 1))
        }
        Aggregation::EqualEach => match (j < a.length, j < b.length) {
            (true, true) => element(a, j) == element(b, j),
            (in_a, in_b) => in_a == in_b,
        },
        // The first string ends anywhere; the second's end stops a match that is not done, the register's end does not.
        Aggregation::EqualOrdered => {
            (0..a.length.min(count - j)).all(|i| j + i < b.length && element(a, i) == element(b, j + i))
        }
    };
    let found = (0..count).fold(0, |bits, j| bits | u32::from(hit(j)) << j);
    let all = (1 << count) - 1;
    let flip = match (control.negative(), control.masked()) {
        (false, _) => 0,
        (true, false) => all,
        (true, true) => (1 << b.length) - 1,
    };
    found ^ flip
}

/// What the four instructions share: the comparison and the flags.
fn run(cpu: &mut Vcpu, a: Text, b: Text, control: Control) -> u32 {
    let found = compare(a, b, control);
    let flag = |on: bool, flag: Rflags| if on { flag } else { Rflags::empty() };
    let count = control.count();
    cpu.flags.put_status(
        flag(found != 0, Rflags::CF)
            | flag(b.length < count, Rflags::ZF)
            | flag(a.length < count, Rflags::SF)
            | flag(found & 1 != 0, Rflags::OF),
    );
    found
}

/// The index goes to ECX.
fn put_index(cpu: &mut Vcpu, found: u32, control: Control) {
    let index = if found == 0 {
        control.count() as u32
    } else if control.output() {
        found.ilog2()
    } else {
        found.trailing_zeros()
    };
    cpu.write_gpr(Slot::RCX, 0, index);
}

/// The mask goes to XMM0.
fn put_mask(cpu: &mut Vcpu, found: u32, control: Control) {
    let ones = |i: usize| found >> i & 1 != 0;
    let mask = match (control.output(), control.words()) {
        (false, _) => [found.into(), 0],
        (true, false) => build::<u8, 2>(|i| if ones(i) { !0 } else { 0 }),
        (true, true) => build::<u16, 2>(|i| if ones(i) { !0 } else { 0 }),
    };
    cpu.set_xmm(Slot::R0, mask);
}

/// Where a string's length comes from.
trait Length {
    fn of(cpu: &Vcpu, register: Slot, v: Xmm, control: Control) -> usize;
}

struct Implicit;
struct Explicit<T>(std::marker::PhantomData<T>);

impl Length for Implicit {
    fn of(_: &Vcpu, _: Slot, v: Xmm, control: Control) -> usize {
        control.implicit_length(v)
    }
}

impl<T: Lane + crate::mmu::Int> Length for Explicit<T> {
    /// The register's magnitude, no more than fits.
    fn of(cpu: &Vcpu, register: Slot, _: Xmm, control: Control) -> usize {
        let length = (cpu.read_gpr::<T>(register, 0).sign_extend() as i64).unsigned_abs();
        length.min(control.count() as u64) as usize
    }
}

fn string<L: Length, const INDEX: bool>(cpu: &mut Vcpu, a: Xmm, b: Xmm, imm: u64) {
    let control = Control(imm as u8);
    let a = Text { elements: a, length: L::of(cpu, Slot::RAX, a, control) };
    let b = Text { elements: b, length: L::of(cpu, Slot::RDX, b, control) };
    let found = run(cpu, a, b, control);
    if INDEX { put_index(cpu, found, control) } else { put_mask(cpu, found, control) }
}

fn reg<L: Length, const INDEX: bool>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let (a, b) = (cpu.xmm(op.dst), cpu.xmm(op.src));
    string::<L, INDEX>(cpu, a, b, op.imm);
    Ok(())
}

/// The memory operand need not be aligned.
fn mem<L: Length, const INDEX: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let b = cpu.load_xmm_unaligned(bus, op)?;
    string::<L, INDEX>(cpu, cpu.xmm(op.dst), b, op.imm);
    Ok(())
}

/// The family's rows.
pub(super) fn rows() -> Vec<Row> {
    [
        Row::new(Code::Pcmpistri_xmm_xmmm128_imm8, reg::<Implicit, true>, mem::<Implicit, true>),
        Row::new(Code::Pcmpistrm_xmm_xmmm128_imm8, reg::<Implicit, false>, mem::<Implicit, false>),
        Row::new(Code::Pcmpestri_xmm_xmmm128_imm8, reg::<Explicit<u32>, true>, mem::<Explicit<u32>, true>),
        Row::new(Code::Pcmpestrm_xmm_xmmm128_imm8, reg::<Explicit<u32>, false>, mem::<Explicit<u32>, false>),
        Row::new(Code::Pcmpestri64_xmm_xmmm128_imm8, reg::<Explicit<u64>, true>, mem::<Explicit<u64>, true>),
        Row::new(Code::Pcmpestrm64_xmm_xmmm128_imm8, reg::<Explicit<u64>, false>, mem::<Explicit<u64>, false>),
    ]
    .map(|row| row.unit(Unit::Sse))
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::sse::lanes::words;

    fn text(s: &[u8]) -> Text {
        let mut bytes = [0; 16];
        bytes[..s.len()].copy_from_slice(s);
        Text { elements: words(u128::from_le_bytes(bytes)), length: s.len() }
    }

    fn bytes(a: &[u8], b: &[u8], control: u8) -> u32 {
        compare(text(a), text(b), Control(control))
    }

    #[test]
    fn equal_any_finds_members_of_a_set() {
        assert_eq!(bytes(b"aeiou", b"lockstep", 0x00), 0b0100_0010);
    }

    #[test]
    fn ranges_come_in_pairs_and_heed_the_sign() {
        assert_eq!(bytes(b"azAZ0", b"a-Z0", 0x04), 0b0101);
        assert_eq!(bytes(&[0x80, 0x10], &[0xff, 0x05, 0x20], 0x04), 0);
        assert_eq!(bytes(&[0x80, 0x10], &[0xff, 0x05, 0x20], 0x06), 0b011);
    }

    #[test]
    fn equal_each_holds_beyond_both_ends_and_fails_beyond_one() {
        assert_eq!(bytes(b"abc", b"abx", 0x08), 0xfff8 | 0b011);
        assert_eq!(bytes(b"abc", b"ab", 0x08), 0xfff8 | 0b011);
        assert_eq!(bytes(b"abc", b"abx", 0x18), 0b100);
        assert_eq!(bytes(b"abc", b"abx", 0x38), 0xfff8 | 0b100);
    }

    #[test]
    fn equal_ordered_finds_a_string_also_where_the_register_cuts_it() {
        assert_eq!(bytes(b"st", b"lockstep", 0x0c), 1 << 4);
        assert_eq!(bytes(b"ab", b"xxxxxxxxxxxxxxxa", 0x0c), 1 << 15);
        assert_eq!(bytes(b"ab", b"xxa", 0x0c), 0);
        assert_eq!(bytes(b"", b"xx", 0x0c), 0xffff);
    }
}
