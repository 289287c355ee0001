//! Requests in flight, as part of the machine's state.
//!
//! A request goes to the host when it is made and completes at a tick that is fixed then: its latency after now, but not
//! before those that its drive was asked earlier. If the host has not finished by that tick, the machine waits for it.

mod saved;

pub use saved::SavedQueue;

use super::drive::{Drive, DriveInfo, Verdict};
use super::image::Contents;
use super::latency;
use super::medium::Loaded;
use super::page_cache::Buffers;
use super::throttle::{Group, Load};
use super::worker::{Answer, HostError, Worker};
use lockstep_fabric::clock::NEVER;
use lockstep_fabric::{
    BlockCompletion, BlockError, BlockOperation, BlockRequest, Clock, DeviceId, Memory, StateError, ThrottleLimits,
    Tick,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A request that the host could not do, where the drive's policy is to stop the machine. It is tried again when the
/// machine goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The device that asked.
    pub device: DeviceId,
    /// The drive's name on the command line.
    pub id: String,
    /// What was asked: `read`, `write` or `flush`.
    pub operation: &'static str,
    /// The kind of error.
    pub error: BlockError,
    /// The host's word.
    pub why: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "drive {}: {}: {}", self.id, self.operation, self.why)
    }
}

/// What came due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// A request is done.
    Done(DeviceId, BlockCompletion),
    /// The bytes of a read can be had; [`Queue::place`] takes them.
    Ready {
        /// Who asked.
        device: DeviceId,
        /// What it calls the drive.
        drive: u8,
        /// What it calls the request.
        tag: u64,
    },
    /// The machine must stop.
    Fault(Fault),
}

/// How far the host is with a request.
enum Progress {
    /// It was asked.
    Asked(Arc<Answer>),
    /// A read of what the host has in its cache: the bytes are taken from there when they are due.
    InCache,
    /// It failed and must be asked again.
    ToAsk,
    /// The result is known.
    Known(Result<Vec<u8>, BlockError>),
}

struct Request {
    /// Who asked, and what it calls the drive.
    asker: (DeviceId, u8),
    /// Whom the drive is attached to.
    device: DeviceId,
    drive: u8,
    tag: u64,
    operation: Arc<BlockOperation>,
    progress: Progress,
    /// When it was made.
    made: Tick,
    /// If limits hold it back: what it is to them, and until when.
    held: Option<Held>,
}

/// A request that had to wait for its drive's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    load: Load,
    starts: Tick,
    /// How long it takes from then on, whatever its drive was asked earlier.
    takes: Tick,
}

/// Drives by whom they are attached to.
type Drives = BTreeMap<(DeviceId, u8), Drive>;

/// A read of fewer bytes is not worth asking the device where they go.
const WORTH_PLACING: u64 = 16 << 10;

/// The drives of a machine's devices and the requests to them.
#[derive(Default)]
pub struct Queue {
    drives: Drives,
    /// Drives that a device reaches beside the one that they are attached to.
    shared: BTreeMap<(DeviceId, u8), (DeviceId, u8)>,
    /// By due tick, then in the order of asking.
    pending: BTreeMap<(Tick, u64), Request>,
    order: u64,
    buffers: Buffers,
    /// The groups of throttled drives, by name.
    throttles: BTreeMap<String, Group>,
}

impl Queue {
    /// Puts a drive behind a device, as its drive number `slot`.
    pub fn attach(&mut self, device: DeviceId, slot: u8, drive: Drive) {
        self.drives.insert((device, slot), drive);
    }

    /// Takes a device that is gone from its drives, and forgets what it asked of them.
    pub fn detach(&mut self, device: DeviceId) -> Vec<(u8, Drive)> {
        self.pending.retain(|_, request| request.device != device && request.asker.0 != device);
        self.shared.retain(|sharer, of| sharer.0 != device && of.0 != device);
        let slots: Vec<_> = self.drives.keys().filter(|(owner, _)| *owner == device).map(|(_, slot)| *slot).collect();
        slots.into_iter().filter_map(|slot| Some((slot, self.drives.remove(&(device, slot))?))).collect()
    }

