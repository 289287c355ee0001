//! Stream sockets: a server for one client at a time, or a client.

use std::fs;
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::outlet::{Outlet, Sink};
use super::stdio::{CHUNK, Keyboard, Reader, goes_on_after, wait_readable, wait_readable_of};
use super::{ChardevId, HostEvent, Patience, Problem, Reporter, Users};
use crate::commandline::{ChardevConfig, SocketAddress, SocketRole};
use lockstep_qmp::server::{abstract_address, inherited};
use rustix::net::AddressFamily;

pub(super) struct SocketEnd {
    line: Arc<Line>,
    reader: Reader,
    /// Told about the first client; taken once it came.
    first_client: Option<Receiver<()>>,
    origin: String,
    reporter: Reporter,
    local: Option<SocketAddress>,
    /// The name to remove at the end.
    name: Option<PathBuf>,
    /// Where a server is given clients that were accepted elsewhere, and the bell that tells it so.
    door: Option<(Sender<OwnedFd>, PipeWriter)>,
}

/// What the reader and the machine share.
struct Line {
    peer: Peer,
    outlet: Outlet,
}

/// The one at the other end, if there is one.
#[derive(Clone, Default)]
struct Peer(Arc<Mutex<Option<Arc<Stream>>>>);

impl Peer {
    fn get(&self) -> Option<Arc<Stream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, stream: Option<Arc<Stream>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stream;
    }
}

impl Sink for Peer {
    /// A peer that does not take what it is sent has left, and the next one may come.
    fn carry(&mut self, data: &[u8]) -> io::Result<()> {
        if let Some(stream) = self.get()
            && stream.write_all(data).is_err()
        {
            stream.shutdown();
        }
        Ok(())
    }
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => (&mut &*stream).read(buffer),
            Stream::Tcp(stream) => (&mut &*stream).read(buffer),
        }
    }

    fn write_all(&self, data: &[u8]) -> io::Result<()> {
        match self {
            Stream::Unix(stream) => (&mut &*stream).write_all(data),
            Stream::Tcp(stream) => (&mut &*stream).write_all(data),
        }
    }

    /// Ends the conversation, also for a thread that is stuck in it.
    fn shutdown(&self) {
        let _ = match self {
            Stream::Unix(stream) => stream.shutdown(Shutdown::Both),
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Unix(stream) => stream.as_fd(),
            Stream::Tcp(stream) => stream.as_fd(),
        }
    }
}

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    fn open(address: &SocketAddress) -> Result<Self, Problem> {
        match address {
            SocketAddress::Unix(path) => Ok(Listener::Unix(listen_at(path)?)),
            SocketAddress::Abstract { name, tight } => {
                match abstract_address(name, *tight).and_then(|address| UnixListener::bind_addr(&address)) {
                    Err(error) if error.kind() == ErrorKind::AddrInUse => Err(Problem::Busy),
                    listener => Ok(Listener::Unix(listener?)),
                }
            }
            SocketAddress::Tcp(host, port) => match TcpListener::bind(SocketAddr::new(*host, *port)) {
                Ok(listener) => Ok(Listener::Tcp(listener)),
                Err(error) if error.kind() == ErrorKind::AddrInUse => Err(Problem::Busy),
                Err(error) => Err(error.into()),
            },
            SocketAddress::Descriptor(number) => {
                let socket = inherited(*number)?;
                let family = rustix::net::sockopt::socket_domain(&socket).map_err(io::Error::from)?;
                Ok(if family == AddressFamily::UNIX {
                    Listener::Unix(socket.into())
                } else {
                    Listener::Tcp(socket.into())
                })
            }
        }
    }

    fn accept(&self) -> io::Result<Stream> {
        match self {
            Listener::Unix(listener) => Ok(Stream::Unix(listener.accept()?.0)),
            Listener::Tcp(listener) => {
                let stream = listener.accept()?.0;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
        }
    }

    fn local_address(&self) -> Option<SocketAddress> {
        match self {
            Listener::Unix(listener) => {
                listener.local_addr().ok()?.as_pathname().map(|path| SocketAddress::Unix(path.to_owned()))
            }
            Listener::Tcp(listener) => {
                listener.local_addr().ok().map(|address| SocketAddress::Tcp(address.ip(), address.port()))
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Unix(listener) => listener.as_fd(),
            Listener::Tcp(listener) => listener.as_fd(),
        }
    }
}

/// Listens at a path. A socket that a crashed process left there is replaced; one that is alive is not.
fn listen_at(path: &Path) -> Result<UnixListener, Problem> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {}
        outcome => return Ok(outcome?),
    }
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(Problem::NotASocket);
    }
    if is_alive(path) {
        return Err(Problem::Busy);
    }
    fs::remove_file(path)?;
    Ok(UnixListener::bind(path)?)
}

