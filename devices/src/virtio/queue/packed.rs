//! Packed rings (Virtual I/O Device 1.2, section 2.8): one ring of descriptors that both sides write, each with a wrap
//! counter to tell the new from the old.

use super::chain::{DESCRIPTOR_LEN, Descriptor, INDIRECT, NEXT, WRITE};
use super::{Areas, Chain, RingError, RingFeatures, get_u16, interrupt_due, put_u16};
use lockstep_fabric::Cx;
use serde::{Deserialize, Serialize};

const AVAIL: u16 = 1 << 7;
const USED: u16 = 1 << 15;

/// Offset of the flags in a descriptor, which are written last.
const FLAGS: u64 = 14;

const EVENT_FLAGS: u64 = 2;
const EVENT_ENABLE: u16 = 0;
const EVENT_DISABLE: u16 = 1;
const EVENT_WRAP: u16 = 1 << 15;

/// A place in the ring, and the wrap counter there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    slot: u16,
    wrap: bool,
}

impl Place {
    fn advance(&mut self, by: u16, size: u16) {
        let next = u32::from(self.slot) + u32::from(by);
        if next >= size.into() {
            self.wrap = !self.wrap;
        }
        self.slot = (next % u32::from(size.max(1))) as u16;
    }
}

/// Where the device is in a packed ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Packed {
    /// The next descriptor to take.
    avail: Place,
    /// The next descriptor to write.
    used: Place,
}

impl Default for Packed {
    fn default() -> Self {
        let start = Place { slot: 0, wrap: true };
        Self { avail: start, used: start }
    }
}

impl Packed {
    pub(super) fn pop(
        &mut self,
        cx: &mut Cx<'_>,
        at: &Areas,
        features: RingFeatures,
    ) -> Result<Option<Chain>, RingError> {
        let first = Descriptor::fetch(cx, at.descriptors, self.avail.slot.into());
        let (avail, used) = (first.fourth & AVAIL != 0, first.fourth & USED != 0);
        if avail != self.avail.wrap || used == self.avail.wrap {
            return Ok(None);
        }
        let mut chain = Chain::default();
        let mut descriptor = first;
        loop {
            let flags = descriptor.fourth;
            chain.slots += 1;
            chain.id = descriptor.third;
            if flags & INDIRECT != 0 {
                if !features.contains(RingFeatures::INDIRECT) {
                    return Err(RingError::Table);
                }
                walk_table(cx, descriptor, &mut chain)?;
            } else {
                chain.add(descriptor, flags & WRITE != 0)?;
            }
            if flags & NEXT == 0 {
                break;
            }
            if chain.slots >= at.size {
                return Err(RingError::Loop);
            }
            let next = (u64::from(self.avail.slot) + u64::from(chain.slots)) % u64::from(at.size);
            descriptor = Descriptor::fetch(cx, at.descriptors, next);
        }
        self.avail.advance(chain.slots, at.size);
        self.ask_for_notification(cx, at, features);
        Ok(Some(chain))
    }

    /// The driver is to notify of whatever it makes available: nothing else runs while the device works, so there is
    /// nothing to be gained by fewer notifications.
    fn ask_for_notification(&self, cx: &mut Cx<'_>, at: &Areas, features: RingFeatures) {
        if features.contains(RingFeatures::EVENT_IDX) {
            put_u16(cx, at.device, EVENT_FLAGS, EVENT_ENABLE);
        }
    }

    pub(super) fn push(&mut self, cx: &mut Cx<'_>, at: &Areas, id: u16, slots: u16, written: u32) {
        let place = at.descriptors.wrapping_add(DESCRIPTOR_LEN * u64::from(self.used.slot));
        let mut flags = if self.used.wrap { AVAIL | USED } else { 0 };
        if written > 0 {
            flags |= WRITE;
        }
        cx.dma_write(place.wrapping_add(8), &written.to_le_bytes());
        cx.dma_write(place.wrapping_add(12), &id.to_le_bytes());
        put_u16(cx, place, FLAGS, flags);
        self.used.advance(slots, at.size);
    }

    /// `news`: how many places of the ring were used since the driver was last asked.
    pub(super) fn wants_interrupt(&self, cx: &mut Cx<'_>, at: &Areas, features: RingFeatures, news: u16) -> bool {
        match get_u16(cx, at.driver, EVENT_FLAGS) {
            EVENT_DISABLE => false,
            EVENT_ENABLE => true,
            _ if !features.contains(RingFeatures::EVENT_IDX) => true,
            _ => {
                let event = get_u16(cx, at.driver, 0);
                let slot = event & !EVENT_WRAP;
                let same_lap = (event & EVENT_WRAP != 0) == self.used.wrap;
                let slot = if same_lap { slot } else { slot.wrapping_sub(at.size) };
                interrupt_due(slot, self.used.slot, news)
            }
        }
    }
}

/// In a table of its own every descriptor counts, in order, whatever its flags say of a next one.
fn walk_table(cx: &mut Cx<'_>, table: Descriptor, chain: &mut Chain) -> Result<(), RingError> {
    for at in 0..table.table_entries()? {
        let descriptor = Descriptor::fetch(cx, table.address, at);
        if descriptor.fourth & INDIRECT != 0 {
            return Err(RingError::Table);
        }
        chain.add(descriptor, descriptor.fourth & WRITE != 0)?;
    }
    Ok(())
}
