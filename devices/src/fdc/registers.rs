//! The registers of the controller, by the names of the 82077AA's data sheet.

use bitflags::bitflags;
use serde::{Deserialize, Serialize};

bitflags! {
    /// Digital output register.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub(super) struct Dor: u8 {
        const DRIVE_SELECT_0 = 1 << 0;
        const DRIVE_SELECT_1 = 1 << 1;
        /// Out of reset.
        const NOT_RESET = 1 << 2;
        /// Interrupts and DMA requests pass.
        const DMA_GATE = 1 << 3;
        const MOTOR_0 = 1 << 4;
        const MOTOR_1 = 1 << 5;
        const MOTOR_2 = 1 << 6;
        const MOTOR_3 = 1 << 7;
    }

    /// Main status register.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Msr: u8 {
        const DRIVE_0_BUSY = 1 << 0;
        const DRIVE_1_BUSY = 1 << 1;
        const COMMAND_BUSY = 1 << 4;
        const NON_DMA = 1 << 5;
        /// From the controller to the guest.
        const DIO = 1 << 6;
        /// Request for master.
        const RQM = 1 << 7;
    }
}

/// ST0: abnormal termination.
pub(super) const ST0_ABNORMAL: u8 = 0x40;
/// ST0: an invalid command.
pub(super) const ST0_INVALID: u8 = 0x80;
/// ST0: a drive's ready line changed, as after a reset.
pub(super) const ST0_POLLED: u8 = 0xc0;
/// ST0: a seek or recalibration ended.
pub(super) const ST0_SEEK_END: u8 = 0x20;
/// ST0: track 0 was not found.
pub(super) const ST0_EQUIPMENT_CHECK: u8 = 0x10;
/// ST1: no address mark.
pub(super) const ST1_MISSING_MARK: u8 = 0x01;
/// ST1: not writable.
pub(super) const ST1_NOT_WRITABLE: u8 = 0x02;
/// ST1: no such sector.
pub(super) const ST1_NO_DATA: u8 = 0x04;
/// ST1: nobody took or gave data in time.
pub(super) const ST1_OVERRUN: u8 = 0x10;
/// ST1: data error.
pub(super) const ST1_DATA_ERROR: u8 = 0x20;
/// ST1: beyond the end of the cylinder.
pub(super) const ST1_END_OF_CYLINDER: u8 = 0x80;
/// ST2: the head is on another cylinder.
pub(super) const ST2_WRONG_CYLINDER: u8 = 0x10;
/// ST2: data error in the data.
pub(super) const ST2_DATA_ERROR: u8 = 0x20;
/// ST2: the sector's mark is not of the kind that was asked for.
pub(super) const ST2_CONTROL_MARK: u8 = 0x40;
/// ST3: write protected.
pub(super) const ST3_WRITE_PROTECTED: u8 = 0x40;
/// ST3: the head is on track 0.
pub(super) const ST3_TRACK_0: u8 = 0x10;
/// ST3: bits that are always set: ready, two sides.
pub(super) const ST3_ALWAYS: u8 = 0x28;

/// DSR: reset that ends by itself.
pub(super) const DSR_RESET: u8 = 0x80;
/// CONFIGURE's second byte: implied seeks.
pub(super) const CONFIGURE_IMPLIED_SEEK: u8 = 0x40;
/// CONFIGURE's second byte after a reset: no FIFO, drives polled.
pub(super) const CONFIGURE_AT_RESET: u8 = 0x20;
/// CONFIGURE's second byte: drives are not polled.
pub(super) const CONFIGURE_NO_POLL: u8 = 0x10;
/// SPECIFY's second byte: not by DMA.
pub(super) const SPECIFY_NON_DMA: u8 = 0x01;
/// DIR: the disk was changed.
pub(super) const DIR_DISK_CHANGED: u8 = 0x80;
