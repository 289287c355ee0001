//! MOV to and from control and debug registers, LMSW, SMSW, CLTS, INVLPG, INVPCID, XGETBV, XSETBV, cache control.

use crate::table::Row;

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    Vec::new()
}
