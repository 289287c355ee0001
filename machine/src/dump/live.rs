//! A dump that is written while the guest runs on, exact as of the tick at which it began.
//!
//! Only what may be refused is looked at before the guest goes on. From then on threads of their own look for what the dump
//! begins with, and write, and ask the machine's thread for memory, piece after piece. It answers between two slices, from
//! what it holds (see [`Memory::hold`]): the guest sees nothing of that.

use super::view::{Cpus, StoppedMemory, find};
use crate::chardev::{HostEvent, Reporter};
use crate::machine::Machine;
use lockstep_dump::{DumpError, Guest, Options, Outline, PAGE_SIZE, PhysicalMemory, Progress, Range, Summary, Target};
use lockstep_fabric::{Memory, Tick};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender, TryRecvError};
use std::thread::{self, JoinHandle};

/// Pages that may be kept because the guest has stored to them before they were written. Then it waits for the dump.
const MOST_KEPT: usize = 4096;
/// So many must be left when it goes on, so that it does not wait at every step.
const ENOUGH_WRITTEN: usize = MOST_KEPT / 2;
/// Pages that an instruction stores to: an operand that crosses from one to the next.
const KEPT_PER_TICK: usize = 2;
/// The shortest slice worth its trouble.
const SHORTEST_SLICE: Tick = 64;
/// Pieces of memory that are handed out before it is the guest's turn again.
const MOST_PIECES: usize = 16;

/// What the writing threads have to say.
enum Ask {
    /// They want memory, which they may ask for again.
    Look { address: u64, len: usize, reply: SyncSender<Vec<u8>> },
    /// They want the beginnings of pages.
    Heads { address: u64, pages: usize, len: usize, reply: SyncSender<Vec<u8>> },
    /// From now on, they read these ranges only, and each page once.
    Found(Vec<Range>),
    /// They want memory, for the last time.
    Take { address: u64, len: usize, reply: SyncSender<Vec<u8>> },
    /// They are done.
    Ended(Result<Summary, DumpError>),
}

/// A dump in the making.
#[derive(Debug)]
pub struct LiveDump {
    /// Addresses with their arena offsets, as they were at the beginning.
    spans: Vec<(Range, u64)>,
    asks: Option<Receiver<Ask>>,
    progress: Arc<Progress>,
    writer: Option<JoinHandle<()>>,
    /// There may be more to be handed out.
    due: bool,
    /// The guest waits.
    waited_for: bool,
}

impl LiveDump {
    /// Begins a dump of the machine as it is now. `reporter` wakes the machine's thread when there is something to serve.
    pub fn begin(
        machine: &mut Machine,
        options: &Options,
        target: Target,
        progress: Arc<Progress>,
        reporter: Option<Reporter>,
    ) -> Result<Self, DumpError> {
        let vmcoreinfo = super::registered_note(machine);
        let memory = StoppedMemory::of(&machine.bus.memory);
        let outline = Outline::of(&memory, options, &target, &progress)?;
        let processors = Cpus::of(&machine.cpus);
        let ranges = memory.ranges();
        let spans = memory.into_spans();
        let (sender, asks) = mpsc::channel();
        let desk = Desk { asks: sender, reporter, ranges: ranges.clone() };
        machine.bus.memory.hold(&held(&spans, &ranges));
        let watched = progress.clone();
        let write = move || {
            let guest = Guest { memory: &Looking(&desk), processors: &processors, vmcoreinfo: vmcoreinfo.as_deref() };
            let prepared = outline.prepare(&guest, &watched);
            let result = prepared.and_then(|prepared| {
                desk.say(Ask::Found(prepared.ranges().to_vec()));
                prepared.write(&desk, target, &watched)
            });
            desk.say(Ask::Ended(result));
        };
        let writer = match thread::Builder::new().name("dump".into()).spawn(write) {
            Ok(writer) => writer,
            Err(why) => {
                machine.bus.memory.end_hold();
                return Err(DumpError::Io { what: "cannot start a thread", why });
            }
        };
        Ok(Self { spans, asks: Some(asks), progress, writer: Some(writer), due: false, waited_for: false })
    }

    /// Hands out memory that is waited for, some of it at a time; the result when the dump has ended.
    pub fn serve(&mut self, memory: &mut Memory) -> Option<Result<Summary, DumpError>> {
        let asks = self.asks.as_ref()?;
        self.due = true;
        for _ in 0..MOST_PIECES {
            let ended = match asks.try_recv() {
                // Whoever asked may have given up meanwhile.
                Ok(Ask::Look { address, len, reply }) => {
                    let peek = |at, len, into: &mut Vec<u8>| memory.peek_held(at, len, into);
                    let _ = reply.send(held_bytes(&self.spans, address, len, peek));
                    continue;
                }
                Ok(Ask::Heads { address, pages, len, reply }) => {
                    let _ = reply.send(heads(memory, &self.spans, address, pages, len));
                    continue;
                }
                Ok(Ask::Found(ranges)) => {
                    memory.narrow_hold(&held(&self.spans, &ranges));
                    continue;
                }
                Ok(Ask::Take { address, len, reply }) => {
                    let take = |at, len, into: &mut Vec<u8>| memory.take_held(at, len, into);
                    let _ = reply.send(held_bytes(&self.spans, address, len, take));
                    continue;
                }
                Ok(Ask::Ended(result)) => result,
                Err(TryRecvError::Empty) => {
                    self.due = false;
                    break;
                }
                Err(TryRecvError::Disconnected) => Err(DumpError::Cancelled),
            };
            memory.end_hold();
            self.due = false;
            return Some(ended);
        }
        let kept = memory.kept_pages();
        self.waited_for = kept >= MOST_KEPT || self.waited_for && kept > ENOUGH_WRITTEN;
        None
    }

