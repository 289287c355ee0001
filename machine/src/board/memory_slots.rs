//! Slots for memory modules: where modules lie, and where a new one goes.

use super::pc::Parts;
use super::{Board, BoardError, numa};
use crate::commandline::{Config, DeviceConfig, OptionError, size};
use crate::machine::Machine;
use crate::object_model::{Store, is_file};
use crate::plug::Module;
use lockstep_devices::catalog::{Creatable, configured};
use lockstep_devices::dimm::DimmConfig;
use lockstep_devices::memory_hotplug::{self, MemoryHotplug};
use lockstep_devices::pci::piix4_pm;
use lockstep_fabric::DeviceId;
use lockstep_firmware::memory_map::{FOUR_GIB, RamLayout};
use lockstep_firmware::platform::MemorySlots;
use serde_json::Value;
use std::collections::BTreeMap;

/// The name of the registers by which the guest learns of slots.
pub(super) const CONTROLLER: &str = "acpi-memory-hotplug";
const GIB: u64 = 1 << 30;
/// Modules begin and end at multiples of this, as QEMU's do whose memory is the host's large pages.
const ALIGNMENT: u64 = 2 << 20;

/// The slots that `-m` asks for, and where modules lie: behind all RAM, with room for each to begin at a GiB.
pub(super) fn range(config: &Config) -> Result<Option<MemorySlots>, OptionError> {
    let memory = &config.memory;
    if memory.slots == 0 || memory.max <= memory.size {
        return Ok(None);
    }
    let refused = || OptionError::refused("-m", "maxmem is more than an address can reach");
    let start = FOUR_GIB + RamLayout::for_size(memory.size).above_4g;
    let start = start.checked_next_multiple_of(GIB).ok_or_else(refused)?;
    let room = (memory.max - memory.size).checked_next_multiple_of(ALIGNMENT);
    let room = room.and_then(|room| room.checked_add(u64::from(memory.slots) * GIB)).ok_or_else(refused)?;
    let end = start.checked_add(room).filter(|end| *end <= FURTHEST).ok_or_else(refused)?;
    Ok(Some(MemorySlots { count: memory.slots, start, end }))
}

/// No processor here has more physical address bits than 40 unless it was typed, and 64-bit devices want room too.
const FURTHEST: u64 = (1 << 40) - 4 * GIB;

/// Where in the arena the part for modules begins, behind so many bytes of what stays.
pub(super) fn arena(fixed: u64) -> u64 {
    fixed.next_multiple_of(ALIGNMENT)
}

/// Where in the arena of a machine that part begins.
fn arena_start(machine: &Machine, slots: &MemorySlots) -> u64 {
    machine.bus.memory.arena().len() as u64 - (slots.end - slots.start)
}

/// Whether a `-device` is a memory module.
pub(super) fn is_module(device: &DeviceConfig) -> bool {
    device.driver == DimmConfig::NAME
}

/// Adds the registers, if there are slots.
pub(super) fn add_controller(parts: &mut Parts, config: &Config, power: DeviceId) {
    let Ok(Some(slots)) = range(config) else { return };
    let controller = parts.bus.add(CONTROLLER, Box::new(MemoryHotplug::new(slots.count)));
    parts.bus.map(controller, memory_hotplug::REGION);
    parts.connect(controller, memory_hotplug::PIN_EVENT, power, piix4_pm::pin_gpe(memory_hotplug::EVENT));
}

/// Fits the modules of the command line.
pub(super) fn fit(machine: &mut Machine, config: &Config) -> Result<(), BoardError> {
    let backends = backends(config);
    for device in config.devices.iter().filter(|device| is_module(device)) {
        let refused = |why: String| OptionError::refused(&device.origin, why);
        let mut module = plan(machine, config, &backends, device.clone()).map_err(refused)?;
        module.hotplugged = false;
        machine.fit_module(module).map_err(refused)?;
    }
    Ok(())
}

/// The memory backends of the command line. What is wrong with one is told when it is made.
pub(super) fn backends(config: &Config) -> BTreeMap<String, Store> {
    let of_memory = config.objects.iter().filter(|object| object.ty.starts_with("memory-backend-"));
    let sizes = of_memory.filter_map(|object| {
        let bytes = match object.settings.get("size")? {
            Value::String(text) => size(text, 1)?,
            other => other.as_u64()?,
        };
        let path = object.settings.get("mem-path").and_then(Value::as_str);
        Some((object.id.clone(), Store { bytes, is_file: path.is_some_and(is_file) }))
    });
    sizes.collect()
}

