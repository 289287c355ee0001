//! Virtqueues: what the driver sets up, and the device's side of the ring in guest memory.
//!
//! All that lies in the rings is the guest's to fill. A walk goes through no more descriptors than there are, and what
//! makes no sense is a [`RingError`], by which the device stops until it is reset.

mod chain;
mod packed;
mod split;

pub use chain::{Chain, DESCRIPTORS_MAX, Segment};

use bitflags::bitflags;
use lockstep_fabric::Cx;
use packed::Packed;
use serde::{Deserialize, Serialize};
use split::Split;
use std::collections::VecDeque;
use thiserror::Error;

/// The most entries in a queue.
pub const QUEUE_SIZE_MAX: u16 = 1024;

/// What is wrong with a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RingError {
    /// An index lies beyond what there is.
    #[error("an index lies beyond the ring")]
    Index,
    /// A buffer's descriptors go in circles.
    #[error("a buffer's descriptors go in circles")]
    Loop,
    /// What the device reads comes after what it writes.
    #[error("a descriptor to be read comes after one to be written")]
    Order,
    /// A table of descriptors was not negotiated, lies in another, or has a length that no table has.
    #[error("a table of descriptors where none can be")]
    Table,
    /// More descriptors than a buffer may have.
    #[error("too many descriptors in one buffer")]
    TooLong,
    /// More buffers are out than the ring has room for.
    #[error("more buffers than the ring has room for")]
    TooMany,
}

bitflags! {
    /// What was negotiated about rings.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    pub struct RingFeatures: u8 {
        /// Buffers may be described by tables of their own.
        const INDIRECT = 1 << 0;
        /// Either side tells at which entry it wants to be told.
        const EVENT_IDX = 1 << 1;
        /// One ring in place of three areas.
        const PACKED = 1 << 2;
        /// Buffers are used in the order in which they were made available.
        const IN_ORDER = 1 << 3;
    }
}

/// Where a ring lies, and how many entries it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Areas {
    pub(super) size: u16,
    /// The descriptors.
    pub(super) descriptors: u64,
    /// What the driver writes: the available ring, or its event suppression.
    pub(super) driver: u64,
    /// What the device writes: the used ring, or its event suppression.
    pub(super) device: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Ring {
    Split(Split),
    Packed(Packed),
}

/// A buffer that was taken while an earlier one may still be out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Outstanding {
    id: u16,
    slots: u16,
    /// The bytes written, once the device is done with it.
    done: Option<u32>,
}

/// One virtqueue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Queue {
    /// The size that the device offers.
    max_size: u16,
    pub(super) areas: Areas,
    pub(super) enabled: bool,
    /// Its MSI-X vector.
    pub(super) vector: u16,
    ring: Ring,
    features: RingFeatures,
    /// Places of the ring used since the driver's wish for an interrupt was last looked at.
    news: u16,
    /// Buffers that the device has and did not give back.
    out: u16,
    /// With [`RingFeatures::IN_ORDER`]: all buffers that are out, in the order of taking.
    outstanding: VecDeque<Outstanding>,
}

impl Queue {
    pub(super) fn new(max_size: u16) -> Self {
        Self {
            max_size,
            areas: Areas { size: max_size, ..Areas::default() },
            enabled: false,
            vector: super::NO_VECTOR,
            ring: Ring::Split(Split::default()),
            features: RingFeatures::empty(),
            news: 0,
            out: 0,
            outstanding: VecDeque::new(),
        }
    }

    pub(super) fn reset(&mut self) {
        *self = Self::new(self.max_size);
    }

    pub(super) fn max_size(&self) -> u16 {
        self.max_size
    }

    /// Starts the ring where the driver put it; false if it cannot be of the size that the driver chose.
    pub(super) fn enable(&mut self, features: RingFeatures) -> bool {
        let size = self.areas.size;
        let packed = features.contains(RingFeatures::PACKED);
        if size == 0 || size > self.max_size || !packed && !size.is_power_of_two() {
            return false;
        }
        self.ring = if packed { Ring::Packed(Packed::default()) } else { Ring::Split(Split::default()) };
        self.features = features;
        (self.news, self.out) = (0, 0);
        self.outstanding.clear();
        self.enabled = true;
        true
    }

    /// Takes the next buffer that the driver made available.
    pub(super) fn pop(&mut self, cx: &mut Cx<'_>) -> Result<Option<Chain>, RingError> {
        if !self.enabled {
            return Ok(None);
        }
        let chain = match &mut self.ring {
            Ring::Split(ring) => ring.pop(cx, &self.areas, self.features)?,
            Ring::Packed(ring) => ring.pop(cx, &self.areas, self.features)?,
        };
        if let Some(chain) = &chain {
            if self.out >= self.areas.size {
                return Err(RingError::TooMany);
            }
            self.out += 1;
            if self.features.contains(RingFeatures::IN_ORDER) {
                self.outstanding.push_back(Outstanding { id: chain.id, slots: chain.slots, done: None });
            }
        }
        Ok(chain)
    }

    /// Gives a buffer back with so many bytes written to it.
    pub(super) fn push(&mut self, cx: &mut Cx<'_>, chain: &Chain, written: u32) {
        if !self.enabled {
            return;
        }
        self.out = self.out.saturating_sub(1);
        if !self.features.contains(RingFeatures::IN_ORDER) {
            return self.put(cx, chain.id, chain.slots, written);
        }
        if let Some(out) = self.outstanding.iter_mut().find(|o| o.id == chain.id && o.done.is_none()) {
            out.done = Some(written);
        }
        while let Some(&Outstanding { id, slots, done: Some(written) }) = self.outstanding.front() {
            self.outstanding.pop_front();
            self.put(cx, id, slots, written);
        }
    }

    fn put(&mut self, cx: &mut Cx<'_>, id: u16, slots: u16, written: u32) {
        match &mut self.ring {
            Ring::Split(ring) => ring.push(cx, &self.areas, id, written),
            Ring::Packed(ring) => ring.push(cx, &self.areas, id, slots, written),
        }
        self.news = self.news.saturating_add(slots);
    }

    /// Whether the driver wants an interrupt for what was given back since last asked.
    pub(super) fn take_news(&mut self, cx: &mut Cx<'_>) -> bool {
        let news = std::mem::take(&mut self.news);
        if news == 0 || !self.enabled {
            return false;
        }
        match &self.ring {
            Ring::Split(ring) => ring.wants_interrupt(cx, &self.areas, self.features, news),
            Ring::Packed(ring) => ring.wants_interrupt(cx, &self.areas, self.features, news),
        }
    }
}

/// Whether the entry `event` is among the last `news` before `next` (section 2.7.10).
fn interrupt_due(event: u16, next: u16, news: u16) -> bool {
    next.wrapping_sub(event).wrapping_sub(1) < news
}

fn get_u16(cx: &mut Cx<'_>, base: u64, offset: u64) -> u16 {
    let mut bytes = [0; 2];
    cx.dma_read(base.wrapping_add(offset), &mut bytes);
    u16::from_le_bytes(bytes)
}

fn put_u16(cx: &mut Cx<'_>, base: u64, offset: u64, value: u16) {
    cx.dma_write(base.wrapping_add(offset), &value.to_le_bytes());
}
