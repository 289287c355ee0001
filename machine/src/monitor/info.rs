//! `info`: the machine's state, by topic.

use super::error::CommandError;
use super::expression::Arguments;
use super::table::{self, Command, row};
use super::{Answer, Desk, dump, interrupts, media, memory, mouse, mtree, pci, registers, screen, translation, trees};
use crate::board::{numa_memory, numa_node};
use crate::chardev::ChardevId;
use crate::commandline::{Backend, ChardevConfig, RecordReplay, SocketAddress};
use crate::control::compatible_version;
use crate::machine::Ending;
use crate::run::{Control, RunState};
use lockstep_cpu::state::Activity;
use lockstep_fabric::Space;
use lockstep_fabric::memory::Backing as MemoryBacking;
use std::fmt::Write;
use std::path::Path;

/// Every topic, in the order of names.
pub(super) const TOPICS: &[Command] = &[
    row(&["balloon"], "", "how much memory the guest has left", memory::left),
    row(&["block"], "", "the drives and what is in them", media::show),
    row(&["chardev"], "", "the character devices", chardevs),
    row(&["cpus"], "", "the CPUs and what they are doing", cpus),
    row(&["device"], "NAME", "a device's registers, as JSON", device),
    row(&["devices"], "", "the devices", devices),
    row(&["dump"], "", "how far the latest dump is", dump::show),
    row(&["irq"], "", "how often each interrupt line has been raised", interrupts::counts),
    row(&["lapic"], "[CPU]", "a local APIC's registers", interrupts::lapic),
    row(&["mem"], "", "what the chosen CPU's page tables map, in ranges", translation::ranges),
    row(&["mice"], "", "the mice", mouse::mice),
    row(&["mtree"], "[-f]", "the address spaces: every region, or what really answers", mtree::show),
    row(&["name"], "", "the machine's name", name),
    row(&["network"], "", "the network devices", network),
    row(&["numa"], "", "the NUMA nodes", numa),
    row(&["pci"], "", "the PCI functions as the guest has set them up", pci::show),
    row(&["pic"], "", "the registers of the 8259 interrupt controllers", interrupts::pics),
    row(&["qom-tree"], "[PATH]", "the objects, by what they are part of", trees::objects),
    row(&["qtree"], "", "the devices, by the bus that they are on", trees::buses),
    row(&["registers"], "[-a]", "the chosen CPU's registers, or those of all", all_registers),
    row(&["replay"], "", "whether the run is recorded or replayed", replay),
    row(&["roms"], "", "the read-only memories and the files that were loaded", roms),
    row(&["screen"], "", "the characters on the screen", screen::show),
    row(&["status"], "", "whether the machine is running", status),
    row(&["tlb"], "", "the pages that the chosen CPU's tables map", translation::entries),
    row(&["uuid"], "", "the machine's UUID", uuid),
    row(&["version"], "", "the version of QEMU that this is like, and of Lockstep", version),
];

pub(super) fn info(control: &mut Control, desk: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    match arguments.word() {
        None => Ok(table::list(TOPICS, "info ")),
        Some(name) => {
            let topic = table::find(TOPICS, name).ok_or_else(|| CommandError::UnknownTopic(name.to_owned()))?;
            (topic.run)(control, desk, arguments)
        }
    }
}

fn version(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let version = compatible_version(control.config.compatible_version);
    let [major, minor, micro] = [version.qemu.major, version.qemu.minor, version.qemu.micro];
    Ok(format!("{major}.{minor}.{micro} ({})", version.package))
}

fn status(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let status = match (control.board.machine.ended(), control.state()) {
        (Some(Ending::PowerOff | Ending::Reset | Ending::Exit(_)), _) => "paused (shutdown)",
        (None, RunState::Prelaunch) => "paused (prelaunch)",
        (None, RunState::Running) if control.suspended() => "paused (suspended)",
        (None, RunState::Running) => "running",
        (None, RunState::Paused) => "paused",
        (None, RunState::IoError) => "paused (io-error)",
        (None, RunState::Watchdog) => "paused (watchdog)",
        (None, RunState::GuestPanicked) => "paused (guest-panicked)",
        (None, RunState::Debug) => "paused (debug)",
    };
    Ok(format!("VM status: {status}"))
}

