//! INT 19h and 18h: from the order of booting to the boot sector.

use serde::{Deserialize, Serialize};

use super::boot_cd::CdStage;
use super::boot_menu::MenuStage;
use super::disk::FIRST_DISK;
use super::frame::Frame;
use super::geometry::SECTOR;
use super::low_memory::{BOOT_SECTOR, TEXT, TEXT_MAX, cmos, outb};
use super::{Action, Bios, Board, DriveKind, DriveOperation};
use crate::rom;

/// CMOS: the third device and flags; the second and first device of the boot order.
const CMOS_BOOT_THIRD: u8 = 0x38;
const CMOS_BOOT_ORDER: u8 = 0x3d;

/// How far booting has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Boot {
    /// Drives in the order in which they are tried.
    pub(super) order: Vec<usize>,
    /// Which one is being tried.
    place: usize,
    /// When a wait ends, in nanoseconds of guest time.
    pub(super) until: u64,
    pub(super) stage: Stage,
    /// The first words have been said.
    pub(super) greeted: bool,
}

/// What booting does next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    /// INT 19h has not been called.
    #[default]
    Idle,
    /// Asks the user.
    Menu(MenuStage),
    /// Says what is tried.
    Announce,
    /// Asks for the first sector.
    Load,
    /// The first sector is there.
    Loaded,
    /// Finds out what a CD boots.
    Cd(CdStage),
    /// All has been tried.
    Exhausted,
    /// Resets after a while.
    Resetting,
}

const NANOS_PER_MILLISECOND: u64 = 1_000_000;

impl Bios {
    /// INT 19h.
    pub(super) fn bootstrap(&mut self, board: &mut dyn Board, f: &mut Frame) -> Action {
        match self.boot.stage {
            Stage::Idle => {
                self.boot.order = self.boot_order(board);
                self.boot.place = 0;
                match self.config.boot.menu_wait {
                    Some(wait) => self.offer_menu(board, wait),
                    None => self.announce(board),
                }
            }
            Stage::Menu(stage) => self.menu(board, stage),
            Stage::Announce => self.announce(board),
            Stage::Load => self.load(board),
            Stage::Loaded => self.loaded(board, f),
            Stage::Cd(stage) => self.boot_from_cd(board, f, stage),
            Stage::Exhausted => match self.config.boot.fail_wait {
                Some(wait) => {
                    self.wait_for(board, wait);
                    self.boot.stage = Stage::Resetting;
                    print(board, &format!("Retrying in {} seconds.\r\n", wait / 1000))
                }
                None => {
                    self.boot.stage = Stage::Idle;
                    f.go_to(0xf000, rom::ENTRY as u16);
                    Action::Done
                }
            },
            Stage::Resetting if board.now() < self.boot.until => Action::Yield,
            Stage::Resetting => {
                const RESET_CONTROL: u16 = 0xcf9;
                outb(board, RESET_CONTROL, 0x02);
                outb(board, RESET_CONTROL, 0x06);
                Action::Yield
            }
        }
    }

    /// A wait of so many milliseconds begins.
    pub(super) fn wait_for(&mut self, board: &mut dyn Board, milliseconds: u16) {
        self.boot.until = board.now() + u64::from(milliseconds) * NANOS_PER_MILLISECOND;
    }

    /// INT 18h: what was booted gives up.
    pub(super) fn boot_next(&mut self, board: &mut dyn Board, f: &mut Frame) -> Action {
        f.vector = 0x19;
        self.boot.place += 1;
        self.announce(board)
    }

    fn boot_order(&self, board: &mut dyn Board) -> Vec<usize> {
        let nibbles = u16::from(cmos(board, CMOS_BOOT_ORDER)) | u16::from(cmos(board, CMOS_BOOT_THIRD) & 0xf0) << 4;
        let kinds: Vec<_> = (0..3).filter_map(|i| kind_in_cmos(nibbles >> (4 * i) & 0xf)).collect();
        let drives = &self.disks.drives;
        let mut order: Vec<_> = [DriveKind::Floppy, DriveKind::HardDisk, DriveKind::Cdrom]
            .into_iter()
            .flat_map(|kind| self.disks.of_kind(kind).iter().copied())
            .collect();
        let strict = self.config.boot.strict && drives.iter().any(|drive| drive.boot_order.is_some());
        order.retain(|i| !strict || drives[*i].boot_order.is_some());
        let rank = |kind| kinds.iter().position(|k| *k == kind).unwrap_or(kinds.len());
        order.sort_by_key(|i| (drives[*i].boot_order.unwrap_or(u32::MAX), rank(drives[*i].kind)));
        order
    }

