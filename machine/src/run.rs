//! From a configuration to a finished run: the host's side of the machine's loop.

use crate::board::{self, Board, BoardError};
use crate::chardev::{ChardevError, ChardevId, Chardevs, HostEvent, Patience, QuitCause, Reporter};
use crate::commandline::{Config, OnReboot, OnShutdown, OptionError, RecordReplay, RtcBase};
use crate::digest::{Digest, Digester};
use crate::machine::{Ending, Stop};
use crate::record::{BootedFile, DIGEST_EVERY, Entry, FORMAT, Header, Log, LogError, Recorder};
use crate::terminal::signals;
use crate::trace;
use lockstep_fabric::{Arrival, DeviceId, Input, StateError, Tick};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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
    /// The host refuses something that every run needs.
    #[error("{0}")]
    Host(#[from] io::Error),
}

/// Ticks between two looks at what the host has to say.
const POLL_EVERY: Tick = 1 << 20;

/// Runs the machine that `config` describes until it ends or is ended.
pub fn run(config: &Config) -> Result<ExitStatus, RunError> {
    let replayed = match &config.icount.record_replay {
        RecordReplay::Replay(path) => Some(Log::read(path)?),
        RecordReplay::Off | RecordReplay::Record(_) => None,
    };
    let settled = match &replayed {
        Some(log) => as_recorded(config, &log.header.config)?,
        None => settle(config)?,
    };
    let mut board = board::build(&settled)?;
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
    let (reporter, events) = Reporter::new();
    signals::watch(reporter.clone())?;
    let chardevs = Chardevs::open(config, &reporter)?;
    let mut session = Session::new(config, board, recorder, chardevs, events);
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
        ("-kernel, -initrd, -append, -bios or -boot", config.boot != recorded.boot),
        ("-serial", config.serial.len() != recorded.serial.len()),
        ("-device", config.devices.len() != recorded.devices.len()),
        ("-icount shift", config.icount.shift != recorded.icount.shift),
        ("-seed", config.seed.is_some_and(|seed| Some(seed) != recorded.seed)),
    ];
    match differs.iter().find(|(_, differs)| *differs) {
        Some((what, _)) => Err(RunError::NotAsRecorded { what: (*what).into() }),
        None => Ok(recorded.clone()),
    }
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

/// A machine in use.
struct Session<'a> {
    config: &'a Config,
    board: Board,
    recorder: Option<Recorder>,
    digester: Digester,
    next_digest: Tick,
    chardevs: Chardevs,
    events: Receiver<HostEvent>,
    attached: Vec<(DeviceId, ChardevId)>,
    quit: Option<QuitCause>,
}

impl<'a> Session<'a> {
    fn new(
        config: &'a Config,
        board: Board,
        recorder: Option<Recorder>,
        chardevs: Chardevs,
        events: Receiver<HostEvent>,
    ) -> Self {
        let attached = board.ports.iter().filter_map(|(device, name)| Some((*device, chardevs.id(name)?))).collect();
        let next_digest = if recorder.is_some() { DIGEST_EVERY } else { Tick::MAX };
        Self {
            config,
            board,
            recorder,
            digester: Digester::default(),
            next_digest,
            chardevs,
            events,
            attached,
            quit: None,
        }
    }

    /// Runs with live sources until the guest or the user ends it.
    fn live(&mut self) -> Result<Ended, RunError> {
        if self.config.start_stopped {
            return Ok(Ended::Host(self.wait_for_quit()));
        }
        loop {
            while let Ok(event) = self.events.try_recv() {
                self.handle(event)?;
            }
            if let Some(cause) = self.quit {
                return Ok(Ended::Host(cause));
            }
            let until = self.next_digest.min(self.board.machine.now() + POLL_EVERY);
            match self.board.machine.run(until) {
                Stop::Reached => self.take_digest()?,
                Stop::Output => self.pass_output(),
                Stop::Idle(next) => self.idle(next)?,
                Stop::Ended(ending) => {
                    self.pass_output();
                    if ending == Ending::PowerOff && self.config.on_shutdown == OnShutdown::Pause {
                        return Ok(Ended::Host(self.wait_for_quit()));
                    }
                    return Ok(Ended::Guest(ending));
                }
            }
        }
    }

    /// Follows a log with live sources cut off, up to its end or the first difference.
    fn replay(&mut self, log: &Log) -> Result<Ended, RunError> {
        self.board.machine.gate.close();
        for entry in &log.entries {
            let ended = self.follow_to(entry.tick());
            if let Some(cause) = self.quit {
                return Ok(Ended::Host(cause));
            }
            match (entry, ended) {
                (Entry::End { ending: Some(ending), hash, .. }, Some(now)) if *ending == now => {
                    self.compare(hash)?;
                    return Ok(Ended::Guest(now));
                }
                (Entry::End { ending: None, hash, .. }, None) => {
                    self.compare(hash)?;
                    return Ok(Ended::LogEnds);
                }
                (Entry::Digest { hash, .. }, None) => self.compare(hash)?,
                (Entry::Arrival(arrival), None) => self.board.machine.gate.schedule(arrival.clone()),
                (entry, ended) => {
                    return Err(RunError::Diverged {
                        tick: self.board.machine.now(),
                        recorded: format!("{entry:?}"),
                        replayed: ended
                            .map_or("the guest runs on".into(), |ending| format!("the guest ended: {ending:?}")),
                    });
                }
            }
        }
        eprintln!(
            "lockstep: replay: the log is cut short at tick {}; all of it was followed",
            self.board.machine.now()
        );
        Ok(Ended::LogEnds)
    }

