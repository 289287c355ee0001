//! Every run repeats to the bit: whole, in slices, through a save and a load, and from its log.

use lockstep::digest::Digest;
use lockstep::machine::Ending;
use lockstep::snapshot::Snapshot;
use lockstep_tests::guest::{Guest, debian};
use lockstep_tests::random::Random;

const MINUTE: u64 = 60_000_000_000;

fn guest() -> Guest {
    Guest::start(&debian("quiet GUEST_RUN=poweroff"), &["-cpu", "max", "-smp", "2"])
}

fn whole_boot() -> (Digest, String) {
    let mut guest = guest();
    assert_eq!(guest.run_to_end(MINUTE), Ending::PowerOff);
    assert!(guest.console.contains("INIT-REACHED"), "{}", guest.console);
    (guest.digest(), guest.console)
}

#[test]
fn two_boots_and_one_in_slices_end_in_the_same_state() {
    let (first, console) = whole_boot();
    let (second, again) = whole_boot();
    assert_eq!((first, &console), (second, &again));

    let mut random = Random(0x5eed);
    let mut sliced = guest();
    let ending = loop {
        let step = match random.below(8) {
            0 => random.below(3) + 1,
            1..4 => random.below(5_000) + 1,
            _ => random.below(20_000_000) + 1,
        };
        if let Some(ending) = sliced.run_to(sliced.board.machine.now() + step) {
            break ending;
        }
    };
    assert_eq!(ending, Ending::PowerOff);
    assert_eq!((sliced.digest(), &sliced.console), (first, &console));
}

#[test]
fn a_machine_saved_and_loaded_at_any_tick_goes_on_as_if_nothing_had_been() {
    let (whole, console) = whole_boot();
    let mut random = Random(0xabcd);
    let mut first = guest();
    assert_eq!(first.run_to(random.below(whole.tick)), None);
    let snapshot = Snapshot::of(&first.board.machine).expect("it can be saved");
    let mut second = guest();
    // Into a machine that has run elsewhere: all that it was must go.
    assert_eq!(second.run_to(random.below(whole.tick / 4)), None);
    snapshot.restore(&mut second.board.machine).expect("it can be loaded");
    second.console = first.console;
    assert_eq!(second.run_to_end(MINUTE), Ending::PowerOff);
    assert_eq!((second.digest(), &second.console), (whole, &console));
}
