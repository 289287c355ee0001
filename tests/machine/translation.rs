//! Whether the translator is at work shows nowhere but in time.

use lockstep_fabric::Tick;
use lockstep_tests::guest::{Guest, debian};

/// More ticks than a boot takes.
const MOST: Tick = 10_000_000_000;
const INTERPRETED: [&str; 2] = ["-accel", "tcg,one-insn-per-tb=on"];

/// The ticks between which two guests that should be one part, `step` apart; their states at the later one.
fn parting(make: &dyn Fn(bool) -> Guest, from: Tick, to: Tick, step: Tick) -> Option<(Tick, [String; 2])> {
    let mut guests = [make(false), make(true)];
    let mut at = from;
    while at < to {
        at += step;
        let ends = guests.each_mut().map(|guest| guest.run_to(at));
        assert_eq!(ends[0], ends[1], "at {at}");
        let [a, b] = guests.each_mut().map(Guest::digest);
        if a != b {
            let states = guests.each_mut().map(|guest| guest.board.machine.save_state().unwrap()["cpus"].to_string());
            return Some((at - step, states));
        }
        if ends[0].is_some() {
            return None;
        }
    }
    None
}

/// Guests with this command line that differ only in whether they are translated never part.
fn never_part(arguments: &[&str]) {
    let make = |interpreted: bool| {
        let more = arguments.iter().chain(if interpreted { INTERPRETED.as_slice() } else { &[] }).copied();
        Guest::start(&debian("quiet GUEST_RUN=poweroff"), &more.collect::<Vec<_>>())
    };
    let mut step = 50_000_000;
    let Some(mut last) = parting(&make, 0, MOST, step) else { return };
    // Nearer to where it happens, as long as a closer look does not hide it.
    while step > 1 {
        step = (step / 50).max(1);
        let Some(nearer) = parting(&make, last.0, last.0 + 51 * step, step) else { break };
        last = nearer;
    }
    panic!("they part after tick {}\n{}\n{}", last.0, last.1[0], last.1[1]);
}

#[test]
fn a_boot_is_the_same_translated_and_interpreted() {
    never_part(&["-cpu", "max"]);
}

#[test]
fn a_boot_on_two_processors_is_the_same_translated_and_interpreted() {
    never_part(&["-cpu", "qemu64", "-smp", "2", "-vga", "std"]);
}

#[test]
fn a_boot_that_nobody_looks_into_ends_the_same_translated_and_interpreted() {
    let end = |more: &[&str]| {
        let mut guest = Guest::start(&debian("quiet GUEST_RUN=poweroff"), more);
        guest.run_to_end(MOST);
        (guest.digest(), guest.console)
    };
    assert_eq!(end(&[]), end(&INTERPRETED));
}
