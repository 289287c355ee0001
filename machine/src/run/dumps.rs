//! Dumps of the guest's memory that an operator asks for.

use super::session::POLL_EVERY;
use super::{Control, Denied};
use crate::chardev::Reporter;
use crate::dump::{self, LiveDump};
use lockstep_dump::{DumpError, Options, Progress, Summary, Target};
use lockstep_fabric::Tick;
use lockstep_qmp::commands::dump::{DumpCompleted, DumpQueryResult, DumpStatus};
use std::sync::Arc;

/// The latest dump, and the one that is being written.
#[derive(Debug, Default)]
pub struct Dumps {
    progress: Option<Arc<Progress>>,
    /// Why it was not written.
    failure: Option<String>,
    live: Option<LiveDump>,
    reporter: Option<Reporter>,
}

impl Dumps {
    /// How far the latest dump is.
    pub fn result(&self) -> DumpQueryResult {
        let Some(progress) = &self.progress else {
            return DumpQueryResult { status: DumpStatus::None, completed: 0, total: 0 };
        };
        let status = match (&self.live, &self.failure) {
            (Some(_), _) => DumpStatus::Active,
            (None, Some(_)) => DumpStatus::Failed,
            (None, None) => DumpStatus::Completed,
        };
        DumpQueryResult { status, completed: progress.completed() as i64, total: progress.total() as i64 }
    }

    /// Why the latest dump was not written, if that is so.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Whether one is being written while the guest runs on.
    pub fn in_progress(&self) -> bool {
        self.live.is_some()
    }
}

impl Control {
    /// From now on, dumps wake the machine's thread by this.
    pub(super) fn wake_by(&mut self, reporter: Reporter) {
        self.dumps.reporter = Some(reporter);
    }

    /// Refuses what must not be while a dump is written.
    pub(crate) fn not_while_dumping(&self) -> Result<(), Denied> {
        if self.dumps.in_progress() { Err(Denied::Dumping) } else { Ok(()) }
    }

    /// Writes a dump while the guest stands still, unless the user leaves meanwhile.
    pub fn dump(&mut self, options: &Options, target: Target) -> Result<Summary, DumpError> {
        let leaving = self.dumps.reporter.as_ref().map(Reporter::quitting).unwrap_or_default();
        let progress = Arc::new(Progress::unless(leaving));
        let result = dump::dump(&self.board.machine, options, target, &progress);
        self.dumps.progress = Some(progress);
        self.tell_dumped(&result);
        result
    }

    /// Begins a dump of the guest as it is now; the guest runs on while it is written.
    pub fn begin_dump(&mut self, options: &Options, target: Target) -> Result<(), DumpError> {
        let progress = Arc::new(Progress::default());
        let reporter = self.dumps.reporter.clone();
        let begun = LiveDump::begin(&mut self.board.machine, options, target, progress.clone(), reporter);
        self.dumps.progress = Some(progress);
        self.dumps.failure = begun.as_ref().err().map(ToString::to_string);
        self.dumps.live = Some(begun?);
        Ok(())
    }

    /// Hands out memory to a dump that is being written, and sees to its end. To be called between two slices.
    pub fn serve_dump(&mut self) {
        let Some(live) = &mut self.dumps.live else { return };
        if let Some(result) = live.serve(&mut self.board.machine.bus.memory) {
            self.dumps.live = None;
            self.tell_dumped(&result);
        }
    }

    /// Gives a dump up that is being written.
    pub(super) fn cancel_dump(&mut self) {
        if let Some(live) = self.dumps.live.take() {
            live.cancel(&mut self.board.machine.bus.memory);
            self.tell_dumped(&Err(DumpError::Cancelled));
        }
    }

    /// Whether [`Control::serve_dump`] is to be called again without waiting for anything.
    pub(super) fn dump_is_due(&self) -> bool {
        self.dumps.live.as_ref().is_some_and(LiveDump::is_due)
    }

    /// Whether the guest has to wait for the dump.
    pub(super) fn awaits_dump(&self) -> bool {
        self.dumps.live.as_ref().is_some_and(LiveDump::is_waited_for)
    }

    /// Whether the machine can execute now, and need not wait for a dump.
    pub(super) fn can_go_on(&self) -> bool {
        self.runs() && !self.awaits_dump()
    }

    /// The tick up to which the machine may run before the host is looked at again.
    pub(super) fn slice_end(&self) -> Tick {
        let machine = &self.board.machine;
        machine.now() + LiveDump::slice(&machine.bus.memory, POLL_EVERY)
    }

    fn tell_dumped(&mut self, result: &Result<Summary, DumpError>) {
        let error = result.as_ref().err().map(ToString::to_string);
        self.dumps.failure.clone_from(&error);
        self.tell(&DumpCompleted { result: self.dumps.result(), error });
    }
}
