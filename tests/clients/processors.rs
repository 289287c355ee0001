//! Processors that come and go while Debian's kernel runs, which finds and releases them through ACPI.

use lockstep::commandline::DeviceConfig;
use lockstep::plug::{Change, Plugged};
use lockstep::snapshot::Snapshot;
use lockstep_fabric::{Cpu, Input, Outside, ProcessorChange};
use lockstep_tests::client::Connected;
use lockstep_tests::guest::{Guest, config, debian, guest_file};
use lockstep_tests::program::{run, scratch_path};
use serde_json::{Value, json};

const MINUTE: u64 = 60_000_000_000;
const SECOND: u64 = 1_000_000_000;

/// Plugs a processor in as the operator does.
fn plug(guest: &mut Guest, arguments: &[String], core: &str) {
    let properties = [("socket-id", "0"), ("core-id", core), ("thread-id", "0")];
    let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let device =
        DeviceConfig { driver: "max-x86_64-cpu".into(), id: Some("c".into()), origin: String::new(), properties };
    let processor = guest.board.plan_processor(&config(arguments), device).expect("a free place");
    let device = serde_json::to_string(&Plugged::Processor(Box::new(processor))).expect("text");
    guest.board.machine.enter(Outside::Plug { device }).expect("the gate is open");
    let changes = guest.board.machine.take_changes();
    assert!(matches!(changes[..], [Change::ProcessorCame(_)]), "{changes:?}");
}

/// Waits until so many processors' folders are there, brings all online, and has the guest count.
fn counted(guest: &mut Guest, folders: u32) {
    let wait =
        format!("while [ $(ls -d /sys/devices/system/cpu/cpu[0-9]* | wc -l) -ne {folders} ]; do sleep 0.1; done");
    let online = "for c in /sys/devices/system/cpu/cpu*/online; do echo 1 > $c; done";
    guest.type_in(&format!("{wait}; {online} 2> /dev/null; echo has-$(nproc)\n"));
    guest.expect(&format!("has-{folders}\r"), MINUTE);
}

fn comes_and_goes(firmware: &[&str]) {
    let machine = ["-smp", "1,maxcpus=3", "-cpu", "max"].iter().chain(firmware).map(|text| (*text).to_owned());
    let arguments: Vec<_> = debian("").into_iter().chain(machine).collect();
    let mut guest = Guest::start(&arguments, &[]);
    guest.expect("# ", MINUTE);
    counted(&mut guest, 1);
    plug(&mut guest, &arguments, "2");
    counted(&mut guest, 2);
    // It runs, and runs on in a machine that started without it.
    guest.type_in("(while :; do :; done) & taskset 2 true 2> /dev/null; echo busy-$?\n");
    guest.expect("busy-", MINUTE);
    let saved = Snapshot::of(&guest.board.machine).expect("a snapshot");
    let mut other = Guest::start(&arguments, &[]);
    saved.restore(&mut other.board.machine).expect("it fits");
    assert_eq!(Snapshot::of(&other.board.machine).expect("a snapshot").state, saved.state);
    for guest in [&mut guest, &mut other] {
        let end = guest.board.machine.now() + SECOND / 10;
        assert_eq!(guest.run_to(end), None);
    }
    assert_eq!(other.digest(), guest.digest(), "the copy goes on alike");
    let numbers = |guest: &Guest| guest.board.machine.cpus.iter().map(|cpu| cpu.index).collect::<Vec<_>>();
    assert_eq!(numbers(&other), [0, 2]);
    guest.type_in("kill $!\n");
    let device = guest.board.machine.processor_controller().expect("places");
    let input = Input::Processor { cpu: Cpu(2), change: ProcessorChange::Wanted };
    guest.board.machine.enter(Outside::Input { device, input }).expect("the gate is open");
    counted(&mut guest, 1);
    assert_eq!(guest.run_to(guest.board.machine.now() + SECOND), None);
    let changes = guest.board.machine.take_changes();
    assert!(matches!(changes[..], [Change::ProcessorWent(2, Some(_))]), "{changes:?}");
    assert_eq!(numbers(&guest), [0]);
    // Back to a time with it.
    saved.restore(&mut guest.board.machine).expect("it fits");
    assert_eq!(numbers(&guest), [0, 2]);
}

#[test]
fn a_processor_comes_runs_survives_a_snapshot_and_goes() {
    comes_and_goes(&[]);
}

#[test]
fn seabios_knows_of_places_for_processors() {
    comes_and_goes(&["-bios", &guest_file("bios-256k.bin")]);
}

