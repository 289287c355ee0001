//! Loads and stores by linear address. The common case is one compare and one add.

use super::tlb::{Bank, Entry, LARGE, PAGE_MASK, SLOW};
use super::walk::{Want, Who};
use crate::fault::Fault;
use crate::state::{Pending, Vcpu};
use lockstep_fabric::memory::Word;
use lockstep_fabric::{Bus, Cpu, Space, Width};

/// An integer that instructions work on: 1, 2, 4 or 8 bytes.
pub trait Int: Word + Default {
    /// Width in bits.
    const BITS: u32;
    /// Width in bytes.
    const BYTES: u64 = Self::BITS as u64 / 8;
    /// The low bits of `value`.
    fn truncate(value: u64) -> Self;
    /// Zero-extended.
    fn zero_extend(self) -> u64;
    /// Sign-extended.
    #[inline(always)]
    fn sign_extend(self) -> u64 {
        ((self.zero_extend() << (64 - Self::BITS)) as i64 >> (64 - Self::BITS)) as u64
    }
}

macro_rules! ints {
    ($($t:ty),*) => {$(
        impl Int for $t {
            const BITS: u32 = <$t>::BITS;
            #[inline(always)]
            fn truncate(value: u64) -> Self { value as $t }
            #[inline(always)]
            fn zero_extend(self) -> u64 { self as u64 }
        }
    )*};
}
ints!(u8, u16, u32, u64);

impl Vcpu {
    /// Loads from a linear address, as the current privilege level.
    #[inline(always)]
    pub fn load<T: Int>(&mut self, bus: &mut Bus, linear: u64) -> Result<T, Fault> {
        let entry = self.tlb.entry(self.bank, linear);
        if entry.read == self.tlb.tag(linear.wrapping_add(T::BYTES - 1)) {
            return Ok(bus.memory.load(entry.addend.wrapping_add(linear)));
        }
        self.load_slow(bus, linear, T::BYTES, self.bank).map(T::truncate)
    }

    /// Stores to a linear address, as the current privilege level.
    #[inline(always)]
    pub fn store<T: Int>(&mut self, bus: &mut Bus, linear: u64, value: T) -> Result<(), Fault> {
        let entry = self.tlb.entry(self.bank, linear);
        if entry.write == self.tlb.tag(linear.wrapping_add(T::BYTES - 1)) {
            bus.memory.store_free(entry.addend.wrapping_add(linear), value);
            return Ok(());
        }
        self.store_slow(bus, linear, T::BYTES, value.zero_extend(), self.bank)
    }

    /// Loads, lets `change` compute, stores back. Faults as a write, before `change` runs.
    #[inline(always)]
    pub fn update<T: Int>(
        &mut self,
        bus: &mut Bus,
        linear: u64,
        change: impl FnOnce(&mut Self, T) -> T,
    ) -> Result<(), Fault> {
        let entry = self.tlb.entry(self.bank, linear);
        if entry.write == self.tlb.tag(linear.wrapping_add(T::BYTES - 1)) {
            let at = entry.addend.wrapping_add(linear);
            let new = change(self, bus.memory.load(at));
            bus.memory.store_free(at, new);
            return Ok(());
        }
        self.probe_write(bus, linear, T::BYTES)?;
        let old = self.load_slow(bus, linear, T::BYTES, self.bank).map(T::truncate)?;
        let new = change(self, old);
        self.store_slow(bus, linear, T::BYTES, new.zero_extend(), self.bank)
    }

    /// Loads 16 bytes; unaligned is fine.
    #[inline(always)]
    pub fn load128(&mut self, bus: &mut Bus, linear: u64) -> Result<u128, Fault> {
        let entry = self.tlb.entry(self.bank, linear);
        if entry.read == self.tlb.tag(linear.wrapping_add(15)) {
            return Ok(bus.memory.load(entry.addend.wrapping_add(linear)));
        }
        let low: u64 = self.load_slow(bus, linear, 8, self.bank)?;
        let high: u64 = self.load_slow(bus, linear.wrapping_add(8), 8, self.bank)?;
        Ok(u128::from(low) | u128::from(high) << 64)
    }

