//! Options about Lockstep as a program, and those that say what is so anyway.

use std::path::PathBuf;

use super::config::{ObjectConfig, OnReboot, OnShutdown, PassedDescriptor};
use super::draft::{Draft, Flow, Handled};
use super::error::Reason;
use super::suboptions::Suboptions;
use super::{table, values};
use lockstep_fabric::actions::UnknownAction;
use serde_json::{Map, Value};

/// The release of QEMU whose command line this is.
const QEMU_RELEASE: &str = "7.2.0";

/// The last of the descriptors that every process has.
const STANDARD_ERROR: u32 = 2;

/// What `-d` takes: QEMU's names, and from where on.
pub(crate) const LOG_ITEMS: [(&str, &str); 18] = [
    ("from:TICK", "start logging at this tick only"),
    ("out_asm", "host code made from the guest's"),
    ("in_asm", "guest code as it is decoded"),
    ("op", "decoded operations"),
    ("op_opt", "decoded operations, optimised"),
    ("op_ind", "decoded operations before lowering"),
    ("int", "interrupts and exceptions"),
    ("exec", "each block that is run"),
    ("cpu", "registers before each block"),
    ("fpu", "x87 registers too"),
    ("mmu", "address translation"),
    ("pcall", "far calls, returns and exceptions in protected mode"),
    ("cpu_reset", "registers before each reset"),
    ("unimp", "use of what is not implemented"),
    ("guest_errors", "accesses that make no sense"),
    ("page", "page tables"),
    ("nochain", "do not chain blocks"),
    ("plugin", "output of plugins"),
];

pub(super) fn help(_draft: &mut Draft<'_>, _: &str) -> Handled {
    Ok(Flow::Print(table::help()))
}

/// The second line is what tools that ask an emulator for its version look for.
pub(super) fn version(_draft: &mut Draft<'_>, _: &str) -> Handled {
    let version = env!("CARGO_PKG_VERSION");
    Ok(Flow::Print(format!(
        "Lockstep {version}, a deterministic PC in software\n\
         QEMU emulator version {QEMU_RELEASE} (lockstep-{version})\n"
    )))
}

/// Accepts an option that needs nothing done.
pub(super) fn nothing(_draft: &mut Draft<'_>, _: &str) -> Handled {
    Ok(Flow::Next)
}

pub(super) fn no_defaults(draft: &mut Draft<'_>, _: &str) -> Handled {
    draft.no_defaults = true;
    Ok(Flow::Next)
}

pub(super) fn name(draft: &mut Draft<'_>, argument: &str) -> Handled {
    let mut options = Suboptions::parse(argument, Some("guest"));
    draft.config.name = options.text("guest").or(draft.config.name.take());
    for harmless in ["process", "debug-threads"] {
        options.text(harmless);
    }
    options.finish()?;
    Ok(Flow::Next)
}

pub(super) fn uuid(draft: &mut Draft<'_>, argument: &str) -> Handled {
    let uuid = values::uuid(argument).ok_or(Reason::Expected(values::UUID_SYNTAX))?;
    draft.config.uuid = Some(uuid);
    Ok(Flow::Next)
}

pub(super) fn daemonize(draft: &mut Draft<'_>, _: &str) -> Handled {
    draft.config.daemonize = true;
    Ok(Flow::Next)
}

/// What it is made of is looked at when it is made.
pub(super) fn object(draft: &mut Draft<'_>, argument: &str) -> Handled {
    let mut settings = if argument.trim_start().starts_with('{') {
        serde_json::from_str(argument).map_err(|_| Reason::Expected("a JSON object"))?
    } else {
        let pairs = Suboptions::parse(argument, Some("qom-type")).rest();
        pairs.into_iter().map(|(name, text)| (name, Value::String(text))).collect::<Map<_, _>>()
    };
    let mut text = |name: &'static str| match settings.remove(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Reason::Expected("texts for qom-type and id")),
        None => Err(Reason::MissingProperty(name)),
    };
    let (ty, id) = (text("qom-type")?, text("id")?);
    draft.config.objects.push(ObjectConfig { origin: draft.current.clone(), ty, id, settings });
    Ok(Flow::Next)
}

/// `-add-fd`. The descriptor is taken when the machine is started.
pub(super) fn add_descriptor(draft: &mut Draft<'_>, argument: &str) -> Handled {
    let mut options = Suboptions::parse(argument, None);
    let required = |what: &str| Reason::refused(format!("{what} option is required and must be non-negative"));
    let number = |text: Option<String>| text.and_then(|text| values::number(&text));
    let fd = number(options.text("fd")).and_then(|fd| u32::try_from(fd).ok()).ok_or_else(|| required("fd"))?;
    if fd <= STANDARD_ERROR {
        return Err(Reason::refused("fd cannot be a standard I/O stream"));
    }
    let set = number(options.text("set")).and_then(|set| i64::try_from(set).ok()).ok_or_else(|| required("set"))?;
    let opaque = options.text("opaque");
    options.finish()?;
    draft.config.descriptors.push(PassedDescriptor { origin: draft.current.clone(), fd, set, opaque });
    Ok(Flow::Next)
}

