//! The values of properties.

use super::property::{Property, setting_value};
use super::tree::{Node, Placed, Tree, What};
use crate::commandline::{Config, RtcBase};
use crate::plug::Module;
use crate::run::Control;
use lockstep_cpu::cpuid::{Features, Vendor};
use lockstep_devices::catalog::Entry;
use lockstep_devices::properties::Kind;
use lockstep_fabric::DeviceId;
use serde_json::{Map, Value, json};

/// The kind of device whose statistics can be read.
pub(super) const BALLOON: &str = "virtio-balloon-pci";
const NS_PER_S: u64 = 1_000_000_000;

/// A property's value; `None` if the object has no such property.
pub fn read(control: &mut Control, tree: &Tree, at: usize, property: &str) -> Option<Value> {
    let node = tree.node(at);
    if let Some(to) = tree.follow(at, property) {
        return Some(json!(tree.path(to)));
    }
    let ty = tree.types.find(&node.ty)?;
    let properties = tree.types.properties(ty);
    let property = properties.into_iter().find(|known| same_name(node, &known.name, property))?;
    Some(match (&node.what, property.name.as_str()) {
        (_, "type") => json!(node.ty),
        (_, "parent_bus") => json!(""),
        (_, "realized") => json!(true),
        (What::Device(placed), "hotplugged") => json!(placed.device.is_some_and(|id| plugged(control, id))),
        (What::Device(placed), "hotpluggable") => json!(placed.device.is_some_and(|id| pluggable(control, id))),
        (What::Cpu(number), "hotplugged") => {
            let processor = control.board.machine.processor(*number as u8);
            json!(processor.is_some_and(|processor| processor.hotplugged))
        }
        (What::Cpu(number), "hotpluggable") => {
            json!(*number != 0 && control.board.machine.processor_controller().is_some())
        }
        (_, "hotplugged" | "hotpluggable") => json!(false),
        (What::Machine, name) => of_machine(&control.config, name),
        (What::Cpu(index), name) => of_cpu(control, *index, name),
        (What::Memory, name) => of_memory(&control.config, name),
        (What::Object(id), name) => control.objects.find(id).and_then(|object| object.value(name)).unwrap_or_default(),
        (What::Device(placed), _) => of_device(control, node, placed, &property),
        (What::Container | What::Bus | What::Chardev(_), _) => property.default.unwrap_or_default(),
    })
}

fn plugged(control: &Control, device: DeviceId) -> bool {
    control.board.machine.was_plugged(device)
}

fn pluggable(control: &Control, device: DeviceId) -> bool {
    let machine = &control.board.machine;
    machine.slot_controller().is_some() && machine.part(device).is_some() || machine.module(device).is_some()
}

/// Features of processors have three spellings.
fn same_name(node: &Node, known: &str, asked: &str) -> bool {
    let canonical = |name: &str| name.replace(['_', '.'], "-");
    known == asked || matches!(node.what, What::Cpu(_)) && canonical(known) == canonical(asked)
}

fn of_machine(config: &Config, name: &str) -> Value {
    let on_off = |on: bool| json!(if on { "on" } else { "off" });
    let path = |path: &Option<std::path::PathBuf>| {
        json!(path.as_ref().map(|path| path.display().to_string()).unwrap_or_default())
    };
    let (machine, boot, smp, memory) = (&config.machine, &config.boot, &config.smp, &config.memory);
    match name {
        "kernel" => path(&boot.kernel),
        "initrd" => path(&boot.initrd),
        "append" => json!(boot.append),
        "firmware" => json!(boot.bios.clone().unwrap_or_default()),
        "boot" => {
            let mut answer =
                json!({ "order": boot.order.as_deref().unwrap_or("cad"), "menu": boot.menu, "strict": boot.strict });
            if let Some(once) = &boot.once {
                answer["once"] = json!(once);
            }
            answer
        }
        "memory" if memory.slots > 0 => json!({ "size": memory.size, "max-size": memory.max, "slots": memory.slots }),
        "memory" => json!({ "size": memory.size }),
        "smp" => json!({
            "cpus": smp.cpus, "maxcpus": smp.maxcpus, "sockets": smp.sockets, "dies": smp.dies, "clusters": 1,
            "cores": smp.cores, "threads": smp.threads,
        }),
        "graphics" => json!(config.devices.iter().any(|device| device.driver == "VGA")),
        "dump-guest-core" => json!(true),
        "acpi" => on_off(machine.acpi),
        "smm" => on_off(machine.smm),
        "pit" => on_off(machine.pit),
        "hpet" => json!(machine.hpet),
        "hmat" => json!(machine.hmat),
        "i8042" => json!(machine.i8042),
        "vmport" => on_off(false),
        _ => json!(false),
    }
}

