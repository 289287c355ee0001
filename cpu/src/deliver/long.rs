//! Delivery in long mode (SDM volume 3, section 6.14).

use super::Event;
use crate::descriptor::{Descriptor, is_null, null_stack, system};
use crate::fault::{Fault, vector};
use crate::frame::{Frame, Stack};
use crate::op::Slot;
use crate::state::{Rights, Vcpu, seg};
use lockstep_fabric::Bus;

/// Offset of IST1 in a 64-bit TSS.
const TSS_IST1: u64 = 0x24;

impl Vcpu {
    pub(super) fn deliver_long(&mut self, bus: &mut Bus, event: &Event) -> Result<(), Fault> {
        let at = 16 * u64::from(event.vector);
        if at + 15 > self.idtr.limit.into() {
            return Err(Fault::gate(event.vector));
        }
        let at = self.idtr.base.wrapping_add(at);
        let gate = Descriptor(self.load_system(bus, at)?);
        let high: u64 = self.load_system(bus, at.wrapping_add(8))?;
        let interrupt_gate = match gate.kind() {
            system::INTERRUPT32 => true,
            system::TRAP32 => false,
            _ => return Err(Fault::gate(event.vector)),
        };
        if event.is_programmed() && gate.dpl() < self.cpl {
            return Err(Fault::gate(event.vector));
        }
        if !gate.present() {
            return Err(Fault::with_error(vector::NP, Fault::gate_error(event.vector)));
        }
        let selector = gate.gate_selector();
        if is_null(selector) {
            return Err(Fault::GP0);
        }
        let code = self.descriptor(bus, selector, Fault::gp)?;
        let rights = code.rights();
        if !rights.is_code() || rights.dpl() > self.cpl {
            return Err(Fault::gp(selector));
        }
        if !rights.has(Rights::PRESENT) {
            return Err(Fault::np(selector));
        }
        if !rights.has(Rights::LONG) || rights.has(Rights::BIG) {
            return Err(Fault::gp(selector));
        }
        let cpl = if code.conforming() { self.cpl } else { rights.dpl() };
        let target = gate.gate_offset() | high << 32;
        if !self.canonical(target) {
            return Err(Fault::GP0);
        }
        let interrupt_stack = gate.0 >> 32 & 7;
        let pointer = if interrupt_stack != 0 {
            self.load_tss(bus, TSS_IST1 + 8 * (interrupt_stack - 1))?
        } else if cpl < self.cpl {
            self.inner_stack64(bus, cpl)?
        } else {
            self.gpr[Slot::RSP.number()]
        };
        let stack = Stack {
            segment: self.seg[seg::SS],
            pointer: pointer & !15,
            bank: self.bank_at(cpl),
            flat: true,
            fault: Fault::SS0,
        };
        let mut frame = Frame::new();
        frame
            .push(self.seg[seg::SS].selector.into())
            .push(self.gpr[Slot::RSP.number()])
            .push(event.image)
            .push(self.seg[seg::CS].selector.into())
            .push(event.ip);
        if let Some(error) = event.error {
            frame.push(error.into());
        }
        let pointer = self.push_frame::<u64>(bus, &stack, &frame)?;
        self.mark_accessed(bus, selector, code)?;
        self.gpr[Slot::RSP.number()] = pointer;
        self.ip = target;
        if cpl < self.cpl {
            self.seg[seg::SS] = null_stack(cpl);
        }
        self.enter_handler(interrupt_gate);
        self.set_code_segment(code.segment(selector), cpl);
        Ok(())
    }
}
