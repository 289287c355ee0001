//! SSE to SSE4.2, legacy encodings: bits 255:128 of a destination stay as they are.

mod element;
pub(super) mod float;
pub(super) mod integer;
pub(super) mod lanes;
pub(super) mod moves;
pub(super) mod operand;
pub(super) mod shift;
pub(super) mod shuffle;
mod strings;
mod sums;
#[cfg(test)]
mod tests;

use crate::table::Row;

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    [
        element::rows(),
        float::rows(),
        integer::rows(),
        moves::rows(),
        shift::rows(),
        shuffle::rows(),
        strings::rows(),
        sums::rows(),
    ]
    .concat()
}
