//! Completion: what a word that is begun can become, by what the table declares of each command's arguments.

use super::table::{self, Command, Deed};
use crate::commandline::{Backend, LOG_ITEMS, cpu_model};
use crate::control;
use crate::object_model::KINDS;
use crate::run::Control;
use lockstep_devices::catalog::{Creatable, Entry};
use lockstep_devices::dimm::DimmConfig;
use lockstep_qmp::commands::migration::MigrationCapability;
use lockstep_qmp::commands::run_state::WatchdogAction;

/// What there is to choose from on this machine, now.
pub(super) type Source = fn(&mut Control) -> Vec<String>;

/// What can stand in an argument's place.
pub(super) enum Argument {
    /// Nothing is known of it.
    Free,
    /// One of these words.
    Among(&'static [&'static str]),
    /// Something that the machine has.
    One(Source),
    /// Several of what there is, with this between them.
    Several(char, Source),
    /// A command, and then its arguments.
    Command(fn() -> &'static [Command]),
}

/// The word that is being typed at the end of a line, and what it can become.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Completion<'a> {
    pub(super) word: &'a str,
    /// In order.
    pub(super) candidates: Vec<String>,
}

/// Completes the last word of a line that is begun.
pub(super) fn of<'a>(control: &mut Control, begun: &'a str) -> Completion<'a> {
    in_table(control, table::commands(), begun.trim_start())
}

fn in_table<'a>(control: &mut Control, table: &'static [Command], begun: &'a str) -> Completion<'a> {
    let Some((name, rest)) = begun.split_once(char::is_whitespace) else {
        return beginning_with(begun, table.iter().filter_map(|command| command.names.first()));
    };
    let rest = rest.trim_start();
    match table::find(table, table::split(name).0) {
        None => Completion { word: "", candidates: Vec::new() },
        Some(Command { deed: Deed::Choose(inner), .. }) => in_table(control, inner(), rest),
        Some(Command { completes, .. }) => in_arguments(control, completes, rest),
    }
}

/// Flags are no arguments of their own: what comes after them stands where they do.
fn in_arguments<'a>(control: &mut Control, arguments: &'static [Argument], begun: &'a str) -> Completion<'a> {
    let (mut left, mut rest) = (arguments.iter(), begun);
    let mut argument = left.next();
    loop {
        if let Some(Argument::Command(table)) = argument {
            return in_table(control, table(), rest);
        }
        let Some((word, after)) = rest.split_once(char::is_whitespace) else { break };
        if !word.starts_with('-') {
            argument = left.next();
        }
        rest = after.trim_start();
    }
    match argument {
        None | Some(Argument::Free | Argument::Command(_)) => Completion { word: rest, candidates: Vec::new() },
        Some(Argument::Among(words)) => beginning_with(rest, words.iter()),
        Some(Argument::One(source)) => beginning_with(rest, source(control).iter()),
        Some(Argument::Several(between, source)) => {
            let last = rest.rsplit(*between).next().unwrap_or(rest);
            beginning_with(last, source(control).iter())
        }
    }
}

fn beginning_with<'a, T: AsRef<str>>(word: &'a str, known: impl Iterator<Item = T>) -> Completion<'a> {
    let mut candidates: Vec<_> =
        known.filter(|name| name.as_ref().starts_with(word)).map(|name| name.as_ref().to_owned()).collect();
    candidates.sort();
    candidates.dedup();
    Completion { word, candidates }
}

/// What switches take.
pub(super) const SWITCH: Argument = Argument::Among(&["off", "on"]);

/// The drives.
pub(super) fn drives(control: &mut Control) -> Vec<String> {
    control.drives().into_iter().map(|drive| drive.info.id).collect()
}

/// The nodes that were defined by name.
pub(super) fn nodes(control: &mut Control) -> Vec<String> {
    control.config.nodes.iter().map(|node| node.name.clone()).filter(|name| !name.is_empty()).collect()
}

/// It can be plugged in while the machine runs.
fn pluggable(driver: &str) -> bool {
    let entry = Entry::find(driver);
    entry.is_some_and(|entry| entry.is_pci() || entry.name == DimmConfig::NAME) || cpu_model(driver).is_some()
}

/// The drivers of devices that can be plugged in.
pub(super) fn drivers(control: &mut Control) -> Vec<String> {
    let processor = control::type_name(&control.config.cpu.model);
    let names = Entry::all().map(|entry| entry.name).filter(|name| pluggable(name));
    names.map(str::to_owned).chain([processor]).collect()
}

/// The devices that can be asked back.
pub(super) fn devices(control: &mut Control) -> Vec<String> {
    let devices = control.config.devices.iter().filter(|device| pluggable(&device.driver));
    devices.filter_map(|device| device.id.clone()).collect()
}

/// The names of devices' states.
pub(super) fn states(control: &mut Control) -> Vec<String> {
    let bus = &control.board.machine.bus;
    bus.devices().map(|id| bus.name(id).to_owned()).collect()
}

/// The keys.
pub(super) fn keys(_: &mut Control) -> Vec<String> {
    super::keys::names().map(str::to_owned).collect()
}

/// The character devices.
pub(super) fn chardevs(control: &mut Control) -> Vec<String> {
    let there = control.config.chardevs.iter().filter(|chardev| !chardev.is_gone());
    there.map(|chardev| chardev.id.clone()).collect()
}

/// Those that are ring buffers.
pub(super) fn rings(control: &mut Control) -> Vec<String> {
    let rings = control.config.chardevs.iter().filter(|chardev| matches!(chardev.backend, Backend::Ring { .. }));
    rings.map(|chardev| chardev.id.clone()).collect()
}

