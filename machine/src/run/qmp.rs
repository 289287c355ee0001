//! QMP's server as a part of a run: opened from the command line, served between two slices of the guest's time.

use super::{Control, RunError};
use crate::chardev::{HostEvent, Reporter};
use crate::commandline::{Backend, ChardevConfig, Config, SocketAddress, SocketRole};
use crate::control;
use lockstep_qmp::commands::control::Quit;
use lockstep_qmp::registry::{Command, Registry};
use lockstep_qmp::server::{Address, Endpoint, Monitor, Server, StartError, Teller, inherited};
use lockstep_qmp::session::Offer;
use lockstep_qmp::wire::Layout;
use std::time::Duration;

/// The server, if the command line asks for one.
pub(super) struct Qmp {
    registry: Registry<Control>,
    server: Option<Server>,
}

impl Qmp {
    /// Opens the monitors of a command line.
    pub(super) fn start(config: &Config, reporter: &Reporter) -> Result<Self, RunError> {
        let registry = control::registry();
        let mut monitors = Vec::new();
        let mut origins = Vec::new();
        for qmp in &config.qmp {
            let Some(chardev) = config.chardev(&qmp.chardev) else { continue };
            let blame = |why| RunError::Qmp { origin: chardev.origin.clone(), why };
            let Some(endpoint) = endpoint(chardev).map_err(blame)? else { continue };
            let layout = if qmp.pretty { Layout::Pretty } else { Layout::Compact };
            monitors.push(Monitor { endpoint, layout });
            origins.push(chardev.origin.clone());
        }
        if monitors.is_empty() {
            return Ok(Self { registry, server: None });
        }
        let offer = Offer::new(control::compatible_version(config.compatible_version), registry.catalog());
        let reporter = reporter.clone();
        let wake = move |name: &str| {
            // The machine's thread may be at a long work that only this ends.
            if name == Quit::DECLARATION.name {
                reporter.expect_quit();
            }
            reporter.report(HostEvent::Request);
        };
        let server = Server::start(monitors, offer, wake);
        let server = server.map_err(|why| RunError::Qmp { origin: origins.join(" or "), why })?;
        Ok(Self { registry, server: Some(server) })
    }

    /// Carries out what clients want.
    pub(super) fn serve(&self, control: &mut Control) {
        while let Some(request) = self.server.as_ref().and_then(Server::next_request) {
            self.registry.run(control, request);
            if control.quitting().is_some() {
                break;
            }
        }
    }

    /// What tells clients of events.
    pub(super) fn teller(&self) -> Option<Teller> {
        self.server.as_ref().map(Server::teller)
    }

    /// Tells clients what has happened.
    pub(super) fn tell(&self, control: &mut Control) {
        for occurrence in control.take_happened() {
            if let Some(server) = &self.server {
                server.tell(occurrence);
            }
        }
    }

    /// Says the last words and hangs up.
    pub(super) fn shut_down(self) {
        if let Some(server) = self.server {
            server.shut_down();
        }
    }
}

/// Where the clients of a character device are met; `None` if there can be none.
fn endpoint(chardev: &ChardevConfig) -> Result<Option<Endpoint>, StartError> {
    let (address, role) = match &chardev.backend {
        Backend::Null
        | Backend::File { .. }
        | Backend::Ring { .. }
        | Backend::Pty
        | Backend::Pipe { .. }
        | Backend::Udp { .. }
        | Backend::SerialLine { .. } => return Ok(None),
        Backend::Stdio { .. } => return Ok(Some(Endpoint::Stdio)),
        Backend::Socket { address, role } => (address, *role),
    };
    let address = match address {
        // A process in the background is elsewhere when it removes the name.
        SocketAddress::Unix(path) => Address::Unix(std::path::absolute(path).unwrap_or_else(|_| path.clone())),
        SocketAddress::Abstract { name, tight } => Address::Abstract { name: name.clone(), tight: *tight },
        SocketAddress::Tcp(host, port) => Address::Tcp(host.to_string(), *port),
        SocketAddress::Descriptor(number) => {
            let socket = inherited(*number).map_err(StartError::Descriptor)?;
            let wait = matches!(role, SocketRole::Server { wait: true });
            return Ok(Some(Endpoint::Descriptor { socket, wait }));
        }
    };
    Ok(Some(match role {
        SocketRole::Server { wait } => Endpoint::Listen { address, wait },
        SocketRole::Client { reconnect } => {
            Endpoint::Connect { address, reconnect: reconnect.map(|seconds| Duration::from_secs(seconds.into())) }
        }
    }))
}
