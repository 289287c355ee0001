//! SMBIOS 2.8 tables (DMTF DSP0134 2.8.0): what the machine is, for operating systems and their inventories.

mod fields;

use crate::layout::{Layout, checksum};
use crate::platform::PlatformConfig;

pub use fields::{
    BoardFields, ChassisFields, FirmwareFields, MemoryFields, PortFields, ProcessorFields, SmbiosConfig, SmbiosFields,
    StructureError, SystemFields, structure_types,
};

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
const PORT: u16 = 0x800;
const OEM_STRINGS: u16 = 0xe00;
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
        let number = self.add_string(text);
        self.body.u8(number);
        self
    }

    /// The number of what the user said, or of the usual string.
    fn field(&mut self, said: &Option<String>, usual: &str) -> &mut Self {
        self.string(said.as_deref().unwrap_or(usual))
    }

    fn add_string(&mut self, text: &str) -> u8 {
        let clean: Vec<u8> = text.bytes().filter(|byte| *byte != 0).collect();
        if clean.is_empty() {
            return 0;
        }
        self.strings.extend(clean);
        self.strings.push(0);
        self.string_count += 1;
        self.string_count
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

/// Who makes the structure of type 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirmwareStructure {
    /// The firmware that gets the tables, unless the user described it.
    Left,
    /// The tables have it: the firmware is ours.
    Ours,
}

