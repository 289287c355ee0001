//! A debugger on a small guest, packet by packet.

use super::arch::REGISTERS_XML;
use super::*;
use crate::bare_guest::BareGuest;
use crate::chardev::QuitCause;
use crate::digest::{Digest, Digester};
use crate::machine::Stop;
use crate::run::RunState;
use lockstep_cpu::REGISTERS;

/// Linear address of the guest's first instruction.
const START: u64 = 0xf_0000;
/// Where its loop counts, and where it shows the count.
const COUNT: u64 = START + 3;
const SHOW: u64 = START + 5;
/// `mov [500h], al`, `mov al, [600h]`, `inc al`, `jmp` to the first.
const STORES_AND_LOADS: [u8; 10] = [0xa2, 0x00, 0x05, 0xa0, 0x00, 0x06, 0xfe, 0xc0, 0xeb, 0xf6];

struct Fixture {
    control: Control,
    link: Link,
    _guest: BareGuest,
}

fn framed(packet: &str) -> String {
    let sum = packet.bytes().fold(0u8, u8::wrapping_add);
    format!("${packet}#{sum:02x}")
}

/// What is between `$` and `#` of every packet, run lengths spelt out.
fn packets(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let body = |piece: &str| {
        let body = piece.split('#').next().unwrap_or_default();
        let mut plain = String::new();
        let mut letters = body.chars();
        while let Some(letter) = letters.next() {
            match (letter, plain.chars().last()) {
                ('*', Some(last)) => {
                    let count = letters.next().expect("a count") as usize - 29;
                    plain.extend(std::iter::repeat_n(last, count));
                }
                _ => plain.push(letter),
            }
        }
        plain
    };
    text.split('$').skip(1).map(body).collect()
}

impl Fixture {
    fn new(name: &str, program: Option<&[u8]>, more: &str) -> Self {
        let guest = BareGuest::new(&format!("gdb-{name}"));
        if let Some(program) = program {
            guest.program(program);
        }
        let config = guest.config(more);
        let mut control = Control::new(&config, guest.board(&config), None);
        let link = Link::open(&mut control);
        Self { control, link, _guest: guest }
    }

    /// Sends a packet; gives the packets that come back.
    fn send(&mut self, packet: &str) -> Vec<String> {
        packets(&self.link.feed(framed(packet).as_bytes(), &mut self.control))
    }

    /// Sends a packet that has one answer.
    fn ask(&mut self, packet: &str) -> String {
        let says = self.send(packet);
        assert_eq!(says.len(), 1, "{packet}: {says:?}");
        says.into_iter().next().unwrap_or_default()
    }

    /// Lets the machine run as the session does, at most so many ticks; gives what the debugger is told.
    fn run(&mut self, ticks: u64) -> Option<String> {
        let end = self.control.board.machine.now() + ticks;
        while self.control.runs() && self.control.board.machine.now() < end {
            if let Stop::Debug(stop) = self.control.board.machine.run_through(end) {
                self.control.debug_stop(stop);
            }
        }
        packets(&self.link.follow(&mut self.control)).into_iter().next()
    }

    /// Goes on and waits for the stop.
    fn go(&mut self, packet: &str) -> String {
        assert_eq!(self.send(packet), [""; 0]);
        self.run(100_000).unwrap_or_else(|| panic!("{packet}: it does not stop"))
    }

    fn register(&mut self, name: &str) -> u128 {
        let number = REGISTERS.iter().position(|register| register.name == name).expect("a register");
        let text = self.ask(&format!("p{number:x}"));
        let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
        (0..text.len()).step_by(2).rev().fold(0, |value, at| value << 8 | u128::from(byte(at)))
    }

    fn digest(&mut self) -> Digest {
        Digester::default().digest(&mut self.control.board.machine).expect("a digest")
    }
}

