//! A guest in this process: a board from a command line, its console read and typed at by the test.

use lockstep::board::{self, Board};
use lockstep::commandline::{Config, Invocation, Vocabulary, parse};
use lockstep::digest::{Digest, Digester};
use lockstep::machine::{Ending, Stop};
use lockstep::screen::{Format, Screen, dump};
use lockstep_fabric::{DeviceId, Input, Tick};
use std::collections::BTreeMap;
use std::path::PathBuf;
use xxhash_rust::xxh3::xxh3_128;

/// The file of this name among the fetched guests. A test that needs it fails without it.
pub fn guest_file(name: &str) -> String {
    let folder = std::env::var_os("LOCKSTEP_GUESTS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/guests"), PathBuf::from);
    let path = folder.join(name);
    assert!(path.is_file(), "{} is missing: tests/run fetches it", path.display());
    path.display().to_string()
}

/// The arguments that boot Debian's kernel and the test's initial RAM disk, with more for the kernel's command line.
pub fn debian(append: &str) -> Vec<String> {
    let append = format!("console=ttyS0 {append}");
    let (kernel, initrd) = (guest_file("vmlinuz"), guest_file("initrd.gz"));
    let fixed = ["-kernel", &kernel, "-initrd", &initrd, "-append", &append, "-seed", "1", "-rtc"];
    let mut arguments: Vec<String> = fixed.iter().map(|a| (*a).to_owned()).collect();
    arguments.push("base=2026-01-01T00:00:00".into());
    arguments.extend(["-nographic", "-nodefaults", "-serial", "null", "-no-reboot"].map(str::to_owned));
    arguments
}

/// The arguments that boot firmware from a fetched file, with nothing but what every board has.
pub fn firmware(name: &str) -> Vec<String> {
    let file = guest_file(name);
    let fixed = ["-bios", &file, "-seed", "1", "-rtc", "base=2026-01-01T00:00:00", "-nographic", "-nodefaults"];
    fixed.iter().map(|a| (*a).to_owned()).collect()
}

/// A running guest.
pub struct Guest {
    /// The board.
    pub board: Board,
    /// What the console said so far.
    pub console: String,
    /// What was sent to each of a virtio console's ports so far.
    pub ports: BTreeMap<u32, Vec<u8>>,
    digester: Digester,
    serial: DeviceId,
    marked: usize,
}

/// The configuration that arguments make.
pub fn config(arguments: &[String]) -> Config {
    match parse(arguments, &Vocabulary::default()) {
        Ok(Invocation::Run(config)) => *config,
        Ok(Invocation::Print(text)) => panic!("{arguments:?} only prints: {text}"),
        Err(error) => panic!("{arguments:?}: {error}"),
    }
}

impl Guest {
    /// Builds the board that the arguments ask for.
    pub fn start(arguments: &[String], more: &[&str]) -> Self {
        let all: Vec<String> = arguments.iter().cloned().chain(more.iter().map(|a| (*a).to_owned())).collect();
        let board = board::build(&config(&all)).unwrap_or_else(|error| panic!("{all:?}: {error}"));
        let serial = board.ports.first().map(|(device, _)| *device).expect("a serial port");
        let (console, ports, digester) = (String::new(), BTreeMap::new(), Digester::default());
        Self { board, console, ports, digester, serial, marked: 0 }
    }

    /// Runs up to a tick; `Some` if the guest ended before.
    pub fn run_to(&mut self, tick: Tick) -> Option<Ending> {
        loop {
            let stop = self.board.machine.run_through(tick);
            for (device, bytes) in self.board.machine.take_output() {
                if device == self.serial {
                    self.console.push_str(&String::from_utf8_lossy(&bytes));
                }
            }
            for (_, port, bytes) in self.board.machine.take_port_output() {
                self.ports.entry(port).or_default().extend(bytes);
            }
            match stop {
                Stop::Ended(ending) => return Some(ending),
                Stop::Reached => return None,
                Stop::Output | Stop::Idle(_) | Stop::Debug(_) => {}
                Stop::Fault(fault) => panic!("{fault}"),
            }
        }
    }

