//! A run that follows a log, with live sources cut off.

use super::session::Session;
use super::{Control, Ended, RunError, RunState};
use crate::block::Insertion;
use crate::machine::{Ending, Stop};
use crate::plug::Plugged;
use crate::record::{Entry, Log};
use lockstep_fabric::{Arrival, Outside, Tick};

impl Session {
    /// Follows a log up to its end or the first difference. The operator may stop it, look around and go on.
    pub(super) fn replay(&mut self, log: &Log) -> Result<Ended, RunError> {
        self.control.board.machine.gate.close();
        for entry in &log.entries {
            let ended = self.follow_to(entry.tick())?;
            if let Some(cause) = self.control.quitting() {
                return Ok(Ended::Host(cause));
            }
            match entry {
                Entry::End { ending, hash, .. } if *ending == ended => {
                    self.compare(hash)?;
                    return Ok(ended.map_or(Ended::LogEnds, Ended::Guest));
                }
                Entry::Digest { hash, .. } if ended.is_none() => self.compare(hash)?,
                // A machine that is over can still be reset.
                Entry::Arrival(arrival) if arrival.tick == self.control.board.machine.now() => {
                    self.load_medium(arrival)?;
                    self.resize_image(arrival)?;
                    self.check_plug(arrival)?;
                    self.control.board.machine.gate.schedule(arrival.clone());
                }
                entry => {
                    return Err(RunError::Diverged {
                        tick: self.control.board.machine.now(),
                        recorded: format!("{entry:?}"),
                        replayed: ended
                            .map_or("the guest runs on".into(), |ending| format!("the guest ended: {ending:?}")),
                    });
                }
            }
        }
        let now = self.control.board.machine.now();
        eprintln!("lockstep: replay: the log is cut short at tick {now}; all of it was followed");
        Ok(Ended::LogEnds)
    }

    /// Opens what an arrival puts into a drive.
    fn load_medium(&mut self, arrival: &Arrival) -> Result<(), RunError> {
        let Outside::Medium { device, drive, image } = &arrival.what else { return Ok(()) };
        let machine = &mut self.control.board.machine;
        let not_as_recorded = |what: String| RunError::NotAsRecorded { what };
        let loaded = match image {
            Some(text) => {
                let insertion: Insertion =
                    serde_json::from_str(text).map_err(|why| not_as_recorded(why.to_string()))?;
                let info = machine.drive_info(*device, *drive);
                let info = info.ok_or_else(|| not_as_recorded("a drive whose medium was changed".into()))?.clone();
                Some(insertion.again(&info).map_err(|why| not_as_recorded(why.to_string()))?)
            }
            None => None,
        };
        machine.load_medium(loaded);
        Ok(())
    }

    /// Makes an image as long as it was made.
    fn resize_image(&mut self, arrival: &Arrival) -> Result<(), RunError> {
        let Outside::Resize { device, drive, bytes } = arrival.what else { return Ok(()) };
        let len = self.control.board.machine.resize_image(device, drive, bytes);
        let not_as_recorded = |what: String| RunError::NotAsRecorded { what };
        match len {
            Ok(len) if len == bytes => Ok(()),
            Ok(len) => Err(not_as_recorded(format!("the length of a drive: {len} bytes"))),
            Err(why) => Err(not_as_recorded(format!("the length of a drive ({why})"))),
        }
    }

    /// Sees to it that a device can be plugged in as it was.
    fn check_plug(&mut self, arrival: &Arrival) -> Result<(), RunError> {
        let Outside::Plug { device } = &arrival.what else { return Ok(()) };
        let not_as_recorded = |what: String| RunError::NotAsRecorded { what };
        let plugged: Plugged = serde_json::from_str(device).map_err(|why| not_as_recorded(why.to_string()))?;
        let Plugged::Function(plug) = plugged else { return Ok(()) };
        let checked = self.control.board.machine.check_plug(&plug);
        checked.map_err(|why| not_as_recorded(format!("{} ({why})", plug.device.origin)))
    }

    /// Runs up to `tick`, or until the guest ends or the user leaves.
    fn follow_to(&mut self, tick: Tick) -> Result<Option<Ending>, RunError> {
        loop {
            let goes_on = |control: &Control| control.state() == RunState::Running && !control.awaits_dump();
            if goes_on(&self.control) || self.control.dump_is_due() {
                self.take_events()?;
            } else {
                self.await_event()?;
            }
            if self.control.quitting().is_some() {
                return Ok(None);
            }
            self.serve_dump();
            if !goes_on(&self.control) {
                continue;
            }
            let pause = self.control.replay_break.unwrap_or(Tick::MAX);
            let until = tick.min(self.control.slice_end()).min(pause);
            let machine = &mut self.control.board.machine;
            let stop = machine.run_through(until);
            let now = machine.now();
            self.pass_output();
            self.follow_plugging();
            if now >= pause && self.control.stop().is_ok() {
                self.control.replay_break = None;
            }
            if let Stop::Debug(stop) = stop {
                self.control.debug_stop(stop);
            }
            self.debugger.follow(&mut self.control);
            match stop {
                Stop::Ended(ending) => return Ok(Some(ending)),
                Stop::Fault(fault) => return Err(RunError::Drive(fault)),
                Stop::Reached if now >= tick => return Ok(None),
                Stop::Reached | Stop::Output | Stop::Idle(_) | Stop::Debug(_) => {}
            }
        }
    }

    fn compare(&mut self, recorded: &str) -> Result<(), RunError> {
        let digest = self.digester.digest(&mut self.control.board.machine)?;
        let replayed = format!("{:032x}", digest.hash);
        if replayed == recorded {
            return Ok(());
        }
        Err(RunError::Diverged { tick: digest.tick, recorded: recorded.into(), replayed })
    }
}
