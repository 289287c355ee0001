//! A CD-ROM drive behind PACKET (ATA/ATAPI-6, section 8.23; SFF-8020i; MMC-3): one session of one data track.

mod read;
mod replies;
mod sense;

pub(super) use read::framed;
pub(super) use sense::{Sense, sense_of};

use super::ata::{self, Act};
use super::identify;
use super::job::{Frame, Means, Purpose};
use super::registers::{Error, REASON_COD, REASON_IO, Status};
use super::unit::Unit;
use serde::{Deserialize, Serialize};

/// Bytes of user data in a block.
pub(super) const BLOCK: u64 = 2048;

const FEATURE_DMA: u8 = 1;
const PACKET_LEN: usize = 12;

/// Events of class media, as GET EVENT STATUS NOTIFICATION tells them.
const EVENT_NONE: u8 = 0;
const EVENT_EJECT_REQUEST: u8 = 1;
const EVENT_NEW: u8 = 2;
const EVENT_REMOVED: u8 = 3;

/// The drive's tray, and what it has to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tray {
    open: bool,
    /// PREVENT ALLOW MEDIUM REMOVAL.
    locked: bool,
    /// Another medium has come, and the next command will be told.
    attention: bool,
    /// The next media event.
    event: u8,
    /// Why the last command was checked.
    sense: Sense,
}

impl Tray {
    /// Whether it stands open, and whether the guest keeps it shut.
    pub(super) fn state(&self) -> TrayState {
        TrayState { open: self.open, locked: self.locked }
    }

    /// Somebody outside pressed the drive's button.
    pub(super) fn asked(&mut self) {
        if !self.open {
            self.event = EVENT_EJECT_REQUEST;
        }
    }

    /// Somebody outside changed what lies in the drive. An empty tray is left open.
    pub(super) fn changed(&mut self, present: bool) {
        // Who takes a medium out against the guest's will has not asked the lock.
        self.locked &= present;
        self.attention = present;
        if present {
            self.event = EVENT_NEW;
        } else if !self.open {
            self.event = EVENT_REMOVED;
        }
        self.open = !present;
    }

    /// The tray moves, if it is not there already. The flag says whether a medium lies in it.
    pub(super) fn moved(&mut self, open: bool, present: bool) {
        if self.open == open {
            return;
        }
        self.open = open;
        self.attention = !open && present;
        self.event = match (open, present) {
            (true, _) => EVENT_REMOVED,
            (false, true) => EVENT_NEW,
            (false, false) => EVENT_NONE,
        };
    }
}

/// A tray as one sees it from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrayState {
    /// It stands open.
    pub open: bool,
    /// The guest keeps it shut.
    pub locked: bool,
}

/// What a command packet comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PacketAct {
    /// It is done.
    Done,
    /// It is checked: sense data tell why.
    Check(Sense),
    /// Data for the guest.
    Reply(Vec<u8>),
    /// Blocks of the medium for the guest.
    Read { first: u64, blocks: u64, frame: Option<Frame> },
}

impl Unit {
    /// Blocks of the medium that can be reached now.
    pub(super) fn blocks(&self) -> Option<u64> {
        self.info.medium.filter(|_| !self.tray.open).map(|m| m.bytes / BLOCK)
    }

    pub(super) fn packet_done(&mut self) {
        self.succeed();
        self.task.count.now = REASON_COD | REASON_IO;
    }

    /// The packet command ends with a check condition.
    pub(super) fn check(&mut self, sense: Sense) {
        let abort = if sense.key == Sense::INVALID_COMMAND.key { Error::ABRT } else { Error::empty() };
        self.fail(Error::from_bits_retain(sense.key << 4) | abort);
        self.status = Status::DRDY | Status::ERR;
        self.task.count.now = REASON_COD | REASON_IO;
        self.tray.sense = sense;
    }
}

