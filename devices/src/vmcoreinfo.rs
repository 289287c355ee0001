//! vmcoreinfo: a fw_cfg file to which a guest's kernel writes where in memory it describes itself to readers of a dump
//! (QEMU's docs/specs/vmcoreinfo).

use crate::catalog::{Creatable, Made};
use crate::fw_cfg::FwCfgItem;
use crate::properties::{PropertyError, configuration};
use lockstep_fabric::{Cx, Device, Input, Reg, Width};
use serde::{Deserialize, Serialize};

/// The file that the guest writes to.
pub const FILE: &str = "etc/vmcoreinfo";
/// The file's length: what formats the host takes, and the guest's note: its format, length and address.
const LEN: usize = 16;
/// The format of no note.
const FORMAT_NONE: u16 = 0;
/// The format of an ELF note.
pub const ELF_NOTE: u16 = 1;

configuration! {
    /// The device has nothing to set.
    pub struct VmCoreInfoConfig {}
}

impl Creatable for VmCoreInfoConfig {
    const NAME: &'static str = "vmcoreinfo";
    const ABOUT: &'static str = "where the guest's kernel describes itself to readers of a dump";

    fn make(self) -> Result<Made, PropertyError> {
        let mut bytes = ELF_NOTE.to_le_bytes().to_vec();
        bytes.resize(LEN, 0);
        let file = FwCfgItem { writable: true, ..FwCfgItem::file(FILE, bytes) };
        Ok(Made { files: vec![file], ..Made::new(VmCoreInfo::default(), &[]) })
    }
}

/// Where a guest's note lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestNote {
    /// Its format: see [`ELF_NOTE`].
    pub format: u16,
    /// Its length in bytes.
    pub len: u32,
    /// Its guest-physical address.
    pub address: u64,
}

/// The device: what the guest last wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmCoreInfo {
    note: Option<GuestNote>,
}

impl VmCoreInfo {
    /// Where the guest's note lies, if it said so since the last reset. It may be anything that the guest liked to write.
    pub fn note(&self) -> Option<GuestNote> {
        self.note
    }
}

fn read(bytes: &[u8]) -> Option<GuestNote> {
    let &[_, _, f0, f1, l0, l1, l2, l3, ref address @ ..] = bytes else { return None };
    let note = GuestNote {
        format: u16::from_le_bytes([f0, f1]),
        len: u32::from_le_bytes([l0, l1, l2, l3]),
        address: u64::from_le_bytes(address.try_into().ok()?),
    };
    (note.format != FORMAT_NONE).then_some(note)
}

impl Device for VmCoreInfo {
    fn kind(&self) -> &'static str {
        VmCoreInfoConfig::NAME
    }

    fn read(&mut self, _cx: &mut Cx<'_>, _at: Reg, width: Width) -> u64 {
        width.mask()
    }

    fn write(&mut self, _cx: &mut Cx<'_>, _at: Reg, _width: Width, _value: u64) {}

    fn reset(&mut self, _cx: &mut Cx<'_>) {
        self.note = None;
    }

    fn input(&mut self, _cx: &mut Cx<'_>, input: &Input) {
        if let Input::File { name, bytes } = input
            && name == FILE
        {
            self.note = read(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_what_the_guest_wrote_last_and_none_without_a_format() {
        let mut bytes = vec![1, 0, 1, 0, 0x40, 0x04, 0, 0];
        bytes.extend(0x1_2345_6000_u64.to_le_bytes());
        assert_eq!(read(&bytes), Some(GuestNote { format: 1, len: 0x440, address: 0x1_2345_6000 }));
        bytes[2] = 0;
        assert_eq!((read(&bytes), read(&bytes[1..]), read(&[])), (None, None, None));
    }
}
