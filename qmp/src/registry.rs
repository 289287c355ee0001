//! Commands: what is known about each, and which function of the machine carries it out.
//!
//! A handler is a plain function of the machine and the command's arguments, already checked, already typed:
//!
//! ```
//! use lockstep_qmp::commands::control::{NameInfo, QueryName};
//! use lockstep_qmp::registry::{Answer, Registry};
//!
//! struct Machine {
//!     name: Option<String>,
//! }
//!
//! fn query_name(machine: &mut Machine, _: QueryName) -> Answer<NameInfo> {
//!     Ok(NameInfo { name: machine.name.clone() })
//! }
//!
//! let mut registry = Registry::<Machine>::new();
//! registry.on(query_name);
//! ```

use crate::error::Error;
use crate::event::EventDeclaration;
use crate::schema::check::check;
use crate::schema::{Qapi, Type};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;

/// A type that is a command's arguments. It is made by `declare!`.
pub trait Command: Qapi + Serialize + DeserializeOwned + 'static {
    /// What it answers.
    type Returns: Qapi + Serialize + DeserializeOwned + 'static;
    /// Everything that is known about the command.
    const DECLARATION: &'static Declaration;
}

/// What is known about a command.
#[derive(Debug)]
pub struct Declaration {
    /// The command's name.
    pub name: &'static str,
    /// Documentation, a line each.
    pub docs: &'static [&'static str],
    /// Whether it looks or changes.
    pub kind: Kind,
    /// What is particular about carrying it out.
    pub way: Way,
    /// An object type.
    pub arguments: fn() -> Type,
    /// The type of what it answers.
    pub returns: fn() -> Type,
}

/// Whether a command changes what the guest can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It looks only, or changes only what is the host's. It never enters a recording.
    Observes,
    /// It changes the machine: it passes the gate and is recorded.
    Steers,
}

/// What is particular about carrying a command out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nothing.
    Plain,
    /// It may be sent with `exec-oob`, and then overtakes those that wait. Its handler is quick, and waits for nothing.
    OutOfBand,
    /// It is given the next file descriptor of those that its client has passed (SCM_RIGHTS).
    WithDescriptor,
}

/// Commands, events and types that belong together.
#[derive(Debug)]
pub struct Family {
    /// What they are about.
    pub title: &'static str,
    /// The commands.
    pub commands: &'static [&'static Declaration],
    /// The events.
    pub events: &'static [&'static EventDeclaration],
    /// The types, those too that no command uses.
    pub types: &'static [fn() -> Type],
}

/// What a handler answers.
pub type Answer<R> = Result<R, Error>;

/// A command and its arguments, checked: what a recording holds, and what is carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The command's name.
    pub name: String,
    /// Its arguments.
    pub arguments: Map<String, Value>,
}

impl Order {
    /// An order of the type's command.
    pub fn of<C: Command>(command: &C) -> Self {
        let arguments = match serde_json::to_value(command) {
            Ok(Value::Object(arguments)) => arguments,
            Ok(_) | Err(_) => Map::new(),
        };
        Self { name: C::DECLARATION.name.into(), arguments }
    }
}

/// Names one client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// Who wants something done.
#[derive(Debug)]
pub struct Caller {
    /// The connection; `None` if the order comes from a recording or from the machine itself.
    pub session: Option<SessionId>,
    /// The file descriptor that came with a command [`Way::WithDescriptor`].
    pub descriptor: Option<OwnedFd>,
}

impl Caller {
    /// Not a client.
    pub fn nobody() -> Self {
        Self { session: None, descriptor: None }
    }

    /// Takes the file descriptor that the command is about.
    ///
    /// # Errors
    /// None came with it.
    pub fn take_descriptor(&mut self) -> Answer<OwnedFd> {
        self.descriptor.take().ok_or_else(Error::no_descriptor)
    }
}

/// Where an answer goes, once. Dropped unanswered, it says so to the client, who waits for nothing forever.
pub struct Reply(Option<Box<dyn FnOnce(Answer<Value>) + Send>>);

impl Reply {
    /// A reply that `deliver` takes to whoever waits for it.
    pub fn new(deliver: impl FnOnce(Answer<Value>) + Send + 'static) -> Self {
        Self(Some(Box::new(deliver)))
    }

