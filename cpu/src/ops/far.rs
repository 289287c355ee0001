//! Far JMP, CALL and RET, call gates, SYSCALL, SYSRET, SYSENTER, SYSEXIT.

use crate::cpuid::Vendor;
use crate::descriptor::{Descriptor, is_null, null_stack, rpl, system};
use crate::fault::Fault;
use crate::frame::{Frame, Stack};
use crate::mmu::{Access, Bank, Int};
use crate::op::{Op, Slot};
use crate::state::{CodeSize, Cr0, Efer, Pending, Rflags, Rights, Segment, Vcpu, seg};
use crate::table::Row;
use crate::task::{Nesting, Switch};
use iced_x86::Code;
use lockstep_fabric::Bus;

impl Vcpu {
    /// The code segment that a far return or IRET goes to (SDM volume 2, RET and IRET).
    pub(crate) fn return_segment(&mut self, bus: &mut Bus, selector: u16) -> Result<Segment, Fault> {
        if is_null(selector) {
            return Err(Fault::GP0);
        }
        let found = self.descriptor(bus, selector, Fault::gp)?;
        let level = rpl(selector);
        let dpl_fits = if found.conforming() { found.dpl() <= level } else { found.dpl() == level };
        if !found.rights().is_code() || level < self.cpl || !dpl_fits || self.two_sizes(found) {
            return Err(Fault::gp(selector));
        }
        if !found.present() {
            return Err(Fault::np(selector));
        }
        self.mark_accessed(bus, selector, found)?;
        Ok(found.segment(selector))
    }

    /// The stack segment that goes with a return to `code` at `level`.
    pub(crate) fn return_stack(
        &mut self,
        bus: &mut Bus,
        selector: u16,
        code: &Segment,
        level: u8,
    ) -> Result<Segment, Fault> {
        let null_allowed = self.code_size(code.rights) == CodeSize::Bits64 && level < 3;
        self.stack_segment(bus, selector, level, Fault::gp, null_allowed)
    }

    /// Where a far transfer goes: on the way from 64-bit mode to a compatibility segment the upper half of RIP is dropped,
    /// not checked.
    pub(crate) fn far_offset(&self, code: &Segment, ip: u64) -> u64 {
        if self.code64() && !code.rights.has(Rights::LONG) { ip & 0xffff_ffff } else { ip }
    }

    /// Goes to checked code at an equal or outer level, onto the stack given, if any.
    pub(crate) fn return_to(&mut self, ip: u64, code: Segment, level: u8, stack: Option<(Segment, u64)>) {
        let outward = level > self.cpl;
        if let Some((segment, pointer)) = stack {
            let flat = self.code_size(code.rights) == CodeSize::Bits64;
            let stack = Stack { segment, pointer, bank: Bank::User, flat, fault: Fault::SS0 };
            self.gpr[Slot::RSP.number()] = stack.register(self.gpr[Slot::RSP.number()], pointer);
            self.seg[seg::SS] = segment;
        }
        self.ip = ip;
        self.set_code_segment(code, level);
        if outward {
            self.drop_inner_segments();
        }
    }

    /// Code that claims to be 64-bit and 32-bit at once.
    fn two_sizes(&self, code: Descriptor) -> bool {
        self.long_mode() && code.rights().has(Rights::LONG | Rights::BIG)
    }

