//! MOV, MOVZX, MOVSX, LEA, CMOVcc, SETcc, XLAT, CBW and the like.

use crate::table::Row;

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    Vec::new()
}
