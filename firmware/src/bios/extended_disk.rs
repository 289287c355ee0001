//! INT 13h AH=41h to 4Eh: sectors by number (EDD 3.0), and what a CD emulates (El Torito 1.0, chapter 5).

use super::disk::{Target, Wanted, far_pointer, give, status};
use super::frame::Frame;
use super::low_memory::{byte, dword, put_word, word};
use super::{Action, Bios, Board, DriveKind};
use crate::layout::Layout;

/// Interface subsets in CX of AH=41h: fixed disk access; drive locking and ejecting; EDD.
const FIXED_DISK: u16 = 1 << 0;
const LOCKING: u16 = 1 << 1;
const EDD: u16 = 1 << 2;
/// EDD 3.0 in AH of AH=41h.
const VERSION: u8 = 0x30;

impl Bios {
    pub(super) fn extended_disk(&mut self, board: &mut dyn Board, f: &mut Frame, target: &Target) -> Action {
        let number = target.number;
        match f.ah() {
            0x41 => {
                if f.bx() != 0x55aa {
                    return give(board, f, number, status::BAD_COMMAND);
                }
                f.set_bx(0xaa55);
                let locking = if target.kind == DriveKind::Cdrom { LOCKING } else { 0 };
                f.set_cx(FIXED_DISK | EDD | locking);
                give(board, f, number, status::OK);
                f.set_ah(VERSION);
                Action::Done
            }
            0x42..=0x44 | 0x47 => self.packet(board, f, target),
            // A lock counts nothing here: nobody takes the disc but by the monitor, which may always.
            0x45 if target.kind == DriveKind::Cdrom => {
                f.set_al(0);
                give(board, f, number, status::OK)
            }
            0x46 if target.kind == DriveKind::Cdrom => give(board, f, number, status::NO_MEDIUM),
            0x45 | 0x46 => give(board, f, number, status::NOT_REMOVABLE),
            0x48 => drive_parameters(board, f, target),
            0x49 => give(board, f, number, status::OK),
            // Hardware configuration (DMA, prefetch): as asked, since it makes no difference.
            0x4e => {
                f.set_al(0);
                give(board, f, number, status::OK)
            }
            _ => give(board, f, number, status::BAD_COMMAND),
        }
    }

    /// A disk address packet: size, 0, count, buffer, first sector, and in long ones a 64-bit buffer.
    fn packet(&mut self, board: &mut dyn Board, f: &mut Frame, target: &Target) -> Action {
        const SHORT: u8 = 0x10;
        const LONG: u8 = 0x18;
        let at = f.ds_si();
        let size = byte(board, at);
        if size < SHORT {
            return give(board, f, target.number, status::BAD_COMMAND);
        }
        let count = word(board, at + 2);
        let pointer = dword(board, at + 4);
        let first = u64::from(dword(board, at + 12)) << 32 | u64::from(dword(board, at + 8));
        let buffer = if size >= LONG && pointer == u32::MAX {
            u64::from(dword(board, at + 20)) << 32 | u64::from(dword(board, at + 16))
        } else {
            far_pointer(pointer)
        };
        let (write, moves) = (f.ah() == 0x43, matches!(f.ah(), 0x42 | 0x43));
        if f.ah() == 0x47 || count == 0 {
            let beyond = first >= target.bytes / target.sector;
            return give(board, f, target.number, if beyond { status::NOT_FOUND } else { status::OK });
        }
        let wanted = Wanted { first, count, buffer: moves.then_some(buffer), write, packet: Some(at) };
        let action = self.transfer(board, f, target, wanted);
        if action == Action::Done {
            put_word(board, at + 2, 0);
        }
        action
    }

    /// AH=4Ah to 4Dh. Only the emulation that the CD was booted with can be asked for and ended; none can be started later.
    pub(super) fn cd_emulation(&mut self, board: &mut dyn Board, f: &mut Frame) -> Action {
        const ALL: u8 = 0x7f;
        const PACKET_SIZE: u8 = 0x13;
        const KEEP: u8 = 0x01;
        let number = f.dl();
        let Some(cd) = self.disks.booted_cd.as_mut().filter(|cd| f.ah() == 0x4b && [cd.number, ALL].contains(&number))
        else {
            return give(board, f, number, status::BAD_COMMAND);
        };
        let sectors = if cd.emulating { cd.geometry } else { super::geometry::Geometry::of_disk(0) };
        let mut packet = Layout::default();
        packet.u8(PACKET_SIZE).u8(cd.media).u8(cd.number).u8(0).u32(cd.image).u16(0).u16(0);
        packet.u16(cd.load_segment).u16(cd.load_count);
        match cd.emulating {
            true => packet
                .u8(sectors.last_cylinder_and_sector().to_be_bytes()[0])
                .u8(sectors.last_cylinder_and_sector() as u8)
                .u8((sectors.heads - 1) as u8),
            false => packet.zeroes(3),
        };
        if f.al() != KEEP {
            cd.emulating = false;
        }
        board.write(f.ds_si(), &packet.0);
        give(board, f, number, status::OK)
    }
}

/// AH=48h: the table of 26 bytes, or of 30 with an empty pointer to the device's own parameters.
fn drive_parameters(board: &mut dyn Board, f: &mut Frame, target: &Target) -> Action {
    const SHORT: u16 = 26;
    const WITH_DEVICE: u16 = 30;
    const GEOMETRY_VALID: u16 = 1 << 1;
    const REMOVABLE: u16 = 1 << 2;
    const CHANGE_LINE: u16 = 1 << 4;
    const LOCKABLE: u16 = 1 << 5;
    let at = f.ds_si();
    let room = word(board, at);
    if room < SHORT {
        return give(board, f, target.number, status::BAD_COMMAND);
    }
    let size = if room < WITH_DEVICE { SHORT } else { WITH_DEVICE };
    let total = target.bytes / target.sector;
    let mut table = Layout::default();
    table.u16(size);
    if target.kind == DriveKind::Cdrom {
        table.u16(REMOVABLE | CHANGE_LINE | LOCKABLE).u32(u32::MAX).u32(u32::MAX).u32(u32::MAX).u64(total);
    } else {
        let g = target.geometry;
        // Without translation to 1,024 cylinders, as an IDE disk counts them.
        let cylinders = (total / (u64::from(g.heads) * u64::from(g.sectors))).min(16383) as u32;
        table.u16(GEOMETRY_VALID).u32(cylinders).u32(g.heads.into()).u32(g.sectors.into()).u64(total);
    }
    table.u16(target.sector as u16);
    if size == WITH_DEVICE {
        table.u32(u32::MAX);
    }
    board.write(at, &table.0);
    give(board, f, target.number, status::OK)
}
