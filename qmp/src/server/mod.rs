//! The server: a thread that listens and connects, talks to any number of clients at once, and never waits for the machine
//! nor lets the machine wait for it.
//!
//! The machine is sent [`Request`]s and woken; it answers each through the request's own [`Reply`](crate::registry::Reply).
//!
//! ```no_run
//! # use lockstep_qmp::{registry::Registry, server::{Endpoint, Monitor, Server}, session::Offer, Timestamp};
//! # fn example(registry: Registry<u32>, mut machine: u32, version: lockstep_qmp::commands::control::VersionInfo)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! let offer = Offer::new(version, registry.catalog());
//! let thread = std::thread::current();
//! let server = Server::start(vec![Monitor::at(Endpoint::Stdio)], offer, move |_| thread.unpark())?;
//! while machine != 0 {
//!     while let Some(request) = server.next_request() {
//!         // A request that steers passes the gate and is recorded: `request.order` is what there is to record.
//!         registry.run(&mut machine, request);
//!     }
//!     std::thread::park();
//! }
//! server.shut_down();
//! # Ok(())
//! # }
//! ```

mod connection;
mod endpoint;
mod hub;
mod inherited;
mod stdio;
mod throttle;

pub use endpoint::{Address, Endpoint, StartError, abstract_address};
pub use inherited::inherited;

use crate::event::{Event, Occurrence, Timestamp};
use crate::registry::Request;
use crate::session::Offer;
use crate::wire::Layout;
use endpoint::Opened;
use hub::{Control, Hub};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a server that shuts down tries to get rid of what it has to say.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How many events may be on their way to the server's thread. Beyond, they are lost, as they are to a client that never reads.
const MAX_EVENTS: usize = 4096;

/// A place where clients are met, and how they are answered.
#[derive(Debug)]
pub struct Monitor {
    /// Where.
    pub endpoint: Endpoint,
    /// How replies are laid out.
    pub layout: Layout,
}

impl Monitor {
    /// A monitor with replies of one line each.
    pub fn at(endpoint: Endpoint) -> Self {
        Self { endpoint, layout: Layout::Compact }
    }
}

/// A running server. Dropped, it shuts down.
pub struct Server {
    requests: Receiver<Request>,
    control: smol::channel::Sender<Control>,
    thread: Option<JoinHandle<()>>,
    /// Says so when the last byte has gone to the standard output.
    stdio: Vec<Receiver<()>>,
    addresses: Vec<SocketAddr>,
    /// The sockets' names in the file system, removed at the end.
    names: Vec<endpoint::Name>,
}

impl Server {
    /// Opens all monitors, and then serves them on a thread of its own. `wake` is called there, with the
    /// command's name, whenever there is a request. Monitors that wait for a client are waited for here.
    ///
    /// # Errors
    /// A monitor cannot be opened.
    pub fn start(
        monitors: Vec<Monitor>,
        offer: Offer,
        wake: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        let (request, requests) = mpsc::channel();
        let (control, controls) = smol::channel::unbounded();
        let (mut opened, mut clients, mut stdio, mut addresses, mut names) = (vec![], vec![], vec![], vec![], vec![]);
        for monitor in monitors {
            let one = Opened::open(monitor)?;
            clients.extend(one.first_client);
            stdio.extend(one.written);
            addresses.extend(one.address);
            names.extend(one.name);
            opened.push(one.source);
        }
        let hub = Hub::new(Arc::new(offer), request, Box::new(wake), control.clone());
        let thread = std::thread::Builder::new().name("qmp".into()).spawn(move || hub::run(hub, opened, &controls));
        let thread = Some(thread.map_err(StartError::Thread)?);
        let server = Self { requests, control, thread, stdio, addresses, names };
        for client in clients {
            // An error means that the server is gone, which is no reason to wait.
            let _ = client.recv();
        }
        Ok(server)
    }

    /// The next request, if there is one.
    pub fn next_request(&self) -> Option<Request> {
        self.requests.try_recv().ok()
    }

    /// The next request, waited for. `None` if none came in time.
    pub fn wait_for_request(&self, patience: Duration) -> Option<Request> {
        self.requests.recv_timeout(patience).ok()
    }

    /// Tells all clients of an event that happened at `timestamp`.
    pub fn emit<E: Event>(&self, event: &E, timestamp: Timestamp) {
        self.tell(Occurrence::new(event, timestamp));
    }

    /// Tells all clients of an event. They are told of it before any answer that is given after it.
    pub fn tell(&self, occurrence: Occurrence) {
        self.teller().tell(occurrence);
    }

    /// Something that tells all clients of events, for as long as the server lives.
    pub fn teller(&self) -> Teller {
        Teller { control: self.control.clone() }
    }

    /// Where TCP monitors listen, in the order in which they were given.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Sends what there is to send, replies to `quit` among it, and ends all conversations. It takes a second at most.
    pub fn shut_down(self) {
        drop(self);
    }
}

/// Tells all clients of events, see [`Server::tell`].
#[derive(Clone)]
pub struct Teller {
    control: smol::channel::Sender<Control>,
}

impl Teller {
    /// Tells all clients of an event.
    pub fn tell(&self, occurrence: Occurrence) {
        if self.control.len() < MAX_EVENTS {
            // It can only fail if the server is gone, and its clients with it.
            let _ = self.control.try_send(Control::Event(occurrence));
        }
    }
}

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Teller")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.control.try_send(Control::ShutDown);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for written in &self.stdio {
            let _ = written.recv_timeout(LAST_WORDS);
        }
        self.names.clear();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses).field("names", &self.names).finish_non_exhaustive()
    }
}
