//! The program itself with its console on pipes, read and typed at by the test.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long a guest may take for one step on a busy host.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a process says on one of its streams.
struct Stream {
    pieces: Receiver<Vec<u8>>,
    heard: String,
    marked: usize,
}

impl Stream {
    fn of(mut from: impl Read + Send + 'static) -> Self {
        let (said, pieces) = channel();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(len @ 1..) = from.read(&mut piece) {
                if said.send(piece[..len].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { pieces, heard: String::new(), marked: 0 }
    }

    fn expect(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.heard[self.marked..].find(text) {
                self.marked += at + text.len();
                return;
            }
            match self.pieces.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(piece) => self.heard.push_str(&String::from_utf8_lossy(&piece)),
                Err(error) => panic!("{text:?} was not said ({error}):\n{}", self.heard),
            }
        }
    }
}

/// A running process, killed with the value.
pub struct Session {
    child: Child,
    console: Stream,
    complaints: Stream,
}

impl Session {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let console = Stream::of(child.stdout.take().expect("a pipe"));
        let complaints = Stream::of(child.stderr.take().expect("a pipe"));
        Self { child, console, complaints }
    }

    /// Waits until its console has said a text since the last such call.
    pub fn expect(&mut self, text: &str) {
        self.console.expect(text);
    }

    /// Waits until it has complained so since the last such call.
    pub fn expect_complaint(&mut self, text: &str) {
        self.complaints.expect(text);
    }

    /// What the console has said.
    pub fn heard(&self) -> &str {
        &self.console.heard
    }

    /// Types at the console.
    pub fn type_in(&mut self, text: &str) {
        self.child.stdin.as_mut().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end by itself and returns its status.
    pub fn wait(mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }

    /// Kills it at once; returns all that its console has said.
    pub fn kill(mut self) -> String {
        self.child.kill().and_then(|()| self.child.wait()).expect("it can be killed");
        while let Ok(piece) = self.console.pieces.recv() {
            self.console.heard.push_str(&String::from_utf8_lossy(&piece));
        }
        std::mem::take(&mut self.console.heard)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
