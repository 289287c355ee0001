//! Tables that systems of the BIOS age search the F segment for: BIOS32, $PnP, $PIR and the MultiProcessor table. They lie in the
//! ROM's table window, behind the anchors of ACPI and SMBIOS.

use crate::layout::{Layout, checksum};
use crate::memory_map::{F_SEGMENT, IOAPIC_BASE, LAPIC_BASE};
use crate::platform::PlatformConfig;
use crate::rom;

/// Offsets in the F segment, on the boundaries of 16 bytes that are searched.
const BIOS32: u64 = 0x60;
pub(super) const PNP: u64 = 0x80;
const PIR: u64 = 0x100;
const MP_POINTER: u64 = 0x340;
const MP_TABLE: u64 = 0x350;
/// Interrupts that only PCI devices use: 10 and 11.
pub(super) const EXCLUSIVE_IRQS: u16 = 1 << 10 | 1 << 11;
/// Interrupts that a link can be routed to.
const LINK_IRQS: u16 = 1 << 5 | 1 << 10 | 1 << 11;
/// PIRQA# to PIRQD# as the table names them: the south bridge's routing registers.
const FIRST_LINK: u8 = 0x60;
const SLOTS: u8 = 32;

/// All tables with their addresses. `pins` are the slots and pins (0 to 3) of devices that interrupt, with their interrupts.
pub(super) fn build(config: &PlatformConfig, pins: &[(u8, u8, u8)]) -> Vec<(u64, Vec<u8>)> {
    let mut all = vec![
        (F_SEGMENT + BIOS32, bios32()),
        (F_SEGMENT + PNP, plug_and_play()),
        (F_SEGMENT + PIR, interrupt_routing()),
    ];
    let table = multiprocessor(config, pins);
    // With very many processors the table would outgrow its place; such machines are described by ACPI alone.
    if MP_TABLE as usize + table.len() <= rom::TABLE_WINDOW {
        all.push((F_SEGMENT + MP_POINTER, multiprocessor_pointer()));
        all.push((F_SEGMENT + MP_TABLE, table));
    }
    all
}

fn with_checksum(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at] = 0;
    bytes[at] = checksum(&bytes);
    bytes
}

/// Standard BIOS 32-bit Service Directory Proposal 0.4.
fn bios32() -> Vec<u8> {
    let mut table = Layout::default();
    table.bytes(b"_32_").u32((F_SEGMENT as u32) + rom::BIOS32_ENTRY as u32).u8(0).u8(1).u8(0).zeroes(5);
    with_checksum(table.0, 10)
}

/// Plug and Play BIOS Specification 1.0A, 4.4. Its entry answers that no function is supported, as firmware does that describes its
/// devices by ACPI; what boot loaders and ROMs look for is the structure.
fn plug_and_play() -> Vec<u8> {
    const VERSION: u8 = 0x10;
    const LENGTH: u8 = 0x21;
    let mut table = Layout::default();
    table.bytes(b"$PnP").u8(VERSION).u8(LENGTH).u16(0).u8(0).u32(0);
    table.u16(rom::PNP_ENTRY as u16).u16(0xf000);
    table.u16(rom::PNP_PROTECTED_ENTRY as u16).u32(F_SEGMENT as u32);
    table.u32(0).u16(0xf000).u32(F_SEGMENT as u32);
    with_checksum(table.0, 8)
}

/// The slots of the routing table: pin p of slot s is wired to link (s + p + 3) mod 4.
pub(super) fn routing_slots() -> Vec<u8> {
    let mut table = Layout::default();
    for slot in 0..SLOTS {
        table.u8(0).u8(slot << 3);
        for pin in 0..4 {
            table.u8(FIRST_LINK + ((slot + pin + 3) & 3)).u16(LINK_IRQS);
        }
        table.u8(slot).u8(0);
    }
    table.0
}

/// PCI IRQ Routing Table Specification 1.0.
fn interrupt_routing() -> Vec<u8> {
    const HEADER: usize = 32;
    const SOUTH_BRIDGE: u8 = 1 << 3;
    const PIIX: u32 = 0x122e_8086;
    let slots = routing_slots();
    let mut table = Layout::default();
    table.bytes(b"$PIR").u16(0x0100).u16((HEADER + slots.len()) as u16);
    table.u8(0).u8(SOUTH_BRIDGE).u16(EXCLUSIVE_IRQS).u32(PIIX).u32(0).zeroes(11).u8(0).bytes(&slots);
    with_checksum(table.0, HEADER - 1)
}

fn multiprocessor_pointer() -> Vec<u8> {
    let mut pointer = Layout::default();
    pointer.bytes(b"_MP_").u32((F_SEGMENT + MP_TABLE) as u32).u8(1).u8(4).u8(0).zeroes(5);
    with_checksum(pointer.0, 10)
}