/// What a character device can be.
pub(super) fn chardev_kinds(_: &mut Control) -> Vec<String> {
    Backend::NAMES.map(str::to_owned).to_vec()
}

/// The types of objects that users make.
pub(super) fn object_types(_: &mut Control) -> Vec<String> {
    KINDS.iter().map(|kind| kind.ty.to_owned()).collect()
}

/// The objects that users have made.
pub(super) fn objects(control: &mut Control) -> Vec<String> {
    control.objects.iter().map(|object| object.id.clone()).collect()
}

/// The processors' numbers.
pub(super) fn processors(control: &mut Control) -> Vec<String> {
    control.board.machine.cpus.iter().map(|cpu| cpu.index.to_string()).collect()
}

/// What can be done when a watchdog bites.
pub(super) fn watchdog_actions(_: &mut Control) -> Vec<String> {
    WatchdogAction::ALL.iter().map(|action| action.name().to_owned()).collect()
}

/// What can be logged.
pub(super) fn log_items(_: &mut Control) -> Vec<String> {
    LOG_ITEMS.iter().map(|(name, _)| *name).chain(["none"]).map(str::to_owned).collect()
}

/// What migrations could be able to do.
pub(super) fn capabilities(_: &mut Control) -> Vec<String> {
    MigrationCapability::ALL.iter().map(|capability| capability.name().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::Fixture;
    use super::*;

    const MACHINE: &str = "-smp 2 -drive if=ide,index=2,media=cdrom -drive if=floppy -device edu,id=teacher,addr=7 \
                           -chardev null,id=line -chardev ringbuf,id=ring,size=16 -device isa-debugcon,chardev=line";

    /// What the last word of a line can become.
    fn completes(fixture: &mut Fixture, begun: &str, candidates: &[&str]) {
        assert_eq!(of(&mut fixture.control, begun).candidates, candidates, "{begun}");
    }

    #[test]
    fn a_word_becomes_a_command_or_a_topic() {
        let mut f = Fixture::new("complete-names", MACHINE);
        completes(&mut f, "system_", &["system_powerdown", "system_reset", "system_wakeup"]);
        completes(&mut f, "  system_r", &["system_reset"]);
        completes(&mut f, "info memory", &["memory-devices", "memory_size_summary"]);
        completes(&mut f, "help info memory", &["memory-devices", "memory_size_summary"]);
        completes(&mut f, "help  sen", &["sendkey"]);
        completes(&mut f, "frob ", &[]);
        completes(&mut f, "info frob ", &[]);
        assert_eq!(of(&mut f.control, "").candidates.len(), table::commands().len());
    }

    #[test]
    fn drives_are_completed_where_drives_are_meant() {
        let mut f = Fixture::new("complete-drives", MACHINE);
        for command in
            ["eject", "eject -f", "change", "block_resize", "block_set_io_throttle", "info block", "info block -v"]
        {
            completes(&mut f, &format!("{command} "), &["floppy0", "ide1-cd0"]);
            completes(&mut f, &format!("{command} fl"), &["floppy0"]);
        }
        completes(&mut f, "change floppy0 /tmp/x r", &["raw"]);
        completes(&mut f, "change floppy0 /tmp/x raw read", &["read-only", "read-write"]);
        completes(&mut f, "change floppy0 ", &[]);
    }

    #[test]
    fn devices_are_plugged_by_driver_and_asked_back_by_name() {
        let mut f = Fixture::new("complete-devices", MACHINE);
        completes(&mut f, "device_add virtio-b", &["virtio-balloon-pci", "virtio-blk-pci"]);
        completes(&mut f, "device_add pc-d", &["pc-dimm"]);
        completes(&mut f, "device_add qemu64", &["qemu64-x86_64-cpu"]);
        completes(&mut f, "device_add isa-", &[]);
        completes(&mut f, "device_del ", &["teacher"]);
        completes(&mut f, "info device port8", &["port80"]);
    }

    #[test]
    fn keys_and_log_items_are_completed_one_by_one() {
        let mut f = Fixture::new("complete-lists", MACHINE);
        completes(&mut f, "sendkey ctrl-del", &["delete"]);
        completes(&mut f, "sendkey ctrl-delete 1", &[]);
        completes(&mut f, "log in", &["in_asm", "int"]);
        completes(&mut f, "log int,cpu", &["cpu", "cpu_reset"]);
        assert_eq!(of(&mut f.control, "log int,cpu_").word, "cpu_");
    }

    #[test]
    fn what_the_host_has_is_completed_by_its_kind() {
        let mut f = Fixture::new("complete-host", MACHINE);
        f.says("object_add rng-builtin,id=dice");
        completes(&mut f, "chardev-remove ", &["line", "ring"]);
        completes(&mut f, "chardev-change l", &["line"]);
        completes(&mut f, "chardev-change line pt", &["pty"]);
        completes(&mut f, "ringbuf_read ", &["ring"]);
        completes(&mut f, "chardev-add s", &["serial", "socket", "stdio"]);
        completes(&mut f, "object_add memory-backend-m", &["memory-backend-memfd"]);
        completes(&mut f, "object_del ", &["dice"]);
    }

    #[test]
    fn few_words_and_numbers_are_completed_too() {
        let mut f = Fixture::new("complete-words", MACHINE);
        completes(&mut f, "watchdog_action p", &["pause", "poweroff"]);
        completes(&mut f, "cpu ", &["0", "1"]);
        completes(&mut f, "info lapic ", &["0", "1"]);
        completes(&mut f, "screendump -f p", &[]);
        completes(&mut f, "set_link net0 o", &["off", "on"]);
        completes(&mut f, "migrate_set_capability ev", &["events"]);
        completes(&mut f, "migrate_set_capability events of", &["off"]);
        completes(&mut f, "x/4i ", &[]);
    }
}
