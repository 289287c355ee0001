//! Hardware task switches (SDM volume 3, chapter 7).

use crate::descriptor::{Descriptor, is_null, rpl, system};
use crate::fault::Fault;
use crate::state::{Cr0, Rflags, Rights, Segment, Vcpu, seg};
use lockstep_fabric::Bus;

/// DR6.BT: the new task's TSS asked for a trap.
const DR6_TASK: u64 = 1 << 15;
/// DR7.L0..L3 and LE, which end with the task.
const DR7_LOCAL: u64 = 0x155;

/// Which way the nesting of tasks goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nesting {
    /// JMP: the old task ends.
    Aside,
    /// CALL, interrupts and exceptions: the new task returns to the old one.
    In,
    /// IRET.
    Out,
}

/// A task switch asked for.
pub(crate) struct Switch {
    /// Where the old task goes on.
    pub(crate) ip: u64,
    /// RFLAGS that the old task goes on with.
    pub(crate) image: u64,
    /// Which way.
    pub(crate) nesting: Nesting,
    /// Pushed on the new task's stack.
    pub(crate) error: Option<u16>,
    /// Faults of the new task carry EXT.
    pub(crate) external: bool,
}

/// Offsets of a TSS's fields, and their width.
struct Layout {
    /// Limit of the smallest TSS.
    least: u32,
    ip: u64,
    flags: u64,
    gpr: u64,
    segments: u64,
    segment_step: u64,
    segment_count: usize,
    ldt: u64,
    wide: bool,
}

const LAYOUT16: Layout = Layout {
    least: 0x2b,
    ip: 0x0e,
    flags: 0x10,
    gpr: 0x12,
    segments: 0x22,
    segment_step: 2,
    segment_count: 4,
    ldt: 0x2a,
    wide: false,
};
const LAYOUT32: Layout = Layout {
    least: 0x67,
    ip: 0x20,
    flags: 0x24,
    gpr: 0x28,
    segments: 0x48,
    segment_step: 4,
    segment_count: 6,
    ldt: 0x60,
    wide: true,
};
const TSS32_CR3: u64 = 0x1c;
const TSS32_TRAP: u64 = 0x64;

fn layout(kind: u16) -> &'static Layout {
    if kind & 8 != 0 { &LAYOUT32 } else { &LAYOUT16 }
}

/// What a TSS holds.
struct Task {
    cr3: u64,
    ip: u64,
    flags: u64,
    gpr: [u64; 8],
    segments: [u16; 6],
    ldt: u16,
    trap: bool,
}

impl Vcpu {
    /// The descriptor of a task's TSS: in the GDT, present, and busy or not as asked for.
    pub(crate) fn task_descriptor(
        &mut self,
        bus: &mut Bus,
        selector: u16,
        fault: fn(u16) -> Fault,
        busy: bool,
    ) -> Result<Descriptor, Fault> {
        if is_null(selector) || selector & 4 != 0 {
            return Err(fault(selector));
        }
        let found = self.descriptor(bus, selector, fault)?;
        let busy = if busy { system::BUSY } else { 0 };
        if found.kind() != system::TSS16 | busy && found.kind() != system::TSS32 | busy {
            return Err(fault(selector));
        }
        if !found.present() {
            return Err(Fault::np(selector));
        }
        Ok(found)
    }

    /// Switches to the task of a descriptor that [`Vcpu::task_descriptor`] gave. On `Err` nothing has changed; what goes wrong
    /// after the old task has been left is raised in the new one.
    pub(crate) fn switch_task(
        &mut self,
        bus: &mut Bus,
        selector: u16,
        found: Descriptor,
        switch: &Switch,
    ) -> Result<(), Fault> {
        let to = layout(found.kind());
        let from = layout(self.tr.rights.0);
        if found.limit() < to.least {
            return Err(Fault::ts(selector));
        }
        let base = found.base();
        self.probe_system(bus, base, u64::from(to.least) + 1, switch.nesting == Nesting::In)?;
        self.probe_system(bus, self.tr.base, u64::from(from.least) + 1, true)?;
        for descriptor in [selector, self.tr.selector] {
            if let Some(at) = self.descriptor_address(descriptor, 8) {
                self.probe_system(bus, at, 8, true)?;
            }
        }
        let image = if switch.nesting == Nesting::Out { switch.image & !Rflags::NT.bits() } else { switch.image };
        self.save_task(bus, from, switch.ip, image)?;
        if switch.nesting == Nesting::In {
            self.store_system(bus, base, self.tr.selector)?;
        } else if self.descriptor_address(self.tr.selector, 8).is_some() {
            self.mark_busy(bus, self.tr.selector, false)?;
        }
        if switch.nesting != Nesting::Out {
            self.mark_busy(bus, selector, true)?;
        }
        let task = self.read_task(bus, to, base)?;
        self.tr = Segment { rights: Rights(found.rights().0 | system::BUSY), ..found.segment(selector) };
        self.enter_task(&task, to, switch.nesting);
        if let Err(fault) = self.load_task_segments(bus, &task, to, switch) {
            let fault = if fault == Fault::NOT_CANONICAL { Fault::GP0 } else { fault };
            self.exception(bus, if switch.external { fault.external() } else { fault });
        }
        Ok(())
    }

