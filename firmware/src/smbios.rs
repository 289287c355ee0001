//! SMBIOS 2.8 tables (DMTF DSP0134 2.8.0): what the machine is, for operating systems and their inventories.

use crate::layout::{Layout, checksum};
use crate::platform::PlatformConfig;

/// The tables, which do not depend on where they are placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmbiosTables {
    /// All structures in a row.
    pub tables: Vec<u8>,
    /// How many structures there are.
    pub count: u16,
    /// The longest structure, its strings included.
    pub longest: u16,
}

/// SMBIOS 2.8.
const MAJOR: u8 = 2;
const MINOR: u8 = 8;
/// Handles by type; several structures of one type count up.
const SYSTEM: u16 = 0x100;
const BOARD: u16 = 0x200;
const CHASSIS: u16 = 0x300;
const PROCESSOR: u16 = 0x400;
const MEMORY_ARRAY: u16 = 0x1000;
const MEMORY_DEVICE: u16 = 0x1100;
const MAPPED_ARRAY: u16 = 0x1300;
const BOOT: u16 = 0x2000;
const END: u16 = 0x7f00;
/// No such handle, or nothing known about it.
const NONE: u16 = 0xfffe;
const NO_CACHE: u16 = 0xffff;
/// "Unknown" and "other" in most of the enumerations.
const OTHER: u8 = 1;
const UNKNOWN: u8 = 2;
/// One memory device holds at most this much, so that its size fits.
const DEVICE_SIZE: u64 = 16 << 30;

/// One structure: its formatted part, then its strings.
struct Structure {
    body: Layout,
    strings: Vec<u8>,
    string_count: u8,
}

impl Structure {
    fn new(kind: u8, handle: u16) -> Self {
        let mut body = Layout::default();
        body.u8(kind).u8(0).u16(handle);
        Self { body, strings: Vec::new(), string_count: 0 }
    }

    /// A string's number, 0 for an empty one.
    fn string(&mut self, text: &str) -> &mut Self {
        let clean: Vec<u8> = text.bytes().filter(|byte| *byte != 0).collect();
        let number = if clean.is_empty() {
            0
        } else {
            self.strings.extend(clean);
            self.strings.push(0);
            self.string_count += 1;
            self.string_count
        };
        self.body.u8(number);
        self
    }

    fn finish(mut self) -> Vec<u8> {
        self.body.0[1] = self.body.0.len() as u8;
        if self.strings.is_empty() {
            self.strings.push(0);
        }
        self.strings.push(0);
        self.body.bytes(&self.strings);
        self.body.0
    }
}

/// Builds the tables of a machine.
#[must_use]
pub fn build(config: &PlatformConfig) -> SmbiosTables {
    let mut structures = vec![firmware(), system(config), board(config), chassis(config)];
    structures.extend((0..config.cpus as u16).map(|socket| processor(config, socket)));
    structures.extend(memory(config));
    let mut boot = Structure::new(32, BOOT);
    boot.body.zeroes(6).u8(0);
    structures.extend([boot, Structure::new(127, END)]);
    let structures: Vec<_> = structures.into_iter().map(Structure::finish).collect();
    SmbiosTables {
        count: structures.len() as u16,
        longest: structures.iter().map(Vec::len).max().unwrap_or(0) as u16,
        tables: structures.concat(),
    }
}

impl SmbiosTables {
    /// The entry point that an operating system searches for, for tables at `address` (0: whoever places them fills it in).
    #[must_use]
    pub fn anchor(&self, address: u32) -> Vec<u8> {
        let mut inner = Layout::default();
        inner.bytes(b"_DMI_").u8(0).u16(self.tables.len() as u16).u32(address).u16(self.count).u8(MAJOR << 4 | MINOR);
        inner.0[5] = checksum(&inner.0);
        let mut anchor = Layout::default();
        anchor.bytes(b"_SM_").u8(0).u8(0x1f).u8(MAJOR).u8(MINOR).u16(self.longest).zeroes(6).bytes(&inner.0);
        anchor.0[4] = checksum(&anchor.0);
        anchor.0
    }
}

/// Where the firmware runs, as a real-mode segment.
const ROM_SEGMENT: u16 = 0xf000;

