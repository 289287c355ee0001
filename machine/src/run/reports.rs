//! What the guest reports of its slots by ACPI's method _OST, for QMP's clients.

use super::Control;
use lockstep_devices::memory_hotplug::MemoryHotplug;
use lockstep_devices::ost;
use lockstep_fabric::DeviceId;
use lockstep_qmp::commands::acpi::{ACPIOSTInfo, ACPISlotType, AcpiDeviceOst};
use lockstep_qmp::commands::memory::MemUnplugError;
use lockstep_qmp::commands::qdev::DeviceUnplugGuestError;
use serde::Deserialize;

impl Control {
    /// What the guest last reported of each slot.
    pub fn reports(&mut self) -> Vec<ACPIOSTInfo> {
        self.memory_slots()
            .into_iter()
            .flat_map(|slots| slots.slots)
            .zip(0..)
            .map(|(slot, number)| {
                let device = slot.module.and_then(|module| self.module_id(module.device));
                report(ACPISlotType::Dimm, number, device, slot.ost_event, slot.ost_status)
            })
            .collect()
    }

    fn memory_slots(&mut self) -> Option<MemoryHotplug> {
        let controller = self.board.machine.memory_controller()?;
        let state = self.board.machine.bus.with(controller, |device, _| device.save().ok()).flatten()?;
        MemoryHotplug::deserialize(state).ok()
    }

    fn module_id(&self, device: DeviceId) -> Option<String> {
        self.board.machine.module(device)?.device.id.clone()
    }

    /// Tells that the guest has reported on a slot.
    pub(super) fn tell_report(&mut self, controller: DeviceId, slot: u32, event: u32, status: u32) {
        if self.board.machine.memory_controller() == Some(controller) {
            let module = self.board.machine.modules().find(|(_, module)| module.slot == slot);
            let id = module.and_then(|(_, module)| module.device.id.clone());
            let there = module.is_some();
            self.tell(&AcpiDeviceOst { info: report(ACPISlotType::Dimm, slot, id.clone(), event, status) });
            if there && ost::refuses(event, status) {
                let name = id.clone().unwrap_or_default();
                let msg = format!("Memory hotunplug rejected by the guest for device {name}");
                self.tell(&MemUnplugError { device: name.clone(), msg });
                let path = format!("/machine/peripheral/{name}");
                self.tell(&DeviceUnplugGuestError { device: id, path });
            }
        }
    }
}

fn report(slot_type: ACPISlotType, slot: u32, device: Option<String>, source: u32, status: u32) -> ACPIOSTInfo {
    ACPIOSTInfo { device, slot: slot.to_string(), slot_type, source: source.into(), status: status.into() }
}
