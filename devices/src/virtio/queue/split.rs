//! Split rings (Virtual I/O Device 1.2, section 2.7): a table of descriptors, a ring of what the driver made available,
//! and a ring of what the device used.

use super::chain::{Descriptor, INDIRECT, NEXT, WRITE};
use super::{Areas, Chain, RingError, RingFeatures, get_u16, interrupt_due, put_u16};
use lockstep_fabric::Cx;
use serde::{Deserialize, Serialize};

const AVAIL_IDX: u64 = 2;
const AVAIL_RING: u64 = 4;
const AVAIL_NO_INTERRUPT: u16 = 1;
const USED_IDX: u64 = 2;
const USED_RING: u64 = 4;
const USED_ENTRY: u64 = 8;

/// Where the device is in a split ring.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Split {
    /// The next available entry to take.
    avail: u16,
    /// The next used entry to write.
    used: u16,
}

impl Split {
    pub(super) fn pop(
        &mut self,
        cx: &mut Cx<'_>,
        at: &Areas,
        features: RingFeatures,
    ) -> Result<Option<Chain>, RingError> {
        let ahead = get_u16(cx, at.driver, AVAIL_IDX).wrapping_sub(self.avail);
        if ahead == 0 {
            return Ok(None);
        }
        if ahead > at.size {
            return Err(RingError::Index);
        }
        let head = get_u16(cx, at.driver, AVAIL_RING + 2 * u64::from(self.avail % at.size));
        self.avail = self.avail.wrapping_add(1);
        self.ask_for_notification(cx, at, features);
        walk(cx, at, features, head).map(Some)
    }

    /// The driver is to notify of the next entry that it makes available.
    fn ask_for_notification(&self, cx: &mut Cx<'_>, at: &Areas, features: RingFeatures) {
        if features.contains(RingFeatures::EVENT_IDX) {
            put_u16(cx, at.device, USED_RING + USED_ENTRY * u64::from(at.size), self.avail);
        }
    }

    pub(super) fn push(&mut self, cx: &mut Cx<'_>, at: &Areas, id: u16, written: u32) {
        let entry = u64::from(id) | u64::from(written) << 32;
        let place = USED_RING + USED_ENTRY * u64::from(self.used % at.size);
        cx.dma_write(at.device.wrapping_add(place), &entry.to_le_bytes());
        self.used = self.used.wrapping_add(1);
        put_u16(cx, at.device, USED_IDX, self.used);
    }

    pub(super) fn wants_interrupt(&self, cx: &mut Cx<'_>, at: &Areas, features: RingFeatures, news: u16) -> bool {
        if features.contains(RingFeatures::EVENT_IDX) {
            let event = get_u16(cx, at.driver, AVAIL_RING + 2 * u64::from(at.size));
            interrupt_due(event, self.used, news)
        } else {
            get_u16(cx, at.driver, 0) & AVAIL_NO_INTERRUPT == 0
        }
    }
}

/// Follows a buffer's descriptors, through no more of them than the table has.
fn walk(cx: &mut Cx<'_>, at: &Areas, features: RingFeatures, head: u16) -> Result<Chain, RingError> {
    if head >= at.size {
        return Err(RingError::Index);
    }
    let mut chain = Chain { id: head, slots: 1, ..Chain::default() };
    let (mut table, mut entries) = (at.descriptors, u64::from(at.size));
    let (mut next, mut walked, mut indirect) = (u64::from(head), 0, false);
    loop {
        if next >= entries {
            return Err(RingError::Index);
        }
        if walked >= entries {
            return Err(RingError::Loop);
        }
        let descriptor = Descriptor::fetch(cx, table, next);
        let flags = descriptor.third;
        walked += 1;
        if flags & INDIRECT != 0 {
            if indirect || !features.contains(RingFeatures::INDIRECT) {
                return Err(RingError::Table);
            }
            (table, entries) = (descriptor.address, descriptor.table_entries()?);
            (next, walked, indirect) = (0, 0, true);
            continue;
        }
        chain.add(descriptor, flags & WRITE != 0)?;
        if flags & NEXT == 0 {
            return Ok(chain);
        }
        next = descriptor.fourth.into();
    }
}
