//! The high precision event timer: a 64-bit counter at 100 MHz and three timers (IA-PC HPET specification 1.0a).
//!
//! It sits between the 8254, the RTC and their interrupt lines, which the timers take over in legacy replacement mode.

use bitflags::bitflags;
use lockstep_fabric::{Cx, Device, Input, Nanos, PinId, Reg, RegionSpec, Space, TimerId, Width};
use serde::{Deserialize, Serialize};

/// Where the board puts it.
pub const DEFAULT_BASE: u64 = 0xfed0_0000;
/// The region to map on the bus.
pub const REGION: RegionSpec = RegionSpec {
    space: Space::Memory,
    index: 0,
    base: Some(DEFAULT_BASE),
    len: 0x400,
    priority: 4096,
    widest: Width::Qword,
};

/// Input pin: the 8254's channel 0, passed on to [`PIN_IRQ0`] unless replaced.
pub const PIN_PIT_IN: PinId = PinId(0);
/// Input pin: the RTC's interrupt, passed on to [`PIN_IRQ8`] unless replaced.
pub const PIN_RTC_IN: PinId = PinId(1);
/// Output pin: ISA IRQ0.
pub const PIN_IRQ0: PinId = PinId(32);
/// Output pin: ISA IRQ8.
pub const PIN_IRQ8: PinId = PinId(33);

/// Output pin to an I/O APIC input, for timers that are routed there.
pub const fn pin_gsi(gsi: u8) -> PinId {
    PinId(gsi as u16)
}

/// What the board's wiring lets timers be routed to, one bit for each I/O APIC input; on a PIIX board it is input 2.
pub const PIIX_ROUTES: u32 = 1 << 2;

const TIMERS: usize = 3;
/// Nanoseconds in a count: 100 MHz.
const COUNT: Nanos = 10;
/// The same in femtoseconds, for the capabilities register.
const PERIOD_FS: u64 = COUNT * 1_000_000;
/// Revision 1, three timers, 64 bits, legacy replacement, vendor 8086h.
const CAPABILITIES: u64 = PERIOD_FS << 32 | 0x8086 << 16 | 1 << 15 | 1 << 13 | (TIMERS as u64 - 1) << 8 | 1;

const GCAP_ID: u64 = 0x000;
const GEN_CONF: u64 = 0x010;
const GINTR_STA: u64 = 0x020;
const MAIN_CNT: u64 = 0x0f0;
const TIMER_0: u64 = 0x100;
const TIMER_STRIDE: u64 = 0x20;
const TN_CONF: u64 = 0x00;
const TN_COMPARATOR: u64 = 0x08;

bitflags! {
    /// General configuration register.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct General: u64 {
        /// The counter runs and timers interrupt.
        const ENABLE = 1 << 0;
        /// Timers 0 and 1 are IRQ0 and IRQ8.
        const LEGACY = 1 << 1;
    }

    /// Timer configuration register, but for routes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Conf: u64 {
        /// Level-triggered.
        const LEVEL = 1 << 1;
        /// The timer interrupts.
        const ENABLE = 1 << 2;
        /// Periodic.
        const PERIODIC = 1 << 3;
        /// Can be periodic.
        const CAN_BE_PERIODIC = 1 << 4;
        /// Is 64 bits wide.
        const WIDE = 1 << 5;
        /// The next write to the comparator sets it, not only the period.
        const VAL_SET = 1 << 6;
        /// Works with 32 bits.
        const NARROW = 1 << 8;
        const WRITABLE = 0b1_0100_1110;
    }
}

const ROUTE_SHIFT: u32 = 9;
const ROUTE_BITS: u64 = 0x1f;

/// What is due at the counter's present value: nothing counts down, so this is all computed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Now {
    /// A comparator equal to the counter matches at once.
    Matches,
    /// It has matched already.
    HasMatched,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Timer {
    conf: Conf,
    route: u8,
    comparator: u64,
    period: u64,
}

impl Timer {
    fn new() -> Self {
        let conf = Conf::CAN_BE_PERIODIC | Conf::WIDE;
        Self { conf, route: 0, comparator: u64::MAX, period: 0 }
    }

