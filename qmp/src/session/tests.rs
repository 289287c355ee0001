use super::*;
use crate::commands::control::{QueryName, QueryVersion, VersionTriple};
use crate::commands::descriptors::Getfd;
use crate::commands::memory::Balloon;
use crate::commands::processors::QueryCpuModelExpansion;
use crate::commands::run_state::{QueryStatus, Stopped};
use crate::commands::yank::{QueryYank, Yank};
use crate::event::Timestamp;

fn offer() -> Arc<Offer> {
    let version = VersionInfo { qemu: VersionTriple { major: 7, minor: 2, micro: 0 }, package: "lockstep-0".into() };
    let commands = [
        QueryVersion::DECLARATION,
        QueryName::DECLARATION,
        QueryStatus::DECLARATION,
        Balloon::DECLARATION,
        QueryCpuModelExpansion::DECLARATION,
        Getfd::DECLARATION,
        QueryYank::DECLARATION,
        Yank::DECLARATION,
    ];
    Arc::new(Offer::new(version, Catalog::new(commands)))
}

/// A client, and a machine that answers every command with its name.
struct Talk {
    session: Session,
    asked: Vec<(Ticket, Order)>,
}

impl Talk {
    fn new() -> Self {
        let mut talk = Self { session: Session::new(offer()), asked: Vec::new() };
        talk.say("");
        talk
    }

    fn negotiated(enable: &[&str]) -> Self {
        let mut talk = Self::new();
        let said = json!({ "execute": "qmp_capabilities", "arguments": { "enable": enable } });
        assert_eq!(talk.say(&said.to_string()), [json!({ "return": {} })]);
        talk
    }

    /// Says something and gives what is sent at once; what the machine is asked stays in `asked`.
    fn hand_in(&mut self, text: &str) -> Vec<Value> {
        let mut input = text.as_bytes();
        let mut sent = Vec::new();
        loop {
            while let Some(step) = self.session.next_step() {
                match step {
                    Step::Send(value) => sent.push(value),
                    Step::Ask { ticket, order, .. } => self.asked.push((ticket, order)),
                    Step::DropDescriptor => {}
                }
            }
            if input.is_empty() || !self.session.wants_input() {
                return sent;
            }
            self.session.feed(&mut input);
        }
    }

    /// Says something to a machine that answers at once.
    fn say(&mut self, text: &str) -> Vec<Value> {
        let mut sent = self.hand_in(text);
        while !self.asked.is_empty() {
            let (ticket, order) = self.asked.remove(0);
            self.session.answered(ticket, Ok(order.name.into()));
            sent.extend(self.hand_in(""));
        }
        sent
    }

    /// The error that something is answered with.
    fn error(&mut self, text: &str) -> (String, String) {
        let said = self.say(&format!("{text}\n"));
        assert_eq!(said.len(), 1, "{said:?}");
        let text = |member: &str| said[0]["error"][member].as_str().unwrap_or_default().to_owned();
        (text("class"), text("desc"))
    }
}

#[test]
fn the_greeting_comes_first() {
    let mut session = Session::new(offer());
    let greeting = json!({ "QMP": {
        "version": { "qemu": { "major": 7, "minor": 2, "micro": 0 }, "package": "lockstep-0" },
        "capabilities": ["oob"],
    } });
    assert_eq!(session.next_step(), Some(Step::Send(greeting)));
    assert_eq!(session.next_step(), None);
}

