//! Every user-mode row of the instruction table, from random states: Lockstep's CPU against the host's, and against what
//! another host's has been recorded to do.

use lockstep_cpu::table::Row;
use lockstep_tests::differential::campaign::{rows, rule};
use lockstep_tests::differential::compare::{differences, report};
use lockstep_tests::differential::guest::Guest;
use lockstep_tests::differential::state::{Case, Mode, Outcome};
use lockstep_tests::differential::vectors::{self, recordable};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/user.json.gz")
}

/// How far a run over the recorded cases got: rows seen, and reports of what differs.
#[derive(Default)]
struct Checked {
    rows: BTreeSet<String>,
    failures: Vec<String>,
}

/// Compares each recorded outcome with what `run` makes of the case.
fn check_recorded(wanted: impl Fn(&Row) -> bool, run: &mut dyn FnMut(&Case) -> Outcome) -> Checked {
    let rows: BTreeMap<String, &Row> = rows().map(|row| (format!("{:?}", row.code), row)).collect();
    let mut checked = Checked::default();
    for vector in vectors::read(&recorded()).expect("tests/vectors holds recorded vectors") {
        let Some(row) = rows.get(&vector.code) else {
            checked.failures.push(format!("{}: recorded, but the table has no such user-mode row", vector.code));
            continue;
        };
        if !wanted(row) {
            continue;
        }
        let (case, expected) = vector.unfold().expect("a vector holds registers by name");
        let outcome = run(&case);
        let differences = differences(rule(row), &case, &expected, &outcome);
        if !differences.is_empty() {
            checked.failures.push(report(&case, &expected, &outcome, &differences));
        }
        checked.rows.insert(vector.code);
    }
    checked
}

#[test]
fn lockstep_does_what_was_recorded_of_a_cpu() {
    let mut guest = Guest::new(0).expect("memory for the guest");
    let checked = check_recorded(|_| true, &mut |case| guest.run(case));
    println!("{} rows have recorded vectors", checked.rows.len());
    let expected = rows().filter(|row| [Mode::Bits64, Mode::Bits32].iter().any(|mode| recordable(row, *mode)));
    let missing: Vec<_> = expected.map(|row| format!("{:?}", row.code)).filter(|c| !checked.rows.contains(c)).collect();
    println!("{} have none: {missing:?}", missing.len());
    for failure in checked.failures.iter().take(5) {
        println!("{failure}");
    }
    assert!(checked.failures.is_empty(), "{} recorded cases differ", checked.failures.len());
    assert!(
        checked.rows.len() >= 20 * missing.len(),
        "record vectors of the new rows: LOCKSTEP_RECORD=1 cargo test --release -p lockstep-tests --test processor"
    );
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod host {
    use super::{check_recorded, recorded};
    use lockstep_tests::differential::campaign::{RowResult, rows, try_row};
    use lockstep_tests::differential::guest::{self, Guest};
    use lockstep_tests::differential::host::{self, Host};
    use lockstep_tests::differential::latitude::untried;
    use lockstep_tests::differential::state::Mode;
    use lockstep_tests::differential::vectors;
    use std::collections::BTreeMap;
    use std::io;

    /// Cases of each row in the normal run, and with LOCKSTEP_LONG.
    const CASES: usize = if cfg!(debug_assertions) { 250 } else { 2_000 };
    const CASES_LONG: usize = 50_000;
    /// Cases of each row and mode that are recorded.
    const CASES_RECORDED: usize = 4;
    const MODES: [Mode; 2] = [Mode::Bits64, Mode::Bits32];

    /// LOCKSTEP_SEED=N for other cases than those of the normal run.
    fn seed() -> u64 {
        std::env::var("LOCKSTEP_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1)
    }

    /// LOCKSTEP_CASES=N for another number of cases.
    fn cases() -> usize {
        let asked = std::env::var("LOCKSTEP_CASES").ok().and_then(|s| s.parse().ok());
        asked.unwrap_or(if std::env::var_os("LOCKSTEP_LONG").is_some() { CASES_LONG } else { CASES })
    }

    fn host() -> Host {
        Host::new().expect("the host allows fixed mappings below 4 GiB and executable data")
    }

    fn campaign(mode: Mode, guest: fn(u64) -> io::Result<Guest>, cases: usize) {
        let mut host = host();
        let mut guest = guest(host.fs_base()).expect("memory for the guest");
        assert!(host::runs(&mut host, mode), "the host does not run {mode:?} code");
        assert!(guest::runs(&mut guest, mode), "lockstep does not run {mode:?} code");
        // LOCKSTEP_ROWS=text: only rows whose name contains it.
        let only = std::env::var("LOCKSTEP_ROWS").unwrap_or_default();
        let results: Vec<RowResult> = rows()
            .filter(|row| format!("{:?}", row.code).contains(&only))
            .map(|row| try_row(row, mode, cases, seed(), &mut |case| host.run(case), &mut guest))
            .collect();
        summarise(mode, &results);
    }

    fn summarise(mode: Mode, results: &[RowResult]) {
        let mut untried: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for result in results {
            if let Some(why) = result.untried {
                untried.entry(why).or_default().push(result.code);
            }
        }
        let tried = results.iter().filter(|r| r.untried.is_none());
        let cases: usize = tried.clone().map(|r| r.cases).sum();
        println!("{mode:?}, seed {}: {} rows tried, {cases} cases", seed(), tried.clone().count());
        for (why, codes) in &untried {
            println!("not tried, {why}: {} rows: {codes:?}", codes.len());
        }
        for result in tried.clone().filter(|r| r.retired == 0) {
            println!("never retired: {:?}", result.code);
        }
        let failing: Vec<_> = tried.filter(|r| r.failures != 0).collect();
        for result in &failing {
            println!("\n{:?}: {} of {} cases differ", result.code, result.failures, result.cases);
            for report in &result.reports {
                println!("{report}");
            }
        }
        let names: Vec<_> = failing.iter().map(|r| (r.code, r.failures)).collect();
        assert!(failing.is_empty(), "{} rows differ from the host's CPU: {names:?}", failing.len());
    }

    #[test]
    fn every_user_mode_row_does_in_64_bit_mode_what_the_host_does() {
        campaign(Mode::Bits64, Guest::new, cases());
    }

    #[test]
    fn every_user_mode_row_does_in_32_bit_code_what_the_host_does() {
        campaign(Mode::Bits32, Guest::new, cases());
    }

    #[test]
    fn every_user_mode_row_does_translated_what_the_host_does() {
        // Each case is translated anew, which takes longer than to run it.
        campaign(Mode::Bits64, Guest::translating, cases() / 8);
    }

    #[test]
    fn this_host_does_what_was_recorded_of_a_cpu() {
        let mut host = host();
        if std::env::var_os("LOCKSTEP_RECORD").is_some() {
            let mut run = |case: &_| host.run(case);
            let all: Vec<_> =
                MODES.into_iter().flat_map(|mode| vectors::record(mode, CASES_RECORDED, seed(), &mut run)).collect();
            vectors::write(&recorded(), &all).expect("tests/vectors can be written");
        }
        let here = |row: &lockstep_cpu::table::Row| MODES.iter().any(|mode| untried(row.code, *mode).is_none());
        let checked = check_recorded(here, &mut |case| host.run(case));
        println!("{} rows compared", checked.rows.len());
        for failure in checked.failures.iter().take(5) {
            println!("{failure}");
        }
        assert!(checked.failures.is_empty(), "{} recorded cases differ", checked.failures.len());
    }
}