/// Carries out an ATA command of a packet device.
pub(super) fn command(unit: &mut Unit, command: u8) -> Act {
    match command {
        ata::PACKET => {
            let dma = unit.task.features.now & FEATURE_DMA != 0;
            let means = Means::Pio(PACKET_LEN);
            Act::Collect { len: PACKET_LEN, means, purpose: Purpose::Packet { dma } }
        }
        ata::IDENTIFY_PACKET_DEVICE => Act::Reply(identify::packet(unit)),
        // These tell what they met by its signature (sections 8.15 and 8.27).
        ata::IDENTIFY_DEVICE | 0x20 | 0x21 => {
            unit.sign();
            Act::Fail(Error::ABRT)
        }
        ata::SET_FEATURES => ata::set_features(unit),
        c if ata::CHECK_POWER_MODE.contains(&c) => {
            unit.task.count.now = ata::POWER_ACTIVE;
            Act::Done
        }
        c if ata::POWER.contains(&c) => Act::Done,
        // No cache holds anything.
        0xe7 => Act::Done,
        _ => Act::Fail(Error::ABRT),
    }
}

const TEST_UNIT_READY: u8 = 0x00;
const REQUEST_SENSE: u8 = 0x03;
const INQUIRY: u8 = 0x12;
const START_STOP_UNIT: u8 = 0x1b;
const PREVENT_ALLOW_MEDIUM_REMOVAL: u8 = 0x1e;
const READ_CAPACITY: u8 = 0x25;
const READ_10: u8 = 0x28;
const SEEK_10: u8 = 0x2b;
const READ_SUBCHANNEL: u8 = 0x42;
const READ_TOC: u8 = 0x43;
const GET_CONFIGURATION: u8 = 0x46;
const GET_EVENT_STATUS_NOTIFICATION: u8 = 0x4a;
const READ_DISC_INFORMATION: u8 = 0x51;
const READ_TRACK_INFORMATION: u8 = 0x52;
const MODE_SENSE_10: u8 = 0x5a;
const READ_12: u8 = 0xa8;
const READ_CD_MSF: u8 = 0xb9;
const SET_CD_SPEED: u8 = 0xbb;
const MECHANISM_STATUS: u8 = 0xbd;
const READ_CD: u8 = 0xbe;

/// A command packet's fields, big-endian; what lies beyond its end is zero.
#[derive(Clone, Copy)]
struct Packet<'a>(&'a [u8]);

impl Packet<'_> {
    fn byte(self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or(0)
    }

    fn number(self, at: usize, len: usize) -> u64 {
        (at..at + len).fold(0, |value, i| value << 8 | u64::from(self.byte(i)))
    }
}

/// Carries out a command packet as far as the medium is not needed.
pub(super) fn execute(unit: &mut Unit, packet: &[u8]) -> PacketAct {
    let packet = Packet(packet);
    let operation = packet.byte(0);
    let tells = matches!(operation, REQUEST_SENSE | INQUIRY | GET_CONFIGURATION | GET_EVENT_STATUS_NOTIFICATION);
    if !tells && std::mem::take(&mut unit.tray.attention) {
        return PacketAct::Check(Sense::MEDIUM_CHANGED);
    }
    if operation != REQUEST_SENSE {
        unit.tray.sense = Sense::default();
    }
    answer(unit, packet).unwrap_or_else(PacketAct::Check)
}