    /// Stores 16 bytes; unaligned is fine.
    #[inline(always)]
    pub fn store128(&mut self, bus: &mut Bus, linear: u64, value: u128) -> Result<(), Fault> {
        let entry = self.tlb.entry(self.bank, linear);
        if entry.write == self.tlb.tag(linear.wrapping_add(15)) {
            bus.memory.store_free(entry.addend.wrapping_add(linear), value);
            return Ok(());
        }
        self.probe_write(bus, linear, 16)?;
        self.store_slow(bus, linear, 8, value as u64, self.bank)?;
        self.store_slow(bus, linear.wrapping_add(8), 8, (value >> 64) as u64, self.bank)
    }

    /// Loads ten bytes, an x87 extended value: the low eight and the high two.
    #[inline(always)]
    pub fn load80(&mut self, bus: &mut Bus, linear: u64) -> Result<(u64, u16), Fault> {
        let entry = self.tlb.entry(self.bank, linear);
        if entry.read == self.tlb.tag(linear.wrapping_add(9)) {
            let at = entry.addend.wrapping_add(linear);
            return Ok((bus.memory.load(at), bus.memory.load(at.wrapping_add(8))));
        }
        let low = self.load_slow(bus, linear, 8, self.bank)?;
        let high = self.load_slow(bus, self.wrapped(linear.wrapping_add(8)), 2, self.bank)?;
        Ok((low, high as u16))
    }

    /// Stores ten bytes, an x87 extended value: all or none.
    #[inline(always)]
    pub fn store80(&mut self, bus: &mut Bus, linear: u64, low: u64, high: u16) -> Result<(), Fault> {
        let entry = self.tlb.entry(self.bank, linear);
        if entry.write == self.tlb.tag(linear.wrapping_add(9)) {
            let at = entry.addend.wrapping_add(linear);
            bus.memory.store_free(at, low);
            bus.memory.store_free(at.wrapping_add(8), high);
            return Ok(());
        }
        self.probe_write(bus, linear, 10)?;
        self.store_slow(bus, linear, 8, low, self.bank)?;
        self.store_slow(bus, self.wrapped(linear.wrapping_add(8)), 2, high.into(), self.bank)
    }

    /// Loads as an implicit supervisor access: descriptor tables, task-state segments.
    pub fn load_system<T: Int>(&mut self, bus: &mut Bus, linear: u64) -> Result<T, Fault> {
        let linear = if self.long_mode() { linear } else { linear & 0xffff_ffff };
        let entry = self.tlb.entry(Bank::Supervisor, linear);
        if entry.read == self.tlb.tag(linear.wrapping_add(T::BYTES - 1)) {
            return Ok(bus.memory.load(entry.addend.wrapping_add(linear)));
        }
        self.load_slow(bus, linear, T::BYTES, Bank::Supervisor).map(T::truncate)
    }

    /// Stores as an implicit supervisor access.
    pub fn store_system<T: Int>(&mut self, bus: &mut Bus, linear: u64, value: T) -> Result<(), Fault> {
        let linear = if self.long_mode() { linear } else { linear & 0xffff_ffff };
        self.store_slow(bus, linear, T::BYTES, value.zero_extend(), Bank::Supervisor)
    }

    /// Stores with the rights of `bank`, whatever the current privilege level.
    #[inline]
    pub(crate) fn store_in<T: Int>(&mut self, bus: &mut Bus, linear: u64, value: T, bank: Bank) -> Result<(), Fault> {
        let entry = self.tlb.entry(bank, linear);
        if entry.write == self.tlb.tag(linear.wrapping_add(T::BYTES - 1)) {
            bus.memory.store_free(entry.addend.wrapping_add(linear), value);
            return Ok(());
        }
        self.store_slow(bus, linear, T::BYTES, value.zero_extend(), bank)
    }

