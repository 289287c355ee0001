//! The commands, each declared once: its names, its arguments and what completes them, its help and its handler.

use super::completion::{self, Argument, SWITCH};
use super::error::CommandError;
use super::expression::Arguments;
use super::{
    Answer, Desk, absent, chardevs, debugger, descriptors, devices, dump, info, keys, logging, media, memory,
    migration, mouse, network, objects, ports, registers, replay, run_state, saving, screen, translation,
};
use crate::run::Control;
use Argument::{Among, Free, One, Several};
use std::fmt::Write;

/// Carries out a command.
pub(super) type Handler = fn(&mut Control, &mut Desk, &mut Arguments<'_>) -> Answer;

/// A command, or a topic of `info`.
pub(super) struct Command {
    /// What is typed; the first name is the proper one.
    pub(super) names: &'static [&'static str],
    /// Its arguments, for help.
    arguments: &'static str,
    /// What completes them, one after the other.
    pub(super) completes: &'static [Argument],
    /// What it does, in a line.
    pub(super) help: &'static str,
    /// How.
    pub(super) deed: Deed,
}

/// What a command does.
pub(super) enum Deed {
    /// It is carried out.
    Run(Handler),
    /// It chooses from commands of its own.
    Choose(fn() -> &'static [Command]),
}

/// A row of a table.
pub(super) const fn row(
    names: &'static [&'static str],
    arguments: &'static str,
    completes: &'static [Argument],
    help: &'static str,
    run: Handler,
) -> Command {
    Command { names, arguments, completes, help, deed: Deed::Run(run) }
}

/// Every command, in the order of names.
pub(super) fn commands() -> &'static [Command] {
    COMMANDS
}

const DRIVE: Argument = One(completion::drives);