    /// The drive being tried.
    pub(super) fn boot_drive(&self) -> Option<usize> {
        self.boot.order.get(self.boot.place).copied()
    }

    pub(super) fn announce(&mut self, board: &mut dyn Board) -> Action {
        let Some(index) = self.boot_drive() else {
            self.boot.stage = Stage::Exhausted;
            return print(board, "No bootable device.\r\n");
        };
        self.disks.booted_cd = None;
        let drive = self.disks.drives.get(index);
        let (name, stage) = match drive.map(|d| d.kind) {
            Some(DriveKind::Floppy) => ("Floppy", Stage::Load),
            Some(DriveKind::Cdrom) => ("DVD/CD", Stage::Cd(CdStage::Descriptor)),
            Some(DriveKind::HardDisk) | None => ("Hard Disk", Stage::Load),
        };
        self.boot.stage = stage;
        print(board, &format!("Booting from {name}...\r\n"))
    }

    fn load(&mut self, board: &mut dyn Board) -> Action {
        let Some(index) = self.boot_drive() else { return self.announce(board) };
        self.boot.stage = Stage::Loaded;
        self.disks.start(board, index, DriveOperation::Read { offset: 0, len: SECTOR })
    }

    fn loaded(&mut self, board: &mut dyn Board, f: &mut Frame) -> Action {
        let Some(result) = self.disks.take_result() else { return Action::Poll };
        let kind = self.boot_drive().and_then(|i| self.disks.drives.get(i)).map(|d| d.kind);
        let is_floppy = kind == Some(DriveKind::Floppy);
        match result {
            Err(_) => self.failed(board, "could not read the boot disk"),
            Ok(sector) if !signed(&sector) && (!is_floppy || self.config.floppy_signature_check) => {
                self.failed(board, "not a bootable disk")
            }
            Ok(sector) => {
                board.write(BOOT_SECTOR, &sector);
                let place = self.boot_drive().and_then(|index| {
                    let kind = if is_floppy { DriveKind::Floppy } else { DriveKind::HardDisk };
                    self.disks.of_kind(kind).iter().position(|i| *i == index)
                });
                let first = if is_floppy { 0 } else { FIRST_DISK };
                self.enter(f, first.wrapping_add(place.unwrap_or(0) as u8), 0, BOOT_SECTOR as u16)
            }
        }
    }

    /// Goes on with the next drive.
    pub(super) fn failed(&mut self, board: &mut dyn Board, why: &str) -> Action {
        self.boot.place += 1;
        self.boot.stage = Stage::Announce;
        print(board, &format!("Boot failed: {why}\r\n\r\n"))
    }

    /// Leaves for what was loaded.
    pub(super) fn enter(&mut self, f: &mut Frame, number: u8, segment: u16, offset: u16) -> Action {
        self.boot.stage = Stage::Idle;
        (f.eax, f.ebx, f.ecx, f.edx, f.esi, f.edi, f.ebp) = (0xaa55, 0, 0, number.into(), 0, 0, 0);
        (f.ds, f.es) = (0, 0);
        f.go_to(segment, offset);
        f.enable_interrupts();
        f.set_carry(false);
        Action::Done
    }
}

fn kind_in_cmos(nibble: u16) -> Option<DriveKind> {
    match nibble {
        1 => Some(DriveKind::Floppy),
        2 => Some(DriveKind::HardDisk),
        3 => Some(DriveKind::Cdrom),
        _ => None,
    }
}

fn signed(sector: &[u8]) -> bool {
    sector.get(510..512) == Some(&[0x55, 0xaa])
}

/// Has the stub show a text.
pub(super) fn print(board: &mut dyn Board, text: &str) -> Action {
    let mut bytes = text.as_bytes().to_vec();
    bytes.truncate(TEXT_MAX - 1);
    bytes.push(0);
    board.write(TEXT, &bytes);
    Action::Print
}