    /// Faults if `len` bytes (at most a page) at `linear` cannot be written with the rights of `bank`.
    #[inline]
    pub(crate) fn probe_write_in(&mut self, bus: &mut Bus, linear: u64, len: u64, bank: Bank) -> Result<(), Fault> {
        if self.writes_freely(linear, len, bank) {
            return Ok(());
        }
        self.probe(bus, linear, len, Want::Write, bank)
    }

    /// Whether stores to `len` bytes at `linear` take the fast path with the rights of `bank`.
    #[inline]
    pub(crate) fn writes_freely(&self, linear: u64, len: u64, bank: Bank) -> bool {
        self.tlb.entry(bank, linear).write == self.tlb.tag(linear.wrapping_add(len - 1))
    }

    /// Faults if `len` bytes (at most a page) at `linear` cannot be accessed by the processor itself.
    pub(crate) fn probe_system(&mut self, bus: &mut Bus, linear: u64, len: u64, write: bool) -> Result<(), Fault> {
        let linear = if self.long_mode() { linear } else { linear & 0xffff_ffff };
        self.probe(bus, linear, len, if write { Want::Write } else { Want::Read }, Bank::Supervisor)
    }

    /// Faults if `len` bytes (at most a page) at `linear` cannot be written; changes nothing but accessed and dirty bits.
    pub fn probe_write(&mut self, bus: &mut Bus, linear: u64, len: u64) -> Result<(), Fault> {
        self.probe(bus, linear, len, Want::Write, self.bank)
    }

    /// Faults if `len` bytes (at most a page) at `linear` cannot be read; changes nothing but accessed bits.
    pub fn probe_read(&mut self, bus: &mut Bus, linear: u64, len: u64) -> Result<(), Fault> {
        self.probe(bus, linear, len, Want::Read, self.bank)
    }

    fn probe(&mut self, bus: &mut Bus, linear: u64, len: u64, want: Want, bank: Bank) -> Result<(), Fault> {
        self.translate(bus, linear, want, bank)?;
        let last = linear.wrapping_add(len - 1);
        if (linear ^ last) & PAGE_MASK != 0 {
            self.translate(bus, self.wrapped(last & PAGE_MASK), want, bank)?;
        }
        Ok(())
    }

    /// How many bytes from `linear` on lie in guest memory that can be read (written) as one run without side effects:
    /// the arena offset, and the length up to the page's end. `None`: access it piece by piece. For string instructions.
    pub(crate) fn run_of_memory(&mut self, linear: u64, write: bool) -> Option<(u64, u64)> {
        let entry = self.tlb.entry(self.bank, linear);
        let tag = if write { entry.write } else { entry.read };
        (tag == self.tlb.tag(linear)).then(|| (entry.addend.wrapping_add(linear), 0x1000 - (linear & 0xfff)))
    }

    /// Linear addresses outside of 64-bit mode are 32 bits wide.
    #[inline]
    pub(crate) fn wrapped(&self, linear: u64) -> u64 {
        if self.code64() || self.long_mode() { linear } else { linear & 0xffff_ffff }
    }

    /// A linear address is canonical for the paging in use (always, outside of long mode).
    #[inline(always)]
    pub(crate) fn canonical(&self, linear: u64) -> bool {
        // The lower half is canonical under every paging mode.
        linear >> 47 == 0 || self.canonical_above(linear)
    }

    fn canonical_above(&self, linear: u64) -> bool {
        let bits = if self.cr4.contains(crate::state::Cr4::LA57) { 57 } else { 48 };
        !self.long_mode() || ((linear << (64 - bits)) as i64 >> (64 - bits)) as u64 == linear
    }

