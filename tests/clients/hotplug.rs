//! Devices that come and go while Debian's kernel runs, which finds and releases them through ACPI.

use lockstep::commandline::DeviceConfig;
use lockstep::plug::{Change, Plugged};
use lockstep::snapshot::Snapshot;
use lockstep_fabric::{DeviceId, Input, Outside, SlotChange};
use lockstep_tests::client::Connected;
use lockstep_tests::guest::{Guest, config, debian, guest_file};
use lockstep_tests::program::{run, scratch, scratch_path};
use serde_json::json;

const MINUTE: u64 = 60_000_000_000;
const SECOND: u64 = 1_000_000_000;

/// The arguments that boot Debian with the drivers of virtio devices in /modules.
fn with_drivers(name: &str) -> Vec<String> {
    let parts = ["initrd.gz", "virtio.gz"].map(|part| std::fs::read(guest_file(part)).expect("a guest's file"));
    let initrd = scratch(name, &parts.concat()).display().to_string();
    [debian(""), vec!["-initrd".into(), initrd]].concat()
}

fn device(driver: &str, id: &str, properties: &[(&str, &str)]) -> DeviceConfig {
    let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    DeviceConfig { driver: driver.into(), id: Some(id.into()), origin: format!("device_add {driver}"), properties }
}

/// Plugs a device in as the operator does.
fn plug(guest: &mut Guest, arguments: &[String], device: DeviceConfig, bus: &str) -> DeviceId {
    let plug = guest.board.plan(&config(arguments), device, bus).expect("a free slot");
    let machine = &mut guest.board.machine;
    machine.check_plug(&plug).expect("it can be made");
    let device = serde_json::to_string(&Plugged::Function(Box::new(plug))).expect("text");
    machine.enter(Outside::Plug { device }).expect("the gate is open");
    let changes = machine.take_changes();
    let [Change::Came(id, _)] = changes[..] else { panic!("one device came: {changes:?}") };
    guest.board.note(&changes[0]);
    id
}

/// Has the guest asked for a device.
fn ask_back(guest: &mut Guest, device: DeviceId) {
    let machine = &mut guest.board.machine;
    let part = machine.part(device).expect("it can be taken out");
    let input = Input::Slot { bridge: part.bridge, slot: part.at.device(), change: SlotChange::Wanted };
    let controller = machine.slot_controller().expect("slots");
    machine.enter(Outside::Input { device: controller, input }).expect("the gate is open");
}

/// Whether a device went since this was last asked.
fn went(guest: &mut Guest, device: DeviceId) -> bool {
    let changes = guest.board.machine.take_changes();
    changes.iter().for_each(|change| guest.board.note(change));
    changes.iter().any(|change| matches!(change, Change::Went(id, _) if *id == device))
}

#[test]
fn a_disk_comes_is_used_survives_a_snapshot_and_goes() {
    let mut bytes = vec![0; 1 << 20];
    bytes[..9].copy_from_slice(b"PLUGGED-1");
    let image = scratch("hotplug.raw", &bytes);
    let drive = format!("file={},format=raw,if=none,id=d0,snapshot=on", image.display());
    let more = ["-drive", &drive, "-device", "pci-bridge,chassis_nr=1,id=br"].map(str::to_owned);
    let arguments = [with_drivers("hotplug.gz"), more.to_vec()].concat();
    let mut guest = Guest::start(&arguments, &[]);
    guest.expect("# ", MINUTE);
    let drivers = "virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk";
    guest.type_in(&format!("cd /modules; for m in {drivers}; do insmod $m.ko; done; echo loaded-$?\n"));
    guest.expect("loaded-0", MINUTE);
    // When something comes to the first bus, Linux opens the windows of the bridge there too, which no firmware has opened.
    for (bus, at) in [("pci.0", "00:03.0"), ("br", "01:03.0")] {
        let disk = device("virtio-blk-pci", "disk", &[("drive", "d0"), ("addr", "3")]);
        let id = plug(&mut guest, &arguments, disk, bus);
        let wait = "while ! [ -b /dev/vda ]; do sleep 0.1; done; head -c 9 /dev/vda; ls -d /sys/bus/pci/devices/0000:";
        guest.type_in(&format!("{wait}{at}\n"));
        guest.expect("PLUGGED-1", MINUTE);
        guest.expect(&format!("devices/0000:{at}\r\n"), MINUTE);
        // A machine that starts without the disk goes on with it.
        let saved = Snapshot::of(&guest.board.machine).expect("a snapshot");
        let mut other = Guest::start(&arguments, &[]);
        saved.restore(&mut other.board.machine).expect("it fits");
        let again = Snapshot::of(&other.board.machine).expect("a snapshot");
        assert_eq!((&again.state, &again.pages), (&saved.state, &saved.pages));
        other.type_in("cat /sys/block/vda/size\n");
        other.expect("2048\r\n", MINUTE);
        assert!(!went(&mut guest, id));
        ask_back(&mut guest, id);
        guest.type_in("while [ -e /sys/block/vda ]; do sleep 0.1; done; echo gone-$?\n");
        guest.expect("gone-0", MINUTE);
        // The disk is gone from Linux's sight a moment before its slot's _EJ0 is called.
        assert_eq!(guest.run_to(guest.board.machine.now() + SECOND), None);
        assert!(went(&mut guest, id), "the guest has ejected it");
        assert_eq!(guest.board.machine.bus.find("disk"), None);
    }
    // The other way: a machine with the disk goes back to a time without it.
    let saved = Snapshot::of(&guest.board.machine).expect("a snapshot");
    let disk = device("virtio-blk-pci", "disk", &[("drive", "d0")]);
    plug(&mut guest, &arguments, disk, "pci.0");
    saved.restore(&mut guest.board.machine).expect("it fits");
    assert_eq!(Snapshot::of(&guest.board.machine).expect("a snapshot").state, saved.state);
    std::fs::remove_file(image).expect("a scratch file");
}

