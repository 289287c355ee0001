//! The soft TLB: direct-mapped, its hit one compare and one add.
//!
//! It is part of the guest-visible state, since a guest can tell what is cached (accessed and dirty bits, changed page
//! tables before an invalidation): what it holds depends on the guest's own accesses alone, and it is saved and loaded.

use crate::decode::boxed;
use lockstep_fabric::memory::PAGE_SIZE;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const SLOTS_SHIFT: u32 = 11;
/// Entries of each bank.
pub(crate) const SLOTS: usize = 1 << SLOTS_SHIFT;
const BANKS: usize = Bank::ALL.len();
const FETCH_SLOTS: usize = 1024;
const FETCH_BANKS: usize = 2;

/// In a tag: the translation is valid, but this access must take the slow path (device, marks to keep, watchpoint).
pub(crate) const SLOW: u64 = 1 << 11;
const GENERATION: u64 = SLOW - 1;
const INVALID: u64 = u64::MAX;
pub(crate) const PAGE_MASK: u64 = !(PAGE_SIZE - 1);
/// In `Entry::frame`'s low bits: the page was mapped by a large page.
pub(crate) const LARGE: u64 = 1;

/// Whose rights data translations have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Bank {
    /// User accesses.
    #[default]
    User,
    /// Supervisor accesses.
    Supervisor,
    /// Supervisor accesses with SMAP lifted by RFLAGS.AC.
    SmapLifted,
    /// User accesses under alignment checks: its hits all take the slow path.
    Checked,
}

impl Bank {
    const ALL: [Self; 4] = [Self::User, Self::Supervisor, Self::SmapLifted, Self::Checked];
}

/// A data translation. Tags are the linear page with the address space's generation in the low bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) read: u64,
    pub(crate) write: u64,
    /// Arena offset minus linear address.
    pub(crate) addend: u64,
    /// Physical page, flags in the low bits.
    pub(crate) frame: u64,
}

/// An instruction-fetch translation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchEntry {
    pub(crate) tag: u64,
    /// Arena offset of the page, or `u64::MAX` if it is not memory.
    pub(crate) offset: u64,
    pub(crate) frame: u64,
}

const NO_ENTRY: Entry = Entry { read: INVALID, write: INVALID, addend: 0, frame: 0 };
const NO_FETCH: FetchEntry = FetchEntry { tag: INVALID, offset: u64::MAX, frame: 0 };

/// Where translated code finds things.
pub(crate) mod layout {
    use super::{Entry, FetchEntry, Tlb};
    use std::mem::offset_of;

    /// Entries of a bank of the fetch translations.
    pub(crate) const FETCH_SLOTS: usize = super::FETCH_SLOTS;
    /// Offset of an address space's tag bits in the [`Tlb`].
    pub(crate) const GENERATION: usize = offset_of!(Tlb, generation);
    /// Bits to shift a linear address right by, and then to keep of it: the offset of its entry in a bank.
    pub(crate) const ENTRY_SHIFT: u32 = 12 - size_of::<Entry>().trailing_zeros();
    pub(crate) const ENTRY_MASK: usize = (super::SLOTS - 1) * size_of::<Entry>();
    /// Offsets in an entry.
    pub(crate) const READ: i32 = offset_of!(Entry, read) as i32;
    pub(crate) const WRITE: i32 = offset_of!(Entry, write) as i32;
    pub(crate) const ADDEND: i32 = offset_of!(Entry, addend) as i32;
    /// Offsets in an instruction-fetch entry, of three words.
    pub(crate) const FETCH_TAG: i32 = offset_of!(FetchEntry, tag) as i32;
    pub(crate) const FETCH_OFFSET: i32 = offset_of!(FetchEntry, offset) as i32;

    const _: () = assert!(size_of::<Entry>() == 32 && size_of::<FetchEntry>() == 24);
}

/// How many process contexts keep their translations at a time.
const CONTEXTS: usize = 8;

/// All translations of one vCPU.
#[derive(Clone, Debug)]
pub struct Tlb {
    data: Box<[[Entry; SLOTS]; BANKS]>,
    fetch: Box<[FetchEntry; FETCH_SLOTS * FETCH_BANKS]>,
    /// Tag bits of the address space in use.
    generation: u64,
    next_generation: u64,
    /// Process-context identifiers whose translations are kept, with their generations, latest first.
    contexts: Vec<(u16, u64)>,
    /// Which 2-MiB regions (by address bits 21..=26) have translations from large pages.
    large: u64,
    /// Epochs of the memory map and of write rights that the entries were made under.
    pub(crate) map_epoch: u64,
    pub(crate) write_epoch: u64,
}

