//! Who takes an interrupt message (SDM volume 3, section 11.6.2).

use super::apic::Lapic;
use super::registers::{DeliveryMode, Mode};

/// The destination field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The field, 8 or 32 bits.
    pub id: u32,
    /// A set of logical IDs rather than a physical ID.
    pub logical: bool,
    /// The 32-bit format of an APIC in x2APIC mode.
    pub wide: bool,
}

impl Destination {
    fn broadcast(self) -> bool {
        self.id == if self.wide { u32::MAX } else { 0xff }
    }

    /// Whether the message is for this APIC.
    pub fn names(self, apic: &Lapic) -> bool {
        match (apic.mode(), self.logical) {
            (Mode::Disabled, _) => false,
            (_, false) => self.broadcast() || self.id == apic.id,
            (Mode::X2Apic, true) => self.broadcast() || in_cluster(apic.logical_x2(), self.id, 16),
            (Mode::XApic, true) if self.id > 0xff => self.broadcast(),
            // The model is in the top four bits of DFR: flat when they are ones.
            (Mode::XApic, true) if apic.dfr >> 28 == 0xf => apic.ldr >> 24 & self.id != 0,
            (Mode::XApic, true) => self.broadcast() || in_cluster(apic.ldr >> 24, self.id, 4),
        }
    }
}

/// Whether a logical ID is in a message's set: the same cluster above `width` bits, a common bit below.
fn in_cluster(own: u32, message: u32, width: u32) -> bool {
    own >> width == message >> width && own & message & ((1 << width) - 1) != 0
}

/// The vCPUs that take a message for `destination`.
///
/// Lowest priority goes to the one with the lowest processor priority, the lowest number among equals: real boards
/// leave the choice open, and this one can be repeated.
pub fn receivers(apics: &[Lapic], destination: Destination, mode: DeliveryMode) -> Vec<usize> {
    let named = apics.iter().enumerate().filter(|(_, a)| destination.names(a));
    if mode != DeliveryMode::LowestPriority {
        return named.map(|(i, _)| i).collect();
    }
    named.filter(|(_, a)| a.enabled()).min_by_key(|(_, a)| a.ppr() >> 4).map(|(i, _)| i).into_iter().collect()
}
