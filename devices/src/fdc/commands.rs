//! The command phase: what each command is, and those that move no data (82077AA, chapter 5).

use super::format::Format;
use super::registers::{
    CONFIGURE_IMPLIED_SEEK, ST0_ABNORMAL, ST0_EQUIPMENT_CHECK, ST0_INVALID, ST0_SEEK_END, ST1_END_OF_CYLINDER,
    ST1_MISSING_MARK, ST1_NO_DATA, ST1_NOT_WRITABLE, ST2_CONTROL_MARK, ST2_WRONG_CYLINDER, ST3_ALWAYS, ST3_TRACK_0,
    ST3_WRITE_PROTECTED,
};
use super::transfer::{Kind, Place, Transfer, Wait};
use super::{DRIVES, Drive, Fdc, IDENTIFY_TIME, Phase, SETTLE_TIME, STEP_TIME, Seek, TIMER_IDENTIFIED, TIMER_SEEK};
use lockstep_fabric::{Cx, Nanos, TimerId};
use std::collections::VecDeque;

const READ_TRACK: u8 = 0x02;
const SPECIFY: u8 = 0x03;
const SENSE_DRIVE_STATUS: u8 = 0x04;
const WRITE_DATA: u8 = 0x05;
const READ_DATA: u8 = 0x06;
const RECALIBRATE: u8 = 0x07;
const SENSE_INTERRUPT_STATUS: u8 = 0x08;
const WRITE_DELETED_DATA: u8 = 0x09;
const READ_ID: u8 = 0x0a;
const READ_DELETED_DATA: u8 = 0x0c;
const FORMAT_TRACK: u8 = 0x0d;
const DUMPREG: u8 = 0x0e;
const SEEK: u8 = 0x0f;
const VERSION: u8 = 0x10;
const PERPENDICULAR_MODE: u8 = 0x12;
const CONFIGURE: u8 = 0x13;
const LOCK: u8 = 0x14;
const VERIFY: u8 = 0x16;

/// The command proper, below its option bits.
const COMMAND: u8 = 0x1f;
const OPTION_MULTI_TRACK: u8 = 1 << 7;
const OPTION_LOCK: u8 = 1 << 7;
/// SEEK's bit for seeks by an offset.
const OPTION_RELATIVE: u8 = 1 << 7;
const OPTION_INWARDS: u8 = 1 << 6;
/// VERIFY's second byte: a count of sectors stands in place of the data length.
const VERIFY_COUNT: u8 = 1 << 7;

/// VERSION's answer: an enhanced controller.
const ENHANCED: u8 = 0x90;
/// RECALIBRATE gives up after so many steps.
const RECALIBRATE_STEPS: Nanos = 79;
/// N for sectors of 512 bytes.
const SIZE_512: u8 = 2;
/// The size of FORMAT's data for each sector.
const ID_LEN: usize = 4;

/// The command that a first byte names, without the option bits that it may have.
fn code(first: u8) -> u8 {
    match first & COMMAND {
        code @ (READ_TRACK | WRITE_DATA | READ_DATA | WRITE_DELETED_DATA | READ_DELETED_DATA | VERIFY) => code,
        code @ (FORMAT_TRACK | READ_ID | SEEK) => code,
        LOCK if first & !OPTION_LOCK == LOCK => LOCK,
        _ => first,
    }
}

/// How many bytes a command has, with its first.
pub(super) fn len(first: u8) -> usize {
    match code(first) {
        READ_TRACK | WRITE_DATA | READ_DATA | WRITE_DELETED_DATA | READ_DELETED_DATA | VERIFY => 9,
        FORMAT_TRACK => 6,
        CONFIGURE => 4,
        SPECIFY | SEEK => 3,
        SENSE_DRIVE_STATUS | RECALIBRATE | READ_ID | PERPENDICULAR_MODE => 2,
        _ => 1,
    }
}

/// Why a transfer cannot begin: ST1 and ST2.
type Refusal = (u8, u8);

