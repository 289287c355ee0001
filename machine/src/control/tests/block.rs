//! Drives, media and nodes.

use super::Asked;
use lockstep_qmp::Error;
use serde_json::{Value, json};

const CD: &str = "-drive if=ide,index=2,media=cdrom -device ide-cd,id=second,bus=ide.1,unit=1 -drive if=floppy";

fn asked(name: &str) -> (Asked, [String; 2]) {
    let asked = Asked::new(name, CD);
    let discs = ["first.iso", "second.iso"].map(|file| {
        let path = asked.guest.folder.join(file);
        std::fs::write(&path, [0; 8192]).expect("an image");
        path.display().to_string()
    });
    (asked, discs)
}

fn drive(asked: &mut Asked, qdev: &str) -> Value {
    let drives = asked.ask("query-block", json!({})).expect("drives");
    let found = drives.as_array().expect("a list").iter().find(|drive| drive["qdev"] == qdev);
    found.unwrap_or_else(|| panic!("{qdev} in {drives}")).clone()
}

fn trays(asked: &mut Asked) -> Vec<(String, bool)> {
    let happened = asked.control.take_happened();
    let told = happened.iter().map(|occurrence| {
        assert_eq!(occurrence.event.name, "DEVICE_TRAY_MOVED");
        let data = &occurrence.data;
        (data["id"].as_str().expect("an id").to_owned(), data["tray-open"] == true)
    });
    told.collect()
}

#[test]
fn a_medium_is_changed_in_steps_and_each_is_seen() {
    let (mut asked, [disc, _]) = asked("qmp-tray");
    let id = json!({ "id": "second" });
    let node = json!({ "driver": "raw", "node-name": "disc", "read-only": true,
                       "file": { "driver": "file", "filename": disc } });
    assert_eq!(asked.ask("blockdev-add", node), Ok(json!({})));
    let insert = json!({ "id": "second", "node-name": "disc" });
    let shut = asked.ask("blockdev-insert-medium", insert.clone()).expect_err("shut");
    assert_eq!(shut.desc, "Tray of device 'second' is not open");
    assert_eq!(asked.ask("blockdev-open-tray", id.clone()), Ok(json!({})));
    assert_eq!(trays(&mut asked), [("second".into(), true)]);
    assert_eq!(asked.ask("blockdev-open-tray", id.clone()), Ok(json!({})));
    assert_eq!(trays(&mut asked), [], "it is open already");
    assert_eq!(asked.ask("blockdev-insert-medium", insert.clone()), Ok(json!({})));
    let second = drive(&mut asked, "second");
    assert_eq!((&second["tray_open"], &second["inserted"]["node-name"]), (&json!(true), &json!("disc")));
    assert_eq!(second["inserted"]["image"]["virtual-size"], 8192);
    assert_eq!(asked.ask("blockdev-insert-medium", insert).expect_err("in use").desc, "Node 'disc' is already in use");
    let used = asked.ask("blockdev-del", json!({ "node-name": "disc" })).expect_err("in use");
    assert_eq!(used.desc, "Node disc is in use");
    assert_eq!(asked.ask("blockdev-close-tray", id.clone()), Ok(json!({})));
    assert_eq!(trays(&mut asked), [("second".into(), false)]);
    let closed = asked.ask("blockdev-remove-medium", id.clone()).expect_err("shut");
    assert_eq!(closed.desc, "Tray of device 'second' is not open");
    assert_eq!(asked.ask("blockdev-open-tray", id.clone()), Ok(json!({})));
    assert_eq!(asked.ask("blockdev-remove-medium", id), Ok(json!({})));
    assert_eq!(drive(&mut asked, "second").get("inserted"), None);
    assert_eq!(asked.ask("blockdev-del", json!({ "node-name": "disc" })), Ok(json!({})));
}