    /// A far JMP or CALL to `selector:offset` with operand size `T`.
    fn far<T: Int, const CALL: bool>(
        &mut self,
        bus: &mut Bus,
        op: &Op,
        selector: u16,
        offset: u64,
    ) -> Result<(), Fault> {
        if !self.protected() {
            if offset > self.seg[seg::CS].limit.into() {
                return Err(Fault::GP0);
            }
            let code = self.seg[seg::CS].real(selector);
            return self.go::<T, CALL>(bus, op, code, offset);
        }
        if is_null(selector) {
            return Err(Fault::GP0);
        }
        let found = self.descriptor(bus, selector, Fault::gp)?;
        let rights = found.rights();
        if !rights.has(Rights::MEMORY) {
            return self.far_system::<CALL>(bus, op, selector, found);
        }
        let allowed = if found.conforming() {
            rights.dpl() <= self.cpl
        } else {
            rpl(selector) <= self.cpl && rights.dpl() == self.cpl
        };
        if !rights.is_code() || !allowed || self.two_sizes(found) {
            return Err(Fault::gp(selector));
        }
        if !found.present() {
            return Err(Fault::np(selector));
        }
        let code = found.segment(selector & !3 | u16::from(self.cpl));
        let offset = self.far_offset(&code, offset);
        self.check_target(&code, offset)?;
        self.mark_accessed(bus, selector, found)?;
        self.go::<T, CALL>(bus, op, code, offset)
    }

    /// Goes to checked code at the same level; a call pushes the return address first.
    fn go<T: Int, const CALL: bool>(
        &mut self,
        bus: &mut Bus,
        op: &Op,
        code: Segment,
        offset: u64,
    ) -> Result<(), Fault> {
        if CALL {
            let stack = self.current_stack();
            let mut frame = Frame::new();
            frame.push(self.seg[seg::CS].selector.into()).push(self.next_ip(op));
            let pointer = self.push_frame::<T>(bus, &stack, &frame)?;
            self.set_stack_pointer(pointer);
        }
        self.seg[seg::CS] = code;
        self.ip = offset;
        self.refresh();
        Ok(())
    }

    /// A far JMP or CALL through a gate or to a task.
    fn far_system<const CALL: bool>(
        &mut self,
        bus: &mut Bus,
        op: &Op,
        selector: u16,
        found: Descriptor,
    ) -> Result<(), Fault> {
        let kind = found.kind();
        let known = if self.long_mode() {
            kind == system::CALL32
        } else {
            matches!(kind, system::TSS16 | system::TSS32 | system::TASK | system::CALL16 | system::CALL32)
        };
        if !known || found.dpl() < self.cpl.max(rpl(selector)) {
            return Err(Fault::gp(selector));
        }
        if !found.present() {
            return Err(Fault::np(selector));
        }
        match kind {
            system::CALL16 => self.far_gate::<u16, CALL>(bus, op, selector, found),
            system::CALL32 if self.long_mode() => self.far_gate::<u64, CALL>(bus, op, selector, found),
            system::CALL32 => self.far_gate::<u32, CALL>(bus, op, selector, found),
            _ => {
                let task = if kind == system::TASK { found.gate_selector() } else { selector };
                let found = self.task_descriptor(bus, task, Fault::gp, false)?;
                let switch = Switch {
                    ip: self.next_ip(op),
                    image: self.flags.get().bits(),
                    nesting: if CALL { Nesting::In } else { Nesting::Aside },
                    error: None,
                    external: false,
                };
                self.switch_task(bus, task, found, &switch)
            }
        }
    }

