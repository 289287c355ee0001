//! Far JMP, CALL and RET, call gates, SYSCALL, SYSRET, SYSENTER, SYSEXIT.

use crate::table::Row;

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    Vec::new()
}
