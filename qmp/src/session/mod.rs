//! One client's conversation, without any input or output of its own.
//!
//! Bytes go in at [`Session::feed`]; what is to be done comes out at [`Session::next_step`], in order; the machine's answers go
//! in at [`Session::answered`]. One command is carried out at a time, except for those that come out-of-band.

mod request;

use crate::commands::control::{CommandInfo, EventInfo, QmpCapabilities, QmpCapability};
use crate::commands::control::{QueryCommands, QueryEvents, QueryQmpSchema, VersionInfo};
use crate::error::{Error, ErrorClass};
use crate::event::Occurrence;
use crate::registry::{Answer, Catalog, Command, Declaration, Kind, Order, Way, to_value};
use crate::schema::check::check;
use crate::wire::{ParseError, Parser};
use request::Wish;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How many commands of one client may wait or be carried out. Then no more is read.
pub const MAX_IN_FLIGHT: usize = 8;

/// The commands that the server itself carries out.
pub(crate) static OWN_COMMANDS: [&Declaration; 4] =
    [QmpCapabilities::DECLARATION, QueryCommands::DECLARATION, QueryEvents::DECLARATION, QueryQmpSchema::DECLARATION];

/// What a server offers, the same for all its sessions.
#[derive(Debug)]
pub struct Offer {
    /// The version in the greeting.
    pub version: VersionInfo,
    /// The commands.
    pub catalog: Catalog,
    /// The answer to `query-qmp-schema`, which is the same every time.
    schema: Value,
}

impl Offer {
    /// What is offered with these commands.
    pub fn new(version: VersionInfo, catalog: Catalog) -> Self {
        let schema = crate::schema::introspect::schema(&catalog, &crate::commands::events());
        Self { version, catalog, schema }
    }
}

/// Names a command that the machine carries out for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// What a session wants done next.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// This is to be sent to the client.
    Send(Value),
    /// The machine is to carry this out, and [`Session::answered`] to be told its answer.
    Ask {
        /// What names it.
        ticket: Ticket,
        /// The command.
        order: Order,
        /// Whether it looks or changes.
        kind: Kind,
        /// It is to be given a file descriptor.
        with_descriptor: bool,
    },
    /// A command that is not carried out would have been given a file descriptor, which is not the next one's.
    DropDescriptor,
}

type Message = Result<Value, ParseError>;

/// One client's conversation.
#[derive(Debug)]
pub struct Session {
    offer: Arc<Offer>,
    parser: Parser,
    /// Capabilities are negotiated.
    negotiated: bool,
    /// The client may use `exec-oob`.
    out_of_band: bool,
    /// Steps that wait for nothing.
    steps: VecDeque<Step>,
    /// Messages that wait their turn.
    waiting: VecDeque<Message>,
    /// The command whose turn it is.
    current: Option<Ticket>,
    /// The ids of the commands that are carried out.
    running: BTreeMap<Ticket, Option<Value>>,
    tickets: u64,
}

impl Session {
    /// A client has come. The first step greets it.
    pub fn new(offer: Arc<Offer>) -> Self {
        let greeting = json!({ "QMP": { "version": offer.version, "capabilities": [QmpCapability::Oob] } });
        Self {
            offer,
            parser: Parser::new(),
            negotiated: false,
            out_of_band: false,
            steps: VecDeque::from([Step::Send(greeting)]),
            waiting: VecDeque::new(),
            current: None,
            running: BTreeMap::new(),
            tickets: 0,
        }
    }

    /// Whether more input may be given.
    pub fn wants_input(&self) -> bool {
        self.waiting.len() + self.running.len() < MAX_IN_FLIGHT
    }

