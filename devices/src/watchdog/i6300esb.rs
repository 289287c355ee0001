//! The watchdog of Intel's 6300ESB I/O controller hub (8086:25ab): two timers one after the other, the second of which
//! resets the machine.
//!
//! Source: Intel 6300ESB I/O Controller Hub data sheet, chapter 16. The first timer's interrupt goes to an input of an I/O
//! APIC that this board does not have, and is not sent.

use crate::catalog::{Creatable, Made};
use crate::pci::{Bar, BarKind, ConfigSpace, Identity, SUBSYSTEM};
use crate::properties::{PropertyError, configuration};
use bitflags::bitflags;
use lockstep_fabric::{Cx, Device, MachineRequest, Nanos, PciFunction, Reg, RegionSpec, Space, TimerId, Width};
use serde::{Deserialize, Serialize};

const REGION: u8 = 0;
const LEN: u64 = 16;
const TIME_UP: TimerId = TimerId(0);

/// Configuration space: WDT configuration register, 16 bits.
const WDT_CONFIG: u16 = 0x60;
/// Configuration space: WDT lock register.
const WDT_LOCK: u16 = 0x68;
/// Memory: preload values of the timers, 20 bits each.
const PRELOAD_1: u64 = 0x00;
const PRELOAD_2: u64 = 0x04;
const PRELOAD_BITS: u32 = 0xf_ffff;
/// Memory: the reload register, where the other registers are unlocked too.
const RELOAD: u64 = 0x0c;
/// What unlocks one write to a register, in this order.
const UNLOCK: [u64; 2] = [0x80, 0x86];

bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Config: u16 {
        /// The first timer's interrupt, 0 to 3.
        const INTERRUPT_TYPE = 3;
        /// The timers count microseconds, not milliseconds.
        const MICROSECONDS = 1 << 2;
        /// The second timer does nothing when it is up.
        const NO_REBOOT = 1 << 5;
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Lock: u8 {
        /// This register cannot be changed until a reset.
        const LOCKED = 1 << 0;
        const ENABLED = 1 << 1;
        /// After the second timer the first one starts again.
        const FREE_RUNNING = 1 << 2;
    }

    struct Reload: u64 {
        /// The timers start over.
        const RELOAD = 1 << 8;
        /// The second timer was up: it outlasts the reset that it makes. Cleared by a one.
        const TIMEOUT = 1 << 9;
        /// Where Linux's driver looks for it.
        const TIMEOUT_OF_LINUX = 1 << 12;
    }
}

configuration! {
    /// The watchdog has nothing to set.
    pub struct I6300EsbConfig {}
}

impl Creatable for I6300EsbConfig {
    const NAME: &'static str = "i6300esb";
    const ABOUT: &'static str = "watchdog of Intel's 6300ESB chip set, a PCI function";

    fn make(self) -> Result<Made, PropertyError> {
        Ok(Made::new(I6300Esb::new(), &I6300Esb::REGIONS))
    }
}

/// Which timer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    First,
    Second,
}

/// The function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct I6300Esb {
    config: ConfigSpace,
    lock: Lock,
    preload: [u32; 2],
    stage: Stage,
    /// How much of [`UNLOCK`] was written.
    unlocked: usize,
    timed_out: bool,
}

impl Default for I6300Esb {
    fn default() -> Self {
        Self::new()
    }
}

impl I6300Esb {
    /// The region that its base address register places.
    pub const REGIONS: [RegionSpec; 1] =
        [RegionSpec { space: Space::Memory, index: REGION, base: None, len: LEN, priority: 0, widest: Width::Dword }];

    /// The function after power-on.
    pub fn new() -> Self {
        let identity = Identity { vendor: 0x8086, device: 0x25ab, revision: 0, class: 0x08_8000, subsystem: SUBSYSTEM };
        let mut config = ConfigSpace::new(identity);
        config.define_bar(0, Bar { kind: BarKind::Memory32 { prefetchable: false }, size: LEN, region: REGION });
        config.allow(WDT_CONFIG, &Config::all().bits().to_le_bytes());
        let (lock, preload) = (Lock::empty(), [PRELOAD_BITS; 2]);
        Self { config, lock, preload, stage: Stage::First, unlocked: 0, timed_out: false }
    }

