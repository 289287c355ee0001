//! One counter of the 8254, as a function of the clocks that have passed.

use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// Which bytes of a count are written and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Access {
    Low,
    High,
    LowThenHigh,
}

impl Access {
    /// From a control word; `None` is the counter latch command.
    pub(super) fn from_control(value: u8) -> Option<Self> {
        match (value >> 4) & 3 {
            0 => None,
            1 => Some(Self::Low),
            2 => Some(Self::High),
            _ => Some(Self::LowThenHigh),
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::Low => 1,
            Self::High => 2,
            Self::LowThenHigh => 3,
        }
    }
}

/// A count in the counting element.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Load {
    count: NonZeroU32,
    /// The clock at which the element held `count`. Bent back when a new count starts in the middle of a square wave.
    at: i64,
    /// OUT until then.
    before: bool,
}

impl Load {
    fn count(self) -> i64 {
        self.count.get().into()
    }
}

/// A count that enters the counting element at the end of the current cycle, or half cycle of a square wave.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Next {
    boundary: i64,
    load: Load,
}

/// One counter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Counter {
    /// The mode as programmed: 6 and 7 mean 2 and 3.
    mode: u8,
    bcd: bool,
    access: Access,
    gate: bool,
    /// The count register: 1 to 65,536 (10,000 in BCD).
    register: NonZeroU32,
    /// The count register has not yet reached the counting element (NULL COUNT).
    waiting: bool,
    element: Option<Load>,
    /// What a periodic counter goes on with.
    next: Option<Next>,
    /// Clocks counted when the gate stopped the element.
    stopped: Option<i64>,
    /// First byte of a count being written.
    low: Option<u8>,
    /// The next read of a two-byte count gives its high byte.
    reads_high: bool,
    latched: Option<u16>,
    latched_status: Option<u8>,
}

/// What a count of zero stands for.
const LONGEST: NonZeroU32 = NonZeroU32::new(0x1_0000).unwrap();
const LONGEST_BCD: NonZeroU32 = NonZeroU32::new(10_000).unwrap();

const ONE_SHOT: u8 = 1;
const RATE: u8 = 2;
const SQUARE: u8 = 3;
const SOFTWARE_STROBE: u8 = 4;

const STATUS_OUT: u8 = 1 << 7;
const STATUS_NULL_COUNT: u8 = 1 << 6;

impl Counter {
    /// A counter that has not been programmed.
    pub(super) fn new(gate: bool) -> Self {
        Self {
            mode: SQUARE,
            bcd: false,
            access: Access::LowThenHigh,
            gate,
            register: LONGEST,
            waiting: true,
            element: None,
            next: None,
            stopped: (!gate).then_some(0),
            low: None,
            reads_high: false,
            latched: None,
            latched_status: None,
        }
    }

    /// Starts the longest period, as after power-on.
    pub(super) fn start_longest(&mut self, now: i64) {
        self.set_count(now, 0);
    }

    fn effective_mode(&self) -> u8 {
        if self.mode >= 6 { self.mode - 4 } else { self.mode }
    }

    fn is_periodic(&self) -> bool {
        matches!(self.effective_mode(), RATE | SQUARE)
    }

    fn is_triggered(&self) -> bool {
        matches!(self.effective_mode(), ONE_SHOT | 5)
    }

    /// OUT of a counter that does not count: low in mode 0 only.
    fn idle_out(&self) -> bool {
        self.mode != 0
    }

    fn modulus(&self) -> i64 {
        if self.bcd { LONGEST_BCD } else { LONGEST }.get().into()
    }

    /// A control word.
    pub(super) fn program(&mut self, access: Access, mode: u8, bcd: bool) {
        *self = Self { mode, bcd, access, register: self.register, ..Self::new(self.gate) };
    }

    /// Writes a byte of the count.
    pub(super) fn write(&mut self, now: i64, value: u8) {
        match self.access {
            Access::Low => self.set_count(now, value.into()),
            Access::High => self.set_count(now, u16::from(value) << 8),
            Access::LowThenHigh => match self.low.take() {
                Some(low) => self.set_count(now, u16::from_le_bytes([low, value])),
                None => {
                    self.low = Some(value);
                    if self.mode == 0 {
                        self.element = None;
                        self.waiting = true;
                    }
                }
            },
        }
    }

    fn set_count(&mut self, now: i64, raw: u16) {
        self.settle(now);
        let count = if self.bcd { from_bcd(raw) } else { raw.into() };
        self.register = NonZeroU32::new(count).unwrap_or(if self.bcd { LONGEST_BCD } else { LONGEST });
        self.waiting = true;
        match self.element {
            Some(load) if self.is_periodic() && load.at <= now => {
                if self.stopped.is_none() {
                    self.queue(now, load);
                }
            }
            _ if self.is_triggered() => {}
            _ => self.load(now + 1),
        }
    }

    /// Lets the count register take over at the end of the current (half) cycle.
    fn queue(&mut self, now: i64, load: Load) {
        let phase = (now - load.at) % load.count();
        let half = high_clocks(load.count());
        let is_half = self.effective_mode() == SQUARE && phase < half;
        let boundary = now - phase + if is_half { half } else { load.count() };
        let bend = if is_half { high_clocks(self.register.get().into()) } else { 0 };
        let load = Load { count: self.register, at: boundary - bend, before: true };
        self.next = Some(Next { boundary, load });
    }

    /// Makes a queued count current once its time has come.
    fn settle(&mut self, now: i64) {
        if let Some(next) = self.next
            && next.boundary <= now
        {
            self.element = Some(next.load);
            self.next = None;
            self.waiting = false;
        }
    }

