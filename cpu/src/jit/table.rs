//! The translated blocks: where they begin, which of them can be jumped to, and who waits to jump to them.

use super::Site;
use super::code_buffer::CodeBuffer;
use crate::decode::{Key, boxed};
use lockstep_fabric::memory::PAGE_SIZE;
use std::collections::BTreeMap;

/// Blocks that translated code finds by itself, one for each hash of a key.
const BLOCKS: usize = 1 << 15;
pub(super) const BLOCKS_MASK: usize = BLOCKS - 1;
/// The key's upper bits come in so far below.
pub(super) const KEY_SHIFT: u32 = 13;

/// How often a block is interpreted before it is translated.
const HEATS: usize = 1 << 15;

/// What translated code looks at: a key and the code there.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Entry {
    key: u64,
    code: u64,
}

const NOTHING: Entry = Entry { key: u64::MAX, code: 0 };

/// A jump to a block of its own page that may not be translated yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// The target's offset in the page.
    pub(super) target: u16,
    /// Where the jump's distance lies.
    pub(super) at: u64,
}

/// What is translated of one page in one mode.
#[derive(Default)]
struct Page {
    /// Code by the offset where it begins.
    blocks: BTreeMap<u16, u64>,
    /// Jumps that lead out of translated code until their target is there.
    waiting: Vec<Link>,
    /// What the code calls handlers with.
    sites: Vec<Box<[Site]>>,
}

/// All translated blocks.
pub(super) struct Table {
    entries: Box<[Entry; BLOCKS]>,
    heats: Box<[u8; HEATS]>,
    /// By the page's arena offset and mode.
    pages: BTreeMap<(u64, u8), Page>,
}

impl Default for Table {
    fn default() -> Self {
        Self { entries: boxed(NOTHING), heats: boxed(0), pages: BTreeMap::new() }
    }
}

fn hash(key: Key) -> usize {
    let key = key.bits();
    (key ^ key >> KEY_SHIFT) as usize & BLOCKS_MASK
}

fn page_of(key: Key) -> (u64, u8) {
    (key.offset() & !(PAGE_SIZE - 1), key.mode())
}

fn offset_of(key: Key) -> u16 {
    (key.bits() & (PAGE_SIZE - 1)) as u16
}

impl Table {
    /// The address that translated code finds the table by.
    pub(super) fn address(&self) -> usize {
        self.entries.as_ptr() as usize
    }

    /// The code of a block, if it is among those that translated code finds.
    #[inline(always)]
    pub(super) fn recent(&self, key: Key) -> Option<u64> {
        let entry = &self.entries[hash(key)];
        (entry.key == key.bits()).then_some(entry.code)
    }

    /// The code of a block, which translated code will find from now on.
    pub(super) fn find(&mut self, key: Key) -> Option<u64> {
        let code = *self.pages.get(&page_of(key))?.blocks.get(&offset_of(key))?;
        self.entries[hash(key)] = Entry { key: key.bits(), code };
        Some(code)
    }

    /// Counts a run of a block; whether it has been run so often that it is worth translating.
    #[inline(always)]
    pub(super) fn warm(&mut self, key: Key, enough: u8) -> bool {
        let heat = &mut self.heats[hash(key) % HEATS];
        *heat = heat.saturating_add(1);
        if *heat < enough {
            return false;
        }
        *heat = 0;
        true
    }

    /// Holds a block's code and leads to it the jumps that wait for it, and those in it to what is there already.
    pub(super) fn insert(
        &mut self,
        key: Key,
        code: u64,
        links: Vec<Link>,
        sites: Box<[Site]>,
        buffer: &mut CodeBuffer,
    ) {
        let page = self.pages.entry(page_of(key)).or_default();
        page.blocks.insert(offset_of(key), code);
        page.sites.push(sites);
        page.waiting.extend(links);
        let blocks = &page.blocks;
        page.waiting.retain(|link| match blocks.get(&link.target) {
            Some(target) => {
                buffer.patch(link.at, target.wrapping_sub(link.at + 4) as i32);
                false
            }
            None => true,
        });
        self.entries[hash(key)] = Entry { key: key.bits(), code };
    }

    /// Drops what is translated of the page at an arena offset, in every mode.
    pub(super) fn drop_page(&mut self, page: u64) {
        let modes: Vec<_> = self.pages.range((page, 0)..=(page, u8::MAX)).map(|(place, _)| *place).collect();
        for place in modes {
            let Some(dropped) = self.pages.remove(&place) else { continue };
            for offset in dropped.blocks.keys() {
                let key = Key::new(place.1, page | u64::from(*offset));
                let entry = &mut self.entries[hash(key)];
                if entry.key == key.bits() {
                    *entry = NOTHING;
                }
            }
        }
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        self.pages.clear();
        self.entries.fill(NOTHING);
        self.heats.fill(0);
    }
}
