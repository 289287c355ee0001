//! What an operator can do to a machine, whoever speaks for him: a monitor today, QMP tomorrow.

use crate::board::Board;
use crate::chardev::QuitCause;
use crate::commandline::{Config, OnShutdown, RecordReplay};
use crate::machine::{CutOff, Ending};
use crate::record::{Entry, Recorder};
use lockstep_fabric::{Arrival, DeviceId, Input, Notice, Outside, WatchdogAction};
use std::collections::VecDeque;
use std::io;

/// How many news are kept for those who have not asked yet.
const NOTICES_MOST: usize = 1024;

/// Whether the machine is let run. That changes nothing that the guest can see: while it is not, no tick passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// Not started since it was built or reset.
    Prelaunch,
    /// Running.
    Running,
    /// Stopped by the operator, or over.
    Paused,
}

/// Why an operator's wish is not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nothing reaches the guest now.
    #[error(transparent)]
    CutOff(#[from] CutOff),
    /// The machine is over and cannot go on as it is.
    #[error("the machine is over: system_reset it first")]
    Over,
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
    state: RunState,
    recorder: Option<Recorder>,
    /// Devices' news that nobody has asked for yet.
    notices: VecDeque<(DeviceId, Notice)>,
    /// Why the log could not be written.
    log_failure: Option<io::Error>,
    quit: Option<QuitCause>,
}

impl Control {
    /// Takes a machine in hand, stopped if `-S` says so.
    pub fn new(config: &Config, board: Board, recorder: Option<Recorder>) -> Self {
        let state = if config.start_stopped { RunState::Prelaunch } else { RunState::Running };
        Self { board, config: config.clone(), state, recorder, notices: VecDeque::new(), log_failure: None, quit: None }
    }

    /// Whether the operator lets the machine run; it may be over all the same.
    pub fn state(&self) -> RunState {
        self.state
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
                self.state = RunState::Paused;
                None
            }
            Ending::PowerOff | Ending::Reset | Ending::Exit(_) => Some(ending),
        }
    }

    /// Stops the machine where it is.
    pub fn stop(&mut self) {
        if self.state == RunState::Running {
            self.state = RunState::Paused;
        }
    }

    /// Lets the machine run.
    pub fn resume(&mut self) -> Result<(), Denied> {
        if self.board.machine.ended().is_some() {
            return Err(Denied::Over);
        }
        self.state = RunState::Running;
        Ok(())
    }

    /// Resets the machine. A stopped one stays stopped.
    pub fn reset(&mut self) -> Result<(), Denied> {
        self.enter(Outside::Reset)?;
        if self.state == RunState::Paused {
            self.state = RunState::Prelaunch;
        }
        Ok(())
    }

    /// Sends every CPU a non-maskable interrupt.
    pub fn inject_nmi(&mut self) -> Result<(), Denied> {
        self.enter(Outside::Nmi).map(drop)
    }

    /// Chooses what the machine does when a watchdog bites.
    pub fn set_watchdog_action(&mut self, action: WatchdogAction) -> Result<(), Denied> {
        self.enter(Outside::WatchdogAction(action)).map(drop)
    }

    /// Presses the power button.
    pub fn press_power_button(&mut self) -> Result<(), Denied> {
        let device = self.board.power_button.ok_or(Denied::Lacks("power button"))?;
        self.input(device, Input::PowerButton)
    }

    /// Presses or releases a key (see [`Input::Key`]).
    pub fn press_key(&mut self, code: u16, down: bool) -> Result<(), Denied> {
        let device = self.board.keyboard.ok_or(Denied::Lacks("keyboard"))?;
        self.input(device, Input::Key(code, down))
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

    /// Takes the devices' news since last time, in order: for those who watch the machine (a port's news carry the number
    /// that `board.serial_ports` has it under). The oldest are forgotten when nobody asks.
    pub fn take_notices(&mut self) -> Vec<(DeviceId, Notice)> {
        std::mem::take(&mut self.notices).into()
    }

    pub(super) fn keep_notice(&mut self, device: DeviceId, notice: Notice) {
        if self.notices.len() >= NOTICES_MOST {
            self.notices.pop_front();
        }
        self.notices.push_back((device, notice));
    }

    /// Ends the run.
    pub fn quit(&mut self, cause: QuitCause) {
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
