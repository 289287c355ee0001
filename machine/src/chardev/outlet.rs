//! The way out for a guest's bytes: a queue and the thread that empties it.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Patience, Reporter, host_words};

/// Bytes that may wait before the writer has to wait too.
const ROOM: usize = 1 << 20;

/// How long the thread lets bytes gather after the first one. A guest prints byte by byte; this saves a switch to the
/// thread and a system call for each of them, and nobody sees half a millisecond.
const GATHER: Duration = Duration::from_micros(500);

/// How often a waiting writer looks whether the run is to end.
const LOOK: Duration = Duration::from_millis(50);

/// A bounded queue with a thread behind it. Not one byte is lost while the other side takes them: when [`ROOM`] bytes
/// wait (a terminal stopped with Ctrl-S, a full pipe), [`Outlet::write`] waits as well. That is time on the host's clock
/// only; the guest cannot notice it.
#[derive(Debug)]
pub struct Outlet {
    shared: Arc<Shared>,
    reporter: Reporter,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Bytes came, or the end.
    filled: Condvar,
    /// Bytes went, or the thread did.
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    /// No more will come.
    closing: bool,
    /// Nobody takes them any more.
    broken: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A queue is a queue whoever panicked.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where an outlet leads.
pub(super) trait Sink: Send + 'static {
    /// Writes everything, or says why it never will be possible again.
    fn carry(&mut self, data: &[u8]) -> io::Result<()>;
}

impl Sink for File {
    fn carry(&mut self, data: &[u8]) -> io::Result<()> {
        self.write_all(data)
    }
}

impl Outlet {
    /// Starts the thread. `origin` is the option to name when the sink fails.
    pub(super) fn start(sink: impl Sink, origin: String, reporter: Reporter) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::Builder::new().name("output".to_owned()).spawn(move || empty(&theirs, sink, &origin))?;
        Ok(Outlet { shared, reporter })
    }

    /// Queues bytes; waits if too many are waiting already, but not once the run is to end.
    pub fn write(&self, data: &[u8]) {
        let mut queue = self.shared.lock();
        while queue.bytes.len() >= ROOM && !queue.broken && !self.reporter.is_quitting() {
            let waited = self.shared.emptied.wait_timeout(queue, LOOK);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        // On the way out the last words are kept, within reason.
        if !queue.broken && queue.bytes.len() < 2 * ROOM {
            queue.bytes.extend_from_slice(data);
            self.shared.filled.notify_one();
        }
    }

    /// Forgets what is queued: the one it was for is gone.
    pub(super) fn forget(&self) {
        self.shared.lock().bytes.clear();
        self.shared.emptied.notify_all();
    }

    /// Waits until everything is out, as long as `patience` lasts, and ends the thread.
    pub(super) fn finish(&self, patience: Patience) {
        self.close();
        let begun = Instant::now();
        let mut queue = self.shared.lock();
        while !queue.broken {
            let limit = match patience {
                _ if self.reporter.is_quitting() => Duration::from_secs(1),
                Patience::Forever => Duration::MAX,
                Patience::Limited(limit) => limit,
            };
            if begun.elapsed() >= limit {
                // It is stuck in a write; the process's end will free it.
                return;
            }
            let waited = self.shared.emptied.wait_timeout(queue, LOOK);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn close(&self) {
        self.shared.lock().closing = true;
        self.shared.filled.notify_one();
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.close();
    }
}

/// The thread: carries out what is queued until there will be no more.
fn empty(shared: &Shared, mut sink: impl Sink, origin: &str) {
    let mut batch = Vec::new();
    loop {
        let mut queue = shared.lock();
        while queue.bytes.is_empty() && !queue.closing {
            queue = shared.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if !queue.closing {
            drop(queue);
            thread::sleep(GATHER);
            queue = shared.lock();
        }
        std::mem::swap(&mut queue.bytes, &mut batch);
        let last = queue.closing && batch.is_empty();
        drop(queue);
        let outcome = sink.carry(&batch);
        batch.clear();
        if let Err(error) = &outcome
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            eprintln!("lockstep: {origin}: {}", host_words(error));
        }
        let mut queue = shared.lock();
        queue.broken = last || outcome.is_err();
        shared.emptied.notify_all();
        if queue.broken {
            return;
        }
    }
}
