//! INT 13h: the numbers of drives, requests in progress, and the functions that take cylinders, heads and sectors.

use serde::{Deserialize, Serialize};

use super::frame::{Frame, linear};
use super::geometry::{self, Geometry, SECTOR};
use super::low_memory::{self, byte, put_byte, put_word};
use super::{Action, Bios, BiosDrive, Board, DriveError, DriveKind, DriveOperation, DriveRequest};

/// The first hard disk, and the first CD drive.
pub(super) const FIRST_DISK: u8 = 0x80;
pub(super) const FIRST_CD: u8 = 0xe0;
/// Sectors of a CD.
pub(super) const CD_SECTOR: u64 = 2048;
/// The floppy parameter table in ROM, for INT 1Eh.
pub(super) const DISKETTE_TABLE: u16 = crate::rom::DISKETTE_TABLE as u16;

/// Status bytes in AH.
pub(super) mod status {
    pub(in super::super) const OK: u8 = 0x00;
    pub(in super::super) const BAD_COMMAND: u8 = 0x01;
    pub(in super::super) const WRITE_PROTECTED: u8 = 0x03;
    pub(in super::super) const NOT_FOUND: u8 = 0x04;
    pub(in super::super) const CHANGED: u8 = 0x06;
    pub(in super::super) const UNREADABLE: u8 = 0x10;
    pub(in super::super) const NO_MEDIUM: u8 = 0x31;
    pub(in super::super) const NOT_READY: u8 = 0x80;
    pub(in super::super) const NOT_REMOVABLE: u8 = 0xb2;
    pub(in super::super) const WRITE_FAULT: u8 = 0xcc;
}

/// What a CD was booted by (El Torito), and what it stands in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CdBoot {
    /// Index of the CD drive.
    pub(super) index: usize,
    /// The boot catalog's media type: 0 is no emulation.
    pub(super) media: u8,
    /// The drive number that was booted from.
    pub(super) number: u8,
    /// First sector of the image on the CD.
    pub(super) image: u32,
    /// Bytes of the emulated drive.
    pub(super) bytes: u64,
    pub(super) geometry: Geometry,
    pub(super) load_segment: u16,
    pub(super) load_count: u16,
    /// The image still stands in for a drive.
    pub(super) emulating: bool,
}

/// What a drive number leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) number: u8,
    pub(super) index: usize,
    pub(super) kind: DriveKind,
    /// Where it begins on the medium, for an emulated drive.
    pub(super) base: u64,
    pub(super) bytes: u64,
    /// Bytes of a sector.
    pub(super) sector: u64,
    pub(super) geometry: Geometry,
    pub(super) read_only: bool,
    pub(super) emulated: bool,
}

/// What INT 13h is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Transfer {
    /// Who asked: the frame's address.
    pub(super) frame: u32,
    pub(super) number: u8,
    /// Where read data goes.
    pub(super) to: Option<u64>,
    pub(super) writes: bool,
    pub(super) count: u16,
    /// The disk address packet of an extended call.
    pub(super) packet: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Io {
    tag: u64,
    result: Option<Result<Vec<u8>, DriveError>>,
}

/// Drives and the request in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Disks {
    pub(super) drives: Vec<BiosDrive>,
    /// Indices into `drives` in the order of their numbers.
    floppies: Vec<usize>,
    hard_disks: Vec<usize>,
    cds: Vec<usize>,
    /// Drives whose medium was changed since the last look.
    changed: Vec<bool>,
    pub(super) booted_cd: Option<CdBoot>,
    next_tag: u64,
    io: Option<Io>,
    transfer: Option<Transfer>,
}

impl Disks {
    pub(super) fn new(drives: &[BiosDrive]) -> Self {
        let of_kind = |kind| {
            let mut all: Vec<_> = (0..drives.len()).filter(|i| drives[*i].kind == kind).collect();
            all.sort_by_key(|i| drives[*i].boot_order.unwrap_or(u32::MAX));
            all
        };
        Self {
            floppies: of_kind(DriveKind::Floppy),
            hard_disks: of_kind(DriveKind::HardDisk),
            cds: of_kind(DriveKind::Cdrom),
            changed: vec![false; drives.len()],
            drives: drives.to_vec(),
            booted_cd: None,
            next_tag: 0,
            io: None,
            transfer: None,
        }
    }

    pub(super) fn next_tag(&self) -> u64 {
        self.next_tag
    }

    pub(super) fn continue_tags(&mut self, tag: u64) {
        self.next_tag = tag;
    }