    /// Through a call gate whose values are `T` wide.
    fn far_gate<T: Int, const CALL: bool>(
        &mut self,
        bus: &mut Bus,
        op: &Op,
        gate_selector: u16,
        gate: Descriptor,
    ) -> Result<(), Fault> {
        let long = T::BITS == 64;
        let high = if long { self.descriptor_high(bus, gate_selector, Fault::gp)? } else { 0 };
        if high >> 40 & 0x1f != 0 {
            return Err(Fault::gp(gate_selector));
        }
        let target = T::truncate(gate.gate_offset() | high << 32).zero_extend();
        let selector = gate.gate_selector();
        if is_null(selector) {
            return Err(Fault::GP0);
        }
        let found = self.descriptor(bus, selector, Fault::gp)?;
        let rights = found.rights();
        let inner = CALL && !found.conforming() && rights.dpl() < self.cpl;
        let allowed = inner || rights.dpl() == self.cpl || found.conforming() && rights.dpl() < self.cpl;
        let size_fits = !long || rights.has(Rights::LONG) && !rights.has(Rights::BIG);
        if !rights.is_code() || !allowed || !size_fits {
            return Err(Fault::gp(selector));
        }
        if !found.present() {
            return Err(Fault::np(selector));
        }
        let code = found.segment(selector);
        self.check_target(&code, target)?;
        let cpl = if inner { rights.dpl() } else { self.cpl };
        let rsp = self.gpr[Slot::RSP.number()];
        let mut frame = Frame::new();
        let mut stack = Stack { flat: long, ..self.current_stack() };
        if inner {
            stack = self.gate_stack(bus, cpl)?;
            frame.push(self.seg[seg::SS].selector.into()).push(rsp);
            let parameters = if long { 0 } else { gate.0 >> 32 & 0x1f };
            for i in (0..parameters).rev() {
                frame.push(self.peek::<T>(bus, i * T::BYTES)?.zero_extend());
            }
        } else if long {
            stack.pointer = rsp;
        }
        frame.push(self.seg[seg::CS].selector.into()).push(self.next_ip(op));
        let pointer = if CALL { self.push_frame::<T>(bus, &stack, &frame)? } else { rsp };
        self.mark_accessed(bus, selector, found)?;
        if CALL {
            self.gpr[Slot::RSP.number()] = stack.register(rsp, pointer);
        }
        if inner {
            self.seg[seg::SS] = stack.segment;
        }
        self.ip = target;
        self.set_code_segment(code, cpl);
        Ok(())
    }

    /// The stack that a call gate to `cpl` switches to.
    fn gate_stack(&mut self, bus: &mut Bus, cpl: u8) -> Result<Stack, Fault> {
        let bank = self.bank_at(cpl);
        if self.long_mode() {
            let pointer = self.inner_stack64(bus, cpl)?;
            return Ok(Stack { segment: null_stack(cpl), pointer, bank, flat: true, fault: Fault::SS0 });
        }
        let (ss, pointer) = self.inner_stack(bus, cpl)?;
        let segment = self.stack_segment(bus, ss, cpl, Fault::ts, false)?;
        Ok(Stack { segment, pointer, bank, flat: false, fault: Fault::ss(ss) })
    }
}

fn far_memory<T: Int, const CALL: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let at = cpu.linear(op, T::BYTES + 2, Access::Read)?;
    let offset = cpu.load::<T>(bus, at)?.zero_extend();
    let selector: u16 = cpu.load(bus, cpu.wrapped(at.wrapping_add(T::BYTES)))?;
    cpu.far::<T, CALL>(bus, op, selector, offset)
}

fn far_pointer<T: Int, const CALL: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.far::<T, CALL>(bus, op, op.disp as u16, T::truncate(op.imm).zero_extend())
}

fn retf<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let release = op.imm & 0xffff;
    let ip = cpu.peek::<T>(bus, 0)?.zero_extend();
    // Only two bytes of a selector's place are read.
    let cs = cpu.peek::<u16>(bus, T::BYTES)?;
    let above = 2 * T::BYTES + release;
    if !cpu.protected() {
        if ip > cpu.seg[seg::CS].limit.into() {
            return Err(Fault::GP0);
        }
        cpu.set_stack_pointer(cpu.stack_pointer().wrapping_add(above));
        cpu.seg[seg::CS] = cpu.seg[seg::CS].real(cs);
        cpu.ip = ip;
        cpu.refresh();
        return Ok(());
    }
    let code = cpu.return_segment(bus, cs)?;
    let ip = cpu.far_offset(&code, ip);
    cpu.check_target(&code, ip)?;
    let level = rpl(cs);
    if level == cpu.cpl {
        cpu.set_stack_pointer(cpu.stack_pointer().wrapping_add(above));
        cpu.return_to(ip, code, level, None);
        return Ok(());
    }
    let pointer = cpu.peek::<T>(bus, above)?.zero_extend();
    let ss = cpu.peek::<u16>(bus, above + T::BYTES)?;
    let segment = cpu.return_stack(bus, ss, &code, level)?;
    cpu.return_to(ip, code, level, Some((segment, pointer.wrapping_add(release))));
    Ok(())
}

