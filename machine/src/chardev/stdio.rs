//! The terminal's end: standard input and output.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::outlet::{Outlet, Sink};
use super::{ChardevId, HostEvent, Patience, QuitCause, Reporter, Users};
use crate::terminal::{Focus, Mux, MuxEvent, RawTerminal};

/// Bytes taken in at once.
pub(super) const CHUNK: usize = 4096;

pub(super) struct StdioEnd {
    outlet: Arc<Outlet>,
    reader: Reader,
    terminal: Option<RawTerminal>,
}

/// A thread that reads until it is told to stop.
pub(super) struct Reader {
    stop: PipeWriter,
    thread: JoinHandle<()>,
}

impl Reader {
    /// Starts a thread; the pipe that it is given becomes readable when it is to stop.
    pub(super) fn start(body: impl FnOnce(PipeReader) + Send + 'static) -> io::Result<Self> {
        let (stopped, stop) = io::pipe()?;
        let thread = thread::Builder::new().name("input".to_owned()).spawn(move || body(stopped))?;
        Ok(Reader { stop, thread })
    }

    pub(super) fn finish(self) {
        drop(self.stop);
        let _ = self.thread.join();
    }
}

/// Waits until `fd` has something (true) or `stopped` does (false).
pub(super) fn wait_readable(fd: BorrowedFd<'_>, stopped: &PipeReader) -> bool {
    wait_readable_of([fd], stopped).is_some()
}

/// Waits until one of some has something: its place. `None` if `stopped` has.
pub(super) fn wait_readable_of<const COUNT: usize>(
    sources: [BorrowedFd<'_>; COUNT],
    stopped: &PipeReader,
) -> Option<usize> {
    let mut fds: Vec<PollFd<'_>> = sources.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    fds.push(PollFd::new(stopped, PollFlags::IN));
    loop {
        match poll(&mut fds, None) {
            Err(Errno::INTR) => {}
            Err(_) => return None,
            Ok(_) if !fds[COUNT].revents().is_empty() => return None,
            Ok(_) => return fds.iter().position(|fd| !fd.revents().is_empty()),
        }
    }
}

/// Waits for some time: false if `stopped` has something before it is over.
pub(super) fn goes_on_after(pause: Duration, stopped: &PipeReader) -> bool {
    let until = Instant::now() + pause;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(stopped, PollFlags::IN)], Some(&left)) {
            Ok(0) => return true,
            Err(Errno::INTR) => {}
            Ok(_) | Err(_) => return false,
        }
    }
}

/// Standard output, which someone else may have made non-blocking.
struct Stdout;

impl Sink for Stdout {
    fn carry(&mut self, mut data: &[u8]) -> io::Result<()> {
        let stdout = rustix::stdio::stdout();
        while !data.is_empty() {
            match rustix::io::write(stdout, data) {
                Ok(written) => data = data.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let _ = poll(&mut [PollFd::new(&stdout, PollFlags::OUT)], None);
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}

impl StdioEnd {
    pub(super) fn open(id: ChardevId, users: Users, signals: bool, reporter: &Reporter) -> io::Result<Self> {
        let outlet = Arc::new(Outlet::start(Stdout, "standard output".to_owned(), reporter.clone())?);
        let terminal = RawTerminal::enter(signals)?;
        let mut keyboard = Keyboard::new(id, users, reporter.clone());
        let screen = Arc::clone(&outlet);
        let reader = Reader::start(move |stopped| {
            let stdin = rustix::stdio::stdin();
            let mut buffer = [0; CHUNK];
            while wait_readable(stdin, &stopped) {
                match rustix::io::read(stdin, &mut buffer) {
                    Ok(0) => break,
                    Ok(count) => keyboard.typed(&buffer[..count], |text| screen.write(text)),
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    Err(_) => break,
                }
            }
            keyboard.ended();
        })?;
        Ok(StdioEnd { outlet, reader, terminal })
    }

    pub(super) fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    pub(super) fn finish(self, patience: Patience) {
        self.outlet.finish(patience);
        self.reader.finish();
        drop(self.terminal);
    }
}

/// Turns what is typed into events.
pub(super) struct Keyboard {
    id: ChardevId,
    users: Users,
    mux: Option<Mux>,
    reporter: Reporter,
}

impl Keyboard {
    pub(super) fn new(id: ChardevId, users: Users, reporter: Reporter) -> Self {
        let mux = users.escape.map(|escape| Mux::new(escape, users.monitor && users.device));
        Keyboard { id, users, mux, reporter }
    }

    /// Reports typed bytes; `show` puts text on the same screen.
    pub(super) fn typed(&mut self, bytes: &[u8], show: impl Fn(&[u8])) {
        let Some(mux) = &mut self.mux else {
            self.pass(Focus::Device, bytes.to_vec());
            return;
        };
        let help = mux.help();
        for event in mux.feed(bytes) {
            let chardev = self.id;
            match event {
                MuxEvent::Bytes(focus, data) => self.pass(focus, data),
                MuxEvent::Focus(focus) => {
                    self.reporter.report(HostEvent::MonitorFocus { chardev, focused: focus == Focus::Monitor });
                }
                MuxEvent::Break if !self.users.cut_off => self.reporter.report(HostEvent::Break { chardev }),
                MuxEvent::Break => {}
                MuxEvent::Help => show(help.as_bytes()),
                MuxEvent::Quit => self.reporter.report(HostEvent::Quit { cause: QuitCause::Key }),
            }
        }
    }

    fn pass(&self, focus: Focus, data: Vec<u8>) {
        let chardev = self.id;
        if focus == Focus::Monitor || !self.users.device {
            self.reporter.report(HostEvent::MonitorBytes { chardev, data });
        } else if !self.users.cut_off {
            self.reporter.report(HostEvent::Bytes { chardev, data });
        }
    }

    /// Reports that nothing more will be typed. That is no reason to end the run: a script may feed a file and wait.
    pub(super) fn ended(&self) {
        self.reporter.report(HostEvent::Closed { chardev: self.id });
    }
}
