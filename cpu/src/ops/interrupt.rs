//! INT n, INT3, INTO, INT1, IRET, HLT, UD.

use crate::table::Row;

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    Vec::new()
}
