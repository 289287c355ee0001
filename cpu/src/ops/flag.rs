//! CLC, STC, CMC, CLD, STD, CLI, STI, LAHF, SAHF, PUSHF, POPF, CLAC, STAC.

use crate::table::Row;

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    Vec::new()
}
