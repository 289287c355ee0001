//! The host's ends of character devices: terminal, files, sockets.
//!
//! Every end has threads of its own. What they read goes into one channel as [`HostEvent`]s, which the machine's thread
//! takes out between two slices and feeds to the gate; what the guest writes is queued by [`Chardevs::write`] and
//! carried out by the end's writer. So nothing here ever touches the machine, and the machine waits for nothing here,
//! with one exception that loses no output: see [`Outlet`].

mod outlet;
mod ring;
mod socket;
mod stdio;
mod udp;
mod wire;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use crate::commandline::{Backend, ChardevConfig, ChardevLog, Config, RecordReplay, SocketAddress};
use crate::host_file;
use rustix::fs::OFlags;

pub use outlet::Outlet;
pub use ring::Ring;
use socket::SocketEnd;
use stdio::StdioEnd;
use udp::UdpEnd;
use wire::WireEnd;

/// Names a character device: its place in [`Config::chardevs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChardevId(pub usize);

/// Something that happened on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostEvent {
    /// Bytes for the device on this character device.
    Bytes {
        /// Where they came in.
        chardev: ChardevId,
        /// The bytes, never empty.
        data: Vec<u8>,
    },
    /// Bytes for the monitor on this character device.
    MonitorBytes {
        /// Where they came in.
        chardev: ChardevId,
        /// The bytes, never empty.
        data: Vec<u8>,
    },
    /// The user switched to the monitor on this character device, or away from it.
    MonitorFocus {
        /// Where.
        chardev: ChardevId,
        /// The monitor has the keyboard now.
        focused: bool,
    },
    /// The user asked for a break condition on the line.
    Break {
        /// Where.
        chardev: ChardevId,
    },
    /// A client connected.
    Opened {
        /// Where.
        chardev: ChardevId,
    },
    /// The client left, or the input ended; output to a terminal or file goes on.
    Closed {
        /// Where.
        chardev: ChardevId,
    },
    /// A QMP client wants something: the server has it.
    Request,
    /// A dump that is being written wants something.
    Dump,
    /// The run is to end.
    Quit {
        /// Who asked.
        cause: QuitCause,
    },
}

/// Who ended the run from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuitCause {
    /// Ctrl-A x.
    Key,
    /// The monitor's `quit`.
    Monitor,
    /// QMP's `quit`.
    Qmp,
    /// A debugger's `kill`.
    Debugger,
    /// This signal.
    Signal(i32),
}

/// Where the host's side reports to: the sending half of the machine's event channel.
#[derive(Debug, Clone)]
pub struct Reporter {
    events: Sender<HostEvent>,
    quitting: Arc<AtomicBool>,
}

impl Reporter {
    /// A reporter and the channel that the machine's thread reads. A sleeping machine waits in
    /// [`Receiver::recv_timeout`], which every event ends.
    pub fn new() -> (Self, Receiver<HostEvent>) {
        let (events, receiver) = mpsc::channel();
        (Reporter { events, quitting: Arc::default() }, receiver)
    }

    /// Reports an event. Once a quit was reported nobody waits for a stalled reader any more.
    pub fn report(&self, event: HostEvent) {
        if matches!(event, HostEvent::Quit { .. }) {
            self.quitting.store(true, Ordering::Relaxed);
        }
        // The machine is gone only when the process is about to be.
        let _ = self.events.send(event);
    }

    /// Somebody wants the machine to end, as will be reported in its turn: who waits may give up.
    pub fn expect_quit(&self) {
        self.quitting.store(true, Ordering::Relaxed);
    }

    /// What tells that a quit was reported or is expected.
    pub fn quitting(&self) -> Arc<AtomicBool> {
        self.quitting.clone()
    }

    /// Whether a quit was reported or is expected.
    pub fn is_quitting(&self) -> bool {
        self.quitting.load(Ordering::Relaxed)
    }
}