fn answer(unit: &mut Unit, packet: Packet<'_>) -> Result<PacketAct, Sense> {
    let no_medium = if unit.tray.open { Sense::NO_MEDIUM_TRAY_OPEN } else { Sense::NO_MEDIUM_TRAY_CLOSED };
    let blocks = unit.blocks().ok_or(no_medium);
    // An answer is cut to the length that the packet gives in these of its bytes.
    let reply = |bytes: Vec<u8>, at: usize, len: usize| {
        let most = usize::try_from(packet.number(at, len)).unwrap_or(usize::MAX);
        Ok(PacketAct::Reply(bytes.into_iter().take(most).collect()))
    };
    match packet.byte(0) {
        TEST_UNIT_READY => blocks.map(|_| PacketAct::Done),
        SEEK_10 => blocks.and_then(|blocks| read::existing(packet.number(2, 4), 0, blocks)).map(|_| PacketAct::Done),
        READ_10 => blocks.and_then(|blocks| read::blocks(packet.number(2, 4), packet.number(7, 2), blocks)),
        READ_12 => blocks.and_then(|blocks| read::blocks(packet.number(2, 4), packet.number(6, 4), blocks)),
        READ_CD => blocks.and_then(|blocks| read::cd(packet, blocks)),
        READ_CD_MSF => blocks.and_then(|blocks| read::cd_msf(packet, blocks)),
        READ_CAPACITY => Ok(PacketAct::Reply(replies::capacity(blocks?))),
        READ_TOC => reply(replies::toc(packet, blocks?)?, 7, 2),
        READ_SUBCHANNEL => blocks.and_then(|_| reply(replies::subchannel(packet), 7, 2)),
        READ_DISC_INFORMATION => blocks.and_then(|_| reply(replies::disc_information(), 7, 2)),
        READ_TRACK_INFORMATION => reply(replies::track_information(blocks?), 7, 2),
        REQUEST_SENSE => {
            let changed = std::mem::take(&mut unit.tray.attention);
            let last = std::mem::take(&mut unit.tray.sense);
            reply(if changed { Sense::MEDIUM_CHANGED } else { last }.data(), 4, 1)
        }
        INQUIRY => reply(replies::inquiry(packet)?, 3, 2),
        START_STOP_UNIT => start_stop(unit, packet.byte(4)),
        PREVENT_ALLOW_MEDIUM_REMOVAL => {
            unit.tray.locked = packet.byte(4) & 1 != 0;
            Ok(PacketAct::Done)
        }
        GET_CONFIGURATION => reply(replies::configuration(packet, unit.blocks())?, 7, 2),
        GET_EVENT_STATUS_NOTIFICATION => reply(event_status(unit, packet)?, 7, 2),
        MODE_SENSE_10 => reply(replies::mode_sense(packet, unit.tray.locked)?, 7, 2),
        MECHANISM_STATUS => reply(replies::mechanism(unit.tray.open), 8, 2),
        SET_CD_SPEED => Ok(PacketAct::Done),
        _ => Err(Sense::INVALID_COMMAND),
    }
}

/// START STOP UNIT: with LoEj the tray moves, out without Start and in with it.
fn start_stop(unit: &mut Unit, operation: u8) -> Result<PacketAct, Sense> {
    let (start, eject) = (operation & 1 != 0, operation & 2 != 0);
    let tray = &mut unit.tray;
    // A change of the power condition moves nothing.
    if !eject || operation & 0xf0 != 0 {
        return Ok(PacketAct::Done);
    }
    if !start && !tray.open && tray.locked {
        return Err(Sense::REMOVAL_PREVENTED);
    }
    tray.moved(!start, unit.info.medium.is_some());
    Ok(PacketAct::Done)
}

/// GET EVENT STATUS NOTIFICATION, polled: the only class is media.
fn event_status(unit: &mut Unit, packet: Packet<'_>) -> Result<Vec<u8>, Sense> {
    const POLLED: u8 = 1;
    const CLASS_MEDIA: u8 = 4;
    const SUPPORTED: u8 = 1 << CLASS_MEDIA;
    const NO_EVENT_AVAILABLE: u8 = 1 << 7;
    if packet.byte(1) & POLLED == 0 {
        return Err(Sense::INVALID_FIELD);
    }
    if packet.byte(4) & SUPPORTED == 0 {
        return Ok(vec![0, 2, NO_EVENT_AVAILABLE, SUPPORTED]);
    }
    let event = std::mem::replace(&mut unit.tray.event, EVENT_NONE);
    let state = u8::from(unit.tray.open) | u8::from(unit.blocks().is_some()) << 1;
    Ok(vec![0, 6, CLASS_MEDIA, SUPPORTED, event, state, 0, 0])
}
