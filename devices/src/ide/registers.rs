//! The registers of an ATA channel, by the names of ATA/ATAPI-6.

use bitflags::bitflags;
use serde::{Deserialize, Serialize};

/// Offset in the command block: data.
pub(super) const DATA: u64 = 0;
/// Error when read, features when written.
pub(super) const ERROR: u64 = 1;
/// Sector count; a packet device's interrupt reason.
pub(super) const COUNT: u64 = 2;
/// LBA low, or sector number.
pub(super) const LBA_LOW: u64 = 3;
/// LBA mid, or cylinder low; a packet device's byte count, low.
pub(super) const LBA_MID: u64 = 4;
/// LBA high, or cylinder high; a packet device's byte count, high.
pub(super) const LBA_HIGH: u64 = 5;
/// Device, with the head or the highest bits of a 28-bit LBA.
pub(super) const DEVICE: u64 = 6;
/// Status when read, command when written.
pub(super) const STATUS: u64 = 7;

/// Device register: device 1 is selected.
pub(super) const DEVICE_DEV: u8 = 1 << 4;
/// Device register: the address is an LBA.
pub(super) const DEVICE_LBA: u8 = 1 << 6;
/// Device register: obsolete bits that read as ones.
pub(super) const DEVICE_ONES: u8 = 0xa0;

/// Interrupt reason: command, not data.
pub(super) const REASON_COD: u8 = 1 << 0;
/// Interrupt reason: towards the host.
pub(super) const REASON_IO: u8 = 1 << 1;

bitflags! {
    /// The status register.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub(super) struct Status: u8 {
        /// Error; for a packet device: check condition.
        const ERR = 1 << 0;
        /// Data request.
        const DRQ = 1 << 3;
        /// Seek complete.
        const DSC = 1 << 4;
        /// Device fault.
        const DF = 1 << 5;
        /// Device ready.
        const DRDY = 1 << 6;
        /// Busy: no other bit counts.
        const BSY = 1 << 7;
    }

    /// The error register of a disk.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub(super) struct Error: u8 {
        /// No medium.
        const NM = 1 << 1;
        /// Aborted.
        const ABRT = 1 << 2;
        /// Address not found.
        const IDNF = 1 << 4;
        /// Uncorrectable data.
        const UNC = 1 << 6;
        /// A packet device keeps its sense key in the upper half; after a reset the register holds a diagnostic code.
        const _ = !0;
    }

    /// The device control register.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub(super) struct Control: u8 {
        /// Interrupts are off.
        const NIEN = 1 << 1;
        /// Software reset.
        const SRST = 1 << 2;
        /// Reads show the previous content of the registers.
        const HOB = 1 << 7;
    }
}

/// The diagnostic code of a device that passed.
pub(super) const DIAGNOSTIC_PASSED: Error = Error::from_bits_retain(1);

/// A register that remembers what it held before the last write, as 48-bit commands need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Latch {
    pub(super) now: u8,
    pub(super) before: u8,
}

impl Latch {
    pub(super) fn write(&mut self, value: u8) {
        *self = Self { now: value, before: self.now };
    }

    pub(super) fn read(self, control: Control) -> u8 {
        if control.contains(Control::HOB) { self.before } else { self.now }
    }
}

/// The command block, as each of a channel's devices latches it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TaskFile {
    pub(super) features: Latch,
    pub(super) count: Latch,
    pub(super) low: Latch,
    pub(super) mid: Latch,
    pub(super) high: Latch,
    pub(super) device: u8,
}

impl TaskFile {
    pub(super) fn write(&mut self, register: u64, value: u8) {
        match register {
            ERROR => self.features.write(value),
            COUNT => self.count.write(value),
            LBA_LOW => self.low.write(value),
            LBA_MID => self.mid.write(value),
            LBA_HIGH => self.high.write(value),
            DEVICE => self.device = value,
            _ => {}
        }
    }

    /// What a reset leaves, by which software tells a disk from a packet device.
    pub(super) fn signature(packet: bool) -> Self {
        let latch = |now| Latch { now, before: 0 };
        let (mid, high) = if packet { (0x14, 0xeb) } else { (0, 0) };
        Self { count: latch(1), low: latch(1), mid: latch(mid), high: latch(high), ..Self::default() }
    }

    /// The byte count that a packet device is given or gives.
    pub(super) fn byte_count(&self) -> u16 {
        u16::from_le_bytes([self.mid.now, self.high.now])
    }

    pub(super) fn set_byte_count(&mut self, bytes: u16) {
        [self.mid.now, self.high.now] = bytes.to_le_bytes();
    }
}