/// A character device that cannot be opened. Its `Display` names the option that asked for it.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: {problem}")]
pub struct ChardevError {
    /// The option as typed.
    pub origin: String,
    /// What went wrong.
    #[source]
    pub problem: Problem,
}

/// What can go wrong when a character device is opened.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Someone else listens there.
    #[error("the socket is in use by another process")]
    Busy,
    /// There is something at the path that is not a socket.
    #[error("the path is taken by something that is not a socket")]
    NotASocket,
    /// What was named as a serial line is none.
    #[error("it is no terminal")]
    NotATerminal,
    /// The file that its output is to be written to cannot be made.
    #[error("Could not create '{}': {}", path.display(), host_words(why))]
    Log {
        /// Where.
        path: PathBuf,
        /// Why not.
        why: io::Error,
    },
    /// Anything else that the host says.
    #[error("{}", host_words(.0))]
    Host(#[from] io::Error),
}

/// The host's words for an error, without the number that Rust adds.
pub(crate) fn host_words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// How long to wait at the end for output to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// As long as it takes: the run ended by itself, and all it said must arrive.
    Forever,
    /// This long: the user wants to leave.
    Limited(Duration),
}

/// How long what is closed in the midst of a run waits for its output to be taken.
const PARTING: Patience = Patience::Limited(Duration::from_millis(200));

/// One open character device.
enum End {
    /// Nobody there.
    Null,
    File(Outlet),
    Stdio(StdioEnd),
    Socket(SocketEnd),
    Ring(Ring),
    Wire(WireEnd),
    Udp(UdpEnd),
}

impl End {
    fn close(self, patience: Patience) {
        match self {
            End::Null | End::Ring(_) => {}
            End::File(outlet) => outlet.finish(patience),
            End::Stdio(stdio) => stdio.finish(patience),
            End::Socket(socket) => socket.finish(patience),
            End::Wire(wire) => wire.finish(patience),
            End::Udp(udp) => udp.finish(patience),
        }
    }
}

/// All character devices of a machine, at the places that they have in [`Config::chardevs`].
#[derive(Default)]
pub struct Chardevs {
    ends: Vec<End>,
    /// What output is written to beside.
    logs: Vec<Option<Outlet>>,
    names: Vec<String>,
    /// Who hears of what is made later; nobody before the run.
    reporter: Option<Reporter>,
}

impl Chardevs {
    /// Opens everything that `config` names and starts its threads. Waits for the clients of servers that say so. The
    /// terminal comes last, so that an error before leaves it alone.
    ///
    /// When a recording is replayed no live source is opened: sockets stay closed, and of the terminal's keys only those
    /// for Lockstep itself work.
    pub fn open(config: &Config, reporter: &Reporter) -> Result<Self, ChardevError> {
        let (mut ends, mut logs) = (Vec::new(), Vec::new());
        for (place, chardev) in config.chardevs.iter().enumerate() {
            let blame = |problem: Problem| ChardevError { origin: chardev.origin.clone(), problem };
            logs.push(open_log(chardev, reporter).map_err(blame)?);
            ends.push(open_unattended(config, ChardevId(place), chardev, reporter).map_err(blame)?);
        }
        for end in &mut ends {
            if let End::Socket(socket) = end {
                socket.await_first_client();
            }
        }
        for (place, chardev) in config.chardevs.iter().enumerate() {
            if let Backend::Stdio { signals } = chardev.backend
                && !speaks_qmp(config, chardev)
            {
                let blame = |error: io::Error| ChardevError { origin: chardev.origin.clone(), problem: error.into() };
                let users = Users::of(config, chardev);
                let end = StdioEnd::open(ChardevId(place), users, signals, reporter).map_err(blame)?;
                ends[place] = End::Stdio(end);
            }
        }
        let names = config.chardevs.iter().map(|chardev| chardev.id.clone()).collect();
        Ok(Chardevs { ends, logs, names, reporter: Some(reporter.clone()) })
    }

