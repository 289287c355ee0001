//! What a machine is, for the tables that describe it, and the two ways those tables reach the guest: as fw_cfg files that foreign
//! firmware places, or placed by us when a kernel is started directly.

use serde::{Deserialize, Serialize};

use crate::acpi::{self, generation, linker};
use crate::loader::Segment;
use crate::memory_map::{F_SEGMENT, IOAPIC_BASE, MemoryMap, ONE_MIB, RamLayout, fw_cfg_e820};
use crate::smbios::{self, FirmwareStructure, SmbiosConfig};

/// Who made the machine: what SMBIOS says about it unless the user says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemIdentity {
    /// "Manufacturer" of system, board and chassis.
    pub manufacturer: String,
    /// Product name.
    pub product: String,
    /// Product version.
    pub version: String,
    /// The UUID in the order of its text form; all zero when it is not set.
    pub uuid: [u8; 16],
}

/// The signatures in every ACPI table's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OemIds {
    /// Six characters, padded with spaces.
    pub oem_id: [u8; 6],
    /// Eight characters, padded with spaces.
    pub table_id: [u8; 8],
    /// Revision of the tables.
    pub revision: u32,
}

/// A PCI bus whose devices come and go while the machine runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlugSlots {
    /// Its number in the registers.
    pub number: u32,
    /// Slots with something that stays, a bit each.
    pub fixed: u32,
    /// The slots with bridges, and the buses behind them.
    pub bridges: Vec<(u8, PlugSlots)>,
}

/// Slots for memory modules that come and go while the machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemorySlots {
    /// How many there are, at most 256.
    pub count: u32,
    /// Where modules lie in the address space: the first address.
    pub start: u64,
    /// The first address behind.
    pub end: u64,
}

/// A NUMA node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumaNode {
    /// Bytes of the machine's own RAM.
    pub memory: u64,
    /// Its processors' local APICs, of those that there are and those that there can be.
    pub apic_ids: Vec<u8>,
}

/// How a machine is divided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numa {
    /// The nodes.
    pub nodes: Vec<NumaNode>,
    /// How far each is from each, if anything is said of it.
    pub distances: Option<Vec<Vec<u8>>>,
}

/// How fast one kind of access is, to each node's memory from each node with processors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locality {
    /// 0: the memory; 1 to 3: the cache of that level in front of it.
    pub hierarchy: u8,
    /// 0 to 2: latency of an access, a read, a write; 3 to 5: the same of bandwidth.
    pub data_type: u8,
    /// What the entries are multiples of: picoseconds, or megabytes in a second.
    pub base: u64,
    /// A row for each initiator, with an entry for each node.
    pub entries: Vec<u16>,
}

/// A cache in front of a node's memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideCache {
    /// The node.
    pub node: u16,
    /// Bytes.
    pub size: u64,
    /// Its level, from 1.
    pub level: u8,
    /// How many levels the node has.
    pub levels: u8,
    /// 0: none, 1: direct mapped, 2: complex.
    pub associativity: u8,
    /// 0: none, 1: write-back, 2: write-through.
    pub policy: u8,
    /// Bytes of a line.
    pub line: u16,
}

/// How fast the nodes' memory is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hmat {
    /// The nodes with memory, each with the node whose processors are nearest to it if that is known.
    pub nodes: Vec<(u16, Option<u16>)>,
    /// How many nodes there are.
    pub targets: u16,
    /// The nodes with processors.
    pub initiators: Vec<u16>,
    /// What is said of each kind of access.
    pub localities: Vec<Locality>,
    /// The caches.
    pub caches: Vec<SideCache>,
}

