//! Standard input and output as one socket.
//!
//! They may be files, which cannot be waited for, or a terminal that is shared, whose mode is not ours to change. So
//! two threads carry bytes between them and a socket.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver};

/// The socket, and what is told when it was closed and all it was given is written.
pub(super) fn open() -> io::Result<(OwnedFd, Receiver<()>)> {
    let (server, ours) = UnixStream::pair()?;
    let input = ours.try_clone()?;
    let (done, written) = mpsc::channel();
    std::thread::Builder::new().name("qmp-stdin".into()).spawn(move || {
        let _ = carry(io::stdin(), &input);
        let _ = input.shutdown(Shutdown::Write);
    })?;
    std::thread::Builder::new().name("qmp-stdout".into()).spawn(move || {
        let _ = carry(&ours, io::stdout());
        drop(done);
    })?;
    Ok((server.into(), written))
}

fn carry(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut piece = [0; 4096];
    loop {
        match from.read(&mut piece)? {
            0 => return Ok(()),
            length => {
                to.write_all(&piece[..length])?;
                to.flush()?;
            }
        }
    }
}
