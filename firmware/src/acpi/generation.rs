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
        method("\\_GPE._E05", 0, &[notify("\\_SB.VGEN", &int(CHANGED))]),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{PlatformConfig, fw_cfg_files, place};

    const NUMBER: [u8; 16] = *b"sixteen bytes...";

    fn config() -> PlatformConfig {
        PlatformConfig { vm_generation: Some(NUMBER), ..PlatformConfig::pc(1, 128 << 20) }
    }

    #[test]
    fn the_table_points_to_the_number_in_a_page_of_its_own() {
        let placed = place(&config());
        let address = placed.vm_generation.expect("a number");
        let page = placed.segments.iter().find(|s| s.address + u64::from(NUMBER_OFFSET) == address).expect("its page");
        assert_eq!((page.address % u64::from(PAGE), page.bytes.len()), (0, PAGE as usize));
        assert_eq!(page.bytes[NUMBER_OFFSET as usize..][..16], NUMBER);
        let tables = placed.segments.iter().flat_map(|s| s.bytes.to_vec()).collect::<Vec<_>>();
        let table = tables.windows(4).position(|four| four == b"SSDT").expect("an SSDT");
        let (at, len) = POINTER;
        let pointer = &tables[table + 36 + at..][..len.into()];
        assert_eq!(pointer, (address as u32).to_le_bytes());
        let length = u32::from_le_bytes(tables[table + 4..][..4].try_into().expect("four bytes"));
        let sum = tables[table..][..length as usize].iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        assert_eq!(sum, 0);
    }

    #[test]
    fn firmware_is_told_to_say_where_it_put_the_number() {
        let files = fw_cfg_files(&config());
        assert!(files.iter().any(|file| file.name == NUMBER_FILE));
        let script = files.iter().find(|file| file.name == "etc/table-loader").expect("a script");
        let told = script.bytes.chunks(128).find(|command| command[0] == 4).expect("a pointer written back");
        assert_eq!((&told[4..20], &told[60..76]), (&b"etc/vmgenid_addr"[..], &b"etc/vmgenid_guid"[..]));
        assert_eq!(told[116..125], [0, 0, 0, 0, 40, 0, 0, 0, 8]);
        let plain = fw_cfg_files(&PlatformConfig::pc(1, 128 << 20));
        assert!(!plain.iter().any(|file| file.name == NUMBER_FILE));
    }
}