    fn follow_to(&mut self, tick: Tick) -> Option<Ending> {
        loop {
            while let Ok(event) = self.events.try_recv() {
                if let HostEvent::Quit { cause } = event {
                    self.quit = Some(cause);
                }
            }
            if self.quit.is_some() {
                return None;
            }
            let stop = self.board.machine.run_through(tick.min(self.board.machine.now() + POLL_EVERY));
            self.pass_output();
            match stop {
                Stop::Ended(ending) => return Some(ending),
                Stop::Reached if self.board.machine.now() >= tick => return None,
                Stop::Reached | Stop::Output | Stop::Idle(_) => {}
            }
        }
    }

    fn compare(&mut self, recorded: &str) -> Result<(), RunError> {
        let digest = self.digester.digest(&mut self.board.machine)?;
        let replayed = format!("{:032x}", digest.hash);
        if replayed == recorded {
            return Ok(());
        }
        Err(RunError::Diverged { tick: digest.tick, recorded: recorded.into(), replayed })
    }

    fn take_digest(&mut self) -> Result<(), RunError> {
        if self.board.machine.now() < self.next_digest {
            return Ok(());
        }
        let digest = self.digester.digest(&mut self.board.machine)?;
        self.next_digest = digest.tick + DIGEST_EVERY;
        self.log(&Entry::digest(digest))
    }

    fn log(&mut self, entry: &Entry) -> Result<(), RunError> {
        if let Some(recorder) = &mut self.recorder {
            recorder.write(entry)?;
            recorder.flush()?;
        }
        Ok(())
    }

    fn pass_output(&mut self) {
        for (device, bytes) in self.board.machine.take_output() {
            for (_, chardev) in self.attached.iter().filter(|(d, _)| *d == device) {
                self.chardevs.write(*chardev, &bytes);
            }
        }
    }

    /// Lets the time of an idle guest pass: asleep on the host, or at once with `sleep=off`.
    fn idle(&mut self, next: Tick) -> Result<(), RunError> {
        let now = self.board.machine.now();
        let next = next.min(self.next_digest);
        let shift = u32::from(self.config.icount.shift);
        if next != Tick::MAX && !self.config.icount.sleep {
            self.board.machine.skip_to(next);
            return Ok(());
        }
        let begun = Instant::now();
        let event = if next == Tick::MAX {
            self.events.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            self.events.recv_timeout(Duration::from_nanos((next - now) << shift))
        };
        let slept = if self.config.icount.sleep { begun.elapsed().as_nanos() as u64 >> shift } else { 0 };
        match event {
            Ok(event) => {
                self.board.machine.skip_to(next.min(now.saturating_add(slept)));
                self.handle(event)
            }
            Err(_) => {
                self.board.machine.skip_to(if next == Tick::MAX { now } else { next });
                Ok(())
            }
        }
    }

    fn handle(&mut self, event: HostEvent) -> Result<(), RunError> {
        match event {
            HostEvent::Bytes { chardev, data } => self.arrive(chardev, &Input::Bytes(data)),
            HostEvent::Break { chardev } => self.arrive(chardev, &Input::Break),
            HostEvent::Quit { cause } => {
                self.quit = Some(cause);
                Ok(())
            }
            HostEvent::MonitorBytes { .. }
            | HostEvent::MonitorFocus { .. }
            | HostEvent::Opened { .. }
            | HostEvent::Closed { .. } => Ok(()),
        }
    }

    /// Something from outside: through the gate, and into the log.
    fn arrive(&mut self, from: ChardevId, input: &Input) -> Result<(), RunError> {
        let Some(device) = self.attached.iter().find(|(_, c)| *c == from).map(|(d, _)| *d) else { return Ok(()) };
        let tick = self.board.machine.now();
        if self.board.machine.arrive(device, input.clone()) {
            self.log(&Entry::Arrival(Arrival { tick, device, input: input.clone() }))?;
        }
        Ok(())
    }

    fn wait_for_quit(&mut self) -> QuitCause {
        loop {
            match self.events.recv() {
                Ok(HostEvent::Quit { cause }) => return cause,
                Ok(_) => {}
                Err(_) => return QuitCause::Key,
            }
        }
    }

    /// Closes everything in order and says how it went.
    fn finish(mut self, ended: Result<Ended, RunError>) -> Result<ExitStatus, RunError> {
        let patience = match &ended {
            Ok(Ended::Host(_)) => Patience::Limited(Duration::from_millis(500)),
            _ => Patience::Forever,
        };
        let last = if ended.is_ok() && (self.config.digest || self.recorder.is_some()) {
            Some(self.digester.digest(&mut self.board.machine)?)
        } else {
            None
        };
        if let (Some(Digest { tick, hash }), Ok(ended)) = (last, &ended) {
            let ending = match ended {
                Ended::Guest(ending) => Some(*ending),
                Ended::Host(_) | Ended::LogEnds => None,
            };
            self.log(&Entry::End { tick, ending, hash: format!("{hash:032x}") })?;
        }
        self.chardevs.flush_and_close(patience);
        let ended = ended?;
        if let (Some(digest), true) = (last, self.config.digest) {
            eprintln!("digest {digest}");
        }
        Ok(match ended {
            Ended::Guest(Ending::Exit(status)) => ExitStatus(status as u8),
            Ended::Guest(Ending::PowerOff | Ending::Reset) | Ended::LogEnds | Ended::Host(QuitCause::Key) => {
                ExitStatus(0)
            }
            Ended::Host(QuitCause::Signal(signal)) => {
                eprintln!("lockstep: ended by {}", signals::name(signal));
                ExitStatus(0)
            }
        })
    }
}

/// Whether a reset asked for by the guest ends the run.
pub(crate) fn resets_end(config: &Config) -> bool {
    config.on_reboot == OnReboot::Shutdown
}