    /// Whether [`LiveDump::serve`] has left something waiting.
    pub fn is_due(&self) -> bool {
        self.due
    }

    /// Whether so much is kept that the guest must not go on before some of it is written.
    pub fn is_waited_for(&self) -> bool {
        self.waited_for
    }

    /// How long the guest may run before it is looked at again, at most `longest`.
    pub fn slice(memory: &Memory, longest: Tick) -> Tick {
        if !memory.holds() {
            return longest;
        }
        let room = MOST_KEPT.saturating_sub(memory.kept_pages()) / KEPT_PER_TICK;
        (room as Tick).clamp(SHORTEST_SLICE, longest)
    }

    /// Gives the dump up. When this returns, nothing of it is left.
    pub fn cancel(mut self, memory: &mut Memory) {
        self.end();
        memory.end_hold();
    }

    fn end(&mut self) {
        self.progress.cancel();
        // With the asks go the replies that are waited for.
        self.asks = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Drop for LiveDump {
    fn drop(&mut self) {
        self.end();
    }
}

/// Where the writing threads get memory from.
struct Desk {
    asks: Sender<Ask>,
    reporter: Option<Reporter>,
    ranges: Vec<Range>,
}

impl Desk {
    fn say(&self, ask: Ask) {
        // Nobody listens any more when the dump was given up.
        if self.asks.send(ask).is_ok()
            && let Some(reporter) = &self.reporter
        {
            reporter.report(HostEvent::Dump);
        }
    }

    /// What is answered; nothing, if nobody listens any more.
    fn ask(&self, ask: impl FnOnce(SyncSender<Vec<u8>>) -> Ask) -> Vec<u8> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.say(ask(reply));
        answer.recv().unwrap_or_default()
    }
}

impl PhysicalMemory for Desk {
    fn ranges(&self) -> Vec<Range> {
        self.ranges.clone()
    }

    fn read(&self, address: u64, len: usize) -> Cow<'_, [u8]> {
        self.ask(|reply| Ask::Take { address, len, reply }).into()
    }
}

/// The memory as long as it is only looked through.
struct Looking<'a>(&'a Desk);

impl PhysicalMemory for Looking<'_> {
    fn ranges(&self) -> Vec<Range> {
        self.0.ranges()
    }

    fn read(&self, address: u64, len: usize) -> Cow<'_, [u8]> {
        self.0.ask(|reply| Ask::Look { address, len, reply }).into()
    }

    fn read_heads(&self, address: u64, pages: usize, len: usize) -> Vec<u8> {
        self.0.ask(|reply| Ask::Heads { address, pages, len, reply })
    }
}

/// The pieces of the arena that lie at these addresses, as offset and length.
fn held(spans: &[(Range, u64)], ranges: &[Range]) -> Vec<(u64, u64)> {
    let mut held = Vec::new();
    for range in ranges {
        let first = spans.partition_point(|(span, _)| span.end() <= range.start);
        for (span, at) in spans[first..].iter().take_while(|(span, _)| span.start < range.end()) {
            let (start, end) = (span.start.max(range.start), span.end().min(range.end()));
            held.push((at + (start - span.start), end - start));
        }
    }
    held
}

/// Bytes as `read` gives them for an arena offset, a length, and what to append them to; fewer if they are not all memory.
fn held_bytes(
    spans: &[(Range, u64)],
    address: u64,
    len: usize,
    mut read: impl FnMut(u64, usize, &mut Vec<u8>) -> bool,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let at = address.wrapping_add(bytes.len() as u64);
        let Some((span, offset)) = find(spans, at) else { break };
        let wanted = (len - bytes.len()).min((span.end() - at) as usize);
        if !read(offset + (at - span.start), wanted, &mut bytes) {
            break;
        }
    }
    bytes
}

/// The first bytes of each of some pages.
fn heads(memory: &Memory, spans: &[(Range, u64)], address: u64, pages: usize, len: usize) -> Vec<u8> {
    let mut heads = Vec::with_capacity(pages * len);
    for start in (address..).step_by(PAGE_SIZE as usize).take(pages) {
        let Some((span, offset)) = find(spans, start) else { break };
        if !memory.peek_held(offset + (start - span.start), len, &mut heads) {
            break;
        }
    }
    heads
}
