//! Clients that people have, and clients that nobody wants: all of them leave the guest running and the memory bounded.

use lockstep_tests::attached::Attached;
use lockstep_tests::client::Connected;
use lockstep_tests::guest::guest_file;
use lockstep_tests::program::{lockstep, resident, scratch_path};
use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(300);
/// By how much a client may make the program grow.
const BOUND_KIB: u64 = 64 << 10;

/// A machine with a client that behaves, and a socket for another one.
struct Abused {
    client: Connected,
    socket: PathBuf,
    process: u32,
    before: u64,
}

impl Abused {
    fn new(name: &str) -> Self {
        let (socket, pidfile) = (scratch_path(&format!("{name}.socket")), scratch_path(&format!("{name}.pid")));
        let qmp = format!("unix:{},server=on,wait=off", socket.display());
        let pid_option = pidfile.display().to_string();
        let mut client = Connected::with(name, &["-qmp", &qmp, "-pidfile", &pid_option]);
        client.until_guest_says("INIT-REACHED");
        client.returns("query-qmp-schema", json!({}));
        let process = std::fs::read_to_string(&pidfile).expect("a pidfile").trim().parse().expect("a number");
        let before = resident(process);
        Self { client, socket, process, before }
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream
    }

    /// The other client is answered, the guest goes on, and memory has not grown beyond the bound.
    fn ends_well(mut self) {
        let ticks = |client: &mut Connected| client.returns("query-replay", json!({}))["icount"].as_i64();
        assert_eq!(self.client.returns("query-status", json!({}))["status"], "running");
        let before = ticks(&mut self.client);
        let begun = Instant::now();
        while ticks(&mut self.client) <= before {
            assert!(begun.elapsed() < PATIENCE, "the guest stands still");
        }
        let grown = resident(self.process).saturating_sub(self.before);
        println!("grown by {grown} KiB");
        assert!(grown < BOUND_KIB, "grown by {grown} KiB");
        self.client.quit();
    }
}

#[test]
fn a_thousand_connections_come_and_go() {
    let abused = Abused::new("qmp-thousand");
    for number in 0..1000 {
        let mut stream = abused.connect();
        match number % 3 {
            0 => {}
            1 => stream.write_all(b"{\"execute\": \"qmp_capab").expect("it listens"),
            _ => drop(stream.read(&mut [0; 16]).expect("a greeting")),
        }
    }
    abused.ends_well();
}

#[test]
fn a_line_of_a_hundred_megabytes_without_an_end_is_not_kept() {
    let abused = Abused::new("qmp-endless");
    let mut stream = abused.connect();
    stream.write_all(b"{\"execute\": \"").expect("it listens");
    let piece = [b'a'; 1 << 16];
    for _ in 0..(100 << 20) / piece.len() {
        match stream.write_all(&piece) {
            Ok(()) => {}
            // To hang up is an answer too.
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => break,
            Err(error) => panic!("{error}"),
        }
    }
    abused.ends_well();
}

#[test]
fn a_client_that_never_reads_stalls_nobody() {
    let abused = Abused::new("qmp-deaf");
    let mut stream = abused.connect();
    stream.write_all(b"{\"execute\": \"qmp_capabilities\"}").expect("it listens");
    stream.set_write_timeout(Some(Duration::from_secs(2))).expect("a socket");
    for _ in 0..5000 {
        if stream.write_all(b"{\"execute\": \"query-qmp-schema\"}\n").is_err() {
            break;
        }
    }
    abused.ends_well();
}

/// A stopped machine that only QMP's clients see.
fn quiet(socket: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(lockstep());
    command.args(["-S", "-no-user-config", "-nodefaults", "-nographic"]);
    command.args(["-qmp", &format!("unix:{},server=on,wait=off", socket.display())]).args(more);
    command.stdin(Stdio::null());
    command
}

/// Does not outlive a test that fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

#[test]
fn the_python_library_drives_a_machine() {
    if std::env::var_os("LOCKSTEP_WITHOUT_PYPI").is_some() {
        println!("not tried: there is no qemu.qmp here");
        return;
    }
    let socket = scratch_path("qmp-python.socket");
    let mut machine = Killed(quiet(&socket, &[]).spawn().expect("the program"));
    let begun = Instant::now();
    while !socket.exists() {
        assert!(begun.elapsed() < PATIENCE, "nobody listens");
        std::thread::sleep(Duration::from_millis(5));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("qmp/client.py");
    let python = guest_file("qmp-client/bin/python");
    let output = Command::new(python).arg(script).arg(&socket).output().expect("python");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("all as expected"), "{said}");
    assert!(machine.0.wait().expect("it ends").success());
}

/// As libvirt asks what a binary can do: the parent has left when the socket is there.
#[test]
fn a_machine_without_a_board_answers_from_the_background() {
    let (socket, pidfile) = (scratch_path("qmp-none.socket"), scratch_path("qmp-none.pid"));
    let pid_option = pidfile.display().to_string();
    let more = ["-machine", "none,accel=tcg", "-pidfile", &pid_option, "-daemonize", "-only-migratable"];
    let objects = ["-object", "iothread,id=io,poll-max-ns=7", "-object", r#"{"qom-type":"rng-builtin","id":"r"}"#];
    let begun = Instant::now();
    let parent = quiet(&socket, &[&more[..], &objects].concat()).output().expect("the program");
    assert!(parent.status.success(), "{}", String::from_utf8_lossy(&parent.stderr));
    println!("in the background after {:?}", begun.elapsed());
    let mut client = Attached::to(&socket);
    assert_eq!(client.returns("query-cpus-fast", json!({})), json!([]));
    assert_eq!(client.returns("query-pci", json!({})), json!([]));
    assert_eq!(client.returns("qom-get", json!({ "path": "/machine", "property": "type" })), "none-machine");
    let io = client.returns("qom-get", json!({ "path": "/objects/io", "property": "poll-max-ns" }));
    assert_eq!(io, 7);
    let kinds: Vec<_> = ["cpu", "device", "machine"]
        .iter()
        .map(|kind| client.returns("qom-list-types", json!({ "implements": kind })).as_array().map(Vec::len))
        .collect();
    assert!(kinds.iter().all(|count| count.is_some_and(|count| count > 1)), "{kinds:?}");
    client.returns("system_reset", json!({}));
    client.returns("cont", json!({}));
    client.returns("inject-nmi", json!({}));
    client.returns("quit", json!({}));
    let begun = Instant::now();
    while pidfile.exists() {
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What cannot be opened the user hears of, from the process that he started.
#[test]
fn what_fails_in_the_background_is_told_in_front() {
    let socket = scratch_path("qmp-front.socket");
    let parent = quiet(&socket, &["-daemonize", "-object", "iothread,id=io,frob=1"]).output().expect("the program");
    let said = String::from_utf8_lossy(&parent.stderr);
    assert_eq!(parent.status.code(), Some(1), "{said}");
    assert!(said.contains("-object") && said.contains("Parameter 'frob' is unexpected"), "{said}");
}