    /// Answers.
    pub fn send(mut self, answer: Answer<Value>) {
        if let Some(deliver) = self.0.take() {
            deliver(answer);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(deliver) = self.0.take() {
            deliver(Err(Error::new("The command was given up without an answer")));
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}

/// A [`Reply`] of a command's own type, for handlers that answer later.
#[derive(Debug)]
pub struct Later<R> {
    reply: Reply,
    returns: PhantomData<fn(R)>,
}

impl<R: Qapi + Serialize> Later<R> {
    /// Answers.
    pub fn send(self, answer: Answer<R>) {
        self.reply.send(answer.and_then(|value| to_value(&value)));
    }
}

/// A client's wish on its way to the machine.
#[derive(Debug)]
pub struct Request {
    /// What is to be done.
    pub order: Order,
    /// Whether it looks or changes.
    pub kind: Kind,
    /// Who wants it.
    pub caller: Caller,
    /// Where the answer goes.
    pub reply: Reply,
}

type Handler<M> = Box<dyn Fn(&mut M, Caller, Value, Reply) + Send + Sync>;

struct Entry<M: ?Sized> {
    declaration: &'static Declaration,
    handler: Handler<M>,
}

/// Which function of a machine `M` carries out which command.
///
/// `qmp_capabilities`, `query-commands`, `query-events` and `query-qmp-schema` are the server's own and need none.
pub struct Registry<M: ?Sized> {
    entries: BTreeMap<&'static str, Entry<M>>,
}

impl<M: ?Sized + 'static> Registry<M> {
    /// A registry without a command.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self { entries: BTreeMap::new() }
    }

    /// A command that is answered at once, and for which it does not matter who asks.
    pub fn on<C: Command>(&mut self, handler: fn(&mut M, C) -> Answer<C::Returns>) -> &mut Self {
        self.on_later::<C>(move |machine, _, command, reply| reply.send(handler(machine, command)))
    }

    /// A command that is answered at once, and depends on who asks or on the file descriptors that came with it.
    pub fn on_from<C: Command>(&mut self, handler: fn(&mut M, &mut Caller, C) -> Answer<C::Returns>) -> &mut Self {
        self.on_later::<C>(move |machine, mut caller, command, reply| {
            reply.send(handler(machine, &mut caller, command));
        })
    }

    /// A command whose handler keeps the reply and answers when it is done. The client's next command waits for it.
    pub fn on_later<C: Command>(
        &mut self,
        handler: impl Fn(&mut M, Caller, C, Later<C::Returns>) + Send + Sync + 'static,
    ) -> &mut Self {
        let declaration = C::DECLARATION;
        let handler =
            move |machine: &mut M, caller: Caller, arguments: Value, reply: Reply| match serde_json::from_value::<C>(
                arguments,
            ) {
                Ok(command) => handler(machine, caller, command, Later { reply, returns: PhantomData }),
                Err(error) => reply.send(Err(Error::new(format!("Arguments of {}: {error}", declaration.name)))),
            };
        self.entries.insert(declaration.name, Entry { declaration, handler: Box::new(handler) });
        self
    }

    /// Carries out a client's wish.
    pub fn run(&self, machine: &mut M, request: Request) {
        let Request { order, caller, reply, .. } = request;
        match self.entries.get(order.name.as_str()) {
            Some(entry) => (entry.handler)(machine, caller, Value::Object(order.arguments), reply),
            None => reply.send(Err(Error::command_not_found(&order.name))),
        }
    }

    /// Carries out an order that no client waits for, such as one from a recording, after checking it as a client's would be.
    ///
    /// # Errors
    /// What a client would have been answered, unless the answer comes later.
    pub fn replay(&self, machine: &mut M, order: Order) -> Answer<()> {
        let entry = self.entries.get(order.name.as_str()).ok_or_else(|| Error::command_not_found(&order.name))?;
        check((entry.declaration.arguments)(), &order.arguments)?;
        let (said, answer) = std::sync::mpsc::sync_channel(1);
        let reply = Reply::new(move |answer| drop(said.try_send(answer)));
        (entry.handler)(machine, Caller::nobody(), Value::Object(order.arguments), reply);
        answer.try_recv().unwrap_or(Ok(Value::Null)).map(drop)
    }

    /// The commands that there is a handler for, and all events.
    pub fn catalog(&self) -> Catalog {
        Catalog::new(self.entries.values().map(|entry| entry.declaration))
    }
}

impl<M: ?Sized> fmt::Debug for Registry<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.entries.keys()).finish()
    }
}

/// The commands that a server offers: what is left of a [`Registry`] without the machine.
#[derive(Debug, Clone)]
pub struct Catalog {
    commands: BTreeMap<&'static str, &'static Declaration>,
}

impl Catalog {
    /// A catalog of these commands and of the server's own.
    pub fn new(commands: impl IntoIterator<Item = &'static Declaration>) -> Self {
        let own = crate::session::OWN_COMMANDS.iter().copied();
        Self { commands: commands.into_iter().chain(own).map(|command| (command.name, command)).collect() }
    }

