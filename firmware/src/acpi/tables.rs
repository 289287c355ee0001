//! The fixed tables: RSDP, RSDT, XSDT, FADT, FACS, MADT and HPET (ACPI 6.5, section 5.2; IA-PC HPET specification, section 3.2.4).

use crate::layout::Layout;
use crate::memory_map::{HPET_BASE, IOAPIC_BASE, LAPIC_BASE};
use crate::platform::{FwCfgFile, OemIds, PlatformConfig};

use super::linker::{Command, LinkerScript, Zone};
use super::user_table::licence_ids;
use super::{AcpiTables, RSDP_FILE, TABLES_FILE, affinity, dsdt, generation, hmat, pm};

/// Length of the header that all tables but RSDP and FACS share, and where its checksum is.
const HEADER_SIZE: usize = 36;
const CHECKSUM_AT: u32 = 9;
const FACS_SIZE: u32 = 64;
/// Who made the tables.
const CREATOR_ID: &[u8; 4] = b"LKST";
const CREATOR_REVISION: u32 = 1;

/// All tables in one file, with the script that finishes them.
struct Builder {
    /// What the next table's header says of its maker.
    oem: OemIds,
    tables: Layout,
    commands: Vec<Command>,
}

impl Builder {
    /// Appends a table of this content and returns where it begins. `pointers` are places in the content (offset and size) that
    /// hold an offset in a file: most in this one.
    fn table(&mut self, signature: [u8; 4], revision: u8, content: &[u8], pointers: &[(usize, u8)]) -> u32 {
        self.table_on(TABLES_FILE, signature, revision, content, pointers)
    }

    /// A table with pointers to `target`.
    fn table_on(
        &mut self,
        target: &'static str,
        signature: [u8; 4],
        revision: u8,
        content: &[u8],
        pointers: &[(usize, u8)],
    ) -> u32 {
        let start = self.tables.0.len().next_multiple_of(8);
        self.tables.0.resize(start, 0);
        let length = (HEADER_SIZE + content.len()) as u32;
        self.tables.bytes(&signature).u32(length).u8(revision).u8(0);
        self.tables.bytes(&self.oem.oem_id).bytes(&self.oem.table_id).u32(self.oem.revision);
        self.tables.bytes(CREATOR_ID).u32(CREATOR_REVISION).bytes(content);

        let start = start as u32;
        for (at, size) in pointers {
            let offset = start + (HEADER_SIZE + at) as u32;
            self.commands.push(Command::AddPointer { file: TABLES_FILE, target, offset, size: *size });
        }
        let offset = start + CHECKSUM_AT;
        self.commands.push(Command::AddChecksum { file: TABLES_FILE, offset, start, length });
        start
    }

    /// Appends a table that is complete and returns where it begins.
    fn whole(&mut self, table: &[u8]) -> u32 {
        let start = self.tables.0.len().next_multiple_of(8);
        self.tables.0.resize(start, 0);
        self.tables.bytes(table);
        start as u32
    }

    /// A table of pointers to other tables.
    fn index(&mut self, signature: [u8; 4], tables: &[u32], size: u8) -> u32 {
        let content: Vec<u8> =
            tables.iter().flat_map(|at| u64::from(*at).to_le_bytes().into_iter().take(usize::from(size))).collect();
        let pointers: Vec<_> = (0..tables.len()).map(|index| (index * usize::from(size), size)).collect();
        self.table(signature, 1, &content, &pointers)
    }
}