    fn mask(&self) -> u64 {
        if self.conf.contains(Conf::NARROW) { 0xffff_ffff } else { u64::MAX }
    }

    fn periodic(&self) -> bool {
        self.conf.contains(Conf::PERIODIC)
    }

    fn set_comparator(&mut self, value: u64, lane: u64) {
        let merge = |old: u64| (old & !lane | value & lane) & self.mask();
        let (comparator, period) = (merge(self.comparator), merge(self.period));
        let sets_value = !self.periodic() || self.conf.contains(Conf::VAL_SET);
        if self.periodic() {
            self.period = period;
        }
        if sets_value {
            self.comparator = comparator;
        }
        if lane & 1 != 0 {
            self.conf.remove(Conf::VAL_SET);
        }
    }

    /// Counts from `counter` until the next match.
    fn counts_left(&self, counter: u64, now: Now) -> u64 {
        let left = self.comparator.wrapping_sub(counter) & self.mask();
        if left == 0 && now == Now::HasMatched { self.mask() } else { left }
    }

    /// Steps if the counter has left the comparator behind (by less than half of its range).
    fn catch_up(&mut self, counter: u64) {
        let late = counter.wrapping_sub(self.comparator) & self.mask();
        if late != 0 && late <= self.mask() / 2 {
            self.step(counter);
        }
    }

    /// Moves a periodic timer's comparator beyond the counter.
    fn step(&mut self, counter: u64) {
        if self.periodic() && self.period != 0 {
            let late = counter.wrapping_sub(self.comparator) & self.mask();
            let steps = late / self.period + 1;
            self.comparator = self.comparator.wrapping_add(steps.wrapping_mul(self.period)) & self.mask();
        }
    }
}

/// The timer block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hpet {
    /// I/O APIC inputs that timers may be routed to.
    routes: u32,
    general: General,
    /// Interrupt status, one bit for each level-triggered timer.
    status: u64,
    /// The counter when it was last written or halted.
    counter: u64,
    /// When that was, if the counter runs.
    since: Nanos,
    timers: [Timer; TIMERS],
    /// Levels of the 8254's and the RTC's lines.
    legacy: [bool; 2],
}

impl Hpet {
    /// A halted timer block whose timers can be routed to the I/O APIC inputs in `routes`.
    pub fn new(routes: u32) -> Self {
        Self {
            routes,
            general: General::empty(),
            status: 0,
            counter: 0,
            since: 0,
            timers: [Timer::new(); TIMERS],
            legacy: [false; 2],
        }
    }

    fn running(&self) -> bool {
        self.general.contains(General::ENABLE)
    }

    fn counter(&self, now: Nanos) -> u64 {
        if self.running() { self.counter.wrapping_add((now - self.since) / COUNT) } else { self.counter }
    }

    fn replaces(&self) -> bool {
        self.general.contains(General::LEGACY)
    }

    fn pin(&self, at: usize) -> PinId {
        match at {
            0 if self.replaces() => PIN_IRQ0,
            1 if self.replaces() => PIN_IRQ8,
            _ => pin_gsi(self.timers[at].route),
        }
    }

    fn arm(&self, cx: &mut Cx<'_>, at: usize, now: Now) {
        let (timer, id) = (&self.timers[at], TimerId(at as u16));
        if !self.running() || !timer.conf.contains(Conf::ENABLE) {
            cx.disarm(id);
            return;
        }
        let counter = self.counter(cx.now());
        let counts = u128::from(counter.wrapping_sub(self.counter)) + u128::from(timer.counts_left(counter, now));
        match u64::try_from(counts * u128::from(COUNT) + u128::from(self.since)) {
            Ok(when) => cx.arm(id, when),
            Err(_) => cx.disarm(id),
        }
    }

    fn arm_all(&self, cx: &mut Cx<'_>, now: Now) {
        (0..TIMERS).for_each(|at| self.arm(cx, at, now));
    }

    /// A timer's condition is met.
    fn interrupt(&mut self, cx: &mut Cx<'_>, at: usize) {
        let (conf, pin) = (self.timers[at].conf, self.pin(at));
        if conf.contains(Conf::LEVEL) {
            self.status |= 1 << at;
        }
        cx.set_pin(pin, true);
        if !conf.contains(Conf::LEVEL) {
            cx.set_pin(pin, false);
        }
    }

