//! Looking at guest memory by linear address from outside: no accessed bits, no faults, no effect.

use crate::state::{Cr0, Cr4, Vcpu};
use lockstep_fabric::Bus;

impl Vcpu {
    /// Reads bytes at a linear address as code, up to the first that is not mapped; returns how many.
    pub fn peek_code(&self, bus: &Bus, linear: u64, into: &mut [u8]) -> usize {
        for (i, byte) in into.iter_mut().enumerate() {
            let Some(physical) = self.peek_address(bus, linear.wrapping_add(i as u64)) else { return i };
            bus.memory.read_bytes(physical, std::slice::from_mut(byte));
        }
        into.len()
    }

    /// Physical address of a linear one by the page tables as they are now; `None` if it is not mapped.
    pub fn peek_address(&self, bus: &Bus, linear: u64) -> Option<u64> {
        if !self.cr0.contains(Cr0::PG) {
            return Some(if self.code64() { linear } else { linear & 0xffff_ffff });
        }
        let pae = self.cr4.contains(Cr4::PAE);
        let (size, bits) = if pae { (8, 9) } else { (4, 10) };
        let levels = match (pae, self.long_mode(), self.cr4.contains(Cr4::LA57)) {
            (false, ..) => 2,
            (true, false, _) => 3,
            (true, true, false) => 4,
            (true, true, true) => 5,
        };
        let linear = if self.long_mode() { linear } else { linear & 0xffff_ffff };
        let mut table = if pae && !self.long_mode() { self.cr3 & !31 } else { self.cr3 & 0x000f_ffff_ffff_f000 };
        for level in (0..levels).rev() {
            let shift = 12 + bits * level;
            let mut bytes = [0; 8];
            bus.memory.read_bytes(table + size * (linear >> shift & ((1 << bits) - 1)), &mut bytes[..size as usize]);
            let entry = u64::from_le_bytes(bytes);
            if entry & 1 == 0 {
                return None;
            }
            let pdpte = pae && !self.long_mode() && level == 2;
            if level == 0 || level < 3 && entry & 1 << 7 != 0 && !pdpte {
                let offset = (1u64 << shift) - 1;
                let base = entry & 0x000f_ffff_ffff_f000 & !offset;
                let high = if !pae && level == 1 { (entry >> 13 & 0xff) << 32 } else { 0 };
                let base = if pae { base } else { base & 0xffff_ffff | high };
                return Some(base | linear & offset);
            }
            table = entry & 0x000f_ffff_ffff_f000;
        }
        None
    }
}
