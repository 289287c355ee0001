//! Commands, asked as clients ask them.

use super::registry;
use crate::bare_guest::BareGuest;
use crate::chardev::{Chardevs, Reporter};
use crate::run::Control;
use lockstep_qmp::Error;
use lockstep_qmp::registry::{Caller, Kind, Order, Reply, Request};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;

mod any_arguments;
mod block;
mod char;
mod input;
mod object_model;
mod pci;

struct Asked {
    control: Control,
    guest: BareGuest,
}

impl Asked {
    fn new(name: &str, options: &str) -> Self {
        let guest = BareGuest::new(name);
        let config = guest.config(options);
        let board = guest.board(&config);
        Self { control: Control::new(&config, board, None), guest }
    }

    /// With a server whose host's end is really open.
    fn listening(name: &str) -> Self {
        let guest = BareGuest::new(name);
        let socket = guest.folder.join("socket").display().to_string();
        let config = guest.config(&format!("-chardev socket,id=line,path={socket},server=on,wait=off"));
        let board = guest.board(&config);
        let mut control = Control::new(&config, board, None);
        let (reporter, events) = Reporter::new();
        control.chardevs = Chardevs::open(&config, &reporter).expect("a socket");
        // Events have nobody to hear them here, and a reporter takes that.
        drop(events);
        Self { control, guest }
    }

    fn ask(&mut self, name: &str, arguments: Value) -> Result<Value, Error> {
        self.carry_out(name, arguments, Caller::nobody())
    }

    fn ask_with(&mut self, name: &str, arguments: Value, descriptor: OwnedFd) -> Result<Value, Error> {
        self.carry_out(name, arguments, Caller { session: None, descriptor: Some(descriptor) })
    }

    fn carry_out(&mut self, name: &str, arguments: Value, caller: Caller) -> Result<Value, Error> {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        let (said, answer) = mpsc::channel();
        let reply = Reply::new(move |answer| said.send(answer).expect("someone listens"));
        let order = Order { name: name.into(), arguments };
        let request = Request { order, kind: Kind::Observes, caller, reply };
        registry().run(&mut self.control, request);
        answer.try_recv().expect("an answer at once")
    }

    fn status(&mut self) -> String {
        let status = self.ask("query-status", json!({})).expect("a status");
        status["status"].as_str().expect("a word").to_owned()
    }

    fn events(&mut self) -> Vec<&'static str> {
        self.control.take_happened().iter().map(|occurrence| occurrence.event.name).collect()
    }
}

#[test]
fn the_run_state_follows_stop_and_cont_and_tells_each_change_once() {
    let mut asked = Asked::new("qmp-status", "-S");
    assert_eq!(asked.status(), "prelaunch");
    for (command, status, events) in [
        ("cont", "running", vec!["RESUME"]),
        ("cont", "running", vec![]),
        ("stop", "paused", vec!["STOP"]),
        ("stop", "paused", vec![]),
        ("system_reset", "prelaunch", vec!["RESET"]),
        ("cont", "running", vec!["RESUME"]),
        ("system_powerdown", "running", vec!["POWERDOWN"]),
        ("quit", "running", vec!["SHUTDOWN"]),
    ] {
        assert_eq!(asked.ask(command, json!({})), Ok(json!({})), "{command}");
        assert_eq!((asked.status().as_str(), asked.events()), (status, events), "after {command}");
    }
}

