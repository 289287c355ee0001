//! `info`: the machine's state, by topic.

use super::completion::{self, Argument};
use super::error::CommandError;
use super::expression::{Arguments, STRING};
use super::table::{Command, row};
use super::{
    Answer, Desk, absent, blocks, chardevs, devices, dump, interrupts, memory, memory_backends, migration, mouse,
    mtree, network, pci, processors, registers, replay, screen, translation, trees,
};
use crate::board::{numa_memory, numa_node};
use crate::control::{
    compatible_version, query_kvm, query_name, query_status, query_uuid, query_vm_generation_id, x_query_virtio,
};
use crate::run::Control;
use Argument::One;
use lockstep_fabric::Space;
use lockstep_fabric::memory::Backing as MemoryBacking;
use lockstep_qmp::commands::control::{QueryKvm, QueryName, QueryUuid};
use lockstep_qmp::commands::memory::QueryVmGenerationId;
use lockstep_qmp::commands::run_state::{QueryStatus, RunState};
use lockstep_qmp::commands::stats::XQueryVirtio;
use std::fmt::Write;

/// Every topic, in the order of names.
pub(super) fn topics() -> &'static [Command] {
    TOPICS
}

#[rustfmt::skip]
const TOPICS: &[Command] = &[
    row(&["balloon"], "", &[], "how much memory the guest has left", memory::left),
    row(&["block"], "[-n] [-v] [device]", &[One(completion::drives)], "the drives and what is in them (-n: the nodes; -v: the images too)", blocks::show),
    row(&["block-jobs"], "", &[], "what is done to drives in the background", absent::block_jobs),
    row(&["blockstats"], "", &[], "what the drives were asked", blocks::statistics),
    row(&["chardev"], "", &[], "the character devices", chardevs::show),
    row(&["cpus"], "", &[], "the CPUs and what they are doing", processors::show),
    row(&["device"], "name", &[One(completion::states)], "a device's registers, as JSON", device),
    row(&["devices"], "", &[], "the devices", devices),
    row(&["dump"], "", &[], "how far the latest dump is", dump::show),
    row(&["hotpluggable-cpus"], "", &[], "the places for CPUs", processors::places),
    row(&["iothreads"], "", &[], "the objects of the type iothread", processors::iothreads),
    row(&["irq"], "", &[], "how often each interrupt line has been raised", interrupts::counts),
    row(&["jit"], "", &[], "whether code that runs often is translated", jit),
    row(&["kvm"], "", &[], "whether KVM is used", kvm),
    row(&["lapic"], "[apic-id]", &[One(completion::processors)], "a local APIC's registers", interrupts::lapic),
    row(&["mem"], "", &[], "what the chosen CPU's page tables map, in ranges", translation::ranges),
    row(&["memdev"], "", &[], "what memory is taken from", memory_backends::backends),
    row(&["memory-devices"], "", &[], "the memory modules", memory_backends::devices),
    row(&["memory_size_summary"], "", &[], "how much memory there is, and how much is plugged in", memory_backends::sizes),
    row(&["mice"], "", &[], "the mice", mouse::mice),
    row(&["migrate"], "", &[], "how far a migration is", migration::show),
    row(&["migrate_capabilities"], "", &[], "what migrations are to do", migration::capabilities),
    row(&["mtree"], "[-f] [-D]", &[], "the address spaces: every region, or what really answers (-f); disabled regions too (-D)", mtree::show),
    row(&["name"], "", &[], "the machine's name", name),
    row(&["network"], "", &[], "the network devices", network::show),
    row(&["numa"], "", &[], "the NUMA nodes", numa),
    row(&["pci"], "", &[], "the PCI functions as the guest has set them up", pci::show),
    row(&["pic"], "", &[], "the registers of the 8259 interrupt controllers", interrupts::pics),
    row(&["qdm"], "", &[], "the drivers of devices", devices::drivers),
    row(&["qom-tree"], "[path]", &[], "the objects, by what they are part of", trees::objects),
    row(&["qtree"], "", &[], "the devices, by the bus that they are on", trees::buses),
    row(&["ramblock"], "", &[], "the pieces of memory", memory_backends::blocks),
    row(&["registers"], "[-a|vcpu]", &[One(completion::processors)], "the chosen CPU's registers, or another's, or those of all (-a)", all_registers),
    row(&["replay"], "", &[], "whether the run is recorded or replayed", replay::show),
    row(&["roms"], "", &[], "the read-only memories and the files that were loaded", roms),
    row(&["screen"], "", &[], "the characters on the screen", screen::show),
    row(&["snapshots"], "", &[], "the machine's states that images hold", absent::snapshots),
    row(&["spice"], "", &[], "the SPICE server", absent::spice),
    row(&["stats"], "target [names] [provider]", &[Argument::Among(&["vcpu", "vm"])], "statistics of KVM", absent::stats),
    row(&["status"], "", &[], "whether the machine is running", status),
    row(&["tlb"], "", &[], "the pages that the chosen CPU's tables map", translation::entries),
    row(&["tpm"], "", &[], "the trusted platform modules", absent::tpm),
    row(&["usb"], "", &[], "the USB devices", absent::usb),
    row(&["uuid"], "", &[], "the machine's UUID", uuid),
    row(&["version"], "", &[], "the version of QEMU that this is like, and of Lockstep", version),
    row(&["virtio"], "", &[], "the virtio devices", virtio),
    row(&["vm-generation-id"], "", &[], "the number by which a guest sees that it was taken back", generation),
    row(&["vnc"], "", &[], "the VNC servers", absent::vnc),
];