const FLAT_DATA: u16 =
    Rights::PRESENT | Rights::MEMORY | Rights::WRITABLE | Rights::ACCESSED | Rights::BIG | Rights::PAGES;
const FLAT_CODE: u16 =
    Rights::PRESENT | Rights::MEMORY | Rights::CODE | Rights::WRITABLE | Rights::ACCESSED | Rights::PAGES;
const FLAT_CODE32: u16 = FLAT_CODE | Rights::BIG;
const FLAT_CODE64: u16 = FLAT_CODE | Rights::LONG;

/// CS and SS as the fast system calls make them: flat, without a look at any descriptor.
fn flat(cpu: &mut Vcpu, cs: u16, ss: u16, code: u16, level: u8) {
    let dpl = u16::from(level) << 5;
    let segment = |selector: u16, rights| Segment {
        selector: selector & !3 | u16::from(level),
        rights: Rights(rights | dpl),
        limit: u32::MAX,
        base: 0,
    };
    cpu.seg[seg::SS] = segment(ss, FLAT_DATA);
    cpu.seg[seg::CS] = segment(cs, code);
    cpu.cpl = level;
    cpu.refresh();
}

fn syscall(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    if !cpu.efer.contains(Efer::SCE) || !cpu.cr0.contains(Cr0::PE) {
        return Err(Fault::UD);
    }
    let next = cpu.next_ip(op);
    let cs = (cpu.msrs.star >> 32) as u16;
    if cpu.long_mode() {
        let code64 = cpu.code64();
        if !code64 && cpu.model.vendor == Vendor::Intel {
            return Err(Fault::UD);
        }
        cpu.gpr[Slot::RCX.number()] = next;
        cpu.gpr[Slot::R11.number()] = cpu.flags.get().difference(Rflags::RF).bits();
        cpu.ip = if code64 { cpu.msrs.lstar } else { cpu.msrs.cstar };
        let masked = Rflags::from_bits_retain(cpu.msrs.fmask) | Rflags::RF;
        if masked.contains(Rflags::TF) {
            cpu.pending |= Pending::NO_STEP;
        }
        cpu.flags.put(cpu.flags.get().difference(masked));
        flat(cpu, cs, cs.wrapping_add(8), FLAT_CODE64, 0);
    } else {
        if cpu.model.vendor == Vendor::Intel {
            return Err(Fault::UD);
        }
        cpu.gpr[Slot::RCX.number()] = next & 0xffff_ffff;
        cpu.ip = cpu.msrs.star & 0xffff_ffff;
        cpu.flags.set(Rflags::IF | Rflags::RF | Rflags::VM, false);
        flat(cpu, cs, cs.wrapping_add(8), FLAT_CODE32, 0);
    }
    Ok(())
}

fn sysret<const WIDE: bool>(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    let intel = cpu.model.vendor == Vendor::Intel;
    if !cpu.efer.contains(Efer::SCE) || intel && !cpu.code64() {
        return Err(Fault::UD);
    }
    if cpu.cpl != 0 || !cpu.protected() {
        return Err(Fault::GP0);
    }
    let rcx = cpu.gpr[Slot::RCX.number()];
    if WIDE && intel && !cpu.canonical(rcx) {
        return Err(Fault::GP0);
    }
    let star = (cpu.msrs.star >> 48) as u16;
    if cpu.long_mode() {
        const KEPT: u64 = 0x003c_7fd7;
        let image = cpu.gpr[Slot::R11.number()] & KEPT;
        cpu.flags.put(Rflags::from_bits_retain(image));
    } else {
        cpu.flags.set(Rflags::IF, true);
    }
    if WIDE {
        cpu.ip = rcx;
        flat(cpu, star.wrapping_add(16), star.wrapping_add(8), FLAT_CODE64, 3);
    } else {
        cpu.ip = rcx & 0xffff_ffff;
        flat(cpu, star, star.wrapping_add(8), FLAT_CODE32, 3);
    }
    Ok(())
}