#[test]
fn saved_memory_is_what_the_guest_has_there() {
    let mut asked = Asked::new("qmp-memory", "");
    asked.control.board.machine.bus.memory.write_bytes(0x1ffe, b"across pages");
    let file = asked.guest.folder.join("saved");
    let arguments = json!({ "val": 0x1ffe, "size": 12, "filename": file });
    for command in ["pmemsave", "memsave"] {
        assert_eq!(asked.ask(command, arguments.clone()), Ok(json!({})));
        assert_eq!(std::fs::read(&file).expect("a file"), b"across pages", "{command}");
    }
    let nowhere = json!({ "val": 0, "size": 1, "filename": "/nonexistent/x" });
    let error = asked.ask("pmemsave", nowhere).expect_err("no such folder");
    assert_eq!(error.desc, "Could not open '/nonexistent/x': No such file or directory");
    let absent = json!({ "val": 0, "size": 1, "filename": file, "cpu-index": 7 });
    assert_eq!(asked.ask("memsave", absent), Err(Error::expects("cpu-index", "a CPU number")));

    // The second page is not mapped: what the file had is still there.
    let machine = &mut asked.control.board.machine;
    machine.bus.memory.write_bytes(0x1_0000, &0x1_1003_u32.to_le_bytes());
    machine.bus.memory.write_bytes(0x1_1000, &0x1003_u32.to_le_bytes());
    machine.cpus[0].cr3 = 0x1_0000;
    machine.cpus[0].cr0 |= lockstep_cpu::state::Cr0::PG | lockstep_cpu::state::Cr0::PE;
    let error = asked.ask("memsave", json!({ "val": 0, "size": 8192, "filename": file })).expect_err("unmapped");
    assert_eq!(error.desc, "Invalid addr 0x0000000000000000/size 8192 specified");
    assert_eq!(std::fs::read(&file).expect("a file"), b"across pages");
}

#[test]
fn processor_models_are_compared_by_what_they_announce() {
    let mut asked = Asked::new("qmp-models", "");
    let compare = |asked: &mut Asked, a: Value, b: Value| {
        let answer = asked.ask("query-cpu-model-comparison", json!({ "modela": a, "modelb": b })).expect("an answer");
        (answer["result"].clone(), answer["responsible-properties"].clone())
    };
    let qemu64 = json!({ "name": "qemu64" });
    let without = json!({ "name": "qemu64", "props": { "nx": false } });
    assert_eq!(compare(&mut asked, qemu64.clone(), qemu64.clone()), (json!("identical"), json!([])));
    assert_eq!(compare(&mut asked, without.clone(), qemu64.clone()), (json!("subset"), json!(["nx"])));
    assert_eq!(compare(&mut asked, qemu64.clone(), without.clone()), (json!("superset"), json!(["nx"])));
    let other = json!({ "name": "qemu64", "props": { "apic": "off" } });
    assert_eq!(compare(&mut asked, without, other).0, "incompatible");
    let wrong = json!({ "type": "full", "model": { "name": "qemu64", "props": { "frobnicate": true } } });
    let error = asked.ask("query-cpu-model-expansion", wrong).expect_err("no such feature");
    assert_eq!(error.desc, "Property 'qemu64-x86_64-cpu.frobnicate' not found");
}

#[test]
fn the_baseline_of_two_models_is_below_both_and_static_expansion_keeps_a_model_as_it_is() {
    let mut asked = Asked::new("qmp-baseline", "");
    let (a, b) = (json!({ "name": "Nehalem" }), json!({ "name": "Opteron_G2" }));
    let answer = asked.ask("query-cpu-model-baseline", json!({ "modela": a, "modelb": b })).expect("a baseline");
    for model in [a, b] {
        let compared = asked.ask("query-cpu-model-comparison", json!({ "modela": answer["model"], "modelb": model }));
        assert_eq!(compared.expect("an answer")["result"], "subset");
        let expanded = asked.ask("query-cpu-model-expansion", json!({ "type": "static", "model": model }));
        let expanded = expanded.expect("an expansion")["model"].clone();
        let compared = asked.ask("query-cpu-model-comparison", json!({ "modela": expanded, "modelb": model }));
        assert_eq!(compared.expect("an answer")["result"], "identical");
    }
}

#[test]
fn the_human_monitor_answers_in_lines_of_its_own() {
    let mut asked = Asked::new("qmp-hmp", "-name moon");
    let answer = asked.ask("human-monitor-command", json!({ "command-line": "info name" }));
    assert_eq!(answer, Ok(json!("moon\r\n")));
    assert_eq!(asked.ask("query-name", json!({})), Ok(json!({ "name": "moon" })));
}

#[test]
fn what_belongs_to_other_machines_is_refused() {
    let mut asked = Asked::new("qmp-refused", "");
    for (command, arguments, feature) in [
        ("query-gic-capabilities", json!({}), "query-gic-capabilities"),
        ("dump-skeys", json!({ "filename": "x" }), "dump-skeys"),
        ("xen-set-global-dirty-log", json!({ "enable": true }), "xen"),
    ] {
        let error = asked.ask(command, arguments).expect_err("refused");
        assert_eq!(error.desc, format!("The feature '{feature}' is not enabled"));
    }
}

