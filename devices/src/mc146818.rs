//! The MC146818 real-time clock with 128 bytes of CMOS memory, at ports 70h and 71h.
//!
//! Source: Motorola MC146818A data sheet; Dallas DS12887 for the divider's start. The time registers are bytes in
//! memory as the guest left them; when somebody looks, the updates that were due since the last look are made up for.
//!
//! Output pin 0 is the interrupt request (IRQ8). Output pin 1 is high while the guest masks NMI (port 70h, bit 7).

mod calendar;

use crate::ports::ports;
use bitflags::bitflags;
use calendar::Calendar;
use lockstep_fabric::{
    Cx, Device, Input, MachineRequest, Nanos, Notice, PinId, Reg, RegionSpec, TimerId, WakeReason, Width,
};
use serde::{Deserialize, Serialize};

/// The interrupt request.
pub const IRQ: PinId = PinId(0);
/// High while NMI is masked.
pub const NMI_MASK: PinId = PinId(1);
/// Input pin: rises when the machine wakes up from a sleep, which firmware learns from the byte at [`SHUTDOWN`].
pub const PIN_RESUME: PinId = PinId(0);

const PERIODIC: TimerId = TimerId(0);
const UPDATE: TimerId = TimerId(1);

const SECOND: Nanos = 1_000_000_000;
/// The update-in-progress bit rises this long before the registers change: 244 us of warning and 1984 us of update.
const UPDATE_WARNING: Nanos = 2_228_000;
/// From the divider's release to the first update.
const DIVIDER_START: Nanos = SECOND / 2;
/// The divider's crystal, in Hz.
const CRYSTAL: u128 = 32_768;

/// Bytes of memory, registers included.
pub const CMOS_LEN: usize = 128;

const SECONDS: u8 = 0x00;
const SECONDS_ALARM: u8 = 0x01;
const MINUTES: u8 = 0x02;
const MINUTES_ALARM: u8 = 0x03;
const HOURS: u8 = 0x04;
const HOURS_ALARM: u8 = 0x05;
const WEEKDAY: u8 = 0x06;
const DAY: u8 = 0x07;
const MONTH: u8 = 0x08;
const YEAR: u8 = 0x09;
const REG_A: u8 = 0x0a;
const REG_B: u8 = 0x0b;
const REG_C: u8 = 0x0c;
const REG_D: u8 = 0x0d;
/// The century as IBM's AT keeps it, always in BCD.
const CENTURY: u8 = 0x32;
/// Why the processor was reset, for firmware.
pub const SHUTDOWN: u8 = 0x0f;
/// In [`SHUTDOWN`]: to go on after a sleep (as QEMU has it).
pub const SHUTDOWN_RESUME: u8 = 0xfe;
/// Where firmware finds how many processors there are beside the first.
pub const PROCESSORS: u8 = 0x5f;
/// Where the PS/2 keeps the century: the same byte here.
const CENTURY_PS2: u8 = 0x37;

/// An alarm byte with both high bits set matches anything.
const ALARM_ANY: u8 = 0xc0;
/// The hour's afternoon bit in 12-hour mode.
const PM: u8 = 0x80;
const A_UIP: u8 = 0x80;
const A_DIVIDER_RESET: u8 = 0x60;
const A_RATE: u8 = 0x0f;
/// 32.768 kHz crystal, 1024 Hz.
const A_POWER_ON: u8 = 0x26;
/// The battery is good.
const D_VRT: u8 = 0x80;

bitflags! {
    /// Register B.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct B: u8 {
        const DSE = 1 << 0;
        const HOURS_24 = 1 << 1;
        const BINARY = 1 << 2;
        const SQWE = 1 << 3;
        const UIE = 1 << 4;
        const AIE = 1 << 5;
        const PIE = 1 << 6;
        const SET = 1 << 7;
    }

    /// Register C. The flags lie where their enables lie in register B.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct C: u8 {
        const UF = 1 << 4;
        const AF = 1 << 5;
        const PF = 1 << 6;
        const IRQF = 1 << 7;
    }
}