#[test]
fn processors_of_qmp_are_told_of_recorded_and_replayed() {
    let log = scratch_path("processors.log");
    let icount = |mode: &str| format!("shift=0,rr={mode},rrfile={}", log.display());
    let cold = "max-x86_64-cpu,id=cold,socket-id=0,core-id=3,thread-id=0";
    let machine = ["-cpu", "max", "-smp", "1,maxcpus=4", "-device", cold];
    let record = icount("record");
    let mut client = Connected::with("processors", &[&["-icount", &record], &machine[..]].concat());
    client.until_guest_says("INIT-REACHED");
    let processor = |driver: &str, id: &str, core: u64| json!({ "driver": format!("{driver}-x86_64-cpu"), "id": id, "socket-id": 0, "core-id": core, "thread-id": 0 });
    let refused = |client: &mut Connected, command: &str, arguments: Value| {
        client.ask(command, arguments)["error"]["desc"].take()
    };
    for (arguments, why) in [
        (processor("qemu64", "c", 1), "Invalid CPU type, expected cpu type: 'max-x86_64-cpu'"),
        (processor("max", "c", 3), "CPU[3] with APIC ID 3 exists"),
        (processor("max", "c", 4), "Invalid CPU core-id: 4 must be in range 0:3"),
        (processor("max", "cold", 1), "Duplicate device ID 'cold'"),
        (json!({ "driver": "max-x86_64-cpu" }), "CPU socket-id is not set"),
        (json!({ "driver": "max-x86_64-cpu", "vendor": "x" }), "Property 'max-x86_64-cpu.vendor' not found"),
    ] {
        assert_eq!(refused(&mut client, "device_add", arguments), why);
    }
    client.returns("device_add", processor("max", "c1", 1));
    client.returns("cpu-add", json!({ "id": 2 }));
    assert_eq!(refused(&mut client, "cpu-add", json!({ "id": 2 })), "CPU[2] with APIC ID 2 exists");
    assert_eq!(refused(&mut client, "cpu-add", json!({ "id": 4 })), "Unable to add CPU: 4, max allowed: 3");
    let paths = |client: &mut Connected| -> Vec<String> {
        let places = client.returns("query-hotpluggable-cpus", json!({}));
        let path = |place: &Value| place["qom-path"].as_str().unwrap_or_default().to_owned();
        places.as_array().expect("places").iter().map(path).collect()
    };
    let (first, cold, c1) = ("/machine/unattached/device[0]", "/machine/peripheral/cold", "/machine/peripheral/c1");
    assert_eq!(paths(&mut client), [cold, "/machine/peripheral-anon/cpu[2]", c1, first]);
    // The kernel has taken it.
    let said = json!({ "device": "c1", "slot": "1", "slot-type": "CPU", "source": 1, "status": 0 });
    assert_eq!(client.event("ACPI_DEVICE_OST"), json!({ "info": said }));
    assert_eq!(client.returns("query-acpi-ospm-status", json!({}))[1], said);
    let hotplugged = |path: &str| json!({ "path": path, "property": "hotplugged" });
    assert_eq!(client.returns("qom-get", hotplugged(c1)), true);
    assert_eq!(client.returns("qom-get", hotplugged(cold)), false);
    assert_eq!(refused(&mut client, "device_del", json!({ "id": first })), "Boot CPU is unpluggable");
    client.returns("device_del", json!({ "id": "c1" }));
    assert_eq!(client.event("DEVICE_DELETED"), json!({ "device": "c1", "path": c1 }));
    // What is asked for is gone with a reset at the latest; what is there starts again.
    client.returns("stop", json!({}));
    client.returns("device_add", processor("max", "c1", 1));
    client.returns("device_del", json!({ "id": "c1" }));
    client.returns("system_reset", json!({}));
    assert_eq!(client.event("DEVICE_DELETED")["device"], "c1");
    client.returns("cont", json!({}));
    client.until_guest_says_times("INIT-REACHED", 2);
    assert_eq!(paths(&mut client), [cold, "/machine/peripheral-anon/cpu[2]", "", first]);
    client.quit();
    let (kernel, initrd, replay) = (guest_file("vmlinuz"), guest_file("initrd.gz"), icount("replay"));
    let fixed = ["-kernel", &kernel, "-initrd", &initrd, "-nodefaults", "-display", "none", "-serial", "null"];
    let more = ["-seed", "1", "-m", "256", "-append", "console=ttyS0", "-icount", &replay];
    let replayed = run(&[&fixed[..], &more, &machine].concat());
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
    std::fs::remove_file(log).expect("a log");
}
