//! Character devices.

use super::Asked;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

#[test]
fn a_ring_buffer_keeps_what_was_written_last_and_gives_it_once() {
    let mut asked = Asked::new("qmp-ring", "-chardev null,id=dull");
    let ring = |size: i64| json!({ "id": "ring", "backend": { "type": "ringbuf", "data": { "size": size } } });
    let refused = asked.ask("chardev-add", ring(100)).expect_err("no power of two");
    assert_eq!(refused.desc, "size of ringbuf chardev must be power of two");
    assert_eq!(asked.ask("chardev-add", ring(8)), Ok(json!({})));
    assert_eq!(asked.ask("chardev-add", ring(8)).expect_err("twice").desc, "Chardev with id 'ring' already exists");
    let write = |data: &str, format: &str| json!({ "device": "ring", "data": data, "format": format });
    assert_eq!(asked.ask("ringbuf-write", write("Zm9v", "base64")), Ok(json!({})));
    assert_eq!(asked.ask("ringbuf-write", write("bar123", "utf8")), Ok(json!({})));
    let read = |size: i64| json!({ "device": "ring", "size": size });
    assert_eq!(asked.ask("ringbuf-read", read(2)), Ok(json!("oo")));
    assert_eq!(asked.ask("ringbuf-read", read(100)), Ok(json!("bar123")));
    assert_eq!(asked.ask("ringbuf-read", read(0)).expect_err("nothing").desc, "size must be greater than zero");
    let dull = json!({ "device": "dull", "size": 1 });
    assert_eq!(asked.ask("ringbuf-read", dull).expect_err("no ring").desc, "dull is not a ringbuf device");
    assert_eq!(asked.ask("chardev-remove", json!({ "id": "ring" })), Ok(json!({})));
    assert_eq!(
        asked.ask("chardev-remove", json!({ "id": "ring" })).expect_err("gone").desc,
        "Chardev 'ring' not found"
    );
    let listed = asked.ask("query-chardev", json!({})).expect("a list");
    let labels: Vec<&Value> = listed.as_array().expect("a list").iter().map(|chardev| &chardev["label"]).collect();
    assert_eq!(labels, [&json!("dull")]);
    assert_eq!(asked.ask("chardev-add", ring(16)), Ok(json!({})), "the name is free again");
}

#[test]
fn what_a_device_uses_is_changed_but_not_removed() {
    let mut asked = Asked::new("qmp-swap", "-chardev null,id=line -serial chardev:line");
    let busy = asked.ask("chardev-remove", json!({ "id": "line" })).expect_err("in use");
    assert_eq!(busy.desc, "Chardev 'line' is busy");
    let socket = asked.guest.folder.join("line.socket").display().to_string();
    let server = |path: &str| {
        let addr = json!({ "type": "unix", "data": { "path": path } });
        json!({ "id": "line", "backend": { "type": "socket", "data": { "addr": addr, "server": true } } })
    };
    assert_eq!(asked.ask("chardev-change", server(&socket)), Ok(json!({})));
    let failed = asked.ask("chardev-change", server("/nonexistent/x")).expect_err("no such folder");
    assert!(failed.desc.starts_with("Failed to open the character device"), "{}", failed.desc);
    let filename = asked.ask("query-chardev", json!({})).expect("a list")[0]["filename"].clone();
    assert_eq!(filename, format!("unix:{socket}"), "a change that fails changes nothing");
    assert_eq!(asked.ask("chardev-send-break", json!({ "id": "line" })), Ok(json!({})));
}

#[test]
fn a_pseudoterminal_is_known_by_its_path() {
    let mut asked = Asked::new("qmp-pty", "");
    let add = json!({ "id": "x", "backend": { "type": "pty", "data": {} } });
    let path = asked.ask("chardev-add", add).expect("a terminal")["pty"].as_str().expect("a path").to_owned();
    assert!(std::path::Path::new(&path).exists(), "{path}");
    let listed = asked.ask("query-chardev", json!({})).expect("a list");
    let name = |id: &str| {
        let found = listed.as_array().expect("a list").iter().find(|chardev| chardev["label"] == id);
        found.expect("it is there")["filename"].as_str().expect("a name").to_owned()
    };
    assert_eq!(name("x"), format!("pty:{path}"));
    let of = |kind: &str| json!({ "id": "y", "backend": { "type": kind, "data": { "device": "/dev/null" } } });
    let refused = asked.ask("chardev-add", of("serial")).expect_err("no terminal");
    assert_eq!(refused.desc, "Failed to open the character device: it is no terminal");
    assert_eq!(asked.ask("chardev-add", of("pipe")), Ok(json!({})), "anything that is read and written");
}

#[test]
fn a_client_that_was_accepted_elsewhere_talks_to_a_server() {
    let mut asked = Asked::listening("qmp-add-client");
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    asked.ask_with("getfd", json!({ "fdname": "client" }), theirs.into()).expect("kept");
    let bring = json!({ "protocol": "line", "fdname": "client" });
    assert_eq!(asked.ask("add_client", bring.clone()), Ok(json!({})));
    assert!(asked.ask("add_client", bring).is_err(), "the descriptor is used up");
    let id = asked.control.chardevs.id("line").expect("it is there");
    let mut heard = [0; 5];
    // The server's thread lets it in as soon as it may.
    let writer = || asked.control.chardevs.write(id, b"hello");
    ours.set_read_timeout(Some(std::time::Duration::from_millis(50))).expect("a socket");
    let begun = std::time::Instant::now();
    while (&ours).read_exact(&mut heard).is_err() {
        assert!(begun.elapsed().as_secs() < 60, "nobody answers");
        writer();
    }
    assert_eq!(&heard, b"hello");
    (&ours).write_all(b"x").expect("it listens");
    let file = std::fs::File::open("/dev/null").expect("it is there");
    asked.ask_with("getfd", json!({ "fdname": "file" }), file.into()).expect("kept");
    let refused = asked.ask("add_client", json!({ "protocol": "line", "fdname": "file" })).expect_err("no socket");
    assert_eq!(refused.desc, "Could not add client");
}

#[test]
fn datagrams_are_made_on_the_loopback_interface_only() {
    let mut asked = Asked::new("qmp-udp", "");
    let inet = |host: &str, port: &str| json!({ "type": "inet", "data": { "host": host, "port": port } });
    let udp = |remote: Value, local: Option<Value>| {
        let mut data = json!({ "remote": remote });
        if let Some(local) = local {
            data["local"] = local;
        }
        json!({ "id": "u", "backend": { "type": "udp", "data": data } })
    };
    for (remote, local) in [
        (inet("192.0.2.1", "7"), None),
        (inet("127.0.0.1", "70000"), None),
        (json!({ "type": "unix", "data": { "path": "/tmp/u" } }), None),
        (inet("127.0.0.1", "7"), Some(inet("::1", "7"))),
    ] {
        asked.ask("chardev-add", udp(remote, local)).expect_err("refused");
    }
    assert_eq!(asked.ask("chardev-add", udp(inet("localhost", "7"), None)), Ok(json!({})));
    let listed = asked.ask("query-chardev", json!({})).expect("a list");
    assert_eq!(listed[0]["filename"], "udp:127.0.0.1:7");
    assert_eq!(asked.ask("chardev-remove", json!({ "id": "u" })), Ok(json!({})));
}