/// How the clock starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RtcConfig {
    /// The date at guest time zero: seconds since 1970-01-01T00:00:00 in the time zone that the guest is to see.
    pub base: i64,
    /// CMOS bytes to start with: address and value.
    pub cmos: Vec<(u8, u8)>,
    /// CMOS bytes that the first reset after power-on sets.
    pub after_first_reset: Vec<(u8, u8)>,
}

/// The clock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rtc {
    index: u8,
    nmi_masked: bool,
    /// Clock, alarm and general memory; the places of registers A to D are unused.
    ram: Vec<u8>,
    a: u8,
    b: B,
    c: C,
    /// What to add to guest time so that seconds end with the divider's.
    phase: Nanos,
    /// Whole seconds of the divider up to which the clock registers are current.
    updated: u64,
    /// Whole periods of the periodic interrupt that have been seen.
    periods: u64,
    /// The date at guest time zero, had nobody set the clock.
    base: i64,
    /// The reset at power-on has been.
    powered: bool,
    /// What the next reset sets.
    at_reset: Vec<(u8, u8)>,
}

impl Rtc {
    /// A clock that shows the configured date at guest time zero.
    pub fn new(config: &RtcConfig) -> Self {
        let mut rtc = Self {
            index: 0,
            nmi_masked: false,
            ram: vec![0; CMOS_LEN],
            a: A_POWER_ON,
            b: B::HOURS_24,
            c: C::empty(),
            phase: 0,
            updated: 0,
            periods: 0,
            base: config.base,
            powered: false,
            at_reset: config.after_first_reset.clone(),
        };
        rtc.show(Calendar::from_epoch(config.base));
        for (address, value) in &config.cmos {
            rtc.set_cmos(*address, *value);
        }
        rtc
    }

    /// Ports 70h (index) and 71h (data).
    pub fn regions() -> [RegionSpec; 1] {
        [ports(0, 0x70, 2)]
    }

    /// Sets a byte of CMOS memory, as a board does to describe itself. Addresses 00h to 0Dh belong to the clock and are
    /// left alone.
    pub fn set_cmos(&mut self, address: u8, value: u8) {
        if address > REG_D {
            self.set(address, value);
        }
    }

    /// A byte of CMOS memory as stored.
    pub fn cmos(&self, address: u8) -> u8 {
        self.ram.get(usize::from(address)).copied().unwrap_or(0xff)
    }

    fn set(&mut self, address: u8, value: u8) {
        if let Some(byte) = self.ram.get_mut(usize::from(address)) {
            *byte = value;
        }
    }

    fn encode(&self, value: u8) -> u8 {
        if self.b.contains(B::BINARY) { value } else { to_bcd(value) }
    }

    fn decode(&self, raw: u8) -> u8 {
        if self.b.contains(B::BINARY) { raw } else { from_bcd(raw) }
    }

    fn encode_hour(&self, hour: u8) -> u8 {
        if self.b.contains(B::HOURS_24) {
            return self.encode(hour);
        }
        self.encode((hour + 11) % 12 + 1) | if hour >= 12 { PM } else { 0 }
    }

    fn decode_hour(&self, raw: u8) -> u8 {
        if self.b.contains(B::HOURS_24) {
            return self.decode(raw);
        }
        self.decode(raw & !PM) % 12 + if raw & PM != 0 { 12 } else { 0 }
    }

    /// Puts a date into the clock registers.
    fn show(&mut self, date: Calendar) {
        let fields = [
            (SECONDS, self.encode(date.second)),
            (MINUTES, self.encode(date.minute)),
            (HOURS, self.encode_hour(date.hour)),
            (WEEKDAY, self.encode(date.weekday)),
            (DAY, self.encode(date.day)),
            (MONTH, self.encode(date.month)),
            (YEAR, self.encode((date.year.rem_euclid(100)) as u8)),
            (CENTURY, to_bcd((date.year.div_euclid(100)).rem_euclid(100) as u8)),
        ];
        for (address, value) in fields {
            self.set(address, value);
        }
    }