fn of_memory(config: &Config, name: &str) -> Value {
    match name {
        "size" => json!(config.memory.size),
        "prealloc-threads" => json!(1),
        "host-nodes" => json!([]),
        "policy" => json!("default"),
        "dump" => json!(true),
        _ => json!(false),
    }
}

fn of_cpu(control: &Control, index: usize, name: &str) -> Value {
    let place = crate::control::place(control, index);
    let Some(cpu) = control.board.machine.cpu(index) else { return Value::Null };
    let model = &cpu.model;
    let field = |low: u32, bits: u32| model.signature >> low & ((1 << bits) - 1);
    let (family, extended) = (field(8, 4), field(20, 8));
    match name {
        "family" => json!(if family == 0xf { family + extended } else { family }),
        "model" => json!(field(4, 4) | field(16, 4) << 4),
        "stepping" => json!(field(0, 4)),
        "vendor" => json!(match model.vendor {
            Vendor::Amd => "AuthenticAMD",
            Vendor::Intel => "GenuineIntel",
        }),
        "model-id" => json!(model.brand),
        "level" => json!(model.level),
        "xlevel" => json!(model.extended_level),
        "phys-bits" => json!(model.physical_bits),
        "node-id" => json!(place.node_id.unwrap_or(-1)),
        "socket-id" => json!(place.socket_id),
        "die-id" => json!(place.die_id),
        "core-id" => json!(place.core_id),
        "thread-id" => json!(place.thread_id),
        "apic-id" => json!(model.topology.apic_id(cpu.index.into())),
        "feature-words" => feature_words(&model.features),
        // What is not built is refused when the machine is made, so nothing is ever left out of what was asked for.
        "filtered-features" => feature_words(&Features::default()),
        "unavailable-features" => json!([]),
        feature => json!(model.features.has(feature).unwrap_or(false)),
    }
}

/// The words of CPUID that features stand in.
fn feature_words(f: &Features) -> Value {
    let words = [
        (1, None, "EDX", f.leaf1_edx.bits()),
        (1, None, "ECX", f.leaf1_ecx.bits()),
        (6, None, "EAX", f.leaf6_eax.bits()),
        (7, Some(0), "EBX", f.leaf7_ebx.bits()),
        (7, Some(0), "ECX", f.leaf7_ecx.bits()),
        (7, Some(0), "EDX", f.leaf7_edx.bits()),
        (0xd, Some(1), "EAX", f.leaf_d_eax.bits()),
        (0x8000_0001_u32, None, "EDX", f.extended_edx.bits()),
        (0x8000_0001, None, "ECX", f.extended_ecx.bits()),
        (0x8000_0007, None, "EDX", f.power_edx.bits()),
    ];
    words
        .iter()
        .map(|(leaf, sub, register, bits)| {
            let mut word = json!({ "cpuid-input-eax": leaf, "cpuid-register": register, "features": bits });
            if let Some(sub) = sub {
                word["cpuid-input-ecx"] = json!(*sub as u32);
            }
            word
        })
        .collect()
}

