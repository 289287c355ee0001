//! The commands that read the medium, and the frames of a CD's sectors (MMC-3, sections 4.2.3 and 6.21).

use super::{BLOCK, Packet, PacketAct, Sense};
use crate::ide::job::Frame;

const SYNC_LEN: usize = 12;
/// Error detection and correction of a mode 1 sector: EDC, eight bytes of zeroes, ECC.
const CORRECTION_LEN: usize = 288;
const MODE_1: u8 = 1;
/// Two seconds of lead-in lie before block 0.
const LEAD_IN: u64 = 150;

/// READ CD's selection of the main channel, byte 9 of the packet.
const SELECT_CORRECTION: u8 = 1 << 3;
const SELECT_DATA: u8 = 1 << 4;
const SELECT_HEADER: u8 = 1 << 5;
const SELECT_SUBHEADER: u8 = 1 << 6;
const SELECT_SYNC: u8 = 1 << 7;
const SELECT_ERROR_FLAGS: u8 = 3 << 1;

/// The first block, if all of them exist.
pub(super) fn existing(first: u64, count: u64, blocks: u64) -> Result<u64, Sense> {
    if first + count <= blocks && first < blocks.max(1) { Ok(first) } else { Err(Sense::OUT_OF_RANGE) }
}

/// READ (10) and READ (12).
pub(super) fn blocks(first: u64, count: u64, blocks: u64) -> Result<PacketAct, Sense> {
    let first = existing(first, count, blocks)?;
    Ok(if count == 0 { PacketAct::Done } else { PacketAct::Read { first, blocks: count, frame: None } })
}

/// READ CD.
pub(super) fn cd(packet: Packet<'_>, blocks: u64) -> Result<PacketAct, Sense> {
    select(packet, packet.number(2, 4), packet.number(6, 3), blocks)
}

/// READ CD MSF: from a minute, second and frame to before another.
pub(super) fn cd_msf(packet: Packet<'_>, blocks: u64) -> Result<PacketAct, Sense> {
    let block = |at: usize| {
        let [minute, second, frame] = [0, 1, 2].map(|i| u64::from(packet.byte(at + i)));
        ((minute * 60 + second) * 75 + frame).checked_sub(LEAD_IN).ok_or(Sense::OUT_OF_RANGE)
    };
    let (first, end) = (block(3)?, block(6)?);
    select(packet, first, end.checked_sub(first).ok_or(Sense::INVALID_FIELD)?, blocks)
}

fn select(packet: Packet<'_>, first: u64, count: u64, blocks: u64) -> Result<PacketAct, Sense> {
    // Expected sector type: any, mode 1, or mode 2 and audio, of which there are none.
    if !matches!(packet.byte(1) >> 2 & 7, 0 | 2) {
        return Err(Sense::MODE_FOR_THIS_TRACK);
    }
    let selection = packet.byte(9);
    if selection & SELECT_ERROR_FLAGS != 0 || packet.byte(10) & 7 != 0 {
        return Err(Sense::INVALID_FIELD);
    }
    let first = existing(first, count, blocks)?;
    let has = |bit: u8| selection & bit != 0;
    let frame = Frame {
        sync: has(SELECT_SYNC),
        header: has(SELECT_HEADER),
        data: has(SELECT_DATA),
        correction: has(SELECT_CORRECTION),
    };
    if count == 0 || selection & !SELECT_SUBHEADER == 0 {
        return Ok(PacketAct::Done);
    }
    let bare = frame == Frame { sync: false, header: false, data: true, correction: false };
    Ok(PacketAct::Read { first, blocks: count, frame: (!bare).then_some(frame) })
}

/// Minute, second and frame of a block.
pub(super) fn msf(block: u64) -> [u8; 3] {
    let frames = block + LEAD_IN;
    [(frames / 75 / 60) as u8, (frames / 75 % 60) as u8, (frames % 75) as u8]
}

/// Puts around the user data of blocks from `first` on what else is wanted of their sectors. An image holds no
/// correction bytes; they are zeroes.
pub(in crate::ide) fn framed(frame: Frame, first: u64, data: &[u8]) -> Vec<u8> {
    let bcd = |n: u8| ((n / 10) << 4) | (n % 10);
    let mut bytes = Vec::new();
    for (block, data) in (first..).zip(data.chunks(BLOCK as usize)) {
        if frame.sync {
            bytes.push(0);
            bytes.extend([0xff; SYNC_LEN - 2]);
            bytes.push(0);
        }
        if frame.header {
            bytes.extend(msf(block).map(bcd));
            bytes.push(MODE_1);
        }
        if frame.data {
            bytes.extend(data);
        }
        if frame.correction {
            bytes.extend([0; CORRECTION_LEN]);
        }
    }
    bytes
}