/// Type 0: the firmware.
fn firmware() -> Structure {
    /// Characteristics: none are stated, but for two of the extension bytes.
    const NOT_SUPPORTED: u64 = 1 << 3;
    const ACPI: u8 = 1 << 0;
    const VIRTUAL_MACHINE: u8 = 1 << 4;
    let mut table = Structure::new(0, 0);
    table.string("Lockstep").string(env!("CARGO_PKG_VERSION"));
    table.body.u16(ROM_SEGMENT);
    table.string("01/01/2026");
    table.body.u8(0).u64(NOT_SUPPORTED).u8(ACPI).u8(VIRTUAL_MACHINE);
    table.body.u8(0).u8(0).u8(0xff).u8(0xff);
    table
}

/// The UUID as SMBIOS stores it: its first three fields little-endian.
fn wire_uuid(uuid: [u8; 16]) -> [u8; 16] {
    let mut wire = uuid;
    wire[0..4].reverse();
    wire[4..6].reverse();
    wire[6..8].reverse();
    wire
}

/// Type 1: the system.
fn system(config: &PlatformConfig) -> Structure {
    const POWER_SWITCH: u8 = 6;
    let identity = &config.identity;
    let mut table = Structure::new(1, SYSTEM);
    table.string(&identity.manufacturer).string(&identity.product).string(&identity.version).string(&identity.serial);
    table.body.bytes(&wire_uuid(identity.uuid)).u8(POWER_SWITCH);
    table.string(&identity.sku).string(&identity.family);
    table
}

/// Type 2: the main board.
fn board(config: &PlatformConfig) -> Structure {
    const HOSTING: u8 = 1 << 0;
    const MOTHERBOARD: u8 = 0x0a;
    let identity = &config.identity;
    let mut table = Structure::new(2, BOARD);
    table.string(&identity.manufacturer).string(&identity.product).string(&identity.version).string(&identity.serial);
    table.string("");
    table.body.u8(HOSTING);
    table.string("");
    table.body.u16(CHASSIS).u8(MOTHERBOARD).u8(0);
    table
}

/// Type 3: the chassis.
fn chassis(config: &PlatformConfig) -> Structure {
    const SAFE: u8 = 3;
    const NO_SECURITY: u8 = 3;
    let identity = &config.identity;
    let mut table = Structure::new(3, CHASSIS);
    table.string(&identity.manufacturer);
    table.body.u8(OTHER);
    table.string(&identity.version).string(&identity.serial).string("");
    table.body.u8(SAFE).u8(SAFE).u8(SAFE).u8(NO_SECURITY).u32(0).bytes(&[0, 0, 0, 0]);
    table.string(&identity.sku);
    table
}

/// Type 4: a processor socket.
fn processor(config: &PlatformConfig, socket: u16) -> Structure {
    const CENTRAL: u8 = 3;
    /// Status: populated, enabled. Upgrade: other.
    const POPULATED_ENABLED: u8 = 0x41;
    const FAMILY_OTHER: u8 = 1;
    const CHARACTERISTICS_64_BIT: u16 = 1 << 2;
    const MHZ: u16 = 2000;
    let mut table = Structure::new(4, PROCESSOR + socket);
    table.string(&format!("CPU {socket}"));
    table.body.u8(CENTRAL).u8(FAMILY_OTHER);
    table.string(&config.cpu_vendor);
    table.body.u32(config.cpu_id.0).u32(config.cpu_id.1);
    table.string(&config.cpu_brand);
    table.body.u8(0).u16(0).u16(MHZ).u16(MHZ).u8(POPULATED_ENABLED).u8(OTHER);
    table.body.u16(NO_CACHE).u16(NO_CACHE).u16(NO_CACHE);
    table.string("").string("").string("");
    table.body.u8(1).u8(1).u8(1).u16(CHARACTERISTICS_64_BIT).u16(u16::from(FAMILY_OTHER));
    table
}