/// Finds a slot and a place for a module; nothing is changed.
fn plan(
    machine: &Machine,
    config: &Config,
    backends: &BTreeMap<String, Store>,
    device: DeviceConfig,
) -> Result<Module, String> {
    let settings: DimmConfig = configured(&device.properties).map_err(|why| why.to_string())?;
    if !config.machine.acpi {
        return Err("memory hotplug is not enabled: missing acpi device or acpi disabled".into());
    }
    let backend = settings.memdev.ok_or("'memdev' property is not set")?;
    let Store { bytes, is_file } = *backends.get(&backend).ok_or_else(|| format!("Device '{backend}' not found"))?;
    if is_file {
        return Err(format!(
            "memory-backend-file of a file that is there ('{backend}') is not built as a memory module"
        ));
    }
    let modules: Vec<_> = machine.modules().map(|(_, module)| module).collect();
    let node_has = config.numa.nodes.iter().any(|node| node.backend.as_ref() == Some(&backend));
    if node_has || modules.iter().any(|module| module.backend == backend) {
        return Err(format!("can't use already busy memdev: {backend}"));
    }
    let nodes = numa::count(config);
    if settings.node >= nodes {
        let node = settings.node;
        return Err(format!("'DIMM property node has value {node}' which exceeds the number of numa nodes: {nodes}"));
    }
    if config.memory.slots == 0 {
        return Err(match settings.slot.0 {
            None => "no slots where allocated, please specify the 'slots' option".into(),
            Some(slot) => format!("invalid slot number {slot}, valid range is [0-{}]", u64::MAX),
        });
    }
    let Ok(Some(slots)) = range(config) else {
        return Err("memory devices (e.g. for memory hotplug) are not enabled, please specify the maxmem option".into());
    };
    let slot = free_slot(&modules, &slots, settings.slot.0)?;
    let (used, total) = (modules.iter().map(|module| module.size).sum::<u64>(), config.memory.max - config.memory.size);
    if bytes % ALIGNMENT != 0 || bytes == 0 {
        return Err(format!("backend memory size must be multiple of {ALIGNMENT:#x}"));
    }
    if used.checked_add(bytes).is_none_or(|sum| sum > total) {
        return Err(format!(
            "not enough space, currently {used:#x} in use of total space for memory devices {total:#x}"
        ));
    }
    let address = free_address(&modules, &slots, bytes, settings.addr)?;
    Ok(Module {
        name: device.id.clone().unwrap_or_else(|| format!("device{}", machine.bus.next_id().0)),
        backend,
        slot,
        address,
        size: bytes,
        node: settings.node,
        arena: arena_start(machine, &slots) + (address - slots.start),
        hotplugged: true,
        device,
    })
}

fn free_slot(modules: &[&Module], slots: &MemorySlots, wanted: Option<u32>) -> Result<u32, String> {
    let busy = |slot: u32| modules.iter().any(|module| module.slot == slot);
    match wanted {
        Some(slot) if slot >= slots.count => {
            Err(format!("invalid slot number {slot}, valid range is [0-{}]", slots.count.saturating_sub(1)))
        }
        Some(slot) if busy(slot) => Err(format!("slot {slot} is busy")),
        Some(slot) => Ok(slot),
        None => (0..slots.count).find(|slot| !busy(*slot)).ok_or_else(|| "no free slots available".into()),
    }
}

/// The address that was asked for, or, for 0, the lowest with room.
fn free_address(modules: &[&Module], slots: &MemorySlots, bytes: u64, wanted: u64) -> Result<u64, String> {
    let end_of = |address: u64| address.checked_add(bytes).filter(|end| *end <= slots.end);
    let in_the_way = |address: u64| {
        let end = end_of(address).unwrap_or(u64::MAX);
        modules.iter().find(|module| module.address < end && address < module.end())
    };
    if wanted == 0 {
        let mut address = slots.start;
        while let Some(other) = in_the_way(address) {
            address = other.end();
        }
        return end_of(address).map(|_| address).ok_or_else(|| {
            "could not find position in guest address space for memory device - memory fragmented due to alignments"
                .into()
        });
    }
    if !wanted.is_multiple_of(ALIGNMENT) {
        return Err(format!("address must be aligned to {ALIGNMENT:#x} bytes"));
    }
    if wanted < slots.start || end_of(wanted).is_none() {
        return Err(format!(
            "can't add memory device [{wanted:#x}:{bytes:#x}], usable range for memory devices [{:#x}:{:#x}]",
            slots.start,
            slots.end - slots.start
        ));
    }
    match in_the_way(wanted) {
        Some(other) => Err(format!("address range conflicts with memory device id='{}'", other.name)),
        None => Ok(wanted),
    }
}

