//! What all conversations share, and the thread that they run on.

use super::LAST_WORDS;
use super::connection::{Connection, Note};
use super::endpoint::{Address, connect};
use super::throttle::Throttle;
use crate::event::Occurrence;
use crate::registry::{Answer, Request, SessionId};
use crate::session::{Offer, Ticket};
use crate::wire::Layout;
use rustix::net::{SocketFlags, accept_with, sockopt};
use serde_json::Value;
use smol::channel::{Receiver, Sender};
use smol::{Async, LocalExecutor, Timer};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// How much is read at a time.
const CHUNK: usize = 64 << 10;
/// How long to leave clients waiting for whom there is no file descriptor left.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);

/// What the machine tells the server.
pub(super) enum Control {
    /// Something happened.
    Event(Occurrence),
    /// A client's command has been carried out.
    Answer {
        /// The way to the conversation.
        notes: Sender<Note>,
        /// Which command it was.
        ticket: Ticket,
        /// What came of it.
        answer: Answer<Value>,
    },
    /// It is over.
    ShutDown,
}

/// Where conversations come from.
pub(super) enum Source {
    /// Clients connect.
    Listener { socket: OwnedFd, layout: Layout, first: Option<mpsc::Sender<()>> },
    /// There is one client.
    Stream(Stream),
    /// There is one client, but not always.
    Peer { address: Address, pause: Duration, layout: Layout },
}

/// A connection to a client.
pub(super) struct Stream {
    pub(super) socket: OwnedFd,
    pub(super) layout: Layout,
}

/// What all conversations share.
pub(super) struct Hub {
    pub(super) offer: Arc<Offer>,
    requests: mpsc::Sender<Request>,
    wake: Box<dyn Fn(&str) + Send + Sync>,
    /// What the hub itself follows.
    pub(super) control: Sender<Control>,
}

impl Hub {
    pub(super) fn new(
        offer: Arc<Offer>,
        requests: mpsc::Sender<Request>,
        wake: Box<dyn Fn(&str) + Send + Sync>,
        control: Sender<Control>,
    ) -> Self {
        Self { offer, requests, wake, control }
    }

    /// Sends the machine a request. If the machine is gone, the request is dropped and says so to its client.
    pub(super) fn ask(&self, request: Request) {
        let name = request.order.name.clone();
        if self.requests.send(request).is_ok() {
            (self.wake)(&name);
        }
    }
}

/// The conversations that are going on.
pub(super) struct Conversations {
    pub(super) hub: Hub,
    /// Bytes just read; they are consumed before anything else is read.
    pub(super) chunk: RefCell<Vec<u8>>,
    sessions: RefCell<BTreeMap<SessionId, Sender<Note>>>,
    next: Cell<u64>,
    /// Told when a conversation has ended.
    ended: Sender<()>,
    executor: Weak<LocalExecutor<'static>>,
}

impl Conversations {
    fn spawn(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        if let Some(executor) = self.executor.upgrade() {
            executor.spawn(task).detach();
        }
    }

    /// Talks to a client until either side has enough.
    async fn converse(self: Rc<Self>, stream: Stream) {
        let id = SessionId(self.next.get());
        self.next.set(id.0 + 1);
        // Only TCP knows delays.
        let _ = sockopt::set_tcp_nodelay(&stream.socket, true);
        let Ok(socket) = Async::new(stream.socket) else { return };
        let (notes, inbox) = smol::channel::unbounded();
        self.sessions.borrow_mut().insert(id, notes.clone());
        let _registered = Registered { conversations: self.clone(), id };
        Connection::new(id, socket, stream.layout, &self, notes, inbox).run().await;
    }

    async fn serve(self: Rc<Self>, source: Source) {
        match source {
            Source::Stream(stream) => self.converse(stream).await,
            Source::Peer { address, pause, layout } => loop {
                let address = address.clone();
                if let Ok(socket) = smol::unblock(move || connect(&address)).await {
                    self.clone().converse(Stream { socket, layout }).await;
                }
                Timer::after(pause).await;
            },
            Source::Listener { socket, layout, mut first } => {
                let Ok(listener) = Async::new(socket) else { return };
                loop {
                    let accept = || accept_with(&listener, SocketFlags::CLOEXEC).map_err(std::io::Error::from);
                    match listener.read_with(|_| accept()).await {
                        Ok(socket) => {
                            self.spawn(self.clone().converse(Stream { socket, layout }));
                            first.take().map(|first| first.send(()));
                        }
                        Err(_) => {
                            Timer::after(OUT_OF_DESCRIPTORS).await;
                        }
                    }
                }
            }
        }
    }

    fn tell_all(&self, note: impl Fn() -> Note) {
        for session in self.sessions.borrow().values() {
            let _ = session.try_send(note());
        }
    }

    /// Passes events on until the machine is over.
    async fn follow(&self, controls: &Receiver<Control>) {
        let mut throttle = Throttle::default();
        loop {
            let control = async { Some(controls.recv().await) };
            let due = async {
                match throttle.due() {
                    Some(due) => {
                        Timer::at(due).await;
                    }
                    None => smol::future::pending().await,
                }
                None
            };
            let events = match smol::future::or(control, due).await {
                Some(Ok(Control::Event(occurrence))) => throttle.pass(occurrence, Instant::now()).into_iter().collect(),
                Some(Ok(Control::Answer { notes, ticket, answer })) => {
                    // The client may have gone.
                    let _ = notes.try_send(Note::Answer(ticket, answer));
                    Vec::new()
                }
                Some(Ok(Control::ShutDown) | Err(_)) => return,
                None => throttle.take_due(Instant::now()),
            };
            for occurrence in events {
                let occurrence = Arc::new(occurrence);
                self.tell_all(|| Note::Event(occurrence.clone()));
            }
            // However many there are, those who are told have their turn.
            smol::future::yield_now().await;
        }
    }

    /// Lets all conversations say what they have to say.
    async fn wind_up(&self, ended: &Receiver<()>) {
        self.tell_all(|| Note::Close);
        let all_ended = async {
            while !self.sessions.borrow().is_empty() {
                let _ = ended.recv().await;
            }
        };
        smol::future::or(all_ended, async {
            Timer::after(LAST_WORDS).await;
        })
        .await;
    }
}

/// A conversation's place in the list of all.
struct Registered {
    conversations: Rc<Conversations>,
    id: SessionId,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.conversations.sessions.borrow_mut().remove(&self.id);
        let _ = self.conversations.ended.try_send(());
    }
}

/// The server's thread.
pub(super) fn run(hub: Hub, sources: Vec<Source>, controls: &Receiver<Control>) {
    let executor = Rc::new(LocalExecutor::new());
    let (ended, endings) = smol::channel::bounded(1);
    let conversations = Rc::new(Conversations {
        hub,
        chunk: RefCell::new(vec![0; CHUNK]),
        sessions: RefCell::default(),
        next: Cell::new(0),
        ended,
        executor: Rc::downgrade(&executor),
    });
    for source in sources {
        executor.spawn(conversations.clone().serve(source)).detach();
    }
    smol::block_on(executor.run(async {
        conversations.follow(controls).await;
        conversations.wind_up(&endings).await;
    }));
}