/// MultiProcessor Specification 1.4, chapter 4.
fn multiprocessor(config: &PlatformConfig, pins: &[(u8, u8, u8)]) -> Vec<u8> {
    const LOCAL_VERSION: u8 = 0x14;
    const IO_VERSION: u8 = 0x11;
    const PROCESSOR: u8 = 0;
    const BUS: u8 = 1;
    const IO_APIC: u8 = 2;
    const IO_INTERRUPT: u8 = 3;
    const LOCAL_INTERRUPT: u8 = 4;
    const ENABLED: u8 = 1;
    const BOOT: u8 = 2;
    const PCI_BUS: u8 = 0;
    const ISA_BUS: u8 = 1;
    /// Kinds of interrupt.
    const INT: u8 = 0;
    const NMI: u8 = 1;
    const EXT_INT: u8 = 3;
    const ALL: u8 = 0xff;
    const LEVEL_HIGH: u16 = 0b11_01;
    /// As the ACPI tables have it.
    const IO_APIC_ID: u8 = 0;

    let (mut entries, mut count) = (Layout::default(), 0_u16);
    for (cpu, id) in config.apic_ids.iter().enumerate() {
        let flags = ENABLED | if cpu == 0 { BOOT } else { 0 };
        entries.u8(PROCESSOR).u8(*id).u8(LOCAL_VERSION).u8(flags).u32(config.cpu_id.0).u32(config.cpu_id.1);
        entries.zeroes(8);
        count += 1;
    }
    for (bus, name) in [(PCI_BUS, b"PCI   "), (ISA_BUS, b"ISA   ")] {
        entries.u8(BUS).u8(bus).bytes(name);
        count += 1;
    }
    entries.u8(IO_APIC).u8(IO_APIC_ID).u8(IO_VERSION).u8(ENABLED).u32(IOAPIC_BASE as u32);
    count += 1;
    for (slot, pin, irq) in pins {
        entries.u8(IO_INTERRUPT).u8(INT).u16(LEVEL_HIGH).u8(PCI_BUS).u8(slot << 2 | pin).u8(IO_APIC_ID).u8(*irq);
        count += 1;
    }
    // IRQ 0 comes in at pin 2, and the interrupts of PCI are described as such.
    let isa = (0..16_u8).filter(|irq| *irq != 2 && !pins.iter().any(|(_, _, taken)| taken == irq));
    for irq in isa {
        let pin = if irq == 0 { 2 } else { irq };
        let how = if irq == config.sci_irq { LEVEL_HIGH } else { 0 };
        entries.u8(IO_INTERRUPT).u8(INT).u16(how).u8(ISA_BUS).u8(irq).u8(IO_APIC_ID).u8(pin);
        count += 1;
    }
    for (kind, line) in [(EXT_INT, 0), (NMI, 1)] {
        let to = if kind == EXT_INT { 0 } else { ALL };
        entries.u8(LOCAL_INTERRUPT).u8(kind).u16(0).u8(ISA_BUS).u8(0).u8(to).u8(line);
        count += 1;
    }

    const HEADER: usize = 44;
    let mut table = Layout::default();
    table.bytes(b"PCMP").u16((HEADER + entries.0.len()) as u16).u8(4).u8(0);
    table.bytes(b"LOCKSTEP").bytes(b"STANDARD PC ").u32(0).u16(0).u16(count).u32(LAPIC_BASE as u32).u32(0);
    table.bytes(&entries.0);
    with_checksum(table.0, 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_do_not_overlap_and_their_sums_are_right() {
        for cpus in [1, 4, 64] {
            let tables = build(&PlatformConfig::pc(cpus, 128 << 20), &[(1, 0, 10), (3, 0, 11)]);
            for pair in tables.windows(2) {
                assert!(pair[0].0 + pair[0].1.len() as u64 <= pair[1].0);
            }
            assert_eq!(tables.len(), 5);
            for (address, table) in &tables {
                assert_eq!(address % 16, 0);
                assert_eq!(checksum(table), 0, "{:?}", String::from_utf8_lossy(&table[..4]));
            }
        }
        assert_eq!(build(&PlatformConfig::pc(255, 128 << 20), &[]).len(), 3);
    }

    #[test]
    fn the_multiprocessor_table_says_its_own_length_and_count() {
        let table = multiprocessor(&PlatformConfig::pc(3, 128 << 20), &[(1, 0, 10)]);
        let word = |at: usize| u16::from_le_bytes([table[at], table[at + 1]]);
        assert_eq!(usize::from(word(4)), table.len());
        let mut at = 44;
        let mut entries = 0;
        while at < table.len() {
            at += if table[at] == 0 { 20 } else { 8 };
            entries += 1;
        }
        assert_eq!((at, entries), (table.len(), word(34)));
    }

    #[test]
    fn the_plug_and_play_structure_has_its_length() {
        assert_eq!(plug_and_play().len(), usize::from(plug_and_play()[5]));
    }
}
