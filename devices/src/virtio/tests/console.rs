use super::guest::{CONFIG, Guest};
use super::ring::GuestRing;
use crate::properties::Chardev;
use crate::virtio::console::{Console, ConsoleConfig, ConsoleFeature, PortConfig, PortKind};
use crate::virtio::{Feature, VirtioError, VirtioPci};
use lockstep_fabric::{Input, Notice, Width};

const BASE: u64 = Feature::VERSION_1.bits();
const MULTIPORT: u64 = ConsoleFeature::MULTIPORT.bits();

/// A console on port 0 and a named stream on port 1.
pub(super) fn function() -> VirtioPci<Console> {
    let mut function = Console::function(&ConsoleConfig { max_ports: 4, packed: true, ..ConsoleConfig::default() })
        .expect("a console device");
    let console = PortConfig { chardev: Some(Chardev("tty".into())), ..PortConfig::default() };
    let stream = PortConfig { chardev: Some(Chardev("agent".into())), name: Some("org.agent.0".into()), nr: None };
    assert_eq!(function.class_mut().add_port(PortKind::Console, &console), Ok(0));
    assert_eq!(function.class_mut().add_port(PortKind::Serial, &stream), Ok(1));
    function
}

/// A driver with rings for both ports and the control queues, by their numbers.
struct Driver {
    guest: Guest,
    rings: Vec<GuestRing>,
    /// Where the next control message goes, if there is room for one.
    room_for_message: Option<u64>,
}

/// A control message.
type Message = (u32, u16, u16, Vec<u8>);

impl Driver {
    fn new(features: u64) -> Self {
        let mut guest = Guest::new(function());
        assert!(guest.negotiate(BASE | features));
        let rings = (0..6).map(|queue| guest.queue(queue, 16)).collect();
        guest.ready();
        Self { guest, rings, room_for_message: None }
    }

    fn send(&mut self, queue: usize, bytes: &[u8]) {
        let part = self.guest.place(bytes);
        self.rings[queue].send(&mut self.guest, &[part], &[]);
        assert_eq!(self.rings[queue].all_used(&mut self.guest).len(), 1);
    }

    /// Makes room for so many bytes; where.
    fn offer(&mut self, queue: usize, len: u32) -> u64 {
        let at = self.guest.allocate(len.into());
        self.rings[queue].send(&mut self.guest, &[], &[(at, len)]);
        at
    }

    fn say(&mut self, port: u32, event: u16, value: u16) {
        let message = u64::from(port) | u64::from(event) << 32 | u64::from(value) << 48;
        self.send(3, &message.to_le_bytes());
    }

    /// Takes what the device has to say.
    fn listen(&mut self) -> Vec<Message> {
        let mut heard = Vec::new();
        loop {
            let at = self.room_for_message.take().unwrap_or_else(|| self.offer(2, 64));
            let Some((_, len)) = self.rings[2].used(&mut self.guest) else {
                self.room_for_message = Some(at);
                return heard;
            };
            let bytes = self.guest.bytes(at, len as usize);
            let raw = u64::from_le_bytes(bytes[..8].try_into().expect("a message"));
            heard.push((raw as u32, (raw >> 32) as u16, (raw >> 48) as u16, bytes[8..].to_vec()));
        }
    }

    fn arrive(&mut self, port: u32, bytes: &[u8]) {
        self.guest.input(&Input::PortBytes { port, bytes: bytes.to_vec() });
    }

    fn room(&mut self, port: u32) -> usize {
        let device = self.guest.device;
        self.guest.bus.with(device, |d, _| d.room(port)).expect("the device")
    }
}

#[test]
fn ports_are_added_and_introduced() {
    let mut driver = Driver::new(MULTIPORT);
    assert_eq!(driver.guest.load(CONFIG + 4, Width::Dword), 4);
    driver.say(0, 0, 1);
    driver.say(0, 3, 1);
    driver.say(1, 3, 1);
    let heard = driver.listen();
    let name = b"org.agent.0".to_vec();
    let none = Vec::new;
    assert_eq!(
        heard,
        [
            (0, 1, 1, none()),
            (1, 1, 1, none()),
            (0, 4, 1, none()),
            (0, 6, 1, none()),
            (1, 7, 1, name),
            (1, 6, 1, none()),
        ]
    );
}

#[test]
fn bytes_go_both_ways_by_port() {
    let mut driver = Driver::new(MULTIPORT);
    driver.say(1, 6, 1);
    driver.send(1, b"to the terminal");
    driver.send(5, b"to the agent");
    assert_eq!(driver.guest.port_bytes, [(0, b"to the terminal".to_vec()), (1, b"to the agent".to_vec())]);
    let (first, second) = (driver.offer(0, 4), driver.offer(0, 64));
    driver.arrive(0, b"a line");
    assert_eq!(driver.rings[0].all_used(&mut driver.guest), [(0, 4), (1, 2)]);
    assert_eq!((driver.guest.bytes(first, 4), driver.guest.bytes(second, 2)), (b"a li".to_vec(), b"ne".to_vec()));
    let third = driver.offer(4, 64);
    driver.arrive(1, b"reply");
    assert_eq!(driver.guest.bytes(third, 5), b"reply");
}

