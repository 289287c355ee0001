//! What the drive tells of itself and of its disc (MMC-3, chapters 5 and 6).

use super::read::msf;
use super::{BLOCK, Packet, Sense};

/// The largest disc that is a CD: 80 minutes. What is larger is a DVD.
const CD_BLOCKS_MOST: u64 = 80 * 60 * 75;
const PROFILE_CD_ROM: u16 = 0x08;
const PROFILE_DVD_ROM: u16 = 0x10;
/// Read and write speeds in KB/s as a 4x drive tells them.
const SPEED: u16 = 706;

const LEAD_OUT: u8 = 0xaa;
/// Address 1, control 4: a data track.
const DATA_TRACK: u8 = 0x14;

/// Puts a big-endian length of 16 bits before what follows it.
fn with_length(body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u16).to_be_bytes().to_vec();
    bytes.extend(body);
    bytes
}

/// INQUIRY: the standard data only.
pub(super) fn inquiry(packet: Packet<'_>) -> Result<Vec<u8>, Sense> {
    const EVPD: u8 = 1;
    if packet.byte(1) & EVPD != 0 || packet.byte(2) != 0 {
        return Err(Sense::INVALID_FIELD);
    }
    // A removable CD-ROM device; ATAPI's version and response format; the length of what follows.
    let mut bytes = vec![0x05, 0x80, 0x00, 0x21, 31, 0, 0, 0];
    bytes.extend(b"LOCKSTEPCD-ROM          1.0 ");
    Ok(bytes)
}

/// READ CAPACITY: the last block and the length of blocks.
pub(super) fn capacity(blocks: u64) -> Vec<u8> {
    let last = blocks.saturating_sub(1).min(u32::MAX.into()) as u32;
    [last.to_be_bytes(), (BLOCK as u32).to_be_bytes()].concat()
}

/// READ TOC/PMA/ATIP: the table of contents, the session, and the raw table.
pub(super) fn toc(packet: Packet<'_>, blocks: u64) -> Result<Vec<u8>, Sense> {
    const MSF: u8 = 2;
    let in_msf = packet.byte(1) & MSF != 0;
    // SFF-8020i had the format in the last byte's upper bits.
    let format = match packet.byte(2) & 0xf {
        0 => packet.byte(9) >> 6,
        format => format,
    };
    let address = |block: u64| {
        let [m, s, f] = msf(block);
        if in_msf { [0, m, s, f] } else { (block as u32).to_be_bytes() }
    };
    let track = |number: u8, block: u64| [&[0, DATA_TRACK, number, 0][..], &address(block)].concat();
    let starting = packet.byte(6);
    match format {
        0 if starting > 1 && starting != LEAD_OUT => Err(Sense::INVALID_FIELD),
        0 => {
            let first = if starting <= 1 { track(1, 0) } else { Vec::new() };
            Ok(with_length(&[&[1, 1][..], &first, &track(LEAD_OUT, blocks)].concat()))
        }
        1 => Ok(with_length(&[&[1, 1][..], &track(1, 0)].concat())),
        2 => {
            let point = |point: u8, place: [u8; 3]| {
                let [m, s, f] = place;
                [1, DATA_TRACK, 0, point, 0, 0, 0, 0, m, s, f]
            };
            let points = [point(0xa0, [1, 0, 0]), point(0xa1, [1, 0, 0]), point(0xa2, msf(blocks)), point(1, msf(0))];
            Ok(with_length(&[&[1, 1][..], &points.concat()].concat()))
        }
        _ => Err(Sense::INVALID_FIELD),
    }
}

/// READ SUB-CHANNEL: nothing is playing.
pub(super) fn subchannel(packet: Packet<'_>) -> Vec<u8> {
    const SUB_Q: u8 = 1 << 6;
    const NO_AUDIO_STATUS: u8 = 0x15;
    let format = packet.byte(3);
    let len = match format {
        1 => 12,
        2 | 3 => 20,
        _ => 0,
    };
    let mut bytes = vec![0, NO_AUDIO_STATUS, 0, 0];
    if packet.byte(2) & SUB_Q != 0 && len != 0 {
        bytes[3] = len;
        bytes.resize(4 + usize::from(len), 0);
        bytes[4] = format;
    }
    bytes
}

/// READ DISC INFORMATION: one complete session with one track, finalized.
pub(super) fn disc_information() -> Vec<u8> {
    let mut body = [0; 32];
    (body[0], body[1], body[2], body[3], body[4], body[5]) = (0x0e, 1, 1, 1, 1, 0x20);
    // No later lead-in or lead-out.
    body[14..22].fill(0xff);
    with_length(&body)
}

