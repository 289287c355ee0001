//! Page walks (SDM volume 3, chapter 4): 32-bit, PAE, 4-level and 5-level paging.

use crate::fault::Fault;
use crate::state::{Cr0, Cr4, Efer, Vcpu};
use lockstep_fabric::{Bus, Space, Width};

/// What an access wants of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Read,
    Write,
    Fetch,
}

/// Who accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    /// At CPL 3, and not an implicit supervisor access.
    pub(crate) user: bool,
    /// Supervisor accesses to user pages are allowed although SMAP is on (RFLAGS.AC).
    pub(crate) smap_lifted: bool,
}

/// A translation found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Translation {
    /// Physical address of the 4-KiB page.
    pub(crate) frame: u64,
    /// Stores may be cached: allowed, and the dirty bit is set.
    pub(crate) writable: bool,
    /// Mapped by a page larger than 4 KiB.
    pub(crate) large: bool,
}

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;

const ERROR_PROTECTION: u16 = 1 << 0;
const ERROR_WRITE: u16 = 1 << 1;
const ERROR_USER: u16 = 1 << 2;
const ERROR_RESERVED: u16 = 1 << 3;
const ERROR_FETCH: u16 = 1 << 4;

/// One table's geometry.
struct Level {
    /// Lowest linear-address bit of its index.
    shift: u32,
    /// Bits of its index.
    bits: u32,
}

const FIVE_LEVELS: [Level; 5] = [
    Level { shift: 48, bits: 9 },
    Level { shift: 39, bits: 9 },
    Level { shift: 30, bits: 9 },
    Level { shift: 21, bits: 9 },
    Level { shift: 12, bits: 9 },
];
const TWO_LEVELS: [Level; 2] = [Level { shift: 22, bits: 10 }, Level { shift: 12, bits: 10 }];

impl Vcpu {
    /// Translates a linear address, setting accessed and dirty bits. Costs no time.
    pub(crate) fn walk(&mut self, bus: &mut Bus, linear: u64, want: Want, who: Who) -> Result<Translation, Fault> {
        if !self.cr0.contains(Cr0::PG) {
            let linear = if self.code64() { linear } else { linear & 0xffff_ffff };
            return Ok(Translation { frame: linear & !0xfff, writable: true, large: false });
        }
        let pae = self.cr4.contains(Cr4::PAE);
        let result = if pae { self.walk_pae(bus, linear, want, who) } else { self.walk_32(bus, linear, want, who) };
        result.map_err(|error| {
            self.fault_address = linear;
            let nx = self.efer.contains(Efer::NXE) && pae || self.cr4.contains(Cr4::SMEP);
            let fetch = if want == Want::Fetch && nx { ERROR_FETCH } else { 0 };
            let write = if want == Want::Write { ERROR_WRITE } else { 0 };
            let user = if who.user { ERROR_USER } else { 0 };
            Fault::pf(error | fetch | write | user)
        })
    }

    fn walk_pae(&mut self, bus: &mut Bus, linear: u64, want: Want, who: Who) -> Result<Translation, u16> {
        let long = self.long_mode();
        let levels = match (long, self.cr4.contains(Cr4::LA57)) {
            (true, true) => &FIVE_LEVELS[..],
            (true, false) => &FIVE_LEVELS[1..],
            (false, _) => &FIVE_LEVELS[2..],
        };
        let reserved_high = !(u64::MAX >> (64 - self.model.physical_bits)) & 0x000f_ffff_ffff_ffff;
        let no_execute = self.efer.contains(Efer::NXE);
        let mut table = self.cr3 & if long { 0x000f_ffff_ffff_f000 } else { 0xffff_ffe0 };
        let mut rights = WRITABLE | USER;
        let mut executable = true;
        for level in levels {
            let index = linear >> level.shift & ((1 << level.bits) - 1);
            let pdpte = !long && level.shift == 30;
            let at = table + 8 * (if pdpte { index & 3 } else { index });
            let entry = read_entry(bus, at, 8);
            if entry & PRESENT == 0 {
                return Err(0);
            }
            let mut reserved = reserved_high;
            if !no_execute {
                reserved |= NO_EXECUTE;
            }
            if !long {
                reserved |= 0x7ff0_0000_0000_0000;
            }
            if pdpte {
                // The four PDPTEs carry no rights (SDM volume 3, table 4-8).
                if entry & (reserved | NO_EXECUTE | 0x1e6) != 0 {
                    return Err(ERROR_PROTECTION | ERROR_RESERVED);
                }
                table = entry & 0x000f_ffff_ffff_f000;
                continue;
            }
            let last = level.shift == 12;
            let large = !last && entry & LARGE != 0;
            let huge_allowed = level.shift == 21 || level.shift == 30 && self.model.huge_pages();
            if large && !huge_allowed {
                reserved |= LARGE;
            } else if large {
                reserved |= ((1 << level.shift) - 1) & !0x1fff;
            }
            if entry & reserved != 0 {
                return Err(ERROR_PROTECTION | ERROR_RESERVED);
            }
            rights &= entry;
            executable &= entry & NO_EXECUTE == 0;
            if last || large {
                let writable = self.check(rights, executable, want, who)?;
                let dirty = if want == Want::Write { DIRTY } else { 0 };
                set_bits(bus, at, 8, entry, ACCESSED | dirty);
                let offset = linear & ((1 << level.shift) - 1);
                let base = entry & 0x000f_ffff_ffff_f000 & !((1u64 << level.shift) - 1);
                return Ok(Translation {
                    frame: (base | offset) & !0xfff,
                    writable: writable && (entry | dirty) & DIRTY != 0,
                    large,
                });
            }
            set_bits(bus, at, 8, entry, ACCESSED);
            table = entry & 0x000f_ffff_ffff_f000;
        }
        Err(0)
    }

