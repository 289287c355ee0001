//! The server over real sockets.

mod fixture;

use fixture::{Client, Event, Machine, PATIENCE, Running, pair};
use lockstep_qmp::server::{Address, Endpoint, Monitor, Server, StartError, inherited};
use lockstep_qmp::wire::Layout;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::json;
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

fn unix(path: &std::path::Path) -> Monitor {
    Monitor::at(Endpoint::Listen { address: Address::Unix(path.into()), wait: false })
}

#[test]
fn a_client_is_greeted_and_answered() {
    let (here, there) = UnixStream::pair().unwrap();
    let running = Running::with(vec![Monitor::at(Endpoint::Descriptor { socket: there.into(), wait: false })]);
    let mut client = Client::over(here);
    let greeting = client.line();
    let version = r#""version": {"package": "lockstep-0.1.0", "qemu": {"major": 7, "micro": 0, "minor": 2}}"#;
    assert_eq!(greeting, format!("{{\"QMP\": {{\"capabilities\": [\"oob\"], {version}}}}}\r\n"));
    client.ask(json!({ "execute": "qmp_capabilities" }));
    client.send(br#"{"execute":"query-status","id":"a"}"#);
    assert_eq!(
        client.line(),
        "{\"id\": \"a\", \"return\": {\"running\": true, \"singlestep\": false, \"status\": \"running\"}}\r\n"
    );
    assert_eq!(running.wakes.load(Ordering::Relaxed), 1);
}

#[test]
fn any_number_of_clients_and_events_to_those_that_have_negotiated() {
    let address = Address::Tcp("127.0.0.1".into(), 0);
    let running = Running::with(vec![Monitor::at(Endpoint::Listen { address, wait: false })]);
    let connect = || Client::over(TcpStream::connect(running.addresses[0]).unwrap());
    let (mut one, mut two, mut silent) = (connect(), connect(), connect());
    one.negotiate();
    two.negotiate();
    assert!(silent.next()["QMP"].is_object());
    assert_eq!(one.ask(json!({ "execute": "stop" })), json!({ "return": {} }));
    let event = json!({ "event": "STOP", "timestamp": { "seconds": 1, "microseconds": 2 } });
    assert_eq!((one.next(), two.next()), (event.clone(), event));
    assert_eq!(silent.ask(json!({ "execute": "qmp_capabilities" })), json!({ "return": {} }));
}

#[test]
fn what_was_sent_before_the_input_ended_is_answered() {
    let (_running, mut client) = pair();
    client.send(&br#"{"execute":"query-status"}"#.repeat(20));
    client.reader.get_mut().shutdown(Shutdown::Write).unwrap();
    for _ in 0..20 {
        assert_eq!(client.next()["return"]["status"], "running");
    }
    assert_eq!(client.line(), "");
}

#[test]
fn what_was_sent_by_a_client_that_has_hung_up_is_carried_out() {
    let (mut here, there) = UnixStream::pair().unwrap();
    here.write_all(br#"{"execute":"qmp_capabilities"}{"execute":"query-status"}{"execute":"query-status"}"#).unwrap();
    // Before it was greeted, and nobody can be greeted now.
    drop(here);
    let running = Running::with(vec![Monitor::at(Endpoint::Descriptor { socket: there.into(), wait: false })]);
    let begun = Instant::now();
    while running.wakes.load(Ordering::Relaxed) < 2 {
        assert!(begun.elapsed() < PATIENCE, "its commands are lost");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_reply_to_quit_is_sent_before_the_end() {
    let (running, mut client) = pair();
    assert_eq!(client.ask(json!({ "execute": "quit" })), json!({ "return": {} }));
    drop(running);
    assert_eq!(client.line(), "");
}

#[test]
fn a_stale_socket_is_taken_over_a_live_one_is_not_and_none_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp.sock");
    drop(UnixListener::bind(&path).unwrap());
    let running = Running::with(vec![unix(&path)]);
    Client::over(UnixStream::connect(&path).unwrap()).negotiate();
    let refused = Server::start(vec![unix(&path)], fixture::offer(), |_| {});
    assert!(matches!(refused, Err(StartError::Listen(..))), "{refused:?}");
    drop(running);
    assert!(!path.exists());
    std::fs::write(&path, "a file").unwrap();
    assert!(Server::start(vec![unix(&path)], fixture::offer(), |_| {}).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"a file");
}

#[test]
fn file_descriptors_go_to_the_commands_that_take_them_in_order() {
    let (_running, mut client) = pair();
    for (name, text) in [("a", "first"), ("b", "second")] {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let command = json!({ "execute": "getfd", "arguments": { "fdname": name } }).to_string();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let descriptors = [file.as_fd()];
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
        let stream = client.reader.get_ref();
        sendmsg(stream, &[IoSlice::new(command.as_bytes())], &mut ancillary, SendFlags::empty()).unwrap();
    }
    assert_eq!((client.next(), client.next()), (json!({ "return": {} }), json!({ "return": {} })));
    assert_eq!(client.ask(json!({ "execute": "query-name" }))["return"]["name"], "afirstbsecond");
    let without = client.ask(json!({ "execute": "getfd", "arguments": { "fdname": "c" } }));
    assert_eq!(without["error"]["desc"], "No file descriptor supplied via SCM_RIGHTS");
}

#[test]
fn a_peer_that_goes_is_looked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("peer.sock");
    let address = Address::Unix(path.clone());
    let refused = Monitor::at(Endpoint::Connect { address: address.clone(), reconnect: None });
    assert!(matches!(Server::start(vec![refused], fixture::offer(), |_| {}), Err(StartError::Connect(..))));
    let reconnect = Some(Duration::from_millis(20));
    let _running = Running::with(vec![Monitor::at(Endpoint::Connect { address, reconnect })]);
    std::thread::sleep(Duration::from_millis(50));
    let listener = UnixListener::bind(&path).unwrap();
    for _ in 0..3 {
        Client::over(listener.accept().unwrap().0).negotiate();
    }
}

#[test]
fn a_listening_socket_may_be_inherited_and_its_first_client_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let socket = inherited(listener.as_raw_fd().unsigned_abs()).unwrap();
    let late = path.clone();
    let client = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        UnixStream::connect(late).unwrap()
    });
    let started = Instant::now();
    let _running = Running::with(vec![Monitor::at(Endpoint::Descriptor { socket, wait: true })]);
    assert!(started.elapsed() >= Duration::from_millis(100));
    Client::over(client.join().unwrap()).negotiate();
    Client::over(UnixStream::connect(path).unwrap()).negotiate();
}