impl Fdc {
    pub(super) fn command(&mut self, cx: &mut Cx<'_>, bytes: &[u8]) {
        let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
        let first = byte(0);
        self.phase = Phase::Command(Vec::new());
        match code(first) {
            SPECIFY => self.specify = [byte(1), byte(2)],
            CONFIGURE => self.configure = [byte(2), byte(3)],
            PERPENDICULAR_MODE => {
                // The high bit says whether the drives' bits are meant too.
                let meant = if byte(1) & 0x80 != 0 { 0x3f } else { 0x03 };
                self.perpendicular = self.perpendicular & !meant | byte(1) & meant;
            }
            RECALIBRATE => self.recalibrate(cx, byte(1)),
            SEEK => self.seek(cx, first, byte(1), byte(2)),
            SENSE_INTERRUPT_STATUS => self.sense_interrupt(),
            SENSE_DRIVE_STATUS => self.answer([self.drive_status(byte(1))]),
            VERSION => self.answer([ENHANCED]),
            LOCK => {
                self.locked = first & OPTION_LOCK != 0;
                self.answer([u8::from(self.locked) << 4]);
            }
            DUMPREG => self.dump_registers(),
            READ_ID => self.read_id(cx, byte(1)),
            FORMAT_TRACK => self.format_track(cx, bytes),
            READ_DATA | READ_DELETED_DATA | READ_TRACK => self.transfer(cx, Kind::Read, bytes),
            WRITE_DATA | WRITE_DELETED_DATA => self.transfer(cx, Kind::Write, bytes),
            VERIFY => self.transfer(cx, Kind::Verify, bytes),
            _ => self.answer([ST0_INVALID]),
        }
    }

    /// Results that come at once, without an interrupt.
    fn answer(&mut self, results: impl Into<VecDeque<u8>>) {
        self.phase = Phase::Result(results.into());
    }

    /// Results at the end of an execution: the interrupt tells of them.
    pub(super) fn tell(&mut self, results: Vec<u8>) {
        self.phase = Phase::Result(results.into());
        self.interrupt = true;
    }

    fn drive(&self, select: u8) -> Option<&Drive> {
        self.drives.get(usize::from(select & 3))?.as_ref()
    }

    fn sense_interrupt(&mut self) {
        self.interrupt = false;
        match self.news.pop_front() {
            Some((st0, cylinder)) => {
                self.sought &= !(1 << (st0 & 3));
                self.answer([st0, cylinder]);
            }
            None => self.answer([ST0_INVALID]),
        }
    }

    fn drive_status(&self, select: u8) -> u8 {
        let status = ST3_ALWAYS | select & 7;
        let Some(drive) = self.drive(select) else { return status };
        let track_0 = if drive.cylinder == 0 { ST3_TRACK_0 } else { 0 };
        let protected = if drive.medium.is_none_or(|m| m.read_only) { ST3_WRITE_PROTECTED } else { 0 };
        status | track_0 | protected
    }

    fn dump_registers(&mut self) {
        let cylinder = |i: u8| self.drive(i).map_or(0, |d| d.cylinder);
        let lock = u8::from(self.locked) << 7 | self.perpendicular;
        let [specify, configure] = [self.specify, self.configure];
        let mut results = vec![cylinder(0), cylinder(1), 0, 0, specify[0], specify[1], 0, lock];
        results.extend(configure);
        self.answer(results);
    }

    fn recalibrate(&mut self, cx: &mut Cx<'_>, select: u8) {
        match self.drive(select) {
            Some(drive) => {
                let steps = drive.cylinder;
                self.step(cx, select & 3, Seek { to: 0, head: 0 }, steps);
            }
            None => {
                let over = ST0_SEEK_END | ST0_ABNORMAL | ST0_EQUIPMENT_CHECK | select & 3;
                self.news.push_back((over, RECALIBRATE_STEPS as u8));
                self.interrupt = true;
            }
        }
    }

