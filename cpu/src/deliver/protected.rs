//! Delivery through the gates of protected mode, from virtual-8086 mode too (SDM volume 3, sections 6.12 and 20.3).

use super::Event;
use crate::descriptor::{Descriptor, is_null, system};
use crate::fault::{Fault, vector};
use crate::frame::{Frame, Stack};
use crate::op::Slot;
use crate::state::{Rights, Segment, Vcpu, seg};
use crate::task::{Nesting, Switch};
use lockstep_fabric::Bus;

impl Vcpu {
    pub(super) fn deliver_protected(&mut self, bus: &mut Bus, event: &Event) -> Result<(), Fault> {
        let at = 8 * u64::from(event.vector);
        if at + 7 > self.idtr.limit.into() {
            return Err(Fault::gate(event.vector));
        }
        let gate = Descriptor(self.load_system(bus, self.idtr.base.wrapping_add(at))?);
        let kind = gate.kind();
        if !matches!(kind, system::TASK | system::INTERRUPT16 | system::TRAP16 | system::INTERRUPT32 | system::TRAP32) {
            return Err(Fault::gate(event.vector));
        }
        if event.is_programmed() && gate.dpl() < self.cpl {
            return Err(Fault::gate(event.vector));
        }
        if !gate.present() {
            return Err(Fault::with_error(vector::NP, Fault::gate_error(event.vector)));
        }
        let selector = gate.gate_selector();
        if kind == system::TASK {
            return self.deliver_to_task(bus, event, selector);
        }
        if is_null(selector) {
            return Err(Fault::GP0);
        }
        let code = self.descriptor(bus, selector, Fault::gp)?;
        if !code.rights().is_code() || code.dpl() > self.cpl {
            return Err(Fault::gp(selector));
        }
        if !code.present() {
            return Err(Fault::np(selector));
        }
        let cpl = if code.conforming() { self.cpl } else { code.dpl() };
        if self.v86() && cpl != 0 {
            return Err(Fault::gp(selector));
        }
        let wide = kind & 8 != 0;
        let target = if wide { gate.gate_offset() } else { gate.gate_offset() & 0xffff };
        let interrupt_gate = matches!(kind, system::INTERRUPT16 | system::INTERRUPT32);

        let mut frame = Frame::new();
        let inner = cpl < self.cpl;
        let stack = if inner {
            let (ss, pointer) = self.inner_stack(bus, cpl)?;
            let segment = self.stack_segment(bus, ss, cpl, Fault::ts, false)?;
            if self.v86() {
                for index in [seg::GS, seg::FS, seg::DS, seg::ES] {
                    frame.push(self.seg[index].selector.into());
                }
            }
            frame.push(self.seg[seg::SS].selector.into()).push(self.gpr[Slot::RSP.number()] & 0xffff_ffff);
            Stack { segment, pointer, bank: self.bank_at(cpl), flat: false, fault: Fault::ss(ss) }
        } else {
            Stack { bank: self.bank_at(cpl), ..self.current_stack() }
        };
        frame.push(event.image).push(self.seg[seg::CS].selector.into()).push(event.ip);
        if let Some(error) = event.error {
            frame.push(error.into());
        }
        let segment = code.segment(selector);
        self.check_target(&segment, target)?;
        let pointer = if wide {
            self.push_frame::<u32>(bus, &stack, &frame)?
        } else {
            self.push_frame::<u16>(bus, &stack, &frame)?
        };
        self.mark_accessed(bus, selector, code)?;
        if self.v86() {
            for index in [seg::GS, seg::FS, seg::DS, seg::ES] {
                self.seg[index] = Segment::default();
            }
        }
        self.gpr[Slot::RSP.number()] = stack.register(self.gpr[Slot::RSP.number()], pointer);
        if inner {
            self.seg[seg::SS] = stack.segment;
        }
        self.ip = target;
        self.enter_handler(interrupt_gate);
        self.set_code_segment(Segment { rights: Rights(segment.rights.0 | Rights::ACCESSED), ..segment }, cpl);
        Ok(())
    }

    fn deliver_to_task(&mut self, bus: &mut Bus, event: &Event, selector: u16) -> Result<(), Fault> {
        let found = self.task_descriptor(bus, selector, Fault::gp, false)?;
        let external = !event.is_programmed();
        let switch = Switch { ip: event.ip, image: event.image, nesting: Nesting::In, error: event.error, external };
        self.switch_task(bus, selector, found, &switch)
    }
}