fn sysenter(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    if cpu.long_mode() && cpu.model.vendor == Vendor::Amd {
        return Err(Fault::UD);
    }
    let cs = cpu.msrs.sysenter_cs as u16;
    if !cpu.cr0.contains(Cr0::PE) || is_null(cs) {
        return Err(Fault::GP0);
    }
    let long = cpu.long_mode();
    let mask = if long { u64::MAX } else { 0xffff_ffff };
    cpu.flags.set(Rflags::VM | Rflags::IF | Rflags::RF, false);
    cpu.gpr[Slot::RSP.number()] = cpu.msrs.sysenter_esp & mask;
    cpu.ip = cpu.msrs.sysenter_eip & mask;
    flat(cpu, cs, (cs & !3).wrapping_add(8), if long { FLAT_CODE64 } else { FLAT_CODE32 }, 0);
    Ok(())
}

fn sysexit<const WIDE: bool>(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    if cpu.long_mode() && cpu.model.vendor == Vendor::Amd {
        return Err(Fault::UD);
    }
    let cs = cpu.msrs.sysenter_cs as u16 & !3;
    if !cpu.protected() || is_null(cs) || cpu.cpl != 0 {
        return Err(Fault::GP0);
    }
    let (rcx, rdx) = (cpu.gpr[Slot::RCX.number()], cpu.gpr[Slot::RDX.number()]);
    if WIDE {
        if !cpu.canonical(rcx) || !cpu.canonical(rdx) {
            return Err(Fault::GP0);
        }
        cpu.gpr[Slot::RSP.number()] = rcx;
        cpu.ip = rdx;
        flat(cpu, cs.wrapping_add(32), cs.wrapping_add(40), FLAT_CODE64, 3);
    } else {
        cpu.gpr[Slot::RSP.number()] = rcx & 0xffff_ffff;
        cpu.ip = rdx & 0xffff_ffff;
        flat(cpu, cs.wrapping_add(16), cs.wrapping_add(24), FLAT_CODE32, 3);
    }
    Ok(())
}

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::single(Code::Jmp_m1616, far_memory::<u16, false>).ends().system(),
        Row::single(Code::Jmp_m1632, far_memory::<u32, false>).ends().system(),
        Row::single(Code::Jmp_m1664, far_memory::<u64, false>).ends().system(),
        Row::single(Code::Jmp_ptr1616, far_pointer::<u16, false>).ends().system(),
        Row::single(Code::Jmp_ptr1632, far_pointer::<u32, false>).ends().system(),
        Row::single(Code::Call_m1616, far_memory::<u16, true>).ends().system(),
        Row::single(Code::Call_m1632, far_memory::<u32, true>).ends().system(),
        Row::single(Code::Call_m1664, far_memory::<u64, true>).ends().system(),
        Row::single(Code::Call_ptr1616, far_pointer::<u16, true>).ends().system(),
        Row::single(Code::Call_ptr1632, far_pointer::<u32, true>).ends().system(),
        Row::single(Code::Retfw, retf::<u16>).ends().system(),
        Row::single(Code::Retfd, retf::<u32>).ends().system(),
        Row::single(Code::Retfq, retf::<u64>).ends().system(),
        Row::single(Code::Retfw_imm16, retf::<u16>).ends().system(),
        Row::single(Code::Retfd_imm16, retf::<u32>).ends().system(),
        Row::single(Code::Retfq_imm16, retf::<u64>).ends().system(),
        Row::single(Code::Syscall, syscall).ends().system(),
        Row::single(Code::Sysretd, sysret::<false>).ends().system(),
        Row::single(Code::Sysretq, sysret::<true>).ends().system(),
        Row::single(Code::Sysenter, sysenter).ends().system(),
        Row::single(Code::Sysexitd, sysexit::<false>).ends().system(),
        Row::single(Code::Sysexitq, sysexit::<true>).ends().system(),
    ]
}

#[cfg(test)]
mod tests;
