//! The register stack, its faults, and what an x87 instruction does once its operands are fetched.
//!
//! Nothing here knows of memory or of the instruction encoding. A method leaves the stack as the hardware does: with
//! the masked response, or untouched when an unmasked exception stops it (SDM volume 1, 8.4 and 8.5).

use crate::float::compare::{Relation, Signal, compare};
use crate::float::remainder::Remainder;
use crate::float::scale::Extracted;
use crate::float::{Class, Env, F80, Flags, Format, x87};
use crate::state::Fpu;

/// Status word: stack fault.
pub(super) const SF: u16 = 1 << 6;
/// Status word: exception summary.
pub(super) const ES: u16 = 1 << 7;
/// Status word: condition code 0.
pub(super) const C0: u16 = 1 << 8;
/// Status word: condition code 1.
pub(super) const C1: u16 = 1 << 9;
/// Status word: condition code 2.
pub(super) const C2: u16 = 1 << 10;
/// Status word: condition code 3.
pub(super) const C3: u16 = 1 << 14;
/// Status word: busy, a copy of the exception summary.
pub(super) const BUSY: u16 = 1 << 15;
/// All condition codes.
pub(super) const CONDITIONS: u16 = C0 | C1 | C2 | C3;
const EXCEPTIONS: u16 = 0x3f;
const IE: u16 = 1;

/// An operand from memory, widened: what was denormal there is normal here but still raises DE; SNaNs stay so.
struct Loaded {
    value: F80,
    denormal: bool,
}

impl Loaded {
    #[inline(always)]
    fn new<F: Format>(operand: F) -> Self {
        let x = operand.unpack();
        let value = match x.class {
            Class::Zero => F80::zero(x.sign),
            Class::Normal | Class::Denormal => F80::pack(x.sign, (x.exp + F80::BIAS) as u32, x.sig),
            _ => F80::pack(x.sign, F80::SPECIAL, x.sig),
        };
        Self { value, denormal: x.class == Class::Denormal }
    }
}

/// What a store found: whether memory is written, and the status bits to add once it has been.
#[derive(Clone, Copy, Debug)]
pub(super) struct Store<T> {
    /// The value for memory; `None` when an unmasked exception stops the store.
    pub value: Option<T>,
    raised: u16,
}

impl Fpu {
    /// The environment of an operation that obeys the control word.
    #[inline(always)]
    pub(super) fn env(&self) -> Env {
        Env::from_fcw(self.control)
    }

    #[inline(always)]
    fn physical(&self, i: u8) -> usize {
        usize::from(self.top.wrapping_add(i) & 7)
    }

    /// ST(i), whatever its tag.
    #[inline(always)]
    pub(crate) fn st(&self, i: u8) -> F80 {
        let p = self.physical(i);
        F80::new(self.sign_exponent[p], self.significand[p])
    }

    /// True when ST(i) is not tagged empty.
    #[inline(always)]
    pub(super) fn has(&self, i: u8) -> bool {
        self.valid >> self.physical(i) & 1 != 0
    }

    /// Writes ST(i) and tags it.
    #[inline(always)]
    pub(crate) fn put(&mut self, i: u8, value: F80) {
        let p = self.physical(i);
        self.sign_exponent[p] = value.sign_exp;
        self.significand[p] = value.sig;
        self.valid |= 1 << p;
    }

    /// Tags ST(i) empty.
    #[inline(always)]
    pub(super) fn free(&mut self, i: u8) {
        self.valid &= !(1 << self.physical(i));
    }

    /// Frees ST(0) and moves TOP past it.
    #[inline(always)]
    pub(super) fn pop(&mut self) {
        self.free(0);
        self.top = (self.top + 1) & 7;
    }

    /// Moves TOP down and writes the new ST(0).
    #[inline(always)]
    fn push_raw(&mut self, value: F80) {
        self.top = self.top.wrapping_sub(1) & 7;
        self.put(0, value);
    }

    /// Replaces C1 and adds exception flags; the summary follows.
    #[inline(always)]
    pub(super) fn record(&mut self, raised: u16) {
        self.status = self.status & !C1 | raised;
        if raised & EXCEPTIONS != 0 {
            self.summarize();
        }
    }

    /// Recomputes ES and B after a change of the flags or the masks.
    #[inline]
    pub(super) fn summarize(&mut self) {
        let pending = self.status & !self.control & EXCEPTIONS != 0;
        self.status = self.status & !(ES | BUSY) | if pending { ES | BUSY } else { 0 };
        if !pending {
            // FERR# follows the summary, and the board's IGNNE# latch is cleared by FERR#.
            self.ferr = false;
            self.ferr_told = false;
            self.ignne = false;
        }
    }

