//! From a configuration to a finished run: the host's side of the machine's loop.

mod balloon;
mod control;
mod debugger;
mod dumps;
mod hotplug;
mod lines;
mod live;
mod media;
mod news;
mod qmp;
mod replay;
mod reports;
mod session;
mod throttling;

#[cfg(test)]
mod tests;

pub use control::{Control, Denied, RunState};
pub use dumps::Dumps;
pub use hotplug::PlugError;
pub use media::{DriveState, MediumError, NewMedium};

use crate::block::Fault;
use crate::board::{self, BoardError};
use crate::chardev::{ChardevError, Chardevs, QuitCause, Reporter};
use crate::commandline::{Config, OnReboot, OptionError, PassedDescriptor, RecordReplay, RtcBase, THROTTLE_GROUP};
use crate::host_file;
use crate::machine::Ending;
use crate::object_model::Backend;
use crate::record::{BootedFile, FORMAT, Header, Log, LogError, Recorder};
use crate::terminal::signals;
use crate::trace;
use lockstep_fabric::{StateError, Tick};
use lockstep_qmp::server::StartError;
use qmp::Qmp;
use serde_json::{Map, Value};
use session::Session;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

/// How a run ended: the process's exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitStatus(pub u8);

/// Why a machine could not be run, or a replay not be followed. Its `Display` is the line after `lockstep: `.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An option asks for something that turns out to be impossible.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// A character device cannot be opened.
    #[error(transparent)]
    Chardev(#[from] ChardevError),
    /// The board cannot be built as asked.
    #[error(transparent)]
    Board(#[from] BoardError),
    /// A QMP monitor cannot be opened.
    #[error("{origin}: {why}")]
    Qmp {
        /// The option as typed.
        origin: String,
        /// Why not.
        why: StartError,
    },
    /// The log cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The machine's state cannot be saved.
    #[error(transparent)]
    State(#[from] StateError),
    /// A replay went another way than its recording.
    #[error("replay: the state at tick {tick} differs from the recording: {recorded} then, {replayed} now")]
    Diverged {
        /// When that was seen.
        tick: Tick,
        /// The recorded digest, or what else the log says of that tick.
        recorded: String,
        /// What the replay has in its place.
        replayed: String,
    },
    /// A replay was started with another machine or other files than its recording.
    #[error("rr=replay: {what} is not as recorded")]
    NotAsRecorded {
        /// Which option or file.
        what: String,
    },
    /// The host could not do what a drive was asked, and the run could not be repeated if the guest saw that.
    #[error("rr: {0}")]
    Drive(Fault),
    /// An object cannot be made.
    #[error("{origin}: {why}")]
    Object {
        /// The option.
        origin: String,
        /// Why not.
        why: lockstep_qmp::Error,
    },
    /// The host refuses something that every run needs.
    #[error("{0}")]
    Host(#[from] io::Error),
}

/// Takes what `-add-fd` names, before anything is opened by a name that may stand for it.
fn take_descriptors(passed: &[PassedDescriptor]) -> Result<(), OptionError> {
    for PassedDescriptor { origin, fd, set, opaque } in passed {
        let invalid = |_| OptionError::refused(origin, "fd is not valid or already in use");
        host_file::sets().add(Some(*set), host_file::take_inherited(*fd).map_err(invalid)?, opaque.clone());
    }
    Ok(())
}

/// Runs the machine that `config` describes until it ends or is ended.
///
/// `ready` is called once everything is open that the command line names.
pub fn run(config: &Config, ready: impl FnOnce()) -> Result<ExitStatus, RunError> {
    let replayed = match &config.icount.record_replay {
        RecordReplay::Replay(path) => Some(Log::read(path)?),
        RecordReplay::Off | RecordReplay::Record(_) => None,
    };
    let settled = match &replayed {
        Some(log) => as_recorded(config, &log.header.config)?,
        None => settle(config)?,
    };
    take_descriptors(&config.descriptors)?;
    let (reporter, events) = Reporter::new();
    // First of all: clients are greeted at once, and what they ask for waits until there is a machine.
    let qmp = Qmp::start(config, &reporter)?;
    let mut board = board::build(&settled)?;
    for warning in &board.warnings {
        eprintln!("lockstep: warning: {warning}");
    }
    trace::start(&config.log, &mut board.machine)?;
    let files = board.files.clone();
    if let Some(log) = &replayed
        && let Some(changed) = log.header.files.iter().find(|f| !files.contains(f))
    {
        return Err(RunError::NotAsRecorded { what: format!("{} {}", changed.option, changed.path) });
    }
    let recorder = match &config.icount.record_replay {
        RecordReplay::Record(path) => Some(Recorder::create(path, &header(&settled, files))?),
        RecordReplay::Off | RecordReplay::Replay(_) => None,
    };
    signals::watch(reporter.clone())?;
    let chardevs = Chardevs::open(config, &reporter)?;
    let mut control = Control::new(config, board, recorder);
    // Clients are told times of the guest's, which begin when its clock does.
    control.config.rtc = settled.rtc;
    for object in &config.objects {
        let made = control.objects.add_typed(&object.ty, &object.id, &object.settings);
        made.map_err(|why| RunError::Object { origin: object.origin.clone(), why })?;
        if let Some(limits) = control.objects.find(&object.id).and_then(Backend::throttle_limits) {
            control.board.machine.throttle(&object.id, limits);
        }
    }
    control.tell_by(qmp.teller());
    control.wake_by(reporter.clone());
    let mut session = Session::new(control, chardevs, events, qmp);
    ready();
    let ended = match replayed {
        Some(log) => session.replay(&log),
        None => session.live(),
    };
    session.finish(ended)
}

/// Fills in what the host decides: the seed and the date, so that they can be written down.
fn settle(config: &Config) -> Result<Config, RunError> {
    let mut settled = config.clone();
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if settled.seed.is_none() {
        let mut bytes = [0; 8];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).map_err(io::Error::from)?;
        settled.seed = Some(u64::from_le_bytes(bytes));
    }
    settled.rtc.base = match settled.rtc.base {
        RtcBase::Utc => RtcBase::At(since_epoch.as_secs() as i64),
        RtcBase::LocalTime => {
            RtcBase::At(since_epoch.as_secs() as i64 + i64::from(chrono::Local::now().offset().local_minus_utc()))
        }
        at @ RtcBase::At(_) => at,
    };
    Ok(settled)
}

/// The recorded configuration, if `config` asks for the same machine.
fn as_recorded(config: &Config, recorded: &Config) -> Result<Config, RunError> {
    let differs = [
        ("-machine", config.machine != recorded.machine),
        ("-cpu", config.cpu != recorded.cpu),
        ("-smp", config.smp != recorded.smp),
        ("-m", config.memory != recorded.memory),
        ("-numa", config.numa != recorded.numa),
        ("-kernel, -initrd, -append, -bios or -boot", config.boot != recorded.boot),
        ("-fw_cfg, -acpitable or -smbios", config.firmware != recorded.firmware),
        ("-serial", config.serial.len() != recorded.serial.len()),
        ("-device", config.devices.len() != recorded.devices.len()),
        ("-drive or -blockdev", config.drives != recorded.drives || config.nodes != recorded.nodes),
        ("-object throttle-group", throttle_groups(config) != throttle_groups(recorded)),
        ("-icount shift", config.icount.shift != recorded.icount.shift),
        ("-seed", config.seed.is_some_and(|seed| Some(seed) != recorded.seed)),
    ];
    match differs.iter().find(|(_, differs)| *differs) {
        Some((what, _)) => Err(RunError::NotAsRecorded { what: (*what).into() }),
        None => Ok(recorded.clone()),
    }
}

/// The objects that the guest can feel.
fn throttle_groups(config: &Config) -> Vec<(&str, &Map<String, Value>)> {
    let groups = config.objects.iter().filter(|object| object.ty == THROTTLE_GROUP);
    groups.map(|group| (group.id.as_str(), &group.settings)).collect()
}

fn header(config: &Config, files: Vec<BootedFile>) -> Header {
    Header { lockstep_log: FORMAT, version: env!("CARGO_PKG_VERSION").into(), config: config.clone(), files }
}

/// Who ended the run.
enum Ended {
    Guest(Ending),
    Host(QuitCause),
    LogEnds,
}

/// Whether a reset asked for by the guest ends the run.
pub(crate) fn resets_end(config: &Config) -> bool {
    config.on_reboot == OnReboot::Shutdown
}
