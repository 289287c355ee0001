//! Descriptors in memory, and segment registers loaded from them (SDM volume 3, chapters 3 and 5).

use crate::fault::Fault;
use crate::mmu::Int;
use crate::state::{CodeSize, Rights, Segment, Vcpu, seg};
use lockstep_fabric::Bus;

/// Selector bit: the local table.
const TABLE_INDICATOR: u16 = 4;
/// Selector bits: requestor's privilege level.
const RPL: u16 = 3;

/// System descriptor types in bits 0..=4 of the rights, S included (SDM volume 3, table 3-2).
pub(crate) mod system {
    /// Available 16-bit TSS.
    pub(crate) const TSS16: u16 = 1;
    /// LDT.
    pub(crate) const LDT: u16 = 2;
    /// 16-bit call gate.
    pub(crate) const CALL16: u16 = 4;
    /// Task gate.
    pub(crate) const TASK: u16 = 5;
    /// 16-bit interrupt gate.
    pub(crate) const INTERRUPT16: u16 = 6;
    /// 16-bit trap gate.
    pub(crate) const TRAP16: u16 = 7;
    /// Available 32-bit (in long mode: 64-bit) TSS.
    pub(crate) const TSS32: u16 = 9;
    /// 32-bit (in long mode: 64-bit) call gate.
    pub(crate) const CALL32: u16 = 12;
    /// 32-bit (in long mode: 64-bit) interrupt gate.
    pub(crate) const INTERRUPT32: u16 = 14;
    /// 32-bit (in long mode: 64-bit) trap gate.
    pub(crate) const TRAP32: u16 = 15;
    /// Set in a TSS's type while its task is busy.
    pub(crate) const BUSY: u16 = 2;
}

/// Whether a selector is null.
pub(crate) fn is_null(selector: u16) -> bool {
    selector & !RPL == 0
}

/// A selector's requestor privilege level.
pub(crate) fn rpl(selector: u16) -> u8 {
    (selector & RPL) as u8
}

/// The eight bytes of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor(pub(crate) u64);

impl Descriptor {
    /// Access rights.
    pub(crate) fn rights(self) -> Rights {
        Rights((self.0 >> 40) as u16 & 0xf0ff)
    }

    /// Type and S: one of [`system`] for system descriptors.
    pub(crate) fn kind(self) -> u16 {
        self.rights().0 & 0x1f
    }

    /// Descriptor privilege level.
    pub(crate) fn dpl(self) -> u8 {
        self.rights().dpl()
    }

    /// P.
    pub(crate) fn present(self) -> bool {
        self.rights().has(Rights::PRESENT)
    }

    /// Conforming code.
    pub(crate) fn conforming(self) -> bool {
        self.rights().is_code() && self.rights().has(Rights::DOWN)
    }

    /// Base, its low 32 bits.
    pub(crate) fn base(self) -> u64 {
        self.0 >> 16 & 0xff_ffff | self.0 >> 32 & 0xff00_0000
    }

    /// Last valid offset in bytes.
    pub(crate) fn limit(self) -> u32 {
        let limit = (self.0 & 0xffff | self.0 >> 32 & 0xf_0000) as u32;
        if self.rights().has(Rights::PAGES) { limit << 12 | 0xfff } else { limit }
    }

    /// A gate's selector.
    pub(crate) fn gate_selector(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// A gate's offset, its low 32 bits.
    pub(crate) fn gate_offset(self) -> u64 {
        self.0 & 0xffff | self.0 >> 32 & 0xffff_0000
    }

    /// The segment register that loading this makes.
    pub(crate) fn segment(self, selector: u16) -> Segment {
        Segment { selector, rights: self.rights(), limit: self.limit(), base: self.base() }
    }
}

impl Vcpu {
    /// Linear address of the descriptor of `selector`, if all `len` bytes lie in its table.
    pub(crate) fn descriptor_address(&self, selector: u16, len: u64) -> Option<u64> {
        let (base, limit) = if selector & TABLE_INDICATOR == 0 {
            (self.gdtr.base, u64::from(self.gdtr.limit))
        } else if self.ldtr.rights.has(Rights::PRESENT) {
            (self.ldtr.base, u64::from(self.ldtr.limit))
        } else {
            return None;
        };
        let offset = u64::from(selector & !7);
        (offset + len - 1 <= limit).then(|| base.wrapping_add(offset))
    }