#[rustfmt::skip]
const COMMANDS: &[Command] = &[
    row(&["balloon"], "target", &[], "ask the guest to leave itself this much memory, in MiB", memory::balloon),
    row(&["block_resize"], "device size", &[DRIVE], "make a drive's image longer or shorter (size in MiB, or with a suffix)", media::resize),
    row(&["block_set_io_throttle"], "device bps bps_rd bps_wr iops iops_rd iops_wr", &[DRIVE], "limit a drive's bytes and requests a second (0: no limit)", media::throttle),
    row(&["change"], "device [-f] filename [format [read-only-mode]]", &[DRIVE, Free, Among(&["qcow2", "raw"]), Among(&["read-only", "read-write", "retain"])], "put another medium into a drive", media::change),
    row(&["chardev-add"], "args", &[One(completion::chardev_kinds)], "make a character device, as -chardev does", chardevs::add),
    row(&["chardev-change"], "id args", &[One(completion::chardevs), One(completion::chardev_kinds)], "have those who use a character device talk to another one", chardevs::change),
    row(&["chardev-remove"], "id", &[One(completion::chardevs)], "close a character device that nobody uses", chardevs::remove),
    row(&["chardev-send-break"], "id", &[One(completion::chardevs)], "let the serial line behind a character device see a break", chardevs::send_break),
    row(&["closefd"], "name", &[], "close a file descriptor that was passed in", descriptors::close),
    row(&["cont", "c"], "", &[], "let the machine run", run_state::cont),
    row(&["cpu"], "index", &[One(completion::processors)], "choose the CPU that other commands are about", run_state::cpu),
    row(&["device_add"], "driver[,prop=value][,...]", &[One(completion::drivers)], "plug a device in, with properties as -device takes them", devices::add),
    row(&["device_del"], "device", &[One(completion::devices)], "ask the guest to let go of a device", devices::remove),
    row(&["drive_add"], "pci_addr [file=file][,if=none][,id=id][,format=f][,snapshot=on|off][,readonly=on|off]", &[], "add a drive for a device that is plugged in later", media::add),
    row(&["drive_del"], "device", &[One(completion::nodes)], "remove a drive that no device has", media::remove),
    row(&["dump-guest-memory"], dump::ARGUMENTS, &[], "write memory and registers to a file for crash, drgn or gdb", dump::dump),
    row(&["eject"], "[-f] device", &[DRIVE], "take the medium out of a drive (-f: whatever the guest says)", media::eject),
    row(&["exit_preconfig"], "", &[], "leave the state before the machine is made, which it has been", absent::exit_preconfig),
    row(&["expire_password"], "protocol time [-d display]", &[Among(&["spice", "vnc"])], "say when the password of a display expires", absent::expire_password),
    row(&["gdbserver"], "[device]", &[Among(&["none"])], "await a debugger there, at tcp::1234 if nothing is said", debugger::serve),
    row(&["getfd"], "name", &[], "name a file descriptor that comes with the command", descriptors::get),
    row(&["gpa2hva"], "addr", &[], "show where in this process a physical address's byte is", translation::to_host),
    row(&["gva2gpa"], "addr", &[], "show the physical address of a linear one", translation::to_physical),
    row(&["help", "?"], "[cmd]", &[Argument::Command(commands)], "show the commands, or one of them", help),
    row(&["i"], "/fmt addr", &[], "read an I/O port", ports::read),
    Command { names: &["info"], arguments: "[subcommand]", completes: &[], help: "show the machine's state", deed: Deed::Choose(info::topics) },
    row(&["log"], "item1[,...]", &[Several(',', completion::log_items)], "choose what is logged, as with -d", logging::log),
    row(&["logfile"], "filename", &[], "choose the file that is logged to, as with -D", logging::logfile),
    row(&["memsave"], "addr size file", &[], "write memory at a linear address to a file (a name with a slash in quotes)", saving::linear),
    row(&["migrate"], "[-d] [-b] [-i] [-r] uri", &[], "move the machine elsewhere, which it does not", migration::migrate),
    row(&["migrate_cancel"], "", &[], "give a migration up", migration::cancel),
    row(&["migrate_set_capability"], "capability state", &[One(completion::capabilities), SWITCH], "say what migrations are to do", migration::set_capability),
    row(&["mouse_button"], "state", &[], "press these buttons, release the others: 1 left, 2 right, 4 middle, 8 and 16 the others", mouse::mouse_button),
    row(&["mouse_move"], "dx dy [dz]", &[], "move the mouse to the right, down, and its wheel", mouse::mouse_move),
    row(&["mouse_set"], "index", &[], "choose the mouse that is moved", mouse::mouse_set),
    row(&["netdev_add"], "type,id=str[,prop=value][,...]", &[], "make a network backend, of which none is built", network::add_backend),
    row(&["netdev_del"], "id", &[], "remove a network backend", network::remove_backend),
    row(&["nmi"], "", &[], "send every CPU a non-maskable interrupt", run_state::nmi),
    row(&["o"], "/fmt addr value", &[], "write an I/O port", ports::write),
    row(&["object_add"], "[qom-type=]type,id=str[,prop=value][,...]", &[One(completion::object_types)], "make an object, as -object does", objects::add),
    row(&["object_del"], "id", &[One(completion::objects)], "remove an object that nothing uses", objects::remove),
    row(&["pmemsave"], "addr size file", &[], "write memory at a physical address to a file (a name with a slash in quotes)", saving::physical),
    row(&["print", "p"], "/fmt expr", &[], "calculate, with registers as $rip", print),
    row(&["qom-get"], "path property", &[], "show a property of an object", objects::get),
    row(&["qom-list"], "path", &[], "list the properties of an object", objects::list),
    row(&["qom-set"], "[-j] path property value", &[], "set a property of an object (-j: to a value in JSON)", objects::set),
    row(&["quit", "q"], "", &[], "end the run", run_state::quit),
    row(&["replay_break"], "icount", &[], "stop a replay at this tick", replay::set_break),
    row(&["replay_delete_break"], "", &[], "have a replay go on to its end", replay::delete_break),
    row(&["replay_seek"], "icount", &[], "run a replay forward to this tick", replay::seek),
    row(&["ringbuf_read"], "device size", &[One(completion::rings)], "take bytes out of a ring buffer", chardevs::read_ring),
    row(&["ringbuf_write"], "device data", &[One(completion::rings)], "put bytes into a ring buffer", chardevs::write_ring),
    row(&["screendump"], "filename [-f format] [device [head]]", &[], "write the screen's picture to a file, as ppm or png", screen::dump),
    row(&["sendkey"], "keys [hold_ms]", &[Several('-', completion::keys)], "press keys together and release them: sendkey ctrl-alt-delete", keys::send),
    row(&["set_link"], "name on|off", &[Free, SWITCH], "plug a network cable in or out", network::set_link),
    row(&["set_password"], "protocol password [-d display] [action-if-connected]", &[Among(&["spice", "vnc"])], "set the password of a display", absent::set_password),
    row(&["stop", "s"], "", &[], "stop the machine", run_state::stop),
    row(&["sum"], "addr size", &[], "show the checksum of memory at a physical address", memory::sum),
    row(&["system_powerdown"], "", &[], "press the power button", run_state::powerdown),
    row(&["system_reset"], "", &[], "reset the machine", run_state::reset),
    row(&["system_wakeup"], "", &[], "wake a machine that the guest has suspended to memory", run_state::wakeup),
    row(&["watchdog_action"], "[reset|shutdown|poweroff|pause|debug|none|inject-nmi]", &[One(completion::watchdog_actions)], "choose what happens when a watchdog bites", run_state::watchdog_action),
    row(&["x"], "/fmt addr", &[], "show memory at a linear address; fmt is a count, then x d u o c or i, then b h w or g: x/4xg $rsp, x/10i $pc", memory::linear),
    row(&["xp"], "/fmt addr", &[], "show memory at a physical address", memory::physical),
];

