//! Booting a CD by El Torito 1.0: descriptor, catalog, image.

use serde::{Deserialize, Serialize};

use super::boot::Stage;
use super::disk::{CD_SECTOR, CdBoot, FIRST_CD, FIRST_DISK};
use super::frame::Frame;
use super::geometry::{Geometry, SECTOR};
use super::low_memory::BOOT_SECTOR;
use super::{Action, Bios, Board, DriveKind, DriveOperation};

/// What is read next from a CD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum CdStage {
    /// The boot record volume descriptor.
    Descriptor,
    /// It is there: then the catalog.
    Catalog,
    /// It is there: then the image's first sector, for an emulated hard disk's geometry.
    Entry,
    /// It is there: then the image.
    Image(CdBoot),
    /// All is there.
    Enter(CdBoot),
}

/// The boot record volume descriptor's sector, and where the catalog's sector number is in it.
const DESCRIPTOR_SECTOR: u64 = 17;
const CATALOG_AT: usize = 0x47;
/// The catalog's validation entry, and the initial entry behind it.
const VALIDATION_ID: u8 = 1;
const BOOTABLE: u8 = 0x88;
/// Media types.
const NO_EMULATION: u8 = 0;
const FLOPPY_1200: u8 = 1;
const FLOPPY_1440: u8 = 2;
const FLOPPY_2880: u8 = 3;
const HARD_DISK: u8 = 4;
/// Where an image goes unless it says otherwise.
const USUAL_SEGMENT: u16 = 0x07c0;

impl Bios {
    pub(super) fn boot_from_cd(&mut self, board: &mut dyn Board, f: &mut Frame, stage: CdStage) -> Action {
        let Some(index) = self.boot_drive() else { return self.failed(board, "there is no such drive") };
        if stage == CdStage::Descriptor {
            self.boot.stage = Stage::Cd(CdStage::Catalog);
            return self.read_cd(board, index, DESCRIPTOR_SECTOR, CD_SECTOR);
        }
        let Some(result) = self.disks.take_result() else { return Action::Poll };
        let Ok(data) = result else { return self.failed(board, "could not read from the CD") };
        let next = match stage {
            CdStage::Descriptor | CdStage::Catalog => catalog_sector(&data).map(|at| (CdStage::Entry, at, CD_SECTOR)),
            CdStage::Entry => entry(&data, index).map(|cd| {
                let len = if cd.media == NO_EMULATION { u64::from(cd.load_count) * SECTOR } else { SECTOR };
                let stage = if cd.media == HARD_DISK { CdStage::Image(cd) } else { CdStage::Enter(cd) };
                (stage, cd.image, len)
            }),
            CdStage::Image(cd) => Geometry::of_partition_table(&data).map(|geometry| {
                let cd = CdBoot { geometry, bytes: geometry.total() * SECTOR, ..cd };
                (CdStage::Enter(cd), cd.image, SECTOR)
            }),
            CdStage::Enter(cd) => return self.enter_cd(board, f, cd, &data),
        };
        match next {
            Some((stage, sector, len)) => {
                self.boot.stage = Stage::Cd(stage);
                self.read_cd(board, index, sector.into(), len)
            }
            None => self.failed(board, "not a bootable CD"),
        }
    }

    fn read_cd(&mut self, board: &mut dyn Board, index: usize, sector: u64, len: u64) -> Action {
        self.disks.start(board, index, DriveOperation::Read { offset: sector * CD_SECTOR, len })
    }

    fn enter_cd(&mut self, board: &mut dyn Board, f: &mut Frame, mut cd: CdBoot, image: &[u8]) -> Action {
        if cd.media == NO_EMULATION {
            let place = self.disks.of_kind(DriveKind::Cdrom).iter().position(|i| *i == cd.index);
            cd.number = FIRST_CD.wrapping_add(place.unwrap_or(0) as u8);
        }
        board.write(u64::from(cd.load_segment) * 16, image);
        self.disks.booted_cd = Some(cd);
        // Code that was linked for 0:7C00 finds itself there, whatever segment it was loaded by.
        let (segment, offset) = match u64::from(cd.load_segment) * 16 {
            BOOT_SECTOR => (0, BOOT_SECTOR as u16),
            _ => (cd.load_segment, 0),
        };
        self.enter(f, cd.number, segment, offset)
    }
}

/// The catalog's sector, if this is an El Torito descriptor.
fn catalog_sector(descriptor: &[u8]) -> Option<u32> {
    let is_record = descriptor.get(..7)? == b"\0CD001\x01";
    let is_el_torito = descriptor.get(7..30)? == b"EL TORITO SPECIFICATION";
    let at = descriptor.get(CATALOG_AT..)?.first_chunk()?;
    (is_record && is_el_torito).then_some(u32::from_le_bytes(*at))
}

/// The catalog's initial entry, if it can be booted.
fn entry(catalog: &[u8], index: usize) -> Option<CdBoot> {
    let validation = catalog.get(..32)?;
    let words = validation.chunks_exact(2).map(|w| u16::from_le_bytes([w[0], w[1]]));
    let sum = words.fold(0_u16, u16::wrapping_add);
    if validation[0] != VALIDATION_ID || validation[30..] != [0x55, 0xaa] || sum != 0 {
        return None;
    }
    let entry: [u8; 32] = *catalog.get(32..64)?.first_chunk()?;
    let media = entry[1] & 0x0f;
    if entry[0] != BOOTABLE || media > HARD_DISK {
        return None;
    }
    let segment = u16::from_le_bytes([entry[2], entry[3]]);
    let count = u16::from_le_bytes([entry[6], entry[7]]);
    let image = u32::from_le_bytes([entry[8], entry[9], entry[10], entry[11]]);
    let bytes = match media {
        FLOPPY_1200 => 1200 << 10,
        FLOPPY_1440 => 1440 << 10,
        FLOPPY_2880 => 2880 << 10,
        _ => 0,
    };
    Some(CdBoot {
        index,
        media,
        number: if media == HARD_DISK { FIRST_DISK } else { 0 },
        image,
        bytes,
        geometry: Geometry::of_floppy(bytes),
        load_segment: if segment == 0 { USUAL_SEGMENT } else { segment },
        load_count: count.max(1),
        emulating: media != NO_EMULATION,
    })
}