    /// Whether the completion is of the request that is being waited for.
    pub(super) fn completed(&mut self, tag: u64, result: Result<Vec<u8>, DriveError>) -> bool {
        match &mut self.io {
            Some(io) if io.tag == tag => {
                io.result = Some(result);
                true
            }
            _ => false,
        }
    }

    pub(super) fn medium_changed(&mut self, drive: u8, bytes: u64, read_only: bool) {
        for (held, changed) in self.drives.iter_mut().zip(&mut self.changed).filter(|(d, _)| d.drive == drive) {
            (held.bytes, held.read_only) = (bytes, read_only);
            *changed = true;
        }
    }

    /// Sends a request; the one before it, if any, is forgotten.
    pub(super) fn start(&mut self, board: &mut dyn Board, index: usize, operation: DriveOperation) -> Action {
        let Some(drive) = self.drives.get(index) else { return Action::Done };
        let tag = self.next_tag;
        self.next_tag = self.next_tag.wrapping_add(1);
        self.io = Some(Io { tag, result: None });
        board.submit(DriveRequest { drive: drive.drive, tag, operation });
        Action::Poll
    }

    /// What became of the last request.
    pub(super) fn take_result(&mut self) -> Option<Result<Vec<u8>, DriveError>> {
        match self.io.take() {
            Some(Io { result: Some(result), .. }) => Some(result),
            waiting => {
                self.io = waiting;
                None
            }
        }
    }

    /// How many drives of a kind have numbers now.
    pub(super) fn count(&self, kind: DriveKind) -> usize {
        self.of_kind(kind).len() + usize::from(self.emulated(kind).is_some())
    }

    /// The drives of a kind in the order of their numbers.
    pub(super) fn of_kind(&self, kind: DriveKind) -> &[usize] {
        match kind {
            DriveKind::Floppy => &self.floppies,
            DriveKind::HardDisk => &self.hard_disks,
            DriveKind::Cdrom => &self.cds,
        }
    }

    fn emulated(&self, kind: DriveKind) -> Option<&CdBoot> {
        self.booted_cd.as_ref().filter(|cd| cd.emulating && kind_of(cd.number) == kind)
    }

    /// The drive behind a number. An emulated drive takes the first number of its kind and moves the others up.
    pub(super) fn target(&self, number: u8) -> Option<Target> {
        let kind = kind_of(number);
        let mut place = usize::from(number - first_of(kind));
        if let Some(cd) = self.emulated(kind) {
            if place == 0 {
                return Some(Target {
                    number,
                    index: cd.index,
                    kind,
                    base: u64::from(cd.image) * CD_SECTOR,
                    bytes: cd.bytes,
                    sector: SECTOR,
                    geometry: cd.geometry,
                    read_only: true,
                    emulated: true,
                });
            }
            place -= 1;
        }
        let index = *self.of_kind(kind).get(place)?;
        let drive = self.drives.get(index)?;
        let (sector, geometry) = match kind {
            DriveKind::Floppy => (SECTOR, Geometry::of_floppy(drive.bytes)),
            DriveKind::HardDisk => (SECTOR, Geometry::of_disk(drive.bytes)),
            DriveKind::Cdrom => (CD_SECTOR, Geometry::of_disk(0)),
        };
        let (bytes, read_only) = (drive.bytes, drive.read_only || kind == DriveKind::Cdrom);
        Some(Target { number, index, kind, base: 0, bytes, sector, geometry, read_only, emulated: false })
    }

    /// Whether the drive's medium changed since this was last asked.
    fn take_change(&mut self, index: usize) -> bool {
        self.changed.get_mut(index).is_some_and(std::mem::take)
    }
}

fn kind_of(number: u8) -> DriveKind {
    match number {
        ..FIRST_DISK => DriveKind::Floppy,
        FIRST_DISK..FIRST_CD => DriveKind::HardDisk,
        FIRST_CD.. => DriveKind::Cdrom,
    }
}

fn first_of(kind: DriveKind) -> u8 {
    match kind {
        DriveKind::Floppy => 0,
        DriveKind::HardDisk => FIRST_DISK,
        DriveKind::Cdrom => FIRST_CD,
    }
}

/// Ends a call with a status.
pub(super) fn give(board: &mut dyn Board, f: &mut Frame, number: u8, status: u8) -> Action {
    f.set_ah(status);
    f.set_carry(status != status::OK);
    put_byte(board, status_at(number), status);
    Action::Done
}

fn status_at(number: u8) -> u64 {
    if number < FIRST_DISK { low_memory::FLOPPY_STATUS } else { low_memory::DISK_STATUS }
}