    /// Lets a device reach a drive that is attached to another one, as its own drive number `slot`. Both ask one queue, so that
    /// neither overtakes the other.
    pub fn share(&mut self, device: DeviceId, slot: u8, of: (DeviceId, u8)) {
        self.shared.insert((device, slot), of);
    }

    /// Whom the drive that a device calls `slot` is attached to.
    fn owner(&self, device: DeviceId, slot: u8) -> (DeviceId, u8) {
        self.shared.get(&(device, slot)).copied().unwrap_or((device, slot))
    }

    /// Puts another image into the drive that is attached to a device, or none.
    pub fn exchange(&mut self, device: DeviceId, slot: u8, loaded: Option<Loaded>) {
        self.take_from_cache((device, slot));
        for request in self.pending.values_mut().filter(|r| (r.device, r.drive) == (device, slot)) {
            // What the image before could not do the next one is not asked.
            if matches!(request.progress, Progress::ToAsk) {
                request.progress = Progress::Known(Err(BlockError::NoMedium));
            }
        }
        if let Some(drive) = self.drives.get_mut(&(device, slot)) {
            drive.exchange(loaded);
        }
    }

    /// Changes the length of the image in a drive; see [`Queue::resized`].
    pub fn resize_image(&mut self, device: DeviceId, slot: u8, bytes: u64) -> std::io::Result<u64> {
        self.take_from_cache((device, slot));
        let drive = self.drives.get(&(device, slot));
        drive.map_or_else(|| Err(std::io::ErrorKind::NotFound.into()), |drive| drive.resize_image(bytes))
    }

    /// From now on requests reach so far.
    pub fn resized(&mut self, device: DeviceId, slot: u8, bytes: u64) {
        if let Some(drive) = self.drives.get_mut(&(device, slot)) {
            drive.resized(bytes);
        }
    }

    /// Every device that reaches the drive that is attached to one, and what it calls it.
    pub fn reached_by(&self, device: DeviceId, slot: u8) -> Vec<(DeviceId, u8)> {
        let sharers = self.shared.iter().filter(|(_, of)| **of == (device, slot)).map(|(sharer, _)| *sharer);
        std::iter::once((device, slot)).chain(sharers).collect()
    }

    /// The drive that is attached to a device.
    pub fn drive(&self, device: DeviceId, slot: u8) -> Option<&Drive> {
        self.drives.get(&(device, slot))
    }

    /// What is known of a device's drive.
    pub fn info(&self, device: DeviceId, slot: u8) -> Option<&DriveInfo> {
        self.drives.get(&(device, slot)).map(Drive::info)
    }

    /// Every drive and whom it is attached to.
    pub fn drives(&self) -> impl Iterator<Item = (DeviceId, u8, &Drive)> {
        self.drives.iter().map(|((device, slot), drive)| (*device, *slot, drive))
    }

    /// The tick at which the next request is due, or [`NEVER`].
    pub fn next_due(&self) -> Tick {
        self.pending.first_key_value().map_or(NEVER, |((due, _), _)| *due)
    }

    /// Takes a request that a device makes now.
    pub fn submit(&mut self, clock: &Clock, device: DeviceId, request: BlockRequest) {
        let BlockRequest { drive, tag, operation } = request;
        let asker = (device, drive);
        let (device, drive) = self.owner(device, drive);
        let refused = self.drives.get(&(device, drive)).map_or(Some(BlockError::NoMedium), |d| d.refuses(&operation));
        let nanos = if refused.is_some() { latency::ACCESS } else { latency::of(&operation) };
        let ticks = nanos.div_ceil(1 << clock.shift());
        let made = clock.now();
        if !matches!(operation, BlockOperation::Read { .. }) {
            self.take_from_cache((device, drive));
        }
        let load = Load::of(&operation).filter(|_| refused.is_none());
        let held = load.and_then(|load| self.admit(clock, (device, drive), load, ticks));
        let mut request = Request {
            asker,
            device,
            drive,
            tag,
            operation: Arc::new(operation),
            progress: Progress::ToAsk,
            made,
            held,
        };
        let due = self.due(&request, made, ticks);
        match refused {
            Some(error) => request.progress = Progress::Known(Err(error)),
            None if self.may_wait_in_cache(&request) => request.progress = Progress::InCache,
            None => begin(&self.drives, &mut self.buffers, &mut request),
        }
        self.pending.insert((due, self.order), request);
        self.order += 1;
    }