    /// An unmasked exception waits for the next waiting instruction.
    #[inline(always)]
    pub(crate) fn error_pending(&self) -> bool {
        self.status & ES != 0
    }

    /// Replaces the condition codes named by `which`.
    #[inline(always)]
    pub(super) fn set_conditions(&mut self, which: u16, codes: u16) {
        self.status = self.status & !which | codes;
    }

    fn invalid_masked(&self) -> bool {
        self.control & IE != 0
    }

    /// Stack underflow. True if it is masked and the instruction goes on with the indefinite.
    #[cold]
    fn underflow(&mut self) -> bool {
        self.record(IE | SF);
        self.invalid_masked()
    }

    /// Stack overflow. True if it is masked and the instruction goes on with the indefinite.
    #[cold]
    fn overflow(&mut self) -> bool {
        self.record(IE | SF | C1);
        self.invalid_masked()
    }

    /// Records the flags; true when the result is to be written.
    #[inline(always)]
    fn accept(&mut self, env: &Env) -> bool {
        let raised = env.raised().bits() as u16;
        self.record(raised);
        raised & !self.control & Flags::BEFORE.bits() as u16 == 0
    }

    /// Pushes a loaded value. `env` holds what the conversion raised.
    #[inline(always)]
    pub(super) fn push(&mut self, value: F80, env: &Env) {
        if self.has(7) {
            if self.overflow() {
                self.push_raw(F80::INDEFINITE);
            }
        } else {
            let raised = env.raised().bits() as u16;
            self.record(raised);
            // A denormal is loaded even when DE is unmasked: the trap comes with the next instruction.
            if raised & !self.control & IE == 0 {
                self.push_raw(value);
            }
        }
    }

    /// FLD ST(i).
    #[inline]
    pub(super) fn duplicate(&mut self, i: u8) {
        if self.has(i) {
            self.push(self.st(i), &self.env());
        } else if self.underflow() {
            self.push_raw(F80::INDEFINITE);
        }
    }

    /// `ST(dst) = op(ST(x), ST(y))`, then a pop if asked for.
    #[inline(always)]
    pub(super) fn binary(&mut self, dst: u8, x: u8, y: u8, pop: bool, op: impl Fn(F80, F80, &mut Env) -> F80) {
        let written = if self.has(x) && self.has(y) {
            let mut env = self.env();
            let r = op(self.st(x), self.st(y), &mut env);
            let ok = self.accept(&env);
            if ok {
                self.put(dst, r);
            }
            ok
        } else {
            self.underflow_to(dst)
        };
        if pop && written {
            self.pop();
        }
    }

    #[cold]
    fn underflow_to(&mut self, dst: u8) -> bool {
        let masked = self.underflow();
        if masked {
            self.put(dst, F80::INDEFINITE);
        }
        masked
    }

    /// `ST(0) = op(ST(0), operand)` with an operand in memory.
    #[inline(always)]
    pub(super) fn with_memory<F: Format>(&mut self, operand: F, op: impl Fn(F80, F80, &mut Env) -> F80) {
        let operand = Loaded::new(operand);
        self.with_loaded(&operand, op);
    }

    /// `ST(0) = op(ST(0), operand)` with an integer in memory.
    #[inline(always)]
    pub(super) fn with_integer(&mut self, operand: i64, op: impl Fn(F80, F80, &mut Env) -> F80) {
        self.with_loaded(&Loaded { value: x87::from_i64(operand), denormal: false }, op);
    }

    #[inline(always)]
    fn with_loaded(&mut self, operand: &Loaded, op: impl Fn(F80, F80, &mut Env) -> F80) {
        if !self.has(0) {
            self.underflow_to(0);
            return;
        }
        let mut env = self.env();
        let r = op(self.st(0), operand.value, &mut env);
        if operand.denormal {
            env = self.with_denormal(env);
        }
        if self.accept(&env) {
            self.put(0, r);
        }
    }

    /// Adds DE for a denormal in memory, unless an exception of higher priority or a NaN stands before it.
    #[cold]
    fn with_denormal(&self, env: Env) -> Env {
        if env.raised().intersects(Flags::IE | Flags::ZE) || self.st(0).unpack().is_nan() {
            return env;
        }
        // Unmasked, it stops the operation before anything else comes up.
        let mut with = if env.masked(Flags::DE) { env } else { self.env() };
        with.raise(Flags::DE);
        with
    }

    /// `ST(0) = op(ST(0))`.
    #[inline(always)]
    pub(super) fn unary(&mut self, op: impl Fn(F80, &mut Env) -> F80) {
        if !self.has(0) {
            self.underflow_to(0);
            return;
        }
        let mut env = self.env();
        let r = op(self.st(0), &mut env);
        if self.accept(&env) {
            self.put(0, r);
        }
    }

