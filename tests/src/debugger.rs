//! A debugger as small as can be: GDB's remote protocol on a Unix socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a program may take to listen, and a machine to stop.
const PATIENCE: Duration = Duration::from_secs(120);

/// The debugger.
pub struct Debugger(UnixStream);

impl Debugger {
    /// Connects.
    #[must_use]
    pub fn to(socket: &Path) -> Self {
        let begun = Instant::now();
        loop {
            match UnixStream::connect(socket) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
                    return Self(stream);
                }
                Err(error) => assert!(begun.elapsed() < PATIENCE, "{}: {error}", socket.display()),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a packet.
    pub fn send(&mut self, packet: &str) {
        let sum = packet.bytes().fold(0u8, u8::wrapping_add);
        self.0.write_all(format!("${packet}#{sum:02x}").as_bytes()).expect("it listens");
    }

    /// Presses Ctrl-C.
    pub fn interrupt(&mut self) {
        self.0.write_all(&[3]).expect("it listens");
    }

    fn byte(&mut self) -> u8 {
        let mut byte = [0];
        self.0.read_exact(&mut byte).expect("the machine says something");
        byte[0]
    }

    /// The next packet that comes, run lengths spelt out.
    pub fn packet(&mut self) -> String {
        while self.byte() != b'$' {}
        let mut text = String::new();
        loop {
            match self.byte() {
                b'#' => break,
                b'*' => {
                    let count = usize::from(self.byte()) - 29;
                    let last = text.chars().last().expect("something to repeat");
                    text.extend(std::iter::repeat_n(last, count));
                }
                byte => text.push(byte.into()),
            }
        }
        let _checksum = [self.byte(), self.byte()];
        // After its last word the machine is gone.
        let _ = self.0.write_all(b"+");
        text
    }

    /// Sends a packet and waits for one.
    pub fn ask(&mut self, packet: &str) -> String {
        self.send(packet);
        self.packet()
    }

    /// A register of 64 bits by its number.
    pub fn register(&mut self, number: usize) -> u64 {
        let text = self.ask(&format!("p{number:x}"));
        u64::from_str_radix(&text, 16).unwrap_or_else(|_| panic!("register {number}: {text}")).swap_bytes()
    }
}