    fn walk_32(&mut self, bus: &mut Bus, linear: u64, want: Want, who: Who) -> Result<Translation, u16> {
        let mut table = self.cr3 & 0xffff_f000;
        let mut rights = WRITABLE | USER;
        for level in &TWO_LEVELS {
            let at = table + 4 * (linear >> level.shift & ((1 << level.bits) - 1));
            let entry = read_entry(bus, at, 4);
            if entry & PRESENT == 0 {
                return Err(0);
            }
            let last = level.shift == 12;
            let large = !last && entry & LARGE != 0 && self.cr4.contains(Cr4::PSE);
            rights &= entry;
            if large && entry & 1 << 21 != 0 {
                return Err(ERROR_PROTECTION | ERROR_RESERVED);
            }
            if last || large {
                let writable = self.check(rights, true, want, who)?;
                let dirty = if want == Want::Write { DIRTY } else { 0 };
                set_bits(bus, at, 4, entry, ACCESSED | dirty);
                let frame = if large {
                    // PSE-36: bits 13..=20 are address bits 32..=39.
                    (entry & 0xffc0_0000) | (entry >> 13 & 0xff) << 32 | (linear & 0x3f_f000)
                } else {
                    entry & 0xffff_f000
                };
                return Ok(Translation { frame, writable: writable && (entry | dirty) & DIRTY != 0, large });
            }
            set_bits(bus, at, 4, entry, ACCESSED);
            table = entry & 0xffff_f000;
        }
        Err(0)
    }

    /// Checks rights (SDM volume 3, section 4.6); says whether stores by the same accessor are allowed.
    fn check(&self, rights: u64, executable: bool, want: Want, who: Who) -> Result<bool, u16> {
        let user_page = rights & USER != 0;
        let write_protect = self.cr0.contains(Cr0::WP);
        let writable = rights & WRITABLE != 0 || !who.user && !write_protect;
        let blocked_by_smap = !who.user && user_page && self.cr4.contains(Cr4::SMAP) && !who.smap_lifted;
        let allowed = match want {
            Want::Read => (user_page || !who.user) && !blocked_by_smap,
            Want::Write => (user_page || !who.user) && writable && !blocked_by_smap,
            Want::Fetch => {
                let blocked_by_smep = !who.user && user_page && self.cr4.contains(Cr4::SMEP);
                (user_page || !who.user) && executable && !blocked_by_smep
            }
        };
        if allowed { Ok(writable) } else { Err(ERROR_PROTECTION) }
    }
}

fn read_entry(bus: &mut Bus, at: u64, size: u64) -> u64 {
    if let Some(page) = bus.memory.page(at).read {
        let offset = page + (at & 0xfff);
        return if size == 8 { bus.memory.load(offset) } else { bus.memory.load::<u32>(offset).into() };
    }
    let mut bytes = [0; 8];
    bus.memory.read_bytes(at, &mut bytes[..size as usize]);
    u64::from_le_bytes(bytes)
}

fn set_bits(bus: &mut Bus, at: u64, size: u64, entry: u64, bits: u64) {
    if entry & bits == bits {
        return;
    }
    let width = if size == 8 { Width::Qword } else { Width::Dword };
    if let Some(page) = bus.memory.page(at).write {
        let offset = page + (at & 0xfff);
        if width == Width::Qword {
            bus.memory.store_marked(offset, entry | bits);
        } else {
            bus.memory.store_marked(offset, (entry | bits) as u32);
        }
    } else if !matches!(bus.memory.find(at, true), Some((lockstep_fabric::memory::Target::Device(..), _))) {
        // Tables in ROM or in nothing: the update is dropped, as the write would be. A device is not asked.
        let _ = bus.write(Space::Memory, at, width, entry | bits, lockstep_fabric::Cpu(0));
    }
}
