//! SHL, SHR, SAR, ROL, ROR, RCL, RCR, SHLD, SHRD.

use crate::table::Row;

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    Vec::new()
}
