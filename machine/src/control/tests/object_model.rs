//! The object model, asked as clients ask.

use super::Asked;
use lockstep_qmp::{Error, ErrorClass};
use serde_json::{Value, json};

const CARDS: &str = "-device virtio-balloon-pci,id=b0 -device virtio-rng-pci -smp 2 -serial null";

impl Asked {
    fn get(&mut self, path: &str, property: &str) -> Value {
        let answer = self.ask("qom-get", json!({ "path": path, "property": property }));
        answer.unwrap_or_else(|why| panic!("{path}.{property}: {why}"))
    }

    fn set(&mut self, path: &str, property: &str, value: Value) -> Result<Value, String> {
        let arguments = json!({ "path": path, "property": property, "value": value });
        self.ask("qom-set", arguments).map_err(|why| why.desc)
    }

    fn names(&mut self, path: &str) -> Vec<(String, String)> {
        let answer = self.ask("qom-list", json!({ "path": path })).unwrap_or_else(|why| panic!("{path}: {why}"));
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        answer.as_array().expect("a list").iter().map(|p| (text(&p["name"]), text(&p["type"]))).collect()
    }

    fn refusal(&mut self, command: &str, arguments: Value) -> String {
        self.ask(command, arguments).expect_err("refused").desc
    }

    fn listed(&mut self, command: &str, arguments: Value, key: &str) -> Vec<String> {
        let answer = self.ask(command, arguments).expect("a list");
        let all = answer.as_array().expect("a list").iter();
        all.map(|item| item[key].as_str().expect("a name").to_owned()).collect()
    }
}

#[test]
fn the_whole_tree_can_be_walked_and_every_property_read() {
    let mut asked = Asked::new("qom-walk", &format!("{CARDS} -vga std"));
    let mut waiting = vec!["/".to_owned()];
    let mut devices = 0;
    while let Some(path) = waiting.pop() {
        let properties = asked.names(&path);
        let ty = asked.get(&path, "type");
        let of_type = asked.listed("qom-list-properties", json!({ "typename": ty }), "name");
        assert!(of_type.iter().all(|name| properties.iter().any(|(there, _)| there == name)), "{path}: {of_type:?}");
        for (name, ty) in properties {
            let value = asked.get(&path, &name);
            if ty.starts_with("child<") {
                let child = format!("{}/{name}", path.trim_end_matches('/'));
                assert_eq!(value, json!(child));
                waiting.push(child);
            } else {
                let fits = match ty.as_str() {
                    "bool" => value.is_boolean(),
                    "str" | "string" | "OnOffAuto" | "link<bus>" | "link<memory-backend>" => value.is_string(),
                    "int" | "int32" | "uint8" | "uint16" | "uint32" | "uint64" => {
                        value.is_i64() || value.is_u64() || value.is_array()
                    }
                    _ => !value.is_null(),
                };
                assert!(fits, "{path}.{name} is a {ty}: {value}");
            }
        }
        devices += usize::from(path.contains("device["));
    }
    assert!(devices > 15, "{devices}");
}

#[test]
fn every_device_on_the_boards_bus_is_in_the_tree_once_under_a_type_that_there_is() {
    let mut asked =
        Asked::new("qom-all", &format!("{CARDS} -vga std -device isa-debugcon,chardev=c -chardev null,id=c"));
    let count = asked.control.board.machine.bus.devices().count();
    let tree = crate::object_model::Tree::of(&mut asked.control);
    let mut seen = Vec::new();
    let mut waiting = vec![tree.resolve("/").expect("a root")];
    while let Some(at) = waiting.pop() {
        let node = tree.node(at);
        assert!(tree.types.find(&node.ty).is_some_and(|ty| !ty.is_abstract), "{} is a {}", tree.path(at), node.ty);
        if let crate::object_model::What::Device(placed) = &node.what {
            seen.extend(placed.device.map(|id| id.0));
        }
        waiting.extend(tree.children(at).map(|(child, _)| child));
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..count as u16).collect::<Vec<_>>());
}