    fn seek(&mut self, cx: &mut Cx<'_>, first: u8, select: u8, number: u8) {
        let head = select >> 2 & 1;
        let Some(drive) = self.drive(select) else {
            self.news.push_back((ST0_SEEK_END | select & 7, number));
            self.interrupt = true;
            return;
        };
        let to = match (first & OPTION_RELATIVE != 0, first & OPTION_INWARDS != 0) {
            (false, _) => number,
            (true, true) => drive.cylinder.saturating_add(number),
            (true, false) => drive.cylinder.saturating_sub(number),
        };
        let steps = to.abs_diff(drive.cylinder);
        self.step(cx, select & 3, Seek { to, head }, steps);
    }

    fn step(&mut self, cx: &mut Cx<'_>, at: u8, seek: Seek, steps: u8) {
        if let Some(Some(drive)) = self.drives.get_mut(usize::from(at)) {
            drive.seeking = Some(seek);
            let time = Nanos::from(steps) * STEP_TIME + SETTLE_TIME;
            cx.arm(TimerId(TIMER_SEEK + u16::from(at)), cx.now() + time);
        }
    }

    pub(super) fn seek_over(&mut self, at: u16) {
        let Some(Some(drive)) = self.drives.get_mut(usize::from(at)) else { return };
        let Some(seek) = drive.seeking.take() else { return };
        drive.arrive(seek.to);
        self.news.push_back((ST0_SEEK_END | seek.head << 2 | at as u8, seek.to));
        self.sought |= 1 << at;
        self.interrupt = true;
    }

    /// READ ID: the next sector that comes by.
    fn read_id(&mut self, cx: &mut Cx<'_>, select: u8) {
        let head = select >> 2 & 1;
        let st0 = select & 7;
        let drive = self.drives.get_mut(usize::from(select & 3)).and_then(Option::as_mut);
        let found = drive.and_then(|drive| {
            let format = Format::of(drive.medium?.bytes);
            let exists = head < format.heads && drive.cylinder < format.cylinders;
            exists.then(|| {
                drive.passed = drive.passed % format.sectors + 1;
                [st0, 0, 0, drive.cylinder, head, drive.passed, SIZE_512]
            })
        });
        let results = found.unwrap_or([st0 | ST0_ABNORMAL, ST1_MISSING_MARK, 0, 0, head, 0, 0]);
        self.phase = Phase::Identifying(results.to_vec());
        cx.arm(TIMER_IDENTIFIED, cx.now() + IDENTIFY_TIME);
    }

    /// READ, WRITE and VERIFY, in all their variants.
    fn transfer(&mut self, cx: &mut Cx<'_>, kind: Kind, bytes: &[u8]) {
        let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
        let (first, select) = (byte(0), byte(1));
        let whole_track = first & COMMAND == READ_TRACK;
        let sector = if whole_track { 1 } else { byte(4) };
        let place = Place { cylinder: byte(2), head: byte(3), sector };
        let (size, mut last) = (byte(5), byte(6));
        let counted = kind == Kind::Verify && select & VERIFY_COUNT != 0;
        if counted && byte(8) != 0 {
            last = last.min(sector.saturating_add(byte(8) - 1));
        }
        match self.admit(kind, select, place, size) {
            Err((st1, st2)) => self.tell(results(select & 7 | ST0_ABNORMAL, st1, st2, place)),
            Ok(format) => {
                // A last sector that the track does not have is looked for in vain once all others are done.
                let exists = (sector..=format.sectors).contains(&last);
                let last = if exists { last } else { format.sectors };
                let both_heads = first & OPTION_MULTI_TRACK != 0 && !whole_track;
                let deleted = first & COMMAND == READ_DELETED_DATA;
                let at_end = match kind {
                    Kind::Verify => 0,
                    _ if exists => ST1_END_OF_CYLINDER,
                    _ => ST1_NO_DATA,
                };
                self.phase = Phase::Transfer(Box::new(Transfer {
                    kind,
                    drive: select & 3,
                    head: select >> 2 & 1,
                    first: place,
                    last,
                    both_heads,
                    runs: Transfer::spans(format, place, last, both_heads),
                    done: 0,
                    filler: 0,
                    at_end,
                    st2: if deleted { ST2_CONTROL_MARK } else { 0 },
                    buffer: Vec::new(),
                    at: 0,
                    enough: false,
                    wait: Wait::Guest,
                }));
                self.next_run(cx);
            }
        }
    }