pub(super) fn pidfile(draft: &mut Draft<'_>, argument: &str) -> Handled {
    draft.config.pidfile = Some(PathBuf::from(argument));
    Ok(Flow::Next)
}

pub(super) fn stopped(draft: &mut Draft<'_>, _: &str) -> Handled {
    draft.config.start_stopped = true;
    Ok(Flow::Next)
}

pub(super) fn no_reboot(draft: &mut Draft<'_>, _: &str) -> Handled {
    draft.config.on_reboot = OnReboot::Shutdown;
    Ok(Flow::Next)
}

pub(super) fn no_shutdown(draft: &mut Draft<'_>, _: &str) -> Handled {
    draft.config.on_shutdown = OnShutdown::Pause;
    Ok(Flow::Next)
}

pub(super) fn action(draft: &mut Draft<'_>, argument: &str) -> Handled {
    let mut options = Suboptions::parse(argument, None);
    match options.text("reboot").as_deref() {
        None => {}
        Some("reset") => draft.config.on_reboot = OnReboot::Reset,
        Some("shutdown") => draft.config.on_reboot = OnReboot::Shutdown,
        Some(other) => return Err(Reason::bad("reboot", other, "use reset or shutdown")),
    }
    match options.text("shutdown").as_deref() {
        None => {}
        Some("poweroff") => draft.config.on_shutdown = OnShutdown::PowerOff,
        Some("pause") => draft.config.on_shutdown = OnShutdown::Pause,
        Some(other) => return Err(Reason::bad("shutdown", other, "use poweroff or pause")),
    }
    let actions = &mut draft.config.actions;
    if let Some(word) = options.text("panic") {
        actions.panic = word.parse().map_err(|why: UnknownAction| Reason::bad("panic", &word, why.0))?;
    }
    if let Some(word) = options.text("watchdog") {
        actions.watchdog = word.parse().map_err(|why: UnknownAction| Reason::bad("watchdog", &word, why.0))?;
    }
    options.finish()?;
    Ok(Flow::Next)
}

pub(super) fn watchdog_action(draft: &mut Draft<'_>, argument: &str) -> Handled {
    draft.config.actions.watchdog = argument.parse().map_err(|why: UnknownAction| Reason::Expected(why.0))?;
    Ok(Flow::Next)
}

pub(super) fn log_items(draft: &mut Draft<'_>, argument: &str) -> Handled {
    if argument == "help" {
        let line = |(name, about): &(&str, &str)| format!("{name:<15} {about}\n");
        return Ok(Flow::Print(LOG_ITEMS.iter().map(line).collect()));
    }
    for item in argument.split(',').filter(|item| !item.is_empty() && *item != "none") {
        if item.starts_with("trace:") || item == "tid" || item == "strace" {
            return Err(Reason::not_built(format!("'{item}'")));
        }
        if !is_log_item(item) {
            return Err(Reason::UnknownName { kind: "log item", name: item.to_owned(), option: "-d" });
        }
        draft.config.log.items.push(item.to_owned());
    }
    Ok(Flow::Next)
}

/// Whether `-d` takes this item.
pub(crate) fn is_log_item(item: &str) -> bool {
    let ticks = item.strip_prefix("from:").is_some_and(|tick| tick.parse::<u64>().is_ok());
    ticks || LOG_ITEMS.iter().any(|(name, _)| *name == item)
}

pub(super) fn log_file(draft: &mut Draft<'_>, argument: &str) -> Handled {
    draft.config.log.file = Some(PathBuf::from(argument));
    Ok(Flow::Next)
}

/// `-sandbox`: refused when on, for it would promise a protection that is not there.
pub(super) fn sandbox(_draft: &mut Draft<'_>, argument: &str) -> Handled {
    let mut options = Suboptions::parse(argument, Some("enable"));
    match options.switch("enable")? {
        Some(true) => Err(Reason::not_built("the sandbox")),
        _ => Ok(Flow::Next),
    }
}

pub(super) fn overcommit(_draft: &mut Draft<'_>, argument: &str) -> Handled {
    let mut options = Suboptions::parse(argument, None);
    for key in ["mem-lock", "cpu-pm"] {
        if options.switch(key)? == Some(true) {
            return Err(Reason::not_built(format!("{key}=on")));
        }
    }
    options.finish()?;
    Ok(Flow::Next)
}

/// `-compat`: what is deprecated is taken and told as ever, so no more than that can be asked for.
pub(super) fn compat(_draft: &mut Draft<'_>, argument: &str) -> Handled {
    let mut options = Suboptions::parse(argument, None);
    for key in ["deprecated-input", "deprecated-output", "unstable-input", "unstable-output"] {
        match options.text(key) {
            Some(policy) if policy != "accept" => return Err(Reason::not_built(format!("{key}={policy}"))),
            _ => {}
        }
    }
    options.finish()?;
    Ok(Flow::Next)
}

pub(super) fn messages(_draft: &mut Draft<'_>, argument: &str) -> Handled {
    let mut options = Suboptions::parse(argument, None);
    for key in ["timestamp", "guest-name"] {
        options.switch(key)?;
    }
    options.finish()?;
    Ok(Flow::Next)
}
