//! Character devices from both sides: the machine's and the host's.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::outlet::Sink;
use super::*;
use crate::commandline::{Invocation, Vocabulary, parse};

/// A directory for one test, removed with it.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lockstep-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary directory");
        Place(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn config(line: &str) -> Config {
    let argv: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    match parse(&argv, &Vocabulary::default()) {
        Ok(Invocation::Run(config)) => *config,
        other => panic!("{line}: {other:?}"),
    }
}

struct Fixture {
    chardevs: Chardevs,
    events: Receiver<HostEvent>,
    reporter: Reporter,
    first: ChardevId,
}

fn open(line: &str) -> Result<Fixture, ChardevError> {
    let (reporter, events) = Reporter::new();
    let chardevs = Chardevs::open(&config(&format!("-nodefaults {line}")), &reporter)?;
    Ok(Fixture { chardevs, events, reporter, first: ChardevId(0) })
}

impl Fixture {
    fn next(&self) -> HostEvent {
        self.events.recv_timeout(Duration::from_secs(10)).expect("an event within ten seconds")
    }

    fn say(&self, text: &str) {
        self.chardevs.write(self.first, text.as_bytes());
    }

    fn close(self) {
        self.chardevs.flush_and_close(Patience::Forever);
    }
}

fn heard(chardev: ChardevId, text: &str) -> HostEvent {
    HostEvent::Bytes { chardev, data: text.as_bytes().to_vec() }
}

fn read_exactly(stream: &mut impl Read, count: usize) -> String {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).expect("the bytes that were written");
    String::from_utf8(bytes).expect("text")
}

#[test]
fn every_byte_reaches_a_file_before_the_end() {
    let place = Place::new("file");
    let path = place.path("out");
    let fixture = open(&format!("-serial file:{}", path.display())).expect("it opens");
    let line = "0123456789abcdef".repeat(64);
    for _ in 0..4096 {
        fixture.say(&line);
    }
    fixture.close();
    assert_eq!(std::fs::read(&path).expect("the file").len(), 4096 * 1024);
}

#[test]
fn file_is_truncated_unless_told_to_append() {
    let place = Place::new("append");
    let path = place.path("out");
    for (options, want) in [("", "hello"), ("", "hello"), (",append=on", "hellohello")] {
        let line = format!("-chardev file,id=f,path={}{options} -serial chardev:f", path.display());
        let fixture = open(&line).expect("it opens");
        fixture.say("hello");
        fixture.close();
        assert_eq!(std::fs::read_to_string(&path).expect("the file"), want);
    }
}

#[test]
fn client_calls_again_when_nobody_answers_and_when_the_other_one_hangs_up() {
    let place = Place::new("reconnect");
    let path = place.path("s");
    let line = format!("-chardev socket,id=c,path={},reconnect=1 -serial chardev:c", path.display());
    let fixture = open(&line).expect("nobody has to be there");
    let listener = UnixListener::bind(&path).expect("a socket");
    for round in ["first", "second"] {
        let (mut stream, _) = listener.accept().expect("a call");
        assert_eq!(fixture.next(), HostEvent::Opened { chardev: fixture.first });
        stream.write_all(round.as_bytes()).expect("it listens");
        assert_eq!(fixture.next(), heard(fixture.first, round));
        fixture.say(round);
        assert_eq!(read_exactly(&mut stream, round.len()), round);
        drop(stream);
        assert_eq!(fixture.next(), HostEvent::Closed { chardev: fixture.first });
    }
    fixture.close();
}

#[test]
fn socket_that_was_inherited_is_listened_on() {
    let place = Place::new("inherited");
    let path = place.path("s");
    let listener = UnixListener::bind(&path).expect("a socket");
    let number = std::os::fd::AsRawFd::as_raw_fd(&listener);
    let fixture =
        open(&format!("-chardev socket,id=c,fd={number},server=on,wait=off -serial chardev:c")).expect("it opens");
    let mut stream = UnixStream::connect(&path).expect("it listens");
    assert_eq!(fixture.next(), HostEvent::Opened { chardev: fixture.first });
    stream.write_all(b"hello").expect("it listens");
    assert_eq!(fixture.next(), heard(fixture.first, "hello"));
    drop(stream);
    fixture.close();
    assert!(open("-chardev socket,id=c,fd=987,server=on,wait=off -serial chardev:c").is_err());
}