pub(super) fn build(config: &PlatformConfig) -> AcpiTables {
    let mut builder = Builder {
        oem: config.oem,
        tables: Layout::default(),
        commands: vec![
            // The FACS comes first, and must lie on a 64-byte boundary.
            Command::Allocate { file: TABLES_FILE, align: 64, zone: Zone::High },
            Command::Allocate { file: RSDP_FILE, align: 16, zone: Zone::FSegment },
        ],
    };
    builder.tables.bytes(b"FACS").u32(FACS_SIZE).zeroes(24).u8(1).zeroes(31);
    let dsdt = builder.table(*b"DSDT", 1, &dsdt::build(config), &[]);
    let licensed = match licence_ids(&config.user_tables) {
        Some((oem_id, table_id)) => OemIds { oem_id, table_id, ..config.oem },
        None => config.oem,
    };
    builder.oem = licensed;
    let fadt = builder.table(*b"FACP", 3, &fadt(config, dsdt), &[(0, 4), (4, 4), (104, 8)]);
    builder.oem = config.oem;
    let mut tables = vec![fadt, builder.table(*b"APIC", 1, &madt(config), &[])];
    if config.hpet {
        tables.push(builder.table(*b"HPET", 1, &hpet(), &[]));
    }
    if let Some(numa) = &config.numa {
        tables.push(builder.table(*b"SRAT", 1, &affinity::srat(config, numa), &[]));
        if let Some(distances) = &numa.distances {
            tables.push(builder.table(*b"SLIT", 1, &affinity::slit(distances), &[]));
        }
    }
    if let Some(attributes) = &config.hmat {
        tables.push(builder.table(*b"HMAT", hmat::REVISION, &hmat::build(attributes), &[]));
    }
    let generation = config.vm_generation.map(generation::page);
    if let Some((_, commands)) = &generation {
        builder.commands.extend_from_slice(commands);
        let pointer = generation::POINTER;
        tables.push(builder.table_on(generation::NUMBER_FILE, *b"SSDT", 1, &generation::ssdt(), &[pointer]));
    }
    tables.extend(config.user_tables.iter().map(|table| builder.whole(table)));
    builder.oem = licensed;
    let rsdt = builder.index(*b"RSDT", &tables, 4);
    let xsdt = builder.index(*b"XSDT", &tables, 8);

    let mut rsdp = Layout::default();
    rsdp.bytes(b"RSD PTR ").u8(0).bytes(&config.oem.oem_id).u8(2).u32(rsdt).u32(36).u64(u64::from(xsdt)).zeroes(4);
    let pointer = |offset, size| Command::AddPointer { file: RSDP_FILE, target: TABLES_FILE, offset, size };
    let sum = |offset, length| Command::AddChecksum { file: RSDP_FILE, offset, start: 0, length };
    builder.commands.extend([pointer(16, 4), pointer(24, 8), sum(8, 20), sum(32, 36)]);
    let mut files = vec![FwCfgFile::new(RSDP_FILE, rsdp.0), FwCfgFile::new(TABLES_FILE, builder.tables.0)];
    files.extend(generation.map(|(page, _)| page));
    AcpiTables { files, script: LinkerScript { commands: builder.commands } }
}

/// A generic address structure for I/O ports.
fn io_register(table: &mut Layout, port: u16, bytes: u8) {
    const SYSTEM_IO: u8 = 1;
    if port == 0 {
        table.zeroes(12);
    } else {
        table.u8(SYSTEM_IO).u8(bytes * 8).u8(0).u8(0).u64(u64::from(port));
    }
}

