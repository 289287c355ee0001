//! PCI's buses as the guest has set them up: read from the functions' configuration spaces, which are part of their state.

use crate::run::Control;
use lockstep_devices::pci::bridge::PciBridge;
use lockstep_devices::pci::config::offset;
use lockstep_devices::pci::{BarKind, ConfigSpace, Decoded, DevFn, Functions};
use lockstep_fabric::{Bus, DeviceId};
use lockstep_qmp::commands::pci::{
    PciBridgeInfo, PciBusInfo, PciDeviceClass, PciDeviceId, PciDeviceInfo, PciInfo, PciMemoryRange, PciMemoryRegion,
};
use serde::Deserialize;
use serde_json::Value;

/// The board's name for the host bridge.
const HOST_BRIDGE: &str = "i440fx";
/// What the header type's low bits say of a bridge to another PCI bus.
const HEADER_BRIDGE: u8 = 1;
const HEADER_KIND: u8 = 0x7f;
/// A region that is mapped nowhere.
const UNMAPPED: i64 = -1;

/// All that is on bus 0, and behind its bridges; nothing without PCI.
pub(crate) fn read(control: &mut Control) -> Vec<PciInfo> {
    let bus = &mut control.board.machine.bus;
    let Some((host, state)) = bus.find(HOST_BRIDGE).and_then(|host| Some((host, state_of(bus, host)?))) else {
        return Vec::new();
    };
    let own = function(control, 0, DevFn(0), host);
    let devices = own.into_iter().chain(functions(control, 0, &state["functions"])).collect();
    vec![PciInfo { bus: 0, devices }]
}

fn state_of(bus: &mut Bus, device: DeviceId) -> Option<Value> {
    bus.with(device, |device, _| device.save().ok()).flatten()
}

/// The functions on a bus of this number.
fn functions(control: &mut Control, number: u8, on_bus: &Value) -> Vec<PciDeviceInfo> {
    let functions = Functions::deserialize(on_bus).unwrap_or_default();
    functions.places().filter_map(|(at, device)| function(control, number, at, device)).collect()
}

fn function(control: &mut Control, number: u8, at: DevFn, device: DeviceId) -> Option<PciDeviceInfo> {
    let state = state_of(&mut control.board.machine.bus, device)?;
    // A virtio function keeps what all of them have in a part of its own.
    let config = state.get("config").or_else(|| state.pointer("/core/config"))?;
    let config = ConfigSpace::deserialize(config).ok()?;
    let is_bridge = config.byte(offset::HEADER_TYPE) & HEADER_KIND == HEADER_BRIDGE;
    let word = |at| i64::from(config.word(at));
    let pin = config.byte(offset::INTERRUPT_PIN);
    let name = control.board.machine.bus.name(device);
    let named = control.config.devices.iter().find_map(|device| device.id.clone().filter(|id| id == name));
    Some(PciDeviceInfo {
        bus: number.into(),
        slot: at.device().into(),
        function: at.function().into(),
        class_info: class(config.word(offset::CLASS_CODE + 1)),
        id: PciDeviceId {
            device: word(offset::DEVICE_ID),
            vendor: word(offset::VENDOR_ID),
            subsystem: (!is_bridge).then(|| word(offset::SUBSYSTEM_ID)),
            subsystem_vendor: (!is_bridge).then(|| word(offset::SUBSYSTEM_VENDOR_ID)),
        },
        irq: (pin != 0).then(|| config.byte(offset::INTERRUPT_LINE).into()),
        irq_pin: Some(pin.into()),
        qdev_id: named.unwrap_or_default(),
        pci_bridge: is_bridge.then(|| bridge(control, &config, &state["behind"])),
        regions: config.decoded().into_iter().map(region).collect(),
    })
}

fn bridge(control: &mut Control, config: &ConfigSpace, behind: &Value) -> PciBridgeInfo {
    let routing = PciBridge::routing(config);
    let range = |(base, limit): (u64, u64)| PciMemoryRange { base: base as i64, limit: limit as i64 };
    // Nobody reaches a bus without a number.
    let devices = (routing.secondary != 0).then(|| functions(control, routing.secondary, behind));
    PciBridgeInfo {
        bus: PciBusInfo {
            number: routing.primary.into(),
            secondary: routing.secondary.into(),
            subordinate: routing.subordinate.into(),
            io_range: range(routing.io),
            memory_range: range(routing.memory),
            prefetchable_range: range(routing.prefetchable),
        },
        devices,
    }
}

fn region(decoded: Decoded) -> PciMemoryRegion {
    let Decoded { register, kind, size, base } = decoded;
    let (prefetch, mem_type_64) = match kind {
        BarKind::Io => (None, None),
        BarKind::Memory32 { prefetchable } => (Some(prefetchable), Some(false)),
        BarKind::Memory64 { prefetchable } => (Some(prefetchable), Some(true)),
    };
    PciMemoryRegion {
        bar: register.into(),
        ty: if kind == BarKind::Io { "io" } else { "memory" }.into(),
        address: base.map_or(UNMAPPED, |base| base as i64),
        size: size as i64,
        prefetch,
        mem_type_64,
    }
}

/// Classes that have a name (PCI Local Bus 3.0, appendix D).
const CLASSES: [(u16, &str); 22] = [
    (0x0001, "VGA controller"),
    (0x0100, "SCSI controller"),
    (0x0101, "IDE controller"),
    (0x0102, "Floppy controller"),
    (0x0105, "ATA controller"),
    (0x0106, "SATA controller"),
    (0x0107, "SAS controller"),
    (0x0180, "Storage controller"),
    (0x0200, "Ethernet controller"),
    (0x0280, "Network controller"),
    (0x0300, "VGA controller"),
    (0x0302, "3D controller"),
    (0x0380, "Display controller"),
    (0x0401, "Audio controller"),
    (0x0500, "RAM controller"),
    (0x0600, "Host bridge"),
    (0x0601, "ISA bridge"),
    (0x0604, "PCI bridge"),
    (0x0680, "Bridge"),
    (0x0780, "Communication controller"),
    (0x0880, "System peripheral"),
    (0x0c03, "USB controller"),
];

fn class(code: u16) -> PciDeviceClass {
    let desc = CLASSES.iter().find(|(class, _)| *class == code).map(|(_, name)| (*name).to_owned());
    PciDeviceClass { desc, class: code.into() }
}
