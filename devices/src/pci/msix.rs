//! MSI-X (PCI Local Bus 3.0, section 6.8.2): the capability, the table of vectors and the pending bits, both in one
//! base address register's memory.

use super::config::{Bar, BarKind, ConfigSpace};
use lockstep_fabric::{Cx, Width};
use serde::{Deserialize, Serialize};

/// The most vectors that a function can have.
pub const VECTORS_MAX: u16 = 2048;

const CAPABILITY_ID: u8 = 0x11;
const MESSAGE_CONTROL: u16 = 2;
const CONTROL_ENABLE: u16 = 1 << 15;
const CONTROL_FUNCTION_MASK: u16 = 1 << 14;

const ENTRY_LEN: u64 = 16;
const VECTOR_MASKED: u32 = 1;
const SMALLEST_BAR: u64 = 4096;

/// A vector: where its message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    address: u64,
    data: u32,
    /// Vector control.
    control: u32,
    pending: bool,
}

const AFTER_RESET: Entry = Entry { address: 0, data: 0, control: VECTOR_MASKED, pending: false };

/// A function's message-signalled interrupts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MsiX {
    /// Offset of the capability.
    capability: u16,
    /// Offset of the pending bits in the region.
    pba: u64,
    entries: Vec<Entry>,
}

impl MsiX {
    /// Adds the capability and base address register `bar`, which places the device's region of the same number.
    /// `None` if there are no vectors, too many, or no room for the capability.
    pub fn new(config: &mut ConfigSpace, bar: u8, vectors: u16) -> Option<Self> {
        if vectors == 0 || vectors > VECTORS_MAX {
            return None;
        }
        let len = Self::region_len(vectors);
        let pba = len / 2;
        let mut body = Vec::with_capacity(10);
        body.extend_from_slice(&(vectors - 1).to_le_bytes());
        body.extend_from_slice(&u32::from(bar).to_le_bytes());
        body.extend_from_slice(&(pba as u32 | u32::from(bar)).to_le_bytes());
        let writable = (CONTROL_ENABLE | CONTROL_FUNCTION_MASK).to_le_bytes();
        let capability = config.add_capability(CAPABILITY_ID, &body, &writable)?;
        let kind = BarKind::Memory32 { prefetchable: false };
        config.define_bar(bar.into(), Bar { kind, size: len, region: bar });
        Some(Self { capability, pba, entries: vec![AFTER_RESET; vectors.into()] })
    }

    /// Length of the region with the table, in its first half, and the pending bits.
    pub fn region_len(vectors: u16) -> u64 {
        (u64::from(vectors) * ENTRY_LEN * 2).next_power_of_two().max(SMALLEST_BAR)
    }

    /// How many vectors there are.
    pub fn vectors(&self) -> u16 {
        self.entries.len() as u16
    }

    /// Whether the guest has chosen MSI-X over INTx#.
    pub fn enabled(&self, config: &ConfigSpace) -> bool {
        self.control(config) & CONTROL_ENABLE != 0
    }

    fn control(&self, config: &ConfigSpace) -> u16 {
        config.word(self.capability + MESSAGE_CONTROL)
    }

    /// Returns to the state after a reset; configuration space is reset by its owner.
    pub fn reset(&mut self) {
        self.entries.fill(AFTER_RESET);
    }

    /// Sends a vector's message, or keeps it pending while the vector or the function is masked. Nothing happens while
    /// MSI-X is off.
    pub fn raise(&mut self, cx: &mut Cx<'_>, config: &ConfigSpace, vector: u16) {
        let control = self.control(config);
        let Some(entry) = self.entries.get_mut(usize::from(vector)) else { return };
        if control & CONTROL_ENABLE == 0 {
            return;
        }
        if control & CONTROL_FUNCTION_MASK != 0 || entry.control & VECTOR_MASKED != 0 {
            entry.pending = true;
        } else {
            entry.pending = false;
            cx.send_msi(entry.address, entry.data);
        }
    }

    /// Sends what is pending and no longer masked; to be called after a guest wrote configuration space.
    pub fn update(&mut self, cx: &mut Cx<'_>, config: &ConfigSpace) {
        for vector in 0..self.vectors() {
            if self.entries[usize::from(vector)].pending {
                self.raise(cx, config, vector);
            }
        }
    }

    fn dword(&self, offset: u64) -> u32 {
        if offset >= self.pba {
            let first = (offset - self.pba) * 8;
            let bits = self.entries.iter().skip(first as usize).take(32).enumerate();
            return bits.fold(0, |dword, (bit, entry)| dword | u32::from(entry.pending) << bit);
        }
        let Some(entry) = self.entries.get((offset / ENTRY_LEN) as usize) else { return 0 };
        match offset % ENTRY_LEN / 4 {
            0 => entry.address as u32,
            1 => (entry.address >> 32) as u32,
            2 => entry.data,
            _ => entry.control,
        }
    }

    /// Reads the table or the pending bits, at most four bytes.
    pub fn read(&self, offset: u64, width: Width) -> u64 {
        let dword = u64::from(self.dword(offset & !3));
        dword >> (8 * (offset & 3)) & width.mask()
    }

    /// Writes the table, four bytes at a time as the specification asks; the pending bits are read-only.
    pub fn write(&mut self, cx: &mut Cx<'_>, config: &ConfigSpace, offset: u64, width: Width, value: u64) {
        let vector = offset / ENTRY_LEN;
        if width < Width::Dword || offset & 3 != 0 || offset >= self.pba {
            return;
        }
        let Some(entry) = self.entries.get_mut(vector as usize) else { return };
        let value = value as u32;
        match offset % ENTRY_LEN / 4 {
            0 => entry.address = entry.address & !0xffff_ffff | u64::from(value & !3),
            1 => entry.address = entry.address & 0xffff_ffff | u64::from(value) << 32,
            2 => entry.data = value,
            _ => {
                entry.control = value & VECTOR_MASKED;
                if entry.pending {
                    self.raise(cx, config, vector as u16);
                }
            }
        }
    }
}