#[test]
fn what_arrives_waits_for_the_guest_and_there_is_only_so_much_room() {
    let mut driver = Driver::new(MULTIPORT);
    assert_eq!(driver.room(1), 0, "nobody has it open");
    driver.say(1, 6, 1);
    assert_eq!((driver.room(1), driver.room(0)), (64 << 10, 64 << 10));
    driver.arrive(0, &[b'x'; 70_000]);
    assert_eq!(driver.room(0), 0);
    driver.offer(0, 1000);
    assert_eq!(driver.room(0), 1000);
    driver.arrive(7, b"to a port that is not there");
}

#[test]
fn opening_and_closing_is_told_on_both_sides() {
    let mut driver = Driver::new(MULTIPORT);
    driver.say(1, 6, 1);
    driver.say(1, 6, 0);
    let told = [true, false].map(|open| Notice::PortOpen { port: 1, open });
    assert_eq!(driver.guest.notices, told);
    driver.guest.input(&Input::PortOpen { port: 1, open: false });
    driver.guest.input(&Input::PortOpen { port: 1, open: false });
    assert_eq!(driver.listen(), [(1, 6, 0, vec![])]);
    driver.send(5, b"lost");
    assert_eq!(driver.guest.port_bytes, []);
}

#[test]
fn a_terminals_size_is_told() {
    let mut driver = Driver::new(MULTIPORT);
    driver.guest.input(&Input::PortSize { port: 0, columns: 132, rows: 43 });
    assert_eq!(driver.listen(), [(0, 5, 0, vec![132, 0, 43, 0])]);
    assert_eq!(driver.guest.load(CONFIG, Width::Dword), 132 | 43 << 16);
    assert_eq!(driver.guest.isr() & 2, 2, "the configuration changed");
}

#[test]
fn a_driver_that_knows_of_one_port_has_the_console() {
    let mut driver = Driver::new(0);
    driver.send(1, b"hello");
    let at = driver.offer(0, 16);
    driver.arrive(0, b"echo");
    assert_eq!((driver.guest.port_bytes.len(), driver.guest.bytes(at, 4)), (1, b"echo".to_vec()));
}

#[test]
fn a_character_is_printed_before_there_is_a_driver() {
    let mut guest = Guest::new(function());
    guest.store(CONFIG + 8, Width::Dword, b'!'.into());
    assert_eq!(guest.port_bytes, [(0, b"!".to_vec())]);
}

#[test]
fn a_driver_that_floods_the_control_queue_is_stopped() {
    let mut driver = Driver::new(MULTIPORT);
    let message = driver.guest.place(&0x0001_0000_0000_0000_u64.to_le_bytes());
    for _ in 0..3000 {
        driver.rings[3].send(&mut driver.guest, &[message], &[]);
    }
    assert_eq!(driver.guest.status() & 0x40, 0x40);
}

#[test]
fn ports_have_numbers_of_their_own() {
    let mut function = Console::function(&ConsoleConfig { max_ports: 2, ..ConsoleConfig::default() }).expect("ports");
    let numbered = |nr| PortConfig { nr, ..PortConfig::default() };
    let mut add = |kind, nr| function.class_mut().add_port(kind, &numbered(nr));
    assert_eq!(add(PortKind::Serial, Some(0)), Err(VirtioError::PortZero));
    assert_eq!(add(PortKind::Serial, Some(2)), Err(VirtioError::PortRange(1)));
    assert_eq!(add(PortKind::Serial, None), Ok(1));
    assert_eq!(add(PortKind::Console, Some(1)), Err(VirtioError::PortTaken(1)));
    assert_eq!(add(PortKind::Console, None), Ok(0));
    assert_eq!(add(PortKind::Console, None), Err(VirtioError::NoPortFree));
    let mut function = Console::function(&ConsoleConfig::default()).expect("ports");
    let named = PortConfig { name: Some("org.example".into()), ..PortConfig::default() };
    assert_eq!(function.class_mut().add_port(PortKind::Serial, &named), Ok(1));
    let again = function.class_mut().add_port(PortKind::Serial, &named);
    assert_eq!(again, Err(VirtioError::PortName("org.example".into())));
}

#[test]
fn ports_come_and_go_while_the_driver_is_at_work() {
    let mut driver = Driver::new(MULTIPORT);
    driver.say(u32::MAX, 0, 1);
    assert_eq!(driver.listen().len(), 2);
    let plugged = |port| Input::PortPlugged { port, console: false, name: Some("org.late".into()), open: true };
    driver.guest.input(&plugged(2));
    assert_eq!(driver.listen(), [(2, 1, 1, vec![])]);
    driver.say(2, 3, 1);
    assert_eq!(driver.listen(), [(2, 7, 1, b"org.late".to_vec()), (2, 6, 1, vec![])]);
    driver.guest.input(&plugged(2));
    driver.guest.input(&plugged(4));
    assert_eq!(driver.listen(), [], "one that is there already, one too many");
    driver.say(2, 6, 1);
    driver.arrive(2, b"hello");
    driver.guest.input(&Input::PortUnplugged { port: 2 });
    assert_eq!(driver.listen(), [(2, 2, 1, vec![])]);
    driver.arrive(2, b"nobody");
    driver.say(2, 3, 1);
    driver.guest.input(&Input::PortUnplugged { port: 2 });
    assert_eq!(driver.listen(), []);
}