    /// Drives the pin of a level-triggered timer by its status.
    fn drive(&self, cx: &mut Cx<'_>, at: usize) {
        let timer = &self.timers[at];
        let held = timer.conf.contains(Conf::LEVEL | Conf::ENABLE) && self.running();
        let level = held && self.status & 1 << at != 0;
        cx.set_pin(self.pin(at), level);
    }

    fn drive_legacy(&self, cx: &mut Cx<'_>) {
        cx.set_pin(PIN_IRQ0, self.legacy[0] && !self.replaces());
        cx.set_pin(PIN_IRQ8, self.legacy[1] && !self.replaces());
    }

    fn register(&self, at: u64, now: Nanos) -> u64 {
        match at {
            GCAP_ID => CAPABILITIES,
            GEN_CONF => self.general.bits(),
            GINTR_STA => self.status,
            MAIN_CNT => self.counter(now),
            _ => match self.timer_register(at) {
                Some((n, TN_CONF)) => {
                    let timer = &self.timers[n];
                    timer.conf.bits() | u64::from(timer.route) << ROUTE_SHIFT | u64::from(self.routes) << 32
                }
                Some((n, TN_COMPARATOR)) => self.timers[n].comparator,
                _ => 0,
            },
        }
    }

    fn timer_register(&self, at: u64) -> Option<(usize, u64)> {
        let from = at.checked_sub(TIMER_0)?;
        let n = (from / TIMER_STRIDE) as usize;
        (n < TIMERS).then_some((n, from % TIMER_STRIDE))
    }

    /// Writes the bits of a register that are in `lane`.
    fn set_register(&mut self, cx: &mut Cx<'_>, at: u64, value: u64, lane: u64) {
        let now = cx.now();
        let merged = self.register(at, now) & !lane | value & lane;
        match at {
            GEN_CONF => {
                self.counter = self.counter(now);
                self.since = now;
                // A line must not stay up where the new routing never lowers it.
                (0..TIMERS).for_each(|n| cx.set_pin(self.pin(n), false));
                self.general = General::from_bits_truncate(merged);
                self.drive_legacy(cx);
                (0..TIMERS).filter(|n| self.status & 1 << n != 0).for_each(|n| self.drive(cx, n));
                self.arm_all(cx, Now::Matches);
            }
            GINTR_STA => {
                let cleared = self.status & value & lane;
                self.status &= !cleared;
                (0..TIMERS).filter(|n| cleared & 1 << n != 0).for_each(|n| self.drive(cx, n));
            }
            MAIN_CNT => {
                // Software must halt the counter first; a write to a running one takes effect all the same.
                self.counter = merged;
                self.since = now;
                self.arm_all(cx, Now::Matches);
            }
            _ => match self.timer_register(at) {
                Some((n, TN_CONF)) => self.configure(cx, n, merged),
                Some((n, TN_COMPARATOR)) => {
                    self.timers[n].set_comparator(value, lane);
                    self.arm(cx, n, Now::Matches);
                }
                _ => {}
            },
        }
    }

    fn configure(&mut self, cx: &mut Cx<'_>, n: usize, value: u64) {
        cx.set_pin(self.pin(n), false);
        let timer = &mut self.timers[n];
        let keep = timer.conf - Conf::WRITABLE;
        timer.conf = keep | Conf::from_bits_truncate(value) & Conf::WRITABLE;
        let route = (value >> ROUTE_SHIFT & ROUTE_BITS) as u8;
        if self.routes & 1 << route != 0 {
            timer.route = route;
        }
        timer.comparator &= timer.mask();
        timer.period &= timer.mask();
        if !timer.conf.contains(Conf::LEVEL) {
            self.status &= !(1 << n);
        }
        if self.status & 1 << n != 0 {
            self.drive(cx, n);
        }
        // A periodic timer has gone on while nobody was told.
        let counter = self.counter(cx.now());
        self.timers[n].catch_up(counter);
        self.arm(cx, n, Now::HasMatched);
    }
}