/// FADT of ACPI 2.0, without its header. The FACS is at offset 0 of the file.
fn fadt(config: &PlatformConfig, dsdt: u32) -> Vec<u8> {
    const INT_MODEL_APIC: u8 = 1;
    const EVENT_LENGTH: u8 = 4;
    const CONTROL_LENGTH: u8 = 2;
    const TIMER_LENGTH: u8 = 4;
    /// Latencies that mean "C2 and C3 are not supported".
    const NO_C2: u16 = 0xfff;
    const NO_C3: u16 = 0xfff;
    const RTC_CENTURY: u8 = 0x32;
    /// IAPC_BOOT_ARCH.
    const LEGACY_DEVICES: u16 = 1 << 0;
    const HAS_8042: u16 = 1 << 1;
    /// Feature flags: WBINVD works, C1 on every processor, no sleep button, RTC does not wake from S4 by fixed hardware, the
    /// reset register is supported, prefer the platform's clock. The power button is fixed hardware (its flag is clear).
    const WBINVD: u32 = 1 << 0;
    const PROC_C1: u32 = 1 << 2;
    const SLP_BUTTON: u32 = 1 << 5;
    const RTC_S4: u32 = 1 << 7;
    const RESET_REG_SUP: u32 = 1 << 10;
    const USE_PLATFORM_CLOCK: u32 = 1 << 15;

    let mut table = Layout::default();
    table.u32(0).u32(dsdt).u8(INT_MODEL_APIC).u8(0).u16(u16::from(config.sci_irq));
    table.u32(u32::from(pm::SMI_COMMAND)).u8(pm::ACPI_ENABLE).u8(pm::ACPI_DISABLE).u8(0).u8(0);
    for port in [pm::EVENT, 0, pm::CONTROL, 0, 0, pm::TIMER, pm::GPE0, 0] {
        table.u32(u32::from(port));
    }
    table.bytes(&[EVENT_LENGTH, CONTROL_LENGTH, 0, TIMER_LENGTH, pm::GPE0_LENGTH, 0, 0, 0]);
    table.u16(NO_C2).u16(NO_C3).u16(0).u16(0);
    table.bytes(&[0, 0, 0, 0, RTC_CENTURY]);
    table.u16(LEGACY_DEVICES | if config.i8042 { HAS_8042 } else { 0 }).u8(0);
    table.u32(WBINVD | PROC_C1 | SLP_BUTTON | RTC_S4 | RESET_REG_SUP | USE_PLATFORM_CLOCK);
    io_register(&mut table, pm::RESET_PORT, 1);
    table.u8(pm::RESET_VALUE).zeroes(3).u64(0).u64(u64::from(dsdt));
    for (port, length) in [
        (pm::EVENT, EVENT_LENGTH),
        (0, 0),
        (pm::CONTROL, CONTROL_LENGTH),
        (0, 0),
        (0, 0),
        (pm::TIMER, TIMER_LENGTH),
        (pm::GPE0, pm::GPE0_LENGTH),
        (0, 0),
    ] {
        io_register(&mut table, port, length);
    }
    table.0
}

/// MADT: local APICs, the I/O APIC, and how ISA interrupts reach it.
fn madt(config: &PlatformConfig) -> Vec<u8> {
    const PCAT_COMPAT: u32 = 1;
    const LOCAL_APIC: u8 = 0;
    const IO_APIC: u8 = 1;
    const OVERRIDE: u8 = 2;
    const LOCAL_NMI: u8 = 4;
    const ENABLED: u32 = 1;
    const ALL_PROCESSORS: u8 = 0xff;
    /// MPS INTI flags: active high, level triggered.
    const LEVEL_HIGH: u16 = 0b1101;
    const TIMER_GSI: u32 = 2;

    let mut table = Layout::default();
    table.u32(LAPIC_BASE as u32).u32(PCAT_COMPAT);
    // Those that can still come are listed as not enabled.
    for (cpu, id) in (0..=u8::MAX).zip(config.processor_places.as_ref().unwrap_or(&config.apic_ids)) {
        let flags = if config.apic_ids.contains(id) { ENABLED } else { 0 };
        table.u8(LOCAL_APIC).u8(8).u8(cpu).u8(*id).u32(flags);
    }
    table.u8(IO_APIC).u8(12).u8(0).u8(0).u32(IOAPIC_BASE as u32).u32(0);
    table.u8(OVERRIDE).u8(10).u8(0).u8(0).u32(TIMER_GSI).u16(0);
    let mut level: Vec<u8> = config.pci_irqs.iter().copied().chain([config.sci_irq]).collect();
    level.sort_unstable();
    level.dedup();
    for irq in level {
        table.u8(OVERRIDE).u8(10).u8(0).u8(irq).u32(u32::from(irq)).u16(LEVEL_HIGH);
    }
    table.u8(LOCAL_NMI).u8(6).u8(ALL_PROCESSORS).u16(0).u8(1);
    table.0
}