    /// The character device called `name` on the command line.
    pub fn id(&self, name: &str) -> Option<ChardevId> {
        self.names.iter().position(|other| other == name).map(ChardevId)
    }

    /// Queues output. It returns at once unless a megabyte is waiting already; then it waits for room, and gives up
    /// waiting when the run is to end. Output to a socket without a client goes nowhere, as in QEMU.
    pub fn write(&self, id: ChardevId, data: &[u8]) {
        if let Some(Some(log)) = self.logs.get(id.0) {
            log.write(data);
        }
        match self.ends.get(id.0) {
            Some(End::File(outlet)) => outlet.write(data),
            Some(End::Stdio(stdio)) => stdio.outlet().write(data),
            Some(End::Socket(socket)) => socket.write(data),
            Some(End::Ring(ring)) => ring.write(data),
            Some(End::Wire(wire)) => wire.outlet().write(data),
            Some(End::Udp(udp)) => udp.outlet().write(data),
            Some(End::Null) | None => {}
        }
    }

    /// Opens what is configured at `place` of [`Config::chardevs`], the first free one or one that is open, which is closed
    /// then. Nothing is waited for.
    pub fn open_at(&mut self, config: &Config, place: usize) -> Result<(), Problem> {
        let missing = || Problem::Host(io::ErrorKind::NotFound.into());
        let chardev = config.chardevs.get(place).ok_or_else(missing)?;
        let reporter = self.reporter.get_or_insert_with(|| Reporter::new().0);
        let log = open_log(chardev, reporter)?;
        let end = open_unattended(config, ChardevId(place), chardev, reporter)?;
        if self.ends.len() <= place {
            self.ends.resize_with(place + 1, || End::Null);
            self.logs.resize_with(place + 1, || None);
            self.names.resize_with(place + 1, String::new);
        }
        self.names[place].clone_from(&chardev.id);
        std::mem::replace(&mut self.ends[place], end).close(PARTING);
        finish_log(std::mem::replace(&mut self.logs[place], log), PARTING);
        Ok(())
    }

    /// Closes a character device. Its place stays empty, and nobody finds it by its name.
    pub fn close(&mut self, id: ChardevId) {
        if let (Some(end), Some(name)) = (self.ends.get_mut(id.0), self.names.get_mut(id.0)) {
            name.clear();
            std::mem::replace(end, End::Null).close(PARTING);
            finish_log(self.logs.get_mut(id.0).and_then(Option::take), PARTING);
        }
    }

    /// The memory of a character device that has some.
    pub fn ring(&self, id: ChardevId) -> Option<&Ring> {
        match self.ends.get(id.0)? {
            End::Ring(ring) => Some(ring),
            _ => None,
        }
    }

    /// Where the pseudoterminal is that users open.
    pub fn terminal(&self, id: ChardevId) -> Option<&Path> {
        match self.ends.get(id.0)? {
            End::Wire(wire) => wire.terminal(),
            _ => None,
        }
    }

    /// Gives a server without a client one that was accepted elsewhere; false if it takes none.
    pub fn add_client(&self, id: ChardevId, client: OwnedFd) -> bool {
        match self.ends.get(id.0) {
            Some(End::Socket(socket)) => socket.add_client(client),
            _ => false,
        }
    }

    /// Where a server really listens: the port that the host chose for port 0.
    pub fn local_address(&self, id: ChardevId) -> Option<SocketAddress> {
        match self.ends.get(id.0) {
            Some(End::Socket(socket)) => socket.local_address(),
            _ => None,
        }
    }

    /// Sends out what is queued, ends the threads, restores the terminal and removes the sockets' names.
    pub fn flush_and_close(self, patience: Patience) {
        self.ends.into_iter().for_each(|end| end.close(patience));
        self.logs.into_iter().for_each(|log| finish_log(log, patience));
    }
}

