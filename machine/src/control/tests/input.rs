//! Keys and the mouse.

use super::Asked;
use serde_json::{Value, json};

impl Asked {
    fn mouse(&mut self) -> Value {
        let text = self.ask("human-monitor-command", json!({ "command-line": "info device i8042" })).expect("a device");
        serde_json::from_str::<Value>(text.as_str().expect("text")).expect("JSON")["mouse"].clone()
    }
}

#[test]
fn keys_are_pressed_by_name_and_by_number() {
    let mut asked = Asked::new("qmp-keys", "");
    let keys = json!([{ "type": "qcode", "data": "ctrl" }, { "type": "number", "data": 0xd3 }]);
    assert_eq!(asked.ask("send-key", json!({ "keys": keys, "hold-time": 1 })), Ok(json!({})));
    for (keys, said) in [
        (json!([{ "type": "number", "data": 0x180 }]), "Parameter 'data' expects a scan code"),
        (json!([{ "type": "qcode", "data": "unmapped" }]), "No key of this keyboard is called 'unmapped'"),
    ] {
        assert_eq!(asked.ask("send-key", json!({ "keys": keys })).expect_err("refused").desc, said);
    }
    let hold = asked.ask("send-key", json!({ "keys": [], "hold-time": -1 })).expect_err("refused");
    assert_eq!(hold.desc, "Parameter 'hold-time' expects a number of milliseconds");
}

#[test]
fn events_move_the_mouse_and_hold_its_buttons_and_a_wrong_one_stops_all() {
    let mut asked = Asked::new("qmp-mouse", "");
    let button = |button: &str, down: bool| json!({ "type": "btn", "data": { "button": button, "down": down } });
    let moved = |kind: &str, axis: &str, value: i64| json!({ "type": kind, "data": { "axis": axis, "value": value } });
    let events = json!([
        moved("rel", "x", 5),
        moved("rel", "y", 3),
        button("left", true),
        button("middle", true),
        button("left", false),
        button("wheel-down", true),
        button("wheel-down", false)
    ]);
    assert_eq!(asked.ask("input-send-event", json!({ "events": events })), Ok(json!({})));
    let mouse = asked.mouse();
    assert_eq!((&mouse["right"], &mouse["up"], &mouse["wheel"]), (&json!(5), &json!(-3), &json!(1)));
    assert_eq!(mouse["buttons"], "MIDDLE");
    let wrong = json!([moved("rel", "x", 1), moved("abs", "x", 1)]);
    let refused = asked.ask("input-send-event", json!({ "events": wrong })).expect_err("no tablet");
    assert_eq!(refused.desc, "Input handler not found for event type abs");
    assert_eq!(asked.mouse()["right"], 5, "nothing was done");
    let mice = asked.ask("query-mice", json!({})).expect("mice");
    assert_eq!(mice[0]["absolute"], false);
}
