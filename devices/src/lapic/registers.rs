//! The local APIC's registers: numbers, fields and flags (Intel SDM volume 3, chapter 11).

use bitflags::bitflags;
use serde::{Deserialize, Serialize};

/// Register numbers: the MMIO offset shifted right by four, which is also the x2APIC MSR's offset from 800h.
pub mod index {
    /// Local APIC ID.
    pub const ID: u32 = 0x02;
    /// Version.
    pub const VERSION: u32 = 0x03;
    /// Task priority.
    pub const TPR: u32 = 0x08;
    /// Arbitration priority (not in x2APIC mode).
    pub const APR: u32 = 0x09;
    /// Processor priority.
    pub const PPR: u32 = 0x0a;
    /// End of interrupt.
    pub const EOI: u32 = 0x0b;
    /// Remote read (not in x2APIC mode).
    pub const RRD: u32 = 0x0c;
    /// Logical destination.
    pub const LDR: u32 = 0x0d;
    /// Destination format (not in x2APIC mode).
    pub const DFR: u32 = 0x0e;
    /// Spurious interrupt vector.
    pub const SVR: u32 = 0x0f;
    /// In-service, eight registers.
    pub const ISR: u32 = 0x10;
    /// The last in-service register.
    pub const ISR_LAST: u32 = 0x17;
    /// Trigger mode, eight registers.
    pub const TMR: u32 = 0x18;
    /// The last trigger-mode register.
    pub const TMR_LAST: u32 = 0x1f;
    /// Interrupt request, eight registers.
    pub const IRR: u32 = 0x20;
    /// The last interrupt-request register.
    pub const IRR_LAST: u32 = 0x27;
    /// Error status.
    pub const ESR: u32 = 0x28;
    /// Interrupt command, low half (all of it in x2APIC mode).
    pub const ICR: u32 = 0x30;
    /// Interrupt command, high half (not in x2APIC mode).
    pub const ICR_HIGH: u32 = 0x31;
    /// LVT timer: the first of the local vector table.
    pub const LVT_TIMER: u32 = 0x32;
    /// LVT error: the last of the local vector table.
    pub const LVT_ERROR: u32 = 0x37;
    /// Timer's initial count.
    pub const INITIAL_COUNT: u32 = 0x38;
    /// Timer's current count.
    pub const CURRENT_COUNT: u32 = 0x39;
    /// Timer's divide configuration.
    pub const DIVIDE: u32 = 0x3e;
    /// Self IPI (x2APIC mode only).
    pub const SELF_IPI: u32 = 0x3f;
}

/// Version 14h (an integrated APIC) with six LVT entries.
pub const VERSION: u32 = 0x14 | (LVT_ENTRIES as u32 - 1) << 16;
/// Timer, thermal, performance, LINT0, LINT1, error.
pub const LVT_ENTRIES: usize = 6;

bitflags! {
    /// IA32_APIC_BASE but for the address.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct BaseFlags: u64 {
        /// This is the bootstrap processor.
        const BSP = 1 << 8;
        /// x2APIC mode.
        const EXTD = 1 << 10;
        /// The local APIC is enabled.
        const EN = 1 << 11;
    }

    /// Spurious interrupt vector register, above the vector.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SvrFlags: u32 {
        /// The APIC is enabled by software.
        const ENABLED = 1 << 8;
        /// Focus processor checking is off.
        const FOCUS_OFF = 1 << 9;
    }

    /// Error status register.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Errors: u32 {
        /// An IPI with a vector below 16 was sent.
        const SEND_ILLEGAL_VECTOR = 1 << 5;
        /// A vector below 16 was received.
        const RECEIVE_ILLEGAL_VECTOR = 1 << 6;
        /// A register that does not exist was accessed.
        const ILLEGAL_REGISTER = 1 << 7;
    }
}

/// IA32_APIC_BASE after a reset, but for [`BaseFlags::BSP`].
pub const BASE_AT_RESET: u64 = DEFAULT_BASE | BaseFlags::EN.bits();
/// Where the registers lie in physical memory after a reset.
pub const DEFAULT_BASE: u64 = 0xfee0_0000;

/// The local APIC's mode (SDM volume 3, section 11.12.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Globally disabled.
    Disabled,
    /// Registers in memory.
    XApic,
    /// Registers as MSRs.
    X2Apic,
}

impl Mode {
    /// The mode that IA32_APIC_BASE asks for; `None` for the invalid combination.
    pub fn of(base: u64) -> Option<Self> {
        let flags = BaseFlags::from_bits_truncate(base);
        match (flags.contains(BaseFlags::EN), flags.contains(BaseFlags::EXTD)) {
            (false, false) => Some(Self::Disabled),
            (true, false) => Some(Self::XApic),
            (true, true) => Some(Self::X2Apic),
            (false, true) => None,
        }
    }
}

/// What an interrupt message does at its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryMode {
    /// The vector, at every destination.
    Fixed,
    /// The vector, at the destination that runs at the lowest priority.
    LowestPriority,
    /// System management interrupt.
    Smi,
    /// Reserved; remote read in the first APICs.
    Reserved,
    /// Non-maskable interrupt.
    Nmi,
    /// INIT.
    Init,
    /// Start-up, with the vector as the page number.
    Startup,
    /// As if from an 8259.
    ExtInt,
}

impl DeliveryMode {
    /// From the three bits at 10:8 of an LVT entry, the ICR, an MSI or a redirection entry.
    pub fn from_bits(word: u32) -> Self {
        match (word >> 8) & 7 {
            0 => Self::Fixed,
            1 => Self::LowestPriority,
            2 => Self::Smi,
            3 => Self::Reserved,
            4 => Self::Nmi,
            5 => Self::Init,
            6 => Self::Startup,
            _ => Self::ExtInt,
        }
    }
}

