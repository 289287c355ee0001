//! The commands of a hard disk (ATA/ATAPI-6, chapter 8): from the task file to what is to be done.

use super::identify;
use super::job::{Means, Purpose, Way};
use super::registers::Error;
use super::smart;
use super::unit::{Addressing, Geometry, MULTIPLE_MOST, SECTOR, Unit};
use Addressing::{Extended, Short};
use lockstep_fabric::BlockOperation;
use std::collections::VecDeque;

pub(super) const NOP: u8 = 0x00;
pub(super) const DEVICE_RESET: u8 = 0x08;
pub(super) const EXECUTE_DEVICE_DIAGNOSTIC: u8 = 0x90;
pub(super) const PACKET: u8 = 0xa0;
pub(super) const IDENTIFY_PACKET_DEVICE: u8 = 0xa1;
pub(super) const IDENTIFY_DEVICE: u8 = 0xec;
pub(super) const SET_FEATURES: u8 = 0xef;
const DATA_SET_MANAGEMENT: u8 = 0x06;
const READ_NATIVE_MAX_ADDRESS_EXT: u8 = 0x27;
const READ_NATIVE_MAX_ADDRESS: u8 = 0xf8;
const INITIALIZE_DEVICE_PARAMETERS: u8 = 0x91;
const SMART: u8 = 0xb0;
const SET_MULTIPLE_MODE: u8 = 0xc6;
pub(super) const CHECK_POWER_MODE: [u8; 2] = [0xe5, 0x98];
/// STANDBY and IDLE, both at once and by timer, and SLEEP, by their present and their first codes.
pub(super) const POWER: [u8; 10] = [0xe0, 0xe1, 0xe2, 0xe3, 0xe6, 0x94, 0x95, 0x96, 0x97, 0x99];

/// The power mode that CHECK POWER MODE tells: active or idle.
pub(super) const POWER_ACTIVE: u8 = 0xff;

/// DATA SET MANAGEMENT's feature.
const TRIM: u8 = 1;
/// The task file of a SMART command holds this in LBA mid and high.
const SMART_SIGNATURE: (u8, u8) = (0x4f, 0xc2);

/// What a command comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// It is done.
    Done,
    /// It has failed.
    Fail(Error),
    /// Whole sectors of data for the guest.
    Reply(Vec<u8>),
    /// Sectors of the medium are to be moved.
    Move { way: Way, means: Means, first: u64, sectors: u64, addressing: Addressing },
    /// A request that moves no data to or from the guest.
    Request(BlockOperation),
    /// The guest owes so many bytes first.
    Collect { len: usize, means: Means, purpose: Purpose },
}

const ABORT: Act = Act::Fail(Error::ABRT);

/// Carries out a disk's command as far as no data are needed.
pub(super) fn command(unit: &mut Unit, command: u8) -> Act {
    let one = Means::Pio(SECTOR as usize);
    let group = Means::Pio(usize::from(unit.multiple) * SECTOR as usize);
    match command {
        0x20 | 0x21 => sectors(unit, Way::In, one, Short),
        0x24 => sectors(unit, Way::In, one, Extended),
        0x30 | 0x31 | 0x3c => sectors(unit, Way::Out, one, Short),
        0x34 => sectors(unit, Way::Out, one, Extended),
        0xc4 if unit.multiple != 0 => sectors(unit, Way::In, group, Short),
        0x29 if unit.multiple != 0 => sectors(unit, Way::In, group, Extended),
        0xc5 if unit.multiple != 0 => sectors(unit, Way::Out, group, Short),
        0x39 if unit.multiple != 0 => sectors(unit, Way::Out, group, Extended),
        0xc8 | 0xc9 => sectors(unit, Way::In, Means::Dma, Short),
        0x25 => sectors(unit, Way::In, Means::Dma, Extended),
        0xca | 0xcb => sectors(unit, Way::Out, Means::Dma, Short),
        0x35 => sectors(unit, Way::Out, Means::Dma, Extended),
        0x40 | 0x41 => verify(unit, Short),
        0x42 => verify(unit, Extended),
        0xe7 | 0xea => Act::Request(BlockOperation::Flush),
        0x10..=0x1f => Act::Done,
        0x70..=0x7f => unit.sector(Short).filter(|s| *s < unit.sectors()).map_or(Act::Fail(Error::IDNF), |_| Act::Done),
        DATA_SET_MANAGEMENT => trim(unit),
        IDENTIFY_DEVICE => Act::Reply(identify::disk(unit)),
        READ_NATIVE_MAX_ADDRESS => native_max(unit, Short),
        READ_NATIVE_MAX_ADDRESS_EXT => native_max(unit, Extended),
        INITIALIZE_DEVICE_PARAMETERS => initialize_parameters(unit),
        SET_FEATURES => set_features(unit),
        SET_MULTIPLE_MODE => set_multiple(unit),
        SMART => smart_command(unit),
        c if CHECK_POWER_MODE.contains(&c) => {
            unit.task.count.now = POWER_ACTIVE;
            Act::Done
        }
        c if POWER.contains(&c) => Act::Done,
        // NOP is defined to be aborted.
        NOP => ABORT,
        _ => ABORT,
    }
}

