//! Sense data: why a packet command was checked (MMC-3, annex A).

use lockstep_fabric::BlockError;
use serde::{Deserialize, Serialize};

/// Sense key, additional sense code and its qualifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::ide) struct Sense {
    pub(in crate::ide) key: u8,
    pub(in crate::ide) code: u8,
    pub(in crate::ide) qualifier: u8,
}

const fn sense(key: u8, code: u8, qualifier: u8) -> Sense {
    Sense { key, code, qualifier }
}

impl Sense {
    pub(in crate::ide) const NO_MEDIUM_TRAY_CLOSED: Self = sense(2, 0x3a, 0x01);
    pub(in crate::ide) const NO_MEDIUM_TRAY_OPEN: Self = sense(2, 0x3a, 0x02);
    pub(in crate::ide) const UNREADABLE: Self = sense(3, 0x11, 0x00);
    pub(in crate::ide) const INVALID_COMMAND: Self = sense(5, 0x20, 0x00);
    pub(in crate::ide) const OUT_OF_RANGE: Self = sense(5, 0x21, 0x00);
    pub(in crate::ide) const INVALID_FIELD: Self = sense(5, 0x24, 0x00);
    pub(in crate::ide) const NOT_SAVED: Self = sense(5, 0x39, 0x00);
    pub(in crate::ide) const REMOVAL_PREVENTED: Self = sense(5, 0x53, 0x02);
    pub(in crate::ide) const MODE_FOR_THIS_TRACK: Self = sense(5, 0x64, 0x00);
    pub(in crate::ide) const MEDIUM_CHANGED: Self = sense(6, 0x28, 0x00);

    /// REQUEST SENSE's answer: fixed format, current error.
    pub(super) fn data(self) -> Vec<u8> {
        let mut bytes = vec![0; 18];
        (bytes[0], bytes[2], bytes[7]) = (0x70, self.key, 10);
        (bytes[12], bytes[13]) = (self.code, self.qualifier);
        bytes
    }
}

/// Why the drive's image could not be read.
pub(in crate::ide) fn sense_of(why: BlockError) -> Sense {
    match why {
        BlockError::NoMedium => Sense::NO_MEDIUM_TRAY_CLOSED,
        BlockError::OutOfRange => Sense::OUT_OF_RANGE,
        BlockError::Io | BlockError::NoSpace | BlockError::ReadOnly => Sense::UNREADABLE,
    }
}
