//! The commands, each declared once.

use super::error::CommandError;
use super::expression::Arguments;
use super::{
    Answer, Desk, debugger, devices, dump, info, keys, logging, media, memory, mouse, ports, registers, run_state,
    screen, translation,
};
use crate::run::Control;
use std::fmt::Write;

/// Carries out a command.
pub(super) type Handler = fn(&mut Control, &mut Desk, &mut Arguments<'_>) -> Answer;

/// A command, or a topic of `info`.
pub(super) struct Command {
    /// What is typed; the first name is the proper one.
    pub(super) names: &'static [&'static str],
    /// Its arguments, for help.
    pub(super) arguments: &'static str,
    /// What it does, in a line.
    pub(super) help: &'static str,
    /// How.
    pub(super) run: Handler,
}

/// A row of a table.
pub(super) const fn row(
    names: &'static [&'static str],
    arguments: &'static str,
    help: &'static str,
    run: Handler,
) -> Command {
    Command { names, arguments, help, run }
}

/// Every command, in the order of names.
pub(super) const COMMANDS: &[Command] = &[
    row(&["balloon"], "MEGABYTES", "ask the guest to leave itself this much memory", memory::balloon),
    row(
        &["block_resize"],
        "DRIVE SIZE",
        "make a drive's image longer or shorter (SIZE in MiB, or with a suffix)",
        media::resize,
    ),
    row(
        &["block_set_io_throttle"],
        "DRIVE BPS BPS_RD BPS_WR IOPS IOPS_RD IOPS_WR",
        "limit a drive's bytes and requests a second (0: no limit)",
        media::throttle,
    ),
    row(
        &["change"],
        "[-f] DRIVE FILE [raw|qcow2 [read-only|read-write]]",
        "put another medium into a drive",
        media::change,
    ),
    row(&["cont", "c"], "", "let the machine run", run_state::cont),
    row(&["cpu"], "INDEX", "choose the CPU that other commands are about", run_state::cpu),
    row(
        &["device_add"],
        "DRIVER[,PROPERTY=VALUE...]",
        "plug a device in, with properties as -device takes them",
        devices::add,
    ),
    row(&["device_del"], "ID", "ask the guest to let go of a device", devices::remove),
    row(
        &["dump-guest-memory"],
        dump::ARGUMENTS,
        "write memory and registers to a file for crash, drgn or gdb",
        dump::dump,
    ),
    row(&["eject"], "[-f] DRIVE", "take the medium out of a drive", media::eject),
    row(&["gdbserver"], "[DEV|none]", "await a debugger there, at tcp::1234 if nothing is said", debugger::serve),
    row(&["gpa2hva"], "ADDR", "show where in this process a physical address's byte is", translation::to_host),
    row(&["gva2gpa"], "ADDR", "show the physical address of a linear one", translation::to_physical),
    row(&["help", "?"], "[COMMAND]", "show the commands, or one of them", help),
    row(&["i"], "[/FMT] PORT", "read an I/O port", ports::read),
    row(&["info"], "[TOPIC]", "show the machine's state", info::info),
    row(&["log"], "ITEM[,ITEM...]|none", "choose what is logged, as with -d", logging::log),
    row(&["logfile"], "FILE", "choose the file that is logged to, as with -D", logging::logfile),
    row(
        &["mouse_button"],
        "STATE",
        "press these buttons, release the others: 1 left, 2 right, 4 middle, 8 and 16 the others",
        mouse::mouse_button,
    ),
    row(&["mouse_move"], "DX DY [DZ]", "move the mouse to the right, down, and its wheel", mouse::mouse_move),
    row(&["nmi"], "", "send every CPU a non-maskable interrupt", run_state::nmi),
    row(&["o"], "[/FMT] PORT VALUE", "write an I/O port", ports::write),
    row(&["print", "p"], "[/FMT] EXPR", "calculate, with registers as $rip", print),
    row(&["quit", "q"], "", "end the run", run_state::quit),
    row(&["screendump"], "FILE [-f png|ppm]", "write the screen's picture to a file", screen::dump),
    row(&["sendkey"], "KEY[-KEY...] [MS]", "press keys together and release them: sendkey ctrl-alt-delete", keys::send),
    row(&["stop", "s"], "", "stop the machine", run_state::stop),
    row(&["system_powerdown"], "", "press the power button", run_state::powerdown),
    row(&["system_reset"], "", "reset the machine", run_state::reset),
    row(&["system_wakeup"], "", "wake a machine that the guest has suspended to memory", run_state::wakeup),
    row(&["watchdog_action"], "ACTION", "choose what happens when a watchdog bites", run_state::watchdog_action),
    row(&["x"], "[/FMT] ADDR", "show memory at a linear address: x/4xg $rsp, x/10i $pc", memory::linear),
    row(&["xp"], "[/FMT] ADDR", "show memory at a physical address", memory::physical),
];

/// What `help` says after the commands.
const FORMATS: &str = "FMT is a count, then x (hex), d (signed), u (unsigned), o (octal), c (character) or i (instruction), \
then b, h, w or g (1, 2, 4 or 8 bytes).";

/// Finds a command or topic by one of its names.
pub(super) fn find(table: &'static [Command], name: &str) -> Option<&'static Command> {
    table.iter().find(|command| command.names.contains(&name))
}

/// Carries out one line.
pub(super) fn dispatch(line: &str, control: &mut Control, desk: &mut Desk) -> Answer {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(String::new());
    }
    // A format may follow the name without a blank: x/4i.
    let end = line.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let command = find(COMMANDS, name).ok_or_else(|| CommandError::UnknownCommand(name.to_owned()))?;
    (command.run)(control, desk, &mut Arguments::new(rest))
}

fn help(_: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let name = arguments.word();
    arguments.finish()?;
    match name {
        None => Ok(format!("{}{FORMATS}", list(COMMANDS, ""))),
        Some("info") => Ok(list(info::TOPICS, "info ")),
        Some(name) => {
            let command = find(COMMANDS, name).ok_or_else(|| CommandError::UnknownCommand(name.to_owned()))?;
            Ok(line(command, ""))
        }
    }
}

/// All of a table, for help.
pub(super) fn list(table: &[Command], before: &str) -> String {
    let mut text = String::new();
    for command in table {
        let _ = writeln!(text, "{}", line(command, before));
    }
    text
}

fn line(command: &Command, before: &str) -> String {
    let usage = format!("{before}{} {}", command.names.join("|"), command.arguments);
    format!("{usage:<28} -- {}", command.help)
}

/// The word that is being typed at the end of a line, and what it can become.
pub(super) fn candidates(begun: &str) -> (&str, Vec<&'static str>) {
    let begun = begun.trim_start();
    let (table, word) = match begun.split_once(' ') {
        None => (COMMANDS, begun),
        Some(("info", word)) => (info::TOPICS, word.trim_start()),
        Some(("help", word)) => (COMMANDS, word.trim_start()),
        Some(_) => return ("", Vec::new()),
    };
    let names = table.iter().filter_map(|command| command.names.first());
    (word, names.filter(|name| name.starts_with(word)).copied().collect())
}

fn print(control: &mut Control, desk: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let format = super::Format::read(arguments.format(), super::Format::default())?;
    let cpu = desk.cpu(control)?;
    let value = arguments.number("EXPR", &|name| registers::value(control, cpu, name))?;
    arguments.finish()?;
    Ok(format.show_alone(value))
}