#[test]
fn nothing_goes_before_negotiation_and_no_second_one_after() {
    let mut talk = Talk::new();
    let expecting = ("CommandNotFound".into(), "Expecting capabilities negotiation with 'qmp_capabilities'".into());
    assert_eq!(talk.error(r#"{"execute":"query-version"}"#), expecting);
    assert_eq!(talk.error(r#"{"execute":"nonsense"}"#), expecting);
    let unknown = talk.error(r#"{"execute":"qmp_capabilities","arguments":{"enable":["foo"]}}"#);
    assert_eq!(unknown, ("GenericError".into(), "Parameter 'null' does not accept value 'foo'".into()));
    assert_eq!(talk.say(r#"{"execute":"qmp_capabilities"}{"execute":"query-version"}"#).len(), 2);
    let again = ("CommandNotFound".into(), "Capabilities negotiation is already complete, command ignored".into());
    assert_eq!(talk.error(r#"{"execute":"qmp_capabilities"}"#), again);
}

#[test]
fn events_wait_for_negotiation() {
    let stopped = Occurrence::new(&Stopped {}, Timestamp { seconds: 5, microseconds: 6 });
    assert_eq!(Talk::new().session.event(&stopped), None);
    let sent = json!({ "event": "STOP", "timestamp": { "seconds": 5, "microseconds": 6 } });
    assert_eq!(Talk::negotiated(&[]).session.event(&stopped), Some(sent));
}

#[test]
fn an_id_of_any_type_comes_back_with_errors_too() {
    let mut talk = Talk::negotiated(&[]);
    for id in [json!(1), json!(null), json!("é"), json!([1, { "a": 2.5 }]), json!(u64::MAX), json!(false)] {
        let said = talk.say(&json!({ "execute": "query-name", "id": id }).to_string());
        assert_eq!(said, [json!({ "return": "query-name", "id": id })]);
        let said = talk.say(&json!({ "execute": "nonsense", "id": id }).to_string());
        assert_eq!(said[0]["id"], id);
        assert_eq!(said[0]["error"]["class"], "CommandNotFound");
        assert_eq!(talk.say(&json!({ "id": id }).to_string())[0]["id"], id);
    }
    assert_eq!(talk.say(r#"{"execute":"query-name"}"#), [json!({ "return": "query-name" })]);
}

/// What QEMU 7.2 answers.
#[test]
fn a_message_that_makes_no_sense_is_an_error_that_says_why() {
    let mut talk = Talk::negotiated(&[]);
    for (text, desc) in [
        ("5", "QMP input must be a JSON object"),
        (r#"{"id":3}"#, "QMP input lacks member 'execute'"),
        (r#"{"execute":5}"#, "QMP input member 'execute' must be a string"),
        (r#"{"execute":"query-name","foo":1}"#, "QMP input member 'foo' is unexpected"),
        (r#"{"execute":"query-name","arguments":[1]}"#, "QMP input member 'arguments' must be an object"),
        (r#"{"exec-oob":"query-yank"}"#, "QMP input member 'exec-oob' is unexpected"),
        ("[bad]", "JSON parse error, invalid keyword 'bad'"),
    ] {
        assert_eq!(talk.error(text), ("GenericError".into(), desc.into()), "{text}");
    }
    let not_found = ("CommandNotFound".into(), "The command nonsense has not been found".into());
    assert_eq!(talk.error(r#"{"execute":"nonsense","arguments":{"a":1}}"#), not_found);
}

#[test]
fn arguments_are_checked_before_the_machine_hears_of_them() {
    let mut talk = Talk::negotiated(&[]);
    let expand = |arguments: &str| format!(r#"{{"execute":"query-cpu-model-expansion","arguments":{arguments}}}"#);
    for (text, desc) in [
        (r#"{"execute":"balloon"}"#.into(), "Parameter 'value' is missing"),
        (r#"{"execute":"balloon","arguments":{"quux":1}}"#.into(), "Parameter 'value' is missing"),
        (r#"{"execute":"balloon","arguments":{"value":1,"quux":1}}"#.into(), "Parameter 'quux' is unexpected"),
        (r#"{"execute":"query-name","arguments":{"a":1}}"#.into(), "Parameter 'a' is unexpected"),
        (expand(r#"{"type":"foo","model":{"name":"max"}}"#), "Parameter 'type' does not accept value 'foo'"),
        (expand(r#"{"type":"full","model":{"nam":"max"}}"#), "Parameter 'model.name' is missing"),
        (expand(r#"{"type":"full","model":{"name":"max","z":1}}"#), "Parameter 'model.z' is unexpected"),
        (expand(r#"{"type":"full","model":{"name":5}}"#), "Invalid parameter type for 'model.name', expected: string"),
        (expand(r#"{"type":"full","model":5}"#), "Invalid parameter type for 'model', expected: object"),
        (expand(r#"{"type":5,"model":5}"#), "Invalid parameter type for 'type', expected: string"),
    ] {
        assert_eq!(talk.hand_in(&text)[0]["error"]["desc"], desc, "{text}");
    }
    for value in ["\"x\"", "1.0", "18446744073709551615", "99999999999999999999", "null"] {
        let text = format!(r#"{{"execute":"balloon","arguments":{{"value":{value}}}}}"#);
        assert_eq!(talk.hand_in(&text)[0]["error"]["desc"], "Invalid parameter type for 'value', expected: integer");
    }
    assert_eq!(talk.asked, []);
}

#[test]
fn answers_come_in_the_order_of_the_commands_and_one_is_carried_out_at_a_time() {
    let mut talk = Talk::negotiated(&[]);
    let sent = talk
        .hand_in(r#"{"execute":"query-name","id":1}{"execute":"nonsense","id":2}[{"execute":"query-status","id":3}"#);
    assert_eq!(sent, [] as [Value; 0]);
    let sent = talk.hand_in(r#"]{"execute":"query-commands","id":4}"#);
    assert_eq!((sent.len(), talk.asked.len()), (0, 1));
    let (ticket, _) = talk.asked.remove(0);
    talk.session.answered(ticket, Ok(json!({})));
    let ids: Vec<_> = talk.hand_in("").into_iter().map(|reply| reply["id"].clone()).collect();
    assert_eq!(ids, [json!(1), json!(2), json!(null), json!(4)]);
}

#[test]
fn out_of_band_overtakes_what_waits_if_it_may() {
    let mut talk = Talk::negotiated(&["oob"]);
    assert_eq!(talk.hand_in(r#"{"execute":"query-name","id":1}{"execute":"query-status","id":2}"#).len(), 0);
    assert_eq!(talk.hand_in(r#"{"exec-oob":"query-yank","id":3}"#).len(), 0);
    let (oob, order) = talk.asked.pop().unwrap();
    assert_eq!(order.name, "query-yank");
    talk.session.answered(oob, Ok(json!([])));
    assert_eq!(talk.hand_in(""), [json!({ "return": [], "id": 3 })]);
    let desc = "The command query-name does not support OOB";
    assert_eq!(talk.hand_in(r#"{"exec-oob":"query-name","id":4}"#)[0]["error"]["desc"], desc);
    let desc = "QMP input member 'execute' clashes with 'exec-oob'";
    let replies = talk.say(r#"{"exec-oob":"query-yank","execute":"query-yank","id":5}"#);
    assert_eq!(replies.iter().map(|reply| reply["id"].clone()).collect::<Vec<_>>(), [json!(1), json!(2), json!(5)]);
    assert_eq!(replies[2]["error"]["desc"], desc);
}

#[test]
fn eight_in_flight_and_no_more_is_read() {
    let mut talk = Talk::negotiated(&[]);
    for waiting in 0..MAX_IN_FLIGHT {
        assert!(talk.session.wants_input(), "{waiting}");
        talk.hand_in(r#"{"execute":"query-name"}"#);
    }
    assert!(!talk.session.wants_input());
    let (ticket, _) = talk.asked.remove(0);
    talk.session.answered(ticket, Ok(json!({})));
    assert_eq!(talk.hand_in("").len(), 1);
    assert!(talk.session.wants_input());
}

#[test]
fn the_servers_own_commands_answer_what_is_offered() {
    let mut talk = Talk::negotiated(&[]);
    let said = talk.say(r#"{"execute":"query-commands"}{"execute":"query-events"}{"execute":"query-qmp-schema"}"#);
    let names =
        |value: &Value| value["return"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect::<Vec<_>>();
    assert!(names(&said[0]).contains(&json!("balloon")) && !names(&said[0]).contains(&json!("stop")));
    assert!(names(&said[1]).contains(&json!("STOP")));
    assert!(names(&said[2]).contains(&json!("balloon")) && names(&said[2]).contains(&json!("STOP")));
}

#[test]
fn a_late_answer_to_nobody_is_dropped() {
    let mut talk = Talk::negotiated(&[]);
    talk.hand_in(r#"{"execute":"query-name"}"#);
    let (ticket, _) = talk.asked[0].clone();
    talk.session.answered(ticket, Ok(json!({})));
    talk.session.answered(ticket, Ok(json!({})));
    assert_eq!(talk.hand_in("").len(), 1);
    assert!(talk.session.is_idle());
}

#[test]
fn a_command_that_is_refused_does_not_leave_its_file_descriptor_to_the_next() {
    let mut talk = Talk::negotiated(&[]);
    talk.session.feed(&mut &br#"{"execute":"getfd"}"#[..]);
    assert_eq!(talk.session.next_step(), Some(Step::DropDescriptor));
    assert!(matches!(talk.session.next_step(), Some(Step::Send(_))));
    talk.session.feed(&mut &br#"{"execute":"getfd","arguments":{"fdname":"a"}}"#[..]);
    assert!(matches!(talk.session.next_step(), Some(Step::Ask { with_descriptor: true, .. })));
}