#[test]
fn change_and_eject_do_all_steps_at_once_by_the_drives_name_or_its_devices() {
    let (mut asked, [first, second]) = asked("qmp-change");
    let path = drive_path(&mut asked, "ide1-cd0");
    assert!(path.starts_with("/machine/unattached/device["), "{path}");
    assert_eq!(asked.ask("change", json!({ "device": "ide1-cd0", "target": first, "arg": "raw" })), Ok(json!({})));
    assert_eq!(trays(&mut asked), [(path.clone(), true), (path.clone(), false)]);
    let arguments = json!({ "id": path, "filename": second, "format": "raw", "read-only-mode": "retain" });
    assert_eq!(asked.ask("blockdev-change-medium", arguments), Ok(json!({})));
    let inserted = &drive(&mut asked, &path)["inserted"];
    assert_eq!((&inserted["file"], &inserted["ro"], &inserted["drv"]), (&json!(second), &json!(true), &json!("raw")));
    asked.events();
    assert_eq!(asked.ask("eject", json!({ "device": "ide1-cd0" })), Ok(json!({})));
    assert_eq!(trays(&mut asked), [(path, true)]);
    // A floppy drive has no tray.
    assert_eq!(asked.ask("eject", json!({ "device": "floppy0", "force": true })), Ok(json!({})));
    assert_eq!(trays(&mut asked), []);
    for (command, arguments, said) in [
        ("eject", json!({ "device": "nowhere" }), "Device 'nowhere' not found"),
        ("eject", json!({}), "Need exactly one of 'device' and 'id'"),
        ("blockdev-open-tray", json!({ "device": "floppy0" }), "Device 'floppy0' does not have a tray"),
        ("change", json!({ "device": "ide1-cd0", "target": "x", "arg": "vmdk" }), "Unknown driver 'vmdk'"),
        ("change", json!({ "device": "vnc", "target": "password" }), "The feature 'vnc' is not enabled"),
    ] {
        assert_eq!(asked.ask(command, arguments).expect_err("refused").desc, said);
    }
    let missing = asked.ask("eject", json!({ "id": "nowhere" }));
    assert_eq!(missing, Err(Error::device_not_found("nowhere")));
}

fn drive_path(asked: &mut Asked, name: &str) -> String {
    let drives = asked.ask("query-block", json!({})).expect("drives");
    let found = drives.as_array().expect("a list").iter().find(|drive| drive["device"] == name);
    found.expect("the drive")["qdev"].as_str().expect("a path").to_owned()
}

#[test]
fn nodes_are_listed_whether_they_are_used_or_not_and_a_qcow2_image_says_what_it_is() {
    let (mut asked, [disc, _]) = asked("qmp-nodes");
    let image = asked.guest.folder.join("image.qcow2");
    std::fs::write(&image, include_bytes!("../../block/image/fixtures/compressed-v3.qcow2")).expect("an image");
    let file = json!({ "driver": "file", "filename": image });
    asked.ask("blockdev-add", json!({ "driver": "qcow2", "node-name": "q", "file": file })).expect("added");
    asked.ask("change", json!({ "device": "ide1-cd0", "target": disc, "arg": "raw" })).expect("changed");
    let nodes = asked.ask("query-named-block-nodes", json!({})).expect("nodes");
    let names: Vec<_> = nodes.as_array().expect("a list").iter().map(|node| node["node-name"].clone()).collect();
    assert_eq!(names, ["#ide1-cd0", "q"]);
    let specific = &nodes[1]["image"]["format-specific"];
    assert_eq!((&specific["type"], &specific["data"]["compat"]), (&json!("qcow2"), &json!("1.1")));
    let twice = json!({ "driver": "file", "node-name": "q", "filename": disc });
    assert!(asked.ask("blockdev-add", twice).is_err());
    let nameless = json!({ "driver": "file", "filename": disc });
    let refused = asked.ask("blockdev-add", nameless).expect_err("no name");
    assert_eq!(refused.desc, "'node-name' must be specified for the root node");
}
