//! The SMART feature set (ATA/ATAPI-6, section 8.41) of a disk that never wears out.

/// Offset of a 512-byte structure's checksum: the sum of all bytes is zero.
const CHECKSUM: usize = 511;

/// An attribute: identifier, flags, normalized value, threshold, raw value.
struct Attribute(u8, u16, u8, u8, u32);

const ATTRIBUTES: [Attribute; 6] = [
    Attribute(0x01, 0x0003, 100, 6, 0),
    Attribute(0x03, 0x0003, 100, 0, 16),
    Attribute(0x04, 0x0002, 100, 20, 100),
    Attribute(0x05, 0x0003, 100, 36, 0),
    Attribute(0x09, 0x0003, 100, 0, 1),
    Attribute(0x0c, 0x0003, 100, 0, 0),
];

fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(512, 0);
    bytes[CHECKSUM] = 0;
    bytes[CHECKSUM] = bytes.iter().fold(0u8, |sum, b| sum.wrapping_add(*b)).wrapping_neg();
    bytes
}

/// SMART READ DATA.
pub(super) fn data() -> Vec<u8> {
    let mut bytes = vec![0; 512];
    bytes[0] = 1;
    for (i, Attribute(id, flags, value, _, raw)) in ATTRIBUTES.iter().enumerate() {
        let entry = &mut bytes[2 + 12 * i..][..12];
        entry[0] = *id;
        entry[1..3].copy_from_slice(&flags.to_le_bytes());
        (entry[3], entry[4]) = (*value, *value);
        entry[5..9].copy_from_slice(&raw.to_le_bytes());
    }
    // Off-line collection done; capable of it at once; saves attributes; keeps logs; a short test takes two minutes.
    bytes[362] = 0x82;
    bytes[367] = 1 << 4 | 1 << 3 | 1;
    bytes[368] = 3;
    bytes[370] = 1;
    (bytes[372], bytes[373]) = (2, 54);
    summed(bytes)
}

/// SMART READ THRESHOLDS.
pub(super) fn thresholds() -> Vec<u8> {
    let mut bytes = vec![0; 512];
    bytes[0] = 1;
    for (i, Attribute(id, _, _, threshold, _)) in ATTRIBUTES.iter().enumerate() {
        (bytes[2 + 12 * i], bytes[3 + 12 * i]) = (*id, *threshold);
    }
    summed(bytes)
}

/// SMART READ LOG: the directory, the summary of errors, and the log of self-tests; `None` for others.
pub(super) fn log(address: u8) -> Option<Vec<u8>> {
    match address {
        0 => {
            let mut directory = vec![0; 512];
            (directory[0], directory[2], directory[12]) = (1, 1, 1);
            Some(directory)
        }
        1 => Some(summed(vec![1])),
        6 => Some(summed(vec![1])),
        _ => None,
    }
}
