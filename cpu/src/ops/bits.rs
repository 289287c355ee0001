//! BT, BTS, BTR, BTC, BSF, BSR, POPCNT, BSWAP, CRC32, MOVBE and the like.

use crate::table::Row;

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    Vec::new()
}
