//! Blocks of lowered instructions, kept by where their bytes lie in the arena.
//!
//! Keys are arena offsets, so a switch of page tables or a move of the memory map voids nothing. Any block can be dropped
//! between two instructions without the guest noticing.

use super::{Lowered, boxed};
use crate::op::Op;
use crate::state::CodeMode;
use lockstep_fabric::Memory;
use lockstep_fabric::memory::{LINE_SIZE, PAGE_SIZE, StaleCode, line_mask};
use std::collections::BTreeMap;
use std::ops::Range;

/// Where a block begins and in which mode it was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(u64);

impl Key {
    /// Where the mode lies in a key's bits.
    const MODE_SHIFT: u32 = 56;

    /// The key of a block at an arena offset in a mode.
    pub(crate) fn new(mode: u8, offset: u64) -> Self {
        Self(u64::from(mode) << Self::MODE_SHIFT | offset)
    }

    /// The key as one number.
    #[inline(always)]
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// The mode.
    pub(crate) fn mode(self) -> u8 {
        (self.0 >> Self::MODE_SHIFT) as u8
    }

    /// What the keys of a mode have in common.
    #[inline(always)]
    pub(crate) fn start_of(mode: CodeMode) -> Self {
        Self(u64::from(mode.0) << Self::MODE_SHIFT)
    }

    /// The key of a block at an arena offset, in the mode of [`Key::start_of`].
    #[inline(always)]
    pub(crate) fn at(self, offset: u64) -> Self {
        Self(self.0 | offset)
    }

    /// What added to a linear address of the page gives its key, if this is the key of `linear`.
    #[inline(always)]
    pub(crate) fn from(self, linear: u64) -> ToKey {
        ToKey(self.0.wrapping_sub(linear))
    }

    /// The arena offset.
    pub(crate) fn offset(self) -> u64 {
        self.0 & (u64::MAX >> 8)
    }

    #[inline(always)]
    fn hash(self) -> usize {
        (self.0 ^ self.0 >> JUMP_SHIFT) as usize % JUMP_SETS
    }
}

/// The way from linear addresses of one page, in one mode, to keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ToKey(u64);

impl ToKey {
    /// The key of the block at a linear address of the page.
    #[inline(always)]
    pub(crate) fn at_linear(self, linear: u64) -> Key {
        Key(self.0.wrapping_add(linear))
    }
}

/// A block: a range of the cache's instructions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    key: Key,
    start: u32,
    /// Lowered instructions.
    len: u8,
    /// Ticks that they take: fused ones take two.
    pub(crate) ticks: u8,
    /// Bytes.
    pub(crate) bytes: u16,
}

const NOTHING: Block = Block { key: Key(u64::MAX), start: 0, len: 0, ticks: 0, bytes: 0 };

const JUMP_SHIFT: u32 = 13;
const JUMP_SETS: usize = 1 << JUMP_SHIFT;
/// Dropped blocks leave holes; when this many instructions are held, all are dropped and decoded anew as needed.
const MOST_OPS: usize = 1 << 20;

/// The blocks of one machine, for all of its vCPUs.
pub struct Cache {
    ops: Vec<Op>,
    pages: BTreeMap<u64, Vec<Block>>,
    /// Those lately run, two for each hash, the later first.
    jumps: Box<[[Block; 2]; JUMP_SETS]>,
}

impl Default for Cache {
    fn default() -> Self {
        Self { ops: Vec::new(), pages: BTreeMap::new(), jumps: boxed([NOTHING; 2]) }
    }
}

impl Cache {
    /// The block at `key`, if it is one of those lately run.
    #[inline(always)]
    pub(crate) fn recent(&self, key: Key) -> Option<Block> {
        let [first, second] = &self.jumps[key.hash()];
        if first.key == key {
            Some(*first)
        } else if second.key == key {
            Some(*second)
        } else {
            None
        }
    }

    /// The block at `key`, if it is held.
    pub(crate) fn find(&mut self, key: Key) -> Option<Block> {
        let page = self.pages.get(&(key.offset() / PAGE_SIZE))?;
        let block = page[page.binary_search_by_key(&key, |b| b.key).ok()?];
        self.note(block);
        Some(block)
    }

    /// The instructions of a block.
    #[inline(always)]
    pub(crate) fn ops(&self, block: Block) -> &[Op] {
        let range: Range<usize> = block.start as usize..block.start as usize + usize::from(block.len);
        match self.ops.get(range) {
            Some(ops) => ops,
            None => nothing(),
        }
    }

    /// Whether a freshly lowered block can be held; if not, all must be dropped first.
    pub(crate) fn has_room_for(&self, lowered: &Lowered) -> bool {
        self.ops.len() + lowered.ops.len() <= MOST_OPS
    }

    /// Holds a freshly lowered block, for which there is room, and marks its bytes in memory.
    pub(crate) fn insert(&mut self, key: Key, lowered: Lowered, memory: &mut Memory) -> Block {
        let block = Block {
            key,
            start: self.ops.len() as u32,
            len: lowered.ops.len() as u8,
            ticks: lowered.ops.iter().map(|op| op.ticks).sum(),
            bytes: lowered.bytes,
        };
        self.ops.extend(lowered.ops);
        memory.mark_code(key.offset(), block.bytes.into());
        let page = self.pages.entry(key.offset() / PAGE_SIZE).or_default();
        match page.binary_search_by_key(&key, |b| b.key) {
            Ok(at) => page[at] = block,
            Err(at) => page.insert(at, block),
        }
        self.note(block);
        block
    }

    fn note(&mut self, block: Block) {
        let set = &mut self.jumps[block.key.hash()];
        *set = [block, set[0]];
    }

    /// Drops the blocks whose bytes a store has hit.
    pub(crate) fn drop_stale(&mut self, stale: &[StaleCode], memory: &mut Memory) {
        for hit in stale {
            let number = hit.page / PAGE_SIZE;
            let Some(blocks) = self.pages.get_mut(&number) else {
                memory.clear_code(hit.page, u64::MAX);
                continue;
            };
            let jumps = &mut self.jumps;
            let mut held = 0;
            blocks.retain(|block| {
                let lines = line_mask(block.key.offset(), block.bytes.into());
                let keep = lines & hit.lines == 0;
                if keep {
                    held |= lines;
                } else {
                    jumps[block.key.hash()]
                        .iter_mut()
                        .filter(|slot| slot.key == block.key)
                        .for_each(|slot| *slot = NOTHING);
                }
                keep
            });
            if blocks.is_empty() {
                self.pages.remove(&number);
            }
            memory.clear_code(hit.page, !held);
        }
    }

    /// Drops every block.
    pub fn drop_all(&mut self, memory: &mut Memory) {
        for page in self.pages.keys() {
            memory.clear_code(page * PAGE_SIZE, u64::MAX);
        }
        self.pages.clear();
        self.ops.clear();
        self.jumps.fill([NOTHING; 2]);
    }
}

/// Blocks name ranges that exist; out of line, so that the check costs a branch and no more.
#[cold]
fn nothing() -> &'static [Op] {
    &[]
}

const _: () = assert!(PAGE_SIZE / LINE_SIZE == 64, "a page's lines fill one word");