#[test]
fn descriptors_are_kept_for_their_client_and_in_sets_for_all() {
    let mut asked = Asked::new("qmp-descriptors", "");
    let error = asked.ask("getfd", json!({ "fdname": "a" })).expect_err("none came");
    assert_eq!(error, Error::no_descriptor());
    let descriptor = || std::fs::File::open("/dev/null").expect("it is there").into();
    asked.ask_with("getfd", json!({ "fdname": "a" }), descriptor()).expect("kept");
    asked.ask("closefd", json!({ "fdname": "a" })).expect("it was there");
    let gone = asked.ask("closefd", json!({ "fdname": "a" })).expect_err("closed");
    assert_eq!(gone.desc, "File descriptor named 'a' not found");
    let added = asked.ask_with("add-fd", json!({ "opaque": "null" }), descriptor()).expect("added");
    assert_eq!(added["fdset-id"], 0);
    let sets = asked.ask("query-fdsets", json!({})).expect("sets");
    assert_eq!(sets, json!([{ "fdset-id": 0, "fds": [{ "fd": added["fd"], "opaque": "null" }] }]));
    asked.ask("remove-fd", json!({ "fdset-id": 0 })).expect("removed");
    assert_eq!(asked.ask("query-fdsets", json!({})), Ok(json!([])));
    assert!(asked.ask("remove-fd", json!({ "fdset-id": 0 })).is_err());
}

#[test]
fn the_balloon_is_asked_and_told_of_only_if_there_is_one() {
    let mut without = Asked::new("qmp-no-balloon", "");
    assert_eq!(without.ask("query-balloon", json!({})), Err(Error::device_not_active("balloon")));
    let mut with = Asked::new("qmp-balloon", "-device virtio-balloon-pci");
    assert_eq!(with.ask("query-balloon", json!({})), Ok(json!({ "actual": 1 << 20 })));
    assert_eq!(with.ask("balloon", json!({ "value": 0 })), Err(Error::expects("value", "a size")));
    assert_eq!(with.ask("balloon", json!({ "value": 1 << 19 })), Ok(json!({})));
    assert_eq!(with.ask("query-balloon", json!({})), Ok(json!({ "actual": 1 << 20 })), "the guest has not given any");
}

#[test]
fn a_dump_is_written_told_of_and_remembered() {
    let mut asked = Asked::new("qmp-dump", "");
    assert_eq!(asked.ask("query-dump", json!({})), Ok(json!({ "status": "none", "completed": 0, "total": 0 })));
    let file = asked.guest.folder.join("dump").display().to_string();
    for format in ["elf", "kdump-zlib", "kdump-lzo", "kdump-snappy"] {
        let arguments = json!({ "paging": false, "protocol": format!("file:{file}"), "format": format });
        assert_eq!(asked.ask("dump-guest-memory", arguments), Ok(json!({})), "{format}");
        assert_eq!(asked.events(), ["DUMP_COMPLETED"]);
        let result = asked.ask("query-dump", json!({})).expect("a result");
        assert_eq!((&result["status"], &result["completed"]), (&json!("completed"), &result["total"]));
        lockstep_dump::read::Dump::open(file.as_ref()).expect("a dump");
    }
    for (arguments, said) in [
        (
            json!({ "paging": false, "protocol": "fd:x", "detach": true }),
            "File descriptor named 'x' has not been found",
        ),
        (json!({ "paging": false, "protocol": "ftp:x" }), "Parameter 'protocol' expects a protocol (fd: or file:)"),
        (json!({ "paging": false, "protocol": "fd:x" }), "File descriptor named 'x' has not been found"),
        (json!({ "paging": false, "protocol": "file:x", "begin": 0 }), "Parameter 'length' is missing"),
        (
            json!({ "paging": true, "protocol": "file:x", "format": "kdump-lzo" }),
            "kdump-compressed format doesn't support paging or filter",
        ),
    ] {
        assert_eq!(asked.ask("dump-guest-memory", arguments).expect_err("refused").desc, said);
    }
}