impl Board {
    /// Finds a slot and a place for a new memory module, whose backend is one of these; nothing is changed.
    ///
    /// # Errors
    /// There is none, or not the one that was asked for: why, in QEMU's words.
    pub fn plan_module(
        &self,
        config: &Config,
        backends: &BTreeMap<String, Store>,
        device: DeviceConfig,
    ) -> Result<Module, String> {
        plan(&self.machine, config, backends, device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bare_guest::BareGuest;

    const MIB: u64 = 1 << 20;

    fn dimm(typed: &[(&str, &str)]) -> DeviceConfig {
        let properties = typed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        DeviceConfig { driver: "pc-dimm".into(), id: None, origin: "device_add pc-dimm".into(), properties }
    }

    #[test]
    fn modules_lie_behind_all_ram_where_there_is_room() {
        let guest = BareGuest::new("memory-slots");
        let objects = "-object memory-backend-ram,id=a,size=64M -object memory-backend-ram,id=b,size=32M";
        let line = format!("-m 3800M,slots=3,maxmem=4G {objects} -device pc-dimm,memdev=a,id=first,slot=1");
        let config = guest.config(&line);
        let board = guest.board(&config);
        let machine = &board.machine;
        let (_, first) = machine.modules().next().expect("a module");
        assert_eq!((first.slot, first.address, first.size, first.hotplugged), (1, 5 * GIB, 64 * MIB, false));
        let backends = [("b", 32 * MIB), ("big", 256 * MIB), ("odd", MIB)].map(|(id, size)| (id.to_owned(), size));
        let stored = |(id, bytes): (String, u64)| (id, Store { bytes, is_file: false });
        let backends = backends.into_iter().chain([("a".into(), 64 * MIB)]).map(stored).collect();
        let plan = |typed: &[(&str, &str)]| plan(machine, &config, &backends, dimm(typed));
        let second = plan(&[("memdev", "b")]).expect("there is room");
        assert_eq!((second.slot, second.address), (0, 5 * GIB + 64 * MIB));
        let asked = plan(&[("memdev", "b"), ("addr", "0x180000000"), ("slot", "2")]).expect("there is room");
        assert_eq!((asked.slot, asked.address, asked.arena - first.arena), (2, 6 * GIB, GIB));
        for (typed, why) in [
            (&[("slot", "0")][..], "'memdev' property is not set"),
            (&[("memdev", "c")], "Device 'c' not found"),
            (&[("memdev", "a")], "can't use already busy memdev: a"),
            (&[("memdev", "b"), ("slot", "1")], "slot 1 is busy"),
            (&[("memdev", "b"), ("slot", "3")], "invalid slot number 3, valid range is [0-2]"),
            (&[("memdev", "odd")], "backend memory size must be multiple of 0x200000"),
            (
                &[("memdev", "big")],
                "not enough space, currently 0x4000000 in use of total space for memory devices 0x12800000",
            ),
            (&[("memdev", "b"), ("addr", "0x140000000")], "address range conflicts with memory device id='first'"),
            (&[("memdev", "b"), ("addr", "0x140001000")], "address must be aligned to 0x200000 bytes"),
            (
                &[("memdev", "b"), ("addr", "0x100000000")],
                "can't add memory device [0x100000000:0x2000000], usable range for memory devices \
                 [0x140000000:0xd2800000]",
            ),
            (
                &[("memdev", "b"), ("node", "1")],
                "'DIMM property node has value 1' which exceeds the number of numa nodes: 1",
            ),
        ] {
            assert_eq!(plan(typed).expect_err("refused"), why, "{typed:?}");
        }
    }

    #[test]
    fn without_slots_there_is_none_to_be_had() {
        let guest = BareGuest::new("no-memory-slots");
        let config = guest.config("-m 128M -object memory-backend-ram,id=a,size=64M");
        let board = guest.board(&config);
        let plan = |typed: &[(&str, &str)]| plan(&board.machine, &config, &backends(&config), dimm(typed));
        for (typed, why) in [
            (&[("memdev", "a")][..], "no slots where allocated, please specify the 'slots' option"),
            (&[("memdev", "a"), ("slot", "3")], "invalid slot number 3, valid range is [0-18446744073709551615]"),
        ] {
            assert_eq!(plan(typed).expect_err("refused"), why, "{typed:?}");
        }
    }
}