    /// Loads the descriptor of `selector`; `fault` says what a selector beyond the table raises.
    #[inline]
    pub(crate) fn descriptor(
        &mut self,
        bus: &mut Bus,
        selector: u16,
        fault: fn(u16) -> Fault,
    ) -> Result<Descriptor, Fault> {
        let at = self.descriptor_address(selector, 8).ok_or(fault(selector))?;
        Ok(Descriptor(self.load_system(bus, at)?))
    }

    /// Upper half of a 16-byte system descriptor.
    pub(crate) fn descriptor_high(
        &mut self,
        bus: &mut Bus,
        selector: u16,
        fault: fn(u16) -> Fault,
    ) -> Result<u64, Fault> {
        let at = self.descriptor_address(selector, 16).ok_or(fault(selector))?;
        self.load_system(bus, at.wrapping_add(8))
    }

    /// Sets the accessed bit of a code or data descriptor in its table.
    #[inline]
    pub(crate) fn mark_accessed(&mut self, bus: &mut Bus, selector: u16, found: Descriptor) -> Result<(), Fault> {
        if found.rights().has(Rights::ACCESSED) {
            return Ok(());
        }
        self.store_type(bus, selector, found.0 >> 40 | u64::from(Rights::ACCESSED))
    }

    /// Sets or clears the busy bit of a TSS descriptor in the GDT.
    pub(crate) fn mark_busy(&mut self, bus: &mut Bus, selector: u16, busy: bool) -> Result<(), Fault> {
        let found = self.descriptor(bus, selector, Fault::ts)?;
        let kind = found.0 >> 40 & !u64::from(system::BUSY);
        self.store_type(bus, selector, kind | if busy { u64::from(system::BUSY) } else { 0 })
    }

    fn store_type(&mut self, bus: &mut Bus, selector: u16, value: u64) -> Result<(), Fault> {
        match self.descriptor_address(selector, 8) {
            Some(at) => self.store_system(bus, at.wrapping_add(5), value as u8),
            None => Ok(()),
        }
    }

    /// What loading `selector` into data segment register `index` makes (SDM volume 2, MOV; volume 3, section 5.6).
    /// Nothing has changed but the descriptor's accessed bit.
    pub(crate) fn data_segment(&mut self, bus: &mut Bus, index: usize, selector: u16) -> Result<Segment, Fault> {
        if !self.protected() {
            return Ok(self.seg[index & 7].real(selector));
        }
        if index == seg::SS {
            let null_allowed = self.code64() && self.cpl < 3;
            return self.stack_segment(bus, selector, self.cpl, Fault::gp, null_allowed);
        }
        if is_null(selector) {
            return Ok(Segment { selector, ..Segment::default() });
        }
        self.data_segment_checked(bus, selector, self.cpl, Fault::gp)
    }

    /// As [`Vcpu::data_segment`] for ES, DS, FS, GS with a selector that is not null, at a privilege level of choice.
    pub(crate) fn data_segment_checked(
        &mut self,
        bus: &mut Bus,
        selector: u16,
        cpl: u8,
        fault: fn(u16) -> Fault,
    ) -> Result<Segment, Fault> {
        let found = self.descriptor(bus, selector, fault)?;
        let rights = found.rights();
        let private = !found.conforming();
        if !rights.has(Rights::MEMORY)
            || !rights.readable()
            || private && (rpl(selector) > rights.dpl() || cpl > rights.dpl())
        {
            return Err(fault(selector));
        }
        if !found.present() {
            return Err(Fault::np(selector));
        }
        self.mark_accessed(bus, selector, found)?;
        Ok(Descriptor(found.0 | 1 << 40).segment(selector))
    }

