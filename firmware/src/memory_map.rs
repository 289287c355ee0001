//! Where RAM lies in the guest's physical address space, and the map that tells the guest so.

use serde::{Deserialize, Serialize};

/// The first byte above 32-bit addressing.
pub const FOUR_GIB: u64 = 1 << 32;
/// With more RAM than this, RAM below 4 GiB is cut at [`LOW_RAM_CUT`] to leave a larger PCI hole.
pub const LOW_RAM_MAX: u64 = 0xe000_0000;
/// End of low RAM on a machine whose RAM does not fit below [`LOW_RAM_MAX`].
pub const LOW_RAM_CUT: u64 = 0xc000_0000;
/// End of conventional memory, where the extended BIOS data area begins.
pub const EBDA_START: u64 = 0x9_fc00;
/// The VGA window and the option ROMs begin here.
pub const CONVENTIONAL_END: u64 = 0xa_0000;
/// The segment in which firmware and the anchors of the platform tables live.
pub const F_SEGMENT: u64 = 0xf_0000;
/// Extended memory begins here.
pub const ONE_MIB: u64 = 0x10_0000;
/// First byte of the I/O APIC, and the end of the 32-bit PCI hole.
pub const IOAPIC_BASE: u64 = 0xfec0_0000;
/// First byte of the HPET.
pub const HPET_BASE: u64 = 0xfed0_0000;
/// First byte of the local APICs.
pub const LAPIC_BASE: u64 = 0xfee0_0000;
/// The room that the firmware flash takes below 4 GiB in the map (256 KiB, the largest image that is mapped).
pub const FLASH_BASE: u64 = 0xfffc_0000;

/// What a range of the map is, with the numbers of ACPI's INT 15h E820h interface (ACPI 6.5, table 15.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u32)]
pub enum RangeKind {
    /// Free for the operating system.
    Ram = 1,
    /// Never to be touched.
    Reserved = 2,
    /// ACPI tables, free once they have been read.
    AcpiReclaimable = 3,
    /// ACPI state that must survive sleep.
    AcpiNvs = 4,
    /// RAM that is broken.
    Unusable = 5,
}

/// One line of the map: `length` bytes from `start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryRange {
    /// First guest physical address.
    pub start: u64,
    /// Bytes.
    pub length: u64,
    /// What it is.
    pub kind: RangeKind,
}

impl MemoryRange {
    /// A range from `start` to `end`, which is exclusive.
    #[must_use]
    pub const fn between(start: u64, end: u64, kind: RangeKind) -> Self {
        Self { start, length: end.saturating_sub(start), kind }
    }

    /// The first address behind the range.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.start.saturating_add(self.length)
    }
}

/// How a RAM size is split around the hole below 4 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RamLayout {
    /// Bytes of RAM from address 0.
    pub below_4g: u64,
    /// Bytes of RAM from 4 GiB.
    pub above_4g: u64,
}

impl RamLayout {
    /// The split of `bytes` of RAM on machine `pc`.
    #[must_use]
    pub const fn for_size(bytes: u64) -> Self {
        if bytes <= LOW_RAM_MAX {
            Self { below_4g: bytes, above_4g: 0 }
        } else {
            Self { below_4g: LOW_RAM_CUT, above_4g: bytes - LOW_RAM_CUT }
        }
    }

    /// All RAM, in bytes.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.below_4g.saturating_add(self.above_4g)
    }

    /// First address of the 32-bit PCI hole. SeaBIOS opens the hole at the first of these steps that clears RAM, and the ACPI
    /// tables must describe the same hole.
    #[must_use]
    pub const fn pci_hole_start(&self) -> u64 {
        match self.below_4g {
            0..=0x8000_0000 => 0x8000_0000,
            0x8000_0001..=0xc000_0000 => 0xc000_0000,
            _ => 0xe000_0000,
        }
    }

    /// First address of the 64-bit PCI window: the first GiB boundary behind all RAM.
    #[must_use]
    pub const fn pci_window_64_start(&self) -> u64 {
        FOUR_GIB.saturating_add(self.above_4g).next_multiple_of(1 << 30)
    }
}

/// The memory map as firmware gives it to an operating system: sorted, without overlaps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryMap {
    /// Lines in order of their addresses.
    pub ranges: Vec<MemoryRange>,
}

impl MemoryMap {
    /// The map of a machine that starts a kernel without foreign firmware. `tables` bytes at the top of low RAM hold the platform
    /// tables (0: none); see [`Self::tables_base`].
    #[must_use]
    pub fn for_direct_boot(ram: &RamLayout, tables: u64) -> Self {
        use RangeKind::{AcpiNvs, Ram, Reserved};
        let low_end = Self::tables_base(ram, tables);
        let lines = [
            MemoryRange::between(0, EBDA_START.min(low_end), Ram),
            MemoryRange::between(EBDA_START, CONVENTIONAL_END, Reserved),
            MemoryRange::between(F_SEGMENT, ONE_MIB, Reserved),
            MemoryRange::between(ONE_MIB, low_end, Ram),
            MemoryRange::between(low_end, ram.below_4g, AcpiNvs),
            MemoryRange { start: IOAPIC_BASE, length: 0x1000, kind: Reserved },
            MemoryRange { start: HPET_BASE, length: 0x1000, kind: Reserved },
            MemoryRange { start: LAPIC_BASE, length: 0x10_0000, kind: Reserved },
            MemoryRange::between(FLASH_BASE, FOUR_GIB, Reserved),
            MemoryRange { start: FOUR_GIB, length: ram.above_4g, kind: Ram },
        ];
        Self { ranges: lines.into_iter().filter(|line| line.length > 0).collect() }
    }

