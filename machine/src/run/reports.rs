//! What the guest reports of its slots by ACPI's method _OST, for QMP's clients.

use super::Control;
use lockstep_devices::memory_hotplug::MemoryHotplug;
use lockstep_devices::ost;
use lockstep_devices::processor_hotplug::CpuHotplug;
use lockstep_fabric::DeviceId;
use lockstep_qmp::commands::acpi::{ACPIOSTInfo, ACPISlotType, AcpiDeviceOst};
use lockstep_qmp::commands::memory::MemUnplugError;
use lockstep_qmp::commands::qdev::DeviceUnplugGuestError;
use serde::de::DeserializeOwned;

impl Control {
    /// What the guest last reported of each slot: those for memory, then those for processors.
    pub fn reports(&mut self) -> Vec<ACPIOSTInfo> {
        let machine = &self.board.machine;
        let (memory, processors) = (machine.memory_controller(), machine.processor_controller());
        let memory = memory.and_then(|controller| self.state_of::<MemoryHotplug>(controller));
        // Before a guest has asked for the registers, it cannot report by them.
        let processors = processors.and_then(|controller| self.state_of::<CpuHotplug>(controller));
        let processors = processors.filter(|processors| processors.modern);
        let memory = memory.into_iter().flat_map(|memory| memory.slots).zip(0..).map(|(slot, number)| {
            report(ACPISlotType::Dimm, number, self.module_in(number), slot.ost_event, slot.ost_status)
        });
        let processors = processors.into_iter().flat_map(|all| all.places).zip(0..).map(|(place, number)| {
            report(ACPISlotType::Cpu, number, self.processor_in(number), place.ost_event, place.ost_status)
        });
        memory.chain(processors).collect()
    }

    fn state_of<T: DeserializeOwned>(&mut self, controller: DeviceId) -> Option<T> {
        let state = self.board.machine.bus.with(controller, |device, _| device.save().ok()).flatten()?;
        T::deserialize(state).ok()
    }

    /// The name of the module in a slot.
    fn module_in(&self, slot: u32) -> Option<String> {
        let (_, module) = self.board.machine.modules().find(|(_, module)| module.slot == slot)?;
        module.device.id.clone()
    }

    /// The name of the processor in a place.
    fn processor_in(&self, place: u32) -> Option<String> {
        self.board.machine.processor(place as u8)?.device.id.clone()
    }

    /// Tells that the guest has reported on a slot.
    pub(super) fn tell_report(&mut self, controller: DeviceId, slot: u32, event: u32, status: u32) {
        let machine = &self.board.machine;
        let refuses = ost::refuses(event, status);
        if machine.memory_controller() == Some(controller) {
            let there = machine.modules().any(|(_, module)| module.slot == slot);
            let device = self.module_in(slot);
            self.tell(&AcpiDeviceOst { info: report(ACPISlotType::Dimm, slot, device.clone(), event, status) });
            if there && refuses {
                let name = device.clone().unwrap_or_default();
                let msg = format!("Memory hotunplug rejected by the guest for device {name}");
                self.tell(&MemUnplugError { device: name.clone(), msg });
                let path = format!("/machine/peripheral/{name}");
                self.tell(&DeviceUnplugGuestError { device, path });
            }
        } else if machine.processor_controller() == Some(controller) {
            let there = machine.cpu(slot as usize).is_some();
            let path = crate::control::qom_path(machine.processor(slot as u8), slot as u8);
            let device = self.processor_in(slot);
            self.tell(&AcpiDeviceOst { info: report(ACPISlotType::Cpu, slot, device.clone(), event, status) });
            if there && refuses {
                self.tell(&DeviceUnplugGuestError { device, path });
            }
        }
    }
}

fn report(slot_type: ACPISlotType, slot: u32, device: Option<String>, source: u32, status: u32) -> ACPIOSTInfo {
    ACPIOSTInfo { device, slot: slot.to_string(), slot_type, source: source.into(), status: status.into() }
}
