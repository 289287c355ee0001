//! The balloon: how much memory the guest has left, and how much it is asked to leave itself.

use super::{Control, Denied};
use lockstep_devices::virtio::{Balloon, Class};
use lockstep_fabric::{BalloonOrder, DeviceId, Input};
use serde_json::Value;

/// Bytes of a page of the balloon, whatever the guest's pages are (virtio 1.2, section 5.5).
const PAGE: u64 = 4096;

impl Control {
    /// Bytes of memory that the guest has left; `None` without a balloon.
    pub fn memory_left(&self) -> Option<u64> {
        let (_, state) = self.balloon()?;
        let pages = state.pointer("/class/actual").and_then(Value::as_u64).unwrap_or(0);
        Some(self.config.memory.size.saturating_sub(pages * PAGE))
    }

    /// Asks the guest to leave itself this much; `None` without a balloon.
    pub fn set_memory_left(&mut self, bytes: u64) -> Option<Result<(), Denied>> {
        let (device, _) = self.balloon()?;
        let target = bytes.min(self.config.memory.size);
        Some(self.input(device, Input::Balloon(BalloonOrder::Target(target))))
    }

    /// The balloon and its state.
    fn balloon(&self) -> Option<(DeviceId, Value)> {
        let bus = &self.board.machine.bus;
        let saved = bus.save().ok()?;
        bus.devices().find_map(|device| {
            let entry = saved.get("devices")?.get(bus.name(device))?;
            (entry.get("kind")? == Balloon::KIND).then(|| (device, entry.get("state").cloned().unwrap_or_default()))
        })
    }
}
