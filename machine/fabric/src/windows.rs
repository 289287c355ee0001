//! Bridges: what is behind one answers at the addresses that its windows pass on, and nowhere else.

use crate::bus::Space;
use crate::device::DeviceId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A span of addresses that a bridge passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The space.
    pub space: Space,
    /// First address.
    pub first: u64,
    /// Last address.
    pub last: u64,
}

/// Addresses, first and last.
pub(crate) type Range = (u64, u64);

/// Which devices are behind which, and what passes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bridges {
    /// The bridge in front of a device.
    above: BTreeMap<DeviceId, DeviceId>,
    /// The open windows of each bridge.
    open: BTreeMap<DeviceId, Vec<Window>>,
}

impl Bridges {
    /// Puts a device behind a bridge.
    pub(crate) fn put_behind(&mut self, device: DeviceId, bridge: DeviceId) {
        self.above.insert(device, bridge);
    }

    /// Forgets a device that is gone.
    pub(crate) fn remove(&mut self, device: DeviceId) {
        self.above.remove(&device);
        self.open.remove(&device);
    }

    /// Opens these windows of a bridge and closes all others; false if nothing changed.
    pub(crate) fn open(&mut self, bridge: DeviceId, windows: Vec<Window>) -> bool {
        let before = self.open.insert(bridge, windows);
        before.as_ref() != self.open.get(&bridge)
    }

    /// The windows, to be saved.
    pub(crate) fn windows(&self) -> Vec<(DeviceId, Vec<Window>)> {
        self.open.iter().map(|(bridge, windows)| (*bridge, windows.clone())).collect()
    }

    /// Puts back what [`Bridges::windows`] gave.
    pub(crate) fn restore(&mut self, windows: Vec<(DeviceId, Vec<Window>)>) {
        self.open = windows.into_iter().collect();
    }

    /// Every device behind some bridge.
    pub(crate) fn devices(&self) -> Vec<DeviceId> {
        self.above.keys().copied().collect()
    }

    /// Where a device's regions of a space can be reached: what every bridge in front of it passes on. `None` if none is.
    pub(crate) fn reach(&self, device: DeviceId, space: Space) -> Option<Vec<Range>> {
        let mut bridge = *self.above.get(&device)?;
        let mut reach = self.ranges(bridge, space);
        // No more bridges can follow each other than there are devices behind some.
        for _ in 0..self.above.len() {
            let Some(next) = self.above.get(&bridge) else { break };
            bridge = *next;
            let passed = self.ranges(bridge, space);
            let both = |a: &Range| passed.iter().map(|b| (a.0.max(b.0), a.1.min(b.1))).collect::<Vec<_>>();
            reach = reach.iter().flat_map(both).filter(|(first, last)| first <= last).collect();
        }
        Some(reach)
    }

    fn ranges(&self, bridge: DeviceId, space: Space) -> Vec<Range> {
        let windows = self.open.get(&bridge).into_iter().flatten();
        windows.filter(|window| window.space == space).map(|window| (window.first, window.last)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_two_bridges_is_reached_where_both_pass_on() {
        let [outer, inner, device] = [0, 1, 2].map(DeviceId);
        let window = |first, last| Window { space: Space::Memory, first, last };
        let mut bridges = Bridges::default();
        bridges.put_behind(inner, outer);
        bridges.put_behind(device, inner);
        assert_eq!(bridges.reach(outer, Space::Memory), None);
        assert_eq!(bridges.reach(device, Space::Memory), Some(vec![]));
        assert!(bridges.open(outer, vec![window(0x1000, 0x2fff), window(0x8000, 0x8fff)]));
        assert!(bridges.open(inner, vec![window(0x2000, 0x87ff)]));
        assert!(!bridges.open(inner, vec![window(0x2000, 0x87ff)]), "as before");
        assert_eq!(bridges.reach(device, Space::Memory), Some(vec![(0x2000, 0x2fff), (0x8000, 0x87ff)]));
        assert_eq!(bridges.reach(inner, Space::Memory), Some(vec![(0x1000, 0x2fff), (0x8000, 0x8fff)]));
        assert_eq!(bridges.reach(device, Space::Io), Some(vec![]));
    }
}