    fn load(&mut self, at: i64) {
        let before = if self.effective_mode() == ONE_SHOT { self.out(at - 1) } else { self.idle_out() };
        self.element = Some(Load { count: self.register, at, before });
        self.next = None;
        self.waiting = false;
        self.stopped = (!self.gate && !self.is_triggered()).then_some(0);
    }

    /// The gate input.
    pub(super) fn set_gate(&mut self, now: i64, gate: bool) {
        if self.gate == gate {
            return;
        }
        self.settle(now);
        self.gate = gate;
        if self.is_triggered() {
            if gate {
                self.load(now + 1);
            }
            return;
        }
        let Some(load) = self.element else { return };
        if !gate {
            self.next = None;
            self.stopped = Some((now - load.at).max(0));
        } else if self.is_periodic() {
            self.load(now + 1);
        } else {
            let counted = self.stopped.take().unwrap_or(0);
            let at = if counted == 0 { load.at.max(now) } else { now - counted };
            self.element = Some(Load { at, ..load });
        }
    }

    /// What is in the counting element at `clock`, which no write may lie before.
    fn at(&self, clock: i64) -> Option<Load> {
        match self.next {
            Some(next) if next.boundary <= clock => Some(next.load),
            _ => self.element,
        }
    }

    /// Clocks counted since `load`.
    fn counted(&self, clock: i64, load: Load) -> i64 {
        self.stopped.unwrap_or((clock - load.at).max(0))
    }

    /// OUT at `clock`.
    pub(super) fn out(&self, clock: i64) -> bool {
        let Some(load) = self.at(clock) else { return self.idle_out() };
        if clock < load.at && self.stopped.is_none() {
            return load.before;
        }
        let counted = self.counted(clock, load);
        match self.effective_mode() {
            0 | ONE_SHOT => counted >= load.count(),
            RATE => self.stopped.is_some() || load.count() == 1 || counted % load.count() != load.count() - 1,
            SQUARE => self.stopped.is_some() || counted % load.count() < high_clocks(load.count()),
            _ => counted != load.count(),
        }
    }

    /// The first clock after `after` at which OUT may change, if it will without anybody's doing.
    pub(super) fn next_edge(&self, after: i64) -> Option<i64> {
        let edge = self.at(after).and_then(|load| self.next_edge_of(load, after));
        match self.next {
            Some(next) if next.boundary > after => Some(edge.map_or(next.boundary, |e| e.min(next.boundary))),
            _ => edge,
        }
    }

    fn next_edge_of(&self, load: Load, after: i64) -> Option<i64> {
        if self.stopped.is_some() {
            return None;
        }
        if after < load.at {
            return Some(load.at);
        }
        let counted = after - load.at;
        let phase = counted % load.count();
        let cycle = after - phase;
        match self.effective_mode() {
            RATE | SQUARE if load.count() == 1 => None,
            RATE if phase < load.count() - 1 => Some(cycle + load.count() - 1),
            SQUARE if phase < high_clocks(load.count()) => Some(cycle + high_clocks(load.count())),
            RATE | SQUARE => Some(cycle + load.count()),
            _ if counted < load.count() => Some(load.at + load.count()),
            SOFTWARE_STROBE.. if counted == load.count() => Some(load.at + load.count() + 1),
            _ => None,
        }
    }

    /// The counting element as it reads.
    fn value(&self, now: i64) -> u16 {
        let Some(load) = self.at(now) else { return self.encode(self.register.get().into()) };
        let counted = self.counted(now, load);
        let phase = counted % load.count();
        let value = match self.effective_mode() {
            RATE => load.count() - phase,
            SQUARE => {
                let half = high_clocks(load.count());
                let steps = if phase < half { phase } else { phase - half };
                (load.count() & !1) - 2 * steps
            }
            _ => load.count() - counted,
        };
        self.encode(value)
    }

    fn encode(&self, value: i64) -> u16 {
        let value = value.rem_euclid(self.modulus());
        if self.bcd { to_bcd(value) } else { value as u16 }
    }

    /// The counter latch command; a count latched before stays.
    pub(super) fn latch_count(&mut self, now: i64) {
        if self.latched.is_none() {
            self.latched = Some(self.value(now));
        }
    }

    /// The read-back command's status; one latched before stays.
    pub(super) fn latch_status(&mut self, now: i64) {
        self.settle(now);
        if self.latched_status.is_some() {
            return;
        }
        let mut status = self.access.bits() << 4 | self.mode << 1 | u8::from(self.bcd);
        if self.out(now) {
            status |= STATUS_OUT;
        }
        if self.waiting || self.element.is_none_or(|load| load.at > now) {
            status |= STATUS_NULL_COUNT;
        }
        self.latched_status = Some(status);
    }

    /// Reads the next byte of what is latched, or of the running count.
    pub(super) fn read(&mut self, now: i64) -> u8 {
        if let Some(status) = self.latched_status.take() {
            return status;
        }
        let [low, high] = self.latched.unwrap_or_else(|| self.value(now)).to_le_bytes();
        let takes_high = match self.access {
            Access::Low => false,
            Access::High => true,
            Access::LowThenHigh => {
                self.reads_high = !self.reads_high;
                !self.reads_high
            }
        };
        if takes_high || self.access == Access::Low {
            self.latched = None;
        }
        if takes_high { high } else { low }
    }
}

/// Clocks per cycle that a square wave is high.
fn high_clocks(count: i64) -> i64 {
    (count + 1) / 2
}

fn from_bcd(raw: u16) -> u32 {
    (0..4).rev().fold(0, |value, digit| value * 10 + u32::from((raw >> (4 * digit)) & 0xf)) % 10_000
}

fn to_bcd(value: i64) -> u16 {
    [1000, 100, 10, 1].iter().fold(0, |raw, power| (raw << 4) | (value / power % 10) as u16)
}