    /// When a request is done that takes so long, once it may start: not before those that its drive was asked earlier, but
    /// reads that are held back do not hold writes, nor the other way round.
    fn due(&self, request: &Request, now: Tick, takes: Tick) -> Tick {
        let direction = |request: &Request| request.held.map(|held| held.load.direction);
        let apart = |other: &Request| {
            direction(other).is_some_and(|held| Load::of(&request.operation).is_some_and(|load| load.direction != held))
        };
        let same_drive = |other: &Request| (other.device, other.drive) == (request.device, request.drive);
        let before = self.pending.iter().rev().find(|(_, other)| same_drive(other) && !apart(other));
        let starts = request.held.map_or(now, |held| held.starts);
        starts.saturating_add(takes).max(before.map_or(0, |((due, _), _)| *due))
    }

    /// Until when a drive's limits hold a request back that is made now and takes so long.
    fn admit(&mut self, clock: &Clock, drive: (DeviceId, u8), load: Load, takes: Tick) -> Option<Held> {
        let now = clock.now().checked_shl(clock.shift())?;
        let mut starts = now;
        for group in self.drives.get(&drive)?.throttles() {
            if let Some(group) = self.throttles.get_mut(group) {
                starts = group.admit(starts, load);
            }
        }
        (starts > now).then(|| Held { load, starts: starts.div_ceil(1 << clock.shift()), takes })
    }

    /// Says what a group of throttled drives may do. What is held back is looked at anew.
    pub fn throttle(&mut self, clock: &Clock, name: &str, limits: ThrottleLimits) {
        self.throttles.insert(name.to_owned(), Group::new(limits));
        self.hold_anew(clock);
    }

    /// Puts a drive into a group, or takes it out of its group.
    pub fn throttle_drive(&mut self, clock: &Clock, device: DeviceId, slot: u8, group: Option<String>) {
        if let Some(drive) = self.drives.get_mut(&(device, slot)) {
            drive.throttle = group;
            self.hold_anew(clock);
        }
    }

    /// The groups of throttled drives that there are.
    pub fn throttles(&self) -> &BTreeMap<String, Group> {
        &self.throttles
    }

    /// Lets all requests that have not started yet wait again, in their order and by the limits as they are now.
    fn hold_anew(&mut self, clock: &Clock) {
        let now = clock.now();
        let waits = |request: &Request| request.held.is_some_and(|held| held.starts > now);
        let waiting: Vec<_> = self.pending.extract_if(.., |_, request| waits(request)).collect();
        for (_, mut request) in waiting {
            let Some(Held { load, takes, .. }) = request.held else { continue };
            request.held = self.admit(clock, (request.device, request.drive), load, takes);
            let due = self.due(&request, now, takes);
            self.pending.insert((due, self.order), request);
            self.order += 1;
        }
    }

    /// Whether something was asked of the host that may be waited for: not if all that was is held back until later.
    pub fn awaits_host(&self, now: Tick) -> bool {
        self.pending.values().any(|request| request.held.is_none_or(|held| held.starts <= now))
    }

    /// Whether a request is a read that is worth leaving in the host's cache until it is due: then it is copied once, to
    /// where the guest wants it.
    fn may_wait_in_cache(&self, request: &Request) -> bool {
        let BlockOperation::Read { offset, len } = *request.operation else { return false };
        len >= WORTH_PLACING && worker_of(&self.drives, request).is_some_and(|worker| worker.seems_cached(offset, len))
    }

    /// Reads now what a drive's earlier reads left in the host's cache: it is about to change.
    fn take_from_cache(&mut self, whose: (DeviceId, u8)) {
        let left = |request: &&mut Request| {
            (request.device, request.drive) == whose && matches!(request.progress, Progress::InCache)
        };
        for request in self.pending.values_mut().filter(left) {
            begin(&self.drives, &mut self.buffers, request);
        }
    }