    fn setup(&self) -> Config {
        Config::from_bits_truncate(self.config.word(WDT_CONFIG))
    }

    fn start(&mut self, cx: &mut Cx<'_>, stage: Stage) {
        /// The PCI clock, which the timers divide.
        const HZ: u64 = 33_000_000;
        const NANOS: u64 = 1_000_000_000;
        if !self.lock.contains(Lock::ENABLED) {
            return;
        }
        self.stage = stage;
        let preload = u64::from(self.preload[stage as usize]);
        let divider = if self.setup().contains(Config::MICROSECONDS) { 5 } else { 15 };
        let time: Nanos = (u128::from(preload << divider) * u128::from(NANOS) / u128::from(HZ)) as Nanos;
        cx.arm(TIME_UP, cx.now().saturating_add(time));
    }

    fn write_lock(&mut self, cx: &mut Cx<'_>, value: Lock) {
        if self.lock.contains(Lock::LOCKED) {
            return;
        }
        let before = std::mem::replace(&mut self.lock, value);
        if !value.contains(Lock::ENABLED) {
            cx.disarm(TIME_UP);
        } else if !before.contains(Lock::ENABLED) {
            self.start(cx, Stage::First);
        }
    }

    fn write_unlocked(&mut self, cx: &mut Cx<'_>, at: u64, width: Width, value: u64) {
        match (at, width) {
            (RELOAD, Width::Word | Width::Dword) => {
                let value = Reload::from_bits_truncate(value);
                if value.contains(Reload::RELOAD) {
                    self.start(cx, Stage::First);
                }
                if value.intersects(Reload::TIMEOUT | Reload::TIMEOUT_OF_LINUX) {
                    self.timed_out = false;
                }
            }
            (PRELOAD_1, Width::Dword) => self.preload[0] = value as u32 & PRELOAD_BITS,
            (PRELOAD_2, Width::Dword) => self.preload[1] = value as u32 & PRELOAD_BITS,
            _ => {}
        }
    }
}

impl PciFunction for I6300Esb {
    fn config_read(&mut self, _cx: &mut Cx<'_>, offset: u16, width: Width) -> u32 {
        let mut value = self.config.read(offset, width);
        if (offset..offset.saturating_add(width.bytes() as u16)).contains(&WDT_LOCK) {
            value |= u32::from(self.lock.bits()) << (8 * (WDT_LOCK - offset));
        }
        value
    }

    fn config_write(&mut self, cx: &mut Cx<'_>, offset: u16, width: Width, value: u32) {
        self.config.write(cx, offset, width, value);
        if (offset..offset.saturating_add(width.bytes() as u16)).contains(&WDT_LOCK) {
            self.write_lock(cx, Lock::from_bits_truncate((value >> (8 * (WDT_LOCK - offset))) as u8));
        }
    }
}