/// A machine `pc` as its tables describe it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformConfig {
    /// Processors, 1 to 255.
    pub cpus: u32,
    /// Their local APICs' ids.
    pub apic_ids: Vec<u8>,
    /// Cores of a socket, those of all its dies.
    pub cores: u32,
    /// Threads of a core.
    pub threads: u32,
    /// How RAM is split around the hole.
    pub ram: RamLayout,
    /// The 32-bit window for PCI devices' memory: first address and first address behind it.
    pub pci_hole: (u64, u64),
    /// The 64-bit window for PCI devices' memory, if there is one.
    pub pci_window_64: Option<(u64, u64)>,
    /// The interrupt of power management events.
    pub sci_irq: u8,
    /// Interrupts that the PCI link devices may be routed to. These and the SCI are level triggered, active high.
    pub pci_irqs: Vec<u8>,
    /// Which of COM1 to COM4 there are.
    pub serial_ports: [bool; 4],
    /// Whether the machine is described by ACPI.
    pub acpi: bool,
    /// Whether there is an HPET.
    pub hpet: bool,
    /// Whether there is a keyboard controller.
    pub i8042: bool,
    /// Whether there is a fw_cfg device at port 510h.
    pub fw_cfg: bool,
    /// The port of the pvpanic device, if there is one.
    pub pvpanic: Option<u16>,
    /// The generation number as it lies in memory, if there is a vmgenid device.
    pub vm_generation: Option<[u8; 16]>,
    /// The PCI slots whose devices come and go while the machine runs, if there are any.
    pub pci_slots: Option<PlugSlots>,
    /// The local APICs' ids of all processors that there can be, if some can come and go while the machine runs.
    pub processor_places: Option<Vec<u8>>,
    /// The slots for memory, if there are any.
    pub memory_slots: Option<MemorySlots>,
    /// The NUMA nodes, if the machine is divided.
    pub numa: Option<Numa>,
    /// How fast the nodes' memory is, if anything is to be said of it.
    pub hmat: Option<Hmat>,
    /// Whether the machine can sleep in S3.
    pub s3: bool,
    /// Whether the machine can sleep in S4.
    pub s4: bool,
    /// What to write into SLP_TYP for S4.
    pub s4_type: u8,
    /// The ACPI tables' signatures.
    pub oem: OemIds,
    /// Tables of the user's, whole, beside the machine's own.
    pub user_tables: Vec<Vec<u8>>,
    /// What SMBIOS says about the maker.
    pub identity: SystemIdentity,
    /// What the user says in SMBIOS.
    pub smbios: SmbiosConfig,
    /// Brand string and vendor of the processors, for SMBIOS.
    pub cpu_brand: String,
    /// Vendor of the processors, for SMBIOS.
    pub cpu_vendor: String,
    /// EAX and EDX of CPUID leaf 1, for SMBIOS.
    pub cpu_id: (u32, u32),
}

impl PlatformConfig {
    /// A machine `pc` with so many processors and bytes of RAM, one serial port, and everything else as it usually is.
    #[must_use]
    pub fn pc(cpus: u32, ram_bytes: u64) -> Self {
        let ram = RamLayout::for_size(ram_bytes);
        let window = ram.pci_window_64_start();
        Self {
            cpus: cpus.clamp(1, 255),
            apic_ids: (0..cpus.clamp(1, 255) as u8).collect(),
            cores: 1,
            threads: 1,
            ram,
            pci_hole: (ram.pci_hole_start(), IOAPIC_BASE),
            pci_window_64: Some((window, window + (2 << 30))),
            sci_irq: 9,
            pci_irqs: vec![5, 10, 11],
            serial_ports: [true, false, false, false],
            acpi: true,
            hpet: true,
            i8042: true,
            fw_cfg: true,
            pvpanic: None,
            vm_generation: None,
            pci_slots: None,
            processor_places: None,
            memory_slots: None,
            numa: None,
            hmat: None,
            s3: false,
            s4: false,
            s4_type: 2,
            oem: OemIds { oem_id: *b"LOCKST", table_id: *b"LOCKSTPC", revision: 1 },
            user_tables: Vec::new(),
            smbios: SmbiosConfig::default(),
            identity: SystemIdentity {
                manufacturer: "Lockstep".into(),
                product: "Standard PC (i440FX + PIIX, 1996)".into(),
                version: "pc-i440fx".into(),
                uuid: [0; 16],
            },
            cpu_brand: String::new(),
            cpu_vendor: "Lockstep".into(),
            cpu_id: (0, 0),
        }
    }

    /// The same with slots for memory, behind which the 64-bit window for PCI devices begins.
    #[must_use]
    pub fn with_memory_slots(mut self, slots: MemorySlots) -> Self {
        let window = slots.end.next_multiple_of(1 << 30);
        self.pci_window_64 = Some((window, window + (2 << 30)));
        self.memory_slots = Some(slots);
        self
    }

    /// Sockets with a processor in them.
    #[must_use]
    pub fn sockets(&self) -> u32 {
        self.cpus.div_ceil(self.cores.saturating_mul(self.threads).max(1))
    }
}

/// A file for the fw_cfg device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FwCfgFile {
    /// Its name, at most 55 characters.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl FwCfgFile {
    /// A file.
    #[must_use]
    pub fn new(name: &str, bytes: Vec<u8>) -> Self {
        Self { name: name.into(), bytes }
    }
}

