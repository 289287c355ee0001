//! Every command of QEMU 2.11's schema, asked of a running Debian kernel with valid and with broken arguments. What comes
//! back is checked against the facts of the schema: names, members, types, optionality, values of enumerations.

use lockstep_tests::client::Connected;
use lockstep_tests::program::scratch_path;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

const SCHEMA: &str = include_str!("../qmp/schema-2.11.json");

/// The schema's facts.
struct Schema(Value);

/// A kind of definition that a name may have.
const KINDS: [&str; 4] = ["enum", "struct", "union", "alternate"];

impl Schema {
    fn definition(&self, name: &str) -> Option<(&'static str, &Value)> {
        KINDS.iter().find_map(|kind| Some((*kind, self.0[kind].get(name)?)))
    }

    /// Whether a value is of a type; else what is wrong, and where.
    fn check(&self, ty: &Value, value: &Value, at: &str) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{at}: {value} is no {what}"));
        if let Some(element) = ty.get(0) {
            let Some(elements) = value.as_array() else { return wrong("array") };
            return elements.iter().enumerate().try_for_each(|(i, v)| self.check(element, v, &format!("{at}[{i}]")));
        }
        let name = ty.as_str().expect("a type's name");
        let good = match name {
            "any" => true,
            "str" => value.is_string(),
            "bool" => value.is_boolean(),
            "int" => value.is_i64(),
            "size" => value.is_u64(),
            "uint8" => value.as_u64().is_some_and(|n| n <= 0xff),
            "uint16" => value.as_u64().is_some_and(|n| n <= 0xffff),
            "uint32" => value.as_u64().is_some_and(|n| n <= 0xffff_ffff),
            _ => return self.check_defined(name, value, at),
        };
        if good { Ok(()) } else { wrong(name) }
    }

    fn check_defined(&self, name: &str, value: &Value, at: &str) -> Result<(), String> {
        let (kind, facts) = self.definition(name).ok_or_else(|| format!("{at}: {name} is not defined"))?;
        if kind == "enum" {
            let values = facts["values"].as_array().expect("values");
            return if values.contains(value) { Ok(()) } else { Err(format!("{at}: {value} is none of {name}")) };
        }
        let Some(members) = value.as_object() else { return Err(format!("{at}: {value} is no {name}")) };
        if let Some(base) = facts["base"].as_str() {
            self.check_defined(base, value, at)?;
        }
        match &facts["members"] {
            Value::String(base) => self.check_defined(base, value, at)?,
            of_type => self.check_members(of_type, members, at)?,
        }
        if kind != "union" {
            return Ok(());
        }
        let tag = facts["tag"].as_str().expect("a tag");
        let case = members.get(tag).ok_or_else(|| format!("{at}: {tag} is missing"))?;
        let branches = facts["branches"].as_array().expect("branches");
        let branch = branches.iter().find(|branch| branch[0] == *case);
        match (branch, facts["simple"] == true) {
            (Some(branch), true) => self.check(&branch[1], &value["data"], &format!("{at}.data")),
            (Some(branch), false) => self.check(&branch[1], value, at),
            // A value of the tag without a branch adds nothing, but it has to be one.
            (None, true) => Err(format!("{at}: {tag} cannot be {case}")),
            (None, false) => Ok(()),
        }
    }

    /// All members that have to be there are, and those that are there have their types.
    fn check_members(&self, expected: &Value, members: &Map<String, Value>, at: &str) -> Result<(), String> {
        for member in expected.as_array().into_iter().flatten() {
            let (name, optional) = (member[0].as_str().expect("a name"), member[2] == true);
            match members.get(name) {
                Some(value) => self.check(&member[1], value, &format!("{at}.{name}"))?,
                None if optional => {}
                None => return Err(format!("{at}: {name} is missing")),
            }
        }
        Ok(())
    }

    /// A value that is of another type than this one, and how a complaint about that ends.
    fn mistyped(&self, ty: &Value) -> Option<(Value, &'static str)> {
        if ty.is_array() {
            return Some((json!(1), "array"));
        }
        match ty.as_str()? {
            "str" => Some((json!(1), "string")),
            "bool" => Some((json!("x"), "boolean")),
            "int" | "size" => Some((json!("x"), "integer")),
            "any" => None,
            // The text leaves one out, WatchdogAction: what it is not cannot be told from it.
            name => match self.definition(name)?.0 {
                "enum" => Some((json!(1), "string")),
                _ => Some((json!(1), "object")),
            },
        }
    }
}

