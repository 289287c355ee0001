//! A client that is connected by QMP to a machine that somebody else has started.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a program may take to listen.
const PATIENCE: Duration = Duration::from_secs(60);

/// The client.
pub struct Attached(BufReader<UnixStream>);

impl Attached {
    /// Connects and negotiates.
    #[must_use]
    pub fn to(socket: &Path) -> Self {
        let begun = Instant::now();
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "{}: {error}", socket.display()),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut client = Self(BufReader::new(stream));
        assert!(client.line().get("QMP").is_some(), "a greeting");
        client.returns("qmp_capabilities", json!({}));
        client
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).expect("JSON")
    }

    /// Asks, and fails unless the answer is good. Events are passed over.
    pub fn returns(&mut self, command: &str, arguments: Value) -> Value {
        let mut answer = self.ask(command, arguments);
        match answer.get_mut("return") {
            Some(answer) => answer.take(),
            None => panic!("{command}: {answer}"),
        }
    }

    /// Asks and waits for the answer, good or bad. Events are passed over.
    pub fn ask(&mut self, command: &str, arguments: Value) -> Value {
        let request = Value::from_iter([("execute", Value::from(command)), ("arguments", arguments)]);
        self.0.get_mut().write_all(request.to_string().as_bytes()).expect("it listens");
        loop {
            let line = self.line();
            if line.get("event").is_none() {
                return line;
            }
        }
    }
}
