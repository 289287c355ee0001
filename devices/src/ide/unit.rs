//! One of a channel's two devices: what it is, and all that it keeps between commands.

use super::atapi::Tray;
use super::registers::{DEVICE_LBA, DIAGNOSTIC_PASSED, Error, Status, TaskFile};
use crate::drive::{DriveInfo, DriveKind};
use serde::{Deserialize, Serialize};

/// Bytes in a disk's sector.
pub(super) const SECTOR: u64 = 512;
/// The most sectors in one block of READ MULTIPLE.
pub(super) const MULTIPLE_MOST: u8 = 16;

const HEADS: u64 = 16;
const SECTORS_PER_TRACK: u64 = 63;
const CYLINDERS_MOST: u64 = 16383;

/// Cylinders, heads, and sectors on each track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Geometry {
    /// Cylinders.
    pub cylinders: u16,
    /// Heads, up to 16.
    pub heads: u8,
    /// Sectors on a track, from 1.
    pub sectors: u8,
}

impl Geometry {
    /// The geometry that a disk of so many sectors tells: 16 heads and 63 sectors, and as many cylinders as there may be.
    pub fn of(sectors: u64) -> Self {
        let cylinders = (sectors / (HEADS * SECTORS_PER_TRACK)).clamp(2, CYLINDERS_MOST);
        Self { cylinders: cylinders as u16, heads: HEADS as u8, sectors: SECTORS_PER_TRACK as u8 }
    }

    /// How many sectors it addresses.
    pub fn capacity(self) -> u64 {
        u64::from(self.cylinders) * u64::from(self.heads) * u64::from(self.sectors)
    }
}

/// How a command names a sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Addressing {
    /// CHS or 28-bit LBA, as the device register says.
    Short,
    /// 48-bit LBA.
    Extended,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unit {
    pub(super) info: DriveInfo,
    /// Which of the board's four places: names the model's default serial number, and the drive in block requests.
    pub(super) drive: u8,
    pub(super) task: TaskFile,
    pub(super) status: Status,
    pub(super) error: Error,
    /// An interrupt is pending.
    pub(super) interrupt: bool,
    /// As told at power-on.
    pub(super) geometry: Geometry,
    /// As set by INITIALIZE DEVICE PARAMETERS.
    pub(super) translation: Geometry,
    /// Sectors in one block of READ MULTIPLE; zero: not set.
    pub(super) multiple: u8,
    /// The multiword and Ultra DMA modes selected, as bits.
    pub(super) multiword_mode: u8,
    pub(super) ultra_mode: u8,
    pub(super) write_cache: bool,
    pub(super) look_ahead: bool,
    pub(super) smart: bool,
    pub(super) tray: Tray,
}

impl Unit {
    /// A device after power-on.
    pub(super) fn new(info: DriveInfo, drive: u8) -> Self {
        let sectors = info.medium.map_or(0, |m| m.bytes / SECTOR);
        let geometry = Geometry::of(sectors);
        let mut unit = Self {
            info,
            drive,
            task: TaskFile::default(),
            status: Status::empty(),
            error: DIAGNOSTIC_PASSED,
            interrupt: false,
            geometry,
            translation: geometry,
            multiple: MULTIPLE_MOST,
            multiword_mode: 0,
            ultra_mode: 0,
            write_cache: true,
            look_ahead: true,
            smart: true,
            tray: Tray::default(),
        };
        unit.sign();
        unit
    }

    pub(super) fn packet(&self) -> bool {
        self.info.kind == DriveKind::Cd
    }

    /// Shows the signature, as after a reset.
    pub(super) fn sign(&mut self) {
        self.task = TaskFile::signature(self.packet());
        self.error = DIAGNOSTIC_PASSED;
        self.interrupt = false;
        // A packet device is not ready until it is sent its first command.
        self.status = if self.packet() { Status::empty() } else { Status::DRDY | Status::DSC };
    }

    /// Sectors of a disk.
    pub(super) fn sectors(&self) -> u64 {
        self.info.medium.map_or(0, |m| m.bytes / SECTOR)
    }

    pub(super) fn busy(&self) -> bool {
        self.status.intersects(Status::BSY | Status::DRQ)
    }

    /// The command is done.
    pub(super) fn succeed(&mut self) {
        self.status = Status::DRDY | Status::DSC;
        self.error = Error::empty();
        self.interrupt = true;
    }

    /// The command has failed.
    pub(super) fn fail(&mut self, error: Error) {
        self.status = Status::DRDY | Status::DSC | Status::ERR;
        self.error = error;
        self.interrupt = true;
    }

    /// The first sector that the task file names; `None` if there is no such sector.
    pub(super) fn sector(&self, addressing: Addressing) -> Option<u64> {
        let task = &self.task;
        let now = u64::from(task.low.now) | u64::from(task.mid.now) << 8 | u64::from(task.high.now) << 16;
        if addressing == Addressing::Extended {
            let before = u64::from(task.low.before) | u64::from(task.mid.before) << 8;
            return Some(now | (before | u64::from(task.high.before) << 16) << 24);
        }
        let high = u64::from(task.device & 0xf);
        if task.device & DEVICE_LBA != 0 {
            return Some(now | high << 24);
        }
        let (cylinder, sector) = (now >> 8, now & 0xff);
        let (heads, sectors) = (u64::from(self.translation.heads), u64::from(self.translation.sectors));
        let exists = sector >= 1 && sector <= sectors && high < heads;
        exists.then(|| (cylinder * heads + high) * sectors + sector - 1)
    }

    /// How many sectors the task file names.
    pub(super) fn count(&self, addressing: Addressing) -> u64 {
        let count = self.task.count;
        match addressing {
            Addressing::Short => (u64::from(count.now).wrapping_sub(1) & 0xff) + 1,
            Addressing::Extended => {
                let count = u64::from(count.now) | u64::from(count.before) << 8;
                (count.wrapping_sub(1) & 0xffff) + 1
            }
        }
    }

    /// Leaves a sector's address, and how many are left, in the task file.
    pub(super) fn tell(&mut self, sector: u64, left: u64, addressing: Addressing) {
        let low_bits = match addressing {
            Addressing::Short if self.task.device & DEVICE_LBA == 0 => {
                let (heads, sectors) = (u64::from(self.translation.heads), u64::from(self.translation.sectors));
                let (heads, sectors) = (heads.max(1), sectors.max(1));
                let track = sector / sectors;
                self.task.device = self.task.device & 0xf0 | (track % heads) as u8 & 0xf;
                (track / heads) << 8 | (sector % sectors + 1)
            }
            Addressing::Short => {
                self.task.device = self.task.device & 0xf0 | (sector >> 24) as u8 & 0xf;
                sector
            }
            Addressing::Extended => sector,
        };
        let [low, mid, high, low2, mid2, high2, ..] = low_bits.to_le_bytes();
        (self.task.low.now, self.task.mid.now, self.task.high.now) = (low, mid, high);
        self.task.count.now = left as u8;
        if addressing == Addressing::Extended {
            (self.task.low.before, self.task.mid.before, self.task.high.before) = (low2, mid2, high2);
            self.task.count.before = (left >> 8) as u8;
        }
    }
}
