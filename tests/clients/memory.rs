//! Memory that comes and goes while Debian's kernel runs, which finds and releases it through ACPI.

use lockstep::commandline::DeviceConfig;
use lockstep::object_model::Store;
use lockstep::plug::{Change, Plugged};
use lockstep::snapshot::Snapshot;
use lockstep_fabric::{DeviceId, Input, ModuleChange, Outside};
use lockstep_tests::client::Connected;
use lockstep_tests::guest::{Guest, config, debian, guest_file};
use lockstep_tests::program::{run, scratch_path};
use serde_json::{Value, json};

const MINUTE: u64 = 60_000_000_000;
const SECOND: u64 = 1_000_000_000;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// What is onlined so can be offlined again.
const MOVABLE: &str = "memhp_default_state=online_movable";

/// Plugs a module in as the operator does.
fn plug(guest: &mut Guest, arguments: &[String], bytes: u64) -> DeviceId {
    let properties = vec![("memdev".to_owned(), "m".to_owned())];
    let device = DeviceConfig { driver: "pc-dimm".into(), id: Some("d".into()), origin: String::new(), properties };
    let backends = [("m".to_owned(), Store { bytes, is_file: false })].into();
    let module = guest.board.plan_module(&config(arguments), &backends, device).expect("a free slot");
    let device = serde_json::to_string(&Plugged::Module(Box::new(module))).expect("text");
    guest.board.machine.enter(Outside::Plug { device }).expect("the gate is open");
    let changes = guest.board.machine.take_changes();
    let [Change::ModuleCame(id, _)] = changes[..] else { panic!("one module came: {changes:?}") };
    id
}

/// Has the guest asked for the module in slot 0.
fn ask_back(guest: &mut Guest) {
    let device = guest.board.machine.memory_controller().expect("slots");
    let input = Input::Module { slot: 0, change: ModuleChange::Wanted };
    guest.board.machine.enter(Outside::Input { device, input }).expect("the gate is open");
}

/// Waits until the guest has so many blocks of 128 MiB online, and gives its MemTotal in KiB.
fn total_with(guest: &mut Guest, blocks: u32) -> u64 {
    let online = "$(grep -l online /sys/devices/system/memory/memory*/state | wc -l)";
    guest.type_in(&format!("while [ {online} -ne {blocks} ]; do sleep 0.1; done; grep MemTotal /proc/meminfo\n"));
    // What was typed is echoed, without a number of spaces behind it.
    guest.expect("MemTotal: ", MINUTE);
    guest.expect(" kB", MINUTE);
    let said = guest.console.rsplit("MemTotal:").next().unwrap_or_default();
    let number = said.split_whitespace().next().unwrap_or_default();
    number.parse().unwrap_or_else(|_| panic!("no number: {said}"))
}

/// Comes, is used, survives a snapshot, goes.
fn comes_and_goes(firmware: &[&str]) {
    let memory = ["-m", "256M,slots=2,maxmem=1G"].map(str::to_owned);
    let firmware: Vec<_> = firmware.iter().map(|argument| (*argument).to_owned()).collect();
    let arguments = [debian(MOVABLE), memory.to_vec(), firmware].concat();
    let mut guest = Guest::start(&arguments, &[]);
    guest.expect("# ", MINUTE);
    let before = total_with(&mut guest, 2);
    let empty = Snapshot::of(&guest.board.machine).expect("a snapshot");
    let id = plug(&mut guest, &arguments, 256 * MIB);
    let with = total_with(&mut guest, 4);
    // The new blocks' page tables of struct pages are taken from memory that there was.
    assert!((250..=256).contains(&((with - before) / 1024)), "{before} to {with}");
    let saved = Snapshot::of(&guest.board.machine).expect("a snapshot");
    let mut other = Guest::start(&arguments, &[]);
    saved.restore(&mut other.board.machine).expect("it fits");
    let again = Snapshot::of(&other.board.machine).expect("a snapshot");
    assert_eq!(again.state, saved.state);
    assert!(again.pages == saved.pages, "the same pages");
    assert_eq!(total_with(&mut other, 4), with);
    // A machine with the module goes back to a time without it.
    empty.restore(&mut other.board.machine).expect("it fits");
    assert_eq!((total_with(&mut other, 2), other.board.machine.modules().count()), (before, 0));
    ask_back(&mut guest);
    assert_eq!(total_with(&mut guest, 2), before);
    assert_eq!(guest.run_to(guest.board.machine.now() + SECOND), None);
    let changes = guest.board.machine.take_changes();
    assert!(matches!(changes[..], [Change::ModuleWent(gone, _)] if gone == id), "{changes:?}");
    assert_eq!(guest.memory(4 * GIB, 4), [0xff; 4], "nothing answers there any more");
}

#[test]
fn memory_comes_survives_a_snapshot_and_goes() {
    comes_and_goes(&[]);
}

#[test]
fn seabios_leaves_the_place_for_modules_alone() {
    comes_and_goes(&["-bios", &guest_file("bios-256k.bin")]);
}

