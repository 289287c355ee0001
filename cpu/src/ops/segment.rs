//! Segment register loads and stores, LDS and the like, LLDT, LTR, LGDT, LIDT, SGDT, SIDT, SLDT, STR, LAR, LSL, VERR, VERW, ARPL, base instructions, SWAPGS.

use crate::table::Row;

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    Vec::new()
}