/// Finds a command or topic by one of its names.
pub(super) fn find(table: &'static [Command], name: &str) -> Option<&'static Command> {
    table.iter().find(|command| command.names.contains(&name))
}

/// A command's name and what follows it. A format may follow without a blank: x/4i.
pub(super) fn split(line: &str) -> (&str, &str) {
    line.split_at(line.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(line.len()))
}

/// Carries out one line; gives what the monitor says to it.
pub(super) fn dispatch(line: &str, control: &mut Control, desk: &mut Desk) -> String {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return String::new();
    }
    choose(COMMANDS, "", line, control, desk)
}

/// Carries out a command of a table, before whose name `before` was typed.
fn choose(table: &'static [Command], before: &str, line: &str, control: &mut Control, desk: &mut Desk) -> String {
    let (name, rest) = split(line);
    let typed = format!("{before}{name}");
    let Some(command) = find(table, name) else { return CommandError::UnknownCommand(typed).told(&[], "") };
    match command.deed {
        Deed::Run(run) => {
            run(control, desk, &mut Arguments::new(rest)).unwrap_or_else(|why| why.told(command.names, &typed))
        }
        Deed::Choose(inner) if rest.trim().is_empty() => list(inner(), &format!("{typed} ")),
        Deed::Choose(inner) => choose(inner(), &format!("{typed} "), rest.trim(), control, desk),
    }
}

fn help(_: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let (mut table, mut before) = (COMMANDS, String::new());
    while let Some(name) = arguments.word() {
        let unknown = || CommandError::UnknownCommand(format!("{before}{name}"));
        let command = find(table, name).ok_or_else(unknown)?;
        let Deed::Choose(inner) = command.deed else {
            arguments.finish()?;
            return Ok(line(command, &before));
        };
        before = format!("{before}{name} ");
        table = inner();
    }
    Ok(list(table, &before))
}

/// All of a table, for help.
fn list(table: &[Command], before: &str) -> String {
    let mut text = String::new();
    for command in table {
        let _ = writeln!(text, "{}", line(command, before));
    }
    text
}

/// As QEMU lays it out, for those who take it apart.
fn line(command: &Command, before: &str) -> String {
    format!("{before}{} {} -- {}", command.names.join("|"), command.arguments, command.help)
}

fn print(control: &mut Control, desk: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let format = super::Format::read(arguments.format(), super::Format::default())?;
    let cpu = desk.cpu(control)?;
    let value = arguments.number(&|name| registers::value(control, cpu, name))?;
    arguments.finish()?;
    Ok(format.show_alone(value))
}