#[test]
fn a_detached_dump_is_answered_at_once_watched_and_told_of_at_its_end() {
    let mut asked = Asked::new("qmp-detached", "");
    let file = asked.guest.folder.join("dump");
    let arguments = json!({ "paging": false, "protocol": format!("file:{}", file.display()), "detach": true });
    assert_eq!(asked.ask("dump-guest-memory", arguments.clone()), Ok(json!({})));
    let begun = asked.ask("query-dump", json!({})).expect("a result");
    assert_eq!((&begun["status"], &begun["completed"]), (&json!("active"), &json!(0)));
    assert!(begun["total"].as_i64().expect("a number") >= 0xa_0000, "{begun}");
    for (command, arguments) in [("stop", json!({})), ("cont", json!({})), ("dump-guest-memory", arguments)] {
        let error = asked.ask(command, arguments).expect_err("refused");
        assert_eq!(error.desc, "There is a dump in process, please wait.", "{command}");
    }
    assert!(asked.events().is_empty() && !file.exists());
    let mut last = 0;
    while asked.control.dumps.in_progress() {
        asked.control.serve_dump();
        let completed = asked.control.dumps.result().completed;
        assert!(completed >= last, "numbers go up");
        last = completed;
    }
    assert_eq!(asked.events(), ["DUMP_COMPLETED"]);
    let ended = asked.ask("query-dump", json!({})).expect("a result");
    assert_eq!((&ended["status"], &ended["completed"]), (&json!("completed"), &begun["total"]));
    lockstep_dump::read::Dump::open(&file).expect("a dump");
    assert_eq!(asked.ask("stop", json!({})), Ok(json!({})));
}

#[test]
fn a_dump_goes_to_what_a_client_hands_over() {
    let mut asked = Asked::new("qmp-dump-fd", "");
    let path = asked.guest.folder.join("given");
    let arguments = |format: &str| json!({ "paging": false, "protocol": "fd:out", "format": format });
    let handed = |asked: &mut Asked, descriptor: OwnedFd| {
        asked.ask_with("getfd", json!({ "fdname": "out" }), descriptor).expect("kept");
    };
    handed(&mut asked, File::create(&path).expect("a file").into());
    asked.ask("dump-guest-memory", arguments("kdump-lzo")).expect("a dump");
    lockstep_dump::read::Dump::open(&path).expect("a file is as good as a name");
    let error = asked.ask("dump-guest-memory", arguments("elf")).expect_err("it was used up");
    assert_eq!(error.desc, "File descriptor named 'out' has not been found");
    asked.events();

    let (reader, writer) = std::io::pipe().expect("a pipe");
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let ends: [(OwnedFd, Box<dyn Read + Send>); 2] =
        [(writer.into(), Box::new(reader)), (ours.into(), Box::new(theirs))];
    for (ours, mut theirs) in ends {
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).map(|_| all)
        });
        handed(&mut asked, ours);
        asked.ask("dump-guest-memory", arguments("kdump-zlib")).expect("a dump");
        std::fs::write(&path, reader.join().expect("no panic").expect("all of it")).expect("a file");
        let dump = lockstep_dump::read::Dump::open(&path).expect("a stream is the same dump");
        assert!(dump.verify(true, &lockstep_dump::Progress::default()).expect("looked at").faults.is_empty());
        assert_eq!(asked.events(), ["DUMP_COMPLETED"]);
    }

    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    handed(&mut asked, writer.into());
    let error = asked.ask("dump-guest-memory", arguments("elf")).expect_err("nobody reads");
    assert!(error.desc.starts_with("cannot write the dump: Broken pipe"), "{}", error.desc);
    assert_eq!((asked.status().as_str(), asked.events()), ("running", vec!["DUMP_COMPLETED"]));
    assert_eq!(asked.ask("query-dump", json!({})).expect("a result")["status"], "failed");
}

#[test]
fn what_the_monitor_counts_and_divides_is_to_be_had_as_text() {
    let mut asked = Asked::new("stats-text", "");
    let text =
        |asked: &mut Asked, name: &str| asked.ask(name, json!({})).expect("a text")["human-readable-text"].take();
    assert_eq!(text(&mut asked, "x-query-numa"), "0 nodes\n");
    assert!(
        text(&mut asked, "x-query-irq").as_str().is_some_and(|text| text.starts_with("IRQ statistics for i8259:\n"))
    );
}