fn status_of(error: DriveError, transfer: &Transfer) -> u8 {
    match error {
        DriveError::Io if transfer.writes => status::WRITE_FAULT,
        DriveError::Io => status::UNREADABLE,
        DriveError::ReadOnly => status::WRITE_PROTECTED,
        DriveError::OutOfRange => status::NOT_FOUND,
        DriveError::NoMedium if transfer.number < FIRST_DISK => status::NOT_READY,
        DriveError::NoMedium => status::NO_MEDIUM,
    }
}

impl Bios {
    /// INT 13h.
    pub(super) fn disk(&mut self, board: &mut dyn Board, f: &mut Frame) -> Action {
        if let Some(transfer) = self.disks.transfer.take_if(|t| t.frame == f.at)
            && let Some(result) = self.disks.take_result()
        {
            return finish(board, f, &transfer, result);
        }
        let number = f.dl();
        if matches!(f.ah(), 0x4a..=0x4d) {
            return self.cd_emulation(board, f);
        }
        let Some(target) = self.disks.target(number) else {
            if f.ah() == 0x15 {
                f.set_ah(0);
                f.set_carry(false);
                return Action::Done;
            }
            if f.ah() == 0x08 && number < FIRST_DISK {
                return self.no_floppy(board, f);
            }
            return give(board, f, number, status::BAD_COMMAND);
        };
        match f.ah() {
            // Reset, initialize and recalibrate in their several forms, and tests that all pass.
            0x00 | 0x09 | 0x0c | 0x0d | 0x10 | 0x11 | 0x12 | 0x13 | 0x14 => give(board, f, number, status::OK),
            0x01 => {
                let status = byte(board, status_at(number));
                f.set_ah(status);
                f.set_carry(status != status::OK);
                Action::Done
            }
            0x02..=0x04 if target.kind != DriveKind::Cdrom => self.sectors(board, f, &target),
            0x05 if target.kind == DriveKind::Floppy => self.format_track(board, f, &target),
            0x08 if target.kind != DriveKind::Cdrom => self.parameters(board, f, &target),
            0x15 => self.drive_type(board, f, &target),
            0x16 if target.kind == DriveKind::Floppy => {
                let changed = self.disks.take_change(target.index);
                let status = if target.bytes == 0 {
                    status::NOT_READY
                } else if changed {
                    status::CHANGED
                } else {
                    status::OK
                };
                give(board, f, number, status)
            }
            0x17 | 0x18 if target.kind == DriveKind::Floppy => {
                f.es = 0xf000;
                f.edi = f.edi & 0xffff_0000 | u32::from(DISKETTE_TABLE);
                give(board, f, number, status::OK)
            }
            0x41..=0x49 | 0x4e if target.kind != DriveKind::Floppy => self.extended_disk(board, f, &target),
            _ => give(board, f, number, status::BAD_COMMAND),
        }
    }

    /// Starts a transfer of `count` sectors from `first` on, to or from `buffer` (none: verify).
    pub(super) fn transfer(&mut self, board: &mut dyn Board, f: &mut Frame, target: &Target, wanted: Wanted) -> Action {
        let number = target.number;
        let len = u64::from(wanted.count) * target.sector;
        let Some(offset) = wanted.first.checked_mul(target.sector) else {
            return give(board, f, number, status::NOT_FOUND);
        };
        if target.bytes == 0 {
            let status = if target.kind == DriveKind::Floppy { status::NOT_READY } else { status::NO_MEDIUM };
            return give(board, f, number, status);
        }
        if offset.checked_add(len).is_none_or(|end| end > target.bytes) {
            return give(board, f, number, status::NOT_FOUND);
        }
        if wanted.write && target.read_only {
            return give(board, f, number, status::WRITE_PROTECTED);
        }
        let offset = target.base + offset;
        let operation = match (wanted.write, wanted.buffer) {
            (true, Some(buffer)) => {
                let mut data = vec![0; len as usize];
                board.read(buffer, &mut data);
                DriveOperation::Write { offset, data }
            }
            _ => DriveOperation::Read { offset, len },
        };
        let to = wanted.buffer.filter(|_| !wanted.write);
        let (count, writes, packet) = (wanted.count, wanted.write, wanted.packet);
        self.disks.transfer = Some(Transfer { frame: f.at, number, to, writes, count, packet });
        self.disks.start(board, target.index, operation)
    }

