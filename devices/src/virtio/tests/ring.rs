//! The driver's side of a ring.

use super::guest::Guest;
use crate::virtio::Feature;
use lockstep_fabric::Width;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
const AVAIL: u16 = 1 << 7;
const USED: u16 = 1 << 15;

/// A part of a buffer: where, how long.
pub(super) type Part = (u64, u32);

#[derive(Clone)]
pub(super) struct GuestRing {
    pub(super) descriptors: u64,
    pub(super) driver: u64,
    pub(super) device: u64,
    pub(super) size: u16,
    pub(super) queue: u16,
    packed: bool,
    indirect: bool,
    /// The next descriptor or entry to make available, and to look at for a used one.
    next: u16,
    seen: u16,
    next_wrap: bool,
    seen_wrap: bool,
    /// In a packed ring: how many places each buffer takes.
    slots: Vec<u16>,
    next_id: u16,
}

impl GuestRing {
    pub(super) fn new(guest: &mut Guest, queue: u16, size: u16, features: Feature) -> Self {
        let packed = features.contains(Feature::RING_PACKED);
        let areas = u64::from(size) * 16;
        Self {
            descriptors: guest.allocate(areas.max(512)),
            driver: guest.allocate(areas.max(512)),
            device: guest.allocate(areas.max(512)),
            size,
            queue,
            packed,
            indirect: features.contains(Feature::INDIRECT_DESC),
            next: 0,
            seen: 0,
            next_wrap: true,
            seen_wrap: true,
            slots: vec![1; size.into()],
            next_id: 0,
        }
    }

    /// The same with a legacy device's layout.
    pub(super) fn legacy(guest: &mut Guest, queue: u16, size: u16) -> Self {
        let descriptors = guest.allocate(3 * 4096);
        let driver = descriptors + 16 * u64::from(size);
        let device = (driver + 6 + 2 * u64::from(size)).next_multiple_of(4096);
        let ring = Self::new(guest, queue, size, Feature::empty());
        Self { descriptors, driver, device, ..ring }
    }

    fn descriptor(&self, guest: &mut Guest, table: u64, at: u16, part: Part, third: u16, fourth: u16) {
        let at = table + 16 * u64::from(at);
        let raw = u128::from(part.0) | u128::from(part.1) << 64 | u128::from(third) << 96 | u128::from(fourth) << 112;
        guest.fill(at, &raw.to_le_bytes());
    }

    /// Makes a buffer available; what the used entry will call it.
    pub(super) fn add(&mut self, guest: &mut Guest, readable: &[Part], writable: &[Part]) -> u16 {
        let read = readable.iter().map(|p| (*p, 0));
        let parts: Vec<_> = read.chain(writable.iter().map(|p| (*p, WRITE))).collect();
        if self.indirect {
            let table = guest.allocate(16 * parts.len() as u64);
            for (at, (part, flags)) in parts.iter().enumerate() {
                let at = at as u16;
                let next = if usize::from(at) + 1 < parts.len() { NEXT } else { 0 };
                let (third, fourth) = if self.packed { (0, *flags) } else { (flags | next, at + 1) };
                self.descriptor(guest, table, at, *part, third, fourth);
            }
            self.publish(guest, &[((table, 16 * parts.len() as u32), INDIRECT)])
        } else {
            self.publish(guest, &parts)
        }
    }

    fn publish(&mut self, guest: &mut Guest, parts: &[(Part, u16)]) -> u16 {
        let last = parts.len() - 1;
        if self.packed {
            let id = self.next_id;
            self.next_id = (self.next_id + 1) % self.size;
            self.slots[usize::from(id)] = parts.len() as u16;
            for (n, (part, flags)) in parts.iter().enumerate() {
                let lap = if self.next_wrap { AVAIL } else { USED };
                let next = if n < last { NEXT } else { 0 };
                self.descriptor(guest, self.descriptors, self.next, *part, id, flags | next | lap);
                self.next += 1;
                if self.next == self.size {
                    (self.next, self.next_wrap) = (0, !self.next_wrap);
                }
            }
            return id;
        }
        let head = self.next_id;
        for (n, (part, flags)) in parts.iter().enumerate() {
            let at = self.next_id;
            self.next_id = (self.next_id + 1) % self.size;
            let next = if n < last { NEXT } else { 0 };
            self.descriptor(guest, self.descriptors, at, *part, flags | next, self.next_id);
        }
        guest.store(self.driver + 4 + 2 * u64::from(self.next % self.size), Width::Word, head.into());
        self.next = self.next.wrapping_add(1);
        guest.store(self.driver + 2, Width::Word, self.next.into());
        head
    }

    /// Makes a buffer available and notifies.
    pub(super) fn send(&mut self, guest: &mut Guest, readable: &[Part], writable: &[Part]) -> u16 {
        let id = self.add(guest, readable, writable);
        guest.notify(self.queue);
        id
    }

    /// Takes the next used buffer: what it is called, and how much was written.
    pub(super) fn used(&mut self, guest: &mut Guest) -> Option<(u16, u32)> {
        if self.packed {
            let at = self.descriptors + 16 * u64::from(self.seen);
            let raw = u128::from(guest.load(at, Width::Qword)) | u128::from(guest.load(at + 8, Width::Qword)) << 64;
            let (len, id, flags) = ((raw >> 64) as u32, (raw >> 96) as u16, (raw >> 112) as u16);
            let wrap = (flags & AVAIL != 0, flags & USED != 0);
            if wrap != (self.seen_wrap, self.seen_wrap) {
                return None;
            }
            self.seen += self.slots[usize::from(id)];
            if self.seen >= self.size {
                (self.seen, self.seen_wrap) = (self.seen - self.size, !self.seen_wrap);
            }
            return Some((id, len));
        }
        if guest.load(self.device + 2, Width::Word) as u16 == self.seen {
            return None;
        }
        let entry = guest.load(self.device + 4 + 8 * u64::from(self.seen % self.size), Width::Qword);
        self.seen = self.seen.wrapping_add(1);
        Some((entry as u16, (entry >> 32) as u32))
    }

    pub(super) fn all_used(&mut self, guest: &mut Guest) -> Vec<(u16, u32)> {
        std::iter::from_fn(|| self.used(guest)).collect()
    }

    /// With the event index: asks for an interrupt once the used entry of this number is there.
    pub(super) fn ask_for_interrupt_at(&self, guest: &mut Guest, event: u16) {
        if self.packed {
            guest.store(self.driver, Width::Word, u64::from(event) | 1 << 15);
            guest.store(self.driver + 2, Width::Word, 2);
        } else {
            guest.store(self.driver + 4 + 2 * u64::from(self.size), Width::Word, event.into());
        }
    }
}
