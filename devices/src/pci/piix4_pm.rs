//! The PIIX4's power management function (8086:7113): ACPI fixed registers, the PM timer, one GPE block, the SMI command
//! port and an SMBus with nothing on it (82371AB data sheet; ACPI 6, chapter 4.8).
//!
//! The modelled processors have no system management mode: a write to the SMI command port does at once what QEMU's
//! firmware protocol says (F1h enables ACPI, F0h disables it).

use super::config::offset;
use super::{ConfigSpace, DevFn, Identity, SUBSYSTEM};
use bitflags::bitflags;
use lockstep_fabric::{
    Cx, Device, Input, MachineRequest, Nanos, Notice, PciFunction, PinId, Reg, RegionSpec, Space, TimerId, WakeReason,
    Width,
};
use serde::{Deserialize, Serialize};

/// Region: the ACPI registers, placed by PMBA.
pub const REGION_PM: u8 = 0;
/// Region: general-purpose event block 0.
pub const REGION_GPE: u8 = 1;
/// Region: the SMI command and status ports.
pub const REGION_APM: u8 = 2;
/// Region: the SMBus host controller, placed by SMBBA.
pub const REGION_SMBUS: u8 = 3;

/// I/O address of general-purpose event block 0, for the FADT.
pub const GPE0_BASE: u16 = 0xafe0;
/// Length of general-purpose event block 0, for the FADT.
pub const GPE0_LEN: u8 = 4;
/// The SMI command port, for the FADT.
pub const SMI_CMD: u16 = 0xb2;
/// What switches ACPI on when written to [`SMI_CMD`].
pub const ACPI_ENABLE: u8 = 0xf1;
/// What switches ACPI off when written to [`SMI_CMD`].
pub const ACPI_DISABLE: u8 = 0xf0;
/// Where the ACPI registers are for software that is started without firmware.
pub const DIRECT_PM_BASE: u16 = 0x600;

/// Offset of PM1a_EVT from PMBA, 4 bytes.
pub const PM1_EVT: u16 = 0x00;
/// Offset of PM1a_CNT from PMBA, 2 bytes.
pub const PM1_CNT: u16 = 0x04;
/// Offset of PM_TMR from PMBA, 4 bytes.
pub const PM_TMR: u16 = 0x08;

/// Output pin: the system control interrupt, level, ISA IRQ 9 on this board.
pub const PIN_SCI: PinId = PinId(0);
/// Output pin: rises when the machine wakes up, before the reset that comes with it, and falls in that reset.
pub const PIN_RESUME: PinId = PinId(1);
/// Input pin: general-purpose event 0 to 15; a rising edge sets its status.
pub const fn pin_gpe(event: u8) -> PinId {
    PinId(event as u16 & (GPE_EVENTS - 1))
}

const GPE_EVENTS: u16 = 16;

/// Where the board puts it.
pub const PLACE: DevFn = DevFn::new(1, 3);

/// The regions to map on the bus.
pub const REGIONS: [RegionSpec; 4] = [
    region(REGION_PM, None, 0x40, Width::Dword),
    region(REGION_GPE, Some(GPE0_BASE as u64), GPE0_LEN as u64, Width::Dword),
    region(REGION_APM, Some(SMI_CMD as u64), 2, Width::Byte),
    region(REGION_SMBUS, None, 0x10, Width::Byte),
];

const fn region(index: u8, base: Option<u64>, len: u64, widest: Width) -> RegionSpec {
    RegionSpec { space: Space::Io, index, base, len, priority: 0, widest }
}

const PMBA: u16 = 0x40;
const DEVACTB_HIGH: u16 = 0x5b;
/// The third byte's bit 1 of DEVACTB: SMIs by the APM port are set up already, so that firmware does not try.
const APMC_EN: u8 = 1 << 1;
const PMREGMISC: u16 = 0x80;
const PMIOSE: u8 = 1;
const SMBBA: u16 = 0x90;
const SMBHSTCFG: u16 = 0xd2;
const SMB_HST_EN: u8 = 1;

bitflags! {
    /// PM1 status and enable registers.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Pm1: u16 {
        /// The PM timer's highest bit changed.
        const TMROF = 1 << 0;
        const BUS_MASTER = 1 << 4;
        const GLOBAL = 1 << 5;
        const PWRBTN = 1 << 8;
        const RTC = 1 << 10;
        /// Woken from a sleep; status only.
        const WAKE = 1 << 15;
    }

    /// PM1 control register, but for the sleep type.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Control: u16 {
        const SCI_EN = 1 << 0;
        const BUS_MASTER_RELOAD = 1 << 1;
        /// Write-only.
        const GLOBAL_RELEASE = 1 << 2;
        /// Write-only.
        const SLP_EN = 1 << 13;
    }
}