#[test]
fn the_machine_stops_for_a_debugger_and_goes_on_when_it_leaves() {
    let mut fixture = Fixture::new("comes", None, "");
    assert_eq!(fixture.control.state(), RunState::Paused);
    assert!(fixture.ask("qSupported:multiprocess+;xmlRegisters=i386").contains("qXfer:features:read+"));
    assert_eq!(fixture.ask("?"), "T05thread:p01.01;");
    assert_eq!(fixture.ask("qAttached"), "1");
    assert_eq!(fixture.ask("D;1"), "OK");
    assert_eq!(fixture.control.state(), RunState::Running);
}

#[test]
fn the_description_and_the_registers_are_in_the_same_order_and_as_wide() {
    let described = REGISTERS_XML.split("<reg name=\"").skip(1).map(|piece| {
        let mut words = piece.split('"');
        (words.next().unwrap_or_default(), words.nth(1).and_then(|bits| bits.parse::<usize>().ok()))
    });
    let commented = ["cs_base", "ss_base", "ds_base", "es_base"];
    let described: Vec<_> = described.filter(|(name, _)| !commented.contains(name)).collect();
    let held: Vec<_> = REGISTERS.iter().map(|register| (register.name, Some(8 * register.width))).collect();
    assert_eq!(described, held);
    let mut fixture = Fixture::new("description", None, "");
    let mut read = String::new();
    while let Some(piece) =
        fixture.ask(&format!("qXfer:features:read:i386-64bit.xml:{:x},400", read.len())).strip_prefix('m')
    {
        read.push_str(piece);
    }
    assert!(REGISTERS_XML.starts_with(&read[..100]) && read.ends_with("</feature>\n"), "{read}");
    assert_eq!(fixture.ask("g").len(), 2 * REGISTERS.iter().map(|register| register.width).sum::<usize>());
}

#[test]
fn breakpoints_are_met_each_time_and_steps_go_one_instruction() {
    let mut fixture = Fixture::new("breaks", None, "");
    assert_eq!(fixture.ask("m f0003,4".replace(' ', "").as_str()), "6640e680");
    assert_eq!(fixture.ask(&format!("Z0,{SHOW:x},1")), "OK");
    // It is nowhere in memory.
    assert_eq!(fixture.ask(&format!("m{COUNT:x},4")), "6640e680");
    for count in 1..4 {
        assert_eq!(fixture.go("vCont;c"), "T05thread:01;swbreak:;");
        assert_eq!((fixture.register("rip"), fixture.register("rax")), (5, count));
    }
    assert_eq!(fixture.control.state(), RunState::Debug);
    assert_eq!(fixture.go("vCont;s:1"), "T05thread:01;");
    assert_eq!(fixture.register("rip"), 7);
    assert_eq!(fixture.go("vCont;s:1;c"), "T05thread:01;");
    assert_eq!(fixture.register("rip"), 3);
    assert_eq!(fixture.ask(&format!("z0,{SHOW:x},1")), "OK");
    assert_eq!(fixture.ask(&format!("z0,{SHOW:x},1")), "E16");
    assert_eq!(fixture.ask(&format!("Z1,{COUNT:x},1")), "OK");
    assert_eq!(fixture.go("vCont;c"), "T05thread:01;hwbreak:;");
    assert_eq!(fixture.ask("D"), "OK");
    assert_eq!(fixture.run(1000), None, "nothing is left behind");
    assert_eq!(fixture.control.state(), RunState::Running);
}

#[test]
fn a_breakpoint_of_another_page_at_the_same_offset_is_not_met() {
    let mut fixture = Fixture::new("alias", None, "");
    fixture.ask(&format!("Z0,{:x},1", SHOW - 0x1000));
    fixture.ask(&format!("Z0,{:x},1", SHOW + 1));
    assert_eq!(fixture.send("vCont;c"), [""; 0]);
    assert_eq!(fixture.run(10_000), None);
}

