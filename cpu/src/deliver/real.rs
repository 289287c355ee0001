//! Delivery through the real-mode vector table, in real-address mode and, with VME, in virtual-8086 mode.

use super::Event;
use crate::fault::Fault;
use crate::frame::Frame;
use crate::op::Slot;
use crate::state::{Cr4, Rflags, Vcpu, seg};
use lockstep_fabric::Bus;

/// Offset of the I/O map base in a 32-bit TSS; the interrupt redirection bitmap is the 32 bytes below the map.
const TSS_IO_MAP_BASE: u64 = 0x66;
const REDIRECTION_BYTES: u64 = 32;

impl Vcpu {
    pub(super) fn deliver_real(&mut self, bus: &mut Bus, event: &Event) -> Result<(), Fault> {
        let offset = 4 * u64::from(event.vector);
        if offset + 3 > self.idtr.limit.into() {
            return Err(Fault::GP0);
        }
        let target: u32 = self.load_system(bus, self.idtr.base.wrapping_add(offset))?;
        self.enter_real(bus, event.image, event.ip, target)?;
        self.flags.set(Rflags::IF | Rflags::TF | Rflags::AC | Rflags::RF, false);
        self.refresh();
        Ok(())
    }

    /// INT n in virtual-8086 mode (SDM volume 3, section 20.3).
    pub(super) fn deliver_v86(&mut self, bus: &mut Bus, event: &Event) -> Result<(), Fault> {
        let open = self.flags.iopl() == 3;
        if !self.cr4.contains(Cr4::VME) || !self.redirected(bus, event.vector)? {
            return if open { self.deliver_protected(bus, event) } else { Err(Fault::GP0) };
        }
        let mut image = Rflags::from_bits_retain(event.image);
        if !open {
            image.set(Rflags::IF, image.contains(Rflags::VIF));
            image.insert(Rflags::IOPL);
        }
        let target: u32 = self.load(bus, 4 * u64::from(event.vector))?;
        self.enter_real(bus, image.bits(), event.ip, target)?;
        self.flags.set(if open { Rflags::IF } else { Rflags::VIF }, false);
        self.flags.set(Rflags::TF | Rflags::RF | Rflags::NT, false);
        self.refresh();
        Ok(())
    }

    /// Whether the bitmap sends this software interrupt to the 8086 program's own handler.
    fn redirected(&mut self, bus: &mut Bus, vector: u8) -> Result<bool, Fault> {
        if u64::from(self.tr.limit) <= TSS_IO_MAP_BASE {
            return Ok(false);
        }
        let map: u16 = self.load_tss(bus, TSS_IO_MAP_BASE)?;
        let at = u64::from(map).wrapping_sub(REDIRECTION_BYTES).wrapping_add(u64::from(vector / 8));
        if at > self.tr.limit.into() {
            return Ok(false);
        }
        let bits: u8 = self.load_tss(bus, at)?;
        Ok(bits >> (vector % 8) & 1 == 0)
    }

    fn enter_real(&mut self, bus: &mut Bus, image: u64, ip: u64, target: u32) -> Result<(), Fault> {
        let stack = self.current_stack();
        let mut frame = Frame::new();
        frame.push(image).push(self.seg[seg::CS].selector.into()).push(ip);
        let pointer = self.push_frame::<u16>(bus, &stack, &frame)?;
        self.gpr[Slot::RSP.number()] = stack.register(self.gpr[Slot::RSP.number()], pointer);
        self.seg[seg::CS] = self.seg[seg::CS].real((target >> 16) as u16);
        self.ip = u64::from(target & 0xffff);
        Ok(())
    }
}