    /// FSIN and FCOS: as [`Self::unary`], with C2 for an argument out of range.
    pub(super) fn ranged(&mut self, op: impl Fn(F80, &mut Env) -> Option<F80>) {
        self.set_conditions(C2, 0);
        if !self.has(0) {
            self.underflow_to(0);
            return;
        }
        let mut env = self.env();
        match op(self.st(0), &mut env) {
            Some(r) => {
                if self.accept(&env) {
                    self.put(0, r);
                }
            }
            None => self.set_conditions(C1 | C2, C2),
        }
    }

    /// FSINCOS, FPTAN and FXTRACT: replaces ST(0) by the first result and pushes the second.
    pub(super) fn split(&mut self, op: impl Fn(F80, &mut Env) -> Option<(F80, F80)>) {
        if !self.has(0) || self.has(7) {
            let masked = if self.has(0) { self.overflow() } else { self.underflow() };
            if masked {
                self.put(0, F80::INDEFINITE);
                self.push_raw(F80::INDEFINITE);
            }
            return;
        }
        let mut env = self.env();
        match op(self.st(0), &mut env) {
            Some((first, second)) => {
                if self.accept(&env) {
                    self.put(0, first);
                    self.push_raw(second);
                }
            }
            None => self.set_conditions(C1 | C2, C2),
        }
    }

    /// FPREM and FPREM1.
    pub(super) fn remainder(&mut self, op: impl Fn(F80, F80, &mut Env) -> Remainder) {
        self.set_conditions(CONDITIONS, 0);
        if !self.has(0) || !self.has(1) {
            self.underflow_to(0);
            return;
        }
        let mut env = self.env();
        let r = op(self.st(0), self.st(1), &mut env);
        if self.accept(&env) {
            self.put(0, r.value);
            let bit = |n: u8, code: u16| if r.quotient >> n & 1 != 0 { code } else { 0 };
            let partial = if r.partial { C2 } else { 0 };
            self.status = self.status & !C1 | bit(0, C1) | bit(1, C3) | bit(2, C0) | partial;
        }
    }

    /// Compares ST(0) with a value; also whether the instruction goes on, no unmasked exception having stopped it.
    #[inline]
    fn relate(&mut self, present: bool, other: &Loaded, signal: Signal) -> (Relation, bool) {
        if !present {
            return (Relation::Unordered, self.underflow());
        }
        let mut env = self.env();
        let relation = compare(self.st(0), other.value, signal, &mut env);
        if other.denormal {
            env = self.with_denormal(env);
        }
        (relation, self.accept(&env))
    }

    fn relate_st(&mut self, i: u8, signal: Signal) -> (Relation, bool) {
        let other = Loaded { value: self.st(i), denormal: false };
        self.relate(self.has(0) && self.has(i), &other, signal)
    }

    /// FCOM and FUCOM with ST(i); true unless stopped.
    pub(super) fn compare_st(&mut self, i: u8, signal: Signal) -> bool {
        let relation = self.relate_st(i, signal);
        self.set_relation(relation)
    }

    /// FCOM with memory; true unless stopped.
    pub(super) fn compare_memory<F: Format>(&mut self, operand: F) -> bool {
        let relation = self.relate(self.has(0), &Loaded::new(operand), Signal::Any);
        self.set_relation(relation)
    }

    /// FICOM; true unless stopped.
    pub(super) fn compare_integer(&mut self, operand: i64) -> bool {
        let operand = Loaded { value: x87::from_i64(operand), denormal: false };
        let relation = self.relate(self.has(0), &operand, Signal::Any);
        self.set_relation(relation)
    }

    /// FTST.
    pub(super) fn test_zero(&mut self) {
        let relation = self.relate(self.has(0), &Loaded { value: F80::ZERO, denormal: false }, Signal::Any);
        self.set_relation(relation);
    }

    /// The condition codes of a relation; the hardware sets them even when it stops there.
    fn set_relation(&mut self, (relation, goes_on): (Relation, bool)) -> bool {
        let codes = match relation {
            Relation::Less => C0,
            Relation::Equal => C3,
            Relation::Greater => 0,
            Relation::Unordered => C0 | C2 | C3,
        };
        self.set_conditions(C0 | C2 | C3, codes);
        goes_on
    }

    /// FCOMI and FUCOMI: the relation for EFLAGS; true unless stopped.
    pub(super) fn compare_eflags(&mut self, i: u8, signal: Signal) -> (Relation, bool) {
        let present = self.has(0) && self.has(i);
        // Only a stack fault touches C1 here; the manual says otherwise, the hardware does not.
        let c1 = if present { self.status & C1 } else { 0 };
        let (relation, goes_on) = self.relate_st(i, signal);
        self.status |= c1;
        (relation, goes_on)
    }

