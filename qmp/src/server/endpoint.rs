//! Where clients are met: opening sockets.

use super::hub::{Source, Stream};
use super::{Monitor, stdio};
use rustix::net::sockopt;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{self, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// Where clients are met.
#[derive(Debug)]
pub enum Endpoint {
    /// Any number of clients connect.
    Listen {
        /// Where.
        address: Address,
        /// [`Server::start`](super::Server::start) returns when the first is there.
        wait: bool,
    },
    /// One client listens itself, and is connected to.
    Connect {
        /// Where.
        address: Address,
        /// After how long to try again, if it cannot be reached or has gone. Without, it has to be there at once.
        reconnect: Option<Duration>,
    },
    /// A socket that is open already: one that listens, or a client's. See [`inherited`](super::inherited).
    Descriptor {
        /// The socket.
        socket: OwnedFd,
        /// If it listens, [`Server::start`](super::Server::start) returns when the first client is there.
        wait: bool,
    },
    /// The client is at standard input and output.
    Stdio,
}

/// The address of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A name in the file system.
    Unix(PathBuf),
    /// A name in Linux's abstract name space.
    Abstract {
        /// The name.
        name: String,
        /// It is the name alone; otherwise it is filled up with zeroes.
        tight: bool,
    },
    /// A host, by name or number, and a port. Port 0 is any that is free.
    Tcp(String, u16),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract { name, .. } => write!(f, "unix:{name},abstract=on"),
            Self::Tcp(host, port) => write!(f, "tcp:{host}:{port}"),
        }
    }
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nobody can be heard there.
    #[error("Failed to listen on {0}: {1}")]
    Listen(Address, #[source] io::Error),
    /// Nobody is there.
    #[error("Failed to connect to {0}: {1}")]
    Connect(Address, #[source] io::Error),
    /// A file descriptor is not what it has to be.
    #[error("The file descriptor is no stream socket: {0}")]
    Descriptor(#[source] io::Error),
    /// Standard input and output cannot be used.
    #[error("Standard input and output: {0}")]
    Stdio(#[source] io::Error),
    /// There can be no thread.
    #[error("The monitor's thread: {0}")]
    Thread(#[source] io::Error),
}

/// The name of a listening socket in the file system, which goes when this does.
#[derive(Debug)]
pub(super) struct Name {
    path: PathBuf,
    /// Device and inode: by now, the name may be another's.
    identity: Option<(u64, u64)>,
}

impl Name {
    fn of(path: &Path) -> Self {
        Self { path: path.into(), identity: identity(path) }
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// An endpoint that is open.
pub(super) struct Opened {
    pub(super) source: Source,
    /// Told when the first client has come, if that is to be waited for.
    pub(super) first_client: Option<Receiver<()>>,
    /// Told when all that is to be written to standard output is.
    pub(super) written: Option<Receiver<()>>,
    pub(super) address: Option<SocketAddr>,
    pub(super) name: Option<Name>,
}

impl Opened {
    pub(super) fn open(monitor: Monitor) -> Result<Self, StartError> {
        let layout = monitor.layout;
        let only = |source| Self { source, first_client: None, written: None, address: None, name: None };
        match monitor.endpoint {
            Endpoint::Listen { address, wait } => {
                let (socket, local, name) = listen(&address).map_err(|error| StartError::Listen(address, error))?;
                let (first, first_client) = waiting(wait);
                let source = Source::Listener { socket, layout, first };
                Ok(Self { first_client, address: local, name, ..only(source) })
            }
            Endpoint::Connect { address, reconnect: None } => {
                let socket = connect(&address).map_err(|error| StartError::Connect(address, error))?;
                Ok(only(Source::Stream(Stream { socket, layout })))
            }
            Endpoint::Connect { address, reconnect: Some(pause) } => Ok(only(Source::Peer { address, pause, layout })),
            Endpoint::Descriptor { socket, wait } => {
                let kind = sockopt::socket_type(&socket).map_err(|error| StartError::Descriptor(error.into()))?;
                if kind != rustix::net::SocketType::STREAM {
                    return Err(StartError::Descriptor(ErrorKind::InvalidInput.into()));
                }
                if sockopt::socket_acceptconn(&socket).map_err(|error| StartError::Descriptor(error.into()))? {
                    let (first, first_client) = waiting(wait);
                    return Ok(Self { first_client, ..only(Source::Listener { socket, layout, first }) });
                }
                Ok(only(Source::Stream(Stream { socket, layout })))
            }
            Endpoint::Stdio => {
                let (socket, written) = stdio::open().map_err(StartError::Stdio)?;
                Ok(Self { written: Some(written), ..only(Source::Stream(Stream { socket, layout })) })
            }
        }
    }
}

fn waiting(wait: bool) -> (Option<mpsc::Sender<()>>, Option<Receiver<()>>) {
    let (first, first_client) = mpsc::channel();
    if wait { (Some(first), Some(first_client)) } else { (None, None) }
}

fn listen(address: &Address) -> io::Result<(OwnedFd, Option<SocketAddr>, Option<Name>)> {
    match address {
        Address::Unix(path) => {
            let listener = listen_unix(path)?;
            Ok((listener.into(), None, Some(Name::of(path))))
        }
        Address::Abstract { name, tight } => {
            let listener = UnixListener::bind_addr(&abstract_address(name, *tight)?)?;
            Ok((listener.into(), None, None))
        }
        Address::Tcp(host, port) => {
            let listener = TcpListener::bind((host_or_any(host), *port))?;
            let local = listener.local_addr()?;
            Ok((listener.into(), Some(local), None))
        }
    }
}

fn host_or_any(host: &str) -> &str {
    if host.is_empty() { "0.0.0.0" } else { host }
}

/// Listens under a name. One that a server has left behind is taken over; one where somebody still listens is not.
fn listen_unix(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let is_socket = std::fs::symlink_metadata(path)?.file_type().is_socket();
            let is_stale =
                || UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
            if !is_socket || !is_stale() {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        result => result,
    }
}

/// Bytes of an abstract name that fills all of `sockaddr_un`, after the zero that marks it.
const LONGEST_ABSTRACT_NAME: usize = 107;

/// The address of an abstract name: itself, or filled up with zeroes, which makes it another one.
pub fn abstract_address(name: &str, tight: bool) -> io::Result<net::SocketAddr> {
    let mut bytes = name.as_bytes().to_vec();
    if !tight {
        bytes.resize(bytes.len().max(LONGEST_ABSTRACT_NAME), 0);
    }
    net::SocketAddr::from_abstract_name(bytes)
}

/// Connects, waiting as long as the host does.
pub(super) fn connect(address: &Address) -> io::Result<OwnedFd> {
    match address {
        Address::Unix(path) => UnixStream::connect(path).map(OwnedFd::from),
        Address::Abstract { name, tight } => {
            UnixStream::connect_addr(&abstract_address(name, *tight)?).map(OwnedFd::from)
        }
        Address::Tcp(host, port) => TcpStream::connect((host.as_str(), *port)).map(OwnedFd::from),
    }
}
