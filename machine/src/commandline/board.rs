//! `-machine`, `-accel`, `-m` and the switches of the board.

use super::config::{MachineConfig, MachineKind, MemoryConfig};
use super::draft::{Draft, Flow, Handled};
use super::error::{OptionError, Reason};
use super::introspection::ParameterKind;
use super::suboptions::Suboptions;
use super::values::{self, MIB};
use serde_json::Value;

/// Guest memory is mapped in units of this many bytes; sizes are rounded up to it, as QEMU does.
const MEMORY_UNIT: u64 = 8 << 10;

const NO_VIRTUALIZATION: &str = "Lockstep runs every instruction in software so that runs repeat exactly";

const MACHINE_HELP: &str = "\
Supported machines are:
pc                   Standard PC (i440FX + PIIX3, 1996) (default)
pc-i440fx-VERSION    the same under QEMU's versioned names
";

/// A switch of the board that Lockstep gives meaning to.
type Field = fn(&mut MachineConfig) -> &mut bool;

const SWITCHES: [(&str, Field); 6] = [
    ("acpi", |machine| &mut machine.acpi),
    ("hpet", |machine| &mut machine.hpet),
    ("smm", |machine| &mut machine.smm),
    ("pit", |machine| &mut machine.pit),
    ("i8042", |machine| &mut machine.i8042),
    ("hmat", |machine| &mut machine.hmat),
];

/// Properties that change nothing here, whatever their value: they tune how QEMU uses its host.
const HARMLESS: [&str; 11] = [
    "graphics",
    "dump-guest-core",
    "mem-merge",
    "aes-key-wrap",
    "dea-key-wrap",
    "suppress-vmdesc",
    "kernel-irqchip",
    "kernel_irqchip",
    "default-bus-bypass-iommu",
    "fd-bootchk",
    "pic",
];

/// Properties that add something to the board when on: accepted when off.
const ABSENT: [&str; 4] = ["usb", "vmport", "nvdimm", "smbus"];

/// The object that memory comes from.
const MEMORY_BACKEND: &str = "memory-backend";