#[test]
fn modules_of_qmp_are_told_of_recorded_and_replayed() {
    let log = scratch_path("memory.log");
    let icount = |mode: &str| format!("shift=0,rr={mode},rrfile={}", log.display());
    let append = format!("console=ttyS0 {MOVABLE}");
    let machine = ["-m", "256M,slots=2,maxmem=1G", "-object", "memory-backend-ram,id=m0,size=128M", "-device"];
    let machine = [&machine[..], &["pc-dimm,id=d0,memdev=m0", "-append", &append]].concat();
    let record = icount("record");
    let mut client = Connected::with("memory", &[&["-icount", &record], &machine[..]].concat());
    client.until_guest_says("INIT-REACHED");
    let backend = |id: &str, size: u64| json!({ "qom-type": "memory-backend-ram", "id": id, "size": size });
    client.returns("object-add", backend("m1", 128 * MIB));
    client.returns("object-add", backend("big", 1 << 30));
    let dimm = |id: &str, memdev: &str| json!({ "driver": "pc-dimm", "id": id, "memdev": memdev });
    let refused = |client: &mut Connected, command: &str, arguments: Value| {
        client.ask(command, arguments)["error"]["desc"].take()
    };
    assert_eq!(
        refused(&mut client, "device_add", dimm("d1", "big")),
        "not enough space, currently 0x8000000 in use of total space for memory devices 0x30000000"
    );
    assert_eq!(refused(&mut client, "device_add", dimm("d1", "nope")), "Device 'nope' not found");
    client.returns("device_add", dimm("d1", "m1"));
    let module = |id: &str, memdev: &str, slot: u64, hotplugged: bool| {
        json!({ "type": "dimm", "data": {
            "id": id, "addr": 4 * GIB + slot * 128 * MIB, "size": 128 * MIB, "slot": slot, "node": 0,
            "memdev": format!("/objects/{memdev}"), "hotplugged": hotplugged, "hotpluggable": true } })
    };
    let modules = json!([module("d0", "m0", 0, false), module("d1", "m1", 1, true)]);
    assert_eq!(client.returns("query-memory-devices", json!({})), modules);
    let sizes = json!({ "base-memory": 256 * MIB, "plugged-memory": 256 * MIB });
    assert_eq!(client.returns("query-memory-size-summary", json!({})), sizes);
    let of_d1 = |property: &str| json!({ "path": "/machine/peripheral/d1", "property": property });
    assert_eq!(client.returns("qom-get", of_d1("addr")), 4 * GIB + 128 * MIB);
    assert_eq!(client.returns("qom-get", of_d1("hotplugged")), true);
    let said = |source: u64, status: u64| json!({ "device": "d1", "slot": "1", "slot-type": "DIMM", "source": source, "status": status });
    // The kernel has the memory in use.
    assert_eq!(client.event("ACPI_DEVICE_OST"), json!({ "info": said(1, 0) }));
    assert_eq!(client.returns("query-acpi-ospm-status", json!({}))[1], said(1, 0));
    let file = scratch_path("memory.module");
    client.returns("pmemsave", json!({ "val": 4 * GIB + 256 * MIB - 1, "size": 2, "filename": file }));
    assert_eq!(std::fs::read(&file).expect("a file")[1], 0xff, "behind the modules nothing answers");
    assert_eq!(refused(&mut client, "object-del", json!({ "id": "m1" })), "object 'm1' is in use, can not be deleted");
    assert_eq!(refused(&mut client, "device_add", dimm("d2", "m1")), "can't use already busy memdev: m1");
    // A guest that is asked and refuses, by the registers that _OST writes to.
    client.returns("stop", json!({}));
    client.returns("device_del", json!({ "id": "d1" }));
    for (port, value) in [("0xa00", "1"), ("0xa04", "3"), ("0xa08", "0x82")] {
        let command = format!("o /w {port} {value}");
        client.returns("human-monitor-command", json!({ "command-line": command }));
    }
    assert_eq!(client.event("ACPI_DEVICE_OST"), json!({ "info": said(3, 0x82) }));
    let error = client.event("MEM_UNPLUG_ERROR");
    assert_eq!(error["device"], "d1");
    assert_eq!(client.event("DEVICE_UNPLUG_GUEST_ERROR")["path"], "/machine/peripheral/d1");
    client.returns("cont", json!({}));
    client.returns("device_del", json!({ "id": "d1" }));
    let gone = |id: &str| json!({ "device": id, "path": format!("/machine/peripheral/{id}") });
    assert_eq!(client.event("DEVICE_DELETED"), gone("d1"));
    client.returns("object-del", json!({ "id": "m1" }));
    // A reset takes out what the guest has not let go of.
    client.returns("stop", json!({}));
    client.returns("device_del", json!({ "id": "d0" }));
    client.returns("system_reset", json!({}));
    assert_eq!(client.event("DEVICE_DELETED"), gone("d0"));
    assert_eq!(client.returns("query-memory-devices", json!({})), json!([]));
    client.quit();
    let (kernel, initrd, replay) = (guest_file("vmlinuz"), guest_file("initrd.gz"), icount("replay"));
    let fixed = ["-kernel", &kernel, "-initrd", &initrd, "-nodefaults", "-display", "none", "-serial", "null"];
    let replayed = run(&[&fixed[..], &["-seed", "1", "-icount", &replay], &machine].concat());
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
    for file in [log, file] {
        std::fs::remove_file(file).expect("a scratch file");
    }
}