    /// A command by its name.
    pub fn find(&self, name: &str) -> Option<&'static Declaration> {
        self.commands.get(name).copied()
    }

    /// All commands, by name.
    pub fn commands(&self) -> impl Iterator<Item = &'static Declaration> + '_ {
        self.commands.values().copied()
    }

    /// The names of declared commands that are not offered.
    pub fn missing(&self) -> BTreeSet<&'static str> {
        let declared = crate::commands::FAMILIES.iter().flat_map(|family| family.commands);
        declared.map(|command| command.name).filter(|name| !self.commands.contains_key(name)).collect()
    }
}

/// An answer's JSON; a command without a result answers an empty object.
pub(crate) fn to_value<R: Qapi + Serialize>(answer: &R) -> Answer<Value> {
    if R::ty().is_nothing() {
        return Ok(Value::Object(Map::new()));
    }
    serde_json::to_value(answer).map_err(|error| Error::new(format!("The answer has no JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::control::{NameInfo, QueryName};
    use crate::commands::run_state::{SetAction, Stop, WatchdogAction, WatchdogSetAction};
    use serde_json::json;
    use std::sync::mpsc;

    #[derive(Default)]
    struct Machine {
        stopped: bool,
        on_watchdog: Option<WatchdogAction>,
        waiting: Vec<Later<NameInfo>>,
    }

    fn stop(machine: &mut Machine, _: Stop) -> Answer<()> {
        machine.stopped = true;
        Ok(())
    }

    #[allow(clippy::needless_pass_by_value)]
    fn watchdog(machine: &mut Machine, command: WatchdogSetAction) -> Answer<()> {
        if command.action == WatchdogAction::Debug {
            return Err(Error::new("no"));
        }
        machine.on_watchdog = Some(command.action);
        Ok(())
    }

    fn registry() -> Registry<Machine> {
        let mut registry = Registry::new();
        registry.on(stop).on(watchdog);
        registry.on_later(|machine: &mut Machine, _, _: QueryName, later| machine.waiting.push(later));
        registry
    }

    fn ask(registry: &Registry<Machine>, machine: &mut Machine, order: Order) -> mpsc::Receiver<Answer<Value>> {
        let (said, answer) = mpsc::channel();
        let reply = Reply::new(move |answer| said.send(answer).unwrap());
        registry.run(machine, Request { order, kind: Kind::Observes, caller: Caller::nobody(), reply });
        answer
    }

    #[test]
    fn a_handler_gets_its_arguments_typed_and_its_error_reaches_the_client() {
        let (registry, mut machine) = (registry(), Machine::default());
        let answer = ask(&registry, &mut machine, Order::of(&WatchdogSetAction { action: WatchdogAction::InjectNmi }));
        assert_eq!(answer.try_recv().unwrap(), Ok(json!({})));
        assert_eq!(machine.on_watchdog, Some(WatchdogAction::InjectNmi));
        let answer = ask(&registry, &mut machine, Order::of(&WatchdogSetAction { action: WatchdogAction::Debug }));
        assert_eq!(answer.try_recv().unwrap(), Err(Error::new("no")));
    }

    #[test]
    fn an_answer_may_come_later_and_one_that_never_comes_is_an_error() {
        let (registry, mut machine) = (registry(), Machine::default());
        let first = ask(&registry, &mut machine, Order::of(&QueryName {}));
        let second = ask(&registry, &mut machine, Order::of(&QueryName {}));
        assert!(first.try_recv().is_err());
        machine.waiting.remove(0).send(Ok(NameInfo { name: Some("guest".into()) }));
        assert_eq!(first.try_recv().unwrap(), Ok(json!({ "name": "guest" })));
        machine.waiting.clear();
        assert!(second.try_recv().unwrap().is_err());
    }

    #[test]
    fn a_recorded_order_is_checked_like_a_clients() {
        let (registry, mut machine) = (registry(), Machine::default());
        let recorded = serde_json::to_string(&Order::of(&Stop {})).unwrap();
        registry.replay(&mut machine, serde_json::from_str(&recorded).unwrap()).unwrap();
        assert!(machine.stopped);
        let broken = Order { name: "watchdog-set-action".into(), arguments: Map::new() };
        assert_eq!(registry.replay(&mut machine, broken), Err(Error::missing("action")));
        let unknown = Order::of(&SetAction { reboot: None, shutdown: None, panic: None, watchdog: None });
        assert_eq!(registry.replay(&mut machine, unknown), Err(Error::command_not_found("set-action")));
    }

    #[test]
    fn the_catalog_has_the_handled_commands_and_the_servers_own() {
        let names: Vec<_> = registry().catalog().commands().map(|command| command.name).collect();
        let own = ["qmp_capabilities", "query-commands", "query-events", "query-name", "query-qmp-schema"];
        assert_eq!(names, [&own[..], &["stop", "watchdog-set-action"]].concat());
        assert!(registry().catalog().missing().contains("query-status"));
    }
}