/// The terminal of the first character device, opened as a user's program does it.
fn opened(fixture: &Fixture) -> std::fs::File {
    let path = fixture.chardevs.terminal(fixture.first).expect("a path");
    std::fs::OpenOptions::new().read(true).write(true).open(path).expect("a terminal")
}

#[test]
fn pseudoterminal_is_opened_and_closed_and_passes_every_byte_as_it_is() {
    let fixture = open("-serial pty").expect("it opens");
    fixture.say("nobody hears this\n");
    std::thread::sleep(Duration::from_millis(50));
    for _ in 0..2 {
        let mut terminal = opened(&fixture);
        assert_eq!(fixture.next(), HostEvent::Opened { chardev: fixture.first });
        terminal.write_all(b"\x03a\r\x00").expect("it listens");
        let mut came = Vec::new();
        while came.len() < 4 {
            match fixture.next() {
                HostEvent::Bytes { data, .. } => came.extend(data),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(came, b"\x03a\r\x00");
        fixture.say("a line\n");
        assert_eq!(read_exactly(&mut terminal, 7), "a line\n", "no carriage return is added");
        drop(terminal);
        assert_eq!(fixture.next(), HostEvent::Closed { chardev: fixture.first });
    }
    fixture.close();
}

#[test]
fn pipes_go_one_way_each_if_there_are_two() {
    let place = Place::new("pipes");
    for side in ["p.in", "p.out"] {
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, place.path(side), mode).expect("a pipe");
    }
    let fixture = open(&format!("-serial pipe:{}", place.path("p").display())).expect("it opens");
    assert_eq!(fixture.next(), HostEvent::Opened { chardev: fixture.first });
    let mut to = std::fs::OpenOptions::new().write(true).open(place.path("p.in")).expect("a pipe");
    to.write_all(b"typed").expect("it listens");
    assert_eq!(fixture.next(), heard(fixture.first, "typed"));
    fixture.say("said");
    let mut from = std::fs::File::open(place.path("p.out")).expect("a pipe");
    assert_eq!(read_exactly(&mut from, 4), "said");
    fixture.close();
    let error = open("-serial pipe:/nonexistent/p").err().expect("it cannot");
    assert_eq!(error.to_string(), "-serial pipe:/nonexistent/p: No such file or directory");
}

#[test]
fn serial_line_of_the_host_is_a_terminal_and_nothing_else() {
    let other = open("-serial pty").expect("it opens");
    let path = other.chardevs.terminal(other.first).expect("a path").display().to_string();
    let fixture = open(&format!("-serial {path}")).expect("it opens");
    assert_eq!(fixture.next(), HostEvent::Opened { chardev: fixture.first });
    assert_eq!(other.next(), HostEvent::Opened { chardev: other.first });
    fixture.say("ping");
    assert_eq!(other.next(), heard(other.first, "ping"));
    other.say("pong");
    assert_eq!(fixture.next(), heard(fixture.first, "pong"));
    fixture.close();
    other.close();
    let error = open("-serial /dev/null").err().expect("it cannot");
    assert_eq!(error.to_string(), "-serial /dev/null: it is no terminal");
}

#[test]
fn file_that_cannot_be_made_names_the_option() {
    let error = open("-serial file:/nonexistent/out").err().expect("it cannot");
    assert_eq!(error.to_string(), "-serial file:/nonexistent/out: No such file or directory");
}

#[test]
fn null_swallows_everything() {
    let fixture = open("-serial null").expect("it opens");
    fixture.say("nobody hears this");
    assert!(fixture.events.try_recv().is_err());
    fixture.close();
}

#[test]
fn unix_server_talks_to_one_client_after_the_other() {
    let place = Place::new("server");
    let path = place.path("s");
    let fixture = open(&format!("-serial unix:{},server=on,wait=off", path.display())).expect("it opens");
    let chardev = fixture.first;
    fixture.say("lost: there is nobody");
    for round in ["one", "two"] {
        let mut client = UnixStream::connect(&path).expect("it listens");
        assert_eq!(fixture.next(), HostEvent::Opened { chardev });
        client.write_all(round.as_bytes()).expect("it reads");
        assert_eq!(fixture.next(), heard(chardev, round));
        fixture.say("hi ");
        fixture.say(round);
        assert_eq!(read_exactly(&mut client, 6), format!("hi {round}"));
        drop(client);
        assert_eq!(fixture.next(), HostEvent::Closed { chardev });
    }
    fixture.close();
    assert!(!path.exists(), "the socket's name is gone");
}

#[test]
fn what_was_said_at_the_end_still_reaches_the_client() {
    let place = Place::new("last-words");
    let path = place.path("s");
    let fixture = open(&format!("-serial unix:{},server=on,wait=off", path.display())).expect("it opens");
    let mut client = UnixStream::connect(&path).expect("it listens");
    assert_eq!(fixture.next(), HostEvent::Opened { chardev: fixture.first });
    fixture.say("reboot: Power down\n");
    fixture.close();
    let mut text = String::new();
    client.read_to_string(&mut text).expect("an orderly end");
    assert_eq!(text, "reboot: Power down\n");
}

#[test]
fn server_that_waits_opens_when_the_client_is_there() {
    let place = Place::new("wait");
    let path = place.path("s");
    let theirs = path.clone();
    let client = std::thread::spawn(move || {
        while !theirs.exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        UnixStream::connect(&theirs).expect("it listens")
    });
    let fixture = open(&format!("-serial unix:{},server=on", path.display())).expect("it opens");
    let mut client = client.join().expect("the client connected");
    fixture.say("first words");
    assert_eq!(read_exactly(&mut client, 11), "first words");
    fixture.close();
}

#[test]
fn tcp_server_and_client_understand_each_other() {
    let server = open("-serial tcp:127.0.0.1:0,server=on,wait=off").expect("it opens");
    let Some(SocketAddress::Tcp(_, port)) = server.chardevs.local_address(server.first) else { panic!("no port") };
    let client = open(&format!("-serial tcp:localhost:{port}")).expect("it connects");
    assert_eq!(client.next(), HostEvent::Opened { chardev: client.first });
    assert_eq!(server.next(), HostEvent::Opened { chardev: server.first });
    client.say("ping");
    assert_eq!(server.next(), heard(server.first, "ping"));
    server.say("pong");
    assert_eq!(client.next(), heard(client.first, "pong"));
    client.close();
    assert_eq!(server.next(), HostEvent::Closed { chardev: server.first });
    server.close();
}

#[test]
fn busy_sockets_are_refused_and_left_alone() {
    let place = Place::new("busy");
    let path = place.path("s");
    let other = UnixListener::bind(&path).expect("it is free");
    other.set_nonblocking(true).expect("it can be");
    let line = format!("-serial unix:{},server=on", path.display());
    let error = open(&line).err().expect("it is taken");
    assert_eq!(error.to_string(), format!("{line}: the socket is in use by another process"));
    assert!(other.accept().is_err(), "nobody knocked");

    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let line = format!("-serial tcp:127.0.0.1:{},server=on", other.local_addr().expect("an address").port());
    let error = open(&line).err().expect("it is taken");
    assert_eq!(error.to_string(), format!("{line}: the socket is in use by another process"));
}

#[test]
fn socket_that_a_crash_left_behind_is_replaced_and_a_file_is_not() {
    let place = Place::new("stale");
    let path = place.path("s");
    drop(UnixListener::bind(&path).expect("it is free"));
    open(&format!("-serial unix:{},server=on,wait=off", path.display())).expect("it opens").close();

    std::fs::write(&path, "precious").expect("a file");
    let error = open(&format!("-serial unix:{},server=on", path.display())).err().expect("it is no socket");
    assert!(error.to_string().ends_with("the path is taken by something that is not a socket"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).expect("the file"), "precious");
}

#[test]
fn client_without_a_server_is_refused() {
    let error = open("-serial unix:/nonexistent/s").err().expect("nobody listens");
    assert_eq!(error.to_string(), "-serial unix:/nonexistent/s: No such file or directory");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    let error = open(&format!("-serial tcp:127.0.0.1:{}", free.port())).err().expect("nobody listens");
    assert!(error.to_string().ends_with("Connection refused"), "{error}");
}

#[test]
fn mux_on_a_socket_serves_monitor_and_device() {
    let fixture = open("-serial mon:tcp:127.0.0.1:0,server=on,wait=off").expect("it opens");
    let chardev = fixture.first;
    let Some(SocketAddress::Tcp(host, port)) = fixture.chardevs.local_address(chardev) else { panic!("no port") };
    let mut client = TcpStream::connect(SocketAddr::new(host, port)).expect("it listens");
    assert_eq!(fixture.next(), HostEvent::Opened { chardev });
    client.write_all(b"a\x01cb\x01c\x01b\x01x").expect("it reads");
    assert_eq!(fixture.next(), heard(chardev, "a"));
    assert_eq!(fixture.next(), HostEvent::MonitorFocus { chardev, focused: true });
    assert_eq!(fixture.next(), HostEvent::MonitorBytes { chardev, data: b"b".to_vec() });
    assert_eq!(fixture.next(), HostEvent::MonitorFocus { chardev, focused: false });
    assert_eq!(fixture.next(), HostEvent::Break { chardev });
    assert_eq!(fixture.next(), HostEvent::Quit { cause: QuitCause::Key });
    assert!(fixture.reporter.is_quitting());
    fixture.close();
}

#[test]
fn monitor_alone_gets_everything_typed() {
    let fixture = open("-monitor tcp:127.0.0.1:0,server=on,wait=off").expect("it opens");
    let chardev = fixture.first;
    let Some(SocketAddress::Tcp(host, port)) = fixture.chardevs.local_address(chardev) else { panic!("no port") };
    let mut client = TcpStream::connect(SocketAddr::new(host, port)).expect("it listens");
    assert_eq!(fixture.next(), HostEvent::Opened { chardev });
    client.write_all(b"info\x01").expect("it reads");
    assert_eq!(fixture.next(), HostEvent::MonitorBytes { chardev, data: b"info\x01".to_vec() });
    fixture.close();
}

#[test]
fn replay_opens_no_socket() {
    let place = Place::new("replay");
    let path = place.path("s");
    let fixture = open(&format!("-serial unix:{},server=on -icount 0,rr=replay,rrfile=F", path.display()));
    assert!(!path.exists());
    fixture.expect("it opens without waiting").close();
}

/// A sink that takes nothing until it is let go.
struct Stuck(Receiver<()>);

impl Sink for Stuck {
    fn carry(&mut self, _: &[u8]) -> io::Result<()> {
        let _ = self.0.recv();
        Ok(())
    }
}

#[test]
fn quit_frees_whoever_waits_for_a_stalled_reader() {
    let (reporter, _events) = Reporter::new();
    let (_let_go, stuck) = mpsc::channel();
    let outlet = Outlet::start(Stuck(stuck), "test".to_owned(), reporter.clone()).expect("a thread");
    let later = reporter.clone();
    let quitter = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        later.report(HostEvent::Quit { cause: QuitCause::Key });
    });
    let begun = Instant::now();
    for _ in 0..4 {
        outlet.write(&vec![0; 1 << 20]);
    }
    assert!(reporter.is_quitting(), "the writer waited for room until then");
    outlet.finish(Patience::Forever);
    assert!(begun.elapsed() < Duration::from_secs(5));
    quitter.join().expect("it ran");
}