    /// Whether nothing waits and nothing is carried out.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty() && self.steps.is_empty()
    }

    /// Whether events are to be sent.
    pub fn wants_events(&self) -> bool {
        self.negotiated
    }

    /// Takes bytes from the front of `input`: all of them, or as many as make one message.
    pub fn feed(&mut self, input: &mut &[u8]) {
        let Some(message) = self.parser.next(input) else { return };
        match message {
            Ok(Value::Object(members)) if Wish::is_out_of_band(&members) => {
                self.dispatch(Ok(Value::Object(members)), false);
            }
            message => self.waiting.push_back(message),
        }
    }

    /// The next thing to be done, until there is nothing to do but to wait.
    pub fn next_step(&mut self) -> Option<Step> {
        loop {
            if let Some(step) = self.steps.pop_front() {
                return Some(step);
            }
            if self.current.is_some() {
                return None;
            }
            let message = self.waiting.pop_front()?;
            self.dispatch(message, true);
        }
    }

    /// The machine's answer to a command.
    pub fn answered(&mut self, ticket: Ticket, answer: Answer<Value>) {
        let Some(id) = self.running.remove(&ticket) else { return };
        if self.current == Some(ticket) {
            self.current = None;
        }
        self.reply(id, answer);
    }

    /// What is to be sent of an event, if anything.
    pub fn event(&self, occurrence: &Occurrence) -> Option<Value> {
        self.negotiated.then(|| occurrence.to_value())
    }

    fn reply(&mut self, id: Option<Value>, answer: Answer<Value>) {
        let mut reply = Map::new();
        match answer {
            Ok(value) => reply.insert("return".into(), value),
            Err(error) => reply.insert("error".into(), error.to_value()),
        };
        if let Some(id) = id {
            reply.insert("id".into(), id);
        }
        self.steps.push_back(Step::Send(Value::Object(reply)));
    }

    /// Makes steps of a message; `in_turn` unless it came out-of-band.
    fn dispatch(&mut self, message: Message, in_turn: bool) {
        let (id, wish) = match message {
            Err(error) => (None, Err(Error::new(error.to_string()))),
            Ok(value) => Wish::read(value, self.out_of_band),
        };
        let (declaration, arguments) = match wish.and_then(|wish| self.find(wish)) {
            Ok(found) => found,
            Err(error) => return self.reply(id, Err(error)),
        };
        if let Err(error) = check((declaration.arguments)(), &arguments) {
            if declaration.way == Way::WithDescriptor {
                self.steps.push_back(Step::DropDescriptor);
            }
            return self.reply(id, Err(error));
        }
        if let Some(answer) = self.carry_out(declaration, &arguments) {
            return self.reply(id, answer);
        }
        let ticket = Ticket(self.tickets);
        self.tickets += 1;
        self.running.insert(ticket, id);
        if in_turn {
            self.current = Some(ticket);
        }
        let order = Order { name: declaration.name.into(), arguments };
        let with_descriptor = declaration.way == Way::WithDescriptor;
        self.steps.push_back(Step::Ask { ticket, order, kind: declaration.kind, with_descriptor });
    }

    /// Finds the command, if it may be carried out now.
    fn find(&self, wish: Wish) -> Result<(&'static Declaration, Map<String, Value>), Error> {
        let negotiates = wish.command == QmpCapabilities::DECLARATION.name;
        if !self.negotiated && !negotiates {
            return Err(not_now("Expecting capabilities negotiation with 'qmp_capabilities'"));
        }
        if self.negotiated && negotiates {
            return Err(not_now("Capabilities negotiation is already complete, command ignored"));
        }
        let found = self.offer.catalog.find(&wish.command);
        let declaration = found.ok_or_else(|| Error::command_not_found(&wish.command))?;
        if wish.out_of_band && declaration.way != Way::OutOfBand {
            return Err(Error::new(format!("The command {} does not support OOB", wish.command)));
        }
        Ok((declaration, wish.arguments))
    }

    /// Carries out the server's own commands.
    fn carry_out(&mut self, declaration: &Declaration, arguments: &Map<String, Value>) -> Option<Answer<Value>> {
        let name = declaration.name;
        if name == QmpCapabilities::DECLARATION.name {
            self.negotiated = true;
            // It is checked already, and there is but one capability.
            self.out_of_band =
                arguments.get("enable").and_then(Value::as_array).is_some_and(|enable| !enable.is_empty());
            Some(Ok(json!({})))
        } else if name == QueryCommands::DECLARATION.name {
            let commands = self.offer.catalog.commands().map(|command| CommandInfo { name: command.name.into() });
            Some(to_value(&commands.collect::<Vec<_>>()))
        } else if name == QueryEvents::DECLARATION.name {
            let events = crate::commands::events().into_iter().map(|event| EventInfo { name: event.name.into() });
            Some(to_value(&events.collect::<Vec<_>>()))
        } else if name == QueryQmpSchema::DECLARATION.name {
            Some(Ok(self.offer.schema.clone()))
        } else {
            None
        }
    }
}

/// A command that exists, at another time.
fn not_now(desc: &str) -> Error {
    Error::of(ErrorClass::CommandNotFound, desc)
}

#[cfg(test)]
mod tests;