    /// AH=02h, 03h, 04h: read, write, verify.
    fn sectors(&mut self, board: &mut dyn Board, f: &mut Frame, target: &Target) -> Action {
        let count = u16::from(f.al());
        let first = target.geometry.sector_number(f.cx(), f.dh());
        let (write, verify) = (f.ah() == 0x03, f.ah() == 0x04);
        let buffer = (!verify).then(|| f.es_bx());
        if count == 0 {
            return give(board, f, target.number, status::BAD_COMMAND);
        }
        match first {
            Some(first) => self.transfer(board, f, target, Wanted { first, count, buffer, write, packet: None }),
            None => {
                f.set_al(0);
                give(board, f, target.number, status::NOT_FOUND)
            }
        }
    }

    /// AH=05h: fills a floppy's track with the byte that formatting leaves.
    fn format_track(&mut self, board: &mut dyn Board, f: &mut Frame, target: &Target) -> Action {
        const FILL: u8 = 0xf6;
        let track = f.cx() & 0xff00 | 1;
        let Some(first) = target.geometry.sector_number(track, f.dh()) else {
            return give(board, f, target.number, status::NOT_FOUND);
        };
        if target.read_only || target.bytes == 0 {
            let status = if target.bytes == 0 { status::NOT_READY } else { status::WRITE_PROTECTED };
            return give(board, f, target.number, status);
        }
        let data = vec![FILL; usize::from(target.geometry.sectors) * SECTOR as usize];
        let (frame, number) = (f.at, target.number);
        let count = u16::from(f.al());
        self.disks.transfer = Some(Transfer { frame, number, to: None, writes: true, count, packet: None });
        self.disks.start(board, target.index, DriveOperation::Write { offset: first * SECTOR, data })
    }

    /// AH=08h.
    fn parameters(&mut self, board: &mut dyn Board, f: &mut Frame, target: &Target) -> Action {
        f.set_cx(target.geometry.last_cylinder_and_sector());
        f.set_dh((target.geometry.heads - 1) as u8);
        f.set_dl(self.disks.count(target.kind) as u8);
        f.set_ax(0);
        if target.kind == DriveKind::Floppy {
            f.set_bx(geometry::floppy_type(target.bytes).into());
            f.es = 0xf000;
            f.edi = f.edi & 0xffff_0000 | u32::from(DISKETTE_TABLE);
        }
        give(board, f, target.number, status::OK)
    }

    /// AH=08h of a floppy drive that is not there: a drive of no type.
    fn no_floppy(&mut self, board: &mut dyn Board, f: &mut Frame) -> Action {
        let number = f.dl();
        let count = self.disks.count(DriveKind::Floppy) as u8;
        f.set_ax(0);
        f.set_bx(0);
        f.set_cx(0);
        f.set_dx(count.into());
        (f.es, f.edi) = (0, f.edi & 0xffff_0000);
        give(board, f, number, status::OK)
    }

    /// AH=15h: what there is, and for hard disks its sectors.
    fn drive_type(&mut self, board: &mut dyn Board, f: &mut Frame, target: &Target) -> Action {
        const FLOPPY_WITH_CHANGE_LINE: u8 = 2;
        const HARD_DISK: u8 = 3;
        put_byte(board, status_at(target.number), status::OK);
        f.set_carry(false);
        match target.kind {
            DriveKind::Floppy => f.set_ah(FLOPPY_WITH_CHANGE_LINE),
            DriveKind::HardDisk => {
                let sectors = target.geometry.total().min(target.bytes / SECTOR) as u32;
                f.set_ah(HARD_DISK);
                f.set_cx((sectors >> 16) as u16);
                f.set_dx(sectors as u16);
            }
            DriveKind::Cdrom => return give(board, f, target.number, status::BAD_COMMAND),
        }
        Action::Done
    }
}

/// A transfer that a caller wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) first: u64,
    pub(super) count: u16,
    pub(super) buffer: Option<u64>,
    pub(super) write: bool,
    pub(super) packet: Option<u64>,
}

fn finish(board: &mut dyn Board, f: &mut Frame, transfer: &Transfer, result: Result<Vec<u8>, DriveError>) -> Action {
    const PACKET_COUNT: u64 = 2;
    let (status, moved) = match result {
        Ok(data) => {
            if let Some(to) = transfer.to {
                board.write(to, &data);
            }
            (status::OK, transfer.count)
        }
        Err(error) => (status_of(error, transfer), 0),
    };
    match transfer.packet {
        Some(packet) => put_word(board, packet + PACKET_COUNT, moved),
        None => f.set_al(moved as u8),
    }
    give(board, f, transfer.number, status)
}

/// A buffer in a disk address packet: a real-mode address.
pub(super) fn far_pointer(value: u32) -> u64 {
    linear((value >> 16) as u16, value as u16)
}