/// Types 16, 17 and 19: the array of all memory, its devices, and where it is mapped.
fn memory(config: &PlatformConfig) -> Vec<Structure> {
    const SYSTEM_BOARD: u8 = 3;
    const SYSTEM_MEMORY: u8 = 3;
    const MULTI_BIT_ECC: u8 = 6;
    /// The size is in the extended field, in MiB.
    const EXTENDED: u16 = 0x7fff;
    const DIMM: u8 = 9;
    const RAM: u8 = 7;
    let total = config.ram.total();
    let devices = total.div_ceil(DEVICE_SIZE).clamp(1, 0xff) as u16;

    let mut array = Structure::new(16, MEMORY_ARRAY);
    array.body.u8(SYSTEM_BOARD).u8(SYSTEM_MEMORY).u8(MULTI_BIT_ECC).u32(0x8000_0000).u16(NONE).u16(devices).u64(total);
    let mut structures = vec![array];
    let mut left = total;
    for device in 0..devices {
        let size = left.min(DEVICE_SIZE);
        left -= size;
        let mib = size >> 20;
        let small = u16::try_from(mib).ok().filter(|mib| *mib < EXTENDED);
        let mut table = Structure::new(17, MEMORY_DEVICE + device);
        table.body.u16(MEMORY_ARRAY).u16(NONE).u16(0xffff).u16(0xffff).u16(small.unwrap_or(EXTENDED));
        table.body.u8(DIMM).u8(0);
        table.string(&format!("DIMM {device}")).string("");
        table.body.u8(RAM).u16(1 << UNKNOWN).u16(0);
        table.string(&config.identity.manufacturer).string("").string("").string("");
        table.body.u8(0).u32(if small.is_some() { 0 } else { mib as u32 }).u16(0).zeroes(6);
        structures.push(table);
    }
    let mapped = [(0, config.ram.below_4g), (1 << 32, config.ram.above_4g)];
    for (index, (start, length)) in (0..).zip(mapped.into_iter().filter(|(_, length)| *length > 0)) {
        let mut table = Structure::new(19, MAPPED_ARRAY + index);
        table.body.u32(u32::MAX).u32(u32::MAX).u16(MEMORY_ARRAY).u8(devices as u8).u64(start).u64(start + length - 1);
        structures.push(table);
    }
    structures
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks the structures as an operating system does: type, formatted part, strings.
    fn walk(tables: &[u8]) -> Vec<(u8, Vec<u8>, Vec<String>)> {
        let mut found = Vec::new();
        let mut rest = tables;
        while let [kind, length, ..] = *rest {
            let (body, tail) = rest.split_at(usize::from(length));
            let end = tail.windows(2).position(|pair| pair == [0, 0]).expect("a double zero ends the strings");
            let strings = tail[..end].split(|byte| *byte == 0).filter(|text| !text.is_empty());
            let strings = strings.map(|text| String::from_utf8(text.to_vec()).unwrap()).collect();
            found.push((kind, body.to_vec(), strings));
            rest = &tail[end + 2..];
        }
        found
    }

    fn config() -> PlatformConfig {
        let mut config = PlatformConfig::pc(2, 40 << 30);
        config.identity.uuid = [0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 10, 11, 12, 13, 14, 15];
        config
    }

    #[test]
    fn every_structure_has_the_length_of_version_2_8() {
        let built = build(&config());
        let walked = walk(&built.tables);
        let lengths: Vec<_> = walked.iter().map(|(kind, body, _)| (*kind, body.len())).collect();
        let expected = [
            (0, 0x18),
            (1, 0x1b),
            (2, 0x0f),
            (3, 0x16),
            (4, 0x2a),
            (4, 0x2a),
            (16, 0x17),
            (17, 0x28),
            (17, 0x28),
            (17, 0x28),
            (19, 0x1f),
            (19, 0x1f),
            (32, 0x0b),
            (127, 4),
        ];
        assert_eq!(lengths, expected);
        assert_eq!(usize::from(built.count), expected.len());
    }

    #[test]
    fn the_system_has_its_names_and_its_uuid() {
        let walked = walk(&build(&config()).tables);
        let (_, body, strings) = &walked[1];
        assert_eq!(strings[0], "Lockstep");
        assert_eq!(body[8..16], [0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66]);
        assert_eq!(body[4..8], [1, 2, 3, 0]);
    }

    #[test]
    fn the_anchor_has_both_checksums() {
        let anchor = build(&config()).anchor(0x1234_5000);
        let sum = |bytes: &[u8]| bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        assert_eq!((anchor.len(), sum(&anchor), sum(&anchor[16..])), (31, 0, 0));
        assert_eq!(anchor[24..28], 0x1234_5000_u32.to_le_bytes());
    }
}
