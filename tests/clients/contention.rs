//! Two clients that plug and unplug at once, without any regard for each other, while Debian's kernel runs.

use lockstep_tests::attached::Attached;
use lockstep_tests::client::Connected;
use lockstep_tests::program::{resident, scratch_path};
use lockstep_tests::random::Random;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the guest may take to let go of everything.
const PATIENCE: Duration = Duration::from_secs(300);
/// What each client does at a time.
const ROUNDS: usize = 250;
/// By how much the program may grow while they do the same again.
const BOUND_KIB: u64 = 64 << 10;
/// What is named by clients, a few of each kind, so that they often name the same.
const IDS: u64 = 4;
/// The error classes that the schema has.
const CLASSES: [&str; 5] = ["GenericError", "CommandNotFound", "DeviceNotActive", "DeviceNotFound", "KVMMissingCap"];
/// A question, and what its answer has to be.
type Question = (&'static str, fn(&Value) -> bool);

/// What looks at the things that come and go.
const QUESTIONS: [Question; 8] = [
    ("query-memory-devices", Value::is_array),
    ("query-hotpluggable-cpus", Value::is_array),
    ("query-pci", Value::is_array),
    ("query-memdev", Value::is_array),
    ("query-cpus-fast", Value::is_array),
    ("query-acpi-ospm-status", Value::is_array),
    ("query-memory-size-summary", Value::is_object),
    ("query-status", Value::is_object),
];

/// An answer is an empty object, or an error of a class that there is, with a text and nothing else.
fn check(command: &str, answer: &Value) {
    let error = |error: &Map<String, Value>| {
        let class = error.get("class").and_then(Value::as_str).is_some_and(|class| CLASSES.contains(&class));
        class && error.get("desc").and_then(Value::as_str).is_some_and(|desc| !desc.is_empty()) && error.len() == 2
    };
    let well = answer["return"] == json!({}) || answer["error"].as_object().is_some_and(error);
    assert!(well && answer.as_object().is_some_and(|answer| answer.len() == 1), "{command}: {answer}");
}

struct Client {
    line: Attached,
    random: Random,
}

impl Client {
    fn does(&mut self, command: &str, arguments: Value) {
        check(command, &self.line.ask(command, arguments));
    }

    fn adds(&mut self, kind: u64, id: &str) {
        match kind {
            0 => {
                let bus = ["pci.0", "br"][self.random.below(2) as usize];
                self.does("device_add", json!({ "driver": "virtio-rng-pci", "id": id, "bus": bus }));
            }
            1 => {
                let backend = format!("backend-{id}");
                let size = 128 << 20;
                self.does("object-add", json!({ "qom-type": "memory-backend-ram", "id": backend, "size": size }));
                self.does("device_add", json!({ "driver": "pc-dimm", "id": id, "memdev": backend }));
            }
            _ => {
                let places = self.line.returns("query-hotpluggable-cpus", json!({}));
                let free = places.as_array().and_then(|all| all.iter().find(|place| place.get("qom-path").is_none()));
                let Some(place) = free else { return };
                let mut arguments = place["props"].clone();
                arguments["driver"] = place["type"].clone();
                arguments["id"] = id.into();
                self.does("device_add", arguments);
            }
        }
    }

    fn plugs_and_unplugs(&mut self) {
        for _ in 0..ROUNDS {
            let kind = self.random.below(3);
            let id = format!("{}{}", ["pci", "dimm", "cpu"][kind as usize], self.random.below(IDS));
            match self.random.below(3) {
                0 => self.adds(kind, &id),
                1 => {
                    self.does("device_del", json!({ "id": id }));
                    if kind == 1 {
                        self.does("object-del", json!({ "id": format!("backend-{id}") }));
                    }
                }
                _ => {
                    let (question, fits) = QUESTIONS[self.random.below(QUESTIONS.len() as u64) as usize];
                    let answer = self.line.returns(question, json!({}));
                    assert!(fits(&answer), "{question}: {answer}");
                }
            }
        }
    }
}

/// Both at once, from these seeds on.
fn both(socket: &Path, seeds: [u64; 2]) {
    std::thread::scope(|scope| {
        for seed in seeds {
            scope.spawn(move || Client { line: Attached::to(socket), random: Random(seed) }.plugs_and_unplugs());
        }
    });
}

/// The names in a folder of the object tree but for those that were there from the start.
fn names(client: &mut Connected, folder: &str) -> Vec<String> {
    let listed = client.returns("qom-list", json!({ "path": folder }));
    let names = listed.as_array().into_iter().flatten().filter_map(|entry| entry["name"].as_str());
    names.filter(|name| !["type", "br", "pc.ram"].contains(name)).map(str::to_owned).collect()
}

/// Has the guest let go of everything, asking now and then again, for it may have been busy.
fn remove_all(client: &mut Connected) {
    let begun = Instant::now();
    loop {
        let left = names(client, "/machine/peripheral");
        if left.is_empty() {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "these do not go: {left:?}");
        for id in left {
            check("device_del", &client.ask("device_del", json!({ "id": id })));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    for object in names(client, "/objects") {
        client.returns("object-del", json!({ "id": object }));
    }
    assert_eq!(names(client, "/objects"), [""; 0]);
}

#[test]
fn two_clients_that_plug_at_once_leave_a_machine_that_runs_on() {
    let (socket, pidfile): (PathBuf, PathBuf) = (scratch_path("contention.socket"), scratch_path("contention.pid"));
    let (qmp, pid) = (format!("unix:{},server=on,wait=off", socket.display()), pidfile.display().to_string());
    let append = "console=ttyS0 memhp_default_state=online_movable";
    let machine = ["-smp", "1,maxcpus=4", "-cpu", "max", "-m", "256M,slots=4,maxmem=2G", "-append", append];
    let more = ["-device", "pci-bridge,chassis_nr=1,id=br", "-qmp", &qmp, "-pidfile", &pid];
    let mut client = Connected::with("contention", &[&machine[..], &more].concat());
    client.until_guest_says("INIT-REACHED");
    let process = std::fs::read_to_string(&pidfile).expect("a pidfile").trim().parse().expect("a number");
    both(&socket, [1, 2]);
    remove_all(&mut client);
    let before = resident(process);
    both(&socket, [3, 4]);
    remove_all(&mut client);
    let grown = resident(process).saturating_sub(before);
    println!("grown by {grown} KiB");
    assert!(grown < BOUND_KIB, "grown by {grown} KiB");
    // What went can come again, and the guest sees it.
    client.returns("device_add", json!({ "driver": "virtio-rng-pci", "id": "pci0", "addr": "1e" }));
    client.until_guest_says("pci 0000:00:1e.0: [1af4:1005]");
    assert_eq!(client.returns("query-status", json!({}))["status"], "running");
    client.quit();
}