/// Names an entry of the local vector table, in the order of the registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LvtEntry {
    /// The timer.
    Timer,
    /// The thermal sensor.
    Thermal,
    /// Performance counters.
    Performance,
    /// The LINT0 pin.
    Lint0,
    /// The LINT1 pin.
    Lint1,
    /// Errors of the APIC itself.
    Error,
}

impl LvtEntry {
    /// From a place in the table.
    pub fn at(place: usize) -> Option<Self> {
        [Self::Timer, Self::Thermal, Self::Performance, Self::Lint0, Self::Lint1, Self::Error].get(place).copied()
    }

    /// The bits that a guest may write.
    pub fn writable(self, tsc_deadline: bool) -> u32 {
        let vector_and_mask = 0xff | Lvt::MASKED;
        match self {
            Self::Timer => vector_and_mask | if tsc_deadline { 0b11 << 17 } else { 1 << 17 },
            Self::Thermal | Self::Performance => vector_and_mask | 0x700,
            Self::Lint0 | Self::Lint1 => vector_and_mask | 0x700 | Lvt::LOW_ACTIVE | Lvt::LEVEL,
            Self::Error => vector_and_mask,
        }
    }

    /// The bits that exist but that only the APIC changes.
    pub fn read_only(self) -> u32 {
        match self {
            Self::Lint0 | Self::Lint1 => Lvt::SEND_PENDING | Lvt::REMOTE_IRR,
            Self::Timer | Self::Thermal | Self::Performance | Self::Error => Lvt::SEND_PENDING,
        }
    }
}

/// How the LVT timer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerMode {
    /// Down to zero, once.
    OneShot,
    /// Down to zero, again and again.
    Periodic,
    /// Until the TSC reaches IA32_TSC_DEADLINE.
    TscDeadline,
    /// Not defined: never fires.
    Reserved,
}

/// One entry of the local vector table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lvt(pub u32);

impl Lvt {
    /// Delivery status; always read as idle, as delivery takes no time here.
    pub const SEND_PENDING: u32 = 1 << 12;
    /// The pin is active low. Pins carry "asserted" here, so this changes nothing.
    pub const LOW_ACTIVE: u32 = 1 << 13;
    /// A level-triggered interrupt from the pin was accepted and not yet ended.
    pub const REMOTE_IRR: u32 = 1 << 14;
    /// Level-triggered.
    pub const LEVEL: u32 = 1 << 15;
    /// Masked.
    pub const MASKED: u32 = 1 << 16;

    /// The vector.
    pub fn vector(self) -> u8 {
        self.0 as u8
    }

    /// Whether the entry is masked.
    pub fn masked(self) -> bool {
        self.0 & Self::MASKED != 0
    }

    /// Whether all of `bits` are set.
    pub fn has(self, bits: u32) -> bool {
        self.0 & bits == bits
    }

    /// What the entry delivers.
    pub fn delivery(self) -> DeliveryMode {
        DeliveryMode::from_bits(self.0)
    }

    /// How the timer counts.
    pub fn timer_mode(self) -> TimerMode {
        match (self.0 >> 17) & 3 {
            0 => TimerMode::OneShot,
            1 => TimerMode::Periodic,
            2 => TimerMode::TscDeadline,
            _ => TimerMode::Reserved,
        }
    }
}

/// Which APICs an IPI names besides its destination field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shorthand {
    /// The destination field counts.
    None,
    /// The sender.
    Own,
    /// All, the sender too.
    All,
    /// All but the sender.
    Others,
}

/// The interrupt command register: the low half as in both modes, the high half as in the mode at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Icr(pub u64);

impl Icr {
    /// What a guest may write of the low half. Delivery status (bit 12) is read-only and always idle.
    pub const WRITABLE_LOW: u32 = 0x000c_cfff;
    /// Bit 12.
    pub const SEND_PENDING: u32 = 1 << 12;

    /// The vector.
    pub fn vector(self) -> u8 {
        self.0 as u8
    }

    /// What is delivered.
    pub fn delivery(self) -> DeliveryMode {
        DeliveryMode::from_bits(self.0 as u32)
    }

    /// Whether the destination is logical.
    pub fn logical(self) -> bool {
        self.0 & (1 << 11) != 0
    }

    /// Whether this is the INIT level de-assert message, which only the first APICs heeded.
    pub fn level_deassert(self) -> bool {
        self.0 & (1 << 15) != 0 && self.0 & (1 << 14) == 0
    }

    /// The shorthand.
    pub fn shorthand(self) -> Shorthand {
        match (self.0 >> 18) & 3 {
            0 => Shorthand::None,
            1 => Shorthand::Own,
            2 => Shorthand::All,
            _ => Shorthand::Others,
        }
    }
}

/// A set of vectors: ISR, TMR or IRR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vectors([u32; 8]);

impl Vectors {
    /// Adds or removes a vector.
    pub fn set(&mut self, vector: u8, on: bool) {
        let bit = 1 << (vector & 31);
        let word = &mut self.0[usize::from(vector >> 5)];
        *word = if on { *word | bit } else { *word & !bit };
    }

    /// Whether a vector is in the set.
    pub fn has(&self, vector: u8) -> bool {
        self.0[usize::from(vector >> 5)] & (1 << (vector & 31)) != 0
    }

    /// The highest vector in the set.
    pub fn highest(&self) -> Option<u8> {
        let at = self.0.iter().rposition(|w| *w != 0)?;
        Some((at as u32 * 32 + 31 - self.0[at].leading_zeros()) as u8)
    }

    /// One of the eight registers.
    pub fn word(&self, at: u32) -> u32 {
        self.0[(at & 7) as usize]
    }
}
