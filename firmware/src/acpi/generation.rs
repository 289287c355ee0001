//! The SSDT of the generation number (Microsoft, Virtual Machine Generation ID), and the page with the number that it
//! points to.

use super::aml::{Aml, device, give, int, method, name, notify, package, path, scope, string};
use super::linker::{Command, Zone};
use crate::platform::FwCfgFile;

/// The fw_cfg file with the number.
pub const NUMBER_FILE: &str = "etc/vmgenid_guid";
/// The fw_cfg file to which firmware writes the number's address.
pub const ADDRESS_FILE: &str = "etc/vmgenid_addr";
/// Where the number lies in its file: behind what could be taken for a table's header.
pub const NUMBER_OFFSET: u32 = 40;
/// The number has a page to itself.
pub(crate) const PAGE: u32 = 4096;
/// Where the number's address is in the SSDT: in `Name (VGIA, Package () { DWord, Zero })`.
pub(super) const POINTER: (usize, u8) = (9, 4);

/// The SSDT's content, without its header.
pub(super) fn ssdt() -> Vec<u8> {
    const PRESENT: u64 = 0xf;
    /// What the guest is notified of: the number has changed.
    const CHANGED: u64 = 0x80;
    /// DWordPrefix, so that the pointer has its four bytes whatever its value.
    const DWORD: u8 = 0x0c;
    let [o0, o1, o2, o3] = NUMBER_OFFSET.to_le_bytes();
    let pointer = Aml(vec![DWORD, o0, o1, o2, o3]);
    let body = [
        name("_HID", &string("QEMUVGID")),
        name("_CID", &string("VM_Gen_Counter")),
        name("_DDN", &string("VM_Gen_Counter")),
        name("_STA", &int(PRESENT)),
        method("ADDR", 0, &[give(&path("\\VGIA"))]),
    ];
    let terms = [
        name("VGIA", &package(&[pointer, int(0)])),
        scope("\\_SB", &[device("VGEN", &body)]),
        method("\\_GPE._E05", 0, &[notify("\\_SB.VGEN", CHANGED)]),
    ];
    terms.into_iter().flat_map(|term| term.0).collect()
}

/// The page with the number, and the commands that place it and say where.
pub(super) fn page(number: [u8; 16]) -> (FwCfgFile, [Command; 2]) {
    let mut bytes = vec![0; PAGE as usize];
    bytes[NUMBER_OFFSET as usize..][..number.len()].copy_from_slice(&number);
    let place = Command::Allocate { file: NUMBER_FILE, align: PAGE, zone: Zone::High };
    let tell = Command::WritePointer {
        file: ADDRESS_FILE,
        target: NUMBER_FILE,
        offset: 0,
        target_offset: NUMBER_OFFSET,
        size: 8,
    };
    (FwCfgFile::new(NUMBER_FILE, bytes), [place, tell])
}
