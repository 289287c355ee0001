//! SRAT and SLIT: which processors and memory belong to which NUMA node, and how far nodes are from each other (ACPI 6.5,
//! sections 5.2.16 and 5.2.17).

use crate::layout::Layout;
use crate::memory_map::{CONVENTIONAL_END, FOUR_GIB, ONE_MIB};
use crate::platform::{Numa, PlatformConfig};

const PROCESSOR: u8 = 0;
const MEMORY: u8 = 1;
/// Flags of both kinds of entry.
const ENABLED: u32 = 1 << 0;
/// Flag of memory: it may come and go.
const HOT_PLUGGABLE: u32 = 1 << 1;

/// The SRAT's content.
pub(super) fn srat(config: &PlatformConfig, numa: &Numa) -> Vec<u8> {
    let mut table = Layout::default();
    table.u32(1).u64(0);
    for (node, of) in (0..).zip(&numa.nodes) {
        for apic_id in &of.apic_ids {
            processor(&mut table, node, *apic_id);
        }
    }
    let mut free = pieces(config);
    for (node, of) in (0..).zip(&numa.nodes) {
        let mut left = of.memory;
        while left > 0 {
            let Some((start, end)) = free.pop() else { break };
            let taken = left.min(end - start);
            memory(&mut table, node, start, taken, ENABLED);
            if start + taken < end {
                free.push((start + taken, end));
            }
            // The hole below 1 MiB counts as RAM.
            left -= if start == 0 && taken == CONVENTIONAL_END { left.min(ONE_MIB) } else { taken };
        }
    }
    if let Some(slots) = &config.memory_slots {
        let last = numa.nodes.len().saturating_sub(1) as u32;
        memory(&mut table, last, slots.start, slots.end - slots.start, ENABLED | HOT_PLUGGABLE);
    }
    table.0
}

/// Where RAM is, the lowest piece last.
fn pieces(config: &PlatformConfig) -> Vec<(u64, u64)> {
    let ram = &config.ram;
    let pieces =
        [(FOUR_GIB, FOUR_GIB + ram.above_4g), (ONE_MIB, ram.below_4g), (0, CONVENTIONAL_END.min(ram.below_4g))];
    pieces.into_iter().filter(|(start, end)| start < end).collect()
}

fn processor(table: &mut Layout, node: u32, apic_id: u8) {
    let [low, high @ ..] = node.to_le_bytes();
    table.u8(PROCESSOR).u8(16).u8(low).u8(apic_id).u32(ENABLED).u8(0).bytes(&high).u32(0);
}

fn memory(table: &mut Layout, node: u32, start: u64, length: u64, flags: u32) {
    table.u8(MEMORY).u8(40).u32(node).u16(0).u64(start).u64(length).u32(0).u32(flags).u64(0);
}

/// The SLIT's content.
pub(super) fn slit(distances: &[Vec<u8>]) -> Vec<u8> {
    let mut table = Layout::default();
    table.u64(distances.len() as u64);
    distances.iter().for_each(|row| {
        table.bytes(row);
    });
    table.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{MemorySlots, NumaNode};

    const GIB: u64 = 1 << 30;

    fn entries(table: &[u8]) -> Vec<(u32, u64, u64, u32)> {
        let word = |at: &[u8], from: usize| u64::from_le_bytes(at[from..from + 8].try_into().unwrap());
        let mut rest = &table[12..];
        let mut found = Vec::new();
        while let [kind, length, ..] = *rest {
            if kind == MEMORY {
                let half = |from: usize| u32::from_le_bytes(rest[from..from + 4].try_into().unwrap());
                found.push((half(2), word(rest, 8), word(rest, 16), half(28)));
            }
            rest = &rest[usize::from(length)..];
        }
        found
    }

    #[test]
    fn every_byte_of_ram_belongs_to_a_node_and_slots_to_the_last() {
        let node = |memory, apic_ids: &[u8]| NumaNode { memory, apic_ids: apic_ids.to_vec() };
        let numa = Numa { nodes: vec![node(2 * GIB, &[0]), node(3 * GIB, &[1])], distances: None };
        let slots = MemorySlots { count: 2, start: 6 * GIB, end: 9 * GIB };
        let config = PlatformConfig { memory_slots: Some(slots), ..PlatformConfig::pc(2, 5 * GIB) };
        let expected = [
            (0, 0, CONVENTIONAL_END, ENABLED),
            (0, ONE_MIB, 2 * GIB - ONE_MIB, ENABLED),
            (1, 2 * GIB, GIB, ENABLED),
            (1, FOUR_GIB, 2 * GIB, ENABLED),
            (1, 6 * GIB, 3 * GIB, ENABLED | HOT_PLUGGABLE),
        ];
        assert_eq!(entries(&srat(&config, &numa)), expected);
    }

    #[test]
    fn distances_are_a_square() {
        assert_eq!(slit(&[vec![10, 21], vec![21, 10]]), [2, 0, 0, 0, 0, 0, 0, 0, 10, 21, 21, 10]);
    }
}
