//! Every user-mode row of the instruction table, from random states: Lockstep's CPU against the host's.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use lockstep_tests::differential::campaign::{RowResult, rows, try_row};
use lockstep_tests::differential::guest::{self, Guest};
use lockstep_tests::differential::host::{self, Host};
use lockstep_tests::differential::state::Mode;
use std::collections::BTreeMap;

/// Cases of each row in the normal run, and with LOCKSTEP_LONG.
const CASES: usize = 2_000;
const CASES_LONG: usize = 50_000;

/// LOCKSTEP_SEED=N for other cases than those of the normal run.
fn seed() -> u64 {
    std::env::var("LOCKSTEP_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1)
}

fn cases() -> usize {
    let asked = std::env::var("LOCKSTEP_CASES").ok().and_then(|s| s.parse().ok());
    asked.unwrap_or(if std::env::var_os("LOCKSTEP_LONG").is_some() { CASES_LONG } else { CASES })
}

fn campaign(mode: Mode) {
    let mut host = Host::new().expect("the host allows fixed mappings below 4 GiB and executable data");
    let mut guest = Guest::new(host.fs_base()).expect("memory for the guest");
    assert!(host::runs(&mut host, mode), "the host does not run {mode:?} code");
    assert!(guest::runs(&mut guest, mode), "lockstep does not run {mode:?} code");
    // LOCKSTEP_ROWS=text: only rows whose name contains it.
    let only = std::env::var("LOCKSTEP_ROWS").unwrap_or_default();
    let results: Vec<RowResult> = rows()
        .filter(|row| format!("{:?}", row.code).contains(&only))
        .map(|row| try_row(row, mode, cases(), seed(), &mut |case| host.run(case), &mut guest))
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
    campaign(Mode::Bits64);
}

#[test]
fn every_user_mode_row_does_in_32_bit_code_what_the_host_does() {
    campaign(Mode::Bits32);
}
