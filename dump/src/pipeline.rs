//! Work on many pieces by all cores, taken in order, with a bound on how far the workers run ahead.

use crate::DumpError;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Pieces that may be in the making or waiting, per worker. With pieces of 256 KiB the fewest are 16 MiB, which keeps
/// workers busy while whoever takes the results writes some MiB at once, and the most 24 MiB, when nothing compresses.
const AHEAD_PER_WORKER: u64 = 4;
const FEWEST_AHEAD: u64 = 64;
const MOST_AHEAD: u64 = 96;
const MOST_WORKERS: usize = 32;

/// Threads that are worth starting on this host.
pub(crate) fn workers() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(MOST_WORKERS)
}

struct Line<T> {
    /// The next piece to be worked on.
    next: u64,
    /// The next piece to be taken.
    taken: u64,
    /// What is ready, by number modulo the length.
    ready: Vec<Option<T>>,
    over: bool,
}

impl<T> Line<T> {
    /// The next piece, if there is room for what comes of it.
    fn claim(&mut self, count: u64) -> Option<u64> {
        let fits = self.next < count && self.next - self.taken < self.ready.len() as u64;
        fits.then(|| {
            self.next += 1;
            self.next - 1
        })
    }
}

/// A step of whoever takes the results.
enum Turn<T> {
    Take(T),
    Work(u64),
}

struct Shared<T> {
    line: Mutex<Line<T>>,
    /// A piece is ready.
    arrival: Condvar,
    /// There is room again.
    room: Condvar,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Line<T>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next piece for a worker, once there is room for what comes of it.
    fn claim(&self, count: u64) -> Option<u64> {
        let mut line = self.lock();
        loop {
            if line.over || line.next == count {
                return None;
            }
            if let Some(piece) = line.claim(count) {
                return Some(piece);
            }
            line = self.room.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn deliver(&self, piece: u64, result: T) {
        let mut line = self.lock();
        let at = (piece % line.ready.len() as u64) as usize;
        line.ready[at] = Some(result);
        if piece == line.taken {
            self.arrival.notify_one();
        }
    }

    /// What whoever takes the results does next: he works too while the next one is not ready, so that there are no more threads
    /// than processors.
    fn take(&self, count: u64) -> Result<Turn<T>, DumpError> {
        let mut line = self.lock();
        loop {
            let at = (line.taken % line.ready.len() as u64) as usize;
            if let Some(result) = line.ready[at].take() {
                line.taken += 1;
                self.room.notify_one();
                return Ok(Turn::Take(result));
            }
            if line.over {
                return Err(DumpError::Cancelled);
            }
            if let Some(piece) = line.claim(count) {
                return Ok(Turn::Work(piece));
            }
            line = self.arrival.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn end(&self) {
        self.lock().over = true;
        self.room.notify_all();
        self.arrival.notify_all();
    }
}

/// Ends the line for all when a worker panics, so that nobody waits for its piece.
struct Watch<'a, T>(&'a Shared<T>);

impl<T> Drop for Watch<'_, T> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.end();
        }
    }
}

/// Works on pieces `0..count` with as many threads as there are `workers` (their tools), the calling one among them, which also
/// takes the results in order. The first error ends it.
pub(crate) fn in_order<W: Send, T: Send>(
    count: u64,
    workers: &mut [W],
    work: impl Fn(&mut W, u64) -> T + Sync,
    mut take: impl FnMut(T) -> Result<(), DumpError>,
) -> Result<(), DumpError> {
    let ahead = (workers.len() as u64 * AHEAD_PER_WORKER).clamp(FEWEST_AHEAD, MOST_AHEAD).min(count);
    let Some((own, others)) = workers.split_first_mut() else { return Ok(()) };
    if count > 1 && !others.is_empty() {
        let line = Line { next: 0, taken: 0, ready: (0..ahead).map(|_| None).collect(), over: false };
        let shared = Shared { line: Mutex::new(line), arrival: Condvar::new(), room: Condvar::new() };
        let (shared, work) = (&shared, &work);
        return thread::scope(|scope| {
            // A host that gives no threads gets the work done all the same.
            for worker in others {
                let run = move || {
                    let _watch = Watch(shared);
                    while let Some(piece) = shared.claim(count) {
                        shared.deliver(piece, work(worker, piece));
                    }
                };
                if thread::Builder::new().name("dump".into()).spawn_scoped(scope, run).is_err() {
                    break;
                }
            }
            let _watch = Watch(shared);
            let mut left = count;
            let mut result = Ok(());
            while result.is_ok() && left > 0 {
                result = shared.take(count).and_then(|turn| match turn {
                    Turn::Work(piece) => {
                        shared.deliver(piece, work(own, piece));
                        Ok(())
                    }
                    Turn::Take(ready) => {
                        left -= 1;
                        take(ready)
                    }
                });
            }
            shared.end();
            result
        });
    }
    (0..count).try_for_each(|piece| take(work(own, piece)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn results_come_in_order_however_long_each_takes() {
        let mut taken = Vec::new();
        let slow_at_first = |_: &mut (), piece: u64| {
            thread::sleep(std::time::Duration::from_micros(if piece.is_multiple_of(7) { 300 } else { 0 }));
            piece
        };
        in_order(100, &mut [(), (), ()], slow_at_first, |piece| {
            taken.push(piece);
            Ok(())
        })
        .unwrap();
        assert_eq!(taken, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn workers_run_ahead_no_further_than_there_is_room() {
        let (made, most) = (AtomicU64::new(0), AtomicU64::new(0));
        let mut taken = 0;
        let make = |_: &mut (), _| {
            made.fetch_add(1, Ordering::SeqCst);
        };
        in_order(200, &mut [(), ()], make, |()| {
            thread::sleep(std::time::Duration::from_micros(100));
            taken += 1;
            most.fetch_max(made.load(Ordering::SeqCst) - taken, Ordering::SeqCst);
            Ok(())
        })
        .unwrap();
        assert!(most.into_inner() <= FEWEST_AHEAD);
    }

    #[test]
    fn the_first_error_ends_the_work() {
        let mut taken = 0;
        let result = in_order(
            1 << 40,
            &mut [(), ()],
            |(), _| (),
            |()| {
                taken += 1;
                if taken == 50 { Err(DumpError::Cancelled) } else { Ok(()) }
            },
        );
        assert!(matches!(result, Err(DumpError::Cancelled)));
        assert_eq!(taken, 50);
    }

    #[test]
    fn no_pieces_are_no_work() {
        in_order(0, &mut [()], |(), _| panic!("none"), |()| Ok(())).unwrap();
    }
}