/// The events that can interrupt.
const SCI_EVENTS: Pm1 = Pm1::TMROF.union(Pm1::GLOBAL).union(Pm1::PWRBTN).union(Pm1::RTC);
const SLP_TYP_SHIFT: u16 = 10;
const SLP_TYP_BITS: u16 = 7;

/// The sleep types, as the DSDT must name them.
pub mod sleep_type {
    /// S5.
    pub const SOFT_OFF: u16 = 0;
    /// S3.
    pub const SUSPEND_TO_RAM: u16 = 1;
    /// S4, unless the board says otherwise: to this board the same as S5.
    pub const SUSPEND_TO_DISK: u16 = 2;
}

const PM_TIMER_HZ: u128 = 3_579_545;
const NANOS: u128 = 1_000_000_000;
const PM_TIMER_BITS: u64 = 0xff_ffff;
/// TMROF is set each time bit 23 changes.
const PM_TIMER_HALF: u64 = 1 << 23;
const TIMER_OVERFLOW: TimerId = TimerId(0);

const SMBHSTSTS: u64 = 0;
const SMBHSTCNT: u64 = 2;
const SMBHSTCNT_START: u8 = 1 << 6;
const SMBHSTSTS_DEV_ERR: u8 = 1 << 2;
const SMBHSTSTS_EVENTS: u8 = 0x1e;

/// How the power management function is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piix4PmConfig {
    /// The ACPI registers lie at [`DIRECT_PM_BASE`] from reset on, for software that is started without firmware.
    pub preset: bool,
    /// The sleep type of S4, as the DSDT names it.
    pub s4_type: u16,
}

impl Default for Piix4PmConfig {
    fn default() -> Self {
        Self { preset: false, s4_type: sleep_type::SUSPEND_TO_DISK }
    }
}

/// The power management function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piix4Pm {
    settings: Piix4PmConfig,
    config: ConfigSpace,
    status: Pm1,
    enable: Pm1,
    control: u16,
    /// Count of the PM timer at which TMROF will next be set.
    overflow: u64,
    gpe_status: u16,
    gpe_enable: u16,
    /// PMBA offsets 10h and up: kept, without effect.
    other: Vec<u8>,
    apm_command: u8,
    apm_status: u8,
    smbus: [u8; 16],
    /// Suspended to RAM.
    asleep: bool,
    /// The next reset is the waking, for this reason.
    waking: Option<WakeReason>,
}

impl Piix4Pm {
    /// The function after power-on.
    pub fn new(settings: Piix4PmConfig) -> Self {
        let identity = Identity { vendor: 0x8086, device: 0x7113, revision: 3, class: 0x06_8000, subsystem: SUBSYSTEM };
        let mut config = ConfigSpace::new(identity);
        config.define(offset::STATUS, &[0x80, 0x02]);
        config.define_interrupt_pin(1);
        config.define(PMBA, &[1]);
        config.allow(PMBA, &[0xc0, 0xff]);
        config.allow(0x44, &[0xff; 0x28]);
        config.define(DEVACTB_HIGH, &[APMC_EN]);
        // Device resources: the serial ports and the keyboard controller, as firmware's ACPI code looks for them.
        config.define(0x5f, &[0x10]);
        config.define(0x63, &[0x60]);
        config.define(0x67, &[0x98]);
        config.allow(PMREGMISC, &[PMIOSE]);
        config.define(SMBBA, &[1]);
        config.allow(SMBBA, &[0xf0, 0xff]);
        config.allow(SMBHSTCFG, &[0x0f]);
        if settings.preset {
            config.define(PMBA, &(DIRECT_PM_BASE | 1).to_le_bytes());
            config.define(PMREGMISC, &[PMIOSE]);
        }
        Self {
            settings,
            config,
            status: Pm1::empty(),
            enable: Pm1::empty(),
            control: 0,
            overflow: PM_TIMER_HALF,
            gpe_status: 0,
            gpe_enable: 0,
            other: vec![0; 0x30],
            apm_command: 0,
            apm_status: 0,
            smbus: [0; 16],
            asleep: false,
            waking: None,
        }
    }