/// All fw_cfg files from which foreign firmware learns what the machine is, in the order of their names.
#[must_use]
pub fn fw_cfg_files(config: &PlatformConfig) -> Vec<FwCfgFile> {
    let smbios = smbios::build(config, FirmwareStructure::Left);
    let mut files = Vec::new();
    if config.acpi {
        let acpi = acpi::build(config);
        files.extend(acpi.files);
        files.push(FwCfgFile::new("etc/table-loader", acpi.script.to_bytes()));
    }
    if let Some(slots) = &config.memory_slots {
        // Firmware puts nothing below this.
        files.push(FwCfgFile::new(
            "etc/reserved-memory-end",
            slots.end.next_multiple_of(1 << 30).to_le_bytes().to_vec(),
        ));
    }
    files.push(FwCfgFile::new("etc/e820", fw_cfg_e820(&config.ram)));
    files.push(FwCfgFile::new("etc/smbios/smbios-tables", smbios.tables.clone()));
    files.push(FwCfgFile::new("etc/smbios/smbios-anchor", smbios.anchor(0)));
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

/// The platform tables in their places, for a kernel that is started directly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedPlatform {
    /// What to place. The segments in the F segment (up to [`crate::rom::TABLE_WINDOW`] bytes from F0000h) belong into whatever
    /// memory the guest sees there: the ROM, or shadow RAM.
    pub segments: Vec<Segment<'static>>,
    /// Guest physical address of the RSDP; 0 when RAM is too small for tables.
    pub rsdp: u64,
    /// Guest physical address of the generation number, if there is one.
    pub vm_generation: Option<u64>,
    /// Guest physical address of the FACS, if there is one: there the guest leaves word where it goes on after a sleep.
    pub facs: Option<u64>,
    /// The memory map with the tables' range taken out of RAM.
    pub memory: MemoryMap,
}

/// A write to PCI configuration space on bus 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigWrite {
    /// Slot.
    pub device: u8,
    /// Function of the slot.
    pub function: u8,
    /// Register, on a 4-byte boundary.
    pub register: u8,
    /// What all four bytes become.
    pub value: u32,
}

/// What firmware would have set up before a kernel starts, and what the tables rely on: the PIIX4's power management registers
/// (function 1.3) at [`acpi::pm::BASE`] (PMBASE), decoded (PMREGMISC).
pub const BOARD_SETUP: [ConfigWrite; 2] = [
    ConfigWrite { device: 1, function: 3, register: 0x40, value: acpi::pm::BASE as u32 | 1 },
    ConfigWrite { device: 1, function: 3, register: 0x80, value: 1 },
];

/// Where the SMBIOS anchor lies: behind the RSDP, on one of the 16-byte boundaries that are searched.
const SMBIOS_ANCHOR: u64 = F_SEGMENT + 0x40;