/// HPET: where it is and what its capability register will say.
fn hpet() -> Vec<u8> {
    /// Vendor 8086h, legacy replacement, 64-bit counter, three comparators, revision 1.
    const EVENT_TIMER_BLOCK: u32 = 0x8086_a201;
    let mut table = Layout::default();
    table.u32(EVENT_TIMER_BLOCK).zeroes(4).u64(HPET_BASE).u8(0).u16(0).u8(0);
    table.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acpi::user_table::{HeaderFields, complete};

    fn config() -> PlatformConfig {
        PlatformConfig::pc(3, 128 << 20)
    }

    #[test]
    fn the_fadt_has_its_fields_at_their_offsets() {
        let fadt = fadt(&config(), 0x40);
        let at = |offset: usize| &fadt[offset - HEADER_SIZE..];
        assert_eq!(fadt.len() + HEADER_SIZE, 244);
        assert_eq!(at(40)[..4], [0x40, 0, 0, 0]);
        assert_eq!(at(46)[..2], [9, 0]);
        assert_eq!(at(48)[..6], [0xb2, 0, 0, 0, 0xf1, 0xf0]);
        assert_eq!(at(76)[..2], [0x08, 0x06]);
        assert_eq!(at(80)[..2], [0xe0, 0xaf]);
        assert_eq!(at(108)[..3], [0x32, 3, 0]);
        assert_eq!(at(112)[..4], 0x84a5_u32.to_le_bytes());
        assert_eq!(at(116)[..13], [1, 8, 0, 0, 0xf9, 0x0c, 0, 0, 0, 0, 0, 0, 0x0f]);
        assert_eq!(at(140)[..4], [0x40, 0, 0, 0]);
        assert_eq!(at(208)[..6], [1, 32, 0, 0, 0x08, 0x06]);
    }

    #[test]
    fn the_madt_lists_every_processor_and_override() {
        let madt = madt(&PlatformConfig { apic_ids: vec![0, 1, 4], ..config() });
        let mut entries = Vec::new();
        let mut rest = &madt[8..];
        while let [kind, length, ..] = *rest {
            entries.push((kind, rest[2..usize::from(length)].to_vec()));
            rest = &rest[usize::from(length)..];
        }
        let count = |kind| entries.iter().filter(|entry| entry.0 == kind).count();
        assert_eq!([count(0), count(1), count(2), count(4)], [3, 1, 5, 1]);
        assert_eq!(entries[2].1[..2], [2, 4], "the third processor, and its APIC's id");
        assert_eq!(entries[4].1, [0, 0, 2, 0, 0, 0, 0, 0]);
        assert_eq!(entries[6].1, [0, 9, 9, 0, 0, 0, 0x0d, 0]);
    }

    #[test]
    fn the_madt_lists_processors_that_can_still_come_as_disabled() {
        let places = Some(vec![0, 1, 2]);
        let madt = madt(&PlatformConfig { apic_ids: vec![0, 2], processor_places: places, ..config() });
        assert_eq!([0, 1, 2].map(|cpu| madt[8 + 8 * cpu + 4]), [1, 0, 1]);
    }

    #[test]
    fn a_licence_table_gives_its_names_to_the_tables_that_must_bear_them() {
        let fields = HeaderFields {
            signature: Some("SLIC".into()),
            oem_id: Some("MAKER1".into()),
            oem_table_id: Some("MODEL234".into()),
            ..HeaderFields::default()
        };
        let slic = complete(&[0; 8], false, &fields).unwrap().bytes;
        let tables = build(&PlatformConfig { user_tables: vec![slic], ..config() }).files.remove(1).bytes;
        let maker = |signature: &[u8]| {
            let at = tables.windows(4).position(|four| four == signature).expect("a table");
            tables[at + 10..at + 24].to_vec()
        };
        for signature in [b"SLIC", b"FACP", b"RSDT", b"XSDT"] {
            assert_eq!(maker(signature), b"MAKER1MODEL234", "{signature:?}");
        }
        assert_eq!(maker(b"APIC"), b"LOCKSTLOCKSTPC");
    }

    #[test]
    fn a_machine_without_an_hpet_has_no_hpet_table() {
        let tables = build(&PlatformConfig { hpet: false, ..config() });
        assert!(!tables.files[1].bytes.windows(4).any(|four| four == b"HPET"));
    }
}
