//! A channel: the registers that its two devices share, and the movement of a command's data.
//!
//! A channel does one command at a time. Data of the medium go in chunks, each one request to the drive; within a chunk
//! the guest takes or gives blocks by the data register, or the bus master moves all of it.

use super::ata::{self, Act};
use super::atapi::{self, PacketAct, Sense, TrayState};
use super::bus_master::{Asked, BusMaster};
use super::job::{Job, Means, Purpose, Wait, Way, Work};
use super::registers::{
    COUNT, Control, DATA, DEVICE, DEVICE_DEV, DEVICE_ONES, ERROR, Error, LBA_HIGH, LBA_LOW, LBA_MID, REASON_COD,
    REASON_IO, STATUS, Status,
};
use super::unit::{SECTOR, Unit};
use crate::drive::DriveInfo;
use lockstep_fabric::{
    BlockCompletion, BlockError, BlockOperation, BlockRequest, Cx, Medium, Nanos, Notice, PinId, TimerId, Width,
};
use serde::{Deserialize, Serialize};

/// The most that one request to the drive moves, in bytes: a multiple of every sector size and block.
const CHUNK: u64 = 512 * 1024;
/// Between two blocks the device is busy for so long, as software written for real ones expects.
const GAP: Nanos = 2_000;
/// The largest block that a byte count can name, and what zero or all ones mean.
const PACKET_BLOCK_MOST: u16 = 0xfffe;

/// A channel with up to two devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Channel {
    /// 0: primary, 1: secondary. Names its timer and its output pin.
    index: u8,
    units: [Option<Unit>; 2],
    selected: usize,
    control: Control,
    master: BusMaster,
    job: Option<Job>,
    /// The tag of the next request. Goes on through resets, so that late completions are known as such.
    next_tag: u64,
    /// The level of the interrupt line.
    line: bool,
}

impl Channel {
    pub(super) fn new(index: u8, drives: [Option<DriveInfo>; 2]) -> Self {
        let mut place = index * 2;
        let units = drives.map(|info| {
            place += 1;
            info.map(|info| Unit::new(info, place - 1))
        });
        Self {
            index,
            units,
            selected: 0,
            control: Control::empty(),
            master: BusMaster::new(),
            job: None,
            next_tag: 0,
            line: false,
        }
    }

    /// After the platform's reset: as after power-on, with the media that lie in the drives now.
    pub(super) fn reset(&mut self, cx: &mut Cx<'_>) {
        let drives = [0, 1].map(|i| self.units[i].as_ref().map(|u| u.info.clone()));
        *self = Self { next_tag: self.next_tag, line: self.line, ..Self::new(self.index, drives) };
        cx.disarm(TimerId(self.index.into()));
        self.wire(cx);
    }

    fn unit(&self) -> Option<&Unit> {
        self.units.get(self.selected)?.as_ref()
    }

    fn unit_mut(&mut self) -> Option<&mut Unit> {
        self.units.get_mut(self.selected)?.as_mut()
    }

    /// Drives the interrupt line, which belongs to the selected device. Its rise is what the bus master notes.
    fn wire(&mut self, cx: &mut Cx<'_>) {
        let level = self.unit().is_some_and(|u| u.interrupt) && !self.control.contains(Control::NIEN);
        if level && !self.line {
            self.master.interrupt();
        }
        if level != self.line {
            cx.set_pin(PinId(self.index.into()), level);
        }
        self.line = level;
    }

    /// Reads the command block.
    pub(super) fn read(&mut self, cx: &mut Cx<'_>, at: u64, width: Width) -> u64 {
        if at == DATA && width != Width::Byte {
            return self.data_read(cx, width);
        }
        let value = (0..width.bytes()).fold(0, |v, i| v | u64::from(self.register(at + i)) << (8 * i));
        if (at..at + width.bytes()).contains(&STATUS) {
            if let Some(unit) = self.unit_mut() {
                unit.interrupt = false;
            }
            self.wire(cx);
        }
        if at == DATA { self.data_read(cx, width) } else { value }
    }

