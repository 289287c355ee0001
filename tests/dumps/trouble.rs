//! Dumps that go wrong: the guest runs on where the emulator lives, and no file of the dump's name is ever incomplete.

use lockstep_dump::Progress;
use lockstep_dump::read::Dump;
use lockstep_tests::guest::guest_file;
use lockstep_tests::program::{lockstep, scratch_path};
use lockstep_tests::small_disk::with_small_disk;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// How long anything may take on a busy host.
const PATIENCE: Duration = Duration::from_secs(300);

/// A machine whose kernel is booting, which is enough for its memory to be full of things, and a QMP client.
struct Machine {
    process: Child,
    input: BufReader<UnixStream>,
    output: UnixStream,
    events: Vec<Value>,
    folder: PathBuf,
}

/// The file that the guest's console goes to.
const CONSOLE: &str = "console";

impl Machine {
    /// Starts it with a file system of its own, of this size, under `small` in its folder, if a size is given.
    fn start(name: &str, small: Option<&str>) -> Self {
        let folder = scratch_path(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("small")).expect("a folder");
        let mut command = match small {
            None => Command::new(lockstep()),
            Some(size) => {
                let mut command = with_small_disk(&folder.join("small"), size, "true");
                command.arg(lockstep());
                command
            }
        };
        let socket = folder.join("qmp");
        let mut process = command
            .args([
                "-kernel",
                &guest_file("vmlinuz"),
                "-initrd",
                &guest_file("initrd.gz"),
                "-append",
                "console=ttyS0 idle=poll",
            ])
            .args(["-m", "256", "-cpu", "max", "-nodefaults", "-display", "none", "-seed", "1"])
            .args(["-serial", &format!("file:{}", folder.join(CONSOLE).display())])
            .args(["-qmp", &format!("unix:{},server=on,wait=off", socket.display())])
            .args(["-qmp", &format!("unix:{},server=on,wait=off", folder.join("other").display())])
            .spawn()
            .expect("the program starts");
        let begun = Instant::now();
        let output = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "{}: {error}", socket.display()),
            }
            assert_eq!(process.try_wait().expect("a child"), None, "it has ended before it listened");
            std::thread::sleep(Duration::from_millis(5));
        };
        output.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let input = BufReader::new(output.try_clone().expect("a socket"));
        let mut machine = Self { process, input, output, events: Vec::new(), folder };
        machine.line();
        machine.ask("qmp_capabilities", json!({})).expect("negotiated");
        machine
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.input.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|why| panic!("{line:?}: {why}"))
    }

    /// What a command returns, or the description of its error.
    fn ask(&mut self, command: &str, arguments: Value) -> Result<Value, String> {
        let request = Value::from_iter([("execute", Value::from(command)), ("arguments", arguments)]);
        self.output.write_all(request.to_string().as_bytes()).expect("the machine listens");
        loop {
            let line = self.line();
            if let Some(returned) = line.get("return") {
                return Ok(returned.clone());
            }
            if let Some(error) = line.get("error") {
                return Err(error["desc"].as_str().expect("a text").to_owned());
            }
            self.events.push(line);
        }
    }

    fn dump(&mut self, to: &Path, detach: bool) -> Result<Value, String> {
        let protocol = format!("file:{}", to.display());
        let arguments = json!({ "paging": false, "protocol": protocol, "format": "kdump-zlib", "detach": detach });
        self.ask("dump-guest-memory", arguments)
    }

    /// Begins a dump into a pipe as soon as its reader is there.
    fn dump_to_reader(&mut self, pipe: &Path) {
        let begun = Instant::now();
        while let Err(why) = self.dump(pipe, true) {
            assert!(why.contains("No such device or address") && begun.elapsed() < PATIENCE, "{why}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the next DUMP_COMPLETED.
    fn completed(&mut self) -> Value {
        loop {
            if let Some(at) = self.events.iter().position(|event| event["event"] == "DUMP_COMPLETED") {
                return self.events.remove(at)["data"].clone();
            }
            let line = self.line();
            self.events.push(line);
        }
    }

    /// From then on the guest stores to few pages. Before, it fills many, and waits for a dump that nobody reads.
    fn until_booted(&self) {
        let begun = Instant::now();
        while !std::fs::read_to_string(self.folder.join(CONSOLE)).is_ok_and(|said| said.contains("INIT-REACHED")) {
            assert!(begun.elapsed() < PATIENCE, "it does not boot");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The guest goes on: its kernel polls when it is idle, so that its registers never stay as they are.
    fn assert_runs(&mut self) {
        let uptime = |machine: &mut Self| {
            let registers = json!({ "command-line": "info registers" });
            machine.ask("human-monitor-command", registers).expect("registers").to_string()
        };
        assert_eq!(self.ask("query-status", json!({})).expect("a status")["status"], "running");
        let (before, begun) = (uptime(self), Instant::now());
        while uptime(self) == before {
            assert!(begun.elapsed() < PATIENCE, "no instruction is executed");
        }
    }

    fn quit(mut self) {
        self.ask("quit", json!({})).expect("it ends");
        assert!(self.process.wait().expect("it ends").success());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().expect("a folder");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

fn assert_whole(dump: &Path) {
    let opened = Dump::open(dump).expect("a dump");
    let verdict = opened.verify(true, &Progress::default()).expect("nobody cancels");
    assert_eq!(verdict.faults, [""; 0]);
}

#[test]
fn a_killed_dump_leaves_no_file_of_its_name_unless_it_is_whole() {
    let mut unfinished = 0;
    for round in 0..10u64 {
        let mut machine = Machine::start(&format!("dump-killed-{round}"), None);
        let dump = machine.folder.join("small/dump");
        machine.dump(&dump, true).expect("begun");
        // Moments from the beginning to about the end of such a dump.
        std::thread::sleep(Duration::from_millis(round * 40));
        machine.process.kill().expect("it lives");
        machine.process.wait().expect("it is dead");
        if dump.exists() {
            assert_whole(&dump);
        } else {
            unfinished += 1;
            let left = names(&machine.folder.join("small"));
            assert!(left.iter().all(|name| name.starts_with('.') && name.ends_with(".partial")), "{left:?}");
        }
    }
    assert!(unfinished > 0, "none was killed in time");
}

#[test]
#[ignore = "asks for a mount namespace: tests/run --long"]
fn a_full_disk_is_told_and_the_guest_runs_on() {
    let mut machine = Machine::start("dump-full", Some("4M"));
    let small = machine.folder.join("small");
    let root = Path::new("/proc").join(machine.process.id().to_string()).join("root");
    let inside = root.join(small.strip_prefix("/").expect("an absolute path"));
    for detach in [false, true] {
        let answer = machine.dump(&small.join("dump"), detach);
        assert_eq!(answer.is_ok(), detach, "{answer:?}");
        let told = machine.completed();
        assert_eq!(told["result"]["status"], "failed");
        let error = told["error"].as_str().expect("a text").to_owned();
        assert!(error.contains("No space left on device"), "{error}");
        assert!(answer.is_ok() || answer == Err(error));
        assert_eq!(machine.ask("query-dump", json!({})).expect("a result")["status"], "failed");
        assert_eq!(names(&inside), [""; 0], "nothing is left");
        machine.assert_runs();
    }
    machine.quit();
}

#[test]
fn a_reader_that_leaves_or_sleeps_disturbs_nobody() {
    let mut machine = Machine::start("dump-reader", None);
    machine.until_booted();
    let pipe = machine.folder.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let reading = |pipe: &Path, len: usize| {
        let pipe = pipe.to_owned();
        std::thread::spawn(move || {
            let mut pipe = std::fs::File::open(pipe).expect("the pipe");
            pipe.read_exact(&mut vec![0; len]).expect("so much");
            pipe
        })
    };
    let reader = reading(&pipe, 100_000);
    machine.dump_to_reader(&pipe);
    let pipe_end = reader.join().expect("it reads");
    machine.assert_runs();
    assert_eq!(machine.ask("query-dump", json!({})).expect("a result")["status"], "active");
    assert_eq!(machine.ask("stop", json!({})), Err("There is a dump in process, please wait.".into()));
    drop(pipe_end);
    let told = machine.completed();
    assert!(told["error"].as_str().is_some_and(|why| why.contains("Broken pipe")), "{told}");
    machine.assert_runs();

    // One that never reads on, and a user who leaves all the same.
    let reader = reading(&pipe, 100_000);
    machine.dump_to_reader(&pipe);
    let _pipe_end = reader.join().expect("it reads");
    machine.quit();
}

#[test]
fn quit_while_a_dump_is_written_ends_cleanly() {
    let mut machine = Machine::start("dump-quit", None);
    let folder = machine.folder.join("small");
    machine.dump(&folder.join("dump"), true).expect("begun");
    machine.ask("quit", json!({})).expect("it ends");
    assert!(machine.process.wait().expect("it ends").success());
    let left = names(&folder);
    if !left.is_empty() {
        assert_eq!(left, ["dump"]);
        assert_whole(&folder.join("dump"));
    }
}

/// A dump for which the guest and every client stand still, and whose reader does not come to the end.
#[test]
fn a_dump_that_all_wait_for_ends_with_the_machine() {
    for by_signal in [true, false] {
        let mut machine = Machine::start("dump-waits", None);
        machine.until_booted();
        let pipe = machine.folder.join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
        let nobody = machine.dump(&pipe, false).expect_err("a pipe without a reader is not waited for");
        assert!(nobody.contains("No such device or address"), "{nobody}");
        machine.assert_runs();

        let _pipe_end = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).expect("the pipe");
        let protocol = format!("file:{}", pipe.display());
        let arguments = json!({ "paging": false, "protocol": protocol });
        let request = json!({ "execute": "dump-guest-memory", "arguments": arguments }).to_string();
        machine.output.write_all(request.as_bytes()).expect("the machine listens");
        std::thread::sleep(Duration::from_millis(500));
        if by_signal {
            let id = machine.process.id().to_string();
            assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill").success());
        } else {
            // It hangs up at once, perhaps before it is greeted.
            let mut other = UnixStream::connect(machine.folder.join("other")).expect("a second client");
            other.write_all(br#"{"execute":"qmp_capabilities"}{"execute":"quit"}"#).expect("it listens");
        }
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = machine.process.try_wait().expect("a child") {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(status.success(), "{status:?}");
    }
}
