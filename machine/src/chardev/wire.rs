//! What is read and written by one pair of file descriptors: pseudoterminals, pairs of pipes, serial lines of the host.

use std::fs::File;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, isatty, speed, tcgetattr, tcsetattr};

use super::outlet::{Outlet, Sink};
use super::stdio::{CHUNK, Keyboard, Reader, goes_on_after};
use super::{ChardevId, HostEvent, Patience, Problem, Reporter, Users};
use crate::host_file;

/// How often a pseudoterminal that nobody has open is looked at: nothing tells when it is opened.
const LOOK: Duration = Duration::from_millis(100);

/// What a host's serial line is set to: 115200 baud, 8 bits, no parity. The guest's own settings stay on its side.
const LINE_SPEED: u32 = speed::B115200;

pub(super) struct WireEnd {
    outlet: Arc<Outlet>,
    reader: Reader,
    terminal: Option<PathBuf>,
}

/// Where bytes come from and where they go.
#[derive(Clone)]
struct Ends {
    input: Arc<OwnedFd>,
    output: Arc<OwnedFd>,
    /// The other end is a terminal that users open and close.
    is_terminal: bool,
}

/// What a wait came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waited {
    Ready,
    /// Nobody has the other end open.
    Nobody,
    /// Nothing came in time.
    Late,
    Stopped,
}

impl WireEnd {
    /// A new pseudoterminal.
    pub(super) fn pseudoterminal(
        id: ChardevId,
        users: Users,
        origin: &str,
        reporter: &Reporter,
    ) -> Result<Self, Problem> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).map_err(io::Error::from)?;
        grantpt(&master).and_then(|()| unlockpt(&master)).map_err(io::Error::from)?;
        let name = ptsname(&master, Vec::new()).map_err(io::Error::from)?;
        let path = PathBuf::from(std::ffi::OsString::from_vec(name.into_bytes()));
        // Opened once, so that it is raw from the start; and closed, which is what shows that nobody is there.
        make_raw(open_terminal(&path)?.as_fd(), false)?;
        let master = Arc::new(master);
        let ends = Ends { input: Arc::clone(&master), output: master, is_terminal: true };
        Self::start(id, users, origin, reporter, ends, Some(path))
    }

    /// `PATH.in` and `PATH.out` if they are there, or else PATH for both directions.
    pub(super) fn pipe(
        id: ChardevId,
        users: Users,
        origin: &str,
        reporter: &Reporter,
        path: &Path,
    ) -> Result<Self, Problem> {
        let side = |suffix: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            open_both_ways(Path::new(&name))
        };
        let (input, output) = match (side(".in"), side(".out")) {
            (Ok(input), Ok(output)) => (input, output),
            _ => {
                let both = open_both_ways(path)?;
                (both.try_clone()?, both)
            }
        };
        let ends = Ends { input: Arc::new(input.into()), output: Arc::new(output.into()), is_terminal: false };
        Self::start(id, users, origin, reporter, ends, None)
    }

    /// A serial line of the host, or anything else that is a terminal.
    pub(super) fn serial_line(
        id: ChardevId,
        users: Users,
        origin: &str,
        reporter: &Reporter,
        path: &Path,
    ) -> Result<Self, Problem> {
        let line = open_terminal(path)?;
        if !isatty(&line) {
            return Err(Problem::NotATerminal);
        }
        make_raw(line.as_fd(), true)?;
        let line = Arc::new(OwnedFd::from(line));
        let ends = Ends { input: Arc::clone(&line), output: line, is_terminal: false };
        Self::start(id, users, origin, reporter, ends, None)
    }

    fn start(
        id: ChardevId,
        users: Users,
        origin: &str,
        reporter: &Reporter,
        ends: Ends,
        terminal: Option<PathBuf>,
    ) -> Result<Self, Problem> {
        for end in [&ends.input, &ends.output] {
            let flags = rustix::fs::fcntl_getfl(end).map_err(io::Error::from)?;
            rustix::fs::fcntl_setfl(end, flags | OFlags::NONBLOCK).map_err(io::Error::from)?;
        }
        let outlet = Arc::new(Outlet::start(ends.clone(), origin.to_owned(), reporter.clone())?);
        let screen = Arc::clone(&outlet);
        let keyboard = Keyboard::new(id, users, reporter.clone());
        let mut listener = Listener { id, ends, keyboard, screen, reporter: reporter.clone() };
        let reader = Reader::start(move |stopped| listener.listen(&stopped))?;
        Ok(Self { outlet, reader, terminal })
    }

    pub(super) fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    /// Where the terminal is that users open.
    pub(super) fn terminal(&self) -> Option<&Path> {
        self.terminal.as_deref()
    }

    pub(super) fn finish(self, patience: Patience) {
        self.outlet.finish(patience);
        self.reader.finish();
    }
}

