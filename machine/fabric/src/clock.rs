//! Guest time: ticks that are counted, never read from the host, and the deadlines hung on them.

use crate::device::{DeviceId, TimerId};
use serde::{Deserialize, Serialize};

/// Instructions retired plus ticks skipped while every vCPU was halted.
pub type Tick = u64;
/// Guest nanoseconds since power-on: the tick count shifted left by the clock's shift.
pub type Nanos = u64;

/// No deadline is armed.
pub const NEVER: Tick = Tick::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Deadline {
    at: Tick,
    /// Ties fire in the order in which they were armed.
    order: u64,
    device: DeviceId,
    timer: TimerId,
}

/// The only clock that the guest can see.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Clock {
    now: Tick,
    shift: u32,
    armed: Vec<Deadline>,
    next: Tick,
    order: u64,
}

impl Clock {
    /// A clock at tick zero; one tick lasts `2^shift` nanoseconds of guest time.
    pub fn new(shift: u32) -> Self {
        Self { now: 0, shift, armed: Vec::new(), next: NEVER, order: 0 }
    }

    /// The current tick.
    #[inline]
    pub fn now(&self) -> Tick {
        self.now
    }

    /// Guest time of the current tick.
    #[inline]
    pub fn now_ns(&self) -> Nanos {
        self.nanos(self.now)
    }

    /// Guest time of `tick`.
    #[inline]
    pub fn nanos(&self, tick: Tick) -> Nanos {
        tick.wrapping_shl(self.shift)
    }

    /// The tick's length as a power of two of nanoseconds.
    #[inline]
    pub fn shift(&self) -> u32 {
        self.shift
    }

    /// Moves the clock to `tick`, which must not lie in the past. Fires nothing: see [`Clock::expired`].
    #[inline]
    pub fn set_now(&mut self, tick: Tick) {
        debug_assert!(tick >= self.now, "time runs forward: {tick} < {}", self.now);
        self.now = tick;
    }

    /// The tick of the earliest armed deadline, or [`NEVER`].
    #[inline]
    pub fn next_deadline(&self) -> Tick {
        self.next
    }

    /// Arms (or moves) a device's timer to fire at the first tick at or after `at` nanoseconds.
    pub fn arm(&mut self, device: DeviceId, timer: TimerId, at: Nanos) {
        self.armed.retain(|d| (d.device, d.timer) != (device, timer));
        let up = (1u64 << self.shift) - 1;
        let at = (at.saturating_add(up) >> self.shift).max(self.now);
        self.armed.push(Deadline { at, order: self.order, device, timer });
        self.order += 1;
        self.find_next();
    }

    /// Disarms a device's timer, if armed.
    pub fn disarm(&mut self, device: DeviceId, timer: TimerId) {
        self.armed.retain(|d| (d.device, d.timer) != (device, timer));
        self.find_next();
    }

    /// Disarms all timers of a device.
    pub(crate) fn forget(&mut self, device: DeviceId) {
        self.armed.retain(|deadline| deadline.device != device);
        self.find_next();
    }

    /// Takes the earliest deadline that is due, if any.
    pub fn expired(&mut self) -> Option<(DeviceId, TimerId)> {
        if self.next > self.now {
            return None;
        }
        let at = self.armed.iter().enumerate().min_by_key(|(_, d)| (d.at, d.order)).map(|(i, _)| i)?;
        let due = self.armed.swap_remove(at);
        self.find_next();
        Some((due.device, due.timer))
    }

    fn find_next(&mut self) {
        self.next = self.armed.iter().map(|d| d.at).min().unwrap_or(NEVER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: DeviceId = DeviceId(1);
    const B: DeviceId = DeviceId(2);

    #[test]
    fn deadlines_fire_in_order_of_time_then_of_arming() {
        let mut clock = Clock::new(0);
        clock.arm(A, TimerId(0), 20);
        clock.arm(B, TimerId(0), 10);
        clock.arm(A, TimerId(1), 10);
        assert_eq!(clock.next_deadline(), 10);
        assert_eq!(clock.expired(), None);
        clock.set_now(30);
        let fired: Vec<_> = std::iter::from_fn(|| clock.expired()).collect();
        assert_eq!(fired, [(B, TimerId(0)), (A, TimerId(1)), (A, TimerId(0))]);
        assert_eq!(clock.next_deadline(), NEVER);
    }

    #[test]
    fn arming_again_moves_the_deadline() {
        let mut clock = Clock::new(0);
        clock.arm(A, TimerId(0), 20);
        clock.arm(A, TimerId(0), 40);
        assert_eq!(clock.next_deadline(), 40);
        clock.disarm(A, TimerId(0));
        assert_eq!(clock.next_deadline(), NEVER);
    }

    #[test]
    fn a_deadline_between_ticks_fires_at_the_later_one() {
        let mut clock = Clock::new(3);
        clock.arm(A, TimerId(0), 17);
        assert_eq!(clock.next_deadline(), 3);
        assert_eq!(clock.nanos(3), 24);
    }
}