#[test]
fn a_file_is_no_client() {
    let socket = OwnedFd::from(tempfile::tempfile().unwrap());
    let refused =
        Server::start(vec![Monitor::at(Endpoint::Descriptor { socket, wait: false })], fixture::offer(), |_| {});
    assert!(matches!(refused, Err(StartError::Descriptor(_))));
}

#[test]
fn replies_may_be_laid_out_for_humans() {
    let (here, there) = UnixStream::pair().unwrap();
    let endpoint = Endpoint::Descriptor { socket: there.into(), wait: false };
    let _running = Running::with(vec![Monitor { endpoint, layout: Layout::Pretty }]);
    let mut client = Client::over(here);
    assert_eq!((client.line(), client.line()), ("{\r\n".replace('\r', ""), "    \"QMP\": {\n".into()));
}

#[test]
fn a_limited_event_comes_once_a_second_and_the_last_is_kept() {
    let (running, mut client) = pair();
    let started = Instant::now();
    for actual in 1..=50 {
        running.emit(Event::Balloon(actual));
    }
    assert_eq!(client.next()["data"]["actual"], 1);
    assert_eq!(client.next()["data"]["actual"], 50);
    assert!(started.elapsed() >= Duration::from_secs(1));
}

/// A machine that takes its time with everything.
#[test]
fn one_client_waits_and_another_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp.sock");
    let server = Server::start(vec![unix(&path)], fixture::offer(), |_| {}).unwrap();
    let connect = || {
        let stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client::over(stream)
    };
    let (mut slow, mut quick) = (connect(), connect());
    slow.negotiate();
    quick.negotiate();
    slow.send(br#"{"execute":"query-name"}{"execute":"query-status"}"#);
    let kept = server.wait_for_request(PATIENCE).unwrap();
    quick.send(br#"{"execute":"query-status"}"#);
    let (registry, mut machine) = (fixture::registry(), Machine::default());
    registry.run(&mut machine, server.wait_for_request(PATIENCE).unwrap());
    assert_eq!(quick.next()["return"]["running"], true);
    assert!(server.next_request().is_none());
    registry.run(&mut machine, kept);
    registry.run(&mut machine, server.wait_for_request(PATIENCE).unwrap());
    assert_eq!(slow.next()["return"]["name"], "");
    assert_eq!(slow.next()["return"]["running"], true);
}

#[test]
fn a_request_that_is_given_up_is_an_error_to_its_client() {
    let (here, there) = UnixStream::pair().unwrap();
    let endpoint = Endpoint::Descriptor { socket: there.into(), wait: false };
    let server = Server::start(vec![Monitor::at(endpoint)], fixture::offer(), |_| {}).unwrap();
    let mut client = Client::over(here);
    client.negotiate();
    client.send(br#"{"execute":"query-name"}"#);
    drop(server.wait_for_request(PATIENCE).unwrap());
    assert_eq!(client.next()["error"]["class"], "GenericError");
    server.shut_down();
    let mut rest = Vec::new();
    client.reader.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
}

/// Prints the median; what a machine that computes adds to it is not measured here.
#[test]
fn a_round_trip_is_quick() {
    let (_running, mut client) = pair();
    let mut times: Vec<_> = (0..1000)
        .map(|_| {
            let started = Instant::now();
            client.ask(json!({ "execute": "query-status" }));
            started.elapsed()
        })
        .collect();
    times.sort();
    println!("query-status, median of {}: {:?}", times.len(), times[times.len() / 2]);
    assert!(times[times.len() / 2] < Duration::from_millis(5), "{:?}", times[times.len() / 2]);
}
