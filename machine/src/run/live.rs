//! A run with live sources.

use super::session::Session;
use super::{Ended, RunError, RunState};
use crate::block::Fault;
use crate::commandline::RecordReplay;
use crate::machine::Stop;
use crate::record::{DIGEST_EVERY, Entry};
use lockstep_fabric::Tick;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

impl Session {
    /// Runs until the guest or the user ends it.
    pub(super) fn live(&mut self) -> Result<Ended, RunError> {
        loop {
            let over = self.control.over();
            self.qmp.tell(&mut self.control);
            if let Some(ending) = over {
                return Ok(Ended::Guest(ending));
            }
            if self.control.can_go_on() || self.control.dump_is_due() {
                self.take_events()?;
            } else {
                self.await_event()?;
            }
            if let Some(cause) = self.control.quitting() {
                return Ok(Ended::Host(cause));
            }
            self.serve_dump();
            if !self.control.can_go_on() {
                continue;
            }
            let until = self.next_digest.min(self.control.slice_end());
            let machine = &mut self.control.board.machine;
            match machine.run(until) {
                Stop::Reached => self.take_digest()?,
                Stop::Output | Stop::Ended(_) => self.pass_output(),
                // What waits for room that the guest has made now wakes it, and news are told before a long sleep.
                Stop::Idle(_) if self.feed_ports() | self.pass_news() => {}
                Stop::Idle(_) if self.control.dump_is_due() => {}
                Stop::Idle(next) => self.idle(next)?,
                Stop::Fault(fault) => self.fault(fault)?,
                Stop::Debug(stop) => self.control.debug_stop(stop),
            }
            self.feed_ports();
            self.pass_news();
            self.debugger.follow(&mut self.control);
        }
    }

    fn take_digest(&mut self) -> Result<(), RunError> {
        if self.control.board.machine.now() < self.next_digest {
            return Ok(());
        }
        let digest = self.digester.digest(&mut self.control.board.machine)?;
        self.next_digest = digest.tick + DIGEST_EVERY;
        self.control.log(&Entry::digest(digest));
        Ok(self.control.check_log()?)
    }

    /// The host could not do what a drive was asked: the machine stops until the operator lets it go on, and then tries
    /// again. A recording ends here, since what the host could not do is not in it.
    fn fault(&mut self, fault: Fault) -> Result<(), RunError> {
        if *self.control.record_replay() != RecordReplay::Off {
            return Err(RunError::Drive(fault));
        }
        eprintln!("lockstep: {fault}: the machine is stopped ('cont' tries again)");
        self.control.stop_as(RunState::IoError);
        Ok(())
    }

    /// Lets the time of an idle guest pass: asleep on the host, or at once with `sleep=off` or when it waits
    /// for a drive.
    fn idle(&mut self, next: Tick) -> Result<(), RunError> {
        let icount = &self.control.config.icount;
        let (sleep, shift) = (icount.sleep, u32::from(icount.shift));
        let machine = &mut self.control.board.machine;
        let now = machine.now();
        let next = next.min(self.next_digest);
        if next != Tick::MAX && (!sleep || machine.awaits_drive()) {
            machine.skip_to(next);
            return Ok(());
        }
        let begun = Instant::now();
        let event = if next == Tick::MAX {
            self.events.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            self.events.recv_timeout(Duration::from_nanos((next - now) << shift))
        };
        let slept = if sleep { begun.elapsed().as_nanos() as u64 >> shift } else { 0 };
        match event {
            Ok(event) => {
                machine.skip_to(next.min(now.saturating_add(slept)));
                self.handle(event)
            }
            Err(_) => {
                machine.skip_to(if next == Tick::MAX { now } else { next });
                Ok(())
            }
        }
    }
}
