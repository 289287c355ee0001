//! Many cases of every row of the instruction table, and what came of them.

use super::compare::{Rule, differences, report};
use super::latitude::untried;
use super::random::Random;
use super::state::{Case, Mode, Outcome};
use super::{generate, guest};
use iced_x86::Code;
use lockstep_cpu::table::{Row, TABLE};

/// Reports kept of one row.
const REPORTS: usize = 3;
/// Attempts at an encoding before a row counts as one that no case can be made of.
const ATTEMPTS: usize = 200;

/// What became of a row.
#[derive(Clone, Debug)]
pub struct RowResult {
    /// The row.
    pub code: Code,
    /// The mode.
    pub mode: Mode,
    /// Cases run.
    pub cases: usize,
    /// Cases that retired (the others raised the same exception).
    pub retired: usize,
    /// Cases that differ.
    pub failures: usize,
    /// The first of them.
    pub reports: Vec<String>,
    /// Why it was not tried.
    pub untried: Option<&'static str>,
}

/// All rows. Those that the table calls untriable ([`lockstep_cpu::table::Trial::None`]) are tried too wherever user mode
/// may execute them, or faults at them in a way of its own: see [`untried`] for the few that cannot be.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    TABLE.rows().iter()
}

/// The seed of a row's cases: its own, so that they do not depend on what other rows there are.
pub fn row_seed(seed: u64, code: Code, mode: Mode) -> u64 {
    seed ^ (code as u64) << 8 ^ u64::from(mode.bits())
}

/// The next case of a row, or `None` if none can be made.
pub fn next_case(random: &mut Random, code: Code, mode: Mode) -> Option<Case> {
    (0..ATTEMPTS).find_map(|_| generate::case(random, code, mode))
}

/// Compares `cases` random cases of a row.
pub fn try_row(
    row: &Row,
    mode: Mode,
    cases: usize,
    seed: u64,
    host: &mut dyn FnMut(&Case) -> Outcome,
    guest: &mut guest::Guest,
) -> RowResult {
    let code = row.code;
    let mut result =
        RowResult { code, mode, cases: 0, retired: 0, failures: 0, reports: Vec::new(), untried: untried(code, mode) };
    if result.untried.is_some() {
        return result;
    }
    let mut random = Random::new(row_seed(seed, code, mode));
    let rule = rule(row);
    for _ in 0..cases {
        let Some(case) = next_case(&mut random, code, mode) else {
            result.failures += 1;
            result.reports.push(format!("{code:?}: no case can be made in {mode:?}"));
            break;
        };
        let on_host = host(&case);
        let on_guest = guest.run(&case);
        result.cases += 1;
        result.retired += usize::from(on_host.stop == super::state::Stop::Retired);
        let differences = differences(rule, &case, &on_host, &on_guest);
        if !differences.is_empty() {
            result.failures += 1;
            if result.reports.len() < REPORTS {
                result.reports.push(report(&case, &on_host, &on_guest, &differences));
            }
        }
    }
    result
}

/// What is compared for a row.
pub fn rule(row: &Row) -> Rule {
    Rule { code: row.code, undefined: row.undefined }
}
