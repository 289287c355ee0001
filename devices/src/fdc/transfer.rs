//! The commands that move data: which sectors, and where the controller stands after them.

use super::format::{Format, SECTOR};
use crate::pci::hex;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What is done with sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    Read,
    Write,
    Verify,
    /// The data from the guest are the sectors' IDs.
    Format,
}

/// What an execution waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Wait {
    /// The completion of the request with this tag.
    Drive(u64),
    /// The guest at the data register, byte by byte.
    Guest,
}

/// A sector's ID but for its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) cylinder: u8,
    pub(super) head: u8,
    pub(super) sector: u8,
}

impl Place {
    /// Its number on the disk, from zero.
    fn number(self, format: Format) -> u64 {
        let track = u64::from(self.cylinder) * u64::from(format.heads) + u64::from(self.head);
        track * u64::from(format.sectors) + u64::from(self.sector).saturating_sub(1)
    }
}

/// A transfer in its execution phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Transfer {
    pub(super) kind: Kind,
    pub(super) drive: u8,
    /// The head that was selected, for ST0.
    pub(super) head: u8,
    pub(super) first: Place,
    /// The last sector of a track that is to be moved.
    pub(super) last: u8,
    /// On to head 1 after head 0.
    pub(super) both_heads: bool,
    /// Spans of sectors yet to be moved: the first byte and the length of each.
    pub(super) runs: VecDeque<(u64, u64)>,
    /// Sectors moved.
    pub(super) done: u32,
    /// FORMAT's filler byte.
    pub(super) filler: u8,
    /// ST1 when the last run is over and nobody has said that it is enough.
    pub(super) at_end: u8,
    /// ST2 at the end.
    pub(super) st2: u8,
    #[serde(with = "hex")]
    pub(super) buffer: Vec<u8>,
    pub(super) at: usize,
    /// The terminal count was reached.
    pub(super) enough: bool,
    pub(super) wait: Wait,
}

impl Transfer {
    /// The spans of sectors from `first` to `last` on its head, and on head 1 after it.
    pub(super) fn spans(format: Format, first: Place, last: u8, both_heads: bool) -> VecDeque<(u64, u64)> {
        let span = |from: Place| {
            let sectors = u64::from((last + 1).saturating_sub(from.sector));
            (from.number(format) * SECTOR, sectors * SECTOR)
        };
        let mut spans = VecDeque::from([span(first)]);
        if both_heads && first.head == 0 && format.heads > 1 {
            let (next, len) = span(Place { head: 1, sector: 1, ..first });
            // A whole track goes over into the next without a gap.
            match spans.back_mut() {
                Some((at, before)) if *at + *before == next => *before += len,
                _ => spans.push_back((next, len)),
            }
        }
        spans.retain(|(_, len)| *len > 0);
        spans
    }

    /// The ID that the result phase tells: where the transfer would go on (82077AA, table 5-5).
    pub(super) fn next_place(&self) -> Place {
        let mut place = self.first;
        for _ in 0..self.done {
            if place.sector < self.last {
                place.sector += 1;
            } else if self.both_heads && place.head == 0 {
                (place.head, place.sector) = (1, 1);
            } else {
                let head = if self.both_heads { 0 } else { place.head };
                place = Place { cylinder: place.cylinder.wrapping_add(1), head, sector: 1 };
            }
        }
        place
    }
}
