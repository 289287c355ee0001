//! A machine in a process of its own, and a client that is connected to it by QMP.

use crate::guest::guest_file;
use crate::program::{lockstep, scratch};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A machine and a client that is connected to it.
pub struct Connected {
    process: Child,
    input: BufReader<UnixStream>,
    output: UnixStream,
    events: Vec<Value>,
    /// What the guest says on its serial line.
    serial: PathBuf,
}

/// How long a guest may take to come as far as a test wants it.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long an answer or an event may take: less than a run of all tests, so that a test fails by itself.
const SILENCE: Duration = Duration::from_secs(120);

impl Connected {
    /// Starts Debian's kernel and negotiates; `name` tells the tests apart.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::with(name, &[])
    }

    /// The same with more arguments.
    #[must_use]
    pub fn with(name: &str, more: &[&str]) -> Self {
        let folder = scratch(name, b"").with_extension("d");
        std::fs::create_dir_all(&folder).expect("a folder");
        let (socket, serial) = (folder.join("qmp"), folder.join("serial"));
        let begun = Instant::now();
        let process = Command::new(lockstep())
            .args(["-kernel", &guest_file("vmlinuz"), "-initrd", &guest_file("initrd.gz"), "-append", "console=ttyS0"])
            .args(["-m", "256", "-nodefaults", "-display", "none", "-serial", &format!("file:{}", serial.display())])
            .args(["-qmp", &format!("unix:{},server=on,wait=off", socket.display()), "-seed", "1"])
            .args(more)
            .spawn()
            .expect("the program");
        let output = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "{}: {error}", socket.display()),
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        output.set_read_timeout(Some(SILENCE)).expect("a socket");
        let input = BufReader::new(output.try_clone().expect("a socket"));
        let mut client = Self { process, input, output, events: Vec::new(), serial };
        let greeting = client.line();
        println!("greeting after {:?}", begun.elapsed());
        assert_eq!(greeting["QMP"]["version"]["qemu"], json!({ "major": 7, "minor": 2, "micro": 0 }));
        assert_eq!(client.ask("query-status", json!({}))["error"]["class"], "CommandNotFound", "before negotiation");
        assert_eq!(client.ask("qmp_capabilities", json!({})), json!({ "return": {} }));
        client
    }

    /// The machine's process.
    pub fn process(&self) -> u32 {
        self.process.id()
    }

    /// Waits for an event and gives what it carries.
    pub fn event(&mut self, name: &str) -> Value {
        loop {
            if let Some(at) = self.events.iter().position(|event| event["event"] == name) {
                return self.events.remove(at)["data"].take();
            }
            let line = self.line();
            assert!(line.get("event").is_some(), "no answer is due: {line}");
            self.events.push(line);
        }
    }

    /// The next line that the machine says.
    pub fn line(&mut self) -> Value {
        let mut line = String::new();
        if let Err(error) = self.input.read_line(&mut line) {
            let console = std::fs::read_to_string(&self.serial).unwrap_or_default();
            panic!("the machine says nothing ({error}) after {line:?}; on its console:\n{console}");
        }
        assert!(line.ends_with("\r\n"), "{line:?}");
        serde_json::from_str(&line).expect("JSON")
    }

    /// Asks and waits for the answer; events that come before it are kept.
    pub fn ask(&mut self, command: &str, arguments: Value) -> Value {
        let request = Value::from_iter([("execute", Value::from(command)), ("arguments", arguments)]);
        self.output.write_all(request.to_string().as_bytes()).expect("the machine listens");
        loop {
            let line = self.line();
            if line.get("event").is_none() {
                return line;
            }
            self.events.push(line);
        }
    }

    /// Asks, and fails unless the answer is good.
    pub fn returns(&mut self, command: &str, arguments: Value) -> Value {
        let answer = self.ask(command, arguments);
        answer.get("return").unwrap_or_else(|| panic!("{command}: {answer}")).clone()
    }

    /// Waits until an event has been told, and leaves it where it is.
    pub fn until_told(&mut self, name: &str) {
        while self.events.iter().all(|event| event["event"] != name) {
            let line = self.line();
            assert!(line.get("event").is_some(), "no answer is due: {line}");
            self.events.push(line);
        }
    }

    /// The names of the events since this was last asked.
    pub fn take_events(&mut self) -> Vec<String> {
        let events = std::mem::take(&mut self.events);
        events.iter().map(|event| event["event"].as_str().expect("a name").to_owned()).collect()
    }

    /// The events since this was last asked, as they were told.
    pub fn take_events_whole(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.events)
    }

    /// Waits until the guest has said something on its console.
    pub fn until_guest_says(&self, what: &str) {
        self.until_guest_says_times(what, 1);
    }

    /// Waits until the guest has said something so many times.
    pub fn until_guest_says_times(&self, what: &str, times: usize) {
        let begun = Instant::now();
        while std::fs::read_to_string(&self.serial).unwrap_or_default().matches(what).count() < times {
            assert!(begun.elapsed() < PATIENCE, "the guest did not say {what:?} {times} times");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the machine, and fails unless it ends well.
    pub fn quit(mut self) {
        assert_eq!(self.returns("quit", json!({})), json!({}));
        let last = self.line();
        assert_eq!((&last["event"], &last["data"]["reason"]), (&json!("SHUTDOWN"), &json!("host-qmp-quit")));
        assert!(self.process.wait().expect("it ends").success());
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = self.serial.parent().map(std::fs::remove_dir_all);
    }
}