    fn register(&self, at: u64) -> u8 {
        let Some(unit) = self.unit() else { return 0 };
        let (task, hob) = (&unit.task, self.control);
        match at {
            ERROR => unit.error.bits(),
            COUNT => task.count.read(hob),
            LBA_LOW => task.low.read(hob),
            LBA_MID => task.mid.read(hob),
            LBA_HIGH => task.high.read(hob),
            DEVICE => task.device | DEVICE_ONES,
            STATUS => self.alternate_status(),
            _ => 0,
        }
    }

    /// The status, without taking back the interrupt; zero where no device is.
    pub(super) fn alternate_status(&self) -> u8 {
        self.unit().map_or(0, |u| u.status.bits())
    }

    /// Writes the command block.
    pub(super) fn write(&mut self, cx: &mut Cx<'_>, at: u64, width: Width, value: u64) {
        if at == DATA {
            return self.data_write(cx, width, value);
        }
        for (at, value) in (at..at + width.bytes()).zip(value.to_le_bytes()) {
            self.register_write(cx, at, value);
        }
    }

    fn register_write(&mut self, cx: &mut Cx<'_>, at: u64, value: u8) {
        self.control.remove(Control::HOB);
        if at == STATUS {
            self.command(cx, value);
        } else if !self.unit().is_some_and(Unit::busy) {
            for unit in self.units.iter_mut().flatten() {
                unit.task.write(at, value);
            }
            if at == DEVICE {
                self.selected = usize::from(value & DEVICE_DEV != 0);
            }
        }
        self.wire(cx);
    }

    /// Writes the device control register.
    pub(super) fn control_write(&mut self, cx: &mut Cx<'_>, value: u8) {
        let before = self.control;
        self.control = Control::from_bits_truncate(value);
        if self.control.contains(Control::SRST) {
            self.job = None;
            for unit in self.units.iter_mut().flatten() {
                unit.status = Status::BSY;
                unit.interrupt = false;
            }
        } else if before.contains(Control::SRST) {
            self.sign_all();
        }
        self.wire(cx);
    }

    fn sign_all(&mut self) {
        self.selected = 0;
        self.units.iter_mut().flatten().for_each(Unit::sign);
    }

    fn command(&mut self, cx: &mut Cx<'_>, command: u8) {
        if self.control.contains(Control::SRST) {
            return;
        }
        if command == ata::EXECUTE_DEVICE_DIAGNOSTIC {
            // Both devices do it, and device 0 speaks for both.
            if !self.units.iter().flatten().any(Unit::busy) {
                self.sign_all();
                if let Some(unit) = &mut self.units[0] {
                    unit.interrupt = true;
                }
            }
            return;
        }
        let selected = self.selected;
        let Some(unit) = self.unit_mut() else { return };
        unit.interrupt = false;
        if command == ata::DEVICE_RESET && unit.packet() {
            unit.sign();
            self.job = None;
            return;
        }
        if unit.busy() {
            return;
        }
        let act = if unit.packet() { atapi::command(unit, command) } else { ata::command(unit, command) };
        match act {
            Act::Done => unit.succeed(),
            Act::Fail(error) => unit.fail(error),
            Act::Reply(bytes) => {
                let job = Job::new(selected, Way::In, Means::Pio(SECTOR as usize), Work::Reply);
                self.begin(cx, Job { buffer: bytes, ..job });
            }
            Act::Move { way, means, first, sectors, addressing } => {
                let work = Work::Medium { next: first * SECTOR, left: sectors * SECTOR, frame: None };
                let job = Job::new(selected, way, means, work);
                // A device that is ready for a command's first block of data does not interrupt for it.
                self.begin(cx, Job { addressing, quiet: way == Way::Out, ..job });
            }
            Act::Request(operation) => {
                self.begin(cx, Job::new(selected, Way::In, Means::Dma, Work::Request));
                self.submit(cx, operation);
            }
            Act::Collect { len, means, purpose } => {
                let packet = matches!(purpose, Purpose::Packet { .. });
                let job = Job::new(selected, Way::Out, means, Work::Collect(purpose));
                self.begin(cx, Job { buffer: vec![0; len], quiet: true, packet, ..job });
            }
        }
    }

    fn begin(&mut self, cx: &mut Cx<'_>, job: Job) {
        let whole = matches!(job.work, Work::Reply | Work::Collect(_));
        let request = job.work == Work::Request;
        self.job = Some(job);
        if whole {
            self.offer(cx);
        } else if !request {
            self.next_chunk(cx);
        }
    }