    /// Whether a transfer can begin: the format of the disk, or ST1 and ST2.
    fn admit(&mut self, kind: Kind, select: u8, place: Place, size: u8) -> Result<Format, Refusal> {
        let implied = self.configure[0] & CONFIGURE_IMPLIED_SEEK != 0;
        let drive = self.drives.get_mut(usize::from(select & 3)).and_then(Option::as_mut);
        let drive = drive.ok_or((ST1_MISSING_MARK, 0))?;
        let medium = drive.medium.ok_or((ST1_MISSING_MARK, 0))?;
        if implied && place.cylinder != drive.cylinder {
            drive.arrive(place.cylinder);
        }
        let format = Format::of(medium.bytes);
        if matches!(kind, Kind::Write | Kind::Format) && medium.read_only {
            return Err((ST1_NOT_WRITABLE, 0));
        }
        if drive.cylinder >= format.cylinders || select >> 2 & 1 >= format.heads {
            return Err((ST1_MISSING_MARK, 0));
        }
        if place.cylinder != drive.cylinder {
            return Err((ST1_NO_DATA, ST2_WRONG_CYLINDER));
        }
        let exists = place.head == select >> 2 & 1 && (1..=format.sectors).contains(&place.sector) && size == SIZE_512;
        if exists { Ok(format) } else { Err((ST1_NO_DATA, 0)) }
    }

    /// FORMAT TRACK: first the sectors' IDs, then the filler goes into those that this disk has.
    fn format_track(&mut self, cx: &mut Cx<'_>, bytes: &[u8]) {
        let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
        let (select, size, count) = (byte(1), byte(2), byte(3));
        let cylinder = self.drive(select).map_or(0, |d| d.cylinder);
        let place = Place { cylinder, head: select >> 2 & 1, sector: 1 };
        match self.admit(Kind::Format, select, place, size) {
            Ok(format) if count >= 1 && count <= format.sectors => {
                self.phase = Phase::Transfer(Box::new(Transfer {
                    kind: Kind::Format,
                    drive: select & 3,
                    head: place.head,
                    first: place,
                    last: count,
                    both_heads: false,
                    runs: Transfer::spans(format, place, count, false),
                    done: 0,
                    filler: byte(5),
                    // The index hole ends it, whether or not the count of the DMA controller does.
                    at_end: 0,
                    st2: 0,
                    buffer: vec![0; usize::from(count) * ID_LEN],
                    at: 0,
                    enough: false,
                    wait: Wait::Guest,
                }));
                self.take_run(cx);
            }
            Ok(_) => self.tell(results(select & 7 | ST0_ABNORMAL, ST1_NO_DATA, 0, place)),
            Err((st1, st2)) => self.tell(results(select & 7 | ST0_ABNORMAL, st1, st2, place)),
        }
    }
}

impl Drive {
    /// The head has stepped to a cylinder. A step tells the drive that the disk in it is known.
    fn arrive(&mut self, cylinder: u8) {
        self.cylinder = cylinder;
        self.changed = false;
    }
}

/// The result phase of the commands that move data.
pub(super) fn results(st0: u8, st1: u8, st2: u8, place: Place) -> Vec<u8> {
    vec![st0, st1, st2, place.cylinder, place.head, place.sector, SIZE_512]
}

const _: () = assert!(DRIVES <= 2, "MSR shows two drives");
