//! MOVS, STOS, LODS, CMPS, SCAS with their prefixes.

use crate::table::Row;

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    Vec::new()
}