    /// Makes a request to the drive of the job in hand.
    fn submit(&mut self, cx: &mut Cx<'_>, operation: BlockOperation) {
        let Some(job) = &mut self.job else { return };
        let tag = self.next_tag;
        self.next_tag = tag.wrapping_add(1);
        job.wait = Wait::Drive(tag);
        if let Some(unit) = &mut self.units[job.unit & 1] {
            unit.status = Status::BSY;
        }
        cx.submit(BlockRequest { drive: self.index * 2 + job.unit as u8, tag, operation });
    }

    /// Goes on where no data are in the buffer: to the next request, or to the end.
    fn next_chunk(&mut self, cx: &mut Cx<'_>) {
        let Some(job) = &mut self.job else { return };
        (job.at, job.end) = (0, 0);
        match (&mut job.work, job.way) {
            (Work::Medium { next, left: left @ 1.., .. }, Way::In) => {
                let (offset, len) = (*next, (*left).min(CHUNK));
                self.submit(cx, BlockOperation::Read { offset, len });
            }
            (Work::Medium { left: left @ 1.., .. }, Way::Out) => {
                job.buffer = vec![0; (*left).min(CHUNK) as usize];
                self.offer(cx);
            }
            (Work::Trim(ranges), _) => match ranges.pop_front() {
                Some((offset, len)) => self.submit(cx, BlockOperation::Discard { offset, len }),
                None => self.finish(),
            },
            _ => self.finish(),
        }
    }

    /// The buffer has something for the guest, or room for something from it.
    fn offer(&mut self, cx: &mut Cx<'_>) {
        let Some(job) = &mut self.job else { return };
        let Some(unit) = &mut self.units[job.unit & 1] else { return };
        unit.status = Status::DRDY | Status::DSC | Status::DRQ;
        match job.means {
            Means::Dma => {
                job.wait = Wait::BusMaster;
                self.kick(cx);
            }
            Means::Pio(block) => {
                job.end = job.buffer.len().min(job.at + block.max(1));
                job.wait = Wait::Guest;
                if job.packet {
                    let collecting = matches!(job.work, Work::Collect(_));
                    unit.task.count.now = if collecting { REASON_COD } else { REASON_IO };
                    if !collecting {
                        unit.task.set_byte_count((job.end - job.at) as u16);
                    }
                }
                if !std::mem::take(&mut job.quiet) {
                    unit.interrupt = true;
                }
            }
        }
    }

    /// The bus master may have become ready.
    fn kick(&mut self, cx: &mut Cx<'_>) {
        let Some(job) = self.job.as_mut().filter(|j| j.wait == Wait::BusMaster) else { return };
        if !self.master.ready() {
            return;
        }
        let rest = &mut job.buffer[job.at..];
        let moved = match job.way {
            Way::In => self.master.scatter(cx, rest),
            Way::Out => self.master.gather(cx, rest),
        };
        job.at += moved;
        if job.at == job.buffer.len() {
            self.buffer_done(cx);
        } else {
            // The table is too short for the command: nothing more will move, and no interrupt tells of an end.
            if let Some(unit) = &mut self.units[job.unit & 1] {
                unit.status = Status::DRDY | Status::DSC;
            }
            self.job = None;
            self.master.ran_out();
        }
    }

    fn buffer_done(&mut self, cx: &mut Cx<'_>) {
        let Some(job) = &mut self.job else { return };
        let bytes = std::mem::take(&mut job.buffer);
        match (job.way, &job.work) {
            (Way::Out, Work::Medium { next, .. }) => {
                let offset = *next;
                self.submit(cx, BlockOperation::Write { offset, data: bytes });
            }
            (Way::Out, Work::Collect(purpose)) => {
                let purpose = *purpose;
                self.collected(cx, purpose, &bytes);
            }
            _ => self.next_chunk(cx),
        }
    }