fn of_device(control: &mut Control, node: &Node, placed: &Placed, property: &Property) -> Value {
    let module = placed.device.and_then(|id| control.board.machine.module(id));
    match (property.name.as_str(), placed.device) {
        (name, _) if module.is_some() => of_module(module, name),
        ("addr", _) => json!(placed.devfn.map_or(-1, i32::from)),
        ("legacy-addr", _) => json!(placed.devfn.map(|at| format!("{:02x}.{}", at >> 3, at & 7)).unwrap_or_default()),
        ("guest-stats", Some(id)) => Balloon::of(control, id).guest_stats(control),
        ("guest-stats-polling-interval", Some(id)) => json!(Balloon::of(control, id).poll_seconds),
        (name, _) => {
            let kinds = Entry::find(&node.ty).map(Entry::properties).unwrap_or_default();
            let kind = kinds.iter().find(|known| known.name == name).map(|known| known.kind);
            let typed = placed.typed.iter().rev().find(|(typed, _)| typed == name);
            match (typed, kind) {
                (Some((_, text)), kind) => setting_value(kind.unwrap_or(implied(&property.ty)), text),
                (None, kind) => property.default.clone().unwrap_or_else(|| nothing(kind)),
            }
        }
    }
}

fn of_module(module: Option<&Module>, name: &str) -> Value {
    let Some(module) = module else { return Value::Null };
    match name {
        "addr" => json!(module.address),
        "slot" => json!(module.slot),
        "node" => json!(module.node),
        "size" => json!(module.size),
        "memdev" => json!(format!("/objects/{}", module.backend)),
        _ => Value::Null,
    }
}

/// The kind of a property that is the board's.
fn implied(ty: &str) -> Kind {
    if ty == "bool" { Kind::Switch } else { Kind::Text }
}

/// How a property says that it is not set.
fn nothing(kind: Option<Kind>) -> Value {
    match kind {
        Some(Kind::Number(most)) if most == i32::MAX as u64 => json!(-1),
        Some(Kind::Number(most)) => json!(most),
        Some(Kind::Switch) => json!(false),
        Some(Kind::OnOffAuto) => json!("auto"),
        Some(Kind::Chardev | Kind::Drive | Kind::Text) | None => json!(""),
    }
}

/// What a balloon's state says of its guest's statistics.
#[derive(Clone, Debug, Default)]
struct Balloon {
    poll_seconds: u64,
    told: Vec<(u64, u64)>,
    told_at: u64,
}

/// Statistics by their tags (virtio, section 5.5.6.3).
const STATISTICS: [&str; 10] = [
    "stat-swap-in",
    "stat-swap-out",
    "stat-major-faults",
    "stat-minor-faults",
    "stat-free-memory",
    "stat-total-memory",
    "stat-available-memory",
    "stat-disk-caches",
    "stat-htlb-pgalloc",
    "stat-htlb-pgfail",
];

impl Balloon {
    fn of(control: &mut Control, id: DeviceId) -> Self {
        let state = control.board.machine.bus.with(id, |device, _| device.save().ok()).flatten().unwrap_or_default();
        let class = &state["class"];
        let told = class["statistics"].as_array().map(Vec::as_slice).unwrap_or_default();
        Self {
            poll_seconds: class["poll_seconds"].as_u64().unwrap_or_default(),
            told: told.iter().filter_map(|told| Some((told["tag"].as_u64()?, told["value"].as_u64()?))).collect(),
            told_at: class["statistics_at"].as_u64().unwrap_or_default(),
        }
    }

    /// What was told last, and when, in seconds since 1970 of the machine's clock.
    fn guest_stats(&self, control: &Control) -> Value {
        let stats: Map<_, _> = (0..)
            .zip(STATISTICS)
            .map(|(tag, name)| {
                let value = self.told.iter().find(|(told, _)| *told == tag).map_or(u64::MAX, |(_, value)| *value);
                (name.to_owned(), json!(value))
            })
            .collect();
        let start = match control.config.rtc.base {
            RtcBase::At(seconds) => seconds,
            RtcBase::Utc | RtcBase::LocalTime => 0,
        };
        let at = if self.told.is_empty() { 0 } else { start + (self.told_at / NS_PER_S) as i64 };
        json!({ "stats": stats, "last-update": at })
    }
}