/// Whether someone listens at a path. The kernel's list is asked first, because knocking would count as a client.
fn is_alive(path: &Path) -> bool {
    let list = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let listed = |line: &str| line.split_whitespace().nth(7).is_some_and(|name| Path::new(name) == path);
    list.lines().any(listed) || UnixStream::connect(path).is_ok()
}

fn connect(address: &SocketAddress) -> io::Result<Stream> {
    match address {
        SocketAddress::Unix(path) => UnixStream::connect(path).map(Stream::Unix),
        SocketAddress::Abstract { name, tight } => {
            UnixStream::connect_addr(&abstract_address(name, *tight)?).map(Stream::Unix)
        }
        SocketAddress::Tcp(host, port) => {
            let stream = TcpStream::connect(SocketAddr::new(*host, *port))?;
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream))
        }
        // What is read and written is a stream, whatever kind of socket it is.
        SocketAddress::Descriptor(number) => Ok(Stream::Unix(inherited(*number)?.into())),
    }
}

impl SocketEnd {
    pub(super) fn open(
        id: ChardevId,
        users: Users,
        chardev: &ChardevConfig,
        address: &SocketAddress,
        role: SocketRole,
        reporter: &Reporter,
    ) -> Result<Self, Problem> {
        let peer = Peer::default();
        let outlet = Outlet::start(peer.clone(), chardev.origin.clone(), reporter.clone())?;
        let line = Arc::new(Line { peer, outlet });
        let keyboard = Keyboard::new(id, users, reporter.clone());
        let mut conversation = Conversation { id, line: Arc::clone(&line), keyboard, reporter: reporter.clone() };
        let mut door = None;
        let (reader, first_client, local) = match role {
            SocketRole::Client { reconnect: Some(seconds) } => {
                let (address, pause) = (address.clone(), Duration::from_secs(seconds.into()));
                let reader = Reader::start(move |stopped| conversation.call(&address, pause, &stopped))?;
                (reader, None, None)
            }
            SocketRole::Client { reconnect: None } => {
                let stream = conversation.begin(connect(address)?);
                let reader = Reader::start(move |stopped| conversation.carry_on(&stream, &stopped))?;
                (reader, None, None)
            }
            SocketRole::Server { wait } => {
                let listener = Listener::open(address)?;
                let local = listener.local_address();
                let (tell, told) = mpsc::channel();
                let (bring, brought) = mpsc::channel();
                let (bell, ring) = io::pipe()?;
                door = Some((bring, ring));
                let visitors = Visitors { listener, bell, brought };
                let reader = Reader::start(move |stopped| conversation.serve(visitors, &tell, &stopped))?;
                (reader, wait.then_some(told), local)
            }
        };
        let name = match (role, address) {
            // A process in the background is elsewhere when it removes the name.
            (SocketRole::Server { .. }, SocketAddress::Unix(path)) => Some(std::path::absolute(path)?),
            _ => None,
        };
        let origin = chardev.origin.clone();
        Ok(SocketEnd { line, reader, first_client, origin, reporter: reporter.clone(), local, name, door })
    }