    #[cold]
    #[inline(never)]
    fn load_slow(&mut self, bus: &mut Bus, linear: u64, len: u64, bank: Bank) -> Result<u64, Fault> {
        let first = self.before_slow(bus, linear, len, Want::Read, bank)?;
        let in_page = 0x1000 - (linear & 0xfff);
        if in_page >= len {
            return Ok(self.load_piece(bus, first, len));
        }
        let second = self.translate(bus, self.wrapped(linear.wrapping_add(in_page)), Want::Read, bank)?;
        let low = self.load_piece(bus, first, in_page);
        Ok(low | self.load_piece(bus, second, len - in_page) << (8 * in_page))
    }

    #[cold]
    #[inline(never)]
    fn store_slow(&mut self, bus: &mut Bus, linear: u64, len: u64, value: u64, bank: Bank) -> Result<(), Fault> {
        let first = self.before_slow(bus, linear, len, Want::Write, bank)?;
        let in_page = 0x1000 - (linear & 0xfff);
        if in_page >= len {
            self.store_piece(bus, first, len, value);
            self.free_writes(bus, linear, bank);
            return Ok(());
        }
        let second = self.translate(bus, self.wrapped(linear.wrapping_add(in_page)), Want::Write, bank)?;
        self.store_piece(bus, first, in_page, value);
        self.store_piece(bus, second, len - in_page, value >> (8 * in_page));
        Ok(())
    }

    /// What comes before any access of the slow path: alignment check, watchpoints, translation.
    fn before_slow(&mut self, bus: &mut Bus, linear: u64, len: u64, want: Want, bank: Bank) -> Result<u64, Fault> {
        if bank == Bank::Checked && linear & (len - 1) != 0 {
            return Err(Fault::AC0);
        }
        let physical = self.translate(bus, linear, want, bank)?;
        if self.dr[7] & 0xff != 0 {
            self.watch(linear, len, want == Want::Write);
        }
        self.note_watched(linear, len, want == Want::Write);
        Ok(physical)
    }

    /// Physical address of a linear one, from the TLB or by a walk that fills it.
    fn translate(&mut self, bus: &mut Bus, linear: u64, want: Want, bank: Bank) -> Result<u64, Fault> {
        if !self.canonical(linear) {
            return Err(Fault::NOT_CANONICAL);
        }
        let tag = self.tlb.tag(linear);
        let entry = *self.tlb.entry(bank, linear);
        let have = if want == Want::Write { entry.write } else { entry.read };
        if have & !SLOW != tag {
            let user = bank == Bank::User || bank == Bank::Checked;
            let who = Who { user, smap_lifted: bank == Bank::SmapLifted };
            let found = self.walk(bus, linear, want, who)?;
            if found.large {
                self.tlb.note_large(linear);
            }
            let frame = found.frame | if found.large { LARGE } else { 0 };
            let write = if found.writable { tag | SLOW } else { u64::MAX };
            *self.tlb.entry_mut(bank, linear) = Entry { read: tag | SLOW, write, addend: 0, frame };
        }
        self.quicken(bus, linear, bank);
        Ok(self.tlb.entry(bank, linear).frame & PAGE_MASK | (linear & !PAGE_MASK))
    }

    /// Takes the detour off an entry where nothing asks for it.
    fn quicken(&mut self, bus: &Bus, linear: u64, bank: Bank) {
        if bank == Bank::Checked || self.watched_page(linear) || self.debugger_watches_page(linear) {
            return;
        }
        let entry = self.tlb.entry_mut(bank, linear);
        let page = bus.memory.page(entry.frame & PAGE_MASK);
        let page_start = linear & PAGE_MASK;
        if let Some(offset) = page.read
            && entry.read != u64::MAX
        {
            entry.read &= !SLOW;
            entry.addend = offset.wrapping_sub(page_start);
        }
        if let Some(offset) = page.write
            && entry.write != u64::MAX
            && page.read == page.write
            && bus.memory.free_to_write(offset)
        {
            entry.write &= !SLOW;
            entry.addend = offset.wrapping_sub(page_start);
        }
    }

