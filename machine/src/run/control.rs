//! What an operator can do to a machine, whoever speaks for him: a human monitor or QMP.

use super::dumps::Dumps;
use super::hotplug::Request;
use crate::board::Board;
use crate::chardev::{Chardevs, QuitCause};
use crate::commandline::{Config, MachineKind, OnReboot, OnShutdown, RecordReplay};
use crate::control::Descriptors;
use crate::gdb::Debugger;
use crate::machine::{CutOff, Ending};
use crate::object_model::Objects;
use crate::record::{Entry, Recorder};
use lockstep_fabric::{Arrival, DeviceId, Input, MouseMotion, Nanos, Outside, PanicAction, Tick, WatchdogAction};
use lockstep_qmp::commands::run_state::{PoweringDown, Resumed, ShutDown, ShutdownCause, Stopped, WasReset};
use lockstep_qmp::server::Teller;
use lockstep_qmp::{Event, Occurrence, Timestamp};
use std::collections::BTreeMap;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

/// Whether the machine is let run. That changes nothing that the guest can see: while it is not, no tick passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// Not started since it was built or reset.
    Prelaunch,
    /// Running.
    Running,
    /// Stopped by the operator, or over.
    Paused,
    /// Stopped by an error of a drive.
    IoError,
    /// Stopped by a watchdog.
    Watchdog,
    /// Stopped because the guest has said that it panicked.
    GuestPanicked,
    /// Stopped by a debugger, at a breakpoint or after a step.
    Debug,
}