fn cpus(control: &mut Control, desk: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let mut text = String::new();
    for cpu in &control.board.machine.cpus {
        let index = usize::from(cpu.index);
        let mark = if index == desk.selected { '*' } else { ' ' };
        let activity = match cpu.activity {
            Activity::Running => "",
            Activity::Halted => " (halted)",
            Activity::WaitForStartup => " (waiting for start-up)",
            Activity::Shutdown => " (shut down)",
        };
        let _ = writeln!(text, "{mark} CPU #{index}: pc=0x{:016x}{activity}", registers::program_counter(cpu));
    }
    Ok(text)
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
    let all = match arguments.word() {
        None => false,
        Some("-a") => true,
        Some(other) => return Err(CommandError::Unexpected(other.to_owned())),
    };
    arguments.finish()?;
    let machine = &control.board.machine;
    let a20 = machine.bus.memory.a20();
    if all {
        let shown: Vec<_> = machine.cpus.iter().map(|cpu| registers::show(cpu, a20)).collect();
        return Ok(shown.join("\n\n"));
    }
    Ok(registers::show(desk.cpu(control)?, a20))
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
    let name = arguments.expect_word("NAME")?;
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

fn chardevs(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let there = control.config.chardevs.iter().enumerate().filter(|(_, chardev)| !chardev.is_gone());
    let lines: Vec<_> = there.map(|(place, c)| format!("{}: {}", c.id, backend(control, place, c))).collect();
    Ok(lines.join("\n"))
}

fn backend(control: &Control, place: usize, chardev: &ChardevConfig) -> String {
    let name = backend_name(&chardev.backend, control.chardevs.terminal(ChardevId(place)));
    if chardev.mux { format!("{name}, shared with the monitor") } else { name }
}

/// A character device's other end, as people write it; `terminal` is what a pseudoterminal is known by.
pub(crate) fn backend_name(backend: &Backend, terminal: Option<&Path>) -> String {
    match backend {
        Backend::Null => "null".to_owned(),
        Backend::Ring { .. } => "ringbuf".to_owned(),
        Backend::Pty => terminal.map_or_else(|| "pty".to_owned(), |path| format!("pty:{}", path.display())),
        Backend::Pipe { path } => format!("pipe:{}", path.display()),
        Backend::Udp { to, from } if from.port() == 0 => format!("udp:{to}"),
        Backend::Udp { to, from } => format!("udp:{to}@{from}"),
        Backend::SerialLine { path } => format!("serial:{}", path.display()),
        Backend::Stdio { .. } => "stdio".to_owned(),
        Backend::File { path, .. } => format!("file:{}", path.display()),
        Backend::Socket { address: SocketAddress::Unix(path), .. } => format!("unix:{}", path.display()),
        Backend::Socket { address: SocketAddress::Abstract { name, tight }, .. } => {
            format!("unix:{name},abstract=on{}", if *tight { ",tight=on" } else { "" })
        }
        Backend::Socket { address: SocketAddress::Tcp(host, port), .. } => format!("tcp:{host}:{port}"),
        Backend::Socket { address: SocketAddress::Descriptor(number), .. } => format!("fd:{number}"),
    }
}

/// There are no network devices yet, so there is nothing to say.
fn network(_: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    Ok(String::new())
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
    Ok(control.config.name.clone().unwrap_or_default())
}

fn uuid(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let mut text = String::new();
    for (place, byte) in control.config.uuid.unwrap_or_default().iter().enumerate() {
        let dash = if matches!(place, 4 | 6 | 8 | 10) { "-" } else { "" };
        let _ = write!(text, "{dash}{byte:02x}");
    }
    Ok(text)
}

fn replay(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let tick = control.board.machine.now();
    Ok(match &control.config.icount.record_replay {
        RecordReplay::Off => format!("Neither recording nor replaying, at tick {tick}"),
        RecordReplay::Record(path) => format!("Recording execution '{}': tick {tick}", path.display()),
        RecordReplay::Replay(path) => format!("Replaying execution '{}': tick {tick}", path.display()),
    })
}