    /// After a store has set the page's dirty mark, later ones may be fast.
    fn free_writes(&mut self, bus: &Bus, linear: u64, bank: Bank) {
        self.quicken(bus, linear, bank);
    }

    fn load_piece(&mut self, bus: &mut Bus, physical: u64, len: u64) -> u64 {
        if let Some(page) = bus.memory.page(physical).read {
            let at = page + (physical & 0xfff);
            return match len {
                1 => bus.memory.load::<u8>(at).into(),
                2 => bus.memory.load::<u16>(at).into(),
                4 => bus.memory.load::<u32>(at).into(),
                8 => bus.memory.load(at),
                _ => (0..len).fold(0, |value, i| value | u64::from(bus.memory.load::<u8>(at + i)) << (8 * i)),
            };
        }
        match Width::of(len) {
            Some(width) => self.device_read(bus, physical, width),
            None => (0..len).fold(0, |value, i| value | self.device_read(bus, physical + i, Width::Byte) << (8 * i)),
        }
    }

    fn store_piece(&mut self, bus: &mut Bus, physical: u64, len: u64, value: u64) {
        if let Some(page) = bus.memory.page(physical).write {
            let at = page + (physical & 0xfff);
            let hit = match len {
                1 => bus.memory.store_marked(at, value as u8),
                2 => bus.memory.store_marked(at, value as u16),
                4 => bus.memory.store_marked(at, value as u32),
                8 => bus.memory.store_marked(at, value),
                _ => (0..len).fold(false, |hit, i| hit | bus.memory.store_marked(at + i, (value >> (8 * i)) as u8)),
            };
            if hit {
                self.pending |= Pending::STALE;
            }
            return;
        }
        match Width::of(len) {
            Some(width) => self.device_write(bus, physical, width, value),
            None => (0..len).for_each(|i| self.device_write(bus, physical + i, Width::Byte, value >> (8 * i) & 0xff)),
        }
    }

    fn device_read(&mut self, bus: &mut Bus, physical: u64, width: Width) -> u64 {
        bus.clock.set_now(self.tick);
        self.pending |= Pending::ACCESS;
        bus.read(Space::Memory, physical, width, Cpu(self.index)).unwrap_or(width.mask())
    }

    fn device_write(&mut self, bus: &mut Bus, physical: u64, width: Width, value: u64) {
        bus.clock.set_now(self.tick);
        self.pending |= Pending::ACCESS;
        // What nothing claims is dropped, as on the real bus.
        let _ = bus.write(Space::Memory, physical, width, value & width.mask(), Cpu(self.index));
        if bus.memory.has_stale() {
            self.pending |= Pending::STALE;
        }
    }

    /// Whether an enabled data watchpoint lies on the page of `linear`.
    fn watched_page(&self, linear: u64) -> bool {
        self.dr[7] & 0xff != 0 && (0..4).any(|i| self.watchpoint(i) && (self.dr[i] ^ linear) & PAGE_MASK == 0)
    }

    /// Whether breakpoint `i` is enabled and watches data.
    fn watchpoint(&self, i: usize) -> bool {
        self.dr[7] >> (2 * i) & 3 != 0 && self.dr[7] >> (16 + 4 * i) & 1 != 0
    }

    /// Notes the watchpoints that an access meets; the trap comes after the instruction.
    fn watch(&mut self, linear: u64, len: u64, write: bool) {
        for i in 0..4 {
            let control = self.dr[7] >> (16 + 4 * i) & 15;
            let only_writes = control & 3 == 1;
            let watched = [1, 2, 8, 4][(control >> 2) as usize];
            let start = self.dr[i] & !(watched - 1);
            let meets = linear < start.wrapping_add(watched) && start < linear.wrapping_add(len);
            if self.watchpoint(i) && meets && (write || !only_writes) {
                self.debug_trap |= 1 << i;
                self.pending |= Pending::EVENTS;
            }
        }
    }
}
