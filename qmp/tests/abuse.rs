//! Clients that mean harm, or do it: the server lives on, others are served, and memory stays bounded.
//!
//! One test after the other, because each looks at the whole process.

mod fixture;

use fixture::{Client, Event, Running};
use lockstep_qmp::server::{Address, Endpoint, Monitor};
use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

static ALONE: Mutex<()> = Mutex::new(());

struct Place {
    running: Running,
    path: PathBuf,
    _folder: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

fn place() -> Place {
    let alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmp.sock");
    let endpoint = Endpoint::Listen { address: Address::Unix(path.clone()), wait: false };
    Place { running: Running::with(vec![Monitor::at(endpoint)]), path, _folder: folder, _alone: alone }
}

impl Place {
    fn connect(&self) -> UnixStream {
        // The queue of those who wait to be let in may be full.
        loop {
            match UnixStream::connect(&self.path) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(1)),
                result => return result.unwrap(),
            }
        }
    }

    fn assert_alive(&self) {
        let mut client = Client::over(self.connect());
        client.negotiate();
        assert_eq!(client.ask_amid_events(json!({ "execute": "query-status" }))["return"]["running"], true);
    }
}

/// Bytes of memory that this process occupies.
fn memory() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Waits until something holds.
fn until(what: impl Fn() -> bool) {
    let started = Instant::now();
    while !what() {
        assert!(started.elapsed() < fixture::PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_thousand_connections_opened_and_dropped() {
    let place = place();
    place.assert_alive();
    let before = descriptors();
    for number in 0..1000 {
        let mut stream = place.connect();
        match number % 4 {
            0 => {}
            1 => stream.write_all(b"{\"execute\":").unwrap(),
            2 => stream.write_all(br#"{"execute":"qmp_capabilities"}{"execute":"query-status"}"#).unwrap(),
            _ => stream.read_exact(&mut [0; 4]).unwrap(),
        }
    }
    place.assert_alive();
    until(|| descriptors() <= before);
}

#[test]
fn a_line_of_100_megabytes_without_an_end() {
    let place = place();
    let before = memory();
    let mut client = Client::over(place.connect());
    client.negotiate();
    client.send(b"{\"execute\":\"");
    let piece = vec![b'x'; 1 << 20];
    let mut most = 0;
    for _ in 0..100 {
        client.send(&piece);
        most = most.max(memory());
    }
    assert_eq!(client.next()["error"]["desc"], "JSON token size limit exceeded");
    println!("memory: {} MiB more at most", most.saturating_sub(before) >> 20);
    assert!(most.saturating_sub(before) < 160 << 20);
    assert_eq!(client.ask(json!(["\n"]))["error"]["desc"], "QMP input must be a JSON object");
    place.assert_alive();
}

#[test]
fn a_client_that_asks_and_never_reads() {
    let place = place();
    place.assert_alive();
    let before = memory();
    let mut deaf = place.connect();
    deaf.write_all(br#"{"execute":"qmp_capabilities"}"#).unwrap();
    deaf.set_nonblocking(true).unwrap();
    let question = br#"{"execute":"query-qmp-schema"}"#.repeat(1000);
    let mut asked = 0;
    // Once it is not listened to any more, it cannot even ask.
    let mut refusals = 0;
    while refusals < 20 && asked < 1 << 30 {
        match deaf.write(&question) {
            Ok(written) => {
                asked += written;
                refusals = 0;
            }
            Err(_) => {
                refusals += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
    println!("{asked} bytes of questions, {} MiB more", memory().saturating_sub(before) >> 20);
    assert!(memory().saturating_sub(before) < 32 << 20);
    place.assert_alive();
}

#[test]
fn a_client_that_listens_to_no_event() {
    let place = place();
    let mut deaf = Client::over(place.connect());
    deaf.negotiate();
    place.assert_alive();
    let before = memory();
    for _ in 0..200_000 {
        place.running.emit(Event::Stopped);
    }
    place.assert_alive();
    println!("{} MiB more", memory().saturating_sub(before) >> 20);
    assert!(memory().saturating_sub(before) < 64 << 20);
    // It hears the first, and then what happens once it listens again.
    assert_eq!(deaf.next()["event"], "STOP");
}

#[test]
fn a_client_that_sends_rubbish() {
    let place = place();
    for byte in [0xffu8, 0, b'}', b'[', b'\'', b','] {
        let mut client = place.connect();
        let mut sink = client.try_clone().unwrap();
        let reader = std::thread::spawn(move || std::io::copy(&mut sink, &mut std::io::sink()));
        client.write_all(&vec![byte; 100_000]).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        reader.join().unwrap().unwrap();
    }
    place.assert_alive();
}

#[test]
fn the_end_does_not_wait_for_a_client_that_never_reads() {
    let place = place();
    let mut deaf = place.connect();
    deaf.write_all(
        &[&br#"{"execute":"qmp_capabilities"}"#[..], &br#"{"execute":"query-qmp-schema"}"#.repeat(100)].concat(),
    )
    .unwrap();
    place.assert_alive();
    let started = Instant::now();
    drop(place);
    assert!(started.elapsed() < fixture::PATIENCE / 10);
}