#[test]
fn paths_begin_at_the_root_or_fit_exactly_once() {
    let mut asked = Asked::new("qom-paths", CARDS);
    for path in ["b0", "/machine/peripheral/b0", "peripheral/b0", "machine/peripheral/b0"] {
        assert_eq!(asked.get(path, "type"), "virtio-balloon-pci", "{path}");
    }
    assert_eq!(asked.get("b0/parent_bus", "type"), "PCI");
    assert_eq!(asked.get("/machine/peripheral-anon/device[0]", "type"), "virtio-rng-pci");
    for path in ["device[0]", ""] {
        assert_eq!(asked.refusal("qom-list", json!({ "path": path })), format!("Path '{path}' is ambiguous"));
    }
    for path in ["/nope", "nope", "/b0"] {
        let error = asked.ask("qom-list", json!({ "path": path })).expect_err("nothing there");
        assert_eq!(error, Error::device_not_found(path));
    }
}

#[test]
fn a_device_tells_how_it_is_set_up_and_where_it_is() {
    let mut asked =
        Asked::new("qom-device", "-device virtio-balloon-pci,id=b0,addr=7,deflate-on-oom=on,disable-legacy=yes");
    for (property, value) in [
        ("realized", json!(true)),
        ("hotplugged", json!(false)),
        ("parent_bus", json!("/machine/i440fx/pci.0")),
        ("addr", json!(0x38)),
        ("legacy-addr", json!("07.0")),
        ("deflate-on-oom", json!(true)),
        ("disable-legacy", json!("on")),
        ("free-page-reporting", json!(false)),
        ("guest-stats-polling-interval", json!(0)),
    ] {
        assert_eq!(asked.get("b0", property), value, "{property}");
    }
    let stats = asked.get("b0", "guest-stats");
    assert_eq!((&stats["last-update"], &stats["stats"]["stat-free-memory"]), (&json!(0), &json!(u64::MAX)));
    let missing = asked.refusal("qom-get", json!({ "path": "b0", "property": "nope" }));
    assert_eq!(missing, "Property 'virtio-balloon-pci.nope' not found");
}

#[test]
fn the_machine_and_its_processors_tell_what_they_are() {
    let mut asked = Asked::new("qom-machine", "-smp 4,sockets=2,cores=1,threads=2 -cpu qemu64,-nx");
    assert_eq!(asked.get("/machine", "type"), "pc-i440fx-7.2-machine");
    assert_eq!(asked.get("/machine", "memory"), json!({ "size": 1 << 20 }));
    assert_eq!(asked.get("/machine", "memory-backend"), "/objects/pc.ram");
    assert_eq!(asked.get("/machine", "smp")["sockets"], 2);
    let cpu = "/machine/unattached/device[3]";
    assert_eq!(asked.get(cpu, "type"), "qemu64-x86_64-cpu");
    for (property, value) in [("socket-id", 1), ("core-id", 0), ("thread-id", 1), ("apic-id", 3)] {
        assert_eq!(asked.get(cpu, property), value, "{property}");
    }
    assert_eq!((asked.get(cpu, "nx"), asked.get(cpu, "lm")), (json!(false), json!(true)));
    let words = asked.get(cpu, "feature-words");
    let extended =
        words.as_array().expect("words").iter().find(|w| w["cpuid-input-eax"] == 0x8000_0001_u32).expect("a word");
    let bits = extended["features"].as_u64().expect("bits");
    assert_eq!((bits >> 20 & 1, bits >> 29 & 1), (0, 1), "NX and LM");
    let fast = asked.ask("query-cpus-fast", json!({})).expect("processors");
    for cpu in fast.as_array().expect("processors") {
        let path = cpu["qom-path"].as_str().expect("a path").to_owned();
        assert_eq!(asked.get(&path, "socket-id"), cpu["props"]["socket-id"]);
    }
}

#[test]
fn a_processors_apic_id_has_a_field_of_bits_for_each_level() {
    let mut asked = Asked::new("qom-apic-ids", "-smp 6,sockets=2,cores=3,threads=1");
    let ids: Vec<_> = (0..6).map(|cpu| asked.get(&format!("/machine/unattached/device[{cpu}]"), "apic-id")).collect();
    assert_eq!(ids, [0, 1, 2, 4, 5, 6]);
}