    fn place(&self, cx: &mut Cx<'_>) {
        let base = |at: u16, enabled: bool| {
            let base = u64::from(self.config.word(at) & !0xf);
            (enabled && base != 0).then_some(base)
        };
        let pm_on = self.config.byte(PMREGMISC) & PMIOSE != 0;
        let smbus_on = self.config.byte(SMBHSTCFG) & SMB_HST_EN != 0;
        cx.map_region(REGION_PM, base(PMBA, pm_on), true, true);
        cx.map_region(REGION_SMBUS, base(SMBBA, smbus_on), true, true);
    }

    /// Brings TMROF, its deadline and the interrupt up to date.
    fn settle(&mut self, cx: &mut Cx<'_>) {
        let count = pm_count(cx.now());
        if count >= self.overflow {
            self.status |= Pm1::TMROF;
            self.overflow = (count & !(PM_TIMER_HALF - 1)) + PM_TIMER_HALF;
        }
        if self.enable.contains(Pm1::TMROF) && !self.status.contains(Pm1::TMROF) {
            cx.arm(TIMER_OVERFLOW, pm_nanos(self.overflow));
        } else {
            cx.disarm(TIMER_OVERFLOW);
        }
        let events = !(self.status & self.enable & SCI_EVENTS).is_empty() || self.gpe_status & self.gpe_enable != 0;
        cx.set_pin(PIN_SCI, events && self.control & Control::SCI_EN.bits() != 0);
    }

    fn pm_byte(&self, at: u64, now: Nanos) -> u8 {
        let of = |word: u16| word.to_le_bytes()[(at & 1) as usize];
        match at {
            0..2 => of(self.status.bits()),
            2..4 => of(self.enable.bits()),
            4..6 => of(self.control),
            8..12 => ((pm_count(now) & PM_TIMER_BITS) >> (8 * (at - 8))) as u8,
            0x10..0x40 => self.other.get(at as usize - 0x10).copied().unwrap_or(0),
            _ => 0,
        }
    }

    fn set_pm_byte(&mut self, cx: &mut Cx<'_>, at: u64, value: u8) {
        let (shift, lane) = (8 * (at & 1), 0xff << (8 * (at & 1)));
        let word = u16::from(value) << shift;
        match at {
            0..2 => self.status &= !Pm1::from_bits_truncate(word),
            2..4 => {
                self.enable = Pm1::from_bits_truncate(self.enable.bits() & !lane | word) & (SCI_EVENTS);
            }
            4..6 => {
                let kept = Control::SCI_EN.bits() | Control::BUS_MASTER_RELOAD.bits() | SLP_TYP_BITS << SLP_TYP_SHIFT;
                self.control = self.control & !lane | word & kept;
                if word & Control::SLP_EN.bits() != 0 {
                    self.sleep(cx, self.control >> SLP_TYP_SHIFT & SLP_TYP_BITS);
                }
            }
            0x10..0x40 => {
                if let Some(byte) = self.other.get_mut(at as usize - 0x10) {
                    *byte = value;
                }
            }
            _ => {}
        }
    }

    fn sleep(&mut self, cx: &mut Cx<'_>, kind: u16) {
        match kind {
            sleep_type::SOFT_OFF => cx.request(MachineRequest::PowerOff),
            sleep_type::SUSPEND_TO_RAM => {
                self.asleep = true;
                cx.request(MachineRequest::Suspend);
            }
            kind if kind == self.settings.s4_type => {
                cx.tell(Notice::SuspendedToDisk);
                cx.request(MachineRequest::PowerOff);
            }
            _ => {}
        }
    }

    /// Wakes the machine if it is asleep and may be woken so. The operator always may.
    fn wake(&mut self, cx: &mut Cx<'_>, reason: WakeReason) {
        let allowed = reason == WakeReason::Operator || self.enable.contains(Pm1::RTC);
        if self.asleep && self.waking.is_none() && allowed {
            self.waking = Some(reason);
            cx.set_pin(PIN_RESUME, true);
            cx.request(MachineRequest::Wake);
        }
    }

    fn set_gpe_byte(&mut self, at: u64, value: u8) {
        let (shift, lane) = (8 * (at & 1), 0xff << (8 * (at & 1)));
        let word = u16::from(value) << shift;
        if at < 2 {
            self.gpe_status &= !word;
        } else {
            self.gpe_enable = self.gpe_enable & !lane | word;
        }
    }