/// Why an operator's wish is not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nothing reaches the guest now.
    #[error(transparent)]
    CutOff(#[from] CutOff),
    /// The guest is not suspended.
    #[error("Unable to wake up: guest is not in suspended state")]
    Awake,
    /// The machine is over and cannot go on as it is.
    #[error("the machine is over: system_reset it first")]
    Over,
    /// A dump is being written.
    #[error("There is a dump in process, please wait.")]
    Dumping,
    /// The board has no such part.
    #[error("this machine has no {0}")]
    Lacks(&'static str),
}

/// A machine in an operator's hands. Whatever changes the guest goes through the gate and into the log.
pub struct Control {
    /// The machine and what belongs to it. Looking at it is free; changing it is what this type's methods are for.
    pub board: Board,
    /// What the command line asks for.
    pub config: Config,
    /// The host's ends of the character devices.
    pub chardevs: Chardevs,
    /// The objects that users made. The guest sees nothing of them.
    pub objects: Objects,
    state: RunState,
    recorder: Option<Recorder>,
    /// Why the log could not be written.
    log_failure: Option<io::Error>,
    quit: Option<QuitCause>,
    /// File descriptors that clients have passed in.
    pub descriptors: Descriptors,
    /// The tick at which a replay stops.
    pub replay_break: Option<Tick>,
    /// A client has asked to be told how a migration goes.
    pub migration_events: bool,
    /// The nodes that lie in drives since they were put there by their name: drive, node.
    pub nodes_in_drives: BTreeMap<String, String>,
    /// The dumps that operators have asked for.
    pub dumps: Dumps,
    /// What a debugger wants to stop at.
    pub(crate) debugger: Debugger,
    /// What QMP's clients have not been told yet.
    happened: Vec<Occurrence>,
    /// Who tells them, if there can be any.
    teller: Option<Teller>,
    /// The guest's end has been told.
    told_end: bool,
    /// The devices that the guest was asked to let go of.
    pub(super) asked_back: Vec<Request>,
}

impl Control {
    /// Takes a machine in hand, stopped if `-S` says so.
    pub fn new(config: &Config, board: Board, recorder: Option<Recorder>) -> Self {
        let state = if config.start_stopped { RunState::Prelaunch } else { RunState::Running };
        Self {
            board,
            config: config.clone(),
            chardevs: Chardevs::default(),
            objects: Objects::default(),
            state,
            recorder,
            log_failure: None,
            quit: None,
            descriptors: Descriptors::default(),
            replay_break: None,
            migration_events: false,
            nodes_in_drives: BTreeMap::new(),
            dumps: Dumps::default(),
            debugger: Debugger::default(),
            happened: Vec::new(),
            teller: None,
            told_end: false,
            asked_back: Vec::new(),
        }
    }

    /// Whether the operator lets the machine run; it may be over all the same.
    pub fn state(&self) -> RunState {
        self.state
    }

    /// Whether the guest has suspended the machine to RAM, which is let run: time passes.
    pub fn suspended(&self) -> bool {
        self.state == RunState::Running && self.board.machine.asleep()
    }

    /// Whether the machine can execute now.
    pub fn runs(&self) -> bool {
        self.state == RunState::Running && self.board.machine.ended().is_none()
    }

    /// How the machine ended, if that ends the run. If it does not (`-no-shutdown`), the machine is paused.
    pub fn over(&mut self) -> Option<Ending> {
        let ending = self.board.machine.ended()?;
        match ending {
            Ending::PowerOff | Ending::Reset if self.config.on_shutdown == OnShutdown::Pause => {
                self.tell_end(ending);
                self.stop_as(RunState::Paused);
                None
            }
            Ending::PowerOff | Ending::Reset | Ending::Exit(_) => {
                self.tell_end(ending);
                Some(ending)
            }
        }
    }

    /// Tells QMP's clients once that the guest has come to its end.
    fn tell_end(&mut self, ending: Ending) {
        if std::mem::replace(&mut self.told_end, true) {
            return;
        }
        let reason = match ending {
            Ending::Reset => ShutdownCause::GuestReset,
            Ending::PowerOff | Ending::Exit(_) => ShutdownCause::GuestShutdown,
        };
        self.tell(&ShutDown { guest: true, reason });
    }

    /// From now on, QMP's clients are told of some things at once.
    pub(super) fn tell_by(&mut self, teller: Option<Teller>) {
        self.teller = teller;
    }

    /// Something that QMP's clients are told before they are answered, as all that happened before.
    fn tell_first<E: Event>(&mut self, event: &E) {
        self.tell(event);
        if let Some(teller) = self.teller.clone() {
            self.take_happened().into_iter().for_each(|occurrence| teller.tell(occurrence));
        }
    }

    /// Something that QMP's clients are told, after they have been answered if it is they who made it happen.
    pub fn tell<E: Event>(&mut self, event: &E) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let timestamp = Timestamp { seconds: since.as_secs() as i64, microseconds: since.subsec_micros() };
        self.happened.push(Occurrence::new(event, timestamp));
    }

    /// Takes what QMP's clients have not been told yet, in order.
    pub(crate) fn take_happened(&mut self) -> Vec<Occurrence> {
        self.tell_resets();
        std::mem::take(&mut self.happened)
    }

    /// Tells of the resets that the guest itself has asked for.
    fn tell_resets(&mut self) {
        for _ in 0..self.board.machine.take_resets() {
            self.tell(&WasReset { guest: true, reason: ShutdownCause::GuestReset });
        }
    }

    /// Stops the machine where it is.
    pub fn stop(&mut self) -> Result<(), Denied> {
        self.not_while_dumping()?;
        // As with QEMU, what is suspended stays so and is nothing else besides.
        if !self.suspended() {
            self.stop_as(RunState::Paused);
        }
        Ok(())
    }

    /// Stops the machine where it is, for a reason that stays known.
    pub(crate) fn stop_as(&mut self, state: RunState) {
        if self.state == RunState::Running {
            self.state = state;
            self.tell_first(&Stopped {});
        }
    }

    /// Lets the machine run.
    pub fn resume(&mut self) -> Result<(), Denied> {
        self.not_while_dumping()?;
        if self.board.machine.ended().is_some() {
            return Err(Denied::Over);
        }
        if self.state != RunState::Running {
            self.state = RunState::Running;
            self.tell_first(&Resumed {});
        }
        Ok(())
    }

    /// Resets the machine. A stopped one stays stopped.
    pub fn reset(&mut self) -> Result<(), Denied> {
        self.tell_resets();
        let suspended = self.suspended();
        self.enter(Outside::Reset)?;
        self.board.machine.take_resets();
        self.told_end = false;
        self.tell(&WasReset { guest: false, reason: ShutdownCause::HostQmpSystemReset });
        if self.state != RunState::Running || suspended {
            self.state = RunState::Prelaunch;
        }
        Ok(())
    }

    /// Whether the machine is of a kind that guests can suspend, whether or not they are told how.
    pub fn can_suspend(&self) -> bool {
        self.config.machine.kind == MachineKind::Pc && self.config.machine.acpi
    }

    /// Wakes a suspended guest.
    pub fn wake_up(&mut self) -> Result<(), Denied> {
        if !self.suspended() {
            return Err(Denied::Awake);
        }
        self.enter(Outside::Wake).map(drop)
    }

    /// Sends every CPU a non-maskable interrupt.
    pub fn inject_nmi(&mut self) -> Result<(), Denied> {
        self.enter(Outside::Nmi).map(drop)
    }

    /// Chooses what the machine does when a watchdog bites.
    pub fn set_watchdog_action(&mut self, action: WatchdogAction) -> Result<(), Denied> {
        self.enter(Outside::WatchdogAction(action)).map(drop)
    }

    /// Chooses what the machine does when the guest says that it has panicked.
    pub fn set_panic_action(&mut self, action: PanicAction) -> Result<(), Denied> {
        self.enter(Outside::PanicAction(action)).map(drop)
    }

    /// Presses the power button.
    pub fn press_power_button(&mut self) -> Result<(), Denied> {
        let device = self.board.power_button.ok_or(Denied::Lacks("power button"))?;
        self.input(device, Input::PowerButton)?;
        self.tell(&PoweringDown {});
        Ok(())
    }

    /// Says what becomes of a guest that resets itself.
    pub fn on_reboot(&mut self, what: OnReboot) {
        self.config.on_reboot = what;
        self.board.machine.set_resets_end(what == OnReboot::Shutdown);
    }

    /// Presses or releases a key (see [`Input::Key`]).
    pub fn press_key(&mut self, code: u16, down: bool) -> Result<(), Denied> {
        let device = self.board.keyboard.ok_or(Denied::Lacks("keyboard"))?;
        self.input(device, Input::Key(code, down))
    }

    /// Types keys one after the other, each for this long (see [`Input::Typed`]).
    pub fn type_keys(&mut self, keys: Vec<(u16, bool)>, hold: Nanos) -> Result<(), Denied> {
        let device = self.board.keyboard.ok_or(Denied::Lacks("keyboard"))?;
        self.input(device, Input::Typed { keys, hold })
    }

    /// Moves the mouse or presses its buttons.
    pub fn move_mouse(&mut self, motion: MouseMotion) -> Result<(), Denied> {
        // Keyboard and mouse are behind one controller.
        let device = self.board.keyboard.ok_or(Denied::Lacks("mouse"))?;
        self.input(device, Input::Mouse(motion))
    }

    /// Brings something to a device.
    pub fn input(&mut self, device: DeviceId, input: Input) -> Result<(), Denied> {
        self.enter(Outside::Input { device, input }).map(drop)
    }

    /// Something from outside: through the gate, and into the log. Gives what a port read found.
    pub fn enter(&mut self, what: Outside) -> Result<Option<u64>, Denied> {
        let arrival = Arrival { tick: self.board.machine.now(), what: what.clone() };
        let found = self.board.machine.enter(what)?;
        self.log(&Entry::Arrival(arrival));
        Ok(found)
    }

    /// Ends the run.
    pub fn quit(&mut self, cause: QuitCause) {
        let reason = match cause {
            QuitCause::Key | QuitCause::Debugger => ShutdownCause::HostUi,
            QuitCause::Monitor | QuitCause::Qmp => ShutdownCause::HostQmpQuit,
            QuitCause::Signal(_) => ShutdownCause::HostSignal,
        };
        self.tell(&ShutDown { guest: false, reason });
        self.quit = Some(cause);
    }

    /// Who ended the run, if anyone has.
    pub fn quitting(&self) -> Option<QuitCause> {
        self.quit
    }

    /// Whether the run is written down or repeated, in a word.
    pub fn record_replay(&self) -> &RecordReplay {
        &self.config.icount.record_replay
    }

    /// Whether a log is being written.
    pub(super) fn records(&self) -> bool {
        self.recorder.is_some()
    }

    /// Adds a line to the log, if there is one. See [`Control::check_log`].
    pub(super) fn log(&mut self, entry: &Entry) {
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = recorder.write(entry).and_then(|()| recorder.flush())
        {
            self.log_failure.get_or_insert(error);
        }
    }

    /// Whether all that should be in the log has reached it: a recording with a hole in it is worth nothing.
    pub(super) fn check_log(&mut self) -> io::Result<()> {
        self.log_failure.take().map_or(Ok(()), Err)
    }
}
