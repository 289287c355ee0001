//! Where instructions come from: the fetch TLB.

use super::tlb::{FetchEntry, LARGE, PAGE_MASK, SLOW};
use super::walk::{Want, Who};
use crate::fault::Fault;
use crate::state::Vcpu;
use lockstep_fabric::Bus;

/// Where an instruction's bytes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// In the arena, at this offset.
    Memory(u64),
    /// At a physical address that is not memory.
    Device(u64),
}

impl Vcpu {
    /// Translates the linear address of an instruction.
    #[inline(always)]
    pub(crate) fn fetch(&mut self, bus: &mut Bus, linear: u64) -> Result<Source, Fault> {
        let entry = self.tlb.fetch_entry(self.cpl == 3, linear);
        if entry.tag == self.tlb.tag(linear) {
            return Ok(Source::Memory(entry.offset + (linear & !PAGE_MASK)));
        }
        self.fetch_slow(bus, linear)
    }

    #[cold]
    #[inline(never)]
    fn fetch_slow(&mut self, bus: &mut Bus, linear: u64) -> Result<Source, Fault> {
        if !self.canonical(linear) {
            return Err(Fault::GP0);
        }
        let user = self.cpl == 3;
        let tag = self.tlb.tag(linear);
        if self.tlb.fetch_entry(user, linear).tag & !SLOW != tag {
            let found = self.walk(bus, linear, Want::Fetch, Who { user, smap_lifted: false })?;
            if found.large {
                self.tlb.note_large(linear);
            }
            let frame = found.frame | if found.large { LARGE } else { 0 };
            *self.tlb.fetch_entry_mut(user, linear) = FetchEntry { tag: tag | SLOW, offset: u64::MAX, frame };
        }
        let entry = self.tlb.fetch_entry_mut(user, linear);
        let frame = entry.frame & PAGE_MASK;
        let in_page = linear & !PAGE_MASK;
        match bus.memory.page(frame).read {
            Some(offset) => {
                (entry.tag, entry.offset) = (tag, offset);
                Ok(Source::Memory(offset + in_page))
            }
            None => Ok(Source::Device(frame + in_page)),
        }
    }
}
