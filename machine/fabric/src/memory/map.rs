//! The map from physical addresses to what answers there: regions with priorities, flattened for look-up.

use crate::device::DeviceId;
use crate::windows::Range;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What backs a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backing {
    /// Arena bytes from this offset on, readable and writable.
    Ram(u64),
    /// Arena bytes from this offset on; writes are dropped.
    Rom(u64),
    /// Registers of a device's region.
    Device(DeviceId, u8),
}

/// A span of address space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// The device that may move it.
    pub owner: DeviceId,
    /// Its index among the owner's regions.
    pub index: u8,
    /// Where it lies; `None` while unmapped.
    pub base: Option<u64>,
    /// Length in bytes.
    pub len: u64,
    /// Among overlapping regions the highest priority answers; the later one among equals.
    pub priority: i32,
    /// Whether it answers reads.
    pub reads: bool,
    /// Whether it answers writes.
    pub writes: bool,
    /// What answers.
    pub backing: Backing,
}

/// One piece of the flat view: no two overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First address.
    pub start: u64,
    /// Last address.
    pub last: u64,
    /// What answers, with the offset of `start` in it.
    pub target: Target,
}

/// What answers at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Arena bytes.
    Ram(u64),
    /// Arena bytes that drop writes.
    Rom(u64),
    /// A device's region at an offset.
    Device(DeviceId, u8, u64),
}

impl Target {
    fn advanced(self, by: u64) -> Self {
        match self {
            Self::Ram(at) => Self::Ram(at + by),
            Self::Rom(at) => Self::Rom(at + by),
            Self::Device(device, region, at) => Self::Device(device, region, at + by),
        }
    }
}

/// One address space: its regions and the flat views for reading and for writing made from them.
#[derive(Clone, Debug, Default)]
pub struct AddressMap {
    regions: Vec<Region>,
    /// The owners whose regions answer only within some addresses.
    limits: BTreeMap<DeviceId, Vec<Range>>,
    reads: Vec<Span>,
    writes: Vec<Span>,
}

impl AddressMap {
    /// Adds a region.
    pub fn add(&mut self, region: Region) {
        self.regions.push(region);
        self.flatten();
    }

    /// Moves a region; false if there is no such region or nothing changed.
    pub fn change(&mut self, owner: DeviceId, index: u8, base: Option<u64>, reads: bool, writes: bool) -> bool {
        let Some(region) = self.regions.iter_mut().find(|r| r.owner == owner && r.index == index) else {
            return false;
        };
        let changed = (region.base, region.reads, region.writes) != (base, reads, writes);
        (region.base, region.reads, region.writes) = (base, reads, writes);
        if changed {
            self.flatten();
        }
        changed
    }

    /// Has an owner's regions answer only within these addresses; false if nothing changed.
    pub(crate) fn limit(&mut self, owner: DeviceId, within: Vec<Range>) -> bool {
        if self.limits.get(&owner) == Some(&within) {
            return false;
        }
        self.limits.insert(owner, within);
        let seen = self.regions.iter().any(|region| region.owner == owner && region.base.is_some());
        if seen {
            self.flatten();
        }
        seen
    }

    /// Takes an owner's regions away; false if none was seen.
    pub(crate) fn remove(&mut self, owner: DeviceId) -> bool {
        let seen = self.regions.iter().any(|region| region.owner == owner && region.base.is_some());
        self.regions.retain(|region| region.owner != owner);
        self.limits.remove(&owner);
        if seen {
            self.flatten();
        }
        seen
    }

    /// Backs a RAM region by other bytes of an arena of `arena_len`; false if it is none, they do not fit, or nothing changed.
    pub fn show(&mut self, owner: DeviceId, index: u8, arena: u64, arena_len: u64) -> bool {
        let region = self.regions.iter_mut().find(|r| r.owner == owner && r.index == index);
        let Some(Region { backing: Backing::Ram(at), len, base, .. }) = region else { return false };
        if *at == arena || arena.checked_add(*len).is_none_or(|end| end > arena_len) {
            return false;
        }
        *at = arena;
        let seen = base.is_some();
        if seen {
            self.flatten();
        }
        seen
    }

    /// The regions as placed now, for snapshots and `info mtree`.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// Puts back placements that [`AddressMap::regions`] gave.
    pub fn restore(&mut self, regions: Vec<Region>) {
        self.regions = regions;
        self.flatten();
    }

    /// The flat view that reads see.
    pub fn read_view(&self) -> &[Span] {
        &self.reads
    }

    /// The flat view that writes see.
    pub fn write_view(&self) -> &[Span] {
        &self.writes
    }