impl Device for I6300Esb {
    fn kind(&self) -> &'static str {
        "i6300esb"
    }

    fn read(&mut self, _cx: &mut Cx<'_>, at: Reg, width: Width) -> u64 {
        match (at.offset, width) {
            (RELOAD, Width::Word | Width::Dword) if self.timed_out => {
                (Reload::TIMEOUT | Reload::TIMEOUT_OF_LINUX).bits()
            }
            _ => 0,
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, width: Width, value: u64) {
        if at.offset == RELOAD && value == UNLOCK[0] {
            self.unlocked = 1;
        } else if at.offset == RELOAD && value == UNLOCK[1] && self.unlocked == 1 {
            self.unlocked = UNLOCK.len();
        } else if std::mem::take(&mut self.unlocked) == UNLOCK.len() {
            self.write_unlocked(cx, at.offset, width, value);
        }
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        cx.disarm(TIME_UP);
        self.config.reset(cx);
        *self = Self { config: self.config.clone(), timed_out: self.timed_out, ..Self::new() };
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _id: TimerId) {
        match self.stage {
            Stage::First => self.start(cx, Stage::Second),
            Stage::Second => {
                let (free_running, reboot) =
                    (self.lock.contains(Lock::FREE_RUNNING), !self.setup().contains(Config::NO_REBOOT));
                if reboot {
                    self.timed_out = true;
                    cx.request(MachineRequest::Watchdog);
                }
                if free_running {
                    self.start(cx, Stage::First);
                }
            }
        }
    }

    fn pci(&mut self) -> Option<&mut dyn PciFunction> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Bench;
    use lockstep_fabric::Cpu;

    const BASE: u64 = 0x10_0000;
    const SECOND: Nanos = 1_000_000_000;
    /// Preload of half a second of 33 MHz / 2^15.
    const HALF_A_SECOND: u64 = 504;

    struct Guest(Bench);

    impl Guest {
        /// Both timers at half a second, not yet started.
        fn new() -> Self {
            let mut b = Bench::new(I6300Esb::new(), &I6300Esb::REGIONS);
            b.config_write(0x10, Width::Dword, BASE as u32);
            b.config_write(4, Width::Word, 2);
            let mut guest = Self(b);
            guest.set(PRELOAD_1, Width::Dword, HALF_A_SECOND);
            guest.set(PRELOAD_2, Width::Dword, HALF_A_SECOND);
            guest
        }

        fn write(&mut self, at: u64, width: Width, value: u64) {
            self.0.bus.write(Space::Memory, BASE + at, width, value, Cpu(0)).expect("a claimed address");
        }

        /// A write with the two before it that unlock it.
        fn set(&mut self, at: u64, width: Width, value: u64) {
            UNLOCK.iter().for_each(|key| self.write(RELOAD, Width::Word, *key));
            self.write(at, width, value);
        }

        fn timed_out(&mut self) -> bool {
            let status = self.0.bus.read(Space::Memory, BASE + RELOAD, Width::Word, Cpu(0)).expect("a claimed address");
            status & Reload::TIMEOUT.bits() != 0
        }
    }

    #[test]
    fn both_timers_run_down_before_it_bites() {
        let mut g = Guest::new();
        g.0.config_write(WDT_LOCK, Width::Byte, 2);
        for _ in 0..3 {
            g.0.advance(SECOND - SECOND / 100);
            assert_eq!(g.0.requests(), []);
            g.set(RELOAD, Width::Word, 0x100);
        }
        g.0.advance(SECOND + SECOND / 100);
        assert_eq!(g.0.requests(), [MachineRequest::Watchdog]);
    }

    #[test]
    fn the_timeout_outlasts_the_reset_and_is_cleared_by_a_one() {
        let mut g = Guest::new();
        g.0.config_write(WDT_LOCK, Width::Byte, 3);
        g.0.config_write(WDT_LOCK, Width::Byte, 0);
        g.0.advance(2 * SECOND);
        assert_eq!(g.0.requests(), [MachineRequest::Watchdog], "a locked one is not stopped");
        g.0.bus.reset();
        g.0.config_write(0x10, Width::Dword, BASE as u32);
        g.0.config_write(4, Width::Word, 2);
        assert!(g.timed_out());
        g.set(RELOAD, Width::Word, 0x200);
        assert!(!g.timed_out());
        g.0.advance(1000 * SECOND);
        assert_eq!(g.0.requests(), [], "stopped by the reset");
    }

    #[test]
    fn a_write_that_is_not_unlocked_changes_nothing() {
        let mut g = Guest::new();
        g.0.config_write(WDT_LOCK, Width::Byte, 2);
        g.write(PRELOAD_1, Width::Dword, 1);
        g.write(RELOAD, Width::Word, 0x80);
        g.write(RELOAD, Width::Word, 0x100);
        g.0.advance(SECOND / 2 + SECOND / 10);
        assert_eq!(g.0.requests(), []);
        g.0.advance(SECOND / 2);
        assert_eq!(g.0.requests(), [MachineRequest::Watchdog]);
    }

    #[test]
    fn free_running_without_reboot_it_only_counts() {
        let mut g = Guest::new();
        g.0.config_write(WDT_CONFIG, Width::Word, 0x20);
        g.0.config_write(WDT_LOCK, Width::Byte, 6);
        g.0.advance(10 * SECOND);
        assert_eq!(g.0.requests(), []);
        assert_ne!(g.0.bus.clock.next_deadline(), lockstep_fabric::clock::NEVER, "it runs on");
    }
}
