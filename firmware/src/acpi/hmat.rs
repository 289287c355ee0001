//! HMAT: how fast each node's memory is reached from each, and what caches are in front of it (ACPI 6.5, section 5.2.28), as QEMU's
//! `hw/acpi/hmat.c` lays it out.

use crate::layout::Layout;
use crate::platform::{Hmat, Locality, SideCache};

/// Revision of the table.
pub(super) const REVISION: u8 = 2;
const ATTRIBUTES: u16 = 0;
const LOCALITY: u16 = 1;
const CACHE: u16 = 2;
/// Flag of a node's attributes: the processors that its memory is nearest to are known.
const INITIATOR_VALID: u16 = 1 << 0;
/// What QEMU puts in their place if they are not.
const NO_INITIATOR: u32 = 128;

/// The table's content.
pub(super) fn build(hmat: &Hmat) -> Vec<u8> {
    let mut table = Layout::default();
    table.u32(0);
    for (node, initiator) in &hmat.nodes {
        let flags = if initiator.is_some() { INITIATOR_VALID } else { 0 };
        table.u16(ATTRIBUTES).u16(0).u32(40).u16(flags).u16(0);
        table.u32(initiator.map_or(NO_INITIATOR, u32::from)).u32(u32::from(*node)).u32(0).u64(0).u64(0);
    }
    hmat.localities.iter().for_each(|locality| add_locality(&mut table, hmat, locality));
    let mut caches: Vec<_> = hmat.caches.iter().collect();
    caches.sort_by_key(|cache| (cache.node, cache.level));
    caches.into_iter().for_each(|cache| add_cache(&mut table, cache));
    table.0
}

fn add_locality(table: &mut Layout, hmat: &Hmat, locality: &Locality) {
    let (initiators, targets) = (hmat.initiators.len() as u32, u32::from(hmat.targets));
    let length = 32 + 4 * initiators + 4 * targets + 2 * locality.entries.len() as u32;
    table.u16(LOCALITY).u16(0).u32(length).u8(locality.hierarchy).u8(locality.data_type).u16(0);
    table.u32(initiators).u32(targets).u32(0).u64(locality.base);
    for initiator in &hmat.initiators {
        table.u32(u32::from(*initiator));
    }
    for target in 0..targets {
        table.u32(target);
    }
    for entry in &locality.entries {
        table.u16(*entry);
    }
}

fn add_cache(table: &mut Layout, cache: &SideCache) {
    let attributes = u32::from(cache.levels)
        | u32::from(cache.level) << 4
        | u32::from(cache.associativity) << 8
        | u32::from(cache.policy) << 12
        | u32::from(cache.line) << 16;
    table.u16(CACHE).u16(0).u32(32).u32(u32::from(cache.node)).u32(0).u64(cache.size).u32(attributes).u16(0).u16(0);
}