/// Opens the file that a character device's output is written to beside.
fn open_log(chardev: &ChardevConfig, reporter: &Reporter) -> Result<Option<Outlet>, Problem> {
    let Some(ChardevLog { path, append }) = &chardev.log else { return Ok(None) };
    let file = output_file(path, *append).map_err(|why| Problem::Log { path: path.clone(), why })?;
    Ok(Some(Outlet::start(file, chardev.origin.clone(), reporter.clone())?))
}

fn finish_log(log: Option<Outlet>, patience: Patience) {
    if let Some(log) = log {
        log.finish(patience);
    }
}

fn output_file(path: &Path, append: bool) -> io::Result<File> {
    let kept = if append { OFlags::APPEND } else { OFlags::TRUNC };
    host_file::open(path, OFlags::WRONLY | OFlags::CREATE | kept)
}

/// Opens everything but the terminal.
fn open_unattended(
    config: &Config,
    id: ChardevId,
    chardev: &ChardevConfig,
    reporter: &Reporter,
) -> Result<End, Problem> {
    match &chardev.backend {
        Backend::Null | Backend::Stdio { .. } => Ok(End::Null),
        Backend::Ring { size } => Ok(End::Ring(Ring::new(*size))),
        Backend::File { path, append } => {
            let file = output_file(path, *append)?;
            Ok(End::File(Outlet::start(file, chardev.origin.clone(), reporter.clone())?))
        }
        Backend::Socket { .. }
        | Backend::Udp { .. }
        | Backend::Pty
        | Backend::Pipe { .. }
        | Backend::SerialLine { .. }
            if is_replayed(config) && !serves_debugger(config, chardev) || speaks_qmp(config, chardev) =>
        {
            Ok(End::Null)
        }
        Backend::Udp { to, from } => {
            let users = Users::of(config, chardev);
            Ok(End::Udp(UdpEnd::open(id, users, &chardev.origin, reporter, (*to, *from))?))
        }
        Backend::Pty => {
            let users = Users::of(config, chardev);
            Ok(End::Wire(WireEnd::pseudoterminal(id, users, &chardev.origin, reporter)?))
        }
        Backend::Pipe { path } => {
            let users = Users::of(config, chardev);
            Ok(End::Wire(WireEnd::pipe(id, users, &chardev.origin, reporter, path)?))
        }
        Backend::SerialLine { path } => {
            let users = Users::of(config, chardev);
            Ok(End::Wire(WireEnd::serial_line(id, users, &chardev.origin, reporter, path)?))
        }
        Backend::Socket { address, role } => {
            let users = Users::of(config, chardev);
            Ok(End::Socket(SocketEnd::open(id, users, chardev, address, *role, reporter)?))
        }
    }
}

/// Whether QMP's server opens it.
fn speaks_qmp(config: &Config, chardev: &ChardevConfig) -> bool {
    config.qmp.iter().any(|qmp| qmp.chardev == chardev.id)
}

/// Whether a debugger is on it. It may look at a replayed machine.
fn serves_debugger(config: &Config, chardev: &ChardevConfig) -> bool {
    config.gdb.as_ref() == Some(&chardev.id)
}

fn is_replayed(config: &Config) -> bool {
    matches!(config.icount.record_replay, RecordReplay::Replay(_))
}

/// Who is attached to a character device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Users {
    device: bool,
    monitor: bool,
    /// The escape character, if the character device is a mux.
    escape: Option<u8>,
    /// What is typed for the guest is thrown away.
    cut_off: bool,
}

impl Users {
    fn of(config: &Config, chardev: &ChardevConfig) -> Self {
        let monitor = config.monitors.contains(&chardev.id);
        let serial = config.serial.iter().flatten().any(|id| *id == chardev.id);
        let device = serial || config.devices.iter().any(|device| device.property("chardev") == Some(&chardev.id));
        Users {
            device: device || !monitor,
            monitor,
            escape: chardev.mux.then_some(config.escape),
            cut_off: is_replayed(config) && !serves_debugger(config, chardev),
        }
    }
}