impl Device for Hpet {
    fn kind(&self) -> &'static str {
        "hpet"
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Reg, _width: Width) -> u64 {
        self.register(at.offset & !7, cx.now()) >> (8 * (at.offset & 7))
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, width: Width, value: u64) {
        let shift = 8 * (at.offset & 7);
        self.set_register(cx, at.offset & !7, value << shift, width.mask() << shift);
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        (0..TIMERS).for_each(|n| {
            cx.set_pin(self.pin(n), false);
            cx.disarm(TimerId(n as u16));
        });
        *self = Self { legacy: self.legacy, ..Self::new(self.routes) };
        self.drive_legacy(cx);
    }

    fn timer(&mut self, cx: &mut Cx<'_>, id: TimerId) {
        let at = usize::from(id.0);
        if at >= TIMERS {
            return;
        }
        let counter = self.counter(cx.now());
        self.timers[at].step(counter);
        self.arm(cx, at, Now::HasMatched);
        self.interrupt(cx, at);
    }

    fn input(&mut self, cx: &mut Cx<'_>, input: &Input) {
        if let Input::Pin { pin, level } = input
            && let Some(line) = self.legacy.get_mut(usize::from(pin.0))
        {
            *line = *level;
            if !self.replaces() {
                cx.set_pin(if *pin == PIN_PIT_IN { PIN_IRQ0 } else { PIN_IRQ8 }, *level);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_fabric::{Bus, Clock, Cpu, DeviceId, Memory, Sink};

    /// Counts the rising edges of its input pins, by pin, and shows their levels.
    #[derive(Default, Serialize, Deserialize)]
    struct Probe {
        rises: Vec<u16>,
        high: Vec<u16>,
    }

    impl Device for Probe {
        fn kind(&self) -> &'static str {
            "probe"
        }
        fn read(&mut self, _cx: &mut Cx<'_>, at: Reg, _width: Width) -> u64 {
            let seen = if at.region == 0 { &self.rises } else { &self.high };
            seen.iter().filter(|p| u64::from(**p) == at.offset).count() as u64
        }
        fn write(&mut self, _cx: &mut Cx<'_>, _at: Reg, _width: Width, _value: u64) {}
        fn reset(&mut self, _cx: &mut Cx<'_>) {}
        fn input(&mut self, _cx: &mut Cx<'_>, input: &Input) {
            if let Input::Pin { pin, level } = input {
                self.high.retain(|p| *p != pin.0);
                if *level {
                    self.rises.push(pin.0);
                    self.high.push(pin.0);
                }
            }
        }
    }

    struct Board {
        bus: Bus,
        hpet: DeviceId,
        probe: DeviceId,
    }

    impl Board {
        fn new() -> Self {
            let mut bus = Bus::new(Memory::new(0x1000).unwrap(), Clock::new(0));
            let hpet = bus.add("hpet", Box::new(Hpet::new(PIIX_ROUTES)));
            let probe = bus.add("probe", Box::new(Probe::default()));
            bus.map(hpet, REGION);
            for pin in [pin_gsi(2), PIN_IRQ0, PIN_IRQ8] {
                bus.wire(hpet, pin, Sink::Device(probe, pin));
            }
            bus.reset();
            Self { bus, hpet, probe }
        }

        fn write(&mut self, offset: u64, value: u64) {
            self.bus.write(Space::Memory, DEFAULT_BASE + offset, Width::Qword, value, Cpu(0)).unwrap();
        }

        fn read(&mut self, offset: u64) -> u64 {
            self.bus.read(Space::Memory, DEFAULT_BASE + offset, Width::Qword, Cpu(0)).unwrap()
        }

        fn rises(&mut self, pin: PinId) -> u64 {
            let at = Reg { region: 0, offset: pin.0.into() };
            self.bus.with(self.probe, |d, cx| d.read(cx, at, Width::Qword)).unwrap()
        }

        fn high(&mut self, pin: PinId) -> bool {
            let at = Reg { region: 1, offset: pin.0.into() };
            self.bus.with(self.probe, |d, cx| d.read(cx, at, Width::Qword)).unwrap() != 0
        }
    }

    #[test]
    fn it_counts_ten_nanoseconds_at_a_time_while_enabled() {
        let mut board = Board::new();
        assert_eq!(board.read(GCAP_ID), 0x0098_9680_8086_a201);
        board.bus.advance(1000);
        assert_eq!(board.read(MAIN_CNT), 0);
        board.write(GEN_CONF, 1);
        board.bus.advance(2000);
        assert_eq!(board.read(MAIN_CNT), 100);
        board.write(GEN_CONF, 0);
        board.bus.advance(3000);
        assert_eq!(board.read(MAIN_CNT), 100);
        let half = board.bus.read(Space::Memory, DEFAULT_BASE + 4, Width::Dword, Cpu(0));
        assert_eq!(half, Ok(10_000_000));
    }

    #[test]
    fn a_one_shot_edge_fires_at_the_match() {
        let mut board = Board::new();
        board.write(GEN_CONF, 1);
        board.write(TIMER_0, 2 << 9 | 4);
        board.write(TIMER_0 + 8, 50);
        board.bus.advance(499);
        assert_eq!(board.rises(pin_gsi(2)), 0);
        board.bus.advance(500);
        assert_eq!((board.rises(pin_gsi(2)), board.high(pin_gsi(2))), (1, false));
        board.bus.advance(100_000);
        assert_eq!(board.rises(pin_gsi(2)), 1);
    }

    #[test]
    fn a_narrow_one_shot_fires_at_every_turn_of_its_32_bits() {
        let mut board = Board::new();
        board.write(GEN_CONF, 1);
        board.write(TIMER_0, 1 << 8 | 2 << 9 | 4);
        board.write(TIMER_0 + 8, 50);
        board.bus.advance(500);
        board.bus.advance(500 + (1 << 32) * 10);
        assert_eq!(board.rises(pin_gsi(2)), 2);
    }

    #[test]
    fn a_periodic_timer_takes_its_first_value_with_val_set_and_then_its_period() {
        let mut board = Board::new();
        board.write(GEN_CONF, 3);
        board.write(TIMER_0, 1 << 8 | 1 << 6 | 1 << 3 | 4);
        board.write(TIMER_0 + 8, 30);
        board.write(TIMER_0 + 8, 100);
        let times: Vec<_> = [300, 1300, 2300].into_iter().collect();
        for (n, at) in times.into_iter().enumerate() {
            board.bus.advance(at - 1);
            assert_eq!(board.rises(PIN_IRQ0), n as u64);
            board.bus.advance(at);
            assert_eq!(board.rises(PIN_IRQ0), n as u64 + 1);
        }
    }

    #[test]
    fn a_level_stays_until_its_status_is_cleared() {
        let mut board = Board::new();
        board.write(GEN_CONF, 1);
        board.write(TIMER_0 + 0x20, 2 << 9 | 4 | 2);
        board.write(TIMER_0 + 0x28, 50);
        board.bus.advance(500);
        assert_eq!((board.high(pin_gsi(2)), board.read(GINTR_STA)), (true, 2));
        board.write(GINTR_STA, 2);
        assert_eq!((board.high(pin_gsi(2)), board.read(GINTR_STA)), (false, 0));
    }

    #[test]
    fn legacy_replacement_cuts_off_the_8254_and_the_rtc() {
        let mut board = Board::new();
        board.bus.drive(board.hpet, PIN_PIT_IN, true);
        assert!(board.high(PIN_IRQ0));
        board.write(GEN_CONF, 2);
        assert!(!board.high(PIN_IRQ0));
        board.bus.drive(board.hpet, PIN_RTC_IN, true);
        assert!(!board.high(PIN_IRQ8));
        board.write(GEN_CONF, 0);
        assert!(board.high(PIN_IRQ0) && board.high(PIN_IRQ8));
    }

    #[test]
    fn routes_that_the_board_does_not_have_are_not_taken() {
        let mut board = Board::new();
        board.write(TIMER_0, 2 << 9);
        board.write(TIMER_0, 20 << 9);
        assert_eq!(board.read(TIMER_0) >> 9 & 0x1f, 2);
        assert_eq!(board.read(TIMER_0) >> 32, u64::from(PIIX_ROUTES));
    }
}
