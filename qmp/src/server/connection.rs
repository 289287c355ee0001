//! One client's connection: bytes in, bytes out, and a session between them.

use super::hub::{Control, Conversations};
use crate::event::Occurrence;
use crate::registry::{Answer, Caller, Reply, Request, SessionId};
use crate::session::{Session, Step, Ticket};
use crate::wire::{Layout, to_line};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg, send};
use serde_json::Value;
use smol::Async;
use smol::channel::{Receiver, Sender};
use smol::future::{or, pending};
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

/// How many bytes may wait for a client to read them. Beyond, it is sent no events, and none of its commands is read.
const MAX_OUTPUT: usize = 1 << 20;
/// How many file descriptors a client may have passed without a command that takes them; then the oldest is closed.
const MAX_DESCRIPTORS: usize = 16;

/// What a connection is told from elsewhere.
pub(super) enum Note {
    /// The machine has answered.
    Answer(Ticket, Answer<Value>),
    /// Something happened.
    Event(Arc<Occurrence>),
    /// It is over.
    Close,
}

/// What a connection has waited for.
enum Awaited {
    Note(Note),
    Readable,
    Writable,
}

/// One client's connection.
pub(super) struct Connection {
    id: SessionId,
    socket: Async<OwnedFd>,
    layout: Layout,
    conversations: Rc<Conversations>,
    session: Session,
    /// For the machine's answers.
    notes: Sender<Note>,
    inbox: Receiver<Note>,
    /// What was read and cannot be looked at yet.
    input: Vec<u8>,
    /// What is not written yet.
    output: VecDeque<u8>,
    /// File descriptors that came in and no command has taken.
    descriptors: VecDeque<OwnedFd>,
    /// The client sends no more.
    input_ended: bool,
    /// The client has hung up: nothing can be said to it any more, but what it sent before is carried out all the same.
    deaf: bool,
    /// Nothing more is read, whatever the client sends.
    closing: bool,
}

impl Connection {
    pub(super) fn new(
        id: SessionId,
        socket: Async<OwnedFd>,
        layout: Layout,
        conversations: &Rc<Conversations>,
        notes: Sender<Note>,
        inbox: Receiver<Note>,
    ) -> Self {
        Self {
            id,
            socket,
            layout,
            conversations: conversations.clone(),
            session: Session::new(conversations.hub.offer.clone()),
            notes,
            inbox,
            input: Vec::new(),
            output: VecDeque::new(),
            descriptors: VecDeque::new(),
            input_ended: false,
            deaf: false,
            closing: false,
        }
    }

    /// Serves the client until it or the server has enough.
    pub(super) async fn run(mut self) {
        loop {
            self.advance();
            if self.is_over() {
                return;
            }
            let awaited = self.wait().await;
            let done = match awaited {
                Awaited::Note(note) => {
                    self.note(note);
                    while let Ok(note) = self.inbox.try_recv() {
                        self.note(note);
                    }
                    Ok(())
                }
                Awaited::Readable => self.read(),
                // `advance` writes.
                Awaited::Writable => Ok(()),
            };
            if done.is_err() {
                return;
            }
        }
    }

    fn is_over(&self) -> bool {
        let silent = self.output.is_empty();
        silent && (self.closing || self.input_ended && self.input.is_empty() && self.session.is_idle())
    }

    /// Whether anything more of the client's is looked at.
    fn listens(&self) -> bool {
        !self.closing && self.session.wants_input() && self.output.len() < MAX_OUTPUT
    }

    async fn wait(&self) -> Awaited {
        let note = async {
            match self.inbox.recv().await {
                Ok(note) => Awaited::Note(note),
                // It has a sender of its own.
                Err(_) => pending().await,
            }
        };
        let readable = async {
            if self.input_ended || !self.input.is_empty() || !self.listens() {
                return pending().await;
            }
            // An error shows when reading.
            let _ = self.socket.readable().await;
            Awaited::Readable
        };
        let writable = async {
            if self.output.is_empty() {
                return pending().await;
            }
            let _ = self.socket.writable().await;
            Awaited::Writable
        };
        or(note, or(writable, readable)).await
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::Answer(ticket, answer) => self.session.answered(ticket, answer),
            Note::Event(occurrence) if self.output.len() < MAX_OUTPUT => {
                // What the session has to say comes first: an answer given before an event is read before it.
                self.take_steps();
                if let Some(value) = self.session.event(&occurrence) {
                    self.output.extend(to_line(&value, self.layout));
                }
            }
            Note::Event(_) => {}
            Note::Close => {
                self.take_steps();
                self.closing = true;
            }
        }
    }

    /// Does all that can be done without waiting.
    fn advance(&mut self) {
        loop {
            self.take_steps();
            self.write();
            if self.input.is_empty() || !self.listens() {
                return;
            }
            let input = std::mem::take(&mut self.input);
            let rest = self.feed(&input).len();
            self.input = input[input.len() - rest..].to_vec();
        }
    }

    /// Gives input to the session until something is in the way; what is left.
    fn feed<'a>(&mut self, mut input: &'a [u8]) -> &'a [u8] {
        while !input.is_empty() && self.listens() {
            self.session.feed(&mut input);
            self.take_steps();
        }
        input
    }

    fn take_steps(&mut self) {
        while let Some(step) = self.session.next_step() {
            match step {
                Step::Send(value) => self.output.extend(to_line(&value, self.layout)),
                Step::DropDescriptor => drop(self.descriptors.pop_front()),
                Step::Ask { ticket, order, kind, with_descriptor } => {
                    let descriptor = if with_descriptor { self.descriptors.pop_front() } else { None };
                    let (notes, control) = (self.notes.clone(), self.conversations.hub.control.clone());
                    // By way of the hub, as events: clients are told things in the order in which the machine says them.
                    let reply = Reply::new(move |answer| {
                        drop(control.try_send(Control::Answer { notes, ticket, answer }));
                    });
                    let caller = Caller { session: Some(self.id), descriptor };
                    self.conversations.hub.ask(Request { order, kind, caller, reply });
                }
            }
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let conversations = self.conversations.clone();
        let mut chunk = conversations.chunk.borrow_mut();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received =
            recvmsg(&self.socket, &mut [IoSliceMut::new(&mut chunk)], &mut ancillary, RecvFlags::CMSG_CLOEXEC);
        let length = match received {
            Ok(message) => message.bytes,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        while self.descriptors.len() > MAX_DESCRIPTORS {
            self.descriptors.pop_front();
        }
        if length == 0 {
            self.input_ended = true;
            return Ok(());
        }
        let rest = self.feed(chunk.get(..length).unwrap_or_default());
        self.input = rest.to_vec();
        Ok(())
    }

    /// Writes as much as the client takes. What it has sent is not lost if it does not wait for the greeting or an answer:
    /// the end of its input, and an error that is worth giving up for, show when reading.
    fn write(&mut self) {
        while !self.output.is_empty() && !self.deaf {
            match send(&self.socket, self.output.as_slices().0, SendFlags::NOSIGNAL) {
                Ok(written) => drop(self.output.drain(..written)),
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(_) => self.deaf = true,
            }
        }
        self.output.clear();
        // A long reply is rare, and its memory is not kept for the next.
        self.output.shrink_to(4096);
    }
}