    /// The date in the clock registers, whatever the guest put there.
    fn shown(&self) -> Calendar {
        let field = |address| self.decode(self.cmos(address));
        Calendar {
            second: field(SECONDS),
            minute: field(MINUTES),
            hour: self.decode_hour(self.cmos(HOURS)),
            weekday: field(WEEKDAY),
            day: field(DAY),
            month: field(MONTH),
            year: i64::from(from_bcd(self.cmos(CENTURY))) * 100 + i64::from(field(YEAR)),
        }
    }

    fn divider_runs(&self) -> bool {
        self.a & A_DIVIDER_RESET != A_DIVIDER_RESET
    }

    fn divider(&self, now: Nanos) -> Nanos {
        now.wrapping_add(self.phase)
    }

    /// Crystal cycles in a period of the periodic interrupt, if it is on.
    fn period(&self) -> Option<u64> {
        match self.a & A_RATE {
            0 => None,
            // The two slowest settings of the prescaler are reached again from the top.
            rate @ 1..=2 => Some(1 << (rate + 6)),
            rate => Some(1 << (rate - 1)),
        }
    }

    fn periods_until(&self, now: Nanos) -> u64 {
        let cycles = u128::from(self.divider(now)) * CRYSTAL / u128::from(SECOND);
        self.period().map_or(0, |period| cycles as u64 / period)
    }

    /// Makes up for the updates and periods since the last look, with their flags. Whether it was time for the alarm.
    fn catch_up(&mut self, now: Nanos) -> bool {
        if !self.divider_runs() {
            return false;
        }
        let periods = self.periods_until(now);
        if periods != self.periods {
            self.periods = periods;
            self.c |= C::PF;
        }
        let seconds = self.divider(now) / SECOND;
        let passed = seconds.saturating_sub(self.updated);
        if passed == 0 {
            return false;
        }
        self.updated = seconds;
        if self.b.contains(B::SET) {
            return false;
        }
        let before = self.shown();
        self.show(before.after(passed));
        self.c |= C::UF;
        let alarm = self.alarm_within(before, passed);
        self.c.set(C::AF, alarm || self.c.contains(C::AF));
        alarm
    }

    /// Whether the alarm matched in one of the `seconds` after `date`.
    fn alarm_within(&self, date: Calendar, seconds: u64) -> bool {
        const DAY: u64 = 86_400;
        let start = date.second_of_day();
        (1..=seconds.min(DAY)).any(|passed| self.alarm_matches((start + passed) % DAY))
    }

    fn alarm_matches(&self, second_of_day: u64) -> bool {
        let matches = |alarm: u8, raw: u8| alarm & ALARM_ANY == ALARM_ANY || alarm == raw;
        matches(self.cmos(SECONDS_ALARM), self.encode((second_of_day % 60) as u8))
            && matches(self.cmos(MINUTES_ALARM), self.encode((second_of_day / 60 % 60) as u8))
            && matches(self.cmos(HOURS_ALARM), self.encode_hour((second_of_day / 3600) as u8))
    }

    /// Drives the interrupt request and arms for what may raise it.
    fn follow(&mut self, cx: &mut Cx<'_>) {
        cx.set_pin(IRQ, self.c.bits() & self.b.bits() & (C::UF | C::AF | C::PF).bits() != 0);
        let now = cx.now();
        match self.period() {
            Some(period) if self.b.contains(B::PIE) && self.divider_runs() => {
                let cycles = u128::from(self.periods + 1) * u128::from(period);
                let at = (cycles * u128::from(SECOND)).div_ceil(CRYSTAL) as u64;
                cx.arm(PERIODIC, at.saturating_sub(self.phase));
            }
            _ => cx.disarm(PERIODIC),
        }
        if self.b.intersects(B::UIE | B::AIE) && !self.b.contains(B::SET) && self.divider_runs() {
            let into = self.divider(now) % SECOND;
            cx.arm(UPDATE, now + (SECOND - into));
        } else {
            cx.disarm(UPDATE);
        }
    }