    /// FXAM.
    pub(super) fn examine(&mut self) {
        let value = self.st(0);
        let class = if !self.has(0) {
            C3 | C0
        } else {
            match value.unpack().class {
                Class::Unsupported => 0,
                Class::QNan | Class::SNan => C0,
                Class::Normal => C2,
                Class::Inf => C2 | C0,
                Class::Zero => C3,
                Class::Denormal => C3 | C2,
            }
        };
        let sign = if value.sign() { C1 } else { 0 };
        self.set_conditions(CONDITIONS, class | sign);
    }

    /// FXCH.
    #[inline]
    pub(super) fn exchange(&mut self, i: u8) {
        if !self.has(0) || !self.has(i) {
            if !self.underflow() {
                return;
            }
            for r in [0, i] {
                if !self.has(r) {
                    self.put(r, F80::INDEFINITE);
                }
            }
        } else {
            self.record(0);
        }
        let (a, b) = (self.st(0), self.st(i));
        self.put(0, b);
        self.put(i, a);
    }

    /// FCMOVcc.
    pub(super) fn move_if(&mut self, i: u8, condition: bool) {
        if !self.has(0) || !self.has(i) {
            self.underflow_to(0);
            return;
        }
        if condition {
            self.put(0, self.st(i));
        }
    }

    /// FST ST(i), FSTP ST(i).
    #[inline]
    pub(super) fn copy_to(&mut self, i: u8, pop: bool) {
        let written = if self.has(0) {
            self.record(0);
            self.put(i, self.st(0));
            true
        } else {
            self.underflow_to(i)
        };
        if pop && written {
            self.pop();
        }
    }

    /// Copies ST(0), if there is one, to ST(i), and pops in any case.
    pub(super) fn copy_unchecked(&mut self, i: u8) {
        self.record(0);
        if self.has(0) {
            self.put(i, self.st(0));
        }
        self.pop();
    }

    /// Converts ST(0) for a store; `empty` is what a masked stack underflow stores.
    #[inline(always)]
    pub(super) fn store<T>(&self, empty: T, convert: impl Fn(F80, &mut Env) -> T) -> Store<T> {
        if !self.has(0) {
            return Store { value: self.invalid_masked().then_some(empty), raised: IE | SF };
        }
        let mut env = self.env();
        let value = convert(self.st(0), &mut env);
        let raised = env.raised().bits() as u16;
        let stops = (Flags::IE | Flags::OE | Flags::UE).bits() as u16;
        Store { value: (raised & !self.control & stops == 0).then_some(value), raised }
    }

    /// Ends a store, after memory has been written.
    #[inline(always)]
    pub(super) fn conclude<T>(&mut self, store: &Store<T>, pop: bool) {
        self.record(store.raised);
        if pop && store.value.is_some() {
            self.pop();
        }
    }

    /// The status word with TOP.
    #[inline]
    pub(crate) fn status_word(&self) -> u16 {
        self.status & !(7 << 11) | u16::from(self.top & 7) << 11
    }

    /// Replaces the status word, TOP included.
    pub(crate) fn set_status_word(&mut self, word: u16) {
        self.top = (word >> 11 & 7) as u8;
        self.status = word & !(7 << 11);
        self.summarize();
    }

    /// Replaces the control word; reserved bits keep their fixed values.
    pub(crate) fn set_control_word(&mut self, word: u16) {
        self.control = word & 0x1f3f | 0x0040;
        self.summarize();
    }

    /// The two-bit tags of all registers, as FSTENV stores them.
    pub(crate) fn tag_word(&self) -> u16 {
        (0..8).fold(0, |word, p| word | self.tag(p) << (2 * p))
    }

    fn tag(&self, p: usize) -> u16 {
        const VALID: u16 = 0;
        const ZERO: u16 = 1;
        const SPECIAL: u16 = 2;
        const EMPTY: u16 = 3;
        if self.valid >> p & 1 == 0 {
            return EMPTY;
        }
        match F80::new(self.sign_exponent[p], self.significand[p]).unpack().class {
            Class::Normal => VALID,
            Class::Zero => ZERO,
            _ => SPECIAL,
        }
    }

    /// Takes from a tag word which registers are in use; the hardware finds out the rest by itself.
    pub(crate) fn set_tag_word(&mut self, word: u16) {
        self.valid = (0..8).fold(0, |valid, p| valid | u8::from(word >> (2 * p) & 3 != 3) << p);
    }
}

/// FXTRACT's results in the order [`Fpu::split`] wants them.
pub(super) fn extract(a: F80, env: &mut Env) -> Option<(F80, F80)> {
    let Extracted { exponent, significand } = crate::float::scale::fxtract(a, env);
    Some((exponent, significand))
}