/// The range of sectors that the task file names, if all of them exist.
fn range(unit: &Unit, addressing: Addressing) -> Option<(u64, u64)> {
    let (first, sectors) = (unit.sector(addressing)?, unit.count(addressing));
    (first + sectors <= unit.sectors()).then_some((first, sectors))
}

fn sectors(unit: &Unit, way: Way, means: Means, addressing: Addressing) -> Act {
    match range(unit, addressing) {
        Some(_) if way == Way::Out && unit.info.medium.is_none_or(|m| m.read_only) => ABORT,
        Some((first, sectors)) => Act::Move { way, means, first, sectors, addressing },
        None => Act::Fail(Error::IDNF),
    }
}

fn verify(unit: &Unit, addressing: Addressing) -> Act {
    match range(unit, addressing) {
        Some((first, sectors)) => Act::Request(BlockOperation::Read { offset: first * SECTOR, len: sectors * SECTOR }),
        None => Act::Fail(Error::IDNF),
    }
}

fn trim(unit: &Unit) -> Act {
    if unit.task.features.now & TRIM == 0 || unit.info.medium.is_none_or(|m| m.read_only) {
        return ABORT;
    }
    let len = unit.count(Extended) * SECTOR;
    Act::Collect { len: len as usize, means: Means::Dma, purpose: Purpose::Trim }
}

/// The byte ranges that TRIM's blocks name; `None` if one is not on the disk.
pub(super) fn trim_ranges(sectors: u64, blocks: &[u8]) -> Option<VecDeque<(u64, u64)>> {
    let entries = blocks.chunks_exact(8).map(|entry| {
        let entry = entry.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        (entry & 0xffff_ffff_ffff, entry >> 48)
    });
    entries
        .filter(|(_, count)| *count != 0)
        .map(|(first, count)| (first + count <= sectors).then_some((first * SECTOR, count * SECTOR)))
        .collect()
}

fn native_max(unit: &mut Unit, addressing: Addressing) -> Act {
    let most = if addressing == Short { 0x0fff_ffff } else { u64::MAX };
    let count = unit.task.count;
    unit.tell(unit.sectors().min(most).saturating_sub(1), 0, addressing);
    unit.task.count = count;
    Act::Done
}

fn initialize_parameters(unit: &mut Unit) -> Act {
    let (sectors, heads) = (unit.task.count.now, (unit.task.device & 0xf) + 1);
    if sectors == 0 {
        return ABORT;
    }
    let per_cylinder = u64::from(heads) * u64::from(sectors);
    let cylinders = (unit.sectors() / per_cylinder).clamp(1, 0xffff) as u16;
    unit.translation = Geometry { cylinders, heads, sectors };
    Act::Done
}

fn set_multiple(unit: &mut Unit) -> Act {
    let sectors = unit.task.count.now;
    if sectors > MULTIPLE_MOST || sectors != 0 && !sectors.is_power_of_two() {
        return ABORT;
    }
    unit.multiple = sectors;
    Act::Done
}

/// SET FEATURES, for both kinds of device.
pub(super) fn set_features(unit: &mut Unit) -> Act {
    match unit.task.features.now {
        0x02 => unit.write_cache = true,
        0x82 => unit.write_cache = false,
        0x55 => unit.look_ahead = false,
        0xaa => unit.look_ahead = true,
        0x03 => return set_transfer_mode(unit),
        // Power management, acoustic management, and whether a soft reset restores defaults: taken, without effect.
        0x05 | 0x85 | 0x42 | 0xc2 | 0x66 | 0xcc => {}
        _ => return ABORT,
    }
    // What the cache held is on its way already; a flush makes sure of it.
    if unit.task.features.now == 0x82 { Act::Request(BlockOperation::Flush) } else { Act::Done }
}

fn set_transfer_mode(unit: &mut Unit) -> Act {
    let mode = unit.task.count.now;
    match (mode >> 3, mode & 7) {
        (0, 0 | 1) | (1, 0..=4) => {}
        (2, 0..=2) => (unit.multiword_mode, unit.ultra_mode) = (0, 0),
        (4, n @ 0..=2) => (unit.multiword_mode, unit.ultra_mode) = (1 << n, 0),
        (8, n @ 0..=5) => (unit.multiword_mode, unit.ultra_mode) = (0, 1 << n),
        _ => return ABORT,
    }
    Act::Done
}

fn smart_command(unit: &mut Unit) -> Act {
    const ENABLE: u8 = 0xd8;
    let task = &unit.task;
    let feature = task.features.now;
    if (task.mid.now, task.high.now) != SMART_SIGNATURE || !unit.smart && feature != ENABLE {
        return ABORT;
    }
    match feature {
        0xd0 => Act::Reply(smart::data()),
        0xd1 => Act::Reply(smart::thresholds()),
        // Saving of attributes, their saving now, off-line tests: nothing to do. The status is that all is well, which
        // leaves the signature as it is.
        0xd2 | 0xd3 | 0xd4 | 0xda => Act::Done,
        0xd5 => smart::log(task.low.now).filter(|_| task.count.now == 1).map_or(ABORT, Act::Reply),
        ENABLE => {
            unit.smart = true;
            Act::Done
        }
        0xd9 => {
            unit.smart = false;
            Act::Done
        }
        _ => ABORT,
    }
}
