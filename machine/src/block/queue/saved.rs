//! Requests in flight in a saved state.

use super::{Held, Progress, Queue, Request, judge, worker_of};
use crate::block::throttle::Group;
use lockstep_fabric::{BlockError, BlockOperation, DeviceId, StateError, Tick};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Queue {
    /// The requests in flight and what holds them back. Waits for the host, so that a state says nothing of how fast the
    /// host is.
    pub fn save(&self) -> SavedQueue {
        let throttled = self.drives.iter().filter_map(|(at, drive)| Some((*at, drive.throttle.clone()?))).collect();
        SavedQueue { requests: self.saved_requests(), throttles: self.throttles.clone(), throttled }
    }

    fn saved_requests(&self) -> Vec<SavedRequest> {
        let saved = self.pending.iter().map(|((due, _), request)| {
            let again = || SavedOutcome::Again((*request.operation).clone());
            let answer = match &request.progress {
                Progress::Known(known) => Err(Some(SavedOutcome::of(known))),
                Progress::ToAsk => Err(None),
                Progress::Asked(answer) => Ok(answer.look()),
                Progress::InCache => worker_of(&self.drives, request)
                    .map(|worker| worker.operate(request.operation.clone()).take())
                    .ok_or(None),
            };
            let outcome = match answer {
                Ok(Ok(data)) => SavedOutcome::of(&Ok(data)),
                Ok(Err(error)) => {
                    judge(&self.drives, request, &error).map_or_else(again, |known| SavedOutcome::of(&known))
                }
                Err(known) => known.unwrap_or_else(again),
            };
            let Request { asker: (device, drive), tag, held, .. } = *request;
            SavedRequest { due: *due, device, drive, tag, outcome, held }
        });
        saved.collect()
    }

    /// Replaces the requests in flight by what [`Queue::save`] gave.
    pub fn load(&mut self, saved: SavedQueue) -> Result<(), StateError> {
        let SavedQueue { requests: saved, throttles, throttled } = saved;
        let mut pending = BTreeMap::new();
        for (order, saved) in saved.into_iter().enumerate() {
            let SavedRequest { due, device, drive, tag, outcome, held } = saved;
            let (operation, progress) = match outcome {
                // What was asked for no longer matters.
                SavedOutcome::Data(hex) => (BlockOperation::Flush, Progress::Known(Ok(decode(&hex)?))),
                SavedOutcome::Error(error) => (BlockOperation::Flush, Progress::Known(Err(error))),
                SavedOutcome::Again(operation) => (operation, Progress::ToAsk),
            };
            let asker = (device, drive);
            let (device, drive) = self.owner(device, drive);
            let operation = Arc::new(operation);
            let request = Request { asker, device, drive, tag, operation, progress, made: due, held };
            pending.insert((due, order as u64), request);
        }
        self.order = pending.len() as u64;
        self.pending = pending;
        self.throttles = throttles;
        self.drives.values_mut().for_each(|drive| drive.throttle = None);
        for (at, group) in throttled {
            if let Some(drive) = self.drives.get_mut(&at) {
                drive.throttle = Some(group);
            }
        }
        Ok(())
    }
}

/// A machine's requests in flight, in a saved state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedQueue {
    requests: Vec<SavedRequest>,
    throttles: BTreeMap<String, Group>,
    /// The drives that are in a group.
    throttled: Vec<((DeviceId, u8), String)>,
}

/// A request in flight, in a saved state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedRequest {
    due: Tick,
    device: DeviceId,
    drive: u8,
    tag: u64,
    outcome: SavedOutcome,
    held: Option<Held>,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum SavedOutcome {
    /// It succeeds with these bytes, in hexadecimal: a request may be long, and JSON's numbers are longer.
    Data(String),
    /// It fails.
    Error(BlockError),
    /// The host is asked again.
    Again(BlockOperation),
}

impl SavedOutcome {
    fn of(known: &Result<Vec<u8>, BlockError>) -> Self {
        match known {
            Ok(data) => Self::Data(encode(data)),
            Err(error) => Self::Error(*error),
        }
    }
}

fn encode(data: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    data.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]).map(char::from).collect()
}

fn decode(hex: &str) -> Result<Vec<u8>, StateError> {
    let malformed =
        || StateError::Malformed { what: "block request".into(), why: "its data is not hexadecimal".into() };
    let digit = |b: &u8| char::from(*b).to_digit(16).map(|digit| digit as u8);
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    hex.as_bytes().chunks(2).map(byte).collect::<Option<_>>().ok_or_else(malformed)
}