/// Files and text that options of their own give too.
type Handler = fn(&mut Draft<'_>, &str) -> Handled;
const BOOTED: [(&str, Handler); 4] = [
    ("kernel", super::startup::kernel),
    ("initrd", super::startup::initrd),
    ("append", super::startup::append),
    ("firmware", super::startup::bios),
];

/// What `-machine` takes besides the machine's name.
pub(super) fn parameters() -> impl Iterator<Item = (&'static str, ParameterKind)> {
    let switches = SWITCHES.into_iter().map(|(name, _)| name).chain(HARMLESS).chain(ABSENT);
    let switches = switches.map(|name| (name, ParameterKind::Switch));
    let texts = BOOTED.into_iter().map(|(name, _)| name).chain(["accel", MEMORY_BACKEND]);
    switches.chain(texts.map(|name| (name, ParameterKind::Text)))
}

pub(super) fn machine(draft: &mut Draft<'_>, argument: &str) -> Handled {
    if argument == "help" {
        return Ok(Flow::Print(MACHINE_HELP.to_owned()));
    }
    let mut options = Suboptions::parse(argument, Some("type"));
    if let Some(name) = options.text("type") {
        draft.config.machine.kind = machine_kind(&name)?;
    }
    if let Some(list) = options.text("accel") {
        accelerator(&list)?;
    }
    for (name, field) in SWITCHES {
        match options.text(name).as_deref() {
            None | Some("auto") => {}
            Some(text) => {
                let on = values::switch(text).ok_or_else(|| Reason::bad(name, text, "use on or off"))?;
                *field(&mut draft.config.machine) = on;
            }
        }
    }
    for name in HARMLESS {
        options.text(name);
    }
    for name in ABSENT {
        if options.text(name).is_some_and(|value| !matches!(value.as_str(), "off" | "no" | "false" | "n" | "auto")) {
            return Err(Reason::not_built(format!("{name}=on")));
        }
    }
    if let Some(name) = options.text(MEMORY_BACKEND) {
        draft.config.machine.memory_backend = Some(name);
    }
    for (name, handler) in BOOTED {
        if let Some(value) = options.text(name) {
            handler(draft, &value)?;
        }
    }
    options.finish()?;
    Ok(Flow::Next)
}

fn machine_kind(name: &str) -> Result<MachineKind, Reason> {
    let is_version = |text: &str| {
        text.split_once('.').is_some_and(|(major, minor)| {
            [major, minor].iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
        })
    };
    match name {
        "pc" => Ok(MachineKind::Pc),
        "none" => Ok(MachineKind::None),
        _ if name.strip_prefix("pc-i440fx-").is_some_and(is_version) => Ok(MachineKind::Pc),
        "q35" | "microvm" | "isapc" | "x-remote" => Err(Reason::not_built(format!("machine '{name}'"))),
        _ if name.strip_prefix("pc-q35-").is_some_and(is_version) => {
            Err(Reason::not_built(format!("machine '{name}'")))
        }
        _ => Err(Reason::UnknownName { kind: "machine", name: name.to_owned(), option: "-machine" }),
    }
}

/// Takes a list of accelerators, `kvm:tcg`; the software one must be among them.
fn accelerator(list: &str) -> Result<(), Reason> {
    const OTHERS: [&str; 7] = ["kvm", "xen", "hax", "hvf", "nvmm", "whpx", "qtest"];
    let names: Vec<&str> = list.split(':').collect();
    if let Some(name) = names.iter().find(|name| **name != "tcg" && !OTHERS.contains(name)) {
        return Err(Reason::UnknownName { kind: "accelerator", name: (*name).to_owned(), option: "-accel" });
    }
    match names.iter().find(|name| **name != "tcg") {
        Some(name) if !names.contains(&"tcg") => {
            Err(Reason::refused(format!("{name} is not supported: {NO_VIRTUALIZATION}")))
        }
        _ => Ok(()),
    }
}

pub(super) fn accel(draft: &mut Draft<'_>, argument: &str) -> Handled {
    if argument == "help" {
        return Ok(Flow::Print("Accelerators supported in Lockstep:\ntcg\n".to_owned()));
    }
    let mut options = Suboptions::parse(argument, Some("accel"));
    accelerator(&options.required("accel")?)?;
    // One thread owns the machine whatever is asked; the translator's cache and its layout are QEMU's own affair.
    for harmless in ["thread", "tb-size", "split-wx"] {
        options.text(harmless);
    }
    // What it is for in QEMU: to see whether the translator is to blame.
    if let Some(singly) = options.switch("one-insn-per-tb")? {
        draft.config.machine.translates = !singly;
    }
    options.finish()?;
    Ok(Flow::Next)
}

/// `-singlestep`: the older name of `-accel tcg,one-insn-per-tb=on`.
pub(super) fn singlestep(draft: &mut Draft<'_>, _: &str) -> Handled {
    draft.config.machine.translates = false;
    Ok(Flow::Next)
}

pub(super) fn enable_kvm(_draft: &mut Draft<'_>, _: &str) -> Handled {
    accelerator("kvm").map(|()| Flow::Next)
}

pub(super) fn no_acpi(draft: &mut Draft<'_>, _: &str) -> Handled {
    draft.config.machine.acpi = false;
    Ok(Flow::Next)
}

pub(super) fn no_hpet(draft: &mut Draft<'_>, _: &str) -> Handled {
    draft.config.machine.hpet = false;
    Ok(Flow::Next)
}

/// Takes the size of memory from the object that backs it, if `-m` does not say it, and checks that they agree.
pub(super) fn finish_memory(draft: &mut Draft<'_>) -> Result<(), OptionError> {
    let Some(id) = &draft.config.machine.memory_backend else { return Ok(()) };
    let option = format!("-machine {MEMORY_BACKEND}={id}");
    let refuse = |why: String| OptionError::refused(&option, why);
    let backend = draft.config.objects.iter().find(|object| object.id == *id);
    let backend = backend.ok_or_else(|| refuse(format!("Memory backend '{id}' not found")))?;
    match backend.ty.as_str() {
        "memory-backend-ram" | "memory-backend-memfd" => {}
        // What the guest writes would have to be in the file.
        "memory-backend-file" => {
            return Err(OptionError { option, reason: Reason::not_built("guest memory in a file") });
        }
        other => return Err(refuse(format!("'{id}' is of type {other}, no memory backend"))),
    }
    let size = match backend.settings.get("size") {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => values::size(text, 1),
        _ => None,
    };
    // An object without a size, or with a wrong one, is refused when it is made.
    let Some(size) = size else { return Ok(()) };
    if draft.memory_given && size != draft.config.memory.size {
        return Err(refuse("Machine memory size does not match the size of the memory backend".into()));
    }
    if size < MIB || !size.is_multiple_of(MEMORY_UNIT) {
        return Err(refuse("memory comes in units of 8 KiB, and at least 1 MiB of it".into()));
    }
    draft.config.memory.size = size;
    Ok(())
}

pub(super) fn memory(draft: &mut Draft<'_>, argument: &str) -> Handled {
    draft.memory_given = true;
    let mut options = Suboptions::parse(argument, Some("size"));
    let size = options.size("size", MIB)?;
    let slots = options.number("slots")?;
    let max = options.size("maxmem", 1)?;
    options.finish()?;
    let old = draft.config.memory;
    let size = size.unwrap_or(old.size).checked_next_multiple_of(MEMORY_UNIT);
    let size = size.ok_or_else(|| Reason::refused("more memory than an address can reach"))?;
    if size < MIB {
        return Err(Reason::refused("the machine pc needs at least 1 MiB of memory"));
    }
    if max.is_some_and(|max| max < size) {
        return Err(Reason::refused("maxmem is less than the memory to start with"));
    }
    let slots = slots.map_or(Ok(old.slots), u32::try_from).ok().filter(|slots| *slots <= 256);
    let slots = slots.ok_or_else(|| Reason::refused("the machine pc has at most 256 memory slots"))?;
    draft.config.memory = MemoryConfig { size, slots, max: max.unwrap_or(size) };
    Ok(Flow::Next)
}