#[test]
fn datagrams_go_to_one_place_and_come_from_anywhere() {
    let peer = UdpSocket::bind("127.0.0.1:0").expect("a port");
    peer.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
    let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    let to = peer.local_addr().expect("an address").port();
    for line in [
        format!("-chardev udp,id=u,host=127.0.0.1,port={to},localaddr=127.0.0.1,localport={free}"),
        format!("-serial udp::{to}@:{free}"),
    ] {
        let fixture = open(&line).expect("free");
        fixture.say("from the guest");
        let mut bytes = [0; 100];
        let (count, from) = peer.recv_from(&mut bytes).expect("a datagram");
        assert_eq!((&bytes[..count], from.port()), (&b"from the guest"[..], free));
        for text in ["to the", " guest"] {
            peer.send_to(text.as_bytes(), from).expect("it goes out");
            assert_eq!(fixture.next(), heard(fixture.first, text));
        }
        // More than a datagram takes.
        fixture.chardevs.write(fixture.first, &[b'x'; 20_000]);
        let mut bytes = [0; 1 << 16];
        let mut count = 0;
        while count < 20_000 {
            count += peer.recv(&mut bytes).expect("a datagram");
        }
        assert_eq!(count, 20_000);
        fixture.close();
    }
}

#[test]
fn datagrams_that_nobody_takes_are_lost_and_a_port_in_use_is_told() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let fixture = open(&format!("-chardev udp,id=u,port={port}")).expect("any port");
    drop(taken);
    for _ in 0..3 {
        fixture.say("nobody hears it");
        std::thread::sleep(Duration::from_millis(5));
    }
    let taken = UdpSocket::bind(("127.0.0.1", port)).expect("a port");
    taken.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
    fixture.say("somebody does");
    assert_eq!(taken.recv(&mut [0; 100]).expect("a datagram"), 13);
    fixture.close();
    let error = open(&format!("-chardev udp,id=u,port=1,localport={port}")).err().expect("in use").to_string();
    assert!(error.contains("in use"), "{error}");
}