#[test]
fn what_can_be_written_is_and_the_rest_is_refused_by_name() {
    let mut asked = Asked::new("qom-set", CARDS);
    assert_eq!(asked.set("b0", "guest-stats-polling-interval", json!(5)), Ok(json!({})));
    assert_eq!(asked.get("b0", "guest-stats-polling-interval"), 5);
    let late = |who: &str, ty: &str, property: &str| {
        format!("Attempt to set property '{property}' on {who} (type '{ty}') after it was realized")
    };
    let cpu = "/machine/unattached/device[0]";
    for (path, property, value, why) in [
        ("b0", "guest-stats-polling-interval", json!(-1), "timer value must be greater than zero".to_owned()),
        (
            "b0",
            "guest-stats-polling-interval",
            json!("x"),
            Error::mistyped("guest-stats-polling-interval", "integer").desc,
        ),
        ("b0", "addr", json!("5"), late("device 'b0'", "virtio-balloon-pci", "addr")),
        ("b0", "hotplugged", json!(true), "Property 'virtio-balloon-pci.hotplugged' is not writable".into()),
        ("b0", "nope", json!(1), "Property 'virtio-balloon-pci.nope' not found".into()),
        (cpu, "lm", json!(false), late("anonymous device", "qemu64-x86_64-cpu", "lm")),
        ("/machine", "type", json!("x"), "Property 'pc-i440fx-7.2-machine.type' is not writable".into()),
        ("/machine", "peripheral", json!("x"), "Property 'pc-i440fx-7.2-machine.peripheral' is not writable".into()),
        ("/objects/pc.ram", "size", json!(1), "cannot change property 'size' of memory-backend-ram".into()),
        ("/nope", "x", json!(1), "Device '/nope' not found".into()),
    ] {
        assert_eq!(asked.set(path, property, value), Err(why), "{path}.{property}");
    }
    assert_eq!(asked.get("b0", "guest-stats-polling-interval"), 5);
}

#[test]
fn objects_come_and_go_in_both_forms_and_are_listed_where_they_belong() {
    let mut asked = Asked::new("qom-objects", "-device virtio-rng-pci,iothread=busy");
    let flat = json!({ "qom-type": "iothread", "id": "io0", "poll-max-ns": 5 });
    let props = json!({ "qom-type": "memory-backend-ram", "id": "m0", "props": { "size": 4096, "share": true } });
    assert_eq!(asked.ask("object-add", flat.clone()), Ok(json!({})));
    assert_eq!(asked.ask("object-add", props), Ok(json!({})));
    assert!(asked.names("/objects").contains(&("io0".into(), "child<iothread>".into())));
    assert_eq!(asked.listed("query-iothreads", json!({}), "id"), ["io0"]);
    let memory = asked.ask("query-memdev", json!({})).expect("backends");
    assert_eq!((&memory[1]["id"], &memory[1]["size"], &memory[1]["share"]), (&json!("m0"), &json!(4096), &json!(true)));
    assert_eq!(asked.set("io0", "poll-max-ns", json!(7)), Ok(json!({})));
    assert_eq!(asked.ask("query-iothreads", json!({})).expect("threads")[0]["poll-max-ns"], 7);
    let twice = "attempt to add duplicate property 'io0' to object (type 'container')";
    assert_eq!(asked.refusal("object-add", flat), twice);
    let mixed = json!({ "qom-type": "iothread", "id": "x", "props": { "nope": 1 } });
    assert_eq!(asked.refusal("object-add", mixed), "Parameter 'nope' is unexpected");
    assert_eq!(
        asked.refusal("object-add", json!({ "qom-type": "iothread", "id": "x", "props": 1 })),
        Error::mistyped("props", "object").desc
    );
    assert_eq!(asked.ask("object-del", json!({ "id": "io0" })), Ok(json!({})));
    assert_eq!(asked.refusal("object-del", json!({ "id": "io0" })), "object 'io0' not found");
    assert_eq!(asked.refusal("object-del", json!({ "id": "pc.ram" })), "object 'pc.ram' is in use, can not be deleted");
    asked.ask("object-add", json!({ "qom-type": "iothread", "id": "busy" })).expect("a thread");
    assert_eq!(asked.refusal("object-del", json!({ "id": "busy" })), "object 'busy' is in use, can not be deleted");
}