    /// Ends the read that [`Due::Ready`] told of: its bytes go to these ranges of guest memory (addresses and lengths), if
    /// there are any and the bytes fill them, and come with the completion otherwise. `None` if the host no longer has them
    /// at hand: then it was asked for them.
    pub fn place(&mut self, spans: Option<&[(u64, u64)]>, memory: &mut Memory) -> Option<(DeviceId, BlockCompletion)> {
        let (at, request) = self.pending.iter_mut().next()?;
        let at = *at;
        let placed = spans.is_some_and(|spans| place_cached(&self.drives, request, spans, memory));
        let data = if placed { Some(Vec::new()) } else { read_cached(&self.drives, &mut self.buffers, request) };
        let Some(data) = data else {
            ask(&self.drives, request);
            return None;
        };
        self.end(at, Ok(data))
    }

    /// Takes back the bytes of a request that is done.
    pub fn recycle(&mut self, completion: BlockCompletion) {
        if let Ok(data) = completion.result {
            self.buffers.give(data);
        }
    }

    /// Takes the next request that is due at `now`, waiting for the host if need be. After a [`Due::Fault`] the next call
    /// tries again.
    pub fn complete(&mut self, now: Tick) -> Option<Due> {
        let (at, request) = self.pending.iter_mut().next().filter(|((due, _), _)| *due <= now)?;
        let at = *at;
        if matches!(request.progress, Progress::ToAsk) {
            if let Some(drive) = self.drives.get_mut(&(request.device, request.drive)) {
                drive.stopped_by = None;
            }
            ask(&self.drives, request);
        }
        if matches!(request.progress, Progress::InCache) {
            let (device, drive) = request.asker;
            return Some(Due::Ready { device, drive, tag: request.tag });
        }
        let result = match std::mem::replace(&mut request.progress, Progress::ToAsk) {
            Progress::Asked(answer) => match answer.take() {
                Ok(data) => Ok(data),
                Err(error) => match judge(&self.drives, request, &error) {
                    Some(known) => known,
                    None => return Some(Due::Fault(self.stop(&error))),
                },
            },
            Progress::Known(known) => known,
            Progress::InCache | Progress::ToAsk => Err(BlockError::NoMedium),
        };
        self.end(at, result).map(|(device, completion)| Due::Done(device, completion))
    }

    /// Takes a request out, and says with what it ends and for whom.
    fn end(&mut self, at: (Tick, u64), result: Result<Vec<u8>, BlockError>) -> Option<(DeviceId, BlockCompletion)> {
        let Request { asker, device, drive, tag, operation, made, .. } = self.pending.remove(&at)?;
        if let Some(drive) = self.drives.get_mut(&(device, drive)) {
            drive.statistics.count(&operation, result.as_ref().map(|_| ()), at.0.saturating_sub(made), at.0);
        }
        let (device, drive) = asker;
        Some((device, BlockCompletion { drive, tag, result }))
    }

    /// The request at the head failed. All later ones of its drive that change something are asked again after it, so
    /// that what it writes never lands on what they wrote.
    fn stop(&mut self, error: &HostError) -> Fault {
        let mut requests = self.pending.values_mut();
        let Some(head) = requests.next() else { return fault(DeviceId(0), String::new(), "request", error) };
        head.progress = Progress::ToAsk;
        let whose = (head.device, head.drive);
        for later in requests.filter(|r| (r.device, r.drive) == whose) {
            if matches!(later.progress, Progress::Asked(_)) && !matches!(*later.operation, BlockOperation::Read { .. })
            {
                later.progress = Progress::ToAsk;
            }
        }
        let name = match *head.operation {
            BlockOperation::Read { .. } => "read",
            BlockOperation::Write { .. } | BlockOperation::WriteZeroes { .. } | BlockOperation::Discard { .. } => {
                "write"
            }
            BlockOperation::Flush => "flush",
        };
        let stopped = |drive: &mut Drive| {
            drive.stopped_by = Some(error.error);
            drive.info().id.clone()
        };
        let id = self.drives.get_mut(&whose).map_or_else(String::new, stopped);
        fault(whose.0, id, name, error)
    }

    /// Forgets all requests: the machine was reset. What the host was asked it still does, before anything asked later.
    pub fn forget(&mut self) {
        self.pending.clear();
        self.throttles.values_mut().for_each(Group::empty);
    }

