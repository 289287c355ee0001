//! XCHG, XADD, CMPXCHG, CMPXCHG8B, CMPXCHG16B.

use crate::table::Row;

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    Vec::new()
}