    fn collected(&mut self, cx: &mut Cx<'_>, purpose: Purpose, bytes: &[u8]) {
        let Some(at) = self.job.as_ref().map(|j| j.unit & 1) else { return };
        let Some(unit) = &mut self.units[at] else { return };
        match purpose {
            Purpose::Trim => match ata::trim_ranges(unit.sectors(), bytes) {
                Some(ranges) => {
                    if let Some(job) = &mut self.job {
                        job.work = Work::Trim(ranges);
                    }
                    self.next_chunk(cx);
                }
                None => self.fail(Error::IDNF),
            },
            Purpose::Packet { dma } => {
                let limit = match unit.task.byte_count() {
                    0 => PACKET_BLOCK_MOST,
                    limit => limit & !1,
                };
                let means = if dma { Means::Dma } else { Means::Pio(limit.max(2).into()) };
                self.job = None;
                let job = |work| Job { packet: true, ..Job::new(at, Way::In, means, work) };
                let tray_before = unit.tray.state();
                let act = atapi::execute(unit, bytes);
                let open = unit.tray.state().open;
                if open != tray_before.open {
                    cx.tell(Notice::Tray { drive: self.index * 2 + at as u8, open });
                }
                match act {
                    PacketAct::Done => unit.packet_done(),
                    PacketAct::Check(sense) => unit.check(sense),
                    PacketAct::Reply(reply) if reply.is_empty() => unit.packet_done(),
                    PacketAct::Reply(reply) => self.begin(cx, Job { buffer: reply, ..job(Work::Reply) }),
                    PacketAct::Read { first, blocks, frame } => {
                        let (next, left) = (first * atapi::BLOCK, blocks * atapi::BLOCK);
                        self.begin(cx, job(Work::Medium { next, left, frame }));
                    }
                }
            }
        }
    }

    /// All of the job's data have moved.
    fn finish(&mut self) {
        let Some(job) = self.job.take() else { return };
        let Some(unit) = &mut self.units[job.unit & 1] else { return };
        if job.means == Means::Dma {
            self.master.ended();
        }
        if job.packet {
            return unit.packet_done();
        }
        unit.succeed();
        // By the data register, the last block's interrupt was the last.
        if job.way == Way::In && job.means != Means::Dma {
            unit.interrupt = false;
        }
        if let Work::Medium { next, .. } = job.work {
            unit.tell((next / SECTOR).saturating_sub(1), 0, job.addressing);
        }
    }

    fn fail(&mut self, error: Error) {
        let Some(job) = self.job.take() else { return };
        self.master.ran_out();
        let Some(unit) = &mut self.units[job.unit & 1] else { return };
        if let Work::Medium { next, left, .. } = job.work {
            unit.tell(next / SECTOR, left / SECTOR, job.addressing);
        }
        unit.fail(error);
    }

    fn check(&mut self, sense: Sense) {
        let Some(job) = self.job.take() else { return };
        self.master.ran_out();
        if let Some(unit) = &mut self.units[job.unit & 1] {
            unit.check(sense);
        }
    }

    /// A request of this channel is done; `unit` is its drive's place on the channel.
    pub(super) fn completed(&mut self, cx: &mut Cx<'_>, unit: usize, completion: &BlockCompletion) {
        let Some(job) = self.job.as_mut() else { return };
        if job.wait != Wait::Drive(completion.tag) || job.unit != unit {
            return;
        }
        match &completion.result {
            Ok(data) => match (&mut job.work, job.way) {
                (Work::Medium { next, left, frame }, way) => {
                    let (first, len) = (*next / atapi::BLOCK, (*left).min(CHUNK));
                    *next += len;
                    *left -= len;
                    if way == Way::In {
                        job.buffer.clone_from(data);
                        job.buffer.resize(len as usize, 0);
                        if let Some(frame) = frame {
                            job.buffer = atapi::framed(*frame, first, &job.buffer);
                        }
                        self.offer(cx);
                    } else {
                        self.next_chunk(cx);
                    }
                }
                (Work::Reply | Work::Collect(_) | Work::Trim(_) | Work::Request, _) => self.next_chunk(cx),
            },
            Err(why) if job.packet => self.check(atapi::sense_of(*why)),
            Err(why) => {
                let error = error_of(*why, job.way);
                self.fail(error);
            }
        }
        self.wire(cx);
    }

    /// The time between two blocks is over.
    pub(super) fn gap_over(&mut self, cx: &mut Cx<'_>) {
        let Some(job) = self.job.as_ref().filter(|j| j.wait == Wait::Gap) else { return };
        if job.at < job.buffer.len() {
            self.offer(cx);
        } else {
            self.buffer_done(cx);
        }
        self.wire(cx);
    }