impl Default for Tlb {
    fn default() -> Self {
        Self {
            data: boxed([NO_ENTRY; SLOTS]),
            fetch: boxed(NO_FETCH),
            generation: 1,
            next_generation: 2,
            contexts: vec![(0, 1)],
            large: 0,
            map_epoch: 0,
            write_epoch: 0,
        }
    }
}

impl Tlb {
    #[inline(always)]
    fn slot(linear: u64) -> usize {
        (linear as usize >> 12) % SLOTS
    }

    /// The tag of a linear address in the address space in use.
    #[inline(always)]
    pub(crate) fn tag(&self, linear: u64) -> u64 {
        (linear & PAGE_MASK) | self.generation
    }

    /// The entry that `linear` would be in. The bank is found apart from the slot: a guest's loads wait for each other through
    /// this, and the bank is known long before the address.
    #[inline(always)]
    pub(crate) fn entry(&self, bank: Bank, linear: u64) -> &Entry {
        &self.data[bank as usize][Self::slot(linear)]
    }

    #[inline(always)]
    pub(crate) fn entry_mut(&mut self, bank: Bank, linear: u64) -> &mut Entry {
        &mut self.data[bank as usize][Self::slot(linear)]
    }

    /// Where a bank lies.
    #[inline(always)]
    pub(crate) fn bank_address(&self, bank: Bank) -> usize {
        self.data[bank as usize].as_ptr() as usize
    }

    /// Where the fetch translations of user or supervisor code lie.
    pub(crate) fn fetch_address(&self, user: bool) -> usize {
        self.fetch[usize::from(user) * FETCH_SLOTS..].as_ptr() as usize
    }

    #[inline(always)]
    fn fetch_index(user: bool, linear: u64) -> usize {
        (usize::from(user) * FETCH_SLOTS + (linear as usize >> 12) % FETCH_SLOTS) % (FETCH_SLOTS * FETCH_BANKS)
    }

    #[inline(always)]
    pub(crate) fn fetch_entry(&self, user: bool, linear: u64) -> &FetchEntry {
        &self.fetch[Self::fetch_index(user, linear)]
    }

    #[inline(always)]
    pub(crate) fn fetch_entry_mut(&mut self, user: bool, linear: u64) -> &mut FetchEntry {
        &mut self.fetch[Self::fetch_index(user, linear)]
    }

    /// Notes that a translation of `linear` came from a large page.
    pub(crate) fn note_large(&mut self, linear: u64) {
        self.large |= 1 << (linear >> 21 & 63);
    }

    /// Forgets every translation of every context.
    pub fn flush_all(&mut self) {
        self.contexts.clear();
        self.large = 0;
        self.generation = self.new_generation();
        self.contexts.push((0, self.generation));
    }

    /// Forgets the translations of the context in use, after CR3 was loaded with `context` and no request to keep them.
    pub fn flush_context(&mut self, context: u16) {
        self.contexts.retain(|(c, _)| *c != context);
        self.switch_context(context);
    }

    /// Goes over to `context` and what is still known of it.
    pub fn switch_context(&mut self, context: u16) {
        let known = self.contexts.iter().position(|(c, _)| *c == context);
        let entry = match known {
            Some(at) => self.contexts.remove(at),
            None => (context, self.new_generation()),
        };
        self.generation = entry.1;
        self.contexts.insert(0, entry);
        self.contexts.truncate(CONTEXTS);
    }

    /// Forgets a context that is not in use.
    pub fn forget_context(&mut self, context: u16) {
        if self.contexts.first().is_some_and(|(c, _)| *c == context) {
            self.flush_context(context);
        } else {
            self.contexts.retain(|(c, _)| *c != context);
        }
    }

    fn new_generation(&mut self) -> u64 {
        if self.next_generation == GENERATION {
            self.data.fill([NO_ENTRY; SLOTS]);
            self.fetch.fill(NO_FETCH);
            self.contexts.clear();
            self.large = 0;
            self.next_generation = 1;
        }
        let generation = self.next_generation;
        self.next_generation += 1;
        generation
    }

    /// Forgets the page of `linear` in every context (INVLPG drops global pages of all contexts).
    pub fn flush_page(&mut self, linear: u64) {
        if self.large >> (linear >> 21 & 63) & 1 != 0 {
            self.flush_large(linear);
        } else {
            self.drop_page(linear);
        }
    }