#[test]
fn output_goes_to_the_log_too_whoever_listens() {
    let place = Place::new("log");
    let path = place.path("log");
    for (options, want) in [("", "hello"), ("", "hello"), (",logappend=on", "hellohello")] {
        let line = format!("-chardev null,id=n,logfile={}{options} -serial chardev:n", path.display());
        let fixture = open(&line).expect("it opens");
        fixture.say("hello");
        fixture.close();
        assert_eq!(std::fs::read_to_string(&path).expect("the log"), want);
    }
    let refused = open("-chardev null,id=n,logfile=/nonexistent/log -serial chardev:n").err().expect("no such folder");
    assert!(refused.to_string().ends_with("Could not create '/nonexistent/log': No such file or directory"));
}

#[test]
fn abstract_socket_is_found_by_its_name_and_is_no_file() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("lockstep-abstract-{}", std::process::id());
    for (tight, filled) in [("on", name.len()), ("off", 107)] {
        let line =
            format!("-chardev socket,id=s,path={name},abstract=on,tight={tight},server=on,wait=off -serial chardev:s");
        let fixture = open(&line).expect("it opens");
        let mut bytes = name.clone().into_bytes();
        bytes.resize(filled, 0);
        let address = std::os::unix::net::SocketAddr::from_abstract_name(bytes).expect("a name");
        let mut client = UnixStream::connect_addr(&address).expect("it listens");
        assert_eq!(fixture.next(), HostEvent::Opened { chardev: fixture.first });
        fixture.say("hello");
        assert_eq!(read_exactly(&mut client, 5), "hello");
        assert!(!std::path::Path::new(&name).exists());
        assert!(matches!(open(&line).map(drop), Err(ChardevError { problem: Problem::Busy, .. })));
        fixture.close();
    }
}
