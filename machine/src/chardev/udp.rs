//! Datagrams to one place of the loopback interface: what is written goes out in datagrams, what comes in is read, whoever sent
//! it, as QEMU does.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;

use super::outlet::{Outlet, Sink};
use super::stdio::{Keyboard, Reader, wait_readable};
use super::{ChardevId, Patience, Problem, Reporter, Users};

/// The largest piece that is sent at once: it fits a datagram of the loopback interface.
const LONGEST: usize = 8192;
/// The largest datagram.
const DATAGRAM: usize = 1 << 16;

pub(super) struct UdpEnd {
    outlet: Arc<Outlet>,
    reader: Reader,
}

/// The way out. Nobody need be there: a datagram that nobody takes is lost.
struct Away {
    socket: Arc<UdpSocket>,
    to: SocketAddr,
}

impl Sink for Away {
    fn carry(&mut self, data: &[u8]) -> io::Result<()> {
        for piece in data.chunks(LONGEST) {
            match self.socket.send_to(piece, self.to) {
                Ok(_) => {}
                // What the host says of an earlier datagram that nobody took.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl UdpEnd {
    pub(super) fn open(
        id: ChardevId,
        users: Users,
        origin: &str,
        reporter: &Reporter,
        (to, from): (SocketAddr, SocketAddr),
    ) -> Result<Self, Problem> {
        let socket = match UdpSocket::bind(from) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => return Err(Problem::Busy),
            bound => Arc::new(bound?),
        };
        socket.set_nonblocking(true)?;
        let away = Away { socket: Arc::clone(&socket), to };
        let outlet = Arc::new(Outlet::start(away, origin.to_owned(), reporter.clone())?);
        let screen = Arc::clone(&outlet);
        let mut keyboard = Keyboard::new(id, users, reporter.clone());
        let reader = Reader::start(move |stopped| {
            let mut buffer = vec![0; DATAGRAM];
            while wait_readable(socket.as_fd(), &stopped) {
                match socket.recv_from(&mut buffer) {
                    Ok((0, _)) => {}
                    Ok((count, _)) => keyboard.typed(&buffer[..count], |text| screen.write(text)),
                    // None of them ends it: there is no connection that could.
                    Err(_) => {}
                }
            }
        })?;
        Ok(Self { outlet, reader })
    }

    pub(super) fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    pub(super) fn finish(self, patience: Patience) {
        self.outlet.finish(patience);
        self.reader.finish();
    }
}