/// What valid arguments come to.
enum Comes {
    /// What the schema says that it returns.
    Good,
    /// The error that the documentation calls for.
    Refused(&'static str),
    /// One of the two: it depends on what can be plugged.
    Either,
}
use Comes::{Either, Good, Refused};

/// What comes before any look at the arguments of `qmp_capabilities`.
const NEGOTIATED: &str = "Capabilities negotiation is already complete, command ignored";

/// Every command with valid arguments, in an order that leaves a running machine behind each.
fn asked(folder: &str) -> Vec<(&'static str, Value, Comes)> {
    let file = |name: &str| format!("{folder}-{name}");
    let model = json!({ "name": "qemu64" });
    vec![
        ("query-version", json!({}), Good),
        ("query-commands", json!({}), Good),
        ("query-events", json!({}), Good),
        ("qmp_capabilities", json!({}), Refused(NEGOTIATED)),
        ("query-name", json!({}), Good),
        ("query-kvm", json!({}), Good),
        ("query-uuid", json!({}), Good),
        ("query-cpus", json!({}), Good),
        ("query-iothreads", json!({}), Good),
        ("query-target", json!({}), Good),
        ("query-machines", json!({}), Good),
        ("query-pci", json!({}), Good),
        ("query-balloon", json!({}), Good),
        ("balloon", json!({ "value": 200 << 20 }), Good),
        ("query-memdev", json!({}), Good),
        ("query-memory-devices", json!({}), Good),
        ("query-memory-size-summary", json!({}), Good),
        ("query-hotpluggable-cpus", json!({}), Good),
        ("query-acpi-ospm-status", json!({}), Good),
        ("query-vm-generation-id", json!({}), Good),
        ("query-cpu-definitions", json!({}), Good),
        ("query-cpu-model-expansion", json!({ "type": "full", "model": model }), Good),
        ("query-cpu-model-expansion", json!({ "type": "static", "model": model }), Good),
        ("query-cpu-model-comparison", json!({ "modela": model, "modelb": model }), Good),
        ("query-cpu-model-baseline", json!({ "modela": model, "modelb": model }), Good),
        ("query-command-line-options", json!({}), Good),
        ("query-command-line-options", json!({ "option": "machine" }), Good),
        ("query-gic-capabilities", json!({}), Refused("The feature 'query-gic-capabilities' is not enabled")),
        ("xen-set-global-dirty-log", json!({ "enable": true }), Refused("The feature 'xen' is not enabled")),
        ("xen-load-devices-state", json!({ "filename": "x" }), Refused("The feature 'xen' is not enabled")),
        ("dump-skeys", json!({ "filename": "x" }), Refused("The feature 'dump-skeys' is not enabled")),
        ("qom-list", json!({ "path": "/machine" }), Good),
        ("qom-get", json!({ "path": "/machine", "property": "type" }), Good),
        ("qom-list-types", json!({ "implements": "device", "abstract": true }), Good),
        ("device-list-properties", json!({ "typename": "virtio-rng-pci" }), Good),
        ("object-add", json!({ "qom-type": "iothread", "id": "io", "props": { "poll-max-ns": 1000 } }), Good),
        ("qom-set", json!({ "path": "/objects/io", "property": "poll-max-ns", "value": 5 }), Good),
        ("query-iothreads", json!({}), Good),
        ("object-del", json!({ "id": "io" }), Good),
        ("device_add", json!({ "driver": "virtio-rng-pci", "id": "rng" }), Good),
        ("device_del", json!({ "id": "rng" }), Good),
        ("cpu-add", json!({ "id": 1 }), Either),
        ("getfd", json!({ "fdname": "a" }), Refused("No file descriptor supplied via SCM_RIGHTS")),
        ("closefd", json!({ "fdname": "a" }), Refused("File descriptor named 'a' not found")),
        ("add_client", json!({ "protocol": "vnc", "fdname": "a" }), Refused("File descriptor named 'a' not found")),
        ("add-fd", json!({}), Refused("No file descriptor supplied via SCM_RIGHTS")),
        ("remove-fd", json!({ "fdset-id": 7 }), Refused("File descriptor named 'fdset-id:7' not found")),
        ("query-fdsets", json!({}), Good),
        ("change", json!({ "device": "cd", "target": file("disc"), "arg": "raw" }), Good),
        ("memsave", json!({ "val": 0, "size": 0, "filename": file("memory") }), Good),
        ("pmemsave", json!({ "val": 0, "size": 4096, "filename": file("memory") }), Good),
        ("query-dump-guest-memory-capability", json!({}), Good),
        ("dump-guest-memory", json!({ "paging": false, "protocol": format!("file:{}", file("dump")) }), Good),
        ("query-dump", json!({}), Good),
        ("human-monitor-command", json!({ "command-line": "info status" }), Good),
        ("rtc-reset-reinjection", json!({}), Good),
        ("watchdog-set-action", json!({ "action": "none" }), Good),
        ("system_wakeup", json!({}), Refused("Unable to wake up: guest is not in suspended state")),
        ("stop", json!({}), Good),
        ("cont", json!({}), Good),
        ("inject-nmi", json!({}), Good),
        ("system_powerdown", json!({}), Good),
        ("system_reset", json!({}), Good),
        ("quit", json!({}), Good),
    ]
}

/// Broken arguments that the schema alone gives, each with the complaint that names what is wrong.
fn broken(schema: &Schema, facts: &Value, valid: &Value) -> Vec<(Value, String)> {
    let mut all = Vec::new();
    let mut open = facts["open"] == true;
    for member in facts["members"].as_array().expect("members") {
        let name = member[0].as_str().expect("a name");
        // Later schemas take settings beside these.
        open |= name == "props";
        if member[2] == false {
            let mut lacking = valid.clone();
            lacking.as_object_mut().expect("arguments").remove(name);
            all.push((lacking, format!("Parameter '{name}' is missing")));
        }
        if let Some((value, wanted)) = schema.mistyped(&member[1]) {
            let mut wrong = valid.clone();
            wrong[name] = value;
            all.push((wrong, format!("Invalid parameter type for '{name}', expected: {wanted}")));
        }
    }
    if !open {
        let mut more = valid.clone();
        more["quux"] = json!(1);
        all.push((more, "Parameter 'quux' is unexpected".into()));
    }
    all
}

const CLASSES: [&str; 5] = ["GenericError", "CommandNotFound", "DeviceNotActive", "DeviceNotFound", "KVMMissingCap"];

#[test]
fn every_command_of_the_schema_answers_a_running_linux_as_the_schema_says() {
    let schema = Schema(serde_json::from_str(SCHEMA).expect("JSON"));
    let folder = scratch_path("conformance").display().to_string();
    std::fs::write(format!("{folder}-disc"), [0; 4096]).expect("an image");
    let mut client = Connected::with(
        "conformance",
        &["-device", "virtio-balloon-pci", "-device", "vmgenid", "-drive", "if=none,media=cdrom,id=cd"]
            .into_iter()
            .chain(["-device", "ide-cd,drive=cd,id=tray", "-name", "moon", "-smp", "1,maxcpus=2"])
            .chain(["-m", "256M,slots=2,maxmem=1G", "-object", "memory-backend-ram,id=m,size=128M"])
            .chain(["-device", "pc-dimm,id=dimm,memdev=m"])
            .collect::<Vec<_>>(),
    );
    client.until_guest_says("INIT-REACHED");
    let commands = schema.0["command"].as_object().expect("commands");
    let (mut right, mut refused_well, mut told) = (BTreeSet::new(), 0, BTreeSet::new());
    for (name, arguments, comes) in asked(&folder) {
        let facts = commands.get(name).unwrap_or_else(|| panic!("{name} is no command of the schema"));
        for (wrong, said) in broken(&schema, facts, &arguments) {
            let said = if name == "qmp_capabilities" { NEGOTIATED.to_owned() } else { said };
            let answer = client.ask(name, wrong.clone());
            assert_eq!(answer["error"]["desc"], said, "{name} {wrong}");
            refused_well += 1;
        }
        let answer = client.ask(name, arguments.clone());
        let error = answer.get("error");
        match (&comes, error) {
            (Good | Either, None) => {
                let returned = &answer["return"];
                match &facts["returns"] {
                    Value::Null => assert_eq!(*returned, json!({}), "{name} returns nothing"),
                    ty => schema.check(ty, returned, name).unwrap_or_else(|why| panic!("{why}\nin {returned}")),
                }
            }
            (Refused(said), Some(error)) => assert_eq!(error["desc"], *said, "{name}"),
            (Either, Some(_)) => {}
            (Good, Some(_)) | (Refused(_), None) => panic!("{name} {arguments}: {answer}"),
        }
        if let Some(error) = error {
            assert!(CLASSES.iter().any(|class| error["class"] == *class), "{name}: {error}");
        }
        right.insert(name);
        for event in client.take_events_whole() {
            let name = event["event"].as_str().expect("a name").to_owned();
            if let Some(facts) = schema.0["event"].get(&name) {
                let data = event.get("data").cloned().unwrap_or_else(|| json!({}));
                let data = data.as_object().expect("an event's data");
                schema.check_members(&facts["members"], data, &name).unwrap_or_else(|why| panic!("{why}"));
                told.insert(name);
            }
        }
    }
    println!("commands: {}/{}, broken arguments refused: {refused_well}", right.len(), commands.len());
    println!("events seen: {}/{}: {told:?}", told.len(), schema.0["event"].as_object().expect("events").len());
    let asked: BTreeSet<&str> = commands.keys().map(String::as_str).collect();
    assert_eq!(right, asked, "every command was asked");
    assert!(told.contains("DUMP_COMPLETED"));
    for name in ["disc", "memory", "dump"] {
        let _ = std::fs::remove_file(format!("{folder}-{name}"));
    }
}