    fn write_a(&mut self, now: Nanos, value: u8) {
        let ran = self.divider_runs();
        self.a = value & !A_UIP;
        if !ran && self.divider_runs() {
            let into = now % SECOND;
            self.phase = (SECOND + DIVIDER_START - into) % SECOND;
            self.updated = self.divider(now) / SECOND;
        }
        self.periods = self.periods_until(now);
    }

    fn write_b(&mut self, value: B) {
        // SET stops an update that may be under way, and with it the interrupt at its end.
        self.b = if value.contains(B::SET) { value - B::UIE } else { value };
    }

    fn update_in_progress(&self, now: Nanos) -> bool {
        let into = self.divider(now) % SECOND;
        self.divider_runs() && !self.b.contains(B::SET) && into >= SECOND - UPDATE_WARNING
    }

    fn take_c(&mut self) -> u8 {
        let flags = std::mem::replace(&mut self.c, C::empty());
        let requests = flags.bits() & self.b.bits() & (C::UF | C::AF | C::PF).bits() != 0;
        (flags | if requests { C::IRQF } else { C::empty() }).bits()
    }
}

impl Device for Rtc {
    fn kind(&self) -> &'static str {
        "mc146818rtc"
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Reg, _width: Width) -> u64 {
        if at.offset == 0 {
            // The index is write-only.
            return 0xff;
        }
        let now = cx.now();
        self.catch_up(now);
        let value = match self.index {
            REG_A => self.a | if self.update_in_progress(now) { A_UIP } else { 0 },
            REG_B => self.b.bits(),
            REG_C => self.take_c(),
            REG_D => D_VRT,
            CENTURY_PS2 => self.cmos(CENTURY),
            address => self.cmos(address),
        };
        self.follow(cx);
        value.into()
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, _width: Width, value: u64) {
        let value = value as u8;
        if at.offset == 0 {
            self.index = value & 0x7f;
            self.nmi_masked = value & 0x80 != 0;
            cx.set_pin(NMI_MASK, self.nmi_masked);
            return;
        }
        let now = cx.now();
        self.catch_up(now);
        let held = self.b.contains(B::SET);
        match self.index {
            REG_A => self.write_a(now, value),
            REG_B => self.write_b(B::from_bits_retain(value)),
            REG_C | REG_D => {}
            CENTURY_PS2 => self.set(CENTURY, value),
            address => self.set(address, value),
        }
        let is_time = matches!(self.index, SECONDS | MINUTES | HOURS | WEEKDAY..=YEAR | CENTURY | CENTURY_PS2);
        if !self.b.contains(B::SET) && (held || is_time) {
            let usual = self.base.saturating_add((now / SECOND) as i64);
            cx.tell(Notice::ClockSet(self.shown().epoch().saturating_sub(usual)));
        }
        self.follow(cx);
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.catch_up(cx.now());
        if std::mem::replace(&mut self.powered, true) {
            for (address, value) in std::mem::take(&mut self.at_reset) {
                self.set_cmos(address, value);
            }
        }
        self.index = 0;
        self.nmi_masked = false;
        self.b -= B::PIE | B::AIE | B::UIE | B::SQWE;
        self.c = C::empty();
        cx.set_pin(NMI_MASK, false);
        self.follow(cx);
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _id: TimerId) {
        if self.catch_up(cx.now()) && self.b.contains(B::AIE) {
            cx.request(MachineRequest::WakeEvent(WakeReason::Alarm));
        }
        self.follow(cx);
    }

    fn input(&mut self, _cx: &mut Cx<'_>, input: &Input) {
        match input {
            Input::ProcessorCount(count) => self.set_cmos(PROCESSORS, count.saturating_sub(1)),
            Input::Pin { pin: PIN_RESUME, level: true } => self.set_cmos(SHUTDOWN, SHUTDOWN_RESUME),
            _ => {}
        }
    }
}

fn to_bcd(value: u8) -> u8 {
    ((value / 10 % 10) << 4) | (value % 10)
}

fn from_bcd(raw: u8) -> u8 {
    (raw >> 4) * 10 + (raw & 0xf)
}

#[cfg(test)]
mod tests;
