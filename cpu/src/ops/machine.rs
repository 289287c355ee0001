//! CPUID, RDMSR, WRMSR, RDTSC, RDTSCP, RDPMC, RDRAND, RDSEED, RDPID, and what is a no-op here.

use crate::table::Row;

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    Vec::new()
}