/// READ TRACK INFORMATION: the one track.
pub(super) fn track_information(blocks: u64) -> Vec<u8> {
    let mut body = [0; 34];
    // Track 1 of session 1, a data track of mode 1.
    (body[0], body[1], body[3], body[4]) = (1, 1, 4, 1);
    body[22..26].copy_from_slice(&(blocks.min(u32::MAX.into()) as u32).to_be_bytes());
    with_length(&body)
}

/// MECHANISM STATUS: a drive without a changer.
pub(super) fn mechanism(open: bool) -> Vec<u8> {
    vec![0, u8::from(open) << 4, 0, 0, 0, 0, 0, 0]
}

/// GET CONFIGURATION: the profiles and features of a drive that reads CDs and DVDs.
pub(super) fn configuration(packet: Packet<'_>, blocks: Option<u64>) -> Result<Vec<u8>, Sense> {
    let (which, starting) = (packet.byte(1) & 3, packet.number(2, 2) as u16);
    let profile = match blocks {
        None => 0,
        Some(blocks) if blocks > CD_BLOCKS_MOST => PROFILE_DVD_ROM,
        Some(_) => PROFILE_CD_ROM,
    };
    let current = |wanted: u16| u8::from(profile == wanted);
    let readable = u8::from(profile != 0);
    let [dvd_high, dvd_low] = PROFILE_DVD_ROM.to_be_bytes();
    let [cd_high, cd_low] = PROFILE_CD_ROM.to_be_bytes();
    let dvd = [dvd_high, dvd_low, current(PROFILE_DVD_ROM), 0];
    let cd = [cd_high, cd_low, current(PROFILE_CD_ROM), 0];
    // Feature code, version, current, persistent, body.
    let features: [(u16, u8, u8, u8, Vec<u8>); 8] = [
        (0x0000, 0, 1, 1, [dvd, cd].concat()),
        (0x0001, 0, 1, 1, vec![0, 0, 0, 2]),
        (0x0003, 0, 1, 1, vec![0x29, 0, 0, 0]),
        (0x0010, 0, readable, 0, vec![0, 0, 8, 0, 0, 1, 0, 0]),
        (0x001e, 0, current(PROFILE_CD_ROM), 0, vec![0, 0, 0, 0]),
        (0x001f, 0, current(PROFILE_DVD_ROM), 0, Vec::new()),
        (0x0100, 0, 1, 1, Vec::new()),
        (0x0105, 0, 1, 1, Vec::new()),
    ];
    if which == 3 {
        return Err(Sense::INVALID_FIELD);
    }
    let mut body = vec![0, 0];
    body.extend(profile.to_be_bytes());
    for (code, version, current, persistent, data) in features {
        let wanted = match which {
            0 => code >= starting,
            1 => code >= starting && current != 0,
            _ => code == starting,
        };
        if wanted {
            body.extend(code.to_be_bytes());
            body.extend([version << 2 | persistent << 1 | current, data.len() as u8]);
            body.extend(data);
        }
    }
    let mut bytes = (body.len() as u32).to_be_bytes().to_vec();
    bytes.extend(body);
    Ok(bytes)
}

/// MODE SENSE (10): present or default values of the pages for errors, audio, power and capabilities.
pub(super) fn mode_sense(packet: Packet<'_>, locked: bool) -> Result<Vec<u8>, Sense> {
    const CHANGEABLE: u8 = 1;
    const SAVED: u8 = 3;
    const ALL: u8 = 0x3f;
    /// A 120 mm data disc.
    const MEDIUM_TYPE: u8 = 0x01;
    let (control, wanted) = (packet.byte(2) >> 6, packet.byte(2) & 0x3f);
    if control == SAVED {
        return Err(Sense::NOT_SAVED);
    }
    let [speed_high, speed_low] = SPEED.to_be_bytes();
    let audio = [vec![0x0e, 14, 4, 0, 0, 0, 0, 0, 1, 0xff, 2, 0xff], vec![0; 4]].concat();
    // Reads CD-R, CD-RW, DVD-ROM and mode 2 discs; a tray that can be locked and ejects; no changer.
    let lock = 0x29 | u8::from(locked) << 1;
    let capabilities = vec![
        0x2a, 18, 0x0b, 0, 0x70, 0x60, lock, 0, speed_high, speed_low, 0, 2, 2, 0, speed_high, speed_low, 0, 0, 0, 0,
    ];
    let pages = [vec![0x01, 6, 0, 5, 0, 0, 0, 0], audio, vec![0x1a, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], capabilities];
    let mut body = vec![MEDIUM_TYPE, 0, 0, 0, 0, 0];
    let chosen: Vec<_> = pages.into_iter().filter(|page| wanted == ALL || page[0] == wanted).collect();
    if chosen.is_empty() {
        return Err(Sense::INVALID_FIELD);
    }
    for mut page in chosen {
        if control == CHANGEABLE {
            page[2..].fill(0);
        }
        body.extend(page);
    }
    Ok(with_length(&body))
}
