//! QMP as clients use it: the program, a socket, a Linux guest.

use lockstep_tests::client::Connected;
use lockstep_tests::program::scratch;
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn a_running_linux_is_stopped_looked_at_and_let_go_on() {
    let mut client = Connected::new("qmp-linux");
    client.until_guest_says("INIT-REACHED");
    assert_eq!(client.returns("query-status", json!({}))["status"], "running");
    client.returns("stop", json!({}));
    assert_eq!(client.take_events(), ["STOP"], "told before the answer");
    assert_eq!(client.returns("query-status", json!({}))["status"], "paused");
    // What the machine shows does not change while it is stopped.
    let registers = json!({ "command-line": "info registers" });
    let before = client.returns("human-monitor-command", registers.clone());
    assert_eq!(client.returns("human-monitor-command", registers), before);
    // Linux puts its banner into its read-only data: saved memory holds it.
    let file = scratch("qmp-memory", b"");
    client.returns("pmemsave", json!({ "val": 0, "size": 256 << 20, "filename": file }));
    let memory = std::fs::read(&file).expect("saved memory");
    std::fs::remove_file(&file).expect("it was there");
    assert_eq!(memory.len(), 256 << 20);
    assert!(memory.windows(14).any(|bytes| bytes == b"Linux version "), "Linux is in its memory");
    client.returns("cont", json!({}));
    assert_eq!(client.take_events(), ["RESUME"]);
    client.returns("inject-nmi", json!({}));
    client.until_guest_says("NMI received for unknown reason");
    client.quit();
}

#[test]
fn arguments_are_checked_before_anything_is_done_and_the_message_names_them() {
    let mut client = Connected::new("qmp-arguments");
    for (command, arguments, said) in [
        ("pmemsave", json!({ "val": 0, "size": 1 }), "Parameter 'filename' is missing"),
        ("stop", json!({ "quux": 1 }), "Parameter 'quux' is unexpected"),
        (
            "pmemsave",
            json!({ "val": "0", "size": 1, "filename": "x" }),
            "Invalid parameter type for 'val', expected: integer",
        ),
    ] {
        assert_eq!(client.ask(command, arguments)["error"], json!({ "class": "GenericError", "desc": said }));
    }
    assert_eq!(client.returns("query-status", json!({}))["status"], "running");
    client.quit();
}

/// Asked while the guest computes. The bound is generous, since tests share their machine; the median is printed.
#[test]
fn a_question_is_answered_at_once_while_the_guest_computes() {
    let mut client = Connected::new("qmp-latency");
    let mut took: Vec<Duration> = (0..300)
        .map(|_| {
            let begun = Instant::now();
            client.returns("query-status", json!({}));
            begun.elapsed()
        })
        .collect();
    took.sort();
    println!("query-status: median {:?}, 95 % within {:?}", took[150], took[285]);
    assert!(took[150] < Duration::from_millis(20), "median {:?}", took[150]);
    client.quit();
}