    /// Returns when the first client is there, for a server that waits, or when the run is to end.
    pub(super) fn await_first_client(&mut self) {
        let Some(told) = self.first_client.take() else { return };
        if told.try_recv().is_ok() {
            return;
        }
        eprintln!("lockstep: {}: waiting for a connection", self.origin);
        while !self.reporter.is_quitting() {
            match told.recv_timeout(Duration::from_millis(50)) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    pub(super) fn write(&self, data: &[u8]) {
        if self.line.peer.get().is_some() {
            self.line.outlet.write(data);
        }
    }

    /// Takes a client that was accepted elsewhere; false if this is no server or has one.
    pub(super) fn add_client(&self, client: OwnedFd) -> bool {
        let is_stream = rustix::net::sockopt::socket_type(&client) == Ok(rustix::net::SocketType::STREAM);
        let Some((bring, mut bell)) = self.door.as_ref().map(|(bring, bell)| (bring, bell)) else { return false };
        is_stream && self.line.peer.get().is_none() && bring.send(client).is_ok() && bell.write_all(&[0]).is_ok()
    }

    pub(super) fn local_address(&self) -> Option<SocketAddress> {
        self.local.clone()
    }

    pub(super) fn finish(self, patience: Patience) {
        self.line.outlet.finish(patience);
        if let Some(stream) = self.line.peer.get() {
            stream.shutdown();
        }
        self.reader.finish();
        if let Some(name) = self.name {
            let _ = fs::remove_file(name);
        }
    }
}

/// Where a server's clients come from.
struct Visitors {
    listener: Listener,
    /// Readable once for each that was brought.
    bell: PipeReader,
    brought: Receiver<OwnedFd>,
}

impl Visitors {
    /// The next one that was brought. What is read and written is a stream, whatever kind of socket it is.
    fn let_in(&mut self) -> Option<Stream> {
        self.bell.read_exact(&mut [0]).ok()?;
        self.brought.try_recv().ok().map(|socket| Stream::Unix(socket.into()))
    }
}

/// The reading side of a socket.
struct Conversation {
    id: ChardevId,
    line: Arc<Line>,
    keyboard: Keyboard,
    reporter: Reporter,
}

impl Conversation {
    /// Talks to one client after the other.
    fn serve(mut self, mut visitors: Visitors, came: &Sender<()>, stopped: &PipeReader) {
        while let Some(at) = wait_readable_of([visitors.listener.as_fd(), visitors.bell.as_fd()], stopped) {
            let visitor = if at == 0 { visitors.listener.accept().ok() } else { visitors.let_in() };
            if let Some(stream) = visitor {
                let stream = self.begin(stream);
                // Only the first one is waited for.
                let _ = came.send(());
                self.carry_on(&stream, stopped);
            }
        }
    }

    /// Calls, and calls again some time after nobody answered or the other one hung up.
    fn call(mut self, address: &SocketAddress, pause: Duration, stopped: &PipeReader) {
        loop {
            if let Ok(stream) = connect(address) {
                let stream = self.begin(stream);
                self.carry_on(&stream, stopped);
            }
            if !goes_on_after(pause, stopped) {
                return;
            }
        }
    }

    fn begin(&self, stream: Stream) -> Arc<Stream> {
        let stream = Arc::new(stream);
        self.line.peer.set(Some(Arc::clone(&stream)));
        self.reporter.report(HostEvent::Opened { chardev: self.id });
        stream
    }

    /// Reports what the peer says until it leaves.
    fn carry_on(&mut self, stream: &Stream, stopped: &PipeReader) {
        let mut buffer = [0; CHUNK];
        while wait_readable(stream.as_fd(), stopped) {
            match stream.read(&mut buffer) {
                Ok(count @ 1..) => self.keyboard.typed(&buffer[..count], |text| self.line.outlet.write(text)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
        self.line.peer.set(None);
        self.line.outlet.forget();
        self.keyboard.ended();
    }
}
