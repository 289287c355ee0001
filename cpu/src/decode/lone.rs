//! Instructions that no block holds, since they cross a page, lowered once.
//!
//! One that a kernel has in a loop would otherwise be decoded each time. An entry is used only where its bytes are read anew
//! and are the same, so a store to them needs to tell nobody.

use super::LONGEST_INSTRUCTION;
use crate::op::Op;
use crate::state::CodeMode;
use lockstep_fabric::memory::PAGE_SIZE;

/// Places; two pages apart by a multiple of it share one.
const SLOTS: usize = 512;

/// Where an instruction begins, and in which mode it was decoded.
type Place = (u64, CodeMode);

/// An instruction at a linear address.
#[derive(Clone, Debug)]
pub(crate) struct Lone {
    place: Place,
    bytes: [u8; LONGEST_INSTRUCTION],
    pub(crate) op: Op,
}

impl Lone {
    /// The bytes that it was decoded from.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.op.len)).unwrap_or(&self.bytes)
    }
}

/// The instructions held.
pub(crate) struct LoneInstructions(Vec<Option<Lone>>);

impl Default for LoneInstructions {
    fn default() -> Self {
        Self(vec![None; SLOTS])
    }
}

impl LoneInstructions {
    fn slot(linear: u64) -> usize {
        (linear / PAGE_SIZE) as usize % SLOTS
    }

    /// The one that was at this place.
    pub(crate) fn at(&self, linear: u64, mode: CodeMode) -> Option<&Lone> {
        self.0.get(Self::slot(linear))?.as_ref().filter(|lone| lone.place == (linear, mode))
    }

    /// Holds one, with the bytes that it was decoded from, in place of what shared its slot.
    pub(crate) fn hold(&mut self, linear: u64, mode: CodeMode, from: &[u8], op: Op) {
        let mut bytes = [0; LONGEST_INSTRUCTION];
        let Some(to) = bytes.get_mut(..from.len()) else { return };
        to.copy_from_slice(from);
        if let Some(slot) = self.0.get_mut(Self::slot(linear)) {
            *slot = Some(Lone { place: (linear, mode), bytes, op });
        }
    }
}