#[test]
fn watchpoints_tell_stores_loads_and_both() {
    let mut fixture = Fixture::new("watches", Some(&STORES_AND_LOADS), "");
    for (number, at, rip, word) in
        [(2, 0x500, 3, "watch"), (3, 0x600, 6, "rwatch"), (4, 0x500, 3, "awatch"), (4, 0x600, 6, "awatch")]
    {
        assert_eq!(fixture.ask(&format!("Z{number},{at:x},2")), "OK");
        for _ in 0..2 {
            let told = fixture.go("vCont;c");
            assert!(told.starts_with("T05thread:01;") && told.contains(&format!(";{word}:")), "{told}");
            assert_eq!(fixture.register("rip"), rip);
        }
        assert_eq!(fixture.ask(&format!("z{number},{at:x},2")), "OK");
    }
    // Loads are not stores.
    fixture.ask("Z2,600,1");
    fixture.ask("Z3,500,1");
    assert_eq!(fixture.send("vCont;c"), [""; 0]);
    assert_eq!(fixture.run(10_000), None);
}

#[test]
fn ctrl_c_and_the_operators_stop_are_told() {
    let mut fixture = Fixture::new("stops", None, "");
    assert_eq!(fixture.send("vCont;c"), [""; 0]);
    assert_eq!(fixture.run(1000), None);
    let says = packets(&fixture.link.feed(&[3], &mut fixture.control));
    assert_eq!((says, fixture.control.state()), (vec!["T02thread:01;".to_owned()], RunState::Paused));
    assert_eq!(fixture.send("c"), [""; 0]);
    fixture.control.stop().expect("it runs");
    assert_eq!(fixture.run(0).as_deref(), Some("T02thread:01;"));
}

#[test]
fn looking_and_stopping_change_no_digest() {
    let plain = {
        let mut fixture = Fixture::new("plain", None, "-smp 2");
        fixture.control.resume().expect("it can run");
        fixture.run(50_000);
        fixture.digest()
    };
    let mut fixture = Fixture::new("looked-at", None, "-smp 2");
    fixture.ask(&format!("Z0,{SHOW:x},1"));
    fixture.ask("Z4,500,8");
    for _ in 0..40 {
        fixture.go("vCont;c");
        fixture.ask("g");
        fixture.ask("m0,100");
        fixture.go("vCont;s:1;c");
        fixture.send("qRcmd,696e666f20726567697374657273");
    }
    fixture.ask("D");
    let rest = plain.tick - fixture.control.board.machine.now();
    fixture.run(rest);
    assert_eq!(fixture.digest(), plain);
}

#[test]
fn writes_go_through_the_gate_or_are_refused() {
    let mut fixture = Fixture::new("writes", None, "");
    assert_eq!(fixture.ask("M500,3:010203"), "OK");
    assert_eq!(fixture.ask("m500,4"), "01020300");
    assert_eq!(fixture.ask("P0=7856341200000000"), "OK");
    assert_eq!(fixture.register("rax"), 0x1234_5678);
    // The whole set with another RBX.
    let all = fixture.ask("g");
    assert_eq!(fixture.ask(&format!("G{}ff{}", &all[..16], &all[18..])), "OK");
    assert_eq!(fixture.register("rbx") & 0xff, 0xff);
    // Code that has been executed is executed anew: `inc eax` becomes `dec eax`.
    fixture.ask(&format!("Z0,{SHOW:x},1"));
    fixture.go("vCont;c");
    let counted = fixture.register("rax");
    assert_eq!(fixture.ask(&format!("X{COUNT:x},2:fH")), "OK");
    fixture.go("vCont;c");
    assert_eq!(fixture.register("rax"), counted - 1);
    assert_eq!(fixture.ask("m f0000000,4".replace(' ', "").as_str()), "E0e");
    assert_eq!(fixture.ask("Mf0000000,1:00"), "E0e");
    fixture.control.board.machine.gate.close();
    assert_eq!(fixture.ask("M500,1:07"), "E1e");
    assert_eq!(fixture.ask("P0=0000000000000000"), "E1e");
    assert_eq!(fixture.ask("m500,1"), "01");
}