    /// What loading `selector` into SS makes, for the privilege level `cpl`; `fault` is #GP or #TS, and says whether 64-bit
    /// mode lets SS be null.
    pub(crate) fn stack_segment(
        &mut self,
        bus: &mut Bus,
        selector: u16,
        cpl: u8,
        fault: fn(u16) -> Fault,
        null_allowed: bool,
    ) -> Result<Segment, Fault> {
        if is_null(selector) {
            return if null_allowed && rpl(selector) == cpl { Ok(null_stack(cpl)) } else { Err(fault(0)) };
        }
        let found = self.descriptor(bus, selector, fault)?;
        let rights = found.rights();
        if rpl(selector) != cpl || rights.dpl() != cpl || !rights.writable() {
            return Err(fault(selector));
        }
        if !found.present() {
            return Err(Fault::ss(selector));
        }
        self.mark_accessed(bus, selector, found)?;
        Ok(Descriptor(found.0 | 1 << 40).segment(selector))
    }

    /// The default size of code in a segment with these rights.
    pub(crate) fn code_size(&self, rights: Rights) -> CodeSize {
        if self.long_mode() && rights.has(Rights::LONG) {
            CodeSize::Bits64
        } else if rights.has(Rights::BIG) {
            CodeSize::Bits32
        } else {
            CodeSize::Bits16
        }
    }

    /// Faults unless `offset` may be jumped to in `code`.
    pub(crate) fn check_target(&self, code: &Segment, offset: u64) -> Result<(), Fault> {
        let valid = if self.code_size(code.rights) == CodeSize::Bits64 {
            self.canonical(offset)
        } else {
            offset <= code.limit.into()
        };
        if valid { Ok(()) } else { Err(Fault::GP0) }
    }

    /// A field of the current TSS; #TS with TR's selector if it lies beyond the limit.
    pub(crate) fn load_tss<T: Int>(&mut self, bus: &mut Bus, offset: u64) -> Result<T, Fault> {
        if offset + T::BYTES - 1 > self.tr.limit.into() {
            return Err(Fault::ts(self.tr.selector));
        }
        self.load_system(bus, self.tr.base.wrapping_add(offset))
    }

    /// The stack pointer of an inner privilege level from a 16- or 32-bit TSS: SS and (E)SP.
    pub(crate) fn inner_stack(&mut self, bus: &mut Bus, cpl: u8) -> Result<(u16, u64), Fault> {
        let level = u64::from(cpl);
        if self.tr.rights.kind() & 8 != 0 {
            let sp: u32 = self.load_tss(bus, 4 + 8 * level)?;
            let ss: u16 = self.load_tss(bus, 8 + 8 * level)?;
            Ok((ss, sp.into()))
        } else {
            let sp: u16 = self.load_tss(bus, 2 + 4 * level)?;
            let ss: u16 = self.load_tss(bus, 4 + 4 * level)?;
            Ok((ss, sp.into()))
        }
    }

    /// RSP0..RSP2 of a 64-bit TSS.
    pub(crate) fn inner_stack64(&mut self, bus: &mut Bus, cpl: u8) -> Result<u64, Fault> {
        self.load_tss(bus, 4 + 8 * u64::from(cpl))
    }

    /// Makes null what the new, outer privilege level may not use (SDM volume 2, RET).
    pub(crate) fn drop_inner_segments(&mut self) {
        for index in [seg::ES, seg::DS, seg::FS, seg::GS] {
            let rights = self.seg[index].rights;
            let conforming = rights.is_code() && rights.has(Rights::DOWN);
            if rights.has(Rights::PRESENT) && !conforming && rights.dpl() < self.cpl {
                self.seg[index] = Segment::default();
            }
        }
    }

    /// Puts SS, CS and the privilege level in force together.
    pub(crate) fn set_code_segment(&mut self, code: Segment, cpl: u8) {
        let selector = code.selector & !RPL | u16::from(cpl);
        self.seg[seg::CS] = Segment { selector, ..code };
        self.cpl = cpl;
        self.refresh();
    }
}

/// The null stack segment of 64-bit mode.
pub(crate) fn null_stack(cpl: u8) -> Segment {
    Segment { selector: cpl.into(), rights: Rights(u16::from(cpl) << 5), limit: 0, base: 0 }
}