#[test]
fn a_device_of_the_command_line_goes_and_an_earlier_state_has_it_again() {
    let arguments = [debian(""), vec!["-device".into(), "virtio-rng-pci,id=r0,addr=9".into()]].concat();
    let mut guest = Guest::start(&arguments, &[]);
    guest.expect("# ", MINUTE);
    let saved = Snapshot::of(&guest.board.machine).expect("a snapshot");
    let rng = guest.board.machine.bus.find("r0").expect("it is there");
    // The guest lets go of it by itself.
    guest.type_in("echo 0 > /sys/bus/pci/slots/9/power; ls /sys/bus/pci/devices | grep -c 09.0\n");
    guest.expect("\n0\r\n", MINUTE);
    assert!(went(&mut guest, rng));
    saved.restore(&mut guest.board.machine).expect("it fits");
    assert_eq!(guest.board.machine.bus.find("r0"), Some(rng));
    guest.type_in("ls -d /sys/bus/pci/devices/*09.0 | wc -l\n");
    guest.expect("\n1\r\n", MINUTE);
}

/// Plugs and unplugs by QMP while the run is recorded; the recording is then followed.
fn recorded_and_repeated(name: &str, more: &[&str]) {
    let log = scratch_path(&format!("{name}.log"));
    let icount = |mode: &str| format!("shift=0,rr={mode},rrfile={}", log.display());
    let (record, replay) = (icount("record"), icount("replay"));
    let image = scratch(&format!("{name}.raw"), &[0; 1 << 16]);
    let node = format!("driver=raw,node-name=n0,read-only=on,file.driver=file,file.filename={}", image.display());
    let more = [&["-blockdev", &node], more].concat();
    let mut client = Connected::with(name, &[&["-icount", &record], &more[..]].concat());
    client.until_guest_says("INIT-REACHED");
    // A reset takes out what the guest has not let go of, while the machine is stopped too.
    client.returns("stop", json!({}));
    client.returns("device_add", json!({ "driver": "virtio-serial-pci", "id": "unseen" }));
    client.returns("device_del", json!({ "id": "unseen" }));
    client.returns("system_reset", json!({}));
    assert_eq!(client.event("DEVICE_DELETED")["device"], "unseen");
    client.returns("cont", json!({}));
    client.until_guest_says_times("INIT-REACHED", 2);
    for round in 0..3 {
        for slot in ["5", "6"] {
            let rng = json!({ "driver": "virtio-rng-pci", "id": format!("r{slot}"), "addr": slot });
            assert_eq!(client.returns("device_add", rng), json!({}));
        }
        // The kernel tells of each time that a device comes.
        client.until_guest_says_times("pci 0000:00:06.0: [1af4:1005]", round + 1);
        let hotplugged = json!({ "path": "/machine/peripheral/r5", "property": "hotplugged" });
        assert_eq!(client.returns("qom-get", hotplugged), true);
        for id in ["r5", "r6"] {
            client.returns("device_del", json!({ "id": id }));
            let gone = json!({ "device": id, "path": format!("/machine/peripheral/{id}") });
            assert_eq!(client.event("DEVICE_DELETED"), gone);
        }
    }
    // A node's image is read when a device wants it, and is part of the recording from then on.
    let disk = json!({ "driver": "virtio-blk-pci", "id": "disk", "addr": "7", "drive": "n0" });
    assert_eq!(client.returns("device_add", disk), json!({}));
    let another = json!({ "driver": "virtio-blk-pci", "drive": "n0" });
    let refused = client.ask("device_add", another)["error"]["desc"].take();
    assert_eq!(refused, "Drive 'n0' is already in use by another device");
    client.until_guest_says("pci 0000:00:07.0: [1af4:1001]");
    client.quit();
    let (kernel, initrd) = (guest_file("vmlinuz"), guest_file("initrd.gz"));
    let fixed = ["-kernel", &kernel, "-initrd", &initrd, "-append", "console=ttyS0", "-m", "256", "-nodefaults"];
    let machine = ["-display", "none", "-serial", "null", "-seed", "1", "-icount", &replay];
    let arguments = [&fixed[..], &machine, &more].concat();
    let replayed = run(&arguments);
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
    std::fs::write(&image, [1; 1 << 16]).expect("another image");
    let changed = String::from_utf8_lossy(&run(&arguments).stderr).into_owned();
    assert!(changed.contains("is not as recorded"), "{changed}");
    std::fs::remove_file(log).expect("a log");
    std::fs::remove_file(image).expect("an image");
}

#[test]
fn what_was_plugged_is_in_the_recording() {
    recorded_and_repeated("hotplug-recorded", &[]);
}

#[test]
fn seabios_hands_the_slots_to_linux_too() {
    recorded_and_repeated("hotplug-seabios", &["-bios", &guest_file("bios-256k.bin")]);
}