#[test]
fn threads_are_vcpus() {
    let mut fixture = Fixture::new("threads", None, "-smp 2");
    assert_eq!(fixture.ask("qfThreadInfo"), "m01,02");
    assert_eq!(fixture.ask("qsThreadInfo"), "l");
    assert_eq!(fixture.ask("qThreadExtraInfo,1"), "4350552330205b72756e6e696e675d");
    assert_eq!(fixture.ask("qThreadExtraInfo,2"), "4350552331205b68616c746564205d");
    assert_eq!((fixture.ask("T2"), fixture.ask("T3")), ("OK".to_owned(), "E01".to_owned()));
    assert_eq!(fixture.ask("Hg2"), "OK");
    assert_eq!(fixture.register("rip"), 0xfff0);
    assert_eq!(fixture.ask("Hg9"), "OK");
    assert!(fixture.ask("g").starts_with('E'));
}

#[test]
fn monitor_commands_are_carried_out() {
    let mut fixture = Fixture::new("monitor", None, "");
    // p 1+1
    let says = fixture.send("qRcmd,7020312b31");
    assert_eq!(says, ["O3078320a", "OK"]);
}

#[test]
fn a_kill_ends_the_run() {
    let mut fixture = Fixture::new("kill", None, "");
    assert_eq!(fixture.ask("vKill;1"), "OK");
    assert_eq!(fixture.control.quitting(), Some(QuitCause::Debugger));
}

#[test]
fn what_makes_no_sense_is_refused_and_the_line_goes_on() {
    let mut fixture = Fixture::new("nonsense", None, "");
    assert_eq!(fixture.link.feed(b"$g#00", &mut fixture.control), b"-");
    assert_eq!(fixture.link.feed(b"+++noise#zz", &mut fixture.control), b"");
    assert_eq!(fixture.ask("vMustReplyEmpty"), "");
    assert_eq!(fixture.ask("Z0,11112222333344445,1"), "E16");
    assert_eq!(fixture.ask("vCont;t"), "E16");
    fixture.link.feed(&[b'$'; 1 << 16], &mut fixture.control);
    let after = fixture.link.feed(b"#00$?#3f", &mut fixture.control);
    assert!(packets(&after).contains(&"T05thread:01;".to_owned()), "{after:?}");
    // What was lost is sent again.
    let sent = fixture.link.feed(framed("qC").as_bytes(), &mut fixture.control);
    assert_eq!(fixture.link.feed(b"-", &mut fixture.control), sent);
}

#[test]
fn no_packet_stops_the_machine_for_good() {
    let mut fixture = Fixture::new("any", Some(&STORES_AND_LOADS), "-smp 2");
    let words = [
        "?",
        "g",
        "G00",
        "p",
        "p10",
        "pffff",
        "P1f=00",
        "P",
        "m",
        "m0,ffffffff",
        "m-1,2",
        "mffffffffffffffff,8",
        "M0,2:0",
        "X0,1:}",
        "Z0,0,0",
        "Z2,0,ffffffffffffffff",
        "z9,1,1",
        "Zx",
        "H",
        "Hg-1",
        "Hc0",
        "Hg0",
        "vCont;",
        "vCont;s",
        "vCont;s:-1",
        "vCont;c:9",
        "vCont?",
        "c",
        "s",
        "s0",
        "C05",
        "k0",
        "T",
        "Tp1.1",
        "qRcmd,",
        "qRcmd,zz",
        "qXfer:features:read:target.xml:0,0",
        "qXfer:features:read:x:0,10",
        "qXfer:features:read:target.xml:ffffffffffffffffff,1",
        "qSupported:",
        "QStartNoAckMode",
        "!",
        "R00",
        "vAttach;1",
        "vRun;61",
        "qThreadExtraInfo,0",
        "qThreadExtraInfo,ff",
        "vFile:open:61,0,0",
        "bc",
        "bs",
    ];
    for (at, word) in words.iter().enumerate() {
        for cut in 0..=word.len() {
            fixture.send(&word[..cut]);
            fixture.run(50);
            fixture.link.feed(&[3], &mut fixture.control);
            fixture.send(&format!("{}{}", &word[..cut], words[(at * 7 + cut) % words.len()]));
            fixture.run(50);
            fixture.link.feed(&[3], &mut fixture.control);
        }
    }
    fixture.link.feed(b"+", &mut fixture.control);
    assert_eq!(fixture.ask("Hg1"), "OK");
    assert!(fixture.ask("m500,1").len() == 2);
}