    fn drop_page(&mut self, linear: u64) {
        for bank in Bank::ALL {
            let entry = self.entry_mut(bank, linear);
            // Translations of other pages that share the slot are dropped only if they are this page's.
            if (entry.read ^ linear) & PAGE_MASK == 0 || (entry.write ^ linear) & PAGE_MASK == 0 {
                *entry = NO_ENTRY;
            }
        }
        for user in [false, true] {
            let entry = self.fetch_entry_mut(user, linear);
            if (entry.tag ^ linear) & PAGE_MASK == 0 {
                *entry = NO_FETCH;
            }
        }
    }

    /// `linear` may lie in a large page, all of whose pieces must go: a whole aligned GiB, which covers every size.
    fn flush_large(&mut self, linear: u64) {
        const GIB: u64 = !((1 << 30) - 1);
        for entry in self.data.as_flattened_mut().iter_mut().filter(|e| e.frame & LARGE != 0) {
            if (entry.read ^ linear) & GIB == 0 || (entry.write ^ linear) & GIB == 0 {
                *entry = NO_ENTRY;
            }
        }
        for entry in self.fetch.iter_mut().filter(|e| e.frame & LARGE != 0) {
            if (entry.tag ^ linear) & GIB == 0 {
                *entry = NO_FETCH;
            }
        }
        self.drop_page(linear);
    }

    /// Sends every store through the slow path once, where it asks for its rights again.
    pub(crate) fn slow_writes(&mut self) {
        for entry in self.data.as_flattened_mut().iter_mut() {
            entry.write |= SLOW;
        }
    }

    /// Sends stores to the page at this arena offset through the slow path.
    pub(crate) fn slow_writes_to(&mut self, page: u64) {
        for entry in self.data.as_flattened_mut().iter_mut() {
            if entry.write & SLOW == 0 && entry.addend.wrapping_add(entry.write & PAGE_MASK) == page {
                entry.write |= SLOW;
            }
        }
    }

    /// Sends every access through the slow path once: arena offsets may have changed, translations have not.
    pub(crate) fn slow_all(&mut self) {
        for entry in self.data.as_flattened_mut().iter_mut() {
            entry.read |= SLOW;
            entry.write |= SLOW;
        }
        for entry in self.fetch.iter_mut() {
            entry.tag |= SLOW;
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Saved {
    /// Index, read tag, write tag, frame.
    data: Vec<(u32, u64, u64, u64)>,
    /// Index, tag, frame.
    fetch: Vec<(u32, u64, u64)>,
    generation: u64,
    next_generation: u64,
    contexts: Vec<(u16, u64)>,
    large: u64,
}

fn without_slow(tag: u64) -> u64 {
    if tag == INVALID { INVALID } else { tag & !SLOW }
}

impl Serialize for Tlb {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let live = |tag: u64| tag != INVALID && self.contexts.iter().any(|(_, g)| tag & GENERATION == *g);
        let data = self.data.as_flattened().iter().enumerate().filter(|(_, e)| live(e.read) || live(e.write));
        let fetch = self.fetch.iter().enumerate().filter(|(_, e)| live(e.tag));
        Saved {
            data: data.map(|(i, e)| (i as u32, without_slow(e.read), without_slow(e.write), e.frame)).collect(),
            fetch: fetch.map(|(i, e)| (i as u32, without_slow(e.tag), e.frame)).collect(),
            generation: self.generation,
            next_generation: self.next_generation,
            contexts: self.contexts.clone(),
            large: self.large,
        }
        .serialize(to)
    }
}

impl<'de> Deserialize<'de> for Tlb {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let saved = Saved::deserialize(from)?;
        let mut tlb = Self {
            generation: saved.generation & GENERATION,
            next_generation: saved.next_generation.clamp(1, GENERATION),
            contexts: saved.contexts,
            large: saved.large,
            ..Self::default()
        };
        for (index, read, write, frame) in saved.data {
            if let Some(entry) = tlb.data.as_flattened_mut().get_mut(index as usize) {
                *entry = Entry { read: read | SLOW, write: write | SLOW, addend: 0, frame };
            }
        }
        for (index, tag, frame) in saved.fetch {
            if let Some(entry) = tlb.fetch.get_mut(index as usize) {
                *entry = FetchEntry { tag: tag | SLOW, offset: u64::MAX, frame };
            }
        }
        Ok(tlb)
    }
}