/// Builds the tables of a machine.
#[must_use]
pub fn build(config: &PlatformConfig, firmware: FirmwareStructure) -> SmbiosTables {
    let said = &config.smbios;
    let given: Vec<(Vec<u8>, Vec<u8>)> =
        said.structures.iter().filter_map(|bytes| Some((structure_types(bytes).ok()?, bytes.clone()))).collect();
    let mut own = Vec::new();
    if firmware == FirmwareStructure::Ours || said.fields.firmware.is_some() {
        own.push((0, type_0(config)));
    }
    own.extend([(1, system(config)), (2, board(config)), (3, chassis(config))]);
    own.extend((0..config.sockets() as u16).map(|socket| (4, processor(config, socket))));
    own.extend((0..).zip(&said.fields.ports).map(|(number, fields)| (8, port(fields, number))));
    if !said.oem_strings.is_empty() {
        own.push((11, oem_strings(&said.oem_strings)));
    }
    own.extend(memory(config));
    let mut boot = Structure::new(32, BOOT);
    boot.body.zeroes(6).u8(0);
    own.push((32, boot));
    own.retain(|(kind, _)| !given.iter().any(|(types, _)| types.contains(kind)));
    own.push((127, Structure::new(127, END)));

    let count = own.len() + given.iter().map(|(types, _)| types.len()).sum::<usize>();
    let mut structures: Vec<Vec<u8>> = given.into_iter().map(|(_, bytes)| bytes).collect();
    structures.extend(own.into_iter().map(|(_, structure)| structure.finish()));
    SmbiosTables {
        count: count as u16,
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
fn type_0(config: &PlatformConfig) -> Structure {
    /// Characteristics: none are stated, but for those of the extension bytes.
    const NOT_SUPPORTED: u64 = 1 << 3;
    const ACPI: u8 = 1 << 0;
    const UEFI: u8 = 1 << 3;
    const VIRTUAL_MACHINE: u8 = 1 << 4;
    let said = config.smbios.fields.firmware.clone().unwrap_or_default();
    let mut table = Structure::new(0, 0);
    table.field(&said.vendor, "Lockstep").field(&said.version, env!("CARGO_PKG_VERSION"));
    table.body.u16(ROM_SEGMENT);
    table.field(&said.date, "01/01/2026");
    let uefi = if said.uefi { UEFI } else { 0 };
    table.body.u8(0).u64(NOT_SUPPORTED).u8(ACPI).u8(VIRTUAL_MACHINE | uefi);
    let (major, minor) = said.release.unwrap_or((0, 0));
    table.body.u8(major).u8(minor).u8(0xff).u8(0xff);
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
    let (identity, said) = (&config.identity, &config.smbios.fields.system);
    let mut table = Structure::new(1, SYSTEM);
    table.field(&said.manufacturer, &identity.manufacturer).field(&said.product, &identity.product);
    table.field(&said.version, &identity.version).field(&said.serial, "");
    table.body.bytes(&wire_uuid(identity.uuid)).u8(POWER_SWITCH);
    table.field(&said.sku, "").field(&said.family, "");
    table
}

/// Type 2: the main board.
fn board(config: &PlatformConfig) -> Structure {
    const HOSTING: u8 = 1 << 0;
    const MOTHERBOARD: u8 = 0x0a;
    let (identity, said) = (&config.identity, &config.smbios.fields.board);
    let mut table = Structure::new(2, BOARD);
    table.field(&said.manufacturer, &identity.manufacturer).field(&said.product, &identity.product);
    table.field(&said.version, &identity.version).field(&said.serial, "").field(&said.asset, "");
    table.body.u8(HOSTING);
    table.field(&said.location, "");
    table.body.u16(CHASSIS).u8(MOTHERBOARD).u8(0);
    table
}

/// Type 3: the chassis.
fn chassis(config: &PlatformConfig) -> Structure {
    const SAFE: u8 = 3;
    const NO_SECURITY: u8 = 3;
    let (identity, said) = (&config.identity, &config.smbios.fields.chassis);
    let mut table = Structure::new(3, CHASSIS);
    table.field(&said.manufacturer, &identity.manufacturer);
    table.body.u8(OTHER);
    table.field(&said.version, &identity.version).field(&said.serial, "").field(&said.asset, "");
    table.body.u8(SAFE).u8(SAFE).u8(SAFE).u8(NO_SECURITY).u32(0).bytes(&[0, 0, 0, 0]);
    table.field(&said.sku, "");
    table
}

/// Type 8: a port's connectors.
fn port(said: &PortFields, number: u16) -> Structure {
    let mut table = Structure::new(8, PORT + number);
    table.string(&said.internal);
    table.body.u8(said.connector_type);
    table.string(&said.external);
    table.body.u8(said.connector_type).u8(said.port_type);
    table
}

/// Type 11: strings of the maker's.
fn oem_strings(strings: &[String]) -> Structure {
    let mut table = Structure::new(11, OEM_STRINGS);
    let strings: Vec<_> = strings.iter().filter(|text| !text.is_empty()).collect();
    table.body.u8(strings.len().min(0xff) as u8);
    for text in strings.into_iter().take(0xff) {
        table.add_string(text);
    }
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
    let said = &config.smbios.fields.processor;
    let mut table = Structure::new(4, PROCESSOR + socket);
    table.string(&format!("{}{socket:2x}", said.socket_prefix.as_deref().unwrap_or("CPU")));
    table.body.u8(CENTRAL).u8(FAMILY_OTHER);
    table.field(&said.manufacturer, &config.cpu_vendor);
    table.body.u64(said.id.unwrap_or(u64::from(config.cpu_id.1) << 32 | u64::from(config.cpu_id.0)));
    table.field(&said.version, &config.cpu_brand);
    table.body.u8(0).u16(0).u16(said.max_speed.unwrap_or(MHZ)).u16(said.current_speed.unwrap_or(MHZ));
    table.body.u8(POPULATED_ENABLED).u8(OTHER);
    table.body.u16(NO_CACHE).u16(NO_CACHE).u16(NO_CACHE);
    table.field(&said.serial, "").field(&said.asset, "").field(&said.part, "");
    let small = |count: u32| count.min(0xff) as u8;
    let (cores, threads) = (small(config.cores), small(config.cores * config.threads));
    table.body.u8(cores).u8(cores).u8(threads).u16(CHARACTERISTICS_64_BIT).u16(u16::from(FAMILY_OTHER));
    table
}

/// Types 16, 17 and 19: the array of all memory, its devices, and where it is mapped.
fn memory(config: &PlatformConfig) -> Vec<(u8, Structure)> {
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
    let said = &config.smbios.fields.memory;
    let mut structures = vec![(16, array)];
    let mut left = total;
    for device in 0..devices {
        let size = left.min(DEVICE_SIZE);
        left -= size;
        let mib = size >> 20;
        let small = u16::try_from(mib).ok().filter(|mib| *mib < EXTENDED);
        let mut table = Structure::new(17, MEMORY_DEVICE + device);
        table.body.u16(MEMORY_ARRAY).u16(NONE).u16(0xffff).u16(0xffff).u16(small.unwrap_or(EXTENDED));
        table.body.u8(DIMM).u8(0);
        table.string(&format!("{} {device}", said.locator_prefix.as_deref().unwrap_or("DIMM")));
        table.field(&said.bank, "");
        table.body.u8(RAM).u16(1 << UNKNOWN).u16(said.speed);
        table.field(&said.manufacturer, &config.identity.manufacturer);
        table.field(&said.serial, "").field(&said.asset, "").field(&said.part, "");
        table.body.u8(0).u32(if small.is_some() { 0 } else { mib as u32 }).u16(said.speed).zeroes(6);
        structures.push((17, table));
    }
    let mapped = [(0, config.ram.below_4g), (1 << 32, config.ram.above_4g)];
    for (index, (start, length)) in (0..).zip(mapped.into_iter().filter(|(_, length)| *length > 0)) {
        let mut table = Structure::new(19, MAPPED_ARRAY + index);
        table.body.u32(u32::MAX).u32(u32::MAX).u16(MEMORY_ARRAY).u8(devices as u8).u64(start).u64(start + length - 1);
        structures.push((19, table));
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
        let built = build(&config(), FirmwareStructure::Ours);
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
        let walked = walk(&build(&config(), FirmwareStructure::Ours).tables);
        let (_, body, strings) = &walked[1];
        assert_eq!(strings[0], "Lockstep");
        assert_eq!(body[8..16], [0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66]);
        assert_eq!(body[4..8], [1, 2, 3, 0]);
    }

    #[test]
    fn a_socket_says_how_many_cores_and_threads_it_has() {
        let config = PlatformConfig { cpus: 7, cores: 2, threads: 2, ..config() };
        let walked = walk(&build(&config, FirmwareStructure::Ours).tables);
        let sockets: Vec<_> = walked.iter().filter(|(kind, ..)| *kind == 4).collect();
        assert_eq!(sockets.len(), 2);
        assert_eq!((sockets[1].1[0x23..0x26].to_vec(), sockets[1].2[0].as_str()), (vec![2, 2, 4], "CPU 1"));
    }

    #[test]
    fn foreign_firmware_makes_type_0_itself_unless_the_user_did() {
        let kinds = |config: &PlatformConfig| {
            let tables = build(config, FirmwareStructure::Left);
            let walked = walk(&tables.tables);
            assert_eq!(usize::from(tables.count), walked.len());
            walked
        };
        assert_eq!(kinds(&config())[0].0, 1);
        let mut said = config();
        said.smbios.fields.firmware =
            Some(FirmwareFields { vendor: Some("maker".into()), release: Some((1, 2)), ..FirmwareFields::default() });
        let (kind, body, strings) = kinds(&said).remove(0);
        assert_eq!((kind, body[0x14..0x16].to_vec(), strings[0].as_str()), (0, vec![1, 2], "maker"));
    }

    #[test]
    fn what_the_user_says_stands_where_it_belongs() {
        let mut config = config();
        let text = |text: &str| Some(text.to_owned());
        let fields = &mut config.smbios.fields;
        fields.system = SystemFields { manufacturer: text("m"), serial: text("s"), ..SystemFields::default() };
        fields.board.location = text("rack");
        fields.chassis.sku = text("sku3");
        fields.processor = ProcessorFields {
            socket_prefix: text("P"),
            current_speed: Some(0x1234),
            id: Some(0x0102_0304_0506_0708),
            ..ProcessorFields::default()
        };
        fields.ports =
            vec![PortFields { internal: "J1".into(), external: "A".into(), connector_type: 8, port_type: 9 }];
        fields.memory = MemoryFields { locator_prefix: text("SLOT"), speed: 3200, ..MemoryFields::default() };
        config.smbios.oem_strings = vec!["one".into(), "two=2".into()];
        let walked = walk(&build(&config, FirmwareStructure::Ours).tables);
        let of = |kind: u8| walked.iter().find(|(k, ..)| *k == kind).expect("a structure");
        assert_eq!((of(1).2[0].as_str(), of(1).2[3].as_str(), of(1).1[7]), ("m", "s", 4));
        assert_eq!((of(2).2[3].as_str(), of(2).1[10]), ("rack", 4));
        assert_eq!((of(3).2.last().map(String::as_str), of(3).1[0x15]), (Some("sku3"), 3));
        assert_eq!(of(4).2[0], "P 0");
        assert_eq!(of(4).1[8..16], 0x0102_0304_0506_0708_u64.to_le_bytes());
        assert_eq!(of(4).1[0x16..0x18], [0x34, 0x12]);
        assert_eq!((of(8).1[4..].to_vec(), of(8).2.join(",")), (vec![1, 8, 2, 8, 9], "J1,A".into()));
        assert_eq!((of(11).1[4..].to_vec(), of(11).2.join(",")), (vec![2], "one,two=2".into()));
        assert_eq!((of(17).2[0].as_str(), of(17).1[0x15..0x17].to_vec()), ("SLOT 0", 3200_u16.to_le_bytes().to_vec()));
    }

    #[test]
    fn whole_structures_take_the_place_of_the_machines_own() {
        let mut config = config();
        let mine = vec![2, 5, 0x34, 0x12, 1, b'm', b'i', b'n', b'e', 0, 0];
        config.smbios.structures = vec![mine.clone()];
        let built = build(&config, FirmwareStructure::Ours);
        assert!(built.tables.starts_with(&mine));
        let walked = walk(&built.tables);
        assert_eq!(walked.iter().filter(|(kind, ..)| *kind == 2).count(), 1);
        assert_eq!(usize::from(built.count), walked.len());
    }

    #[test]
    fn the_anchor_has_both_checksums() {
        let anchor = build(&config(), FirmwareStructure::Ours).anchor(0x1234_5000);
        let sum = |bytes: &[u8]| bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        assert_eq!((anchor.len(), sum(&anchor), sum(&anchor[16..])), (31, 0, 0));
        assert_eq!(anchor[24..28], 0x1234_5000_u32.to_le_bytes());
    }
}