fn version(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let version = compatible_version(control.config.compatible_version);
    let [major, minor, micro] = [version.qemu.major, version.qemu.minor, version.qemu.micro];
    Ok(format!("{major}.{minor}.{micro} ({})", version.package))
}

fn status(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let info = query_status(control, QueryStatus {})?;
    let runs = if info.running { "running" } else { "paused" };
    let why = match info.status {
        RunState::Running | RunState::Paused => String::new(),
        other => format!(" ({})", other.name()),
    };
    Ok(format!("VM status: {runs}{why}"))
}

fn numa(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let (config, machine) = (&control.config, &control.board.machine);
    if numa_node(config, 0).is_none() {
        return Ok("0 nodes\n".into());
    }
    let sizes = numa_memory(config).unwrap_or_default();
    let mut text = format!("{} nodes\n", sizes.len());
    for (node, own) in (0..).zip(sizes) {
        let here = machine.cpus.iter().filter(|cpu| numa_node(config, cpu.index.into()) == Some(node));
        let cpus: String = here.map(|cpu| format!(" {}", cpu.index)).collect();
        let modules = machine.modules().filter(|(_, module)| module.node == u32::from(node));
        let plugged: u64 = modules.map(|(_, module)| module.size).sum();
        let _ = writeln!(text, "node {node} cpus:{cpus}");
        let _ = writeln!(text, "node {node} size: {} MB", (own + plugged) >> 20);
        let _ = writeln!(text, "node {node} plugged: {} MB", plugged >> 20);
    }
    Ok(text)
}

fn all_registers(control: &mut Control, desk: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let all = arguments.flags("a")?.contains('a');
    let other = arguments.plain_number()?;
    arguments.finish()?;
    let machine = &control.board.machine;
    let a20 = machine.bus.memory.a20();
    if all {
        let shown: Vec<_> = machine.cpus.iter().map(|cpu| registers::show(cpu, a20)).collect();
        return Ok(shown.join("\n\n"));
    }
    let cpu = match other {
        None => desk.cpu(control)?,
        Some(index) => {
            let cpu = usize::try_from(index).ok().and_then(|index| machine.cpu(index));
            cpu.ok_or_else(|| CommandError::Plain(format!("CPU#{index} not available")))?
        }
    };
    Ok(registers::show(cpu, a20))
}

fn devices(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let state = saved_devices(control)?;
    let bus = &control.board.machine.bus;
    let mut text = String::new();
    for name in bus.devices().map(|id| bus.name(id)) {
        let kind = state.get(name).and_then(|entry| entry.get("kind")).and_then(serde_json::Value::as_str);
        let _ = writeln!(text, "{name}: {}", kind.unwrap_or_default());
    }
    Ok(text)
}

fn device(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let name = arguments.expect_word(STRING)?;
    arguments.finish()?;
    let state = saved_devices(control)?;
    let entry = state.get(name).ok_or_else(|| CommandError::UnknownDevice(name.to_owned()))?;
    Ok(format!("{:#}", entry.get("state").unwrap_or(entry)))
}

/// What every device's state is, by name: a device's state is its snapshot.
fn saved_devices(control: &Control) -> Result<serde_json::Value, CommandError> {
    let saved = control.board.machine.bus.save().map_err(|error| CommandError::Host(error.to_string()))?;
    Ok(saved.get("devices").cloned().unwrap_or_default())
}

fn roms(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let bus = &control.board.machine.bus;
    let mut text = String::new();
    let regions = bus.space(Space::Memory).regions();
    for region in regions.iter().filter(|region| matches!(region.backing, MemoryBacking::Rom(_))) {
        let Some(base) = region.base else { continue };
        let _ = writeln!(text, "addr={base:016x} size={:#08x} mem=rom name=\"{}\"", region.len, bus.name(region.owner));
    }
    for file in &control.board.files {
        let _ = writeln!(text, "{} {}", file.option, file.path);
    }
    Ok(text)
}

fn name(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    Ok(query_name(control, QueryName {})?.name.unwrap_or_default())
}

fn uuid(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    Ok(query_uuid(control, QueryUuid {})?.uuid)
}

fn kvm(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let enabled = query_kvm(control, QueryKvm {})?.enabled;
    Ok(format!("kvm support: {}", if enabled { "enabled" } else { "disabled" }))
}

/// What is translated is the engine's business: whether anything is, is what the command line says.
fn jit(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let singly = if control.config.machine.translates { "off" } else { "on" };
    Ok(format!("Accelerator settings:\none-insn-per-tb: {singly}"))
}

fn generation(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    Ok(query_vm_generation_id(control, QueryVmGenerationId {})?.guid)
}

fn virtio(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let devices = x_query_virtio(control, XQueryVirtio {})?;
    if devices.is_empty() {
        return Ok("No VirtIO devices".to_owned());
    }
    Ok(devices.iter().map(|device| format!("{} [{}]\n", device.path, device.name)).collect())
}