    /// What answers a read (or write) at `address`, and the last address up to which the same answers.
    #[inline]
    pub fn find(&self, address: u64, write: bool) -> Option<(Target, u64)> {
        let view = if write { &self.writes } else { &self.reads };
        let at = view.partition_point(|s| s.last < address);
        let span = view.get(at).filter(|s| s.start <= address)?;
        Some((span.target.advanced(address - span.start), span.last))
    }

    /// The last address of the gap around `address`, at which [`AddressMap::find`] found nothing.
    pub fn gap_end(&self, address: u64, write: bool) -> u64 {
        let view = if write { &self.writes } else { &self.reads };
        let next = view.partition_point(|s| s.start <= address);
        view.get(next).map_or(u64::MAX, |s| s.start - 1)
    }

    fn flat_view(&self, answers: impl Fn(&Region) -> bool) -> Vec<Span> {
        let mut by_priority: Vec<_> = self.regions.iter().filter(|region| answers(region)).collect();
        // Stable: among equals the later region stays behind and is laid over the earlier.
        by_priority.sort_by_key(|r| r.priority);
        let mut view: Vec<Span> = Vec::new();
        for region in by_priority {
            let (Some(start), false) = (region.base, region.len == 0) else { continue };
            let last = start.saturating_add(region.len - 1);
            let target = match region.backing {
                Backing::Ram(at) => Target::Ram(at),
                Backing::Rom(at) => Target::Rom(at),
                Backing::Device(device, index) => Target::Device(device, index, 0),
            };
            let whole = Span { start, last, target };
            match self.limits.get(&region.owner) {
                None => lay_over(&mut view, whole),
                Some(within) => {
                    within.iter().filter_map(|range| clip(whole, *range)).for_each(|part| lay_over(&mut view, part));
                }
            }
        }
        view
    }

    fn flatten(&mut self) {
        self.reads = self.flat_view(|r| r.reads);
        self.writes = self.flat_view(|r| r.writes);
    }
}

/// The part of a span within a range.
fn clip(span: Span, (first, last): Range) -> Option<Span> {
    let (start, last) = (span.start.max(first), span.last.min(last));
    (start <= last).then(|| Span { start, last, target: span.target.advanced(start - span.start) })
}

fn lay_over(view: &mut Vec<Span>, top: Span) {
    let mut laid = Vec::with_capacity(view.len() + 2);
    for span in view.drain(..) {
        if span.last < top.start || span.start > top.last {
            laid.push(span);
            continue;
        }
        if span.start < top.start {
            laid.push(Span { last: top.start - 1, ..span });
        }
        if span.last > top.last {
            let start = top.last + 1;
            laid.push(Span { start, last: span.last, target: span.target.advanced(start - span.start) });
        }
    }
    laid.push(top);
    laid.sort_by_key(|s| s.start);
    *view = laid;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(index: u8, base: u64, len: u64, priority: i32, backing: Backing) -> Region {
        Region { owner: DeviceId(0), index, base: Some(base), len, priority, reads: true, writes: true, backing }
    }

    #[test]
    fn the_highest_priority_answers_and_what_lies_below_shows_around_it() {
        let mut map = AddressMap::default();
        map.add(region(0, 0, 0x10000, 0, Backing::Ram(0)));
        map.add(region(1, 0x4000, 0x1000, 1, Backing::Device(DeviceId(7), 2)));
        assert_eq!(map.find(0x3fff, false), Some((Target::Ram(0x3fff), 0x3fff)));
        assert_eq!(map.find(0x4010, false), Some((Target::Device(DeviceId(7), 2, 0x10), 0x4fff)));
        assert_eq!(map.find(0x5000, true), Some((Target::Ram(0x5000), 0xffff)));
        assert_eq!(map.find(0x10000, true), None);
    }

    #[test]
    fn reads_and_writes_can_go_different_ways() {
        let mut map = AddressMap::default();
        map.add(region(0, 0, 0x1000, 0, Backing::Rom(0x8000)));
        map.add(region(1, 0, 0x1000, 1, Backing::Ram(0)));
        assert!(map.change(DeviceId(0), 1, Some(0), false, true));
        assert_eq!(map.find(4, false), Some((Target::Rom(0x8004), 0xfff)));
        assert_eq!(map.find(4, true), Some((Target::Ram(4), 0xfff)));
        assert!(!map.change(DeviceId(0), 1, Some(0), false, true), "nothing changed");
    }

    #[test]
    fn a_region_at_the_very_top_does_not_wrap() {
        let mut map = AddressMap::default();
        map.add(region(0, u64::MAX - 3, 0x1000, 0, Backing::Ram(0)));
        assert_eq!(map.find(u64::MAX, false), Some((Target::Ram(3), u64::MAX)));
        assert_eq!(map.find(0, false), None);
    }
}