    fn apm(&mut self, at: u64, value: u8) {
        if at != 0 {
            self.apm_status = value;
            return;
        }
        self.apm_command = value;
        match value {
            ACPI_ENABLE => self.control |= Control::SCI_EN.bits(),
            ACPI_DISABLE => self.control &= !Control::SCI_EN.bits(),
            _ => {}
        }
    }

    /// Every transfer ends at once because no device answers.
    fn set_smbus_byte(&mut self, at: u64, value: u8) {
        match at {
            SMBHSTSTS => self.smbus[0] &= !(value & SMBHSTSTS_EVENTS),
            _ => {
                if let Some(byte) = self.smbus.get_mut(at as usize) {
                    *byte = if at == SMBHSTCNT { value & !SMBHSTCNT_START } else { value };
                }
                if at == SMBHSTCNT && value & SMBHSTCNT_START != 0 {
                    self.smbus[0] |= SMBHSTSTS_DEV_ERR;
                }
            }
        }
    }

    fn byte(&self, region: u8, at: u64, now: Nanos) -> u8 {
        match region {
            REGION_PM => self.pm_byte(at, now),
            REGION_GPE => {
                let word = if at < 2 { self.gpe_status } else { self.gpe_enable };
                word.to_le_bytes()[(at & 1) as usize]
            }
            REGION_APM => {
                if at == 0 {
                    self.apm_command
                } else {
                    self.apm_status
                }
            }
            _ => self.smbus.get(at as usize).copied().unwrap_or(0),
        }
    }
}

/// The PM timer's count, without its wrap.
fn pm_count(now: Nanos) -> u64 {
    (u128::from(now) * PM_TIMER_HZ / NANOS) as u64
}

/// When the PM timer reaches a count.
fn pm_nanos(count: u64) -> Nanos {
    u64::try_from((u128::from(count) * NANOS).div_ceil(PM_TIMER_HZ)).unwrap_or(u64::MAX)
}

impl PciFunction for Piix4Pm {
    fn config_read(&mut self, _cx: &mut Cx<'_>, offset: u16, width: Width) -> u32 {
        self.config.read(offset, width)
    }

    fn config_write(&mut self, cx: &mut Cx<'_>, offset: u16, width: Width, value: u32) {
        self.config.write(cx, offset, width, value);
        self.place(cx);
    }
}

impl Device for Piix4Pm {
    fn kind(&self) -> &'static str {
        "PIIX4_PM"
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Reg, width: Width) -> u64 {
        self.settle(cx);
        let now = cx.now();
        (0..width.bytes()).fold(0, |v, i| v | u64::from(self.byte(at.region, at.offset + i, now)) << (8 * i))
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, width: Width, value: u64) {
        self.settle(cx);
        for (at_byte, value) in (at.offset..at.offset + width.bytes()).zip(value.to_le_bytes()) {
            match at.region {
                REGION_PM => self.set_pm_byte(cx, at_byte, value),
                REGION_GPE => self.set_gpe_byte(at_byte, value),
                REGION_APM => self.apm(at_byte, value),
                _ => self.set_smbus_byte(at_byte, value),
            }
        }
        self.settle(cx);
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        let woken = self.waking;
        *self = Self::new(self.settings);
        self.overflow = (pm_count(cx.now()) & !(PM_TIMER_HALF - 1)) + PM_TIMER_HALF;
        self.status = match woken {
            // There is no status of the operator's: as with QEMU, it looks like the power button.
            Some(WakeReason::Operator) => Pm1::WAKE | Pm1::PWRBTN,
            Some(WakeReason::Alarm) => Pm1::WAKE | Pm1::RTC,
            None => Pm1::empty(),
        };
        cx.set_pin(PIN_RESUME, false);
        self.config.reset(cx);
        self.place(cx);
        self.settle(cx);
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _id: TimerId) {
        self.settle(cx);
    }

    fn input(&mut self, cx: &mut Cx<'_>, input: &Input) {
        match input {
            Input::PowerButton => self.status |= Pm1::PWRBTN,
            Input::WakeEvent(reason) => self.wake(cx, *reason),
            Input::Pin { pin, level: true } if pin.0 < GPE_EVENTS => self.gpe_status |= 1 << pin.0,
            _ => return,
        }
        self.settle(cx);
    }

    fn pci(&mut self) -> Option<&mut dyn PciFunction> {
        Some(self)
    }
}
