//! The 8254 interval timer with system control port B (61h), as in PIIX3.
//!
//! Source: Intel 8254 data sheet (231164). Counts are functions of guest time, worked out when somebody looks; only
//! counter 0, whose output interrupts, keeps a timer, armed for its next edge.
//!
//! Output pin 0 is counter 0's OUT (IRQ0).

mod counter;

use crate::ports::ports;
use bitflags::bitflags;
use counter::{Access, Counter};
use lockstep_fabric::{Cx, Device, Nanos, PinId, Reg, RegionSpec, TimerId, Width};
use serde::{Deserialize, Serialize};

/// Counter 0's output.
pub const OUT0: PinId = PinId(0);

/// Input clock of the counters in Hz.
pub const FREQUENCY: u64 = 1_193_182;

const COUNTERS: u8 = 0;
const PORT_B: u8 = 1;
const EDGE: TimerId = TimerId(0);
/// A tick may span several edges; beyond this many the rest are not told apart.
const EDGES_PER_TICK: u32 = 64;
/// Clocks between two toggles of the refresh bit: counter 1 as PCs program it.
const REFRESH_CLOCKS: i64 = 18;

const CONTROL: u64 = 3;
const READ_BACK: u8 = 3;
const READ_BACK_NO_COUNT: u8 = 1 << 5;
const READ_BACK_NO_STATUS: u8 = 1 << 4;

bitflags! {
    /// System control port B.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    struct PortB: u8 {
        const TIMER2_GATE = 1 << 0;
        const SPEAKER_DATA = 1 << 1;
        const SERR_DISABLE = 1 << 2;
        const IOCHK_DISABLE = 1 << 3;
        const REFRESH = 1 << 4;
        const TIMER2_OUT = 1 << 5;
        const WRITABLE = 0x0f;
    }
}

/// Whole counter clocks in `ns`.
fn clocks(ns: Nanos) -> i64 {
    (u128::from(ns) * u128::from(FREQUENCY) / 1_000_000_000) as i64
}

/// The first nanosecond at which `clock` counter clocks have passed.
fn nanos(clock: i64) -> Nanos {
    let clock = clock.max(0) as u128;
    (clock * 1_000_000_000).div_ceil(u128::from(FREQUENCY)) as Nanos
}

/// The interval timer and port 61h.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pit {
    counters: [Counter; 3],
    port_b: PortB,
    /// The clock up to which counter 0's edges have been told.
    told: i64,
}

impl Default for Pit {
    fn default() -> Self {
        Self {
            counters: [Counter::new(true), Counter::new(true), Counter::new(false)],
            port_b: PortB::empty(),
            told: 0,
        }
    }
}

impl Pit {
    /// A timer as after power-on: all counters run in mode 3 with the longest period.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counters at 40h, system control port B at 61h.
    pub fn regions() -> [RegionSpec; 2] {
        [ports(COUNTERS, 0x40, 4), ports(PORT_B, 0x61, 1)]
    }

    /// Tells the edges of counter 0 up to now.
    fn tell(&mut self, cx: &mut Cx<'_>) {
        let now = clocks(cx.now());
        for _ in 0..EDGES_PER_TICK {
            match self.counters[0].next_edge(self.told) {
                Some(edge) if edge <= now => {
                    self.told = edge;
                    let level = self.counters[0].out(edge);
                    cx.set_pin(OUT0, level);
                }
                _ => break,
            }
        }
        self.told = now;
    }

    /// After something changed: drives counter 0's output as it is now and arms for its next edge.
    fn follow(&mut self, cx: &mut Cx<'_>) {
        let level = self.counters[0].out(self.told);
        cx.set_pin(OUT0, level);
        match self.counters[0].next_edge(self.told) {
            Some(edge) => cx.arm(EDGE, nanos(edge)),
            None => cx.disarm(EDGE),
        }
    }

    fn write_control(&mut self, now: i64, value: u8) {
        let select = value >> 6;
        if select == READ_BACK {
            for (i, counter) in self.counters.iter_mut().enumerate() {
                if value & (2 << i) != 0 {
                    if value & READ_BACK_NO_COUNT == 0 {
                        counter.latch_count(now);
                    }
                    if value & READ_BACK_NO_STATUS == 0 {
                        counter.latch_status(now);
                    }
                }
            }
            return;
        }
        let counter = &mut self.counters[usize::from(select)];
        match Access::from_control(value) {
            Some(access) => counter.program(access, (value >> 1) & 7, value & 1 != 0),
            None => counter.latch_count(now),
        }
    }

    fn read_port_b(&mut self, now: i64) -> PortB {
        let mut value = self.port_b;
        value.set(PortB::REFRESH, (now / REFRESH_CLOCKS) & 1 != 0);
        value.set(PortB::TIMER2_OUT, self.counters[2].out(now));
        value
    }
}

impl Device for Pit {
    fn kind(&self) -> &'static str {
        "isa-pit"
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Reg, _width: Width) -> u64 {
        let now = clocks(cx.now());
        if at.region == PORT_B {
            return self.read_port_b(now).bits().into();
        }
        match self.counters.get_mut(at.offset as usize) {
            Some(counter) => counter.read(now).into(),
            None => 0xff,
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, _width: Width, value: u64) {
        let now = clocks(cx.now());
        self.tell(cx);
        if at.region == PORT_B {
            self.port_b = PortB::from_bits_truncate(value as u8) & PortB::WRITABLE;
            self.counters[2].set_gate(now, self.port_b.contains(PortB::TIMER2_GATE));
        } else if at.offset == CONTROL {
            self.write_control(now, value as u8);
        } else if let Some(counter) = self.counters.get_mut(at.offset as usize) {
            counter.write(now, value as u8);
        }
        self.follow(cx);
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        let now = clocks(cx.now());
        *self = Self { told: now, ..Self::default() };
        for counter in &mut self.counters {
            counter.start_longest(now);
        }
        self.follow(cx);
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _id: TimerId) {
        self.tell(cx);
        self.follow(cx);
    }
}

#[cfg(test)]
mod tests;
