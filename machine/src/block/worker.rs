//! A drive's thread on the host: it does what it is sent, in order, so that the machine's thread never waits for a disk
//! before it must.

use super::image::{Contents, Image};
use super::page_cache::Cached;
use crate::commandline::{Cache, DetectZeroes, ImageConfig};
use lockstep_fabric::{BlockError, BlockOperation};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// What the host could not do, and its word for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostError {
    pub(super) error: BlockError,
    pub(super) why: String,
}

/// The bytes read (none for other operations), or why not.
pub(super) type Outcome = Result<Vec<u8>, HostError>;

impl From<io::Error> for HostError {
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                BlockError::NoSpace
            }
            _ => BlockError::Io,
        };
        Self { error: kind, why: error.to_string() }
    }
}

/// Where the outcome of one request appears.
#[derive(Default)]
pub(super) struct Answer {
    outcome: Mutex<Option<Outcome>>,
    told: Condvar,
}

impl Answer {
    /// Waits for the outcome and leaves it there.
    pub(super) fn look(&self) -> Outcome {
        let held = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        let held = self.told.wait_while(held, |outcome| outcome.is_none()).unwrap_or_else(PoisonError::into_inner);
        held.clone().unwrap_or_else(|| Err(gone()))
    }

    /// Waits for the outcome and takes it; to be called once.
    pub(super) fn take(&self) -> Outcome {
        let held = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        let mut held = self.told.wait_while(held, |outcome| outcome.is_none()).unwrap_or_else(PoisonError::into_inner);
        held.take().unwrap_or_else(|| Err(gone()))
    }

    fn tell(&self, outcome: Outcome) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        self.told.notify_all();
    }
}

fn gone() -> HostError {
    HostError { error: BlockError::Io, why: "the drive's thread is gone".into() }
}

/// The end of a job that must be told to someone, even if the image's code panics.
struct Promise(Option<Arc<Answer>>);

impl Promise {
    fn keep(mut self, outcome: Outcome) {
        if let Some(answer) = self.0.take() {
            answer.tell(outcome);
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if let Some(answer) = self.0.take() {
            answer.tell(Err(gone()));
        }
    }
}

enum Job {
    Operate(Arc<BlockOperation>, Promise),
    Export(Sender<io::Result<Option<Contents>>>),
    Import(Contents, Sender<io::Result<()>>),
    Resize(u64, Sender<io::Result<u64>>),
}

/// How requests are carried out on an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handling {
    pub(super) cache: Cache,
    pub(super) unmap: bool,
    pub(super) detect_zeroes: DetectZeroes,
    pub(super) read_only: bool,
}

impl Handling {
    pub(super) fn of(config: &ImageConfig, read_only: bool) -> Self {
        Self { cache: config.cache, unmap: config.unmap, detect_zeroes: config.detect_zeroes, read_only }
    }
}

/// The thread. Dropped, it finishes what it was sent, flushes and closes the image.
pub(super) struct Worker {
    jobs: Option<Sender<Job>>,
    /// Jobs that it was sent and has not done.
    left: Arc<AtomicUsize>,
    cached: Option<Cached>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub(super) fn start(name: &str, image: Box<dyn Image>, handling: Handling) -> io::Result<Self> {
        let (jobs, todo) = channel();
        let drive = name.to_owned();
        let cached = image.cached();
        let left = Arc::new(AtomicUsize::new(0));
        let done = left.clone();
        let thread = thread::Builder::new().name(format!("drive {name}")).spawn(move || {
            work(image, handling, &todo, &done, &drive);
        })?;
        Ok(Self { jobs: Some(jobs), left, cached, thread: Some(thread) })
    }

    /// Reads at once, if nothing that was started before is unfinished and the host has all of it in its cache.
    pub(super) fn read_cached(&self, offset: u64, into: &mut [&mut [u8]]) -> bool {
        self.is_idle() && self.cached.as_ref().is_some_and(|cached| cached.read(offset, into))
    }

    /// Whether [`Worker::read_cached`] is likely to succeed.
    pub(super) fn seems_cached(&self, offset: u64, len: u64) -> bool {
        self.is_idle() && self.cached.as_ref().is_some_and(|cached| cached.seems_to_hold(offset, len))
    }