    /// The job in hand, if the guest may move data that way.
    fn at_data(&mut self, way: Way) -> Option<&mut Job> {
        let selected = self.selected;
        self.job.as_mut().filter(|j| j.wait == Wait::Guest && j.way == way && j.unit == selected)
    }

    fn data_read(&mut self, cx: &mut Cx<'_>, width: Width) -> u64 {
        let Some(job) = self.at_data(Way::In) else { return 0 };
        let mut bytes = [0; 8];
        let from = &job.buffer[job.at..job.end];
        let len = from.len().min(width.bytes() as usize);
        bytes[..len].copy_from_slice(&from[..len]);
        self.moved(cx, len);
        u64::from_le_bytes(bytes)
    }

    fn data_write(&mut self, cx: &mut Cx<'_>, width: Width, value: u64) {
        let Some(job) = self.at_data(Way::Out) else { return };
        let to = &mut job.buffer[job.at..job.end];
        let len = to.len().min(width.bytes() as usize);
        to[..len].copy_from_slice(&value.to_le_bytes()[..len]);
        self.moved(cx, len);
    }

    fn moved(&mut self, cx: &mut Cx<'_>, len: usize) {
        let Some(job) = &mut self.job else { return };
        job.at += len;
        if job.at < job.end {
            return;
        }
        let filled = job.at == job.buffer.len();
        let over = filled && (job.way == Way::Out || job.last_buffer() && !job.packet);
        if over {
            self.buffer_done(cx);
        } else {
            job.wait = Wait::Gap;
            if let Some(unit) = &mut self.units[job.unit & 1] {
                unit.status = Status::BSY;
            }
            cx.arm(TimerId(self.index.into()), cx.now() + GAP);
        }
        self.wire(cx);
    }

    /// Reads a bus master register.
    pub(super) fn master_read(&self, at: u64) -> u8 {
        self.master.read(at)
    }

    /// Writes a bus master register.
    pub(super) fn master_write(&mut self, cx: &mut Cx<'_>, at: u64, value: u8) {
        if self.master.write(at, value) == Asked::Started {
            self.kick(cx);
            self.wire(cx);
        }
    }

    /// The function may be a bus master, or may not.
    pub(super) fn permit(&mut self, cx: &mut Cx<'_>, permitted: bool) {
        self.master.permitted = permitted;
        self.kick(cx);
        self.wire(cx);
    }

    /// The tray of a CD drive.
    pub(super) fn tray(&self, unit: usize) -> Option<TrayState> {
        self.units.get(unit)?.as_ref().filter(|unit| unit.packet()).map(|unit| unit.tray.state())
    }

    pub(super) fn ask_for_medium(&mut self, unit: usize) {
        if let Some(unit) = self.units.get_mut(unit).and_then(Option::as_mut).filter(|u| u.packet()) {
            unit.tray.asked();
        }
    }

    /// Somebody outside moves a tray.
    pub(super) fn move_tray(&mut self, unit: usize, open: bool) {
        if let Some(unit) = self.units.get_mut(unit).and_then(Option::as_mut).filter(|u| u.packet()) {
            unit.tray.moved(open, unit.info.medium.is_some());
        }
    }

    /// A disk is longer or shorter. Nothing tells its driver, which has to ask; its geometry stays (as in QEMU).
    pub(super) fn resize(&mut self, unit: usize, bytes: u64) {
        if let Some(unit) = self.units.get_mut(unit).and_then(Option::as_mut).filter(|u| !u.packet())
            && let Some(medium) = &mut unit.info.medium
        {
            medium.bytes = bytes;
        }
    }

    /// Another medium, or none, lies in a drive.
    pub(super) fn change_medium(&mut self, unit: usize, medium: Option<Medium>) {
        if let Some(unit) = self.units.get_mut(unit).and_then(Option::as_mut).filter(|u| u.packet()) {
            unit.info.medium = medium;
            unit.tray.changed(medium.is_some());
        }
    }
}

fn error_of(why: BlockError, way: Way) -> Error {
    match (why, way) {
        (BlockError::Io, Way::In) => Error::UNC,
        (BlockError::OutOfRange, _) => Error::IDNF,
        (BlockError::NoMedium, _) => Error::NM | Error::ABRT,
        (BlockError::Io | BlockError::NoSpace | BlockError::ReadOnly, _) => Error::ABRT,
    }
}