    fn save_task(&mut self, bus: &mut Bus, layout: &Layout, ip: u64, flags: u64) -> Result<(), Fault> {
        let base = self.tr.base;
        let mut store = |cpu: &mut Self, at: u64, value: u64| {
            if layout.wide {
                cpu.store_system(bus, base.wrapping_add(at), value as u32)
            } else {
                cpu.store_system(bus, base.wrapping_add(at), value as u16)
            }
        };
        store(self, layout.ip, ip)?;
        store(self, layout.flags, flags)?;
        let width = if layout.wide { 4 } else { 2 };
        for i in 0..8 {
            store(self, layout.gpr + width * i as u64, self.gpr[i])?;
        }
        for i in 0..layout.segment_count {
            let at = base.wrapping_add(layout.segments + layout.segment_step * i as u64);
            self.store_system(bus, at, self.seg[i].selector)?;
        }
        Ok(())
    }

    fn read_task(&mut self, bus: &mut Bus, layout: &Layout, base: u64) -> Result<Task, Fault> {
        let mut load = |cpu: &mut Self, at: u64| -> Result<u64, Fault> {
            if layout.wide {
                cpu.load_system::<u32>(bus, base.wrapping_add(at)).map(u64::from)
            } else {
                cpu.load_system::<u16>(bus, base.wrapping_add(at)).map(u64::from)
            }
        };
        let mut task = Task {
            cr3: if layout.wide { load(self, TSS32_CR3)? } else { self.cr3 },
            ip: load(self, layout.ip)?,
            flags: load(self, layout.flags)?,
            gpr: [0; 8],
            segments: [0; 6],
            ldt: load(self, layout.ldt)? as u16,
            trap: layout.wide && load(self, TSS32_TRAP)? & 1 != 0,
        };
        let width = if layout.wide { 4 } else { 2 };
        for i in 0..8 {
            task.gpr[i] = load(self, layout.gpr + width * i as u64)?;
        }
        for i in 0..layout.segment_count {
            task.segments[i] = load(self, layout.segments + layout.segment_step * i as u64)? as u16;
        }
        Ok(task)
    }

    /// The point of no return: everything that cannot fault.
    fn enter_task(&mut self, task: &Task, layout: &Layout, nesting: Nesting) {
        self.cr0.insert(Cr0::TS);
        if layout.wide && self.cr0.contains(Cr0::PG) {
            self.cr3 = task.cr3;
            self.tlb.flush_context(0);
        }
        let mut flags = Rflags::from_bits_truncate(task.flags);
        if nesting == Nesting::In {
            flags.insert(Rflags::NT);
        }
        if !layout.wide {
            flags = flags.intersection(Rflags::from_bits_retain(0xffff));
        }
        self.flags.put(flags);
        self.gpr[..8].copy_from_slice(&task.gpr);
        self.ip = task.ip;
        self.dr[7] &= !DR7_LOCAL;
        if task.trap {
            self.debug_trap |= DR6_TASK;
        }
        for (segment, selector) in self.seg.iter_mut().zip(task.segments) {
            *segment = Segment { selector, ..Segment::default() };
        }
        self.ldtr = Segment { selector: task.ldt, ..Segment::default() };
        self.cpl = if flags.contains(Rflags::VM) { 3 } else { rpl(task.segments[seg::CS]) };
        self.refresh();
    }

    fn load_task_segments(
        &mut self,
        bus: &mut Bus,
        task: &Task,
        layout: &Layout,
        switch: &Switch,
    ) -> Result<(), Fault> {
        if !is_null(task.ldt) {
            if task.ldt & 4 != 0 {
                return Err(Fault::ts(task.ldt));
            }
            let found = self.descriptor(bus, task.ldt, Fault::ts)?;
            if found.kind() != system::LDT || !found.present() {
                return Err(Fault::ts(task.ldt));
            }
            self.ldtr = found.segment(task.ldt);
        }
        if self.v86() {
            self.set_v86_segments(task.segments);
        } else {
            let cs = task.segments[seg::CS];
            let cpl = self.cpl;
            let found = self.descriptor(bus, cs, Fault::ts)?;
            let level = if found.conforming() { found.dpl() <= cpl } else { found.dpl() == cpl };
            if is_null(cs) || !found.rights().is_code() || !level {
                return Err(Fault::ts(cs));
            }
            if !found.present() {
                return Err(Fault::np(cs));
            }
            self.mark_accessed(bus, cs, found)?;
            self.seg[seg::CS] = found.segment(cs);
            self.seg[seg::SS] = self.stack_segment(bus, task.segments[seg::SS], cpl, Fault::ts, false)?;
            self.refresh();
            for index in [seg::ES, seg::DS, seg::FS, seg::GS] {
                let selector = task.segments[index];
                if !is_null(selector) {
                    self.seg[index] = self.data_segment_checked(bus, selector, cpl, Fault::ts)?;
                }
            }
        }
        if let Some(error) = switch.error {
            if layout.wide {
                self.push(bus, u32::from(error))?;
            } else {
                self.push(bus, error)?;
            }
        }
        let code = self.seg[seg::CS];
        self.check_target(&code, self.ip)
    }

    /// Segments as virtual-8086 mode has them (SDM volume 3, section 20.1.1).
    pub(crate) fn set_v86_segments(&mut self, selectors: [u16; 6]) {
        const DPL3: u16 = 3 << 5;
        let rights = Rights(Rights::PRESENT | DPL3 | Rights::MEMORY | Rights::WRITABLE | Rights::ACCESSED);
        for (segment, selector) in self.seg.iter_mut().zip(selectors) {
            *segment = Segment { rights, limit: 0xffff, ..Segment::default() }.real(selector);
        }
        self.cpl = 3;
        self.refresh();
    }
}

#[cfg(test)]
mod tests;