    fn is_idle(&self) -> bool {
        self.left.load(Ordering::Acquire) == 0
    }

    /// Whether [`Worker::read_cached`] can ever succeed.
    pub(super) fn has_cache(&self) -> bool {
        self.cached.is_some()
    }

    /// Starts an operation; those of one drive are done in the order of starting.
    pub(super) fn operate(&self, operation: Arc<BlockOperation>) -> Arc<Answer> {
        let answer = Arc::new(Answer::default());
        self.send(Job::Operate(operation, Promise(Some(answer.clone()))));
        answer
    }

    /// The overlay's content after all that was started; `None` if writes go to the image itself.
    pub(super) fn export(&self) -> io::Result<Option<Contents>> {
        let (reply, answer) = channel();
        self.send(Job::Export(reply));
        answer.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
    }

    /// Replaces the overlay's content after all that was started.
    pub(super) fn import(&self, contents: Contents) -> io::Result<()> {
        let (reply, answer) = channel();
        self.send(Job::Import(contents, reply));
        answer.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
    }

    /// Changes the image's length after all that was started; gives the length that it has then.
    pub(super) fn resize(&self, bytes: u64) -> io::Result<u64> {
        let (reply, answer) = channel();
        self.send(Job::Resize(bytes, reply));
        answer.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            self.left.fetch_add(1, Ordering::Relaxed);
            // A thread that is gone drops the job, and that tells whoever waits.
            let _ = jobs.send(job);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked, its requests have failed already.
            let _ = thread.join();
        }
    }
}

fn work(mut image: Box<dyn Image>, handling: Handling, todo: &Receiver<Job>, left: &AtomicUsize, drive: &str) {
    for job in todo {
        match job {
            Job::Operate(operation, promise) => {
                let outcome = perform(image.as_mut(), handling, &operation);
                promise.keep(outcome.map_err(HostError::from));
            }
            Job::Export(reply) => {
                let contents = image.overlay().map(super::image::Overlay::contents).transpose();
                let _ = reply.send(contents);
            }
            Job::Resize(bytes, reply) => {
                let done = image.resize(bytes).map(|()| image.len());
                let _ = reply.send(done);
            }
            Job::Import(contents, reply) => {
                let done = match image.overlay() {
                    Some(overlay) => overlay.replace(&contents),
                    None => Err(io::Error::other("the drive has no overlay")),
                };
                let _ = reply.send(done);
            }
        }
        left.fetch_sub(1, Ordering::Release);
    }
    if !handling.read_only
        && handling.cache != Cache::Unsafe
        && let Err(error) = image.flush()
    {
        eprintln!("lockstep: drive {drive}: {error}: what was written last may be lost");
    }
}

fn perform(image: &mut dyn Image, handling: Handling, operation: &BlockOperation) -> io::Result<Vec<u8>> {
    match operation {
        BlockOperation::Read { offset, len } => {
            let mut data = vec![0; usize::try_from(*len).map_err(io::Error::other)?];
            image.read(*offset, &mut data)?;
            return Ok(data);
        }
        BlockOperation::Write { offset, data } => {
            if handling.detect_zeroes != DetectZeroes::Off && data.iter().all(|byte| *byte == 0) {
                let unmap = handling.unmap && handling.detect_zeroes == DetectZeroes::Unmap;
                image.write_zeroes(*offset, data.len() as u64, unmap)?;
            } else {
                image.write(*offset, data)?;
            }
        }
        BlockOperation::WriteZeroes { offset, len, unmap } => {
            image.write_zeroes(*offset, *len, *unmap && handling.unmap)?;
        }
        BlockOperation::Discard { offset, len } if handling.unmap => image.write_zeroes(*offset, *len, true)?,
        BlockOperation::Discard { .. } => {}
        BlockOperation::Flush if handling.cache == Cache::Unsafe || handling.read_only => {}
        BlockOperation::Flush => image.flush()?,
    }
    let changes = !matches!(operation, BlockOperation::Flush);
    if changes && handling.cache == Cache::Writethrough {
        image.flush()?;
    }
    Ok(Vec::new())
}