    /// What the overlays of drives hold: part of a snapshot, beside the state.
    pub fn overlays(&self) -> Result<Vec<(DeviceId, u8, Contents)>, StateError> {
        let mut all = Vec::new();
        for ((device, slot), drive) in &self.drives {
            let Some(worker) = &drive.worker else { continue };
            let contents = worker.export().map_err(|error| of_drive(drive, &error.to_string()))?;
            all.extend(contents.map(|contents| (*device, *slot, contents)));
        }
        Ok(all)
    }

    /// Replaces what the overlays hold by what [`Queue::overlays`] gave.
    pub fn replace_overlays(&mut self, overlays: &[(DeviceId, u8, Contents)]) -> Result<(), StateError> {
        for (device, slot, contents) in overlays {
            let missing =
                || StateError::Malformed { what: format!("drive {slot}"), why: "there is no such drive".into() };
            self.take_from_cache((*device, *slot));
            let drive = self.drives.get_mut(&(*device, *slot)).ok_or_else(missing)?;
            let worker = drive.worker.as_ref().ok_or_else(missing)?;
            worker.import(contents.clone()).map_err(|error| of_drive(drive, &error.to_string()))?;
            drive.resized(contents.len);
        }
        Ok(())
    }
}

fn worker_of<'a>(drives: &'a Drives, request: &Request) -> Option<&'a Worker> {
    drives.get(&(request.device, request.drive))?.worker.as_ref()
}

/// The bytes that a request asks for, if they can be had without waiting.
fn read_cached(drives: &Drives, buffers: &mut Buffers, request: &Request) -> Option<Vec<u8>> {
    let BlockOperation::Read { offset, len } = *request.operation else { return None };
    let worker = worker_of(drives, request).filter(|worker| worker.has_cache())?;
    let mut data = buffers.take(usize::try_from(len).ok()?);
    if worker.read_cached(offset, &mut [&mut data]) {
        return Some(data);
    }
    buffers.give(data);
    None
}

/// Reads into these ranges of guest memory what a request asks for, if that can be had without waiting and fills them.
fn place_cached(drives: &Drives, request: &Request, spans: &[(u64, u64)], memory: &mut Memory) -> bool {
    let BlockOperation::Read { offset, len } = *request.operation else { return false };
    let Some(worker) = worker_of(drives, request) else { return false };
    let fills = spans.iter().try_fold(0u64, |sum, (_, len)| sum.checked_add(*len)) == Some(len);
    fills && memory.slices_mut(spans).is_some_and(|mut slices| worker.read_cached(offset, &mut slices))
}

/// Has the host begin with a request, or ends it at once if it is a read of what the host has in its cache.
fn begin(drives: &Drives, buffers: &mut Buffers, request: &mut Request) {
    match read_cached(drives, buffers, request) {
        Some(data) => request.progress = Progress::Known(Ok(data)),
        None => ask(drives, request),
    }
}

fn ask(drives: &Drives, request: &mut Request) {
    request.progress = match worker_of(drives, request) {
        Some(worker) => Progress::Asked(worker.operate(request.operation.clone())),
        None => Progress::Known(Err(BlockError::NoMedium)),
    };
}

/// What the guest is told of a host's error; `None` if the machine stops instead.
fn judge(drives: &Drives, request: &Request, error: &HostError) -> Option<Result<Vec<u8>, BlockError>> {
    let policy = drives.get(&(request.device, request.drive)).map(|drive| drive.policy).unwrap_or_default();
    match (policy.judge(&request.operation, error.error), &*request.operation) {
        (Verdict::Report, _) => Some(Err(error.error)),
        (Verdict::Ignore, BlockOperation::Read { len, .. }) => Some(Ok(vec![0; *len as usize])),
        (Verdict::Ignore, _) => Some(Ok(Vec::new())),
        (Verdict::Stop, _) => None,
    }
}

fn fault(device: DeviceId, id: String, operation: &'static str, error: &HostError) -> Fault {
    Fault { device, id, operation, error: error.error, why: error.why.clone() }
}

fn of_drive(drive: &Drive, why: &str) -> StateError {
    StateError::Malformed { what: format!("drive {}", drive.info().id), why: why.into() }
}
