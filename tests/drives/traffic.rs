//! Every kind of drive with requests in flight: saved in the middle of them, and gone on from there.

use lockstep::snapshot::Snapshot;
use lockstep_devices::catalog::Entry;
use lockstep_tests::disk_traffic::{Drives, FAILED, KINDS, Kind, in_flight};
use lockstep_tests::guest::Guest;
use lockstep_tests::random::Random;

const MINUTE: u64 = 60_000_000_000;
/// How often each kind's requests are interrupted.
const TIMES: usize = 2;
/// What else happens between two looks, at most.
const STEP: u64 = 300_000;
/// How long the copies go on after the last of them was made.
const REST: u64 = 30_000_000;

#[test]
fn a_machine_saved_with_requests_in_flight_goes_on_alike() {
    let drives = Drives::new("in-flight");
    let start = || Guest::start(&drives.arguments, &["-serial", "null"]);
    let mut random = Random(0x5eed);
    let mut first = start();
    first.expect("#", MINUTE);
    let mut saved: Vec<(&Kind, Snapshot, String)> = Vec::new();
    let limit = first.board.machine.now() + MINUTE;
    let missing = |saved: &[(&Kind, Snapshot, String)]| {
        KINDS.iter().find(|kind| saved.iter().filter(|(k, ..)| k.name == kind.name).count() < TIMES)
    };
    while let Some(kind) = missing(&saved) {
        let now = first.board.machine.now();
        assert!(now < limit, "no request to a {} is ever in flight: {}", kind.name, first.console);
        assert_eq!(first.run_to(now + 1 + random.below(STEP)), None);
        if in_flight(&first, kind.asker) > 0 {
            let snapshot = Snapshot::of(&first.board.machine).expect("it can be saved");
            saved.push((kind, snapshot, first.console.clone()));
        }
    }
    let end = first.board.machine.now() + REST;
    assert_eq!(first.run_to(end), None);
    for kind in KINDS {
        assert!(first.console.contains(kind.letter), "nothing of a {}: {}", kind.name, first.console);
    }
    assert!(!first.console.contains(FAILED), "{}", first.console);
    let (state, digest) = (first.board.machine.save_state().expect("a state"), first.digest());
    let mut whole = start();
    assert_eq!(whole.run_to(end), None);
    assert_eq!((whole.digest(), &whole.console), (digest, &first.console), "uncut");
    for (kind, snapshot, console) in saved {
        // Into a machine that has run elsewhere: all that it was must go.
        let mut second = start();
        second.run_to(random.below(end / 8));
        snapshot.restore(&mut second.board.machine).expect("it can be loaded");
        assert_eq!(second.board.machine.save_state().expect("a state"), snapshot.state, "{}", kind.name);
        second.console = console;
        assert_eq!(second.run_to(end), None);
        assert_eq!(second.board.machine.save_state().expect("a state"), state, "{}", kind.name);
        assert_eq!((second.digest(), &second.console), (digest, &first.console), "{}", kind.name);
    }
}

/// What is added to the catalog and has a drive behind it is to be added to the traffic too.
#[test]
fn every_kind_of_drive_has_traffic() {
    for entry in Entry::all().filter(|entry| entry.properties().iter().any(|property| property.name == "drive")) {
        assert!(KINDS.iter().any(|kind| kind.name == entry.name), "{} has no traffic", entry.name);
    }
}
