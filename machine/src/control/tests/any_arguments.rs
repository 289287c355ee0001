//! Any arguments to any command: it answers, the answer is of the declared type, and the machine lives.

use super::Asked;
use crate::run::RunState;
use lockstep_qmp::commands::FAMILIES;
use lockstep_qmp::registry::{Answer, Caller, Declaration, Kind, Order, Reply, Request};
use lockstep_qmp::schema::check::check_value;
use lockstep_qmp::schema::{Object, Type};
use serde_json::{Map, Value, json};
use std::sync::mpsc;

/// Orders to each machine; then another one takes its place, since what is added here is seldom taken away.
const ORDERS: usize = 2000;
const MACHINES: u64 = 10;
const MACHINES_LONG: u64 = 1000;
/// Names of things that are there, and of things that are not. Whatever is taken as a file is in no folder that exists.
const WORDS: [&str; 16] = [
    "",
    "/nonexistent/x",
    "no/where",
    "teacher",
    "disc",
    "line",
    "/machine",
    "/objects/store",
    "edu",
    "pc-dimm",
    "qemu64",
    "store",
    "file:/nonexistent/x",
    "fd:none",
    "\u{fc}\u{1f600}",
    "memory-backend-ram",
];
/// Of these, the ones that can be no file's name.
const NO_FILES: usize = 3;
/// Members that name files.
const FILES: [&str; 10] = ["filename", "protocol", "out", "in", "path", "arg", "target", "mem-path", "file", "logfile"];
const NUMBERS: [i64; 12] = [0, 1, -1, 2, 7, 64, 4096, 1 << 20, i32::MAX as i64, u32::MAX as i64, i64::MIN, i64::MAX];
/// Levels of objects within objects.
const DEEPEST: usize = 4;

/// Chance that repeats (xorshift, Marsaglia 2003).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }

    fn one_of<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }

    fn word(&mut self, member: &str) -> Value {
        let words = if FILES.contains(&member) { &WORDS[..NO_FILES] } else { &WORDS };
        self.one_of(words).copied().into()
    }

    fn value(&mut self, member: &str, ty: Type, depth: usize) -> Value {
        if depth == 0 || self.below(40) == 0 {
            return [json!(null), json!(true), json!(-1), json!([]), json!({}), self.word(member)][self.below(6)]
                .clone();
        }
        match ty {
            Type::Int(_) => self.one_of(&NUMBERS).copied().into(),
            Type::Number => json!(0.5),
            Type::Str => self.word(member),
            Type::Bool => (self.below(2) == 0).into(),
            Type::Null => Value::Null,
            Type::Any => [json!(1), json!("on"), json!(null), json!({ "a": [] }), json!(false)][self.below(5)].clone(),
            Type::Enum(enumeration) => self.one_of(enumeration.values).map(|value| value.name).into(),
            Type::Array(element) => (0..self.below(3)).map(|_| self.value(member, element(), depth - 1)).collect(),
            Type::Object(object) => self.members(object, depth - 1).into(),
            Type::Alternate(alternate) => match self.one_of(alternate.types) {
                Some(ty) => self.value(member, ty(), depth - 1),
                None => Value::Null,
            },
        }
    }

    fn members(&mut self, object: &'static Object, depth: usize) -> Map<String, Value> {
        let mut made = Map::new();
        for member in object.common() {
            if !(member.optional)() || self.below(2) == 0 {
                made.insert(member.name.into(), self.value(member.name, (member.ty)(), depth));
            }
        }
        let tag = object.union.and_then(|union| made.get(union.tag.name)?.as_str());
        if let Some(branch) = tag.and_then(|tag| object.branch(tag)) {
            made.extend(self.members(branch, depth));
        }
        if self.below(30) == 0 {
            made.insert("quux".into(), json!(1));
        }
        made
    }
}

fn machine(seed: u64) -> Asked {
    let options = "-m 16,slots=2,maxmem=64M -object memory-backend-ram,id=store,size=2M -device edu,id=teacher \
                   -chardev ringbuf,id=line -drive if=none,id=disc,media=cdrom -device ide-cd,drive=disc,id=reader";
    Asked::new(&format!("any-arguments-{seed}"), options)
}

/// Whether an order would reach out of the test: to the terminal, which is not ours.
fn reaches_out(arguments: &Map<String, Value>) -> bool {
    let text = Value::from(arguments.clone()).to_string();
    ["stdio", "vc", "msmouse", "tcp", "inet"].iter().any(|word| text.contains(&format!("\"{word}\"")))
}

/// Sends one order, and gives the answer if there is one at once.
fn order(asked: &mut Asked, declaration: &Declaration, arguments: Map<String, Value>) -> Option<Answer<Value>> {
    let (said, answer) = mpsc::channel();
    let reply = Reply::new(move |answer| {
        // Nobody listens any more to what comes later.
        let _ = said.send(answer);
    });
    let order = Order { name: declaration.name.into(), arguments };
    let request = Request { order, kind: Kind::Observes, caller: Caller::nobody(), reply };
    super::registry().run(&mut asked.control, request);
    answer.try_recv().ok()
}

#[test]
fn every_command_answers_whatever_it_is_asked() {
    let all: Vec<&'static Declaration> = FAMILIES.iter().flat_map(|family| family.commands).copied().collect();
    let mut answered = 0;
    let machines = if std::env::var_os("LOCKSTEP_LONG").is_some() { MACHINES_LONG } else { MACHINES };
    for seed in 1..=machines {
        let mut chance = Chance(seed);
        let mut asked = machine(seed);
        for _ in 0..ORDERS {
            let Some(declaration) = chance.one_of(&all).copied() else { break };
            let Type::Object(object) = (declaration.arguments)() else { panic!("arguments are an object") };
            let arguments = chance.members(object, DEEPEST);
            if reaches_out(&arguments) {
                continue;
            }
            let shown = format!("{} {arguments:?}", declaration.name);
            if let Some(Ok(value)) = order(&mut asked, declaration, arguments) {
                answered += 1;
                let right = check_value((declaration.returns)(), &value);
                assert!(right.is_ok(), "{shown}: {value}: {right:?}");
            }
            if asked.control.state() == RunState::Running {
                let end = asked.control.board.machine.now() + 1000;
                asked.control.board.machine.run_through(end);
            }
        }
    }
    assert!(answered > 500, "{answered} were carried out");
}
