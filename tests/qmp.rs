//! QMP as clients use it: the program, a socket, a Linux guest.

use lockstep_tests::guest::guest_file;
use lockstep_tests::program::{lockstep, scratch};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A machine and a client that is connected to it.
struct Connected {
    process: Child,
    input: BufReader<UnixStream>,
    output: UnixStream,
    events: Vec<Value>,
    serial: PathBuf,
}

/// How long a guest may take to come as far as a test wants it.
const PATIENCE: Duration = Duration::from_secs(300);

impl Connected {
    /// Starts Debian's kernel and negotiates; `name` tells the tests apart.
    fn new(name: &str) -> Self {
        let folder = scratch(name, b"").with_extension("d");
        std::fs::create_dir_all(&folder).expect("a folder");
        let (socket, serial) = (folder.join("qmp"), folder.join("serial"));
        let begun = Instant::now();
        let process = Command::new(lockstep())
            .args(["-kernel", &guest_file("vmlinuz"), "-initrd", &guest_file("initrd.gz"), "-append", "console=ttyS0"])
            .args(["-m", "256", "-nodefaults", "-display", "none", "-serial", &format!("file:{}", serial.display())])
            .args(["-qmp", &format!("unix:{},server=on,wait=off", socket.display()), "-seed", "1"])
            .spawn()
            .expect("the program");
        let output = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "{}: {error}", socket.display()),
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let input = BufReader::new(output.try_clone().expect("a socket"));
        let mut client = Self { process, input, output, events: Vec::new(), serial };
        let greeting = client.line();
        println!("greeting after {:?}", begun.elapsed());
        assert_eq!(greeting["QMP"]["version"]["qemu"], json!({ "major": 7, "minor": 2, "micro": 0 }));
        assert_eq!(client.ask("query-status", json!({}))["error"]["class"], "CommandNotFound", "before negotiation");
        assert_eq!(client.ask("qmp_capabilities", json!({})), json!({ "return": {} }));
        client
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.input.read_line(&mut line).expect("a line");
        assert!(line.ends_with("\r\n"), "{line:?}");
        serde_json::from_str(&line).expect("JSON")
    }

    /// Asks and waits for the answer; events that come before it are kept.
    fn ask(&mut self, command: &str, arguments: Value) -> Value {
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

    fn returns(&mut self, command: &str, arguments: Value) -> Value {
        let answer = self.ask(command, arguments);
        answer.get("return").unwrap_or_else(|| panic!("{command}: {answer}")).clone()
    }

    fn take_events(&mut self) -> Vec<String> {
        let events = std::mem::take(&mut self.events);
        events.iter().map(|event| event["event"].as_str().expect("a name").to_owned()).collect()
    }

    /// Waits until the guest has said something on its console.
    fn until_guest_says(&self, what: &str) {
        let begun = Instant::now();
        while !std::fs::read_to_string(&self.serial).unwrap_or_default().contains(what) {
            assert!(begun.elapsed() < PATIENCE, "the guest did not say {what:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn quit(mut self) {
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

#[test]
fn a_running_linux_is_stopped_looked_at_and_let_go_on() {
    let mut client = Connected::new("qmp-linux");
    client.until_guest_says("INIT-REACHED");
    assert_eq!(client.returns("query-status", json!({}))["status"], "running");
    client.returns("stop", json!({}));
    assert_eq!(client.take_events(), ["STOP"], "told before the answer");
    assert_eq!(client.returns("query-status", json!({}))["status"], "paused");
    // What the machine shows does not change while it is stopped.
    let registers = json!({ "command-line": "info registers" });
    let before = client.returns("human-monitor-command", registers.clone());
    assert_eq!(client.returns("human-monitor-command", registers), before);
    // Linux puts its banner into its read-only data: saved memory holds it.
    let file = scratch("qmp-memory", b"");
    client.returns("pmemsave", json!({ "val": 0, "size": 256 << 20, "filename": file }));
    let memory = std::fs::read(&file).expect("saved memory");
    std::fs::remove_file(&file).expect("it was there");
    assert_eq!(memory.len(), 256 << 20);
    assert!(memory.windows(14).any(|bytes| bytes == b"Linux version "), "Linux is in its memory");
    client.returns("cont", json!({}));
    assert_eq!(client.take_events(), ["RESUME"]);
    client.returns("inject-nmi", json!({}));
    client.until_guest_says("NMI");
    client.quit();
}

#[test]
fn arguments_are_checked_before_anything_is_done_and_the_message_names_them() {
    let mut client = Connected::new("qmp-arguments");
    for (command, arguments, said) in [
        ("pmemsave", json!({ "val": 0, "size": 1 }), "Parameter 'filename' is missing"),
        ("stop", json!({ "quux": 1 }), "Parameter 'quux' is unexpected"),
        (
            "pmemsave",
            json!({ "val": "0", "size": 1, "filename": "x" }),
            "Invalid parameter type for 'val', expected: integer",
        ),
    ] {
        assert_eq!(client.ask(command, arguments)["error"], json!({ "class": "GenericError", "desc": said }));
    }
    assert_eq!(client.returns("query-status", json!({}))["status"], "running");
    client.quit();
}

/// Asked while the guest computes. The bound is generous, since tests share their machine; the median is printed.
#[test]
fn a_question_is_answered_at_once_while_the_guest_computes() {
    let mut client = Connected::new("qmp-latency");
    let mut took: Vec<Duration> = (0..300)
        .map(|_| {
            let begun = Instant::now();
            client.returns("query-status", json!({}));
            begun.elapsed()
        })
        .collect();
    took.sort();
    println!("query-status: median {:?}, 95 % within {:?}", took[150], took[285]);
    assert!(took[150] < Duration::from_millis(20), "median {:?}", took[150]);
    client.quit();
}