#[test]
fn types_are_listed_by_what_they_are() {
    let mut asked = Asked::new("qom-types", "");
    let list = |asked: &mut Asked, arguments| asked.listed("qom-list-types", arguments, "name");
    let all = list(&mut asked, json!({}));
    for name in ["virtio-blk-pci", "iothread", "qemu64-x86_64-cpu", "pc-i440fx-7.2-machine", "tcg-accel", "VGA"] {
        assert!(all.iter().any(|known| known == name), "{name}");
    }
    assert!(!all.iter().any(|name| name == "device"));
    assert!(list(&mut asked, json!({ "abstract": true })).iter().any(|name| name == "device"));
    assert_eq!(list(&mut asked, json!({ "implements": "machine" })), ["pc-i440fx-7.2-machine", "none-machine"]);
    assert!(list(&mut asked, json!({ "implements": "user-creatable" })).contains(&"secret".into()));
    assert!(list(&mut asked, json!({ "implements": "nope" })).is_empty());
    let error = asked.ask("qom-list-properties", json!({ "typename": "nope" })).expect_err("no such type");
    assert_eq!((error.class, error.desc.as_str()), (ErrorClass::DeviceNotFound, "Class 'nope' not found"));
}

#[test]
fn a_devices_settings_are_listed_with_their_defaults() {
    let mut asked = Asked::new("qdev-list", "");
    let answer = asked.ask("device-list-properties", json!({ "typename": "virtio-blk-pci" })).expect("settings");
    let settings = answer.as_array().expect("a list");
    let find = |name: &str| settings.iter().find(|p| p["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    for (name, ty, default) in [
        ("addr", "int32", json!(-1)),
        ("disable-legacy", "OnOffAuto", json!("auto")),
        ("event_idx", "bool", json!(true)),
        ("drive", "str", Value::Null),
        ("werror", "BlockdevOnError", json!("auto")),
    ] {
        assert_eq!((&find(name)["type"], &find(name)["default-value"]), (&json!(ty), &default), "{name}");
    }
    assert!(settings.iter().all(|p| p["name"] != "realized"));
    let error = asked.ask("device-list-properties", json!({ "typename": "nope" })).expect_err("no such type");
    assert_eq!(error, Error::device_not_found("nope"));
    for name in ["device", "iothread"] {
        let error = asked.refusal("device-list-properties", json!({ "typename": name }));
        assert_eq!(error, "Parameter 'typename' expects a non-abstract device type", "{name}");
    }
}

#[test]
fn plugging_is_checked_to_the_end_before_anything_is_done() {
    let mut asked = Asked::new("qdev-plug", CARDS);
    for (arguments, why) in [
        (json!({ "driver": "nope" }), "'nope' is not a valid device model name"),
        (json!({ "driver": "iothread" }), "'iothread' is not a valid device model name"),
        (json!({ "driver": "device" }), "Parameter 'driver' expects a non-abstract device type"),
        (json!({ "driver": "i440FX" }), "Parameter 'driver' expects a pluggable device type"),
        (json!({ "driver": "virtio-rng-pci", "id": "b0" }), "Duplicate device ID 'b0'"),
        (json!({ "driver": "virtio-rng-pci", "id": "1x" }), "Parameter 'id' expects an identifier"),
        (json!({ "driver": "virtio-rng-pci", "nope": 1 }), "Property 'virtio-rng-pci.nope' not found"),
        (json!({ "driver": "virtio-rng-pci", "bus": "nope" }), "Bus 'nope' not found"),
        (json!({ "driver": "virtio-rng-pci", "bus": "isa.0" }), "Device 'virtio-rng-pci' can't go on ISA bus"),
        (json!({ "driver": "virtio-rng-pci", "addr": "zz" }), "Property 'virtio-rng-pci.addr' doesn't take value 'zz'"),
        (json!({ "driver": "virtio-rng-pci", "vectors": "x" }), "Parameter 'vectors' expects integer"),
        (json!({ "driver": "virtio-rng-pci", "packed": 3 }), "Parameter 'packed' expects 'on' or 'off'"),
        (
            json!({ "driver": "virtio-rng-pci", "disable-legacy": "x" }),
            "Parameter 'disable-legacy' does not accept value 'x'",
        ),
        (json!({ "driver": "virtio-rng-pci", "rng": "nope" }), "Device 'nope' not found"),
        (
            json!({ "driver": "virtio-rng-pci", "rng": "pc.ram" }),
            "Invalid parameter type for 'rng', expected: rng-backend",
        ),
        (json!({ "driver": "virtio-balloon-pci" }), "Only one balloon device is supported"),
        (json!({ "driver": "virtio-blk-pci" }), "drive property not set"),
        (
            json!({ "driver": "virtio-blk-pci", "drive": "nope" }),
            "Property 'virtio-blk-pci.drive' can't find value 'nope'",
        ),
        (json!({ "driver": "virtconsole" }), "No 'virtio-serial-bus' bus found for device 'virtconsole'"),
        (json!({ "driver": "virtio-rng-pci", "id": "rtc" }), "Duplicate device ID 'rtc'"),
        (
            json!({ "driver": "virtio-rng-pci", "addr": "1" }),
            "PCI: slot 1 function 0 not available for virtio-rng-pci, in use by PIIX3",
        ),
        (json!({ "driver": "pci-bridge", "chassis_nr": 1 }), "Device 'pci-bridge' does not support hotplugging"),
        (json!({ "driver": "VGA" }), "Device 'VGA' does not support hotplugging"),
        (json!({ "driver": "isa-serial" }), "Bus 'isa.0' does not support hotplugging"),
    ] {
        assert_eq!(asked.refusal("device_add", arguments.clone()), why, "{arguments}");
    }
    for (id, why) in [
        ("nope", "Device 'nope' not found"),
        ("/machine/i440fx/pci.0/child[0]", "Device 'i440FX' does not support hotplugging"),
        ("/machine/unattached/device[0]", "Boot CPU is unpluggable"),
        ("/machine", "/machine is not a hotpluggable device"),
        ("/machine/i440fx", "Bus 'main-system-bus' does not support hotplugging"),
    ] {
        assert_eq!(asked.refusal("device_del", json!({ "id": id })), why, "{id}");
    }
}

#[test]
fn a_device_is_plugged_in_at_once_and_gone_when_the_guest_or_a_reset_has_let_go_of_it() {
    let mut asked = Asked::new("qdev-cycle", CARDS);
    for round in 0..3 {
        asked.ask("device_add", json!({ "driver": "virtio-rng", "id": "r1", "addr": "9" })).expect("a free slot");
        for (property, value) in [("hotplugged", json!(true)), ("hotpluggable", json!(true)), ("addr", json!(0x48))] {
            assert_eq!(asked.get("/machine/peripheral/r1", property), value, "{property}");
        }
        let again = json!({ "driver": "virtio-rng-pci", "addr": "9" });
        let taken = "PCI: slot 9 function 0 not available for virtio-rng-pci, in use by virtio-rng-pci,id=r1";
        assert_eq!(asked.refusal("device_add", again), taken);
        let behind = json!({ "driver": "virtio-rng-pci", "addr": "9.1" });
        assert_eq!(
            asked.refusal("device_add", behind),
            "PCI: single function device can't be populated in function 9.1"
        );
        asked.ask("device_del", json!({ "id": "r1" })).expect("the guest is asked");
        let twice = asked.refusal("device_del", json!({ "id": "/machine/peripheral/r1" }));
        assert_eq!(twice, "Device r1 is already in the process of unplug", "{round}");
        assert_eq!(asked.events(), Vec::<&str>::new());
        asked.ask("system_reset", json!({})).expect("a reset");
        asked.control.follow_plugging();
        assert_eq!(asked.events(), ["RESET", "DEVICE_DELETED"]);
        assert_eq!(asked.refusal("device_del", json!({ "id": "r1" })), "Device 'r1' not found");
    }
    // One of the command line goes the same way.
    assert_eq!(asked.get("b0", "hotplugged"), json!(false));
    asked.ask("device_del", json!({ "id": "b0" })).expect("the guest is asked");
    asked.ask("system_reset", json!({})).expect("a reset");
    asked.control.follow_plugging();
    asked.ask("device_add", json!({ "driver": "virtio-balloon-pci", "id": "b0" })).expect("its name is free");
    assert_eq!(asked.get("b0", "hotplugged"), json!(true));
}

#[test]
fn without_acpi_nothing_is_plugged() {
    let mut asked = Asked::new("qdev-no-acpi", "-machine acpi=off");
    let why = asked.refusal("device_add", json!({ "driver": "virtio-rng-pci" }));
    assert_eq!(why, "Bus 'pci.0' does not support hotplugging");
}

#[test]
fn the_command_lines_options_are_told_all_or_one() {
    let mut asked = Asked::new("qmp-options", "");
    let all = asked.listed("query-command-line-options", json!({}), "option");
    assert!(
        ["machine", "smp-opts", "memory", "drive", "device"].iter().all(|name| all.contains(&(*name).into())),
        "{all:?}"
    );
    let one = asked.ask("query-command-line-options", json!({ "option": "memory" })).expect("one");
    assert_eq!(
        (one.as_array().expect("a list").len(), &one[0]["parameters"][0]),
        (1, &json!({ "name": "size", "type": "size" }))
    );
    assert_eq!(asked.refusal("query-command-line-options", json!({ "option": "nope" })), "Invalid parameter 'option'");
}

#[test]
fn ports_of_a_console_device_come_and_go() {
    let options = "-device virtio-serial-pci,id=vs -chardev null,id=one -chardev null,id=two \
        -device virtserialport,bus=vs.0,id=first,name=org.first";
    let mut asked = Asked::new("qom-ports", options);
    let port = |id: &str, name: &str, chardev: &str| json!({ "driver": "virtserialport", "id": id, "bus": "vs.0", "name": name, "chardev": chardev });
    asked.ask("device_add", port("second", "org.second", "one")).expect("a port");
    let numbers = |asked: &Asked| -> Vec<_> {
        asked.control.board.serial_ports.iter().map(|port| (port.id.clone().unwrap_or_default(), port.number)).collect()
    };
    assert_eq!(numbers(&asked), [("first".into(), 1), ("second".into(), 2)]);
    assert!(asked.names("/machine/peripheral").iter().any(|(name, _)| name == "second"));
    for (refused, why) in [
        (port("second", "org.third", "two"), "Duplicate device ID 'second'"),
        (port("third", "org.second", "two"), "org.second"),
        (port("third", "org.third", "one"), "it's in use"),
        (port("third", "org.third", "three"), "can't find value 'three'"),
        (json!({ "driver": "virtserialport", "bus": "vs.0", "nr": 0 }), "0"),
        (json!({ "driver": "virtserialport", "bus": "vs.0", "nr": 2 }), "2"),
        (json!({ "driver": "virtserialport", "bus": "pci.0" }), "can't go on PCI bus"),
    ] {
        let said = asked.refusal("device_add", refused.clone());
        assert!(said.contains(why), "{refused}: {said}");
    }
    assert_eq!(numbers(&asked).len(), 2, "nothing came of those");
    asked.ask("device_del", json!({ "id": "first" })).expect("it goes at once");
    assert_eq!(numbers(&asked), [("second".into(), 2)]);
    asked.ask("device_add", port("first", "org.first", "two")).expect("a port");
    assert_eq!(numbers(&asked), [("second".into(), 2), ("first".into(), 1)]);
    asked.ask("device_del", json!({ "id": "second" })).expect("it goes at once");
    assert_eq!(asked.refusal("device_del", json!({ "id": "second" })), "Device 'second' not found");
    asked.ask("device_add", port("third", "org.third", "one")).expect("the character device is free again");
}

#[test]
fn a_console_device_without_a_name_takes_ports_too() {
    let mut asked = Asked::new("qom-unnamed-ports", "-device virtio-serial-pci -device virtio-serial-pci");
    let port = |id: &str| json!({ "driver": "virtserialport", "id": id });
    asked.ask("device_add", port("first")).expect("on the first bus there is");
    for (id, bus) in [("second", "virtio-serial-bus.0"), ("third", "virtio-serial-bus.1")] {
        let mut named = port(id);
        named["bus"] = bus.into();
        asked.ask("device_add", named).unwrap_or_else(|why| panic!("{bus}: {why}"));
    }
    let ports = &asked.control.board.serial_ports;
    let numbers: Vec<_> = ports.iter().map(|port| (port.device == ports[0].device, port.number)).collect();
    assert_eq!(numbers, [(true, 1), (true, 2), (false, 1)]);
}