/// Places the platform tables: tables at the top of low RAM, anchors at F0000h. Runs the same linker script that foreign firmware
/// gets, so that both see the same tables.
#[must_use]
pub fn place(config: &PlatformConfig) -> PlacedPlatform {
    let acpi = if config.acpi { acpi::build(config) } else { acpi::AcpiTables::default() };
    let smbios = smbios::build(config, FirmwareStructure::Ours);
    // The largest alignment that the script asks for is far below the map's 64 KiB.
    let aligned = config.vm_generation.map_or(0, |_| generation::PAGE as usize);
    let high: usize = acpi.files.iter().map(|file| file.bytes.len().next_multiple_of(64)).sum::<usize>() + aligned;
    let size = (high + smbios.tables.len()) as u64;
    let memory = MemoryMap::for_direct_boot(&config.ram, size);
    let base = MemoryMap::tables_base(&config.ram, size);
    if base >= config.ram.below_4g || base < ONE_MIB {
        return PlacedPlatform { segments: Vec::new(), rsdp: 0, vm_generation: None, facs: None, memory };
    }

    let mut zones = linker::Zones { high: base, f_segment: F_SEGMENT };
    let placed = acpi.script.execute(&acpi.files, &mut zones);
    let rsdp = placed.iter().find(|file| file.name == acpi::RSDP_FILE).map_or(0, |file| file.address);
    // It comes first in its file.
    let facs = placed.iter().find(|file| file.name == acpi::TABLES_FILE).map(|file| file.address);
    let page = placed.iter().find(|file| file.name == generation::NUMBER_FILE);
    let vm_generation = page.map(|page| page.address + u64::from(generation::NUMBER_OFFSET));
    let mut segments: Vec<_> = placed.into_iter().map(|file| Segment::new(file.address, file.bytes)).collect();
    let tables = zones.high.next_multiple_of(64);
    segments.push(Segment::new(SMBIOS_ANCHOR, smbios.anchor(tables as u32)));
    segments.push(Segment::new(tables, smbios.tables));
    PlacedPlatform { segments, rsdp, vm_generation, facs, memory }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_at(placed: &PlacedPlatform, address: u64, length: usize) -> Vec<u8> {
        let segment = placed.segments.iter().find(|s| s.address <= address && address < s.end()).expect("placed there");
        segment.bytes[(address - segment.address) as usize..][..length].to_vec()
    }

    fn table_at(placed: &PlacedPlatform, address: u64) -> Vec<u8> {
        let length = bytes_at(placed, address + 4, 4);
        bytes_at(placed, address, u32::from_le_bytes(length.try_into().unwrap()) as usize)
    }

    fn sum(bytes: &[u8]) -> u8 {
        bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
    }

    fn u32_at(bytes: &[u8], at: usize) -> u64 {
        u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()))
    }

    fn u64_at(bytes: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    }

    #[test]
    fn every_table_is_reached_from_the_rsdp_with_a_right_checksum() {
        let config = PlatformConfig::pc(4, 4 << 30);
        let placed = place(&config);
        let rsdp = bytes_at(&placed, placed.rsdp, 36);
        assert_eq!((&rsdp[..8], sum(&rsdp[..20]), sum(&rsdp)), (&b"RSD PTR "[..], 0, 0));
        let (rsdt, xsdt) = (table_at(&placed, u32_at(&rsdp, 16)), table_at(&placed, u64_at(&rsdp, 24)));
        assert_eq!((sum(&rsdt), sum(&xsdt)), (0, 0));
        let listed: Vec<u64> = (36..rsdt.len()).step_by(4).map(|at| u32_at(&rsdt, at)).collect();
        assert_eq!(listed, (36..xsdt.len()).step_by(8).map(|at| u64_at(&xsdt, at)).collect::<Vec<_>>());
        let tables: Vec<_> = listed.iter().map(|address| table_at(&placed, *address)).collect();
        let names: Vec<_> = tables.iter().map(|table| String::from_utf8_lossy(&table[..4]).into_owned()).collect();
        assert_eq!(names, ["FACP", "APIC", "HPET"]);
        assert!(tables.iter().all(|table| sum(table) == 0));
        let fadt = &tables[0];
        let dsdt = table_at(&placed, u32_at(fadt, 40));
        assert_eq!((&dsdt[..4], sum(&dsdt), u64_at(fadt, 140)), (&b"DSDT"[..], 0, u32_at(fadt, 40)));
        let facs = table_at(&placed, u32_at(fadt, 36));
        assert_eq!((&facs[..4], facs.len(), u32_at(fadt, 36) % 64), (&b"FACS"[..], 64, 0));
        assert_eq!(placed.facs, Some(u32_at(fadt, 36)));
    }

    #[test]
    fn the_tables_lie_outside_of_the_ram_in_the_map() {
        for size in [2 << 20, 128 << 20, 3 << 30, 8 << 30] {
            let placed = place(&PlatformConfig::pc(8, size));
            assert_ne!(placed.rsdp, 0);
            for segment in &placed.segments {
                let touches = |range: &&crate::memory_map::MemoryRange| {
                    range.start < segment.end() && segment.address < range.end()
                };
                assert_eq!(placed.memory.ram().find(touches), None);
                assert!(segment.address >= F_SEGMENT && segment.end() <= placed.memory.ranges.last().unwrap().end());
            }
        }
        assert_eq!(place(&PlatformConfig::pc(1, 1 << 20)).rsdp, 0);
    }

    #[test]
    fn the_smbios_anchor_points_to_its_tables() {
        let placed = place(&PlatformConfig::pc(2, 128 << 20));
        let anchor = bytes_at(&placed, SMBIOS_ANCHOR, 31);
        assert_eq!((&anchor[..4], sum(&anchor), sum(&anchor[16..])), (&b"_SM_"[..], 0, 0));
        assert_eq!(bytes_at(&placed, u32_at(&anchor, 24), 1), [0]);
    }

    #[test]
    fn a_machine_without_acpi_has_no_table_of_it() {
        let config = PlatformConfig { acpi: false, ..PlatformConfig::pc(1, 128 << 20) };
        assert!(!fw_cfg_files(&config).iter().any(|file| file.name.contains("acpi") || file.name.contains("loader")));
        let placed = place(&config);
        assert_eq!(placed.rsdp, 0);
        assert_eq!(bytes_at(&placed, SMBIOS_ANCHOR, 4), b"_SM_");
    }

    #[test]
    fn foreign_firmware_gets_its_files() {
        let files = fw_cfg_files(&PlatformConfig::pc(1, 128 << 20));
        let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
        let expected = [
            "etc/acpi/rsdp",
            "etc/acpi/tables",
            "etc/e820",
            "etc/smbios/smbios-anchor",
            "etc/smbios/smbios-tables",
            "etc/table-loader",
        ];
        assert_eq!(names, expected);
    }
}