fn open_both_ways(path: &Path) -> io::Result<File> {
    host_file::open(path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY)
}

fn open_terminal(path: &Path) -> io::Result<File> {
    open_both_ways(path)
}

fn make_raw(terminal: BorrowedFd<'_>, serial_line: bool) -> io::Result<()> {
    let mut settings = tcgetattr(terminal)?;
    settings.make_raw();
    if serial_line {
        settings.set_speed(LINE_SPEED)?;
    }
    Ok(tcsetattr(terminal, OptionalActions::Now, &settings)?)
}

/// Waits until an end is ready, at most so long.
fn wait(end: &OwnedFd, what: PollFlags, stopped: Option<BorrowedFd<'_>>, most: Option<Duration>) -> Waited {
    let mut fds = vec![PollFd::new(end, what)];
    fds.extend(stopped.as_ref().map(|stopped| PollFd::new(stopped, PollFlags::IN)));
    let most = most.map(|most| Timespec { tv_sec: most.as_secs().cast_signed(), tv_nsec: most.subsec_nanos().into() });
    loop {
        match poll(&mut fds, most.as_ref()) {
            Err(Errno::INTR) => {}
            Err(_) => return Waited::Stopped,
            Ok(0) => return Waited::Late,
            Ok(_) => break,
        }
    }
    let seen = fds[0].revents();
    match fds.get(1) {
        Some(stopped) if !stopped.revents().is_empty() => Waited::Stopped,
        // What was written before the other end was closed is still to be read.
        _ if seen.intersects(what) => Waited::Ready,
        _ => Waited::Nobody,
    }
}

impl Ends {
    fn write_all(&self, mut data: &[u8]) -> Result<(), Errno> {
        while !data.is_empty() {
            match rustix::io::write(&self.output, data) {
                Ok(written) => data = data.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    if wait(&self.output, PollFlags::OUT, None, None) != Waited::Ready {
                        return Err(Errno::IO);
                    }
                }
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Whether somebody has the terminal open.
    fn has_user(&self) -> bool {
        wait(&self.input, PollFlags::empty(), None, Some(Duration::ZERO)) != Waited::Nobody
    }
}

impl Sink for Ends {
    /// What is said to a terminal that nobody has open goes nowhere; the next one may open it.
    fn carry(&mut self, data: &[u8]) -> io::Result<()> {
        if self.is_terminal {
            if self.has_user() {
                let _ = self.write_all(data);
            }
            return Ok(());
        }
        Ok(self.write_all(data)?)
    }
}

/// The reading side.
struct Listener {
    id: ChardevId,
    ends: Ends,
    keyboard: Keyboard,
    screen: Arc<Outlet>,
    reporter: Reporter,
}

impl Listener {
    fn listen(&mut self, stopped: &PipeReader) {
        if !self.ends.is_terminal {
            self.reporter.report(HostEvent::Opened { chardev: self.id });
            self.converse(stopped.as_fd());
            return;
        }
        loop {
            while !self.ends.has_user() {
                if !goes_on_after(LOOK, stopped) {
                    return;
                }
            }
            self.reporter.report(HostEvent::Opened { chardev: self.id });
            if self.converse(stopped.as_fd()) == Waited::Stopped {
                return;
            }
            self.screen.forget();
        }
    }

    /// Reports what is said until the other end goes away.
    fn converse(&mut self, stopped: BorrowedFd<'_>) -> Waited {
        let mut buffer = [0; CHUNK];
        let ended = loop {
            match wait(&self.ends.input, PollFlags::IN, Some(stopped), None) {
                Waited::Ready => {}
                Waited::Late => continue,
                ended => break ended,
            }
            match rustix::io::read(&self.ends.input, &mut buffer) {
                Ok(count @ 1..) => self.keyboard.typed(&buffer[..count], |text| self.screen.write(text)),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Ok(0) | Err(_) => break Waited::Nobody,
            }
        };
        self.keyboard.ended();
        ended
    }
}
