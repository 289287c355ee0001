//! The APIC timer: a count computed from guest time, never counted down.

use super::registers::TimerMode;
use lockstep_fabric::Nanos;
use serde::{Deserialize, Serialize};

/// The timer's registers. It counts at 1 GHz, so before division one count is one nanosecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// Initial count; zero while stopped.
    pub initial: u32,
    /// Divide configuration register.
    pub divide: u32,
    /// When the count was (or, after a change of divisor, would have been) loaded. May wrap below zero.
    started: Nanos,
    /// IA32_TSC_DEADLINE; zero while disarmed. The TSC counts guest nanoseconds.
    pub deadline: u64,
}

impl Timer {
    /// The bits of the divide configuration register.
    pub const DIVIDE_BITS: u32 = 0b1011;

    /// By how much the input clock is divided: 2, 4, .. 128, 1 for 0..7 in bits 3,1,0.
    fn divisor(&self) -> u64 {
        let code = (self.divide & 3) | (self.divide >> 1) & 4;
        1 << ((code + 1) & 7)
    }

    fn period(&self) -> u64 {
        u64::from(self.initial) * self.divisor()
    }

    /// Starts counting down from `initial`.
    pub fn load(&mut self, initial: u32, now: Nanos) {
        self.initial = initial;
        self.started = now;
    }

    /// Changes the divisor; the current count stays as it is.
    pub fn set_divide(&mut self, divide: u32, mode: TimerMode, now: Nanos) {
        let gone = u64::from(self.initial) - u64::from(self.current(mode, now));
        self.divide = divide & Self::DIVIDE_BITS;
        self.started = now.wrapping_sub(gone * self.divisor());
    }

    /// The current count register.
    pub fn current(&self, mode: TimerMode, now: Nanos) -> u32 {
        if self.initial == 0 {
            return 0;
        }
        let counts = now.wrapping_sub(self.started) / self.divisor();
        let initial = u64::from(self.initial);
        match mode {
            TimerMode::OneShot => initial.saturating_sub(counts) as u32,
            TimerMode::Periodic => (initial - counts % initial) as u32,
            TimerMode::TscDeadline | TimerMode::Reserved => 0,
        }
    }

    /// When the timer will next run out.
    pub fn next_expiry(&self, mode: TimerMode, now: Nanos) -> Option<Nanos> {
        if mode == TimerMode::TscDeadline {
            return (self.deadline != 0).then_some(self.deadline);
        }
        let (period, gone) = (self.period(), now.wrapping_sub(self.started));
        if period == 0 {
            return None;
        }
        match mode {
            TimerMode::OneShot => (gone < period).then(|| self.started.wrapping_add(period)),
            TimerMode::Periodic => Some(self.started.wrapping_add((gone / period + 1) * period)),
            TimerMode::TscDeadline | TimerMode::Reserved => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_divide_configuration_is_the_manuals() {
        let by = |divide| Timer { divide, ..Timer::default() }.divisor();
        assert_eq!([0, 1, 2, 3, 8, 9, 10, 11].map(by), [2, 4, 8, 16, 32, 64, 128, 1]);
    }

    #[test]
    fn a_change_of_divisor_keeps_the_current_count() {
        let mut timer = Timer { divide: 0b1011, ..Timer::default() };
        timer.load(100, 1000);
        assert_eq!(timer.current(TimerMode::OneShot, 1040), 60);
        timer.set_divide(0, TimerMode::OneShot, 1040);
        assert_eq!(timer.current(TimerMode::OneShot, 1040), 60);
        assert_eq!(timer.next_expiry(TimerMode::OneShot, 1040), Some(1160));
    }

    #[test]
    fn a_periodic_timer_knows_its_next_expiry_however_late_it_is_asked() {
        let mut timer = Timer { divide: 0b1011, ..Timer::default() };
        timer.load(100, 0);
        assert_eq!(timer.next_expiry(TimerMode::Periodic, 100), Some(200));
        assert_eq!(timer.next_expiry(TimerMode::Periodic, 1250), Some(1300));
        assert_eq!(timer.current(TimerMode::Periodic, 1250), 50);
    }
}