    /// Runs until the console has said `text` since the last such call; fails after `limit` more ticks.
    pub fn expect(&mut self, text: &str, limit: Tick) {
        const STEP: Tick = 10_000_000;
        let end = self.board.machine.now() + limit;
        loop {
            if let Some(at) = self.console[self.marked..].find(text) {
                self.marked += at + text.len();
                return;
            }
            let now = self.board.machine.now();
            let ended = if now < end { self.run_to((now + STEP).min(end)) } else { None };
            let found = self.console[self.marked..].contains(text);
            assert!(
                found || ended.is_none() && now < end,
                "the guest did not say {text:?} by tick {now} ({ended:?}); the console:\n{}",
                self.console
            );
        }
    }

    /// Runs until the screen shows `text`; fails after `limit` more ticks.
    pub fn shows(&mut self, text: &str, limit: Tick) -> Screen {
        const STEP: Tick = 100_000_000;
        let end = self.board.machine.now() + limit;
        loop {
            let now = self.board.machine.now();
            let screen = Screen::of(&mut self.board).expect("a screen");
            let seen = screen.text.clone().unwrap_or_default();
            if seen.contains(text) {
                return screen;
            }
            let ended = if now < end { self.run_to((now + STEP).min(end)) } else { None };
            assert!(
                now < end && ended.is_none(),
                "{text:?} is not on the screen by tick {now} ({ended:?}):\n{seen}\nconsole:\n{}",
                self.console
            );
        }
    }

    /// Runs until the screen shows the picture of this hash; fails after `limit` more ticks.
    ///
    /// The pictures seen, by their hashes, go to the folder LOCKSTEP_PICTURES if there is one.
    pub fn shows_picture(&mut self, hash: u128, limit: Tick) {
        const STEP: Tick = 500_000_000;
        let end = self.board.machine.now() + limit;
        let mut seen = Vec::new();
        loop {
            let frame = Screen::of(&mut self.board).expect("a screen").frame;
            let now = self.board.machine.now();
            let shown = xxh3_128(&frame.pixels);
            if !seen.contains(&shown) {
                seen.push(shown);
                if let Some(folder) = std::env::var_os("LOCKSTEP_PICTURES") {
                    let file = PathBuf::from(folder).join(format!("{now:015}-{shown:032x}.png"));
                    dump(&frame, Format::Png, &file).expect("a picture");
                }
            }
            if shown == hash {
                return;
            }
            let ended = if now < end { self.run_to((now + STEP).min(end)) } else { None };
            assert!(now < end && ended.is_none(), "no picture {hash:#034x} by tick {now} ({ended:?}): {seen:#034x?}");
        }
    }

    /// What memory holds.
    pub fn memory(&self, address: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.board.machine.bus.memory.read_bytes(address, &mut bytes);
        bytes
    }

    /// Strikes a key, by its scan code of set 1.
    pub fn strike(&mut self, code: u16) {
        let keyboard = self.board.keyboard.expect("a keyboard");
        for down in [true, false] {
            assert!(self.board.machine.arrive(keyboard, Input::Key(code, down)), "the gate is closed");
        }
    }

    /// Types at the console.
    pub fn type_in(&mut self, text: &str) {
        let serial = self.serial;
        assert!(self.board.machine.arrive(serial, Input::Bytes(text.as_bytes().to_vec())), "the gate is closed");
    }

    /// Runs until the guest ends by itself; fails after `limit` more ticks.
    pub fn run_to_end(&mut self, limit: Tick) -> Ending {
        let end = self.board.machine.now() + limit;
        self.run_to(end).unwrap_or_else(|| panic!("the guest runs on at tick {end}; the console:\n{}", self.console))
    }

    /// The digest of the state now.
    pub fn digest(&mut self) -> Digest {
        self.digester.digest(&mut self.board.machine).expect("the state can be saved")
    }
}