    /// How many lines a map has that firmware fills in.
    pub const FIRMWARE_LINES: usize = 64;

    /// The map by which a kernel is laid out that foreign firmware will start: RAM that such firmware leaves alone until then. It
    /// keeps its tables within the last MiB below 4 GiB, and its own data at both ends of conventional memory. Lines without a
    /// length make room for what firmware says of RAM.
    #[must_use]
    pub fn beside_firmware(ram: &RamLayout) -> Self {
        const LOW_START: u64 = 0x1_0000;
        const LOW_END: u64 = 0x9_0000;
        let mut ranges = vec![
            MemoryRange::between(LOW_START, LOW_END.min(ram.below_4g), RangeKind::Ram),
            MemoryRange::between(ONE_MIB, ram.below_4g.saturating_sub(ONE_MIB), RangeKind::Ram),
        ];
        ranges.resize(Self::FIRMWARE_LINES, MemoryRange { start: 0, length: 0, kind: RangeKind::Reserved });
        Self { ranges }
    }

    /// Where `tables` bytes of platform tables begin: as high in low RAM as 64 KiB alignment lets them. With too little RAM for
    /// them this is the end of low RAM, and they must be left out.
    #[must_use]
    pub fn tables_base(ram: &RamLayout, tables: u64) -> u64 {
        match ram.below_4g.checked_sub(tables).map(|top| top & !0xffff) {
            Some(base) if tables > 0 && base >= ONE_MIB => base,
            _ => ram.below_4g,
        }
    }

    /// The ranges that are free RAM.
    pub fn ram(&self) -> impl Iterator<Item = &MemoryRange> {
        self.ranges.iter().filter(|range| range.kind == RangeKind::Ram)
    }

    /// The map in the 20-byte entries (base u64, length u64, kind u32, little-endian) of INT 15h, `boot_params` and fw_cfg.
    #[must_use]
    pub fn e820_bytes(&self) -> Vec<u8> {
        self.ranges.iter().flat_map(e820_entry).collect()
    }
}

/// The 20 bytes of one E820 entry.
#[must_use]
pub fn e820_entry(range: &MemoryRange) -> Vec<u8> {
    let mut entry = Vec::with_capacity(20);
    entry.extend_from_slice(&range.start.to_le_bytes());
    entry.extend_from_slice(&range.length.to_le_bytes());
    entry.extend_from_slice(&(range.kind as u32).to_le_bytes());
    entry
}

/// The fw_cfg file "etc/e820" for foreign firmware, which adds its own reservations: only where RAM lies.
#[must_use]
pub fn fw_cfg_e820(ram: &RamLayout) -> Vec<u8> {
    let ranges = [(0, ram.below_4g), (FOUR_GIB, ram.above_4g)];
    let ranges = ranges.into_iter().filter(|(_, length)| *length > 0);
    MemoryMap { ranges: ranges.map(|(start, length)| MemoryRange { start, length, kind: RangeKind::Ram }).collect() }
        .e820_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn ram_up_to_three_and_a_half_gib_stays_below_the_hole_and_more_is_cut_at_three() {
        assert_eq!(RamLayout::for_size(128 * MIB), RamLayout { below_4g: 128 * MIB, above_4g: 0 });
        assert_eq!(RamLayout::for_size(3584 * MIB), RamLayout { below_4g: 3584 * MIB, above_4g: 0 });
        assert_eq!(RamLayout::for_size(4096 * MIB), RamLayout { below_4g: 3072 * MIB, above_4g: 1024 * MIB });
    }

    #[test]
    fn the_hole_opens_at_the_first_step_that_clears_ram() {
        assert_eq!(RamLayout::for_size(128 * MIB).pci_hole_start(), 0x8000_0000);
        assert_eq!(RamLayout::for_size(2049 * MIB).pci_hole_start(), 0xc000_0000);
        assert_eq!(RamLayout::for_size(3584 * MIB).pci_hole_start(), 0xe000_0000);
        assert_eq!(RamLayout::for_size(4096 * MIB).pci_window_64_start(), 5 << 30);
    }

    #[test]
    fn a_map_is_sorted_without_overlaps_and_accounts_for_all_ram() {
        for size in [0, 1, 640 << 10, MIB, 2 * MIB, 128 * MIB, 3584 * MIB, 4096 * MIB, 1 << 40] {
            let ram = RamLayout::for_size(size);
            for tables in [0, 0x5000, 0x2_0000] {
                let map = MemoryMap::for_direct_boot(&ram, tables);
                assert!(map.ranges.windows(2).all(|pair| pair[0].end() <= pair[1].start), "{size:#x}: {map:x?}");
            }
        }
        let map = MemoryMap::for_direct_boot(&RamLayout::for_size(4096 * MIB), 0x5000);
        let free: u64 = map.ram().map(|range| range.length).sum();
        assert_eq!(free, 4096 * MIB - 0x1_0000 - (ONE_MIB - EBDA_START));
    }

    #[test]
    fn foreign_firmware_is_told_only_where_ram_lies() {
        let file = fw_cfg_e820(&RamLayout::for_size(4096 * MIB));
        assert_eq!(file.len(), 40);
        assert_eq!(file[20..28], FOUR_GIB.to_le_bytes());
        assert_eq!(fw_cfg_e820(&RamLayout::for_size(64 * MIB)).len(), 20);
    }
}
